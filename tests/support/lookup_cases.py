"""Lookups by indices that are data, on the backend that KERAS_BACKEND names, as JSON.

A case is (function that makes a model of a batch of 2, how many indices it is given). An int8 table
has scales, which are looked up by the same indices once more.
"""

import json

import keras
from keras import layers, ops

import tostoolkit as tos


def embedded(change=lambda table: None, **options):
    """Return a model of 7 words, each of which an embedding of 11 looks up, changed afterwards."""
    words, table = keras.Input((7,), dtype="int32"), layers.Embedding(11, 4, **options)
    model = keras.Model(words, table(words))
    change(table)
    return model


def function_of(function, *shapes):
    """Return a model of a function of a table and of places."""
    x, places = (keras.Input(shape, dtype=dtype) for shape, dtype in zip(
        shapes, ("float32", "int32"), strict=True))
    return keras.Model([x, places], function(x, places))


CASES = {
    "Embedding": (embedded, 14),
    "masked": (lambda: embedded(mask_zero=True), 14),
    "lora": (lambda: embedded(lambda table: table.enable_lora(2)), 14),
    "int8": (lambda: embedded(lambda table: table.quantize("int8")), 2 * 14),
    "int8, masked": (lambda: embedded(lambda table: table.quantize("int8"), mask_zero=True), 28),
    "bfloat16": (lambda: embedded(dtype="mixed_bfloat16"), 14),
    "in a layer": (lambda: keras.Sequential([
        keras.Input((7,), dtype="int32"),
        layers.Lambda(lambda x: ops.take(ops.ones((11, 4)), x, axis=0))]), 14),
    "of rows": (lambda: function_of(lambda x, i: ops.take(x, i, axis=1), (6, 4), (3,)), 6),
    "of columns": (lambda: function_of(lambda x, i: ops.take(x, i, axis=-1), (6, 4), (3, 5)), 30),
    "of all": (lambda: function_of(ops.take, (6, 4), (3,)), 6),
    "along": (lambda: function_of(
        lambda x, i: ops.take_along_axis(x, i, axis=1), (6, 4), (3, 4)), 24),
    "along, one for each row": (lambda: function_of(
        lambda x, i: ops.take_along_axis(x, i, axis=1), (6, 4), (3, 1)), 6),
    "along the last": (lambda: function_of(
        lambda x, i: ops.take_along_axis(x, i, axis=-1), (6, 4), (1, 2)), 4),
    "along, in a layer": (lambda: keras.Sequential([
        keras.Input((6, 4)), layers.Lambda(lambda x: ops.take_along_axis(
            x, ops.cast(x, "int32"), axis=1))]), 2 * 6 * 4),
}


def of_indices(model):
    """Return op -> how many are counted of indices, which are integers; conversions are not."""
    found = {}
    for (dtype, op), n in tos.count_ops(model, 2).sum().items():
        if dtype in ("int32", "int64") and op != "convert" and n:
            found[op] = found.get(op, 0) + int(n)
    return found


if __name__ == "__main__":
    print(json.dumps({name: of_indices(make()) for name, (make, _) in CASES.items()}))
