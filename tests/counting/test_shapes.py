"""Shapes of calls: what other people's layers say of their outputs is not what counts."""

from collections import Counter

import keras
import pytest
from keras import layers, ops

import tostoolkit as tos


class Says(layers.Layer):
    """A layer that says a shape of its own: what `said` makes of its input's."""

    def __init__(self, function, said, **kwargs):
        super().__init__(**kwargs)
        self.function, self.said = function, said

    def build(self, shape):
        """Make no weights."""

    def call(self, x):
        return self.function(x)

    def compute_output_shape(self, shape):
        return self.said(shape)


def shapes(model, *args):
    return [call.outputs[0].shape for call in tos.layer_calls(model, *args)]


def twice(x):
    return ops.concatenate([x, x], axis=1)


@pytest.mark.parametrize("said", [
    lambda shape: shape, lambda shape: (shape[0], None, shape[2]),
    lambda shape: (None, None, None)], ids=["wrong", "open", "nothing"])
def test_what_a_layer_makes_counts_not_what_it_says(said):
    x = keras.Input((5, 3))
    model = keras.Model(x, ops.exp(Says(twice, said)(x)))
    assert shapes(model, 2) == [(2, 10, 3)] * 2
    assert tos.count_ops(model)["float32", "exp"].sum() == 2 * 5 * 3


def frames(x):
    return ops.reshape(x, (-1, 6))


@pytest.mark.parametrize("make", [
    lambda: layers.Lambda(frames), lambda: Says(frames, lambda shape: (None, 6)),
    lambda: keras.Sequential([keras.Input((4, 6)), layers.Lambda(frames)])],
    ids=["Lambda", "layer", "nested"])
def test_a_layer_may_move_the_batch(make):
    x = keras.Input((4, 6))
    model = keras.Model(x, layers.Dense(2)(make()(x)))
    assert shapes(model, 3) == [(12, 6), (12, 2)]
    assert tos.count_ops(model, 3)["float32", "mac"].sum() == 3 * 4 * 6 * 2


def test_what_a_layer_says_holds_where_it_cannot_be_run():
    def fails(x):
        raise RuntimeError("not on shapes")

    x = keras.Input((5, 3))
    model = keras.Model(x, layers.Dense(2)(Says(fails, lambda s: (s[0], 7, 3))(x)))
    assert shapes(model, 2) == [(2, 7, 3), (2, 7, 2)]
    counts = tos.count_ops(model, counters=tos.OP_COUNTERS | {Says: lambda call: Counter()})
    assert counts["float32", "mac"].sum() == 7 * 3 * 2


def test_an_output_that_a_layer_says_and_does_not_return_is_none():
    class Pair(layers.Layer):
        def call(self, x, other=None):
            return (x * 2.0 if other is None else x + other), None

        def compute_output_spec(self, x, other=None):
            return [keras.KerasTensor(x.shape, x.dtype) for _ in range(2)]

    x = keras.Input((4,))
    once, nothing = Pair()(x)
    model = keras.Model(x, Pair()(once, other=nothing)[0])
    counts = tos.count_ops(model).sum()
    assert counts.to_dict() == {("float32", "mul"): 2 * 4}  # the second has no other either
    assert [len(call.outputs) for call in tos.layer_calls(model)] == [1, 1]


def test_outputs_beyond_those_that_a_layer_says_are_nobodys():
    class More(layers.Layer):
        def call(self, x):
            return x * 2.0, ops.exp(x)

        def compute_output_shape(self, shape):
            return shape

    x = keras.Input((4,))
    (call,) = tos.layer_calls(keras.Model(x, More()(x)), 3)
    assert [t.shape for t in call.outputs] == [(3, 4)]


def test_shapes_are_computed_in_the_dtype_in_which_a_layer_runs():
    x = keras.Input((5, 3))
    half = Says(twice, lambda shape: shape, dtype="mixed_float16")(x)
    (call,) = tos.layer_calls(keras.Model(x, half))
    assert call.outputs[0].dtype == "float16"


def test_a_layer_that_is_run_on_shapes_holds_what_it_held():
    class Remembers(layers.Layer):
        calls = 0

        def call(self, x):
            self.calls += 1
            return x * 2.0

    x, layer = keras.Input((4,)), Remembers()
    model = keras.Model(x, layer(x))
    before = layer.calls
    tos.count_ops(model, 3)
    assert layer.calls == before


def test_equal_layers_are_run_once():
    runs = []

    def seen(x):
        runs.append(x.shape)
        return twice(x)

    def same(shape):
        return shape

    x = y = keras.Input((None, 3))
    for _ in range(4):
        y = Says(seen, same)(y[:, :5])
    runs.clear()
    tos.layer_calls(keras.Model(x, y), 2, (5, 3))
    assert runs == [(2, 5, 3)]


#: An activation, of which Keras says that it keeps its shape -> what it takes of the eight products
#: of each of 2 x 4 rows. Half of them are left.
HALVES = {
    "glu": ("glu", {"sigmoid": 32, "mul": 32}),
    "the larger of each two": (
        lambda x: keras.ops.max(keras.ops.reshape(x, (-1, 4, 4, 2)), -1), {"max": 32}),
    "the first half": (lambda x: keras.ops.split(x, 2, axis=-1)[0], {}),
}


@pytest.mark.parametrize("name", HALVES)
@pytest.mark.parametrize("layer", [
    lambda activation: layers.Dense(8, activation=activation, use_bias=False),
    lambda activation: layers.Conv1D(8, 1, activation=activation, use_bias=False),
    lambda activation: layers.EinsumDense("abc,cd->abd", (None, 8), activation=activation),
    lambda activation: keras.Sequential([
        keras.Input((4, 6)), layers.Dense(8, use_bias=False), layers.Activation(activation)]),
], ids=["Dense", "Conv1D", "EinsumDense", "Activation"])
def test_an_activation_may_make_another_shape(layer, name):
    activation, right = HALVES[name]
    model = keras.Sequential([keras.Input((4, 6)), layer(activation), layers.Activation("tanh")])
    counts = tos.count_ops(model, 2).sum()
    assert {op: n for (_, op), n in counts.items() if n} == {
        "mac": 2 * 4 * 6 * 8, "tanh": 2 * 4 * 4, **right}
