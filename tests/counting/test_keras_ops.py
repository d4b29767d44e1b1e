"""All public functions of ``keras.ops``, as bare operators and in a layer's ``call``."""

from collections import Counter

import keras
import numpy as np
import pytest
from keras_ops_cases import (
    EXACT,
    KERAS,
    MOVES,
    NOT_BARE,
    REFUSED,
    image,
)
from operator_models import counted, expected, model_of
from traced import no_counter

import tostoolkit as tos
from tostoolkit.counting.backends.tensorflow_graph import OpCounts
from tostoolkit.counting.backends.tensorflow_ops import TRACE_COUNTERS
from tostoolkit.counting.count import count
from tostoolkit.counting.rules import NoRule
from tostoolkit.counting.trace import TraceError, trace_call
from tostoolkit.counting.walk import layer_calls


def in_keras(name):
    module, _, function = name.rpartition(".")
    return hasattr(image if module else keras.ops, function)


def public():
    """Names of the public functions of keras.ops and of its images."""
    return {prefix + name for prefix, module in (("", keras.ops), ("image.", keras.ops.image))
            for name in dir(module) if callable(getattr(module, name)) and name[0] != "_"}


def test_every_function_of_keras_ops_is_decided():
    """A function that a new Keras brings is put where it belongs; each stands in one place."""
    names = [*EXACT, *MOVES, *REFUSED]
    assert len(set(names)) == len(names)
    assert public() - set(names) == set()


def test_all_modules_of_keras_ops_are_walked():
    walked = set(dir(keras.ops)) | set(dir(keras.ops.image))
    for module in vars(keras.ops).values():
        if hasattr(module, "__path__") or type(module) is type(keras):
            assert {n for n in dir(module) if n[0] != "_"} <= walked, module


@pytest.mark.parametrize("place", ["bare", "layer"])
@pytest.mark.parametrize("name", [*filter(in_keras, EXACT)])
def test_function_counts_its_closed_form(name, place):
    if place == "bare" and name in NOT_BARE:
        with pytest.raises(Exception):  # noqa: B017, PT011 - Keras' own, of any kind
            counted(model_of(*EXACT[name][:2], place))
        return
    assert counted(model_of(*EXACT[name][:2], place)) == expected(EXACT[name][2])


@pytest.mark.parametrize("place", ["bare", "layer"])
@pytest.mark.parametrize("name", [*filter(in_keras, MOVES)])
def test_function_moves_data(name, place):
    assert counted(model_of(*MOVES[name], place)) == {}


@pytest.mark.parametrize("place", ["bare", "layer"])
@pytest.mark.parametrize("name", [*filter(in_keras, REFUSED)])
def test_function_is_refused_for_a_reason(name, place):
    function, shapes, says, _ = REFUSED[name]
    try:
        model = model_of(function, shapes, place)
    except Exception:
        assert says == KERAS or place == "layer"
        return
    with pytest.raises(ValueError, match=says):
        counted(model)


def rule_of(call):
    """Return what the rule of a call counts, None where it leaves the call to the trace."""
    try:
        return tos.OP_COUNTERS[call.kind](call) if call.kind in tos.OP_COUNTERS else None
    except NoRule:
        return None


@pytest.mark.parametrize("name", [*filter(in_keras, [*EXACT, *MOVES])])
def test_rule_equals_trace(name):
    """By kind and dtype, of each operator that has a rule: the trace is forced."""
    if name in NOT_BARE or name == "conv_transpose":
        pytest.skip("Keras does not run it in a graph")
    model = model_of(*(EXACT | MOVES)[name][:2], "bare")
    for call in layer_calls(model, model.inputs[0].shape[0]):
        rule = rule_of(call)
        assert rule is None or rule == trace_call(call, no_counter).counts, call.kind


def traced_or_refused(call, refused):
    """Return what the trace counts of a call, or `refused` where Keras does not run it at all."""
    try:
        return trace_call(call, no_counter).counts
    except TraceError as error:
        if "its code raised" in str(error):
            return refused
        raise


#: Operator -> how many tensors it takes, of those that have a rule and take any dtype.
OPERANDS = {
    **dict.fromkeys(("add", "subtract", "multiply", "divide", "mod", "maximum", "minimum", "power",
                     "equal", "less", "greater_equal", "logical_and", "arctan2", "matmul", "kron"),
                    2),
    **dict.fromkeys(("square", "sqrt", "rsqrt", "exp", "expm1", "log", "sin", "sign", "negative",
                     "abs", "floor", "reciprocal", "erf", "sum", "mean", "max", "min", "prod",
                     "argmax", "logical_not", "relu", "gelu", "softmax", "sigmoid", "silu",
                     "softplus", "log_softmax", "celu", "sparsemax", "leaky_relu", "elu"), 1)}


@pytest.mark.parametrize("name", OPERANDS)
def test_rule_knows_the_dtype_that_keras_computes_in(name):
    """Rule = trace or no rule, for every pair of dtypes; some have a rule in float32 alone."""
    dtypes = ("float32", "float16", "bfloat16", "float64", "int32", "int8", "bool")
    ruled = 0
    for first in dtypes:
        for second in dtypes if OPERANDS[name] == 2 else (None,):
            shapes = [((4, 4), d) for d in (first, second) if d]
            try:
                call, = layer_calls(model_of(getattr(keras.ops, name), shapes, "bare"), 4)
            except (TypeError, ValueError):
                continue  # not one call: Keras does not take these, or converts them first
            rule = rule_of(call)
            if rule is not None:
                ruled += 1
                assert rule == traced_or_refused(call, rule), (first, second)
    assert ruled or name in ("argmax", "power") or name.startswith("logical")


x = (4, 3)


@pytest.mark.parametrize(("function", "shapes", "counts"), [
    # a constant that changes nothing, on either side, a number or an array
    (lambda x: x + 0, (x,), {}), (lambda x: 0.0 + x, (x,), {}), (lambda x: x - 0, (x,), {}),
    (lambda x: x * 1, (x,), {}), (lambda x: 1 * x, (x,), {}), (lambda x: x / 1.0, (x,), {}),
    (lambda x: x * keras.ops.ones((3,)), (x,), {}), (lambda x: keras.ops.power(x, 1), (x,), {}),
    # and those that do
    (lambda x: 0 - x, (x,), {"add": 12}), (lambda x: 1 / x, (x,), {"div": 12}),
    (lambda x: x + keras.ops.ones((3,)), (x,), {"add": 12}), (lambda x: 2 * x, (x,), {"mul": 12}),
    (lambda x: x * -1, (x,), {"mul": 12}), (lambda x: x // 2.0, (x,), {"div": 12, "round": 12}),
    # whole powers are products: x^2, x^3 = x^2 x, x^10 = (x^2 x^2 x)^2, 1 / x^2; roots are roots
    (lambda x: keras.ops.power(x, 2), (x,), {"mul": 12}), (lambda x: x**3, (x,), {"mul": 24}),
    (lambda x: x**10, (x,), {"mul": 48}), (lambda x: x**-2, (x,), {"mul": 12, "div": 12}),
    (lambda x: x**0.5, (x,), {"sqrt": 12}), (lambda x: x**-0.5, (x,), {"rsqrt": 12}),
    (lambda x: x**2.5, (x,), {"pow": 12}), (lambda x: 2.0**x, (x,), {"pow": 12}),
    # promotion
    (lambda x: keras.ops.where(x > 0, x, x * 2.0), (x,), {"max": 12, "mul": 12, "select": 12}),
    (keras.ops.add, (x, (x, "int32")), {"int32 convert": 12, "add": 12}),
    (keras.ops.divide, ((x, "int8"), (x, "int8")),
     {"int8 convert": 24, "div": 12}),
    (lambda a: keras.ops.mean(a, axis=0), ((x, "bool"),),
     {"bool convert": 12, "add": 9, "div": 3}),
    (lambda a, b: keras.ops.where(a > b, a, 0.0), ((x, "int32"), (x, "int32")),
     {"int32 max": 12, "int32 convert": 12, "select": 12}),
    # axes: negative, several, none of them, all; kept; broadcasting on both sides; no axis at all
    (lambda x: keras.ops.sum(x, axis=-2), (x,), {"add": 9}),
    (lambda x: keras.ops.mean(x, axis=(0, 1), keepdims=True), (x,), {"add": 11, "div": 1}),
    (lambda x: keras.ops.max(x, axis=None), (x,), {"max": 11}),
    (lambda x: keras.ops.sum(x, axis=()), (x,), {}),
    (lambda x: keras.ops.max(x, initial=0.0), (x,), {"max": 12}),
    (lambda a, b: a * b, ((4, 1, 3), (4, 5, 1)), {"mul": 60}),
    (lambda x: keras.ops.sqrt(keras.ops.sum(x)), (x,), {"add": 11, "sqrt": 1}),
    (lambda x: keras.ops.cumsum(x, axis=-1), (x,), {"add": 8}),
    (lambda x: keras.ops.softmax(x, axis=0), (x,), {"max": 9, "add": 21, "exp": 12, "div": 12}),
    (lambda x: keras.ops.celu(x, alpha=2.0), (x,),
     {"max": 24, "div": 12, "exp": 12, "mul": 12, "add": 12}),
    (lambda x: keras.ops.top_k(x, 1), (x,), {"max": 12}),
    # each with each of five, of which any
    (lambda x: keras.ops.isin(x, np.arange(5.0, dtype="float32"), assume_unique=True), (x,),
     {"max": 12 * 5, "bool logic": 12 * 4}),
    (lambda x: keras.ops.sort(x, axis=0), (x,), {"neg": 24, "max": 24}),
    (lambda x: keras.ops.take(x, [0, -1], axis=1), (x,), {}),
    (lambda a, b: keras.ops.take(a, b, axis=0), (x, ((4,), "int32")),  # negative ones wrap
     {"int32 max": 4, "int32 add": 4, "int32 select": 4}),
    # contracted as TensorFlow orders it: the second and the third, then the first with them
    (lambda a, b, c: keras.ops.einsum("ij,ijk,ikl->il", a, b, c), (x, (4, 3, 5), (4, 5, 2)),
     {"mac": 4 * 3 * 5 * 2 + 4 * 3 * 2}),
    (lambda a: keras.ops.image.resize(a, (12, 4), interpolation="nearest"), ((2, 6, 8, 3),), {}),
    (lambda a: keras.ops.image.resize(a, (12, 4), interpolation="bicubic"), ((2, 6, 8, 3),),
     {"mul": 20 * 288, "add": 15 * 288}),
    # triangles of half-width 2 over 8 -> 4: 4 taps, of which the border takes 3; 2 over 6 -> 12,
    # of which it takes 1
    (lambda a: keras.ops.image.resize(a, (12, 4), antialias=True), ((2, 6, 8, 3),),
     {"mac": 2 * 3 * ((2 + 10 * 2) * 8 + (3 + 4 + 4 + 3) * 12)}),
    (lambda a: keras.ops.image.affine_transform(
        a, np.eye(1, 8, dtype="float32"), interpolation="nearest"), ((1, 6, 8, 3),), {}),
])
def test_operator_by_hand(function, shapes, counts):
    for place in ("bare", "layer"):
        assert counted(model_of(function, shapes, place)) == expected(counts), place


#: Shapes of the operands of a product of three: TensorFlow (opt_einsum, greedily) joins first those
#: two whose product is smallest against them. Of the first three, a b has 10 - 6 - 15 = -11
#: elements more than a and b, b c 12 - 15 - 20 = -23: b c first, 3 5 4 = 60, then 2 3 4 = 24. That
#: is 84, though (a b) c were 2 3 5 + 2 5 4 = 70; which is what JAX and PyTorch run.
IN_ROW, ELSEWHERE = ((2, 3), (3, 5), (5, 4)), ((5, 4), (2, 3), (3, 5))
BATCHED = ((4, 3), (4, 3, 5), (4, 5, 2))  # -24 and -52: b c first, 4 3 5 2 = 120, then 24


@pytest.mark.parametrize(("equation", "shapes", "data", "macs"), [
    # what is constant is multiplied once and for all: of data in a alone there is left a (b c)
    ("ij,jk,kl->il", IN_ROW, "a", 24), ("ij,jk,kl->il", IN_ROW, "b", 84),
    ("ij,jk,kl->il", IN_ROW, "c", 84),
    ("kl,ij,jk->il", ELSEWHERE, "a", 84), ("kl,ij,jk->il", ELSEWHERE, "b", 24),
    ("kl,ij,jk->il", ELSEWHERE, "c", 84),
    *(("ij,ijk,ikl->il", BATCHED, data, 24 if data == "a" else 144)
      for data in ("a", "b", "c", "ab", "ac", "bc", "abc")),
])
def test_product_of_three_counts_as_tensorflow_orders_it(equation, shapes, data, macs):
    def product(*tensors):
        given = iter(tensors)
        return keras.ops.einsum(equation, *(
            next(given) if name in data else np.ones(shape, "float32")
            for name, shape in zip("abc", shapes, strict=True)))

    of_data = [shape for name, shape in zip("abc", shapes, strict=True) if name in data]
    for place in ("bare", "layer"):
        assert counted(model_of(product, of_data, place)) == {("float32", "mac"): macs}, place


def test_dilated_convolution_in_mixed_precision_counts_what_it_makes():
    layer = keras.layers.Conv1D(8, 3, dilation_rate=2, padding="same", dtype="mixed_float16")
    x = keras.Input((50, 4))
    counts = tos.count_ops(keras.Model(x, layer(x)), 2).sum()
    assert counts["float16", "mac"] == 2 * 50 * 8 * 3 * 4


@pytest.mark.parametrize(("name", "source"), [pair for pair in (
    ("cholesky", "Golub and Van Loan"), ("svd", "Golub and Van Loan"), ("fft", "Cooley and Tukey"),
    ("sort", "Knuth"), ("searchsorted", "Knuth"), ("i0", "Abramowitz and Stegun"))
    if in_keras(pair[0])])
def test_what_a_library_chooses_says_so(name, source):
    notes = count(model := model_of(*EXACT[name][:2], "bare"), model.inputs[0].shape[0]).notes
    assert any(f"counted by its standard algorithm ({source}" in note and "library" in note
               for note in notes)


def loop(condition, body, *start):
    """Return a function of x that runs a loop on counters that start there, and x."""
    def function(x):
        counters = tuple(keras.ops.convert_to_tensor(n) for n in start)
        return keras.ops.while_loop(condition, body, (*counters, x))[-1]
    return function


tanh, fori, logical_and = keras.ops.tanh, keras.ops.fori_loop, keras.ops.logical_and


@pytest.mark.parametrize(("function", "steps"), [
    (loop(lambda i, x: i > 0, lambda i, x: (i - 2, tanh(x)), 7), 4),
    (loop(lambda i, x: i <= 6, lambda i, x: (i + 2, tanh(x)), 0), 4),
    (loop(lambda i, x: 6 >= i, lambda i, x: (2 + i, tanh(x)), 0), 4),  # noqa: SIM300
    (loop(lambda i, x: keras.ops.not_equal(i, 9), lambda i, x: (i + 3, tanh(x)), 0), 3),
    (loop(lambda i, x: logical_and(i < 10, i * 2 < 6), lambda i, x: (i + 1, tanh(x)), 0), 3),
    (loop(lambda i, j, x: i < j, lambda i, j, x: (i + 1, j - 1, tanh(x)), 0, 7), 4),
    (loop(lambda i, x: i < 100, lambda i, x: (i * 2, tanh(x)), 1), 7),
    (loop(lambda i, x: i < 1.0, lambda i, x: (i + 0.25, tanh(x)), 0.0), 4),
    (lambda x: fori(3, 3, lambda i, v: tanh(v), x), 0),
    (lambda x: fori(0, 4, lambda i, v: fori(1, 4, lambda j, w: tanh(w), v), x), 12),
    (lambda x: fori(0, 4, lambda i, v: fori(0, i, lambda j, w: tanh(w), v), x), 0 + 1 + 2 + 3),
    (lambda x: keras.ops.scan(lambda c, _: (tanh(c), c), x, None, length=5)[0], 5),
    (lambda x: keras.ops.map(tanh, x), 1), (lambda x: keras.ops.vectorized_map(tanh, x), 1),
    (lambda x: keras.ops.cond(True, lambda: tanh(x), lambda: keras.ops.exp(x)), 1),
    (lambda x: keras.ops.switch(0, [tanh, keras.ops.exp], x), 1),
])
def test_loop_of_known_bounds_counts_its_steps(function, steps):
    counted_steps = count(model_of(function, [(4, 3)], "layer"), 4)
    assert {op: n for (_, op), n in counted_steps.counts.sum().items() if n} == (
        {"tanh": 12 * steps} if steps else {})
    assert not counted_steps.notes


def test_loop_that_the_data_may_end_says_so():
    function = loop(lambda i, x: logical_and(i < 10, keras.ops.sum(x) < 6),
                    lambda i, x: (i + 1, tanh(x)), 0)
    counts = count(model_of(function, [(4, 3)], "layer"), 4)
    assert counts.counts.sum()["float32", "tanh"] == 120
    assert "all steps are counted of a loop that the data may end" in counts.notes[0]
    with pytest.raises(TraceError, match="until the data end it"):
        counted(model_of(lambda x: keras.ops.while_loop(
            lambda x: keras.ops.sum(x) < 6, lambda x: (tanh(x),), (x,)), [(4, 3)], "layer"))


@pytest.mark.parametrize(("function", "shape", "counts"), [
    # a value goes to the place, the four or the sixteen places that it came from
    (lambda x: image.resize(x, (12, 4), interpolation="nearest"), (2, 6, 8, 3), {"add": 288}),
    (lambda x: image.resize(x, (12, 4)), (2, 6, 8, 3), {"mul": 6 * 288, "add": 4 * 288}),
    (lambda x: image.resize(x, (12, 4), interpolation="bicubic"), (2, 6, 8, 3),
     {"mul": 20 * 288, "add": 16 * 288}),
    # the taps of the forward pass again
    (lambda x: image.resize(x, (12, 4), antialias=True), (2, 6, 8, 3),
     {"mac": 2 * 3 * ((2 + 10 * 2) * 8 + (3 + 4 + 4 + 3) * 12)}),
    # an inverse map's four neighbours
    (lambda x: image.affine_transform(x, np.eye(1, 8, dtype="float32")), (1, 6, 8, 3),
     {"add": 6 * 144, "mul": 3 * 144}),
    (lambda x: keras.ops.cumsum(x, axis=1), (4, 6), {"add": 20}),
    (lambda x: keras.ops.segment_sum(x, np.array([0, 0, 1, 2]), 3), (4, 6),
     {}),  # all of the places are there
    (lambda x: keras.ops.segment_sum(x, np.array([0, -1, 1, 2]), 3), (4, 6),
     {"select": 24}),  # nothing, of a place below 0
    (lambda x: keras.ops.solve(np.eye(3, dtype="float32"), x), (3, 2),  # L and U of A'
     {"mac": 5 + 2 * 6, "div": 3 + 6, "max": 3, "abs": 5}),
    (lambda x: keras.ops.pad(x, ((0, 0), (1, 1)), "reflect"), (4, 6), {"add": 8}),
    (lambda x: keras.ops.transpose(keras.ops.top_k(x, 2)[0]), (4, 6),
     {"add": 8, "max": 24, "int32 add": 8}),  # a row's places, counted from the first row
])
def test_gradient_of_what_is_linear_by_hand(function, shape, counts):
    """What it takes to hand a gradient back through a function."""
    import tensorflow as tf

    def backward(x, gradient):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x, output_gradients=gradient)

    x = tf.TensorSpec(shape)
    made = tf.function(function).get_concrete_function(x).outputs[0]
    graph = tf.function(backward).get_concrete_function(x, tf.TensorSpec(made.shape)).graph
    rows = OpCounts(TRACE_COUNTERS).add_graph(graph).counts
    assert sum(rows.values(), Counter()) == expected(counts)


#: Functions without a gradient in TensorFlow.
NO_GRADIENT = {"slice_update", "ctc_decode", "custom_gradient", "lu_factor"}


#: Some of the functions, of every kind; the rest are for ``make prove``.
STEPS = {"exp", "celu", "logaddexp", "max", "median", "nanmean", "sort", "cumsum", "einsum", "conv",
         "segment_max", "scan", "associative_scan", "while_loop", "cond", "fft2", "istft", "solve",
         "cholesky", "qr", "svd", "eigh", "image.resize", "image.map_coordinates", "image.ssim",
         "take", "unfold", "scatter", "inner", "ctc_loss"}


@pytest.mark.parametrize("name", [
    name if name in STEPS else pytest.param(name, marks=pytest.mark.prove)
    for name in filter(in_keras, [*EXACT, *MOVES])])
def test_a_step_through_a_function_counts(name):
    """The gradient of each function, of a sum of squares of what comes out."""
    function, shapes = (EXACT | MOVES)[name][:2]
    if name in NO_GRADIENT:
        pytest.skip("TensorFlow has no gradient of it")
    shapes = [s if isinstance(s[0], tuple) else (s, "float32") for s in shapes]
    if any(dtype == "complex64" for _, dtype in shapes):
        pytest.skip("its input is not made by a layer")

    class Squares(keras.layers.Layer):
        """The sum of the squares of what a function makes of its inputs, each scaled."""

        def build(self, _):
            self.scale = self.add_weight(shape=())

        def call(self, *tensors):
            scaled = [t * self.scale if t.dtype == "float32" else t for t in tensors]
            made = keras.tree.flatten(function(*scaled))
            return sum(keras.ops.sum(keras.ops.square(keras.ops.cast(t, "float32"))) for t in made
                       if "complex" not in keras.backend.standardize_dtype(t.dtype)
                       ) + 0.0 * keras.ops.sum(self.scale)

        def compute_output_spec(self, *tensors):
            return keras.KerasTensor(())

    inputs = [keras.Input(batch_shape=shape, dtype=dtype) for shape, dtype in shapes]
    model = keras.Model(inputs, Squares()(*inputs))
    table = tos.count_ops(model, shapes[0][0][0], "training", loss=lambda y, p: p,
                          optimizer="sgd")
    assert table.to_numpy().sum() > 0
