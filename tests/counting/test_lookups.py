"""Lookups by indices that are data: each index that is given is wrapped once.

A negative index is one comparison, one addition of the length and one choice; Keras converts the
indices of ``take_along_axis`` to int64 first.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import keras
import lookup_cases
import numpy as np
import pytest
from keras import ops
from traced import trace_ops

import tostoolkit as tos
from tostoolkit.counting.backends.tensorflow_definitions import take_along_axis


def whole(table):
    return {key: int(n) for key, n in table.sum().items() if n}


def wrapped(n, dtype):
    return {(dtype, "add"): n, (dtype, "max"): n, (dtype, "select"): n}


@pytest.mark.parametrize("indices", [(3, 1), (3, 4), (1, 1), (1, 4), (9, 1)])
def test_along_an_axis(indices):
    """As many as are given, whatever they are broadcast to: 6 x 4 values along the 6."""
    x, places = keras.Input((6, 4)), keras.Input(indices, dtype="int32")
    model = keras.Model([x, places], ops.take_along_axis(x, places, axis=1))
    n = indices[0] * indices[1]
    right = wrapped(n, "int64") | {("int32", "convert"): n}
    assert whole(tos.count_ops(model)) == whole(trace_ops(model)) == right


@pytest.mark.parametrize(("shape", "indices", "axis"), [
    ((2, 6, 4), (2, 3, 1), 1), ((2, 6, 4), (2, 3, 4), -2), ((6,), (3,), None), ((2, 6), (5,), None),
    ((6,), (3,), 0), ((2, 1, 4), (1, 5, 4), 2), ((3, 4), (3, 2), -1), ((1, 3, 4), (5, 9, 4), 1),
    ((2, 3, 4), (2, 3, 9), 2), ((3, 4), (1, 4), 0)])
def test_the_definition_is_numpys_function(shape, indices, axis):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape)
    length = x.size if axis is None else shape[axis]
    places = rng.integers(-length, length, size=indices)
    if axis is None:
        right = np.take_along_axis(x, places, None)
    else:  # NumPy broadcasts all but the axis, as it does everywhere
        around = [max(a, b) for a, b in zip(shape, indices, strict=True)]
        right = np.take_along_axis(*(np.broadcast_to(a, [
            a.shape[i] if i == axis % x.ndim else n for i, n in enumerate(around)])
            for a in (x, places)), axis)
    np.testing.assert_array_equal(take_along_axis(x, places, axis), right)


@pytest.mark.parametrize("look", [
    lambda table, places: ops.take(table, places),
    lambda table, places: ops.take(table[None], places, axis=1)])
def test_in_a_table_of_constants_by_data(look):
    """The table is a constant, the places are data: no rule holds, though one tensor is given."""
    places = keras.Input((3,), dtype="int32")
    model = keras.Model(places, look(np.arange(5, dtype="int32"), places))
    assert whole(tos.count_ops(model)) == whole(trace_ops(model)) == wrapped(3, "int32")


def test_at_places_that_are_constants():
    """Constants are wrapped once for all."""
    x = keras.Input((6, 4))
    model = keras.Model(x, ops.take_along_axis(x, np.array([[[1], [-2]]]), axis=1))
    assert whole(tos.count_ops(model)) == whole(trace_ops(model)) == {}


@pytest.mark.parametrize("name", lookup_cases.CASES)
def test_each_index_is_wrapped_once(name):
    make, n = lookup_cases.CASES[name]
    assert lookup_cases.of_indices(make()) == dict.fromkeys(("add", "max", "select"), n)


@pytest.mark.parametrize("backend", [
    pytest.param(name, marks=pytest.mark.skipif(not find_spec(name), reason=f"no {name}"))
    for name in ("jax", "torch")])
def test_each_index_is_wrapped_once_on_other_backends(backend):
    run = subprocess.run(
        [sys.executable, lookup_cases.__file__], check=True, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"KERAS_BACKEND": backend,
                          "PYTHONPATH": str(Path(tos.__file__).parents[1])})
    assert json.loads(run.stdout.splitlines()[-1]) == {
        name: dict.fromkeys(("add", "max", "select"), n)
        for name, (_, n) in lookup_cases.CASES.items()}
