"""Layers that draw random numbers, on the backend that KERAS_BACKEND names, as JSON.

A case is (function of an input of 2 x 3 values and of a layer's generator of seeds, op -> how many
float32 ones are counted).
"""

import json

import keras
from keras import ops, random

import tostoolkit as tos


class Own(keras.layers.Layer):
    """A layer that computes a function of its input and of its own generator of seeds."""

    def __init__(self, function):
        super().__init__()
        self.generator = random.SeedGenerator(3)
        self.function = function

    def call(self, x):
        return self.function(x, self.generator)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


def looped(x, seeds):
    return ops.fori_loop(0, 7, lambda i, v: v + random.uniform((2, 3), seed=seeds), x)


def looped_at_a_constant(x, seeds):
    return ops.fori_loop(0, 7, lambda i, v: v + random.uniform((2, 3), seed=4), x)


def guarded(x, seeds):
    drawn = random.uniform((2, 3), seed=seeds)
    return ops.cond(ops.sum(x) > 0, lambda: x * drawn, lambda: x)


CASES = {
    "normal": (lambda x, seeds: x + random.normal((2, 3), seed=seeds), {"random": 6, "add": 6}),
    "a row": (lambda x, seeds: x * random.uniform((3,), seed=seeds), {"random": 3, "mul": 6}),
    "Keras' own": (lambda x, seeds: x + random.uniform((2, 3)), {"random": 6, "add": 6}),
    # a draw from a constant is the same in each call, and so is what is made of it
    "a constant": (lambda x, seeds: x + random.uniform((2, 3), seed=1), {"add": 6}),
    "a normal at a constant": (lambda x, seeds: x * random.normal((3,), seed=8), {"mul": 6}),
    "tanh at a constant": (
        lambda x, seeds: x + ops.tanh(random.uniform((3,), seed=1)), {"add": 6}),
    "chosen at a constant": (lambda x, seeds: ops.where(
        random.uniform((2, 3), seed=2) > 0.5, x, 0.0), {"select": 6}),
    "a constant and a seed": (
        lambda x, seeds: x + random.uniform((3,), seed=1) * random.uniform((3,), seed=seeds),
        {"random": 3, "mul": 3, "add": 6}),
    "in a loop, at a constant": (looped_at_a_constant, {"add": 42}),
    # what is computed of a draw counts, though no input reaches it
    "tanh": (lambda x, seeds: x + ops.tanh(random.uniform((3,), seed=seeds)),
             {"random": 3, "tanh": 3, "add": 6}),
    # a seed that is taken for a number is data once it meets some
    "a seed as a number": (
        lambda x, seeds: x * ops.sum(ops.cast(seeds.next(), "float32")), {"mul": 6}),
    "in a loop": (looped, {"random": 42, "add": 42}),
    "in a branch": (guarded, {"random": 6, "add": 5, "max": 1, "mul": 6}),
}


def counts(function):
    """Return op -> how many are counted in float32 of a layer that computes a function."""
    model = keras.Sequential([keras.Input(batch_shape=(2, 3)), Own(function)])
    return {op: int(n) for (dtype, op), n in tos.count_ops(model, 2).sum().items()
            if n and dtype == "float32"}


if __name__ == "__main__":
    refused = {"Keras' own"} if keras.backend.backend() == "jax" else set()  # by Keras, in a trace
    print(json.dumps({name: counts(f) for name, (f, _) in CASES.items() if name not in refused}))
