"""Layer calls of models: what is called, in which order, on which shapes."""

import keras
import pytest
from models import application, shared_and_nested, small_classifier

import tostoolkit as tos


def paths(model, *args):
    return [call.path for call in tos.layer_calls(model, *args)]


def test_shared_layers_nested_models_and_operators_show_once_per_call():
    calls = tos.layer_calls(shared_and_nested())
    assert sorted(c.path for c in calls if "shared" in c.path) == [
        "shared", "shared#2", "shared#3"]
    assert [c.path for c in calls if "deep" in c.path] == [
        "nested/core/deep", "nested/core/deep#2"]
    assert [c.kind for c in calls if c.kind.startswith("ops.")] == [
        "ops.Add", "ops.Exp", "ops.Multiply"]


def test_order_is_that_of_execution():
    assert paths(small_classifier()) == ["conv", "norm", "relu", "pool", "flat", "out"]


def test_batch_size_fills_the_first_dimension():
    for call in tos.layer_calls(small_classifier(), 7):
        assert {t.shape[0] for t in (*call.inputs, *call.outputs)} == {7}


def test_operators_that_move_the_batch_get_exact_shapes():
    x = keras.Input((4, 6))
    model = keras.Model(x, keras.ops.exp(keras.ops.reshape(x, (-1, 6))))
    assert [c.outputs[0].shape for c in tos.layer_calls(model, 3)] == [(12, 6), (12, 6)]


def test_input_shape_closes_open_dimensions_inside_nested_models_too():
    inner = keras.Sequential([keras.Input((None, None, 4)), keras.layers.Conv2D(2, 3)])
    x = keras.Input((None, None, 3))
    model = keras.Model(x, inner(keras.layers.Conv2D(4, 3)(x)))
    shapes = [c.outputs[0].shape for c in tos.layer_calls(model, 2, (10, 12, 3))]
    assert shapes == [(2, 8, 10, 4), (2, 6, 8, 2)]


def test_layer_alone_is_one_call():
    dense = keras.layers.Dense(3)
    dense.build((None, 7))
    (call,) = tos.layer_calls(dense, 2)
    assert (call.kind, call.inputs[0].shape, call.outputs[0].shape) == ("Dense", (2, 7), (2, 3))


def test_works_without_weights():
    assert len(tos.layer_calls(application("VGG16"))) == 22


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda: tos.layer_calls("ResNet50"), TypeError, ["model", "str", "keras.applications"]),
    (lambda: tos.layer_calls(keras.Sequential([keras.layers.Dense(3)])), ValueError,
     ["not built", "model.build("]),
    (lambda: tos.layer_calls(keras.layers.Dense(3)), ValueError, ["not built"]),
    (lambda: tos.layer_calls(small_classifier(), 0), ValueError, ["batch_size", "0"]),
    (lambda: tos.layer_calls(small_classifier(), "32"), TypeError, ["batch_size", "'32'"]),
    (lambda: tos.layer_calls(small_classifier(), True), TypeError, ["batch_size"]),
    (lambda: tos.layer_calls(small_classifier(), 2.0), TypeError, ["batch_size", "2.0"]),
    (lambda: tos.layer_calls(
        keras.Sequential([keras.Input((None, 3)), keras.layers.Conv1D(2, 3)])),
     ValueError, ["input_shape", "(100, 3)"]),
    (lambda: tos.layer_calls(small_classifier(), 1, (9, 9, 3)), ValueError,
     ["input_shape", "(9, 9, 3)", "(8, 8, 3)"]),
    (lambda: tos.layer_calls(shared_and_nested(), 1, (6,)), ValueError, ["1 shapes", "2 inputs"]),
    (lambda: tos.layer_calls(
        keras.Sequential([keras.Input(batch_shape=(4, 3)), keras.layers.Dense(3)])),
     ValueError, ["batch_size=4"]),
])
def test_bad_input_names_what_was_wrong_and_what_works(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
