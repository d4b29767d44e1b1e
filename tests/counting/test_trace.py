"""Rule against trace for every layer, and training steps against derivatives by hand."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from layer_cases import CASES, model_of
from models import application, shared_and_nested
from traced import trace_ops

import tostoolkit as tos
from tostoolkit.counting.backends.tensorflow_ops import TRACE_COUNTERS
from tostoolkit.counting.count import count, counted
from tostoolkit.counting.rules import OP_COUNTERS, TRACED_LAYERS, VOCABULARIES
from tostoolkit.counting.trace import TraceError

#: Cells are layers of the layers that loop over them, and are checked there.
CELLS = {"GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"}


def nonzero(counts):
    return {key: int(n) for key, n in counts.items() if n}


def shipped():
    found = [getattr(layers, name) for name in dir(layers)]
    return {c.__name__ for c in found if isinstance(c, type) and issubclass(c, keras.Layer)}


def test_every_layer_that_keras_ships_has_a_counter():
    assert not shipped() - set(OP_COUNTERS)
    assert not {"NoSuchLayer"} & set(OP_COUNTERS)
    assert len(shipped()) > 100


def test_every_layer_with_a_rule_has_a_case_here():
    ruled = shipped() - set(TRACED_LAYERS) - {"InputLayer", *VOCABULARIES}
    aliases = {"GroupedQueryAttention": "GroupQueryAttention"}
    assert {aliases.get(name, name) for name in ruled} <= set(CASES)
    assert {kind for kind, cases in CASES.items() if not cases} == CELLS


@pytest.mark.parametrize("kind", [kind for kind, cases in CASES.items() if cases])
def test_rule_equals_trace(kind):
    """Op by op and dtype by dtype; a layer without a rule is shown to be countable."""
    for kwargs, shapes in CASES[kind]:
        with tos.abstract():
            model = model_of(kind, kwargs, shapes)
        assert nonzero(tos.count_ops(model, 2).sum()) == nonzero(trace_ops(model, 2).sum()), kwargs


drawn = st.fixed_dictionaries({
    "filters": st.sampled_from([2, 4]), "kernel_size": st.integers(1, 3),
    "padding": st.sampled_from(["valid", "same"]), "use_bias": st.booleans(),
    "activation": st.sampled_from([None, "relu", "gelu", "tanh", "softmax"]),
}), st.integers(6, 9), st.sampled_from([2, 4]), st.integers(1, 3)


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(["Conv1D", "Conv2D", "SeparableConv2D", "Conv2DTranspose"]), *drawn)
def test_rule_equals_trace_for_drawn_convolutions(kind, kwargs, side, channels, batch):
    rank = 1 if "1D" in kind else 2
    with tos.abstract():
        model = model_of(kind, kwargs, [(*[side] * rank, channels)])
    rule, trace = tos.count_ops(model, batch).sum(), trace_ops(model, batch).sum()
    assert nonzero(rule) == nonzero(trace)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(["LSTM", "GRU", "SimpleRNN"]), st.integers(1, 5), st.integers(1, 9),
       st.integers(1, 4), st.booleans(), st.booleans())
def test_rule_equals_trace_for_drawn_recurrent_layers(kind, units, steps, features, bias, whole):
    kwargs = {"units": units, "use_bias": bias, "return_sequences": whole}
    with tos.abstract():
        model = model_of(kind, kwargs, [(steps, features)])
    assert nonzero(tos.count_ops(model, 2).sum()) == nonzero(trace_ops(model, 2).sum())


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(2, 6), st.integers(2, 6),
       st.integers(1, 5), st.booleans())
def test_rule_equals_trace_for_drawn_attention(heads, dim, queries, keys, width, bias):
    kwargs = {"num_heads": heads, "key_dim": dim, "use_bias": bias}
    with tos.abstract():
        model = model_of("MultiHeadAttention", kwargs, [(queries, width), (keys, width)])
    assert nonzero(tos.count_ops(model, 2).sum()) == nonzero(trace_ops(model, 2).sum())


@pytest.mark.parametrize("argument", ["use_causal_mask", "return_attention_scores"])
@pytest.mark.parametrize(("kind", "kwargs"), [
    ("Attention", {}), ("Attention", {"score_mode": "concat"}), ("AdditiveAttention", {}),
    ("MultiHeadAttention", {"num_heads": 2, "key_dim": 3}),
    ("GroupQueryAttention", {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}),
])
def test_attention_under_a_causal_mask_and_with_its_scores(kind, kwargs, argument):
    spread = kind in ("MultiHeadAttention", "GroupQueryAttention")
    with tos.abstract():
        x, y = keras.Input((5, 6)), keras.Input((7, 6))
        layer = getattr(layers, kind)(**kwargs)
        z = layer(x, y, **{argument: True}) if spread else layer([x, y], **{argument: True})
        model = keras.Model([x, y], z)
    assert nonzero(tos.count_ops(model, 2).sum()) == nonzero(trace_ops(model, 2).sum())


@pytest.mark.parametrize(("kind", "kwargs", "shapes", "macs"), [
    # dot: of each of 3 x 2 rows, 5 x 7 scores of 6 products each, and as many of the mixture
    ("Attention", {}, [(2, 5, 6), (2, 7, 6)], 3 * 2 * 5 * 7 * (6 + 6)),
    ("AdditiveAttention", {}, [(2, 5, 6), (2, 7, 6)], None),
    # projections of 3 x 3 x 5 queries and 3 x 3 x 7 keys and values; over the last axis alone
    ("MultiHeadAttention", {"num_heads": 2, "key_dim": 3, "attention_axes": (2,)},
     [(3, 5, 6), (3, 7, 6)],
     9 * (2 * 5 + 2 * 7) * 6 * 6 + 9 * 2 * 5 * 7 * (3 + 3)),
    # over both axes, 15 by 15 scores
    ("MultiHeadAttention", {"num_heads": 2, "key_dim": 3, "attention_axes": (1, 2)},
     [(3, 5, 6), (3, 5, 6)], 3 * 4 * 15 * 6 * 6 + 3 * 2 * 15 * 15 * (3 + 3)),
])
def test_attention_over_several_axes(kind, kwargs, shapes, macs):
    with tos.abstract():
        model = model_of(kind, kwargs, shapes)
    counts = tos.count_ops(model, 3).sum()
    assert nonzero(counts) == nonzero(trace_ops(model, 3).sum())
    assert macs is None or counts["float32", "mac"] == macs


APPLICATIONS = sorted(name for name, value in vars(keras.applications).items()
                      if callable(value) and name[0].isupper())
THREE = ["EfficientNetB0", "MobileNetV2", "ResNet50"]


def test_applications_are_all_there():
    assert set(THREE) < set(APPLICATIONS)
    assert len(APPLICATIONS) >= 40


@pytest.mark.parametrize("name", [
    name if name in THREE else pytest.param(name, marks=pytest.mark.prove)
    for name in APPLICATIONS])
def test_applications_rule_equals_trace(name):
    model = application(name, input_shape=(224, 224, 3) if "MobileNetV3" in name else None)
    assert nonzero(tos.count_ops(model).sum()) == nonzero(trace_ops(model).sum())


def test_layers_are_told_apart_by_their_scopes():
    with tos.abstract():
        model = shared_and_nested()
    trace = trace_ops(model, 3)["float32", "mac"]
    rule = tos.count_ops(model, 3)["float32", "mac"]
    assert trace["shared"] == rule[[k for k, _ in rule.index if k.startswith("shared")]].sum()
    deep = [key for key in trace.index if key.endswith("deep")]
    assert trace[deep].sum() == 2 * 3 * 36


# --- what only the trace counts

class Residual(keras.Model):
    """Subclassed: no graph of layers."""

    def __init__(self):
        super().__init__(name="residual")
        self.inner = layers.Dense(6, activation="tanh", name="inner")

    def call(self, x):
        return x + self.inner(x) * keras.ops.sigmoid(x)


def test_subclassed_model_by_hand():
    model = Residual()
    model(keras.ops.ones((1, 6)))
    table = trace_ops(model, 4, input_shape=(6,))
    assert nonzero(table.loc["inner"]) == {
        ("float32", "mac"): 4 * 36, ("float32", "add"): 24, ("float32", "tanh"): 24}
    assert nonzero(table.drop("inner").sum()) == {
        ("float32", "add"): 24, ("float32", "mul"): 24, ("float32", "sigmoid"): 24}
    assert nonzero(tos.count_ops(model, 4, input_shape=(6,)).sum()) == nonzero(table.sum())


def test_lambda_and_operators_by_hand():
    model = keras.Sequential([keras.Input((5,)), layers.Lambda(lambda x: keras.ops.log(x) ** 3.5)])
    assert nonzero(tos.count_ops(model, 2).sum()) == {
        ("float32", "log"): 10, ("float32", "pow"): 10}


def test_conditional_counts_its_dearer_branch_and_says_so():
    class Either(keras.layers.Layer):
        def call(self, x):
            return keras.ops.cond(
                keras.ops.sum(x) > 0, lambda: keras.ops.exp(keras.ops.exp(x)), lambda: -x)

    with tos.abstract():
        model = keras.Sequential([keras.Input((4,)), Either()])
    table = trace_ops(model)
    assert table["float32", "exp"].sum() == 8
    assert ("float32", "neg") not in table.columns
    assert "dearer branch" in count(model).notes[0]


@pytest.mark.parametrize(("one", "other", "says"), [
    (keras.ops.exp, keras.ops.sin, True),  # as many ops, of other kinds
    (keras.ops.exp, keras.ops.exp, False), (lambda x: x + x, lambda x: x + x + x, True),
])
def test_of_branches_that_differ_in_any_kind_the_choice_is_said(one, other, says):
    class Either(keras.layers.Layer):
        def call(self, x):
            return keras.ops.cond(keras.ops.sum(x) > 0, lambda: one(x), lambda: other(x))

    model = keras.Sequential([keras.Input((4,)), Either()])
    assert bool(count(model).notes) is says


def test_loop_with_a_known_end_and_one_without():
    class Looping(keras.layers.Layer):
        def __init__(self, until):
            super().__init__()
            self.until = until

        def call(self, x):
            stop = 7 if self.until is None else keras.ops.cast(keras.ops.sum(x), "int32")
            return keras.ops.while_loop(
                lambda i, y: i < stop, lambda i, y: (i + 1, keras.ops.tanh(y)), (0, x))[1]

    with tos.abstract():
        known = keras.Sequential([keras.Input((4,)), Looping(None)])
        unknown = keras.Sequential([keras.Input((4,)), Looping("data")], name="endless")
    assert trace_ops(known, 2)["float32", "tanh"].sum() == 7 * 2 * 4
    with pytest.raises(TraceError, match=r"'endless'.*loop.*until the data end it"):
        trace_ops(unknown)


def test_op_that_is_not_known_is_an_error_and_not_zero():
    with tos.abstract():
        model = keras.Sequential(
            [keras.Input((4,)), layers.Dense(3, activation="tanh")], name="net")
    known = {name: f for name, f in TRACE_COUNTERS.items() if name != "Tanh"}
    with pytest.raises(TraceError, match=r"op Tanh at '.*dense.*/Tanh' has no counter") as caught:
        trace_ops(model, trace_counters=known)
    assert "OP_COUNTERS | {" in str(caught.value)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_ops_run_in_the_dtype_of_the_policy(policy):
    with tos.abstract():
        model = keras.Sequential([
            keras.Input((8,)), layers.Dense(4, activation="relu", dtype=policy),
            layers.Dense(3, dtype="float32")])
    counts = nonzero(tos.count_ops(model, 2).sum())
    dtype = policy.removeprefix("mixed_")
    assert counts[dtype, "mac"] == 2 * 32
    assert counts["float32", "mac"] == 2 * 12
    if policy != "float64":  # kernel, bias and input are converted
        assert counts["float32", "convert"] == 32 + 4 + 16
    assert counts == nonzero(trace_ops(model, 2).sum())


def test_quantised_model_costs_what_its_circuits_do():
    model = keras.Sequential([keras.Input((64,)), layers.Dense(128), layers.Dense(64)])
    before = tos.transistor_ops(model, batch_size=4)
    model.quantize("int8")
    after = tos.transistor_ops(model, batch_size=4)
    assert after.counts["int8", "mac"].sum() == before.counts["float32", "mac"].sum()
    assert ("float32", "mac") not in after.counts.columns
    assert after.total < before.total / 5
    assert nonzero(after.counts.sum()) == nonzero(trace_ops(model, 4).sum())


@pytest.mark.parametrize(("mode", "in_storage"), [
    ("int4", {("int8", "logic"), ("int8", "add")}),  # two weights in a byte are unpacked
    ("float8", {("float8_e4m3fn", "convert"), ("float32", "div")}),  # rounded to float8 and back
])
def test_what_keras_only_stores_in_few_bits_is_multiplied_in_float32(mode, in_storage):
    model = keras.Sequential([keras.Input((64,)), layers.Dense(128), layers.Dense(64)])
    before = nonzero(tos.count_ops(model, 4).sum())
    for layer in model.layers:
        layer.quantize(mode)
    after = nonzero(tos.count_ops(model, 4).sum())
    assert after["float32", "mac"] == before["float32", "mac"]
    assert in_storage <= set(after)
    assert after == nonzero(trace_ops(model, 4).sum())


# --- training steps, against derivatives by hand

def step(model, batch, **kwargs):
    kwargs = {"loss": "mse", "optimizer": "sgd"} | kwargs
    return trace_ops(model, batch, "training", **kwargs)


def part(table, name, layer):
    return nonzero(table.loc[name, layer])


def test_dense_step_by_hand():
    """dW = x' dy, db = sum dy; dx is not needed of the first layer; W -= rate dW."""
    with tos.abstract():
        model = keras.Sequential([keras.Input((5,)), layers.Dense(4, name="a"),
                                  layers.Dense(3, name="b")])
    b, f = 2, "float32"
    table = step(model, b)
    assert part(table, "forward", "a") == {(f, "mac"): b * 20, (f, "add"): b * 4}
    assert part(table, "backward", "a") == {(f, "mac"): b * 20, (f, "add"): (b - 1) * 4}
    assert part(table, "backward", "b") == {(f, "mac"): 2 * b * 12, (f, "add"): (b - 1) * 3}
    # mean((y - t)^2): over the outputs, then over the batch; 2 / 3 (y - t) / batch, back
    assert part(table, "forward", "loss") == {
        (f, "mul"): b * 3, (f, "add"): b * 3 + b * 2 + (b - 1), (f, "div"): b + 1}
    assert part(table, "backward", "loss") == {(f, "mul"): 2 * b * 3, (f, "neg"): b * 3}
    parameters = 24 + 15
    assert part(table, "update", "optimizer") == {
        (f, "mul"): parameters, (f, "add"): parameters, ("int64", "add"): 1}


def test_convolution_step_by_hand():
    with tos.abstract():
        model = keras.Sequential([
            keras.Input((6, 6, 2)), layers.Conv2D(3, 3, name="a"),
            layers.Conv2D(4, 3, name="b", use_bias=False)])
    table = step(model, 2)["float32", "mac"]
    first, second = 2 * 16 * 3 * 9 * 2, 2 * 4 * 4 * 9 * 3
    assert table["forward", "a"] == table["backward", "a"] == first
    assert table["forward", "b"] == second
    assert table["backward", "b"] == 2 * second


def test_batch_normalisation_step_by_hand():
    """Forward in training: mean, variance, then as in inference, and the moving averages."""
    n, c = 2 * 6, 6
    with tos.abstract():
        model = keras.Sequential([keras.Input((6,)), layers.BatchNormalization(name="bn")])
    f = "float32"
    moments = 2 * (n - c) + n
    normalise = n + 2 * c
    averages = 2 * c  # m a + batch (1 - a), for mean and variance
    assert part(step(model, 2), "forward", "bn") == {
        (f, "rsqrt"): c, (f, "div"): 2 * c,  # two means
        (f, "add"): moments + normalise + averages,
        (f, "mul"): n + (n + 2 * c) + 2 * averages}


def test_softmax_cross_entropy_step_by_hand():
    with tos.abstract():
        model = keras.Sequential([keras.Input((4,)), layers.Dense(5, name="a")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    table = step(model, 3, loss=loss)
    f, n, rows = "float32", 15, 3
    assert part(table, "forward", "loss") == {
        (f, "exp"): n, (f, "log"): rows,
        (f, "max"): n - rows,
        # x - max, the sum, log sum - x at the label, the gradient's - 1, the mean over the batch
        (f, "add"): n + (n - rows) + rows + rows + (rows - 1),
        (f, "div"): n + 1,  # softmax, which the gradient needs; the mean
        ("int32", "convert"): rows, (f, "convert"): rows,  # labels: to the loss's dtype and back
    }
    assert part(table, "backward", "loss") == {(f, "mul"): n}


def test_lstm_step_by_hand():
    """Each contraction of the loop has two in the backward loop; the input's is not needed."""
    with tos.abstract():
        model = keras.Sequential([keras.Input((7, 4)), layers.LSTM(3, name="rnn")])
    table = step(model, 2)
    b, t, u, x, f = 2, 7, 3, 4, "float32"
    inputs, recurrent, n = t * b * 4 * u * x, t * b * 4 * u * u, t * b * u
    assert part(table, "forward", "rnn") == {
        (f, "mac"): inputs + recurrent, (f, "sigmoid"): 3 * n, (f, "tanh"): 2 * n,
        (f, "mul"): 3 * n, (f, "add"): 4 * n + 4 * n + n}  # W x + U h, + b, f c + i g
    assert part(table, "backward", "rnn") == {
        (f, "mac"): inputs + 2 * recurrent,
        # y (1 - y) g of three sigmoids and (1 - y y) g of two tanhs; two factors of three products
        (f, "mul"): 3 * 2 * n + 2 * 2 * n + 3 * 2 * n,
        # 1 - y of those five; h and c are read twice; kernels and bias gather over the steps
        (f, "add"): 5 * n + 2 * n + t * 4 * u * (x + u + 1) + t * (b - 1) * 4 * u}


def test_attention_step_by_hand():
    with tos.abstract():
        x = keras.Input((5, 6))
        y = layers.Dense(6, name="before")(x)
        model = keras.Model(x, layers.MultiHeadAttention(2, 3, name="mha")(y, y))
    table = step(model, 2)["float32", "mac"]
    assert table["backward", "mha"] == 2 * table["forward", "mha"]


def test_adam_update_by_hand():
    """m += (g - m)(1 - b1); v += (g^2 - v)(1 - b2); w -= m alpha / (sqrt(v) + eps)."""
    with tos.abstract():
        model = keras.Sequential([keras.Input((5,)), layers.Dense(4, use_bias=False)])
    update = part(step(model, 2, optimizer="adam"), "update", "optimizer")
    n, f = 20, "float32"
    # and the bias correction, alpha = rate sqrt(1 - b2^t) / (1 - b1^t), of the step t + 1
    assert update == {
        (f, "sqrt"): n + 1, (f, "div"): n + 1, (f, "pow"): 2, (f, "mul"): 4 * n + 1,
        (f, "add"): 6 * n + 2, ("int64", "add"): 2, ("int64", "convert"): 1}


def test_resnet50_step_has_three_times_the_contractions_but_for_the_first():
    model = application("ResNet50")
    macs = tos.count_ops(model, phase="training", loss="sparse_categorical_crossentropy",
                         optimizer="sgd")["float32", "mac"].groupby("part").sum()
    first = 112 * 112 * 64 * 49 * 3
    assert macs["forward"] == 3_857_973_248
    assert macs["backward"] == 2 * macs["forward"] - first


def test_compiled_model_brings_its_own_loss_and_optimizer():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(1)])
    model.compile("adam", "mse")
    table = tos.count_ops(model, phase="training")
    assert set(table.index.get_level_values("part")) == {"forward", "backward", "update"}
    variables = len(model.optimizer.variables)
    tos.count_ops(model, phase="training")
    assert len(model.optimizer.variables) == variables  # the user's own is left alone


def test_bad_input_names_what_was_wrong():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(1)], name="net")
    for call, word in [
        (lambda: trace_ops(model, phase="train"), "phase: 'train'"),
        (lambda: trace_ops(model, phase="training"), "loss: 'net' is not compiled"),
        (lambda: trace_ops(model, phase="training", loss="mse"), "optimizer: 'net'"),
        (lambda: trace_ops(model, phase="training", loss="cosine_similarty", optimizer="sgd"),
         "loss: 'cosine_similarty' is no name .* try .*keras.losses.CosineSimilarity"),
        (lambda: trace_ops(model, phase="training", loss="mse", optimizer="adamm"),
         "optimizer: 'adamm' is no name .* try keras.optimizers.Adam"),
        (lambda: trace_ops(model, 0), "batch_size: 0"),
        (lambda: trace_ops(keras.Sequential([layers.Dense(1)])), "not built"),
    ]:
        with pytest.raises(ValueError, match=word):
            call()


def test_counted_says_how():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(3), layers.Dropout(0.5),
                              layers.Lambda(lambda x: x * 2.0)])
    assert [counted(call)[1] for call in tos.layer_calls(model)] == ["rule", "zero", "trace"]


# --- what is no data, and what nothing needs

class Positions(layers.Layer):
    """x sin(f): f is made when the layer is built, so that sin(f) is a constant."""

    def build(self, shape):
        self.f = keras.ops.arange(shape[-1], dtype="float32")
        self.built = True

    def call(self, x):
        return x * keras.ops.sin(self.f)


@pytest.mark.parametrize(("layer", "shape", "right"), [
    (Positions(), (3,), {"mul": 3}),
    (layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0]), (4, 3),
     {"add": 12, "div": 12}),
    (layers.Normalization(), (4, 3), {"add": 12, "div": 12, "sqrt": 3, "max": 3}),  # learnt
    (layers.AveragePooling2D(1, strides=2), (8, 8, 3), {}),  # the mean of one value is that value
    (layers.GlobalAveragePooling2D(), (1, 1, 5), {}),
    (layers.AveragePooling1D(2), (4, 3), {"add": 6, "div": 6}),
    (layers.Lambda(lambda x: keras.ops.where([True, True, True], x, 0.0)), (4, 3), {}),  # no choice
    (layers.Lambda(lambda x: keras.ops.where([True, False, True], x, 0.0)), (4, 3), {"select": 12}),
])
def test_constants_and_means_of_one_value(layer, shape, right):
    model = keras.Sequential([keras.Input(shape), layer])
    right = {("float32", op): n for op, n in right.items()}
    assert nonzero(tos.count_ops(model).sum()) == nonzero(trace_ops(model).sum()) == right


@pytest.mark.parametrize(("layer", "taps", "outputs"), [
    (layers.Conv2D(6, 3, groups=2), 9 * 2, 6 * 7 * 6),            # of 8 x 9 x 4, half a group each
    (layers.Conv1D(4, 3, dilation_rate=2), 3 * 4, 5 * 4),         # of 9 x 4
    (layers.Conv2D(4, (2, 3), dilation_rate=2), 6 * 4, 6 * 5 * 4),
    (layers.Conv3D(2, 2, dilation_rate=2), 8 * 4, 3 * 3 * 3 * 2),  # of 5 x 5 x 5 x 4
])
def test_a_gradient_has_the_macs_of_forward_for_the_kernel_and_for_the_input(layer, taps, outputs):
    """The first convolution, 1 x 1 of 4 channels, has no gradient of its input."""
    rank = layer.rank
    shape = {1: (9, 4), 2: (8, 9, 4), 3: (5, 5, 5, 4)}[rank]
    first = getattr(layers, f"Conv{rank}D")(4, 1)
    model = keras.Sequential([keras.Input(shape), first, layer])
    step = trace_ops(model, 2, "training", loss="mse", optimizer="sgd")["float32", "mac"]
    before, own = 2 * int(np.prod(shape)) * 4, 2 * taps * outputs
    assert step.groupby("part").sum().to_dict() == {
        "forward": before + own, "backward": before + 2 * own, "update": 0}


def test_a_gradient_that_nobody_takes_is_not_counted():
    """Of the image, of which a grouped convolution's gradient is computed in the same function."""
    model = keras.Sequential([keras.Input((8, 9, 4)), layers.Conv2D(6, 3, groups=2)])
    step = trace_ops(model, 2, "training", loss="mse", optimizer="sgd")["float32", "mac"]
    forward = 2 * 6 * 7 * 6 * 9 * 2
    assert step.groupby("part").sum().to_dict() == {
        "forward": forward, "backward": forward, "update": 0}


@pytest.mark.parametrize("step", [{}, {"phase": "training", "loss": "mse", "optimizer": "sgd"}])
def test_nothing_of_a_trace_stays_in_memory(step):
    """TensorFlow registers the gradients that code defines, SiLU's say, with their graphs."""
    import tensorflow as tf
    from tensorflow.python.framework.ops import gradient_registry

    @tf.custom_gradient
    def users(x):
        return x * 2, lambda upstream: upstream * 3

    class Silu(keras.layers.Layer):
        def call(self, x):
            return keras.ops.silu(x)

        def compute_output_shape(self, shape):
            return shape

    users_graph = tf.function(lambda x: tf.gradients(users(x), x)[0])
    assert users_graph(tf.constant(1.0)) == 3
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), Silu(), Silu()])
    before = set(gradient_registry.list())
    assert tos.count_ops(model, **step)["float32", "sigmoid"].sum() > 0
    assert set(gradient_registry.list()) == before
    assert users_graph(tf.constant([1.0]))[0] == 3  # traced anew
