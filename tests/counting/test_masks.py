"""Masks that Keras hands from layer to layer: the oracle is the whole model, traced at once."""

import keras
import pytest
from keras import layers
from models import without_weights
from traced import trace_ops

import tostoolkit as tos
from tostoolkit.counting.count import count
from tostoolkit.counting.trace import TraceError

F = "float32"
STEP = {"phase": "training", "loss": "mse", "optimizer": "sgd"}


class HandsOn(layers.Layer):
    """A layer of the user's that supports masks and does not look at them."""

    def __init__(self):
        super().__init__()
        self.supports_masking = True

    def call(self, x):
        return keras.ops.tanh(x)


class Looks(layers.Layer):
    def call(self, x, mask=None):
        return x if mask is None else x * keras.ops.cast(mask, "float32")[..., None]


class Embedded(keras.Model):
    """No graph of layers: its mask stays inside."""

    def __init__(self):
        super().__init__()
        self.table, self.cells = layers.Embedding(10, 4, mask_zero=True), layers.LSTM(3)

    def call(self, x):
        return self.cells(self.table(x))


def looked_up(*stack, steps=6):
    """Return a model of masked vectors and what is stacked on them."""
    x = ids = keras.Input((steps,), dtype="int32")
    for layer in (layers.Embedding(10, 4, mask_zero=True), *stack):
        x = layer(x)
    return keras.Model(ids, x)


def of_two(merge):
    a, b = (keras.Input((6,), dtype="int32") for _ in range(2))
    table = layers.Embedding(10, 4, mask_zero=True)
    return keras.Model([a, b], merge(table(a), table(b)))


class HoldsTable(layers.Layer):
    """What it returns carries the mask of what it holds, which no graph shows."""

    def __init__(self):
        super().__init__()
        self.table = layers.Embedding(10, 4, mask_zero=True)

    def call(self, x):
        return self.table(x)


def made_at_a_call(table):
    ids = keras.Input((6,), dtype="int32")
    return keras.Model(ids, layers.GRU(3)(table(ids)))


def masking(*stack):
    x = i = keras.Input((6, 4))
    for layer in (layers.Masking(), *stack):
        x = layer(x)
    return keras.Model(i, x)


def nested():
    x = keras.Input((6, 4))
    return keras.Model(x, layers.LSTM(3)(layers.Dense(4)(layers.Dropout(0.2)(x))))


def twice(x):
    inner = nested()
    return layers.Add()([inner(x), inner(layers.Dense(4)(x))])


def after_attention(x):
    """The attention takes the mask off its input, which the sum then does not see."""
    return layers.LSTM(3)(layers.Add()([x, layers.MultiHeadAttention(2, 3)(x, x)]))


def masked_by_node(x, y):
    return layers.LSTM(3)(x, mask=layers.Embedding(3, 2, mask_zero=True).compute_mask(y[:, :, 0]))


MODELS = {
    "LSTM": lambda: looked_up(layers.LSTM(4)), "GRU": lambda: looked_up(layers.GRU(4)),
    "steps": lambda: looked_up(layers.SimpleRNN(3, return_sequences=True), layers.LSTM(4)),
    "Sequential": lambda: keras.Sequential([
        keras.Input((6,), dtype="int32"), layers.Embedding(10, 3, mask_zero=True),
        layers.LSTM(4)]),
    "self-attention": lambda: looked_up(lambda x: layers.MultiHeadAttention(2, 3)(x, x)),
    "cross-attention": lambda: of_two(lambda x, y: layers.MultiHeadAttention(2, 3)(x, y)),
    "after attention": lambda: looked_up(after_attention),
    "Attention": lambda: of_two(lambda x, y: layers.Attention()([x, y])),
    "TimeDistributed": lambda: looked_up(layers.TimeDistributed(layers.Dense(3))),
    "TimeDistributed, LSTM": lambda: looked_up(
        layers.TimeDistributed(layers.Dense(3)), layers.LSTM(3)),
    "BatchNormalization": lambda: looked_up(layers.BatchNormalization()),
    "BatchNormalization, pooling": lambda: looked_up(
        layers.BatchNormalization(), layers.GlobalAveragePooling1D()),
    "average pooling": lambda: looked_up(layers.GlobalAveragePooling1D()),
    "max pooling": lambda: looked_up(layers.GlobalMaxPooling1D()),
    "Bidirectional": lambda: looked_up(layers.Bidirectional(layers.LSTM(3))),
    "Bidirectional, pooling": lambda: looked_up(
        layers.Bidirectional(layers.GRU(3, return_sequences=True)),
        layers.GlobalAveragePooling1D()),
    "Concatenate": lambda: of_two(
        lambda x, y: layers.LSTM(3)(layers.Concatenate()([x, y]))),
    "Concatenate of steps": lambda: of_two(
        lambda x, y: layers.LSTM(3)(layers.Concatenate(axis=1)([x, y]))),
    "Concatenate, nobody looks": lambda: of_two(lambda x, y: layers.Concatenate()([x, y])),
    "Add": lambda: of_two(lambda x, y: layers.LSTM(3)(layers.Add()([x, y]))),
    "Multiply": lambda: of_two(lambda x, y: layers.GRU(3)(layers.Multiply()([x, y]))),
    "Maximum": lambda: of_two(lambda x, y: layers.Maximum()([x, y])),
    "Dot": lambda: of_two(lambda x, y: layers.Dot(2)([x, y])),
    "Dense, nobody looks": lambda: looked_up(layers.Dense(3)),
    "handed on": lambda: looked_up(
        layers.Dense(3, activation="relu"), layers.LayerNormalization(), layers.Dropout(0.2),
        layers.LSTM(3)),
    "Softmax": lambda: looked_up(
        lambda x: layers.Softmax()(keras.ops.squeeze(layers.Dense(1)(x), -1))),
    "Masking": lambda: masking(layers.LSTM(3)),
    "Masking, nobody looks": lambda: masking(layers.Dense(3)),
    "destroyed by a layer": lambda: masking(layers.Reshape((6, 4, 1)), layers.ConvLSTM1D(2, 2)),
    "destroyed by an operator": lambda: looked_up(lambda x: x * 2.0, layers.LSTM(3)),
    "nested": lambda: looked_up(nested()), "nested twice": lambda: looked_up(twice),
    "an own layer hands on": lambda: looked_up(HandsOn(), layers.LSTM(3)),
    "an own layer looks": lambda: looked_up(Looks()),
    "a mask of a node": lambda: of_two(masked_by_node),
    "subclassed": lambda: looked_up(lambda x: keras.ops.cast(x[..., 0], "int32"), Embedded()),
    "a table that is made of rows": lambda: made_at_a_call(
        layers.ReversibleEmbedding(10, 4, mask_zero=True)),
    "a mask of a layer inside": lambda: made_at_a_call(HoldsTable()),
    "two readers": lambda: looked_up(
        lambda x: layers.Concatenate()([layers.LSTM(2)(x), layers.GRU(2)(x)])),
}


def nonzero(table):
    return {key: int(n) for key, n in table.sum().items() if n}


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask:UserWarning")
@pytest.mark.parametrize("name", MODELS)
def test_masks_are_those_that_keras_hands_on(name):
    model = MODELS[name]()
    assert nonzero(count(model, 2).counts) == nonzero(trace_ops(model, 2))


def test_masks_of_models_without_weights_and_in_other_batches():
    model = without_weights(MODELS["handed on"])
    one, three = count(model).counts.sum(), count(model, 3).counts.sum()
    assert nonzero(count(model, 3).counts) == nonzero(trace_ops(model, 3))
    assert three[F, "select"] == 3 * one[F, "select"] > 0


def test_a_masked_lstm_chooses_its_output_and_states_at_each_step():
    """Output, hidden state and cell state, each of four units, at six steps."""
    model = looked_up(layers.LSTM(4))
    assert tos.count_ops(model).sum()[F, "select"] == 3 * 4 * 6 == 72
    # the mask, and the test for negative indices
    assert tos.count_ops(model).sum()["int32", "max"] == 6 + 6


def test_a_mask_that_nobody_looks_at_is_not_computed():
    counts = tos.count_ops(looked_up(layers.Dense(3))).sum()
    assert counts["int32", "max"] == 6  # the test for negative indices alone
    by_kind = count(looked_up(layers.BatchNormalization())).counts.groupby("kind").sum()
    assert ("NotEqual" in "".join(by_kind.index)) == ("ops.NotEqual" in by_kind.index)
    assert not by_kind.loc["ops.NotEqual"].any()


def test_layers_that_hand_a_mask_on_keep_their_rule():
    model = looked_up(layers.Dense(3), layers.Dropout(0.2), layers.LSTM(3))
    masked = {call.kind for call in tos.layer_calls(model) if any(call.masks)}
    assert masked == {"Dense", "Dropout", "LSTM"}
    # by trace those that make the mask and look at it, and the operator that compares with 0
    assert count(model).coverage == {"trace": 3, "rule": 1, "zero": 1}


@pytest.mark.parametrize("name", ["average pooling", "self-attention", "Dense, nobody looks"])
def test_masks_in_training(name):
    model = MODELS[name]()
    counted = count(model, 2, **STEP)
    assert nonzero(counted.counts) == nonzero(trace_ops(model, 2, **STEP))


def test_a_layer_that_fails_on_its_mask_is_named():
    x = keras.Input((6, 8))
    model = keras.Model(x, layers.Softmax(axis=1, name="sm")(layers.Masking()(x)))
    with pytest.raises(TraceError, match=r"'sm' cannot be traced: .*mask.* no counter can"):
        tos.count_ops(model, counters=tos.OP_COUNTERS | {"Softmax": lambda call: {}})
