"""What JAX counts against TensorFlow's trace, closed forms and plain functions; without TensorFlow.

Keras runs on JAX in a process of its own, in which TensorFlow cannot be imported.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import whole
from layer_cases import CASES, model_of

import tostoolkit as tos
from tostoolkit.counting.trace import TraceError

jax = pytest.importorskip("jax")
jnp = jax.numpy
F = "float32"

SOFTMAX = {"float32 div", "float32 mul", "float32 neg"}
BILINEAR = {"float32 add", "float32 mac", "float32 mul"}
AFFINE = {"float32 add", "float32 convert", "float32 div", "float32 mul", "float32 round",
          "int mac"}

#: Kinds that differ from TensorFlow -> phase -> the ops that do; all others are equal.
DIFFERENCES = {
    # x s + (-mean s + beta) on JAX; x s + (beta - mean s) on TensorFlow
    "BatchNormalization": {"inference": {"float32 neg"}, "training": {"float32 neg"}},
    # log |sum exp| of JAX's logsumexp, where several axes are one
    "Softmax": {"inference": {"float32 abs"}, "training": {"float32 abs"}},
    # Keras on JAX multiplies with matrices of weights; TensorFlow's kernel takes four neighbours
    "UpSampling2D": {"inference": BILINEAR, "training": BILINEAR},
    "Resizing": {"inference": BILINEAR, "training": BILINEAR},
    # where the slope is not 1, Keras on TensorFlow chooses once more
    "ELU": {"inference": {"float32 max", "float32 select"},
            "training": {"float32 max", "float32 select"}},
    # a gradient is dense on JAX
    **dict.fromkeys(("Embedding", "ReversibleEmbedding"), {"training": {"float32 add"}}),
    # a scan adds up the gradient of what each step reads, step by step
    **dict.fromkeys(("Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "GRU", "LSTM",
                     "SimpleRNN", "RNN"), {"training": {"float32 add"}}),
    # JAX derives the gradient of a softmax from its division; TensorFlow's is g y - y sum(g y)
    "Attention": {"training": SOFTMAX}, "AdditiveAttention": {"training": SOFTMAX},
    # and divides by the rate at which values are kept, where TensorFlow multiplies; Keras on JAX
    # refuses one case, in which values are of another width than keys
    "MultiHeadAttention": {"inference": {"cannot be traced"},
                           "training": SOFTMAX | {"float32 add", "cannot be traced"}},
    "GroupQueryAttention": {"training": SOFTMAX | {"float32 add"}},
    **dict.fromkeys(("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"),
                    {"training": {"float32 div", "float32 mul"}}),
    **dict.fromkeys(("RandomContrast", "RandomBrightness"),
                    {"training": {"float32 add", "float32 mul"}}),
    # an image is resampled by Keras on JAX, and by one kernel of TensorFlow's
    **dict.fromkeys(("RandomRotation", "RandomZoom", "RandomTranslation"),
                    {"training": AFFINE}),
    # a gradient goes through what a variable is assigned, which it does not on TensorFlow
    "SpectralNormalization": {"training": {
        "float32 add", "float32 div", "float32 mac", "float32 mul", "float32 neg"}},
    # a division that is guarded against zero is written out
    "Masking": {"training": {"float32 max", "float32 select"}},
    # TensorFlow adds up the kernel's gradients of a batch, which JAX has as one product
    "EinsumDense": {"training": {"float32 add"}},
}
#: Applications: as batch normalisation; a mean of one value divides by one; a normalisation's
#: constants; and, in training, differences are negated before they are summed, means are
#: multiplied with 1 / n, a silu's sigmoid is kept, and so on. Their MACs are equal.
IN_APPLICATIONS = {
    "inference": {"float32 neg", "float32 div", "float32 max", "float32 sqrt"},
    "training": {"float32 neg", "float32 div", "float32 max", "float32 sqrt", "float32 add",
                 "float32 mul", "float32 sigmoid"},
}


#: Kinds that are compared in every run of the tests; the others by make prove.
FEW = ("Dense", "Conv1D", "Conv2D", "DepthwiseConv2D", "BatchNormalization", "Normalization",
       "LSTM", "MultiHeadAttention", "Dropout", "Embedding", "Masking", "EinsumDense")


def python(*arguments):
    """Run Python under Keras on JAX and return the last line that it prints."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False,
        env={**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": os.pathsep.join(
            [str(Path(tos.__file__).parents[1]), str(Path(whole.__file__).parent)])})
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def few_on_jax():
    return json.loads(python(whole.__file__, *FEW))


@pytest.fixture(scope="module")
def on_jax():
    return json.loads(python(whole.__file__))


@pytest.fixture(scope="module")
def large_on_jax():
    return json.loads(python(whole.__file__, *whole.LARGE))


def differing(ours, theirs):
    assert len(ours) == len(theirs) > 0
    found = set()
    for one, other in zip(ours, theirs, strict=True):
        either = {"cannot be traced"} & (one.keys() | other.keys())
        found |= either or {key for key in one.keys() | other.keys()
                            if one.get(key) != other.get(key)}
    return found


@pytest.mark.parametrize("phase", ["inference", "training"])
@pytest.mark.parametrize("kind", [
    pytest.param(kind, marks=[] if kind in FEW else pytest.mark.prove)
    for kind, cases in CASES.items() if cases])
def test_layers_count_as_on_tensorflow(request, kind, phase):
    found = request.getfixturevalue("few_on_jax" if kind in FEW else "on_jax")
    counts = [whole.whole(model_of(kind, *case), phase) for case in CASES[kind]]
    assert differing(counts, found[kind][phase]) == DIFFERENCES.get(kind, {}).get(phase, set())


def check_application(found, name, phase):
    counts = whole.whole(whole.application(name), phase)
    (other,) = found[name][phase]
    assert counts["float32 mac"] == other["float32 mac"] > 0
    assert differing([counts], [other]) <= IN_APPLICATIONS[phase]


@pytest.mark.prove
@pytest.mark.parametrize("phase", ["inference", "training"])
@pytest.mark.parametrize("name", whole.SMALL)
def test_applications_count_as_on_tensorflow(on_jax, name, phase):
    check_application(on_jax, name, phase)


@pytest.mark.prove
@pytest.mark.parametrize("phase", ["inference", "training"])
@pytest.mark.parametrize("name", whole.LARGE)
def test_larger_applications_count_as_on_tensorflow(large_on_jax, name, phase):
    check_application(large_on_jax, name, phase)


def test_gradients_of_grouped_and_dilated_convolutions_by_hand(few_on_jax):
    """A layer that reads data has the gradient of its kernel alone: twice the forward pass."""
    grouped = 2 * 4 * 4 * 3 * (4 // 2)            # batch x pixels x filters x taps x channels
    assert few_on_jax["Conv1D"]["training"][1]["float32 mac"] == 2 * grouped
    dilated = 2 * (8 - 2) * (9 - 4) * 4 * (2 * 3) * 2
    assert few_on_jax["Conv2D"]["training"][1]["float32 mac"] == 2 * dilated
    assert few_on_jax["Conv2D"]["training"][2]["float32 mac"] == 2 * (2 * 6 * 7 * 6 * 9 * (4 // 2))


OWN = """
import json
from collections import Counter
import keras
import whole
import sys
sys.meta_path.insert(0, whole.NotInstalled())
import tostoolkit as tos
from tostoolkit.counting.count import count

class Mine(keras.layers.Layer):
    def call(self, x):
        return keras.ops.tanh(x) + jax_only(x)

    def compute_output_shape(self, shape):
        return shape

def jax_only(x):
    import jax.numpy as jnp
    return jnp.sin(x) * x ** 3

class Looping(keras.layers.Layer):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return keras.ops.fori_loop(0, 7, lambda i, y: self.inner(y), x)

class Bounded(keras.layers.Layer):
    def call(self, x):
        return keras.ops.while_loop(lambda i, y: i < 9, lambda i, y: (i + 2, keras.ops.exp(y)),
                                    (0, x))[1]

def chain(*stack):
    return keras.Sequential([keras.Input((5,)), *stack])

def row(table):
    return {f"{dtype} {op}": int(n) for (dtype, op), n in table.sum().items() if n}

sines = lambda call: Counter({("float32", "sin"): 1000 + call.outputs[0].size})
own = tos.OP_COUNTERS | {"Mine": sines}
mapped = keras.Sequential([keras.Input((3, 5)), keras.layers.TimeDistributed(Mine())])
step = dict(phase="training", loss="mse", optimizer="adam")
found = {
    "custom": row(tos.count_ops(chain(Mine()), 2)),
    "bounded": row(tos.count_ops(chain(Bounded()), 2)),
    "own in a loop": row(tos.count_ops(chain(Looping(Mine())), 2, counters=own)),
    "own, mapped": row(tos.count_ops(mapped, 2, counters=own)),
    "own, step": row(count(chain(Mine(), keras.layers.Dense(1)), 2, counters=own, **step)
                     .counts.xs("forward", level="part")),
}
with tos.abstract():
    large = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="a"),
                              keras.layers.Dense(3, name="b")])
table = tos.count_ops(large, 2, **step)["float32", "mac"]
found["step"] = {f"{layer} {part}": int(n) for (layer, part), n in table.items() if n}

class Student(keras.Model):
    def __init__(self):
        super().__init__(name="student")
        self.out = keras.layers.Dense(4, use_bias=False)
        self.teacher = keras.Sequential([
            keras.Input((8,)), keras.layers.Dense(64, use_bias=False),
            keras.layers.Dense(4, use_bias=False)])
        self.teacher.trainable = False

    def call(self, x):
        return self.out(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(keras.ops.square(self.teacher(x) - y_pred))

class Twice(Student):
    def train_step(self, state, data):
        import jax
        trained, fixed, slots, metrics = state

        def loss(trained, fixed):
            outputs, fixed = self.stateless_call(trained, fixed, data[0])
            return (outputs ** 2).mean(), fixed

        def both(trained):
            first, new = loss(trained, fixed)
            return first + loss([-v for v in trained], new)[0], new

        (value, fixed), gradients = jax.value_and_grad(both, has_aux=True)(trained)
        trained, slots = self.optimizer.stateless_apply(slots, gradients, trained)
        return {"loss": value}, (trained, fixed, slots, metrics)

def macs(model, *args, **kwargs):
    return int(tos.count_ops(model, *args, **kwargs).xs("mac", axis=1, level="op").sum().sum())

for cls in (Student, Twice):
    model = cls()
    model(keras.ops.ones((1, 8)))
    model.compile(keras.optimizers.SGD())
    before = [set(vars(x)) for x in (model, model.optimizer, *model.metrics)]
    found[cls.__name__] = macs(model, 1, "training", input_shape=(8,))
    found[cls.__name__ + " is as before"] = before == [
        set(vars(x)) for x in (model, model.optimizer, *model.metrics)]

class CalledAgain(keras.Model):
    def __init__(self, model):
        super().__init__(model.inputs[0], model.outputs[0])
        self.again = model

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return super().compute_loss(x, y, self.again(x), sample_weight)

again = CalledAgain(keras.Sequential([
    keras.Input((8,)), keras.layers.Dense(5, use_bias=False), keras.layers.BatchNormalization(),
    keras.layers.Dense(4, use_bias=False), keras.layers.BatchNormalization(),
    keras.layers.Dense(3, use_bias=False)]))
found["called again"] = macs(again, 2, "training", loss="mse", optimizer="sgd")
half = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, dtype="mixed_float16")])
scaled = count(half, 2, phase="training", loss="mse",
               optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()))
found["update"] = row(scaled.counts.xs("update", level="part"))
found["notes"] = scaled.notes
words = keras.Input((6,), dtype="int32")
found["masked"] = row(tos.count_ops(keras.Model(
    words, keras.layers.LSTM(4)(keras.layers.Embedding(10, 3, mask_zero=True)(words)))))
shared = keras.Input((6,))
hidden = keras.layers.Dense(5)(shared)
heads = {"a": keras.layers.Dense(3, name="a")(hidden), "b": keras.layers.Dense(4, name="b")(hidden)}
several = keras.Model(shared, heads)
several.compile("sgd", loss={"a": "mse", "b": "mae"}, loss_weights={"a": 0.3, "b": 2.0})
found["several losses"] = macs(several, 2, "training")
found["values"] = [v.value is not None if v._value is not None else None for v in large.variables]
print(json.dumps(found))
"""


def test_custom_layers_own_counters_and_steps_on_jax():
    found = json.loads(python("-c", OWN))
    # x^3 is two products
    assert found["custom"] == {"float32 tanh": 10, "float32 sin": 10, "float32 mul": 30,
                               "float32 add": 10}
    assert found["bounded"] == {"float32 exp": 5 * 10}  # i = 0, 2, 4, 6, 8
    assert found["own in a loop"] == {"float32 sin": 7 * 1010}
    assert found["own, mapped"] == {"float32 sin": 3 * 1010}
    assert found["own, step"]["float32 sin"] == 1010
    assert "float32 tanh" not in found["own, step"]
    assert found["step"] == {"a forward": 64, "b forward": 24, "a backward": 64, "b backward": 48}
    assert found["Student"] == 2 * 8 * 4 + 8 * 64 + 64 * 4  # forward, gradient; the teacher
    assert found["Twice"] == 2 * (2 * 8 * 4)  # forward and gradient, both twice
    # as on TensorFlow (test_compiled.py); but the moving statistics that the second call is made
    # with are results of the first, which JAX derives by as well, so through both
    a, b, c = 8 * 5, 5 * 4, 4 * 3
    assert found["called again"] == 2 * (a + b + a + b + c + a + 2 * b + 2 * c + a + 2 * b)
    assert found["Student is as before"]
    assert found["Twice is as before"]
    assert found["update"]["float32 sqrt"] == 5 * 3 + 3 + 2  # Adam: one a weight, one a variable
    assert any("dearer branch" in note for note in found["notes"])  # steps that are left out
    assert found["masked"]["float32 mac"] == 6 * (3 + 4) * 16
    assert found["masked"]["float32 select"] == 6 * 3 * 4  # of each step's output, and both states
    # 2 rows: forward, and each kernel's gradient; those of what goes into the two last layers
    assert found["several losses"] == 2 * (2 * 6 * 5 + 3 * 5 * (3 + 4))
    assert found["values"] == [None] * 4  # no weight was allocated


def ops(f, *arguments, batch_size=2, **kwargs):
    """Return {op: n} of a function, and check that all is in one dtype."""
    table = tos.count_ops(f, batch_size, input_shape=list(arguments), **kwargs)
    assert set(table.columns.get_level_values("dtype")) <= {F}
    return {op: int(n) for (_, op), n in table.sum().items() if n}


def spec(*shape, dtype=F):
    return jax.ShapeDtypeStruct(shape, dtype)


def conv(x, k, strides=(1, 1), padding="VALID", groups=1, dilation=(1, 1), inner=(1, 1)):
    return jax.lax.conv_general_dilated(
        x, k, strides, padding, inner, dilation, ("NHWC", "HWIO", "NHWC"), groups)


def repeated(x):
    return jax.lax.while_loop(lambda c: (c[0] > 1) & (c[0] >= -5),
                              lambda c: (c[0] - 3, jnp.exp(c[1])), (10, x))[1]


def nested(x):
    return jax.lax.fori_loop(0, 3, lambda i, y: jax.lax.scan(
        lambda c, _: (jnp.sin(c), None), y, None, length=5)[0] + i, x)


#: A function of arguments -> its ops, from its definition; a batch is of two.
FUNCTIONS = {
    "products": (lambda x, w: x @ w, [(8,), spec(8, 4)], {"mac": 2 * 8 * 4}),
    "einsum, batched": (partial(jnp.einsum, "bij,bjk->bik"), [(3, 4), (4, 5)],
                        {"mac": 2 * 3 * 4 * 5}),
    "softmax": (jax.nn.softmax, [(6,)], {"max": 10, "add": 12 + 10, "exp": 12, "div": 12}),
    "log-softmax": (jax.nn.log_softmax, [(6,)],
                    {"max": 10, "add": 12 + 10 + 12, "exp": 12, "log": 2}),
    "gelu": (partial(jax.nn.gelu, approximate=False), [(3,)],
             {"mul": 18, "neg": 6, "erf": 6}),
    "softplus": (jax.nn.softplus, [(3,)], {"exp": 6, "log": 6}),
    "leaky relu": (jax.nn.leaky_relu, [(3,)], {"mul": 6, "max": 6}),
    "integer powers": (lambda x: x**2 + x**5 + x**-1, [(3,)],
                       {"mul": 6 + 3 * 6, "div": 6, "add": 12}),
    "a power that is known": (lambda x: jnp.power(x, 3.0), [(3,)], {"mul": 12}),
    "one that is not": (lambda x, y: jnp.power(jnp.abs(x), y), [(3,), (3,)],
                        {"abs": 6, "pow": 6}),
    "constants that change nothing": (lambda x: x * 1.0 + 0.0 - jnp.zeros(()), [(3,)], {}),
    "such constants, moved": (lambda x: x * jnp.concatenate(
        [jnp.ones((3, 9)), jnp.ones((3, 9))], 1).T[:1] + jnp.zeros((3, 4)).max(1), [(3,)], {}),
    "what no output needs": (lambda x: (jnp.exp(x), x)[1], [(3,)], {}),
    "what no input reaches": (lambda x: x + jnp.exp(jnp.arange(3.0)), [(3,)], {"add": 6}),
    "places to look up": (lambda x, i: x[i % 3], [(3,), spec(4, dtype="int32")], {}),
    "one-hot": (lambda i: jax.nn.one_hot(i, 5), [spec(4, dtype="int32")], {}),
    "mean": (partial(jnp.mean, axis=-1), [(6,)], {"add": 10, "div": 2}),
    "mean and variance": (lambda x: (jnp.mean(x, -1), jnp.var(x, -1)), [(6,)],
                          {"add": 10 + 12 + 10, "mul": 12, "div": 4}),
    "cond, the dearer": (lambda x: jax.lax.cond(x.sum() > 0, jnp.exp, lambda y: y + 1 + y, x),
                         [(3,)], {"add": 5 + 12, "max": 1}),
    "a loop down to a bound": (repeated, [(3,)], {"exp": 3 * 6}),  # at 10, 7, 4
    "loops in loops": (nested, [(3,)], {"sin": 3 * 5 * 6, "add": 3 * 6}),
    "mapped": (jax.vmap(lambda x: jnp.tanh(x).sum()), [(3,)], {"tanh": 6, "add": 4}),
    "sorted": (partial(jnp.sort, axis=-1), [(9,)], {"max": 18 * 4}),  # ceil(log2 9) a value
    # Golub and Van Loan: P A = L U, L Y = P B with a unit diagonal, U X = Y, of 3 x 3, 2 columns
    "solve": (jnp.linalg.solve, [(3, 3), (3, 2)],
              {"mac": 2 * (5 + 2 * 3 + 2 * 3), "div": 2 * (3 + 2 * 3), "max": 2 * 3, "abs": 2 * 5}),
    "cholesky": (partial(jnp.linalg.cholesky, symmetrize_input=False), [(3, 3)],
                 {"mac": 2 * 4, "div": 2 * 3, "sqrt": 2 * 3, "select": 2 * 9}),
    # N / 2 log2 N butterflies, of 4 + 6 multiplications and additions each, half of it if real
    "transform": (lambda x: jnp.abs(jnp.fft.rfft(x)), [(8,)],
                  {"mul": 2 * 24 + 2 * 2 * 5, "add": 2 * 36 + 2 * 5, "sqrt": 2 * 5}),
    "search": (jnp.searchsorted, [spec(7), (5,)], {"max": 3 * 10}),
    "the largest": (lambda x: jax.lax.top_k(x, 2)[0], [(9,)], {"max": 18}),
    "draws": (lambda x, seed: x + jax.random.normal(jax.random.key(seed), (2, 3)),
              [(3,), spec(dtype="uint32")], {"random": 6, "add": 6}),
    "draws with a key": (lambda x, key: x + jax.random.uniform(key, (2, 3)),
                         [(3,), spec(dtype=jax.random.key(0).dtype)], {"random": 6, "add": 6}),
    "draws, each from half a key": (
        lambda x, key: sum(jax.random.uniform(k, (2, 3)) for k in jax.random.split(key)) * x,
        [(3,), spec(2, dtype="uint32")], {"random": 12, "add": 6, "mul": 6}),
    # which is the same in each call
    "draws from a constant": (
        lambda x: x + jnp.tanh(jax.random.normal(jax.random.key(0), (2, 3))), [(3,)], {"add": 6}),
    "draws from a constant, in steps": (
        lambda x: jax.lax.fori_loop(0, 4, lambda i, y: y * jax.random.uniform(
            jax.random.fold_in(jax.random.key(0), i)), x), [(3,)], {"mul": 4 * 6}),
    # (a b) c at 2 3 5 + 2 5 4, as a (b c) takes 3 5 4 + 2 3 4
    "a product of three": (lambda a, b, c: jnp.einsum("ij,jk,kl->il", a, b, c),
                           [(3,), spec(3, 5), spec(5, 4)], {"mac": 70}),
    "a product of two constants": (
        lambda a: jnp.einsum("kl,ij,jk->il", a, jnp.ones((2, 3)), jnp.ones((3, 5))),
        [spec(5, 4)], {"mac": 40}),
    "convolution": (conv, [(8, 7, 3), spec(3, 3, 3, 4)], {"mac": 2 * 6 * 5 * 4 * 9 * 3}),
    "taps on padding": (partial(conv, padding="SAME", strides=(2, 2)),
                        [(8, 7, 3), spec(3, 3, 3, 4)], {"mac": 2 * 4 * 4 * 4 * 9 * 3}),
    "an image smaller than the kernel": (partial(conv, padding="SAME"),
                                         [(1, 1, 3), spec(3, 3, 3, 4)], {"mac": 2 * 4 * 9 * 3}),
    "groups, dilated": (partial(conv, groups=2, dilation=(2, 2)), [(9, 9, 4), spec(3, 3, 2, 6)],
                        {"mac": 2 * 5 * 5 * 6 * 9 * 2}),
    "transposed": (partial(conv, padding=((2, 2), (2, 2)), inner=(2, 2)),
                   [(4, 5, 3), spec(3, 3, 3, 4)], {"mac": 2 * 4 * 5 * 9 * 3 * 4}),
    "transposed, stride 1": (partial(conv, padding=((2, 2), (2, 2))),
                             [(4, 5, 3), spec(3, 3, 3, 4)], {"mac": 2 * 4 * 5 * 9 * 3 * 4}),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_counts_by_its_definition(name):
    f, arguments, expected = FUNCTIONS[name]
    assert ops(f, *arguments) == expected
    assert ops(jax.jit(f), *arguments) == expected
    if "loop" not in name:
        assert ops(jax.checkpoint(f), *arguments) == expected


@pytest.mark.parametrize(("options", "image"), [
    ({}, (8, 7, 3)), ({"padding": "SAME"}, (8, 7, 3)), ({"strides": (2, 2)}, (9, 8, 3)),
    ({"padding": "SAME", "strides": (2, 2)}, (8, 7, 3)), ({"dilation": (2, 2)}, (9, 9, 3)),
    ({"groups": 3}, (8, 7, 3)), ({"padding": "SAME"}, (1, 1, 3)),
    ({"padding": ((2, 2), (2, 2)), "inner": (2, 2)}, (5, 4, 3)),
    ({"padding": ((2, 2), (2, 2))}, (5, 4, 3))])
def test_each_gradient_of_a_convolution_costs_as_much_as_it(options, image):
    """Every product of the forward pass is one of each gradient; no zeros are multiplied."""
    kernel = spec(3, 3, 3 // options.get("groups", 1), 6)
    apply = partial(conv, **options)
    forward = ops(apply, image, kernel)["mac"]
    both = ops(lambda x, k, g: jax.vjp(apply, x, k)[1](g), image, kernel,
               jax.eval_shape(apply, spec(2, *image), kernel))
    assert both["mac"] == 2 * forward


def mlp(params, x):
    for i, (w, b) in enumerate(params):
        with jax.named_scope(f"layer{i}"):
            x = jax.nn.relu(x @ w + b)
    return x


PARAMS = [(spec(8, 16), spec(16)), (spec(16, 4), spec(4))]


def test_rows_are_named_scopes_and_gradients_have_their_own():
    table = tos.count_ops(mlp, 5, input_shape=[PARAMS, (8,)])
    assert table.index.tolist() == [("layer0", "scope"), ("layer1", "scope")]
    assert table.loc["layer0"].iloc[0].to_dict() == {
        (F, "mac"): 5 * 8 * 16, (F, "add"): 5 * 16, (F, "max"): 5 * 16}

    def loss(params, x):
        return mlp(params, x).sum()

    table = tos.count_ops(jax.grad(loss), 5, input_shape=[PARAMS, (8,)])[F, "mac"]
    assert {layer: n for (layer, kind), n in table.items() if kind == "gradient" and n} == {
        "layer1 (gradient)": 2 * 5 * 16 * 4, "layer0 (gradient)": 5 * 8 * 16}


def test_reports_and_comparisons_take_functions():
    report = tos.transistor_ops(mlp, "flops", 5, input_shape=[PARAMS, (8,)])
    macs = 5 * (8 * 16 + 16 * 4)
    assert (report.model, report.macs, report.total) == ("mlp", macs, 2 * macs + 5 * 20)
    parameters = 8 * 16 + 16 + 16 * 4 + 4
    assert report.bytes_moved == 4 * (parameters + 5 * 8 + 5 * 4)
    assert len(str(report)) > 0
    assert report.coverage == {"trace": 2}
    assert tos.compare([jnp.tanh, jnp.exp], "cmos", input_shape=(8,)).index.tolist() == [
        "tanh", "exp"]


def test_views_of_a_report_take_functions():
    """A named scope is a layer; the bytes of the whole have a row of their own."""
    pytest.importorskip("matplotlib")
    report = tos.transistor_ops(mlp, "cmos", 5, input_shape=[PARAMS, (8,)])
    shares = report.shares.set_index(["by", "kind"]).share
    costs = tos.load_cost_table("cmos").costs
    by_hand = {"mac": 5 * (8 * 16 + 16 * 4), "add": 5 * 20, "max": 5 * 20}
    by_hand = {op: n * costs[F, op] for op, n in by_hand.items()}
    assert shares["op"].to_dict() == pytest.approx(
        {op: cost / sum(by_hand.values()) for op, cost in by_hand.items()})
    assert shares["layer"].to_dict() == pytest.approx({"scope": 1.0, "function": 0.0})
    assert "dearest layers (3 of 3)" in str(report)
    html = report._repr_html_()
    assert all(name in html for name in ("layer0", "layer1", "mlp"))
    left, right = report.plot().axes
    assert [tick.get_text() for tick in left.get_yticklabels()] == [
        f"{op} {F}" for op in sorted(by_hand, key=by_hand.get, reverse=True)]
    assert [tick.get_text() for tick in right.get_yticklabels()] == ["layer0", "layer1"]
    assert report.under("flops").total == 2 * report.macs + 5 * 20
    idle = tos.transistor_ops(lambda x: x.T, "cmos", 5, input_shape=(8,))
    assert (idle.total, idle.shares.share.sum()) == (0, 0)
    assert "nothing is computed" in str(idle)


@pytest.mark.parametrize("shape", [8, (8,), [(8,)], spec(2, 8), [jnp.zeros((2, 8))],
                                   {"x": (8,)}, {"x": spec(2, 8)}])
def test_an_argument_may_be_given_in_many_ways(shape):
    def f(x):
        return jnp.tanh(x)

    assert tos.count_ops(f, 2, input_shape=shape).sum().to_dict() == {(F, "tanh"): 16}


def test_arguments_that_are_no_arrays_are_handed_on():
    def f(batch, scale, mode):
        return batch["a"] * scale if mode == "fast" else jnp.exp(batch["a"] * scale)

    given = [{"a": (8,), "b": (3,)}, 2.0, "fast"]
    assert tos.count_ops(f, 2, input_shape=given).sum().to_dict() == {(F, "mul"): 16}


@pytest.mark.parametrize(("count", "error", "text"), [
    (lambda: tos.count_ops(mlp), ValueError, "input_shape: 'mlp' is not a Keras model"),
    (lambda: tos.count_ops(mlp, phase="training", input_shape=8), ValueError,
     "jax.value_and_grad"),
    (lambda: tos.count_ops(jnp.tanh, 0, input_shape=8), ValueError, "batch_size: 0"),
    (lambda: tos.count_ops(lambda x: x if x.sum() > 0 else -x, input_shape=8), TraceError,
     "its code raised TracerBoolConversionError"),
    (lambda: tos.count_ops(lambda x: jax.lax.while_loop(
        lambda y: y.sum() > 0, lambda y: y - 1, x), input_shape=8), TraceError,
     "runs until the data end it"),
    (lambda: tos.count_ops(jax.scipy.special.gammaln, input_shape=8), TraceError,
     "the primitive lgamma at 'the top' has no counter"),
    (lambda: tos.layer_calls(jnp.tanh), TypeError, "tos.count_ops"),
    (lambda: tos.count_ops(object()), TypeError, "pass a keras.Model"),
    (lambda: tos.count_ops(Counter, input_shape=8), TypeError, "model: Counter is a class"),
    (lambda: tos.count_ops(jnp.tanh, input_shape=(-8,)), ValueError, "input_shape: (-8,)"),
    (lambda: tos.count_ops(lambda x: 1 / 0, input_shape=8), TraceError, "ZeroDivisionError"),
    (lambda: tos.count_ops(lambda x: x[x > 0], input_shape=8), TraceError, "boolean indices"),
    (lambda: tos.count_ops(lambda x, w: x @ w, input_shape=[8, spec(9, 4)]), TraceError,
     "got (8,) and (9,)"),
])
def test_what_cannot_be_counted_says_why(count, error, text):
    with pytest.raises(error, match=re.escape(text)):
        count()


def test_no_count_and_no_byte_wraps():
    table = tos.count_ops(jnp.tanh, 10**13, input_shape=(10**7,))
    assert table[F, "tanh"].sum() == 10**20
    moved = tos.count_bytes(jnp.tanh, 10**13, input_shape=(10**7,))
    assert moved["read_bytes"].sum() == moved["written_bytes"].sum() == 4 * 10**20


def test_without_jax_a_function_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(TraceError, match="pip install jax"):
        tos.count_ops(mlp, input_shape=8)


def test_tensorflow_is_there_to_compare_with():
    assert importlib.util.find_spec("tensorflow")
    assert Counter(DIFFERENCES).keys() <= CASES.keys()
