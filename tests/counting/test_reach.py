"""What a layer makes of shapes alone is a constant for the next; what is not looked at is not run.

The right values are closed forms; the oracle beside them is the whole model, traced at once.
"""

from collections import Counter

import keras
import pytest
from keras import layers, ops
from traced import trace_ops

import tostoolkit as tos
from tostoolkit.counting.count import count

F = "float32"


class Made(layers.Layer):
    """A layer of a function of one tensor."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def call(self, x):
        return self.make(x)


class Positions(layers.Layer):
    """Numbers of the time steps: of the shape alone."""

    def call(self, x):
        return ops.arange(x.shape[1], dtype="int32")


class Halves(layers.Layer):
    """What it returns is a constant, data, and what is made of a weight."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), name="scale")

    def call(self, x):
        return ops.cumsum(ops.ones_like(x), -1), x * 2.0, self.scale + 1.0


class Looks(layers.Layer):
    """It looks at its second argument only where it is told to."""

    def __init__(self, looks):
        super().__init__()
        self.looks = looks

    def call(self, x, y):
        return x + y if self.looks else ops.tanh(x)


def of_floats(make, *shape):
    x = keras.Input(shape or (8,))
    return keras.Model(x, make(x))


def sinusoids(x):
    """A constant table of sines and cosines is added to vectors."""
    angles = ops.cast(ops.expand_dims(Positions()(x), 1), F) / 100.0
    table = ops.concatenate([ops.sin(angles), ops.cos(angles)] * 2, -1)
    return x + ops.expand_dims(table, 0)


def looked_up(x):
    """Rows of a table, at places that are constants, are a part of the table: 6 x 4."""
    return x + ops.expand_dims(layers.Embedding(6, 4)(Positions()(x)), 0)


def causal(x):
    """A mask of shapes alone is handed to an attention."""
    steps = Positions()(x)
    allowed = ops.greater_equal(ops.expand_dims(steps, 1), ops.expand_dims(steps, 0))
    allowed = ops.expand_dims(allowed, 0)
    return layers.MultiHeadAttention(2, 4)(x, x, attention_mask=allowed)


def projected(x):
    """A Dense layer on constants multiplies its weights, and what follows is no constant."""
    positions = ops.cast(ops.expand_dims(Positions()(x), 0), F)
    return ops.tanh(layers.Dense(3)(positions))


def normalised(x):
    """Of constants alone are a layer's mean, variance and quotient; not of its gamma and beta."""
    ones = Made(lambda x: ops.cumsum(ops.ones_like(x), -1))(x)
    return layers.LayerNormalization()(ones) + x


def halves(place, then):
    return lambda x: then(Halves()(x)[place])


def kept_by_a_nested_model(x):
    inner = keras.Input((8,))
    constant = layers.Activation("tanh")(Made(ops.ones_like)(inner))
    return keras.Model(inner, [constant, ops.exp(inner)])(x)


def shared(x):
    """One layer on data and on a constant: 8 tanh, not 16."""
    layer = layers.Activation("tanh")
    return [layer(x), layer(Made(ops.ones_like)(x))]


def not_looked_at(looks):
    return lambda x: Looks(looks)(x, ops.exp(layers.Dense(8)(x)))


def several(x):
    """A layer that makes nothing but shapes' arithmetic of a list of constants and data."""
    both = layers.Identity()([Made(ops.ones_like)(x), x])
    return [ops.exp(both[0]), ops.exp(both[1])]


#: Model -> its counts, by hand.
CASES = {
    "sines of positions": (sinusoids, (6, 4), {(F, "add"): 24}),
    "rows at positions": (looked_up, (6, 4), {(F, "add"): 24}),
    # q, k, v: 3 x 6 x 8 x 8 MACs and biases; scores 2 x 6 x 6 x 4, twice; back 6 x 8 x 8 and bias;
    # scores scaled, as Keras' dot_product_attention does; of each of 12 rows 6 exps and divisions,
    # 6 + 5 additions, 5 comparisons, and a choice of each score by the mask
    "attention with a mask of steps": (causal, (6, 8), {
        (F, "mac"): 4 * 6 * 64 + 2 * 288, (F, "add"): 4 * 48 + 12 * 11, (F, "mul"): 72,
        (F, "exp"): 72, (F, "div"): 72, (F, "max"): 60, (F, "select"): 72}),
    "dense layer on positions": (projected, (6, 4), {
        (F, "mac"): 18, (F, "add"): 3, (F, "tanh"): 3}),
    "constant of three outputs": (halves(0, ops.exp), (), {}),
    "data of three outputs": (halves(1, ops.exp), (), {(F, "mul"): 8, (F, "exp"): 8}),
    "weight of three outputs": (halves(2, ops.exp), (), {(F, "add"): 8, (F, "exp"): 8}),
    "constant of a nested model": (kept_by_a_nested_model, (), {(F, "exp"): 8}),
    "shared layer": (shared, (), {(F, "tanh"): 8}),
    "argument not looked at": (not_looked_at(False), (), {(F, "tanh"): 8}),
    "argument looked at": (not_looked_at(True), (), {
        (F, "mac"): 64, (F, "add"): 16, (F, "exp"): 8}),
    "list of a constant and data": (several, (), {(F, "exp"): 8}),
    "ones like data": (lambda x: x / ops.exp(ops.ones_like(x)), (), {(F, "div"): 8}),
    "zeros like data": (lambda x: ops.maximum(x, ops.sin(ops.zeros_like(x))), (), {(F, "max"): 8}),
}


def whole(table):
    return {key: int(n) for key, n in table.sum().items() if n}


@pytest.mark.parametrize("name", CASES)
def test_by_hand_and_by_the_trace_of_the_whole(name):
    make, shape, right = CASES[name]
    model = of_floats(make, *shape)
    assert whole(tos.count_ops(model)) == whole(trace_ops(model)) == right


def test_what_is_normalised_is_a_constant_to_the_trace():
    """A constant minus its mean, over its spread, times gamma, plus beta, plus x."""
    model = of_floats(normalised)
    assert whole(tos.count_ops(model)) == whole(trace_ops(model))
    assert whole(tos.count_ops(model))[F, "add"] < whole(tos.count_ops(of_floats(
        lambda x: layers.LayerNormalization()(ops.exp(x)) + x)))[F, "add"]


def test_equal_layers_on_data_and_on_constants_are_two_traces():
    """The cache of equal layers tells them apart: 8 exps of the one, none of the other."""
    def twice(x):
        return [Made(_exp)(x), Made(_exp)(Made(ops.ones_like)(x))]

    assert whole(tos.count_ops(of_floats(twice))) == {(F, "exp"): 8}


def _exp(x):
    return ops.exp(x)


def test_a_mask_of_constants_is_one():
    """Masking looks at constants alone, so that neither its mask nor what reads it counts."""
    x = keras.Input((6, 4))
    ones = Made(ops.ones_like)(x)
    masked = layers.Masking()(ones)
    cells = layers.LSTM(3)
    model = keras.Model(x, [cells(masked), x])
    assert whole(tos.count_ops(model)) == whole(trace_ops(model))


def test_a_counter_of_the_users_counts_on_constants():
    """It is what it says, wherever the layer is called."""
    model = of_floats(lambda x: layers.Dense(3)(Made(ops.ones_like)(x)) + layers.Dense(3)(x))
    seen = []

    def counter(call):
        seen.append(call.constants)
        return Counter()

    tos.count_ops(model, counters=tos.OP_COUNTERS | {"Dense": counter})
    assert set(seen) == {(), (0,)}


def test_rows_of_what_is_constant_are_there():
    counted = count(of_floats(sinusoids, 6, 4))
    assert len(counted.counts) == len(counted.calls)
