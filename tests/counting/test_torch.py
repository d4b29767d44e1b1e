"""Counts of what runs on PyTorch: modules by hand, Keras' layers against TensorFlow's trace.

PyTorch runs in processes of its own; where it is not installed there is nothing to test.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent.parent / "support"

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")


def printed(script, *arguments, **environment):
    """Return the JSON that a script of tests/support prints last."""
    run = subprocess.run(
        [sys.executable, str(SUPPORT / script), *arguments], check=True, capture_output=True,
        text=True, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment)
    return json.loads(run.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def torch_counts():
    return printed("torch_counts.py")


def f32(**counts):
    return {f"float32 {op}": n for op, n in counts.items()}


# --- modules, by closed forms

def test_a_convolutional_module_counts_module_by_module(torch_counts):
    assert torch_counts["convolutional"] == {
        # 2 x 8 x 8 pixels, 8 filters of 3 x 3 x 3 taps
        "0": ["Conv2d", f32(add=1024, mac=1024 * 27)],
        # s and beta - mean s once a channel, then x s + (...)
        "1": ["BatchNorm2d", f32(add=1024 + 16, mul=1024 + 16, rsqrt=8)],
        "2": ["ReLU", f32(max=1024)],
        "3": ["MaxPool2d", f32(max=256 * 3)],
        "4": ["Flatten", {}],
        "5": ["Linear", f32(add=20, mac=20 * 128)]}


def test_what_a_modules_own_forward_computes_stands_under_it(torch_counts):
    norm = ["BatchNorm2d", f32(add=128 + 16, mul=128 + 16, rsqrt=8)]
    assert torch_counts["residual"] == {
        "conv1": ["Conv2d", f32(mac=4 * 4 * 8 * 9 * 4)], "bn1": norm,
        "conv2": ["Conv2d", f32(mac=4 * 4 * 8 * 9 * 8)], "bn2": norm,
        "down.0": ["Conv2d", f32(mac=4 * 4 * 8 * 4)],
        "(operators)": ["Block", f32(add=128, max=256)]}


def test_a_transformers_layer(torch_counts):
    n, scores, rows = 80, 2 * 2 * 5 * 5, 20  # numbers, attention weights, and rows of these
    # moments, then x s + (beta - mean s) as Keras has it, over 10 rows of 8
    norm = ["LayerNorm", f32(add=2 * (n - 10) + n + 10 + 2 * n, div=20, mul=4 * n, neg=10,
                             rsqrt=10)]
    assert torch_counts["encoder"] == {
        "self_attn": ["MultiheadAttention", f32(
            add=4 * n + 2 * scores - rows, div=scores, exp=scores,
            mac=4 * n * 8 + scores * (4 + 4), max=scores - rows, mul=scores)],
        "norm1": norm, "norm2": norm, "dropout": ["Dropout", {}], "dropout1": ["Dropout", {}],
        "dropout2": ["Dropout", {}], "linear1": ["Linear", f32(add=160, mac=160 * 8)],
        "linear2": ["Linear", f32(add=80, mac=80 * 16)],
        "(operators)": ["TransformerEncoderLayer", f32(add=2 * n, max=160)]}


def test_recurrent_modules(torch_counts):
    n, steps = 2 * 4, 5  # each gate: 3 + 4 products, two biases, a sum of both
    lstm = f32(add=steps * (4 * n * 3 + n), mac=steps * 4 * n * 7, mul=steps * 3 * n,
               sigmoid=steps * 3 * n, tanh=steps * 2 * n)
    assert torch_counts["recurrent"] == {
        "lstm": lstm, "two_ways": {key: 2 * count for key, count in lstm.items()},
        # gates r, z and candidate g, whose recurrent part r gates; h' = g + z (h - g)
        "gru": f32(add=steps * (3 * n * 3 + 2 * n), mac=steps * 3 * n * 7, mul=steps * 2 * n,
                   sigmoid=steps * 2 * n, tanh=steps * n),
        "rnn": f32(add=steps * 3 * n, mac=steps * n * 7, tanh=steps * n)}


def test_all_calls_of_a_module_are_one_row_and_keywords_are_given(torch_counts):
    assert torch_counts["shared"] == {"same": ["Linear", f32(add=8, mac=32)]}
    assert torch_counts["keywords"] == {"part": ["Linear", f32(add=8, mac=24)],
                                        "(operators)": ["Keyword", f32(mul=8)]}


def test_a_module_is_counted_in_inference_and_stays_as_it_is(torch_counts):
    counts, same, training = torch_counts["stays_as_it_is"]
    assert counts == f32(add=12 + 8 + 6, mac=24, mul=12 + 8, rsqrt=4)  # no dropout
    assert same
    assert training == [True, True, False]


def test_a_decoder_of_24_layers_takes_no_memory(torch_counts):
    tokens, width = 1024, 1024  # four projections, two of four widths, attention, the head
    layer = tokens * width * (4 * width + 8 * width) + 2 * tokens * tokens * width
    assert torch_counts["decoder"]["float32 mac"] == 24 * layer + tokens * width * 32000


# --- what counts

def test_elementwise_ops(torch_counts):
    assert torch_counts["elementwise"] == {
        "times one": {}, "plus nothing": {}, "by ones": {},
        "square": f32(mul=4), "cube": f32(mul=8), "root": f32(sqrt=4), "power": f32(pow=4),
        "scaled sum": f32(add=4, mul=4), "promoted": f32(mul=4) | {"int32 convert": 4},
        "compared": {"int8 max": 4}, "chosen": f32(max=4, select=4),
        "gelu": f32(erf=4, mul=12, neg=4), "tanh gelu": f32(add=8, mul=24, tanh=4),
        "softmax": f32(add=2 * 15 - 3, div=15, exp=15, max=12), "floor": f32(div=4, round=4),
        "complex": f32(add=6, mul=12),  # (a + bi)(c + di): four products, two sums
        "decomposed": f32(exp=4, max=4, select=4)}


def test_what_no_input_reaches_and_what_nothing_needs_does_not_count(torch_counts):
    assert torch_counts["reach"] == {
        "a view": f32(sin=8, tanh=4), "overwritten": f32(tanh=4), "dead": f32(tanh=4),
        "a mask made of shapes": f32(select=16), "a constant": f32(mul=4), "like": f32(mul=4),
        "like what nothing needs": f32(mul=4)}


def test_kernels_count_by_their_definition(torch_counts):
    assert torch_counts["kernels"] == {
        "transposed": f32(add=2 * 4 * 11 * 11, mac=150 * 9 * 4),  # inputs x taps x filters
        "groups": f32(mac=2 * 6 * 5 * 3 * 2),  # outputs x taps x channels of a group
        # moments of 2 x 2 groups of 10, s and beta - mean s of 2 x 4 channels
        "group norm": f32(add=2 * 36 + 40 + 4 + 40 + 8, div=8, mul=80 + 16, neg=4, rsqrt=4),
        # windows of [0, 3), [2, 6) and [5, 8) of 8
        "adaptive": f32(add=2 * (3 + 4 + 3) - 6, div=6),
        "bilinear": f32(add=128 * 6, mul=128 * 3),
        "attention": f32(add=50 + 2 * 50 - 10, div=50, exp=50, mac=50 * 8, max=40, mul=50),
        "cross-entropy": f32(add=3 * 15 - 3 + 2, div=1, exp=15, log=3, max=12, neg=3)}


def test_algorithms_count_as_published(torch_counts):
    assert torch_counts["algorithms"] == {
        # Cooley and Tukey of 3 rows of 8: 2 n log2 n products and 3 n log2 n sums, half for reals
        "fft": f32(add=3 * 36, mul=3 * 24), "inverse fft": f32(add=3 * 36, mul=3 * 24 + 24),
        # Golub and Van Loan, algorithm 4.2.2: (n^3 - n) / 6 MACs
        "cholesky": f32(div=3, mac=4, sqrt=3),
        "sort": f32(max=3 * 8 * 3),
        # the first of a row is as it was
        "running sum": f32(add=2 * 8), "running product": f32(mul=3 * 7)}


def test_random_numbers_are_one_random_each(torch_counts):
    assert torch_counts["random"] == {
        "dropout": f32(div=4, max=4, mul=4, random=4),  # keep / (1 - rate), then x keep
        "normal": f32(add=4, random=4), "scaled": f32(add=8, mul=4, random=4)}


def test_of_a_condition_on_the_data_the_dearer_way_counts_and_is_said(torch_counts):
    counts, notes = torch_counts["branches"]
    assert counts == f32(exp=4, max=1, mul=4)
    assert notes == ["the dearer of the ways that a condition on the data leads to is counted"]


def test_what_cannot_be_counted_says_why(torch_counts):
    refused = torch_counts["refused"]
    assert "lgamma.default has no counter; it is an entry of" in refused["unknown"]
    assert "until the data end it" in refused["loop"]
    assert "reads a value of the data" in refused["value"]
    assert "DynamicOutputShapeException" in refused["size"]
    assert "inconsistent tensor size" in refused["code"]


# --- Keras

def test_a_layer_written_in_torch_counts_forward_and_backward(torch_counts):
    own, rows = torch_counts["custom_layer"]
    assert own == f32(add=8, mul=8, sin=8, tanh=8)
    # g (1 - y y) 2 + g cos(x), and the sum of both
    assert rows["own/backward"] == ["trace", f32(add=16, mul=32, sin=8)]
    assert rows["a/backward"] == ["trace", f32(add=4, mac=64)]  # the first needs no dx
    assert rows["b/backward"] == ["trace", f32(add=2, mac=32)]
    assert rows["loss/forward"] == ["trace", f32(add=4 + 3, div=3, mul=4)]


def test_the_users_counter_is_the_layers_forward_pass(torch_counts):
    counts, rows = torch_counts["own_counters"]
    assert counts == f32(add=12, mac=80, pow=8)
    assert rows["own/forward"] == ["rule", f32(pow=8)]
    assert rows["own/backward"] == ["trace", f32(add=16, mul=32, sin=8)]


def test_the_step_is_the_models_own(torch_counts):
    macs, rows = torch_counts["steps"]["Student"]
    assert macs == 2 * 32 + 8 * 64 + 64 * 4
    assert sum(path.startswith("sequential") for path in rows) == 2  # the teacher's, forward
    macs, rows = torch_counts["steps"]["Twice"]
    assert macs == 2 * 2 * 32
    assert rows["optimizer/update"][1]["float32 mul"] == 2 * 36


def test_every_optimizer_is_traced(torch_counts):
    updates = torch_counts["optimizers"]
    assert updates["sgd"] == f32(add=36, mul=36, neg=1) | {"int32 add": 1}
    # m b + g (1 - b); v b + g g (1 - b); p - m a / (sqrt(v) + e); a = r sqrt(1 - b^t) / (1 - c^t)
    assert updates["adam"] == f32(add=4 * 36 + 2, div=37, mul=6 * 36 + 1, pow=2, sqrt=37) | {
        "int32 add": 2, "int32 convert": 1}
    assert all(update["float32 add"] >= 36 for update in updates.values())


def test_a_loss_is_scaled_and_its_gradients_tested(torch_counts):
    counts, notes = torch_counts["scaled_loss"]
    assert counts["float32 div"] == counts["float32 abs"] == 46  # each gradient, and is it finite
    assert notes == ["the dearer of the ways that a condition on the data leads to is counted"]


def test_a_model_stays_as_it_is_and_takes_no_memory(torch_counts):
    same, device = torch_counts["model_stays_as_it_is"]
    assert same
    assert device != "meta"
    assert torch_counts["without_memory"] == {
        "inference": f32(add=10**6, mac=10**11), "training": 2 * 10**11}


def test_tensorflow_is_not_needed():
    code = """
import sys
sys.modules["tensorflow"] = sys.modules["jax"] = None
import keras, tostoolkit as tos
class Own(keras.layers.Layer):
    def call(self, x):
        return keras.ops.tanh(x)
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), Own()])
counts = tos.count_ops(model, phase="training", loss="mse", optimizer="sgd")
print(int(counts["float32", "mac"].sum()), int(counts["float32", "tanh"].sum()))
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True,
                         env=os.environ | {"KERAS_BACKEND": "torch"})
    assert run.stdout.split() == ["64", "4"]


@pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed")
def test_a_module_is_counted_where_tensorflow_is_loaded():
    """PyTorch's Triton and TensorFlow end a process that loads both, so the one is not loaded."""
    code = """
import tensorflow, torch, tostoolkit as tos
counts = tos.count_ops(torch.nn.Linear(4, 3), 2, input_shape=(4,))
print(int(counts["float32", "mac"].sum()))
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.split() == ["24"]


# --- against TensorFlow

#: What differs by kind of op, and why: kind of layer -> phase -> columns. A `*` is all phases.
#: Dropout is x keep / (1 - rate) on PyTorch, and a choice on TensorFlow.
DROPOUT = {"float32 div", "float32 select"}
#: A loop on TensorFlow computes the gradient of the first state too, and adds what it collects one
#: by one; PyTorch adds the gradients of slices, of which each is zero but for its own.
LOOPS = {"float32 add", "float32 mac", "float32 mul"}
DIFFERENCES = {
    "ConvLSTM1D 0": {"training": LOOPS}, "SimpleRNN 0": {"training": LOOPS - {"float32 mul"}},
    **dict.fromkeys(("GRU 0", "GRU 1", "GRU 2", "LSTM 0", "LSTM 2"), {"training": LOOPS}),
    "LSTM 1": {"training": {"float32 add"}},
    "Dropout 0": {"training": DROPOUT},
    # the gradient of a table is a table
    **dict.fromkeys(("Embedding 0", "ReversibleEmbedding 0"), {"training": {"float32 add"}}),
    "Masking 0": {"training": {"float32 max", "float32 select"}},  # x / 0 is tested for twice
    # TensorFlow adds up the kernels' gradients of a batch, which PyTorch has as one product
    **dict.fromkeys(("MultiHeadAttention 0", "MultiHeadAttention 2", "GroupQueryAttention 0"),
                    {"training": {"float32 add"}}),
    **dict.fromkeys(("MultiHeadAttention 3", "GroupQueryAttention 1"),
                    {"training": DROPOUT | {"float32 add"}}),
    # values of another size than keys have no kernel: PyTorch scales queries and keys
    "MultiHeadAttention 1": {"inference": {"float32 mul"},
                             "training": {"float32 add", "float32 mul"}},
    # stochastic depth is a dropout
    "EfficientNetB0": {"training": DROPOUT | {"float32 convert", "float32 mul"}},
}
#: Of all cases of all layers, beside those.
RESAMPLED = {f"int32 {op}" for op in ("abs", "add", "div", "mul", "rem", "round")} | {
    f"float32 {op}" for op in ("add", "convert", "div", "mac", "mul", "round")}
DIFFERENCES_OF_ALL = DIFFERENCES | {
    # of a drawn mask of another shape, which is converted
    **dict.fromkeys((f"SpatialDropout{n}D 0" for n in (1, 2, 3)),
                    {"training": {"float32 convert", "float32 div", "float32 mul"}}),
    # Keras on TensorFlow pools all windows of both sizes and picks; PyTorch's kernel takes its own
    **{f"AdaptiveAveragePooling{n}D 0": dict.fromkeys(
        ("inference", "training"), {"float32 add", "float32 div"}) for n in (1, 2, 3)},
    **{f"AdaptiveMaxPooling{n}D 0": dict.fromkeys(("inference", "training"), {"float32 max"})
       for n in (1, 2, 3)},
    **dict.fromkeys(("Bidirectional 0", "Bidirectional 1", "ConvLSTM2D 0", "ConvLSTM3D 0",
                     "RNN 0"), {"training": LOOPS}),
    "Bidirectional 2": {"training": LOOPS - {"float32 mul"}},
    **dict.fromkeys(("EinsumDense 0", "EinsumDense 1"), {"training": {"float32 add"}}),
    # an image is resampled by Keras on PyTorch, and by one kernel of TensorFlow's
    **dict.fromkeys(("RandomRotation 0", "RandomZoom 0", "RandomTranslation 0"),
                    {"training": RESAMPLED}),
}
#: The update counts steps in another integer format, and negates the learning rate.
OF_UPDATE = {"int64 add", "int32 add", "float32 neg"}


def unlike(a, b):
    return {key for key in {*a, *b} if a.get(key, 0) != b.get(key, 0)}


@pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed")
@pytest.mark.parametrize("which", [
    "layers", "applications", pytest.param("all", marks=pytest.mark.prove)])
def test_traces_on_pytorch_and_tensorflow_agree_by_kind_of_op(which):
    on_torch, on_tensorflow = (printed("backend_counts.py", which, KERAS_BACKEND=backend)
                               for backend in ("torch", "tensorflow"))
    assert on_torch.keys() == on_tensorflow.keys()
    found = {}
    for name, phases in on_torch.items():
        other = on_tensorflow[name]
        assert unlike(phases["update"], other["update"]) <= OF_UPDATE
        columns = {phase: unlike(phases[phase], other[phase])
                   for phase in ("inference", "training")}
        found |= {name: differ} if (differ := {k: v for k, v in columns.items() if v}) else {}
    expected = DIFFERENCES_OF_ALL if which == "all" else DIFFERENCES
    assert found == {name: differ for name, differ in expected.items() if name in on_torch}
    if which == "layers":
        assert len(on_torch) - len(found) >= 55
        for name in ("Conv1D 1", "Conv2D 1", "Conv2D 2"):  # the first layer: forward, and kernel
            assert on_torch[name]["training"]["float32 mac"] == (
                2 * on_torch[name]["inference"]["float32 mac"])
