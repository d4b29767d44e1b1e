"""Every private name of Keras that the package knows of what runs, each with a test of its own."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from models import small_classifier

import tostoolkit as tos
from tostoolkit.counting.calls import Tensor
from tostoolkit.counting.count import count
from tostoolkit.counting.introspection import inspect
from tostoolkit.counting.running_state import (
    allocating,
    build_parts,
    current_scope,
    global_seed,
    has_loss_weights,
    in_place_of_graph,
    is_built_for,
    is_seed,
    mask_of,
    put_mask,
    run_on_shapes,
    unchanged,
    with_functions,
    with_places,
)

# --- what runs a model, and puts it back

def test_the_scope_is_that_which_keras_is_in():
    class Scoped(keras.layers.Layer):
        def call(self, x):
            scopes.append(current_scope())
            return x

    scopes = []
    model = keras.Sequential([keras.Input((2,)), Scoped(name="inside")], name="outside")
    model(np.zeros((1, 2), "float32"))
    assert scopes[-1].split("/")[-1] == "inside"
    assert current_scope() == ""


def test_a_functional_model_runs_what_stands_in_place_of_its_graph():
    x = keras.Input((2,))
    for model in (keras.Model(x, {"a": keras.ops.exp(x)}),
                  keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])):
        given = np.ones((1, 2), "float64")
        before = model(given)
        with in_place_of_graph(model, lambda inputs: [inputs[0] + 1]):
            within = keras.tree.flatten(model(given))[0]
        np.testing.assert_array_equal(within, [[2, 2]])
        assert keras.backend.standardize_dtype(within.dtype) == "float32"  # made ready
        keras.tree.map_structure(np.testing.assert_array_equal, model(given), before)


def test_places_stand_for_every_variable_and_leave_it_what_it_was():
    dense = keras.layers.Dense(3)
    dense.build((None, 2))
    before = [v.numpy() for v in dense.variables]
    with with_places(dense.variables, lambda shape, dtype, trainable: "a place", every=True):
        assert [v._value for v in dense.variables] == ["a place"] * 2
    for value, variable in zip(before, dense.variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())


def test_random_numbers_come_from_seeds():
    dropout = keras.layers.Dropout(0.5)
    assert [is_seed(v) for v in dropout.variables] == [True]
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    assert not any(map(is_seed, model.variables))
    assert is_seed(global_seed())


def test_a_function_of_the_backend_is_replaced_and_put_back():
    x = np.ones((2, 3), "float32")
    with with_functions(moments=lambda *args, **kwargs: "moments"):
        assert keras.ops.moments(x, axes=[0]) == "moments"
    assert keras.ops.moments(x, axes=[0])[0].shape == (3,)


def test_abstract_models_stay_abstract_when_another_scope_ends():
    """Keras would allocate them then: 4 TB here."""
    with tos.abstract():
        model = keras.Sequential([keras.Input((10**6,)), keras.layers.Dense(10**6)])
    with keras.StatelessScope():
        pass
    assert model.weights[0]._value is None
    real = keras.layers.Dense(2)
    real(keras.ops.ones((1, 3)))
    assert real.weights[0]._value is not None


# --- Variable._value, _initializer, _initialize*, _deferred_initialize

def test_what_is_made_without_memory_knows_its_shape_and_what_would_fill_it():
    class Lazy(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner, self.scale = keras.layers.Dense(2), keras.Variable([1.0, 2.0])

        def call(self, x):  # which Keras runs in a scope of its own to build what is inside
            return self.inner(x) * self.scale

    with tos.abstract():
        model = keras.Sequential([keras.Input((3,)), Lazy(), keras.layers.Dropout(0.5)])
        model.compile("adam", "mse")
    variables = [*model.variables, *model.optimizer.variables]
    assert len(variables) > 5
    assert [v._value for v in variables] == [None] * len(variables)
    assert tuple(model.layers[0].scale.shape) == (2,)
    assert keras.ops.convert_to_numpy(model.layers[0].scale.value).tolist() == [1.0, 2.0]
    assert keras.Variable(3.0)._value is not None  # outside all is as it was


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adafactor", "muon"])
def test_a_training_step_is_counted_where_nothing_has_memory(optimizer):
    """Within the context as after it, bytes included: slots are made to be counted."""
    with tos.abstract():
        model = small_classifier()
        model.compile(optimizer, "mse")
        within = count(model, 2, "training")
        moved = within.bytes
        with allocating():
            assert keras.Variable(initializer="zeros", shape=(2,))._value is not None
        assert keras.Variable(initializer="zeros", shape=(2,))._value is None
    after = count(model, 2, "training")
    pd.testing.assert_frame_equal(within.counts, after.counts)
    pd.testing.assert_frame_equal(moved, after.bytes)


def test_places_stand_where_there_are_no_values_and_leave_again():
    with tos.abstract():
        layer = keras.layers.Dense(2)
        layer.build((None, 3))
    asked = []

    def place(shape, dtype, trainable):
        asked.append((shape, dtype, trainable))
        return keras.ops.zeros(shape, dtype)

    with with_places(layer.variables, place):
        assert layer.kernel._value is not None
        made = keras.Variable(1.0)  # of a constant
        keras.Variable(initializer="ones", shape=(4,), trainable=False)
    assert asked == [((3, 2), "float32", True), ((2,), "float32", True), ((), "float32", True),
                     ((4,), "float32", False)]
    assert layer.kernel._value is None
    assert made._value is not None


# --- Optimizer._trainable_variables_indices, _var_key; CompileLoss._user_loss_weights

def test_an_optimizer_knows_the_variables_that_it_was_built_for():
    one, other = keras.Variable([1.0]), keras.Variable([1.0])
    optimizer = keras.optimizers.Adam()
    assert not is_built_for(optimizer, [one])
    optimizer.build([one])
    assert is_built_for(optimizer, [one])
    assert not is_built_for(optimizer, [one, other])


def test_weights_of_losses_are_seen():
    model = small_classifier()
    assert not has_loss_weights(model)
    model.compile("sgd", "mse")
    assert not has_loss_weights(model)
    model.compile("sgd", "mse", loss_weights=0.5)
    assert has_loss_weights(model)


# --- the dictionaries and lists of Keras and TensorFlow: Tracker, _storage, __wrapped__

def test_unchanged_puts_back_what_a_layer_holds():
    layer = keras.layers.Dense(2)
    layer.listed, layer.named, layer.plain = [1], {"a": 1}, 1
    with unchanged(layer):
        layer.listed.append(2)
        layer.named["b"], layer.plain = 2, 2
        layer.new = keras.layers.Dense(3)
        layer.build((None, 3))
    assert (list(layer.listed), dict(layer.named), layer.plain) == ([1], {"a": 1}, 1)
    assert not layer.built
    assert not hasattr(layer, "new")
    assert layer.variables == []
    layer.build((None, 3))
    assert len(layer.variables) == 2


@pytest.mark.skipif(not find_spec("torch"), reason="PyTorch is not installed")
def test_generators_of_a_constant_seed_are_noted():
    """Of a constant and a seed that changes, the first; and only in the context."""
    code = (
        "import keras\n"
        "from tostoolkit.counting.running_state import constant_generators\n"
        "with constant_generators() as noted:\n"
        "    keras.random.uniform((2,), seed=3)\n"
        "    keras.random.normal((2,), seed=keras.random.SeedGenerator(3))\n"
        "keras.random.uniform((2,), seed=3)\n"
        "print([generator.initial_seed() for generator in noted])\n")
    run = subprocess.run(
        [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"KERAS_BACKEND": "torch", "PYTHONPATH": str(
            Path(tos.__file__).parents[1])})
    assert run.stdout.splitlines()[-1] == "[3]"


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
        build_parts(inspect(model), lambda tensors: tensors[0], [Tensor((1, 4))])
        assert part.built
        assert (part.alpha._value is None) == bool(context)
