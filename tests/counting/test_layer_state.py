"""Each private name of Keras that `layer_state` uses, by what it is relied on for."""

import keras
import pytest
from keras import layers

import tostoolkit as tos
from tostoolkit.counting.calls import Tensor
from tostoolkit.counting.introspection import is_as_shipped
from tostoolkit.counting.layer_state import (
    argument,
    build_parts,
    constructor_arguments,
    hands_mask_on,
    held_by,
    makes_masks,
    parts_of,
    run_on_shapes,
    weight_names,
)
from tostoolkit.counting.running_state import mask_of, put_mask


def built(layer, shape=(None, 4, 6)):
    layer.build(shape)
    return layer


def test_weights_and_parts_are_a_layers_own():
    assert weight_names(built(layers.Dense(3, activation=layers.PReLU()))) == {"kernel", "bias"}
    assert weight_names(built(layers.BatchNormalization())) == {
        "gamma", "beta", "moving_mean", "moving_variance"}
    assert weight_names(built(layers.LSTM(3))) == set()
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


def test_what_makes_masks():
    own = type("Own", (layers.Layer,), {"compute_mask": lambda self, x, mask=None: x > 0})
    for layer in (layers.Masking(), layers.Embedding(3, 2, mask_zero=True), own()):
        assert makes_masks(layer)
    x = keras.Input((3,))
    operator = keras.Model(x, keras.ops.exp(x)).operations[-1]
    for layer in (layers.Embedding(3, 2), layers.Dense(2), operator):
        assert not makes_masks(layer)


def test_masks_stand_on_tensors():
    x = keras.ops.ones((2, 3))
    assert mask_of(x) is None
    put_mask(x, x > 0)
    assert tuple(mask_of(x).shape) == (2, 3)
    masked = layers.Masking()(keras.Input((3, 2)))
    assert tuple(mask_of(masked).shape) == (None, 3)


def test_a_function_runs_on_shapes():
    seen = []
    run_on_shapes(lambda x, y: seen.append(tuple((x + y).shape)) or x,
                  [Tensor((2, 3)), Tensor((1, 3))])
    assert seen[-1] == (2, 3)


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


def test_parts_are_built_and_keep_their_values_or_none():
    for context in (tos.abstract, None):
        if context:
            with context():
                model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Activation(
                    layers.PReLU())])
        else:
            model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Activation(
                layers.PReLU())])
        part = model.layers[1].activation
        assert not part.built
        build_parts(model, lambda tensors: tensors[0], [Tensor((1, 4))])
        assert part.built
        assert (part.alpha._value is None) == bool(context)
