"""Each private name of Keras that `layer_state` uses, by what it is relied on for."""

import keras
import pytest
from keras import layers

from tostoolkit.counting.layer_state import (
    argument,
    constructor_arguments,
    hands_mask_on,
    held_by,
    is_as_shipped,
    parts_of,
    weight_names,
)


def built(layer, shape=(None, 4, 6)):
    layer.build(shape)
    return layer


def test_weights_and_parts_are_a_layers_own():
    assert weight_names(built(layers.Dense(3, activation=layers.PReLU()))) == ["kernel", "bias"]
    assert weight_names(built(layers.BatchNormalization())) == [
        "gamma", "beta", "moving_mean", "moving_variance"]
    assert weight_names(built(layers.LSTM(3))) == []
    assert [type(x) for x in parts_of(built(layers.LSTM(3)))] == [layers.LSTMCell]
    assert parts_of(layers.Dense(3)) == []


def test_arguments_are_found_as_attributes_private_ones_and_in_the_configuration():
    assert argument(layers.Dense(3), "units") == 3
    assert argument(layers.MultiHeadAttention(2, 3), "num_heads") == 2  # a property
    assert argument(layers.MultiHeadAttention(2, 3, use_gate=True), "use_gate") is True
    assert argument(layers.LSTM(3, dropout=0.2), "dropout") == 0.2
    assert argument(layers.Dense(3), "no_such_argument") is ...


def test_constructor_arguments_are_those_of_the_bases_too():
    assert constructor_arguments(layers.Conv2D)["lora_rank"] is None
    names = constructor_arguments(layers.Conv2D).keys()
    assert {"name", "dtype", "autocast", "kernel_size"} <= names
    assert "self" not in names


@pytest.mark.parametrize(("cls", "expected"), [
    (layers.Dense, True), (layers.Dropout, True), (layers.LayerNormalization, True),
    (layers.BatchNormalization, False), (layers.LSTM, False), (layers.Concatenate, False),
    (layers.Embedding, False), (layers.Softmax, False), (layers.MultiHeadAttention, False),
])
def test_what_hands_a_mask_on_unseen(cls, expected):
    assert hands_mask_on(cls) is expected


def test_methods_that_keras_wraps_are_told_from_replaced_ones():
    for name in ("build", "quantize"):
        layer = layers.Dense(3)
        assert is_as_shipped(layer)
        object.__setattr__(layer, name, lambda *args: None)
        assert not is_as_shipped(layer)


def test_what_is_held_leaves_names_and_bookkeeping_out():
    names = {name for name, _ in held_by(built(layers.Dense(3, name="mine")))}
    assert {"units", "activation", "use_bias", "_dtype_policy", "_layers", "built",
            "_trainable_variables"} <= names
    assert not {"name", "build", "quantize", "_inbound_nodes", "_tracker", "_lock"} & names
    variable = built(layers.Dense(3)).kernel
    assert held_by(variable) == [("shape", (6, 3)), ("dtype", "float32")]
    assert held_by(keras.random.SeedGenerator(1)) == []
