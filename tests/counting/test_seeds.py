"""Random numbers: a draw is one op, and the arithmetic of the seeds that they come from is none."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import keras
import pytest
import seed_cases
from seed_cases import CASES
from traced import trace_ops

import tostoolkit as tos
from tostoolkit.counting.running_state import seeds_noted

layers, N = keras.layers, 2 * 5 * 6 * 4
STEP = {"phase": "training", "loss": "mse", "optimizer": "sgd"}


def counts(table):
    return {key: int(n) for key, n in table.sum().items() if n}


def stepped(layer):
    """Return a model in which a layer stands behind trained weights, so that it has a gradient."""
    x = keras.Input((5, 6, 4))
    return keras.Model(x, layer(layers.Dense(4, use_bias=False)(x)))


#: Layer -> how many random numbers it draws for a batch of 2 images of 5 x 6 x 4.
DRAWS = {
    "Dropout": (lambda: layers.Dropout(0.3), N), "a seed": (lambda: layers.Dropout(0.3, seed=1), N),
    "noise_shape": (lambda: layers.Dropout(0.3, noise_shape=(2, 1, 6, 1)), 2 * 6),
    "SpatialDropout2D": (lambda: layers.SpatialDropout2D(0.3), 2 * 4),
    "GaussianNoise": (lambda: layers.GaussianNoise(0.3), N),
    "GaussianDropout": (lambda: layers.GaussianDropout(0.3), N),
    "AlphaDropout": (lambda: layers.AlphaDropout(0.3), N),
    "TimeDistributed": (lambda: layers.TimeDistributed(layers.Dropout(0.3)), N),
    "RandomFlip": (lambda: layers.RandomFlip("horizontal"), 2),
    "RandomContrast": (lambda: layers.RandomContrast(0.3), 2),
    "RandomBrightness": (lambda: layers.RandomBrightness(0.3), 2),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_step_counts_the_draws_and_nothing_of_their_seeds(name):
    """Of integers there is left one addition: the optimizer counts its steps."""
    make, draws = DRAWS[name]
    by_rule, by_trace = (counts(count(stepped(make()), 2, **STEP))
                         for count in (tos.count_ops, trace_ops))
    assert by_rule == by_trace
    assert by_rule["float32", "random"] == draws
    assert {key: n for key, n in by_rule.items() if key[0].startswith("int")} == {
        ("int64", "add"): 1}


def test_dropout_by_hand():
    """x / 0.7 where a draw is at least 0.3: a product, a draw, a comparison, a choice."""
    table = tos.count_ops(stepped(layers.Dropout(0.3)), 2, **STEP)
    row = table.xs("forward", level="part").filter(like="dropout", axis=0).sum()
    assert {key: int(n) for key, n in row.items() if n} == {
        ("float32", op): N for op in ("max", "mul", "random", "select")}


def stateful(x, seeds):
    import tensorflow as tf

    return x + tf.random.uniform((2, 3))


@pytest.mark.parametrize(("function", "expected"), [
    *CASES.values(), (stateful, {"random": 6, "add": 6})])
def test_layers_that_draw(function, expected):
    model = keras.Sequential([keras.Input(batch_shape=(2, 3)), seed_cases.Own(function)])
    assert counts(tos.count_ops(model, 2)) == {("float32", op): n for op, n in expected.items()}


@pytest.mark.parametrize("backend", [
    pytest.param(name, marks=pytest.mark.skipif(not find_spec(name), reason=f"no {name}"))
    for name in ("jax", "torch")])
def test_layers_that_draw_on_other_backends(backend):
    """Keras on JAX refuses to draw from its own seed where it is traced."""
    run = subprocess.run(
        [sys.executable, seed_cases.__file__], check=True, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"KERAS_BACKEND": backend,
                          "PYTHONPATH": str(Path(tos.__file__).parents[1])})
    assert json.loads(run.stdout.splitlines()[-1]) == {
        name: right for name, (_, right) in CASES.items()
        if not (backend == "jax" and name == "Keras' own")}


def test_seeds_are_noted_in_the_context_alone():
    first, second = layers.Dropout(0.5), layers.Dropout(0.5)
    with seeds_noted() as seeds:
        first(keras.ops.ones((2, 3)), training=True)
    second(keras.ops.ones((2, 3)), training=True)
    assert [seed is first.seed_generator.state for seed in seeds] == [True]
