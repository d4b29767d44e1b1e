"""Operators on inputs of mixed dtypes and odd shapes, loops, and what they compute, by hand.

A case is (function, inputs, counts): an input is a shape of float32, or (shape, dtype); counts are
op -> number in float32, or ``"int32 add"`` -> number. The first axis of every input is the batch.
dtypes follow Keras' promotion: an integer with a float takes the float's, with another integer the
wider one's; a Python number takes the tensor's, a float with an integer ``floatx``.
"""

import numpy as np
from keras import layers, ops

BOOL, INT8, UINT8, INT32 = ((4, 3), "bool"), ((4, 3), "int8"), ((4, 3), "uint8"), ((4, 3), "int32")
HALF, BRAIN, X = ((4, 3), "float16"), ((4, 3), "bfloat16"), (4, 3)


def down(start, step, body):
    """Return a loop whose counter goes from `start` down by `step` to 0."""
    return lambda x: ops.while_loop(
        lambda i, v: i > 0, lambda i, v: (i - step, body(v)),
        (ops.convert_to_tensor(start), x))[1]


def apart(a, b):
    return ops.tanh(a), ops.exp(b)


def steps(n, step, *state):
    """Return what a loop of so many steps makes of a state."""
    return ops.while_loop(lambda i, *state: i < n, lambda i, *state: (i + 1, *step(*state)),
                          (ops.zeros((), "int32"), *state))[1:]


CASES = {
    # promotion
    "int8 x bfloat16": (ops.multiply, (INT8, BRAIN), {"int8 convert": 12, "bfloat16 mul": 12}),
    "float16 + int32": (ops.add, (HALF, INT32), {"int32 convert": 12, "float16 add": 12}),
    "float16 + float32": (ops.add, (HALF, X), {"float16 convert": 12, "add": 12}),
    "float16 x bfloat16": (ops.multiply, (HALF, BRAIN), {
        "float16 convert": 12, "bfloat16 convert": 12, "mul": 12}),
    "int8 + int32": (ops.add, (INT8, INT32), {"int8 convert": 12, "int32 add": 12}),
    "int32 / int32": (ops.divide, (INT32, INT32), {"int32 convert": 24, "div": 12}),
    "int32 // int32": (ops.floor_divide, (INT32, INT32), {"int32 div": 12, "int32 round": 12}),
    "uint8 + uint8": (ops.add, (UINT8, UINT8), {"int8 add": 12}),
    "uint8 + int8": (ops.add, (UINT8, INT8), {"int8 convert": 24, "int16 add": 12}),
    "greater of uint8": (ops.greater, (UINT8, UINT8), {"int8 max": 12}),
    "relu of uint8": (ops.relu, (UINT8,), {"int8 max": 12}),
    "square of uint32": (ops.square, (((4, 3), "uint32"),), {"int32 mul": 12}),
    "minimum of uint8, a row": (lambda x: ops.min(x, axis=-1), (UINT8,), {"int8 max": 8}),
    "square of bool": (ops.square, (BOOL,), {"bool convert": 12, "int32 mul": 12}),
    "bool x float": (ops.multiply, (BOOL, X), {"bool convert": 12, "mul": 12}),
    "bool + bool": (ops.logical_or, (BOOL, BOOL), {"bool logic": 12}),
    "int32 x 2": (lambda x: x * 2, (INT32,), {"int32 mul": 12}),
    "int32 x 2.0": (lambda x: ops.multiply(x, 2.0), (INT32,), {
        "int32 convert": 12, "mul": 12}),
    "bfloat16 x 2": (lambda x: x * 2, (BRAIN,), {"bfloat16 mul": 12}),
    "1 - float16": (lambda x: 1 - x, (HALF,), {"float16 add": 12}),
    "exp of int32": (ops.exp, (INT32,), {"int32 convert": 12, "exp": 12}),
    "sqrt of bool": (ops.sqrt, (BOOL,), {"bool convert": 12, "sqrt": 12}),
    "greater of int8 and float": (ops.greater, (INT8, X), {"int8 convert": 12, "max": 12}),
    "maximum of int32 and float16": (ops.maximum, (INT32, HALF), {
        "int32 convert": 12, "float16 max": 12}),
    "where of int8 and float": (ops.where, (BOOL, INT8, X), {"int8 convert": 12, "select": 12}),
    "matmul of float16 and int8": (ops.matmul, (((4, 4), "float16"), ((4, 4), "int8")), {
        "int8 convert": 16, "float16 mac": 64}),
    "matmul of int8": (ops.matmul, (((4, 4), "int8"), ((4, 4), "int8")), {"int8 mac": 64}),
    # reductions
    "sum of bools": (ops.sum, (BOOL,), {"bool convert": 12, "int32 add": 11}),
    "sum of int8": (ops.sum, (INT8,), {"int8 convert": 12, "int32 add": 11}),
    "mean of uint8": (ops.mean, (UINT8,), {"int8 convert": 12, "add": 11, "div": 1}),
    "mean of int32, kept": (lambda x: ops.mean(x, axis=-1, keepdims=True), (INT32,), {
        "int32 convert": 12, "add": 8, "div": 4}),
    "max of int8": (lambda x: ops.max(x, axis=-2), (INT8,), {"int8 max": 9}),
    "max of no axis": (lambda x: ops.max(x, axis=()), (X,), {}),
    "mean of no axis": (lambda x: ops.mean(x, axis=()), (X,), {}),
    "mean of one": (lambda x: ops.mean(x, axis=1), (((1, 1, 5), "float32"),), {}),
    "sum of one row": (lambda x: ops.sum(x, axis=0), (((1, 6), "float32"),), {}),
    "prod of all axes": (lambda x: ops.prod(x, axis=(0, 1, -1)), ((2, 3, 4),), {"mul": 23}),
    "any of a comparison": (lambda x: ops.any(x > 0, axis=-1), (X,), {"max": 12, "bool logic": 8}),
    "all, kept": (lambda x: ops.all(x, axis=1, keepdims=True), (BOOL,), {"bool logic": 8}),
    "argmax of int32": (lambda x: ops.argmax(x, axis=-1), (INT32,), {"int32 max": 8}),
    "cumsum of int32": (lambda x: ops.cumsum(x, axis=0), (INT32,), {"int32 add": 9}),
    "var of a row": (lambda x: ops.var(x, axis=-1), (X,), {"add": 8 + 12 + 8, "mul": 12, "div": 8}),
    "softmax of a scalar's row": (lambda x: ops.softmax(ops.reshape(ops.sum(x), (1,))), (X,), {
        "add": 11 + 1, "exp": 1, "div": 1}),
    # shapes
    "broadcasting both ways": (lambda a, b: a - b, ((4, 1, 3), (4, 5, 1)), {"add": 60}),
    "a row to a matrix": (lambda a: a * ops.expand_dims(a, 1), ((4, 4),), {"mul": 64}),
    "0-d from all": (lambda a: ops.sum(a) / ops.max(a), (X,), {"add": 11, "max": 11, "div": 1}),
    "a scalar to all": (lambda a: a - ops.mean(a), (X,), {"add": 11 + 12, "div": 1}),
    "einsum, out of order": (lambda a, b: ops.einsum("bik,bjk->jbi", a, b), (
        (2, 3, 4), (2, 5, 4)), {"mac": 2 * 3 * 5 * 4}),
    "einsum of one": (lambda a: ops.einsum("bij->jb", a), ((2, 3, 4),), {"add": 8 * 2}),
    "einsum of a dot": (lambda a, b: ops.einsum("bi,bi->b", a, b), (X, X), {"mac": 12}),
    "einsum of ellipses": (lambda a, b: ops.einsum("...ij,...kj->...ik", a, b), (
        (2, 3, 4), (2, 5, 4)), {"mac": 2 * 3 * 5 * 4}),
    "a batch of one": (ops.matmul, ((1, 3, 4), (1, 4, 2)), {"mac": 24}),
    "a vector's product": (lambda a, b: ops.matmul(a, b[0]), ((4, 3), (4, 3)), {"mac": 12}),
    # loops
    "down by three": (down(10, 3, ops.tanh), (X,), {"tanh": 4 * 12}),
    "down in a loop": (lambda x: ops.fori_loop(
        0, 3, lambda i, v: down(4, 2, ops.exp)(v), x), (X,), {"exp": 3 * 2 * 12}),
    "scan of pairs": (lambda x: ops.scan(
        lambda c, a: (c * a, ops.tanh(c)), ops.ones((3,)), x)[1], (X,), {
            "mul": 12, "tanh": 12}),
    "map of a reduction": (lambda x: ops.map(ops.max, x), (X,), {"max": 8}),
    "map in a map": (lambda x: ops.map(lambda r: ops.map(ops.sqrt, r), x), (X,), {"sqrt": 12}),
    "scan of a loop": (lambda x: ops.scan(
        lambda c, r: (ops.fori_loop(0, 2, lambda i, v: ops.tanh(v) + r, c), c),
        ops.zeros((3,)), x)[0], (X,), {"tanh": 24, "add": 24}),
    "loop from 2 to 9": (lambda x: ops.fori_loop(
        2, 9, lambda i, v: ops.exp(v) * 0.5, x), (X,), {"exp": 84, "mul": 84}),
    "backwards scan": (lambda x: ops.scan(
        lambda c, a: (ops.maximum(c, a), a), ops.zeros((3,)), x, reverse=True)[0], (X,), {
            "max": 12}),
    # 4 steps of 12 values, of which the exponential is nobody's
    "a carry that nobody needs": (lambda x: steps(4, apart, x, ops.log(x))[0], (X,), {"tanh": 48}),
    "one that another needs": (
        lambda x: steps(4, lambda a, b, c: (*apart(a, b), c + b), x, x, x)[2], (X,), {
            "exp": 48, "add": 48}),
    "in a loop, for nobody": (lambda x: steps(
        5, lambda a, b: (steps(3, apart, a, b)[0], ops.sin(b)), x, x)[0], (X,), {
            "tanh": 5 * 3 * 12}),
    "in a scan, for nobody": (lambda x: ops.scan(
        lambda c, r: (steps(3, apart, c, ops.log(r))[0] + r, r), ops.zeros((3,)), x)[0], (X,), {
            "tanh": 4 * 3 * 3, "add": 12}),
    "a loop whose counter counts down alone": (lambda x: ops.while_loop(
        lambda i, a, b: i > 0, lambda i, a, b: (i - 1, b, ops.tanh(b)),
        (ops.convert_to_tensor(6), x, x))[1], (X,), {"tanh": 6 * 12}),
    # what changes nothing, and what does
    "x + 0 of int32": (lambda x: x + 0, (INT32,), {}),
    "x x 1 of bfloat16": (lambda x: x * 1, (BRAIN,), {}),
    "x ^ 4 of int32": (lambda x: ops.power(x, 4), (INT32,), {"int32 mul": 24}),
    "x ^ 1 of int32": (lambda x: ops.power(x, 1), (INT32,), {}),
    # x x, x^2 x^2, x^4 x; each bit after the first is a square, and each that is 1 one product more
    "x ^ 5 of int32": (lambda x: ops.power(x, 5), (INT32,), {"int32 mul": 36}),
    "x ^ 11 of int32": (lambda x: ops.power(x, 11), (INT32,), {"int32 mul": 5 * 12}),
    "clip of int32": (lambda x: ops.clip(x, 0, 5), (INT32,), {"int32 max": 24}),
    "abs of int8": (ops.abs, (INT8,), {"int8 abs": 12}),
    "negative of int32": (ops.negative, (INT32,), {"int32 neg": 12}),
    "cast there and back": (lambda x: ops.cast(ops.cast(x, "float16"), "float32") + 1, (X,), {
        "convert": 12, "float16 convert": 12, "add": 12}),
    "digitize": (lambda x: ops.digitize(x, np.arange(3.0)), (X,), {"max": 2 * 12}),
    "digitize in 7 bins": (lambda x: ops.digitize(x, np.arange(6.0)), (X,), {
        "max": 3 * 12}),
    "Discretization": (layers.Discretization([0, 1, 2]), ((2, 3),), {"max": 2 * 6}),
    "Discretization in 2 bins": (layers.Discretization([0.5]), ((2, 3, 5),), {"max": 30}),
    "trapezoid along the batch": (lambda x: ops.trapezoid(x, axis=0), (X,), {
        "add": 9 + 6, "mul": 9}),
}

#: Why Keras on JAX, and the jaxpr of what it runs, say otherwise -> cases. All others are equal.
OTHERWISE_ON_JAX = {
    "JAX divides whole numbers by a formula of its own": ["int32 // int32"],
    "JAX multiplies whole numbers of two widths without a conversion": [
        "matmul of float16 and int8"],
    "each backend has a formula of its own": ["trapezoid along the batch"],
}
