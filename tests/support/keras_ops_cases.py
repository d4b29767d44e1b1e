"""Every public function of ``keras.ops``, called with plausible arguments, and what it computes.

Right values are closed forms of the functions' definitions, written beside each: where Keras
composes a function of others, of that composition (Keras 3.15 on TensorFlow); where a kernel fuses
it, of its formula; where a library chooses an algorithm, of the standard one (Golub and Van Loan,
Matrix Computations, 4th edition; Cooley and Tukey 1965; Knuth volume 3), with a note.

A case is (function, shapes of its tensors, counts). Shapes are float32, or (shape, dtype). Counts
are op -> number in float32, or ``"int32 add"`` -> number. Sizes are chosen to tell axes apart:
x is 4 x 6, so N = 24 elements in 4 rows.
"""

from math import ceil, log2

import numpy as np
from keras import ops

image = ops.image
N, ROWS = 24, 4
X = (4, 6)
INT, BOOL = (X, "int32"), (X, "bool")
PIXELS, VALUES = 2 * 6 * 8, 2 * 6 * 8 * 3
IMAGES = (2, 6, 8, 3)


def constant(*shape):
    """Return rising numbers of this shape."""
    return (np.arange(1, 1 + int(np.prod(shape))).reshape(shape) / 7).astype("float32")


def of(name, *args, **kwargs):
    """Return a call of a function of keras.ops with these arguments after its tensors."""
    def call(*tensors):
        module, _, function = name.rpartition(".")
        return getattr(image if module else ops, function)(*tensors, *args, **kwargs)
    return call


def each(**per_element):
    """Return the counts of 24 elements that each take these ops."""
    return {op.replace("_", " "): N * n for op, n in per_element.items()}


def lu(n):
    """Golub and Van Loan, Algorithm 3.4.1: pivot of n - k + 1, n - k divisions, (n - k)^2 MACs."""
    steps = range(1, n)
    return {"mac": sum((n - k) ** 2 for k in steps), "div": sum(n - k for k in steps),
            "max": sum(n - k for k in steps), "abs": sum(n - k + 1 for k in steps)}


def times(n, *counts):
    """Return n times the sum of counts."""
    total = {}
    for c in counts:
        for op, k in c.items():
            total[op] = total.get(op, 0) + n * k
    return total


def ctc(frames, batch, classes, states):
    """Backward variables of connectionist temporal classification, as TensorFlow scans.

    Per frame: sums of states x states, their logsumexp into each state and that of all. They give
    the likelihood (its last sum is their value at the first frame); the forward variables are
    needed by the gradient alone.
    """
    n, square = batch * states, batch * states * states
    lse = {"max": square - n + n, "select": n, "add": square + square - n + n, "exp": square,
           "log": n}
    whole = {"max": n - batch + batch, "select": batch, "add": n + n - batch + batch, "exp": n,
             "log": batch}
    backward = times(1, lse, whole, {"add": n + square + n + batch + n, "mul": batch + n})
    logits = frames * batch * classes
    rows = frames * batch
    return times(1, times(frames, backward), {
        # log of the softmax, and its choice of each label by a product with one-hot labels
        "max": logits - rows, "add": 3 * logits - rows, "exp": logits, "log": rows}, {
        "mul": rows * 3 * classes, "int32 max": batch * 2, "bool convert": batch * 2,
        # transitions: 1 - repeats, scattered, added to the others, and their logarithm
        "add": rows * 3 * (classes - 1) + batch * 2 + batch * 2 + square + batch, "log": square,
        "neg": batch})


UNARY = {  # function -> ops per element
    **dict.fromkeys(("abs", "absolute", "fabs"), {"abs": 1}),
    **dict.fromkeys(("arccos", "arcsin", "arctan", "cos", "sin", "tan"), {"sin": 1}),
    # logarithms of roots and quotients: NIST Digital Library of Mathematical Functions 4.37
    **dict.fromkeys(("arccosh", "arcsinh"), {"mul": 1, "add": 2, "sqrt": 1, "log": 1}),
    "arctanh": {"add": 2, "div": 1, "log": 1, "mul": 1},
    "angle": {"max": 1, "select": 1},  # of a real number: x < 0 ? pi : 0
    "cbrt": {"max": 1, "abs": 1, "pow": 1, "mul": 1},  # sign(x) |x|^(1/3)
    **dict.fromkeys(("ceil", "floor", "round"), {"round": 1}),
    "trunc": {"max": 1, "round": 2, "select": 1},  # x < 0 ? ceil(x) : floor(x)
    **dict.fromkeys(("cosh", "sinh"), {"exp": 2, "add": 1, "mul": 1}),
    **dict.fromkeys(("deg2rad", "rad2deg"), {"mul": 1}),
    **dict.fromkeys(("erf", "erfc", "erfinv"), {"erf": 1}),
    **dict.fromkeys(("exp", "expm1"), {"exp": 1}), "exp2": {"pow": 1},
    # Abramowitz and Stegun 9.8.2: exp(x) / sqrt(x), a polynomial of degree 8 in 3.75 / x
    "i0": {"abs": 1, "max": 1, "div": 2, "mul": 9, "add": 8, "exp": 1, "sqrt": 1},
    **dict.fromkeys(("isfinite", "isinf", "isnan", "isneginf", "isposinf", "sign"), {"max": 1}),
    **dict.fromkeys(("log", "log1p"), {"log": 1}),
    **dict.fromkeys(("log2", "log10"), {"log": 1, "div": 1}),
    "logical_not": {"convert": 1, "bool_logic": 1},
    # nan, +inf and -inf: five tests, two conjunctions, three choices
    "nan_to_num": {"max": 5, "bool_logic": 2, "select": 3}, "negative": {"neg": 1},
    "reciprocal": {"div": 1}, "rsqrt": {"rsqrt": 1}, "sqrt": {"sqrt": 1}, "square": {"mul": 1},
    "signbit": {"int32_logic": 1, "int32_max": 1},  # bits & 2^31 < 0
    "sinc": {"mul": 1, "max": 1, "sin": 1, "div": 1, "select": 1},
    "tanh": {"tanh": 1}, "sigmoid": {"sigmoid": 1},
    # activations
    "celu": {"max": 2, "exp": 1, "add": 1}, "elu": {"exp": 1, "max": 1},
    "gelu": {"mul": 6, "add": 2, "tanh": 1}, "hard_shrink": {"abs": 1, "max": 1, "select": 1},
    "hard_sigmoid": {"add": 1, "max": 2, "div": 1}, "hard_tanh": {"max": 2},
    **dict.fromkeys(("hard_silu", "hard_swish"), {"add": 1, "max": 2, "div": 1, "mul": 1}),
    "leaky_relu": {"mul": 1, "max": 1}, "log_sigmoid": {"neg": 2, "exp": 1, "log": 1},
    "relu": {"max": 1}, "relu6": {"max": 2}, "selu": {"exp": 1, "max": 1, "mul": 2},
    **dict.fromkeys(("silu", "swish"), {"sigmoid": 1, "mul": 1}),
    "soft_shrink": {"max": 2, "add": 2, "select": 2}, "softplus": {"exp": 1, "log": 1},
    "softsign": {"abs": 1, "add": 1, "div": 1},
    "sparse_plus": {"max": 2, "add": 1, "mul": 2, "select": 2},
    "sparse_sigmoid": {"max": 2, "add": 1, "mul": 1, "select": 2},
    "squareplus": {"mul": 1, "add": 2, "sqrt": 1, "div": 1}, "tanh_shrink": {"tanh": 1, "add": 1},
}
BINARY = {  # function of two tensors -> ops per element
    **dict.fromkeys(("add", "subtract"), {"add": 1}), "multiply": {"mul": 1},
    **dict.fromkeys(("divide", "true_divide"), {"div": 1}), "arctan2": {"sin": 1},
    "divide_no_nan": {"div": 1, "max": 1, "select": 1}, "floor_divide": {"div": 1, "round": 1},
    **dict.fromkeys(("equal", "not_equal", "greater", "greater_equal", "less", "less_equal",
                     "maximum", "minimum"), {"max": 1}),
    # the other where one is not a number: two tests, a choice by each that is one alone
    **dict.fromkeys(("fmax", "fmin"), {"max": 3, "bool_logic": 4, "select": 2}),
    "fmod": {"max": 1, "abs": 2, "rem": 1, "mul": 1},  # sign(x) (|x| mod |y|)
    "heaviside": {"max": 2, "select": 2},
    # M sqrt(1 + (m / M)^2), M and m the larger and the smaller of |x| and |y|
    "hypot": {"abs": 2, "max": 3, "div": 1, "select": 1, "mul": 2, "add": 1, "sqrt": 1},
    "isclose": {"abs": 2, "add": 2, "mul": 1, "max": 1},
    # max(x, y) + log1p(exp(-|x - y|)), x + y where one is not a number
    "logaddexp": {"add": 3, "max": 2, "abs": 1, "neg": 1, "exp": 1, "log": 1, "select": 1},
    "logaddexp2": {"add": 3, "max": 2, "abs": 1, "neg": 1, "exp": 1, "log": 1, "select": 1,
                   "mul": 1, "div": 1},
    **dict.fromkeys(("logical_and", "logical_or"), {"convert": 2, "bool_logic": 1}),
    "logical_xor": {"convert": 2, "bool_logic": 4},  # (x or y) and not (x and y)
    "mod": {"rem": 1}, "power": {"pow": 1}, "polar": {"sin": 2, "mul": 2},
    "nextafter": {"convert": 2, "float64_max": 1, "float64_add": 1, "float64_convert": 1},
}
INTEGERS = dict.fromkeys(  # function of two integer tensors
    ("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift",
     "left_shift", "right_shift"), {"int32_logic": 1})
#: nan* functions start by what is not a number, put something in its place, or count the rest.
_CLEANED, _COUNTED = {"max": N, "select": N}, {"max": N, "bool logic": N, "bool convert": N}
_NEGATIVE_ZERO = {"max": N, "int32 logic": N, "int32 max": N, "bool logic": N, "select": N}
_NANMEAN = times(1, _CLEANED, _COUNTED, {"add": 2 * (N - 1), "div": 1})
_NANVAR = times(1, _NANMEAN, {"add": N, "mul": N, "select": N}, _COUNTED,
                {"add": 2 * (N - 1), "div": 1})
_SORTED = N * ceil(log2(6))
_INTERPOLATED = {"add": 1, "mul": 2, "select": 1}  # of two neighbours; not a number where one is

REDUCTIONS = {  # function of x alone -> counts
    **dict.fromkeys(("all", "any"), {"convert": N, "bool logic": N - 1}),
    **dict.fromkeys(("max", "min", "amax", "amin"), {"max": N - 1}),
    "sum": {"add": N - 1}, "prod": {"mul": N - 1}, "mean": {"add": N - 1, "div": 1},
    # -0 counts as less than 0: of zeros the sign bit is looked at
    **dict.fromkeys(("argmax", "argmin"), times(1, _NEGATIVE_ZERO, {"max": N - 1})),
    **dict.fromkeys(("nanargmax", "nanargmin"), times(
        1, _CLEANED, _NEGATIVE_ZERO,
        {"max": N - 1, "bool logic": N - 1, "int32 select": 1})),
    "argsort": {"neg": N, "max": _SORTED}, "sort": {"neg": 2 * N, "max": _SORTED},
    "count_nonzero": {"max": N, "bool convert": N, "int64 add": N - 1, "int64 convert": 1},
    "cumsum": {"add": N - 1}, "cumprod": {"mul": N - 1}, "diff": {"add": N - ROWS},
    "median": times(1, {"neg": 2 * N, "max": N * ceil(log2(N)) + N, "bool logic": N - 1},
                    _INTERPOLATED),
    **{f"nancum{kind}": times(1, each(max=5, bool_logic=2, select=3), {op: N - 1})
       for kind, op in (("sum", "add"), ("prod", "mul"))},
    **dict.fromkeys(("nanmax", "nanmin"), times(
        1, _CLEANED, {"max": N + N - 1, "bool logic": N - 1, "select": 1})),
    "nansum": times(1, _CLEANED, {"add": N - 1}), "nanprod": times(1, _CLEANED, {"mul": N - 1}),
    "nanmean": _NANMEAN, "nanvar": _NANVAR, "nanstd": times(1, _NANVAR, {"sqrt": 1}),
    "norm": {"mul": N, "add": N - 1, "sqrt": 1}, "ptp": {"max": 2 * (N - 1), "add": 1},
    "var": {"add": 3 * N - 2, "mul": N, "div": 2},
    "std": {"add": 3 * N - 2, "mul": N, "div": 2, "sqrt": 1},
    "trapezoid": {"add": 20 + 16, "mul": 20},  # sum of (a + b) / 2
    # m + log(sum(exp(x - m))), m = 0 where the maximum is not finite
    "logsumexp": {"max": N, "select": 1, "add": 2 * N, "exp": N, "log": 1},
    "normalize": {"mul": 2 * N, "add": N - ROWS, "max": ROWS, "rsqrt": ROWS},
    "softmax": {"max": N - ROWS, "add": 2 * N - ROWS, "exp": N, "div": N},
    "log_softmax": {"max": N - ROWS, "add": 3 * N - ROWS, "exp": N, "log": ROWS},
    # Martins and Astudillo 2016, algorithm 1: a sort, a running sum, a support, two sums
    "sparsemax": {"max": _SORTED + 2 * N, "add": 3 * (N - ROWS) + 3 * N + ROWS, "div": N + ROWS,
                  "select": N, "bool convert": N},
    "glu": {"sigmoid": N // 2, "mul": N // 2}, "trace": {"select": N, "add": N - 1},
    "rms_normalization": {"mul": 2 * N, "add": N, "div": ROWS, "rsqrt": ROWS},
    # two means, the squares, x r - m r with r = rsqrt(variance + epsilon)
    "layer_normalization": {"add": 4 * N - 2 * ROWS + ROWS, "mul": 2 * N + ROWS, "div": 2 * ROWS,
                            "rsqrt": ROWS, "neg": ROWS},
}

EXACT = {
    **{name: (of(name), (X,), each(**per)) for name, per in UNARY.items()},
    **{name: (of(name), (X, X), each(**per)) for name, per in BINARY.items()},
    **{name: (of(name), (INT, INT), each(**per)) for name, per in INTEGERS.items()},
    **{name: (of(name), (X,), counts) for name, counts in REDUCTIONS.items()},
    **{name: (of(name), (INT,), each(int32_logic=1))
       for name in ("bitwise_not", "bitwise_invert")},
    "threshold": (of("threshold", 0.5, 0.1), (X,), each(max=1, select=1)),
    "clip": (of("clip", 0.0, 1.0), (X,), each(max=2)),
    "cast": (of("cast", "int32"), (X,), each(convert=1)),
    "saturate_cast": (of("saturate_cast", "int8"), (X,), each(max=2, convert=1)),
    "ldexp": (of("ldexp"), (X, INT), each(
        int32_convert=1, pow=1, mul=1, max=2, bool_logic=1, select=1)),
    "allclose": (of("allclose"), (X, X), {  # finite, and close; or equal
        "max": 4 * N, "bool logic": 3 * N + N - 1, "add": 2 * N, "mul": N, "abs": 2 * N}),
    "where": (of("where"), (BOOL, X, X), each(select=1)),
    "select": (lambda c, x: ops.select([c], [x], 0.0), (BOOL, X), each(select=1)),
    "average": (lambda x, w: ops.average(x, axis=-1, weights=w), (X, X),
                {"mul": N, "add": 2 * (N - ROWS), "div": ROWS}),
    "moments": (of("moments", [0]), (X,), {"add": 18 + N + 18, "mul": N, "div": 12}),
    **{name: (of(name, q, axis=1), ((4, 7),), times(
        1, {"neg": 56, "max": 28 * 3 + 28, "bool logic": 24}, times(4, _INTERPOLATED)))
       for name, q in (("quantile", 0.3), ("percentile", 30))},
    "cdist": (of("cdist"), (X, X), {"add": 96 + 16 * 5, "mul": 96, "sqrt": 16}),
    # quotients and remainders of 4 places by a row's length, and of the row
    "unravel_index": (of("unravel_index", X), (((4,), "int32"),),
                      {"int32 rem": 8, "int32 div": 4, "int32 round": 4}),
    "vander": (of("vander"), ((4,),), {"pow": 16}),
    # (stop - start) / 4 of four pairs; start + i step of three values between the ends
    "linspace": (of("linspace", 5), ((4,), (4,)), {"add": 4 + 12, "div": 4, "mul": 12}),
    "logspace": (of("logspace", 5), ((4,), (4,)), {"add": 16, "div": 4, "mul": 12, "pow": 20}),
    "geomspace": (of("geomspace", 5), ((4,), (4,)), {
        "abs": 8, "log": 8, "div": 8 + 4, "add": 16, "mul": 12 + 20, "pow": 20, "max": 4}),
    # contractions
    "matmul": (of("matmul"), ((2, 3, 4), (2, 4, 5)), {"mac": 2 * 3 * 5 * 4}),
    "dot": (of("dot"), ((6, 6), (6, 6)), {"mac": 216}), "vdot": (of("vdot"), ((6,), (6,)),
                                                                   {"mac": 6}),
    "inner": (of("inner"), (X, X), {"mac": 4 * 4 * 6}),
    "outer": (of("outer"), ((4,), (4,)), {"mul": 16}),
    "tensordot": (of("tensordot", 1), ((6, 6), (6, 6)), {"mac": 216}),
    "einsum": (lambda x, y: ops.einsum("bij,bjk->bik", x, y), ((2, 3, 4), (2, 4, 5)),
               {"mac": 120}),
    "correlate": (of("correlate", mode="valid"), ((6,), (6,)), {"mac": 6}),
    "cross": (of("cross"), ((4, 3), (4, 3)), {"mul": 24, "add": 12}),
    "kron": (of("kron"), (X, X), {"mul": N * N}),
    "dot_product_attention": (of("dot_product_attention"), (
        (2, 5, 3, 4), (2, 7, 3, 4), (2, 7, 3, 4)), {
            "mac": 2 * 210 * 4, "mul": 210, "max": 180, "add": 420 - 30, "exp": 210, "div": 210}),
    "conv": (of("conv", 1, "same"), ((3, 8, 8, 2), (3, 3, 2, 4)), {"mac": 3 * 64 * 4 * 18}),
    "conv_transpose": (of("conv_transpose", 2, "same"), ((3, 8, 8, 2), (3, 3, 4, 2)),
                       {"mac": 3 * 64 * 2 * 9 * 4}),
    "depthwise_conv": (of("depthwise_conv", 1, "same"), ((3, 8, 8, 2), (3, 3, 2, 1)),
                       {"mac": 3 * 64 * 2 * 9}),
    "separable_conv": (of("separable_conv", constant(1, 1, 2, 4), 1, "same"), (
        (3, 8, 8, 2), (3, 3, 2, 1)), {"mac": 3 * 64 * (2 * 9 + 4 * 2)}),
    "average_pool": (of("average_pool", 2), ((2, 6, 6, 3),), {"add": 54 * 3, "div": 54}),
    "max_pool": (of("max_pool", 2), ((2, 6, 6, 3),), {"max": 54 * 3}),
    # windows of 3 and of 4 at every place, along one axis and then along the other
    **{f"adaptive_{kind}_pool": (of(f"adaptive_{kind}_pool", (2, 2)), ((2, 6, 6, 3),), {
        op: 144 * 2 + 108 * 3 + 48 * 2 + 36 * 3} | ({"div": 144 + 108 + 48 + 36} if kind ==
                                                    "average" else {}))
       for kind, op in (("average", "add"), ("max", "max"))},
    "batch_normalization": (lambda x, m, v: ops.batch_normalization(x, m[0], v[0], -1), (
        (2, 5, 6), (2, 6), (2, 6)), {"add": 66, "mul": 66, "rsqrt": 6, "neg": 6}),
    "binary_crossentropy": (of("binary_crossentropy"), (X, X), each(
        max=2, log=2, add=3, mul=2, neg=1)),
    "categorical_crossentropy": (of("categorical_crossentropy"), (X, X), {
        "add": 40, "div": N, "max": 2 * N, "log": N, "mul": N, "neg": ROWS}),
    "sparse_categorical_crossentropy": (of("sparse_categorical_crossentropy"), (
        ((4,), "int32"), X), {"max": 2 * N + 20, "log": N + 4, "add": N + 20 + 4, "exp": N,
                              "int32 convert": 4}),
    "psnr": (of("psnr", 1.0), (X, X), {"add": N + 23 + 1, "mul": N + 1, "div": 2, "log": 1}),
    "one_hot": (of("one_hot", 5), (INT,), {"int32 convert": N}),
    "multi_hot": (of("multi_hot", 5), (INT,), {"int32 convert": N, "max": 4 * 5 * 5}),
    # five comparisons, counted and compared with k, of each row
    "in_top_k": (of("in_top_k", 2), (((4,), "int32"), X),
                 {"max": N, "int32 add": N - ROWS, "int32 max": ROWS}),
    "ctc_loss": (of("ctc_loss", np.array([3, 3]), np.array([6, 6])), (
        ((2, 3), "int32"), (2, 6, 5)), ctc(6, 2, 5, 8)),
    # the best of five in each of twelve frames, their sum, each compared with the one before
    "ctc_decode": (of("ctc_decode", np.array([6, 6])), ((2, 6, 5),),
                   {"max": 48, "add": 12, "int32 max": 12, "int64 convert": 12}),
    # places
    "segment_sum": (of("segment_sum", np.array([0, 0, 1, 2]), 3), (X,), {"add": N}),
    **{f"segment_{kind}": (of(f"segment_{kind}", np.array([0, 0, 1, 2]), 3), (X,), {op: N})
       for kind, op in (("max", "max"), ("min", "max"), ("prod", "mul"))},
    "scatter": (lambda v: ops.scatter(np.array([[0], [2]]), v, (5, 3)), ((2, 3),), {"add": 6}),
    "fold": (of("fold", (4, 4), 2), ((2, 12, 9),), {"add": 2 * 12 * 9}),
    "top_k": (of("top_k", 2), (X,), {"max": N}),
    # the 3 smallest of rows of 6, marked by a sum over the rows, and the 3 largest of the rest
    "argpartition": (of("argpartition", 2), (X,), {
        "convert": N, "int32 neg": N, "int32 max": 2 * N * 2, "int32 add": 3 * 18}),
    "digitize": (of("digitize", constant(7)), (X,), {"max": 3 * N}),
    "searchsorted": (lambda x: ops.searchsorted(constant(7), x), (X,), {"max": 3 * N}),
    # loops
    "scan": (lambda x: ops.scan(lambda s, a: (ops.tanh(s + a), s * a), ops.zeros((4,)), x),
             ((10, 4),), {"tanh": 40, "add": 40, "mul": 40}),
    # 4 + 2 + 1 sums upwards and 1 + 3 downwards, of rows of 2
    "associative_scan": (lambda x: ops.associative_scan(lambda a, b: a + b, x), ((8, 2),),
                         {"add": 22}),
    "map": (lambda x: ops.map(ops.exp, x), (X,), each(exp=1)),
    "vectorized_map": (lambda x: ops.vectorized_map(ops.exp, x), (X,), each(exp=1)),
    "fori_loop": (lambda x: ops.fori_loop(0, 10, lambda i, v: ops.tanh(v), x), (X,),
                  each(tanh=10)),
    "while_loop": (lambda x: ops.while_loop(
        lambda i, v: i < 5, lambda i, v: (i + 1, ops.tanh(v)), (0, x)), (X,), each(tanh=5)),
    "cond": (lambda p, x: ops.cond(ops.sum(p) > 0, lambda: ops.exp(x) * 2.0, lambda: x), (X, X),
             {"add": N - 1, "max": 1, "exp": N, "mul": N}),
    "switch": (lambda x: ops.switch(
        ops.cast(ops.sum(x), "int32"), [ops.exp, lambda v: ops.tanh(v) * 2.0], x), (X,),
        {"add": N - 1, "convert": 1, "int32 max": 2, "tanh": N, "mul": N}),
    "jvp": (lambda x: ops.jvp(ops.exp, (x,), (x,)), (X,), each(exp=1, mul=1)),
    "custom_gradient": (lambda x: ops.custom_gradient(
        lambda a: (ops.exp(a), lambda *g, upstream=None: g[0]))(x), (X,), each(exp=1)),
    "view_as_complex": (of("view_as_complex"), ((4, 2),), {"mul": 16, "add": 8 + 8}),  # x + i y
    # windows are constants
    **{name: (lambda x, name=name: getattr(ops, name)(6) * x, (X,), each(mul=1))
       for name in ("bartlett", "blackman", "hamming", "hanning")},
    "kaiser": (lambda x: ops.kaiser(6, 8.0) * x, (X,), each(mul=1)),
    "full": (lambda x: ops.full(X, 2.0) + x, (X,), each(add=1)),
    "arange": (lambda x: ops.arange(6.0) * x, (X,), each(mul=1)),
    "ones": (lambda x: ops.ones(X) + x, (X,), each(add=1)),
    "eye": (lambda x: ops.eye(4, 6) + x, (X,), each(add=1)),
    "identity": (lambda x: ops.identity(6) + x, ((6, 6),), {"add": 36}),
    "tri": (lambda x: ops.tri(4, 6) * x, (X,), each(mul=1)),
    # transforms: 2 N log2 N multiplications and 3 N log2 N additions, half of it for real values
    "fft": (lambda a, b: ops.fft((a, b)), ((2, 8), (2, 8)), {"mul": 2 * 48, "add": 2 * 72}),
    "fft2": (lambda a, b: ops.fft2((a, b)), ((2, 8, 4), (2, 8, 4)), {
        "mul": 2 * 2 * 32 * 5, "add": 2 * 3 * 32 * 5}),
    "ifft2": (lambda a, b: ops.ifft2((a, b)), ((2, 8, 4), (2, 8, 4)), {
        "mul": 2 * 2 * 32 * 5, "add": 2 * 3 * 32 * 5, "neg": 128, "div": 128}),
    "rfft": (of("rfft"), ((2, 8),), {"mul": 48, "add": 72}),
    "irfft": (lambda a, b: ops.irfft((a, b)), ((2, 5), (2, 5)), {"mul": 48 + 16, "add": 72}),
    # five frames of eight, each with its window
    "stft": (of("stft", 8, 4, 8), ((2, 16),), {"mul": 10 * (8 + 24), "add": 10 * 36}),
    "istft": (lambda a, b: ops.istft((a, b), 8, 4, 8), ((2, 5, 5), (2, 5, 5)), {
        "mul": 10 * (24 + 8 + 8), "add": 10 * 36 + 2 * 6 * 4}),
    # linear algebra
    "cholesky": (of("cholesky"), ((2, 5, 5),), times(2, {"mac": 20, "div": 10, "sqrt": 5})),
    "cholesky_inverse": (of("cholesky_inverse"), ((2, 5, 5),), times(
        2, {"mac": 5 * 10 + 125, "div": 25})),
    "det": (of("det"), ((2, 5, 5),), times(2, lu(5), {"mul": 4})),
    "inv": (of("inv"), ((2, 5, 5),), times(2, lu(5), {"mac": 5 * 20, "div": 25})),
    "solve": (of("solve"), ((2, 5, 5), (2, 5, 3)), times(2, lu(5), {"mac": 3 * 20, "div": 15})),
    "solve_triangular": (of("solve_triangular"), ((2, 5, 5), (2, 5, 3)),
                         times(2, {"mac": 3 * 10, "div": 15})),
    "logdet": (of("logdet"), ((2, 5, 5),), times(
        2, {"mac": 20, "div": 10, "sqrt": 5, "log": 5, "add": 4, "mul": 1})),
    "slogdet": (of("slogdet"), ((2, 5, 5),), times(
        2, lu(5), {"log": 5, "abs": 5, "add": 4, "max": 5, "mul": 4})),
    # reflections of length 5, 4, 3 over what is right of them, and backwards over Q
    "qr": (of("qr"), ((2, 5, 3),), times(2, {
        "mac": (5 + 20 + 30) + (4 + 8 + 16) + (3 + 0 + 6), "sqrt": 3, "div": 4 + 3 + 2})),
    # 25 n^3, 9 n^3, 14 m n^2 + 8 n^3 and 4 m n^2 - 4 n^3 / 3 flops, two a MAC
    "eig": (of("eig"), ((2, 4, 4),), times(2, {"mac": 25 * 64 // 2})),
    "eigh": (of("eigh"), ((2, 4, 4),), times(2, {"mac": 9 * 64 // 2})),
    "svd": (of("svd", full_matrices=False), ((2, 5, 3),), times(2, {
        "mac": (14 * 5 * 9 + 8 * 27) // 2})),
    "matrix_rank": (of("matrix_rank"), ((2, 5, 3),), times(2, {
        "mac": (4 * 5 * 9 - 4 * 27 // 3) // 2, "max": 2 + 3, "mul": 1, "bool convert": 3,
        "int32 add": 2})),
    # V S^-1 U', of the values above a bound
    "pinv": (of("pinv"), ((2, 5, 3),), times(2, {
        "mac": (14 * 5 * 9 + 8 * 27) // 2 + 3 * 3 * 5, "max": 2 + 3, "mul": 1, "select": 3,
        "div": 9})),
    "lstsq": (of("lstsq"), ((5, 3), (5, 2)), {
        "mac": (14 * 5 * 9 + 8 * 27) // 2 + 3 * 2 * 5 + 3 * 2 * 3, "max": 3, "mul": 1 + 6,
        "select": 6, "div": 3}),
    "lu_factor": (of("lu_factor"), ((5, 5),), lu(5)),
    # products of centred rows over n - 1, each over the product of two roots on the diagonal (a
    # contraction of length 1), clipped
    "corrcoef": (of("corrcoef"), (X,), {
        "add": N - ROWS + N, "div": ROWS + 2 * 16, "mac": 16 * 6 + 16, "sqrt": ROWS,
        "max": 2 * 16}),
    # images: bilinear is three steps a + (b - a) t
    **{f"image.{name}": (call, (IMAGES,), {"add": 6 * VALUES, "mul": 3 * VALUES})
       for name, call in (
           ("affine_transform", of("image.affine_transform", np.array(
               [[1.0, 0, 0, 0, 1, 0, 0, 0]] * 2, "float32"))),
           ("perspective_transform", of("image.perspective_transform", constant(2, 4, 2),
                                        constant(2, 4, 2)[:, ::-1])),
           ("resize", of("image.resize", (12, 4))))},
    # a sum of four neighbours with weights that are constants, or drawn
    "image.elastic_transform": (of("image.elastic_transform", seed=1), (IMAGES,),
                                {"add": 3 * VALUES, "mul": 4 * VALUES}),
    # all of the places are in the image, so that none is filled
    "image.map_coordinates": (of("image.map_coordinates", constant(2, 10), 1), ((6, 8),),
                              {"add": 30, "mul": 40}),
    "image.scale_and_translate": (
        lambda x: image.scale_and_translate(
            x, (2, 12, 4, 3), np.array([2.0, 0.5], "float32"), np.zeros(2, "float32"), (1, 2),
            "linear"), (IMAGES,), {"mac": 2 * 3 * (12 * 6 * 8 + 4 * 8 * 12)}),
    # Keras convolves with kernels of one 1
    "image.extract_patches": (of("image.extract_patches", 2), (IMAGES,),
                              {"mac": 2 * 3 * 4 * 12 * 12}),
    "image.extract_patches_3d": (of("image.extract_patches_3d", 2), ((2, 4, 6, 8, 3),),
                                 {"mac": 2 * 2 * 3 * 4 * 24 * 24}),
    "image.gaussian_blur": (of("image.gaussian_blur"), (IMAGES,), {"mac": VALUES * 9}),
    "image.sobel_edges": (of("image.sobel_edges"), (IMAGES,), {"mac": VALUES * 2 * 9}),
    "image.rgb_to_grayscale": (of("image.rgb_to_grayscale"), (IMAGES,), {"mac": PIXELS * 3}),
    # v = max, c = v - min, s = c / v, h = sixths of a turn by which of the three is v
    "image.rgb_to_hsv": (of("image.rgb_to_hsv"), (IMAGES,), times(PIXELS, {
        "max": 2 + 2 + 1 + 2 + 1 + 1, "add": 1 + 3 + 2 + 1, "div": 1 + 1, "mul": 1 + 3,
        "select": 1 + 2 + 1 + 1})),
    # of each channel |6 h - k| - 1 between 0 and 1, then (1 - s + s that) v
    "image.hsv_to_rgb": (of("image.hsv_to_rgb"), (IMAGES,), times(PIXELS, {
        "mul": 1 + 3 * 2, "add": 3 * 2 + 1 + 3, "abs": 3, "max": 3 * 2})),
    # five windows of 11 x 11 at 6 x 6 places, of x, y, their squares and product; a mean over the
    # places, and none over the one channel
    "image.ssim": (of("image.ssim", 1.0), ((2, 16, 16, 1), (2, 16, 16, 1)), {
        "mac": 5 * 72 * 121, "mul": 3 * 512 + 7 * 72, "add": 9 * 72 + 70, "div": 72 + 2}),
}

MOVES = {  # what computes nothing -> (function, shapes)
    **{name: (of(name), (X,)) for name in (
        "array", "conj", "conjugate", "convert_to_tensor", "copy", "diag", "diagflat", "diagonal",
        "empty_like", "fliplr", "flipud", "flip", "imag", "isreal", "ones_like", "ravel", "real",
        "rot90", "stop_gradient", "transpose", "tril", "triu", "zeros_like")},
    **{name: (of(name), (X, X)) for name in ("append",)},
    **{name: (lambda x, y, name=name: getattr(ops, name)([x, y]), (X, X))
       for name in ("concatenate", "dstack", "hstack", "stack", "vstack")},
    "array_split": (of("array_split", 3, axis=1), (X,)), "split": (of("split", 2, 1), (X,)),
    "dsplit": (of("dsplit", 2), ((2, 3, 4),)), "hsplit": (of("hsplit", 2), ((2, 4),)),
    "vsplit": (of("vsplit", 2), ((2, 4),)), "unstack": (of("unstack", axis=1), (X,)),
    "broadcast_to": (of("broadcast_to", (3, 4, 6)), (X,)),
    "depth_to_space": (of("depth_to_space", 2), ((2, 4, 4, 8),)),
    "space_to_depth": (of("space_to_depth", 2), ((2, 4, 4, 8),)),
    "expand_dims": (of("expand_dims", 1), (X,)), "squeeze": (of("squeeze", 1), ((4, 1),)),
    "extract_sequences": (of("extract_sequences", 4, 2), ((2, 10),)),
    "full_like": (of("full_like", 2.0), (X,)), "get_item": (of("get_item", np.s_[:, 1]), (X,)),
    "meshgrid": (of("meshgrid"), ((4,), (4,))), "moveaxis": (of("moveaxis", 0, 1), (X,)),
    "pad": (of("pad", ((1, 1), (1, 1))), (X,)), "rearrange": (of("rearrange", "a b -> b a"), (X,)),
    "repeat": (of("repeat", 2, 1), (X,)), "reshape": (of("reshape", (6, 4)), (X,)),
    "roll": (of("roll", 1), (X,)), "swapaxes": (of("swapaxes", 0, 1), (X,)),
    "scatter_update": (lambda x, u: ops.scatter_update(x, np.array([[0], [2], [1], [0]]), u),
                       (X, X)),
    "slice": (of("slice", (0, 1), (2, 2)), (X,)),
    "slice_update": (lambda x, u: ops.slice_update(x, (0, 1), u), (X, (4, 2))),
    "take": (of("take", np.array([1, 2]), 1), (X,)),
    "take_along_axis": (of("take_along_axis", np.array([[1], [2], [0], [0]]), 1), (X,)),
    "tile": (of("tile", 2), (X,)), "unfold": (of("unfold", 2), ((2, 3, 4, 4),)),
    "view": (of("view", "int32"), (X,)), "view_as_real": (of("view_as_real"),
                                                           (((4,), "complex64"),)),
    # x + 0
    "zeros": (lambda x: ops.zeros(X) + x, (X,)), "empty": (lambda x: ops.empty(X) + x, (X,)),
    # what is known of a tensor without its values
    "is_tensor": (lambda x: (ops.is_tensor(x), ops.copy(x))[1], (X,)),
    "ndim": (lambda x: ops.reshape(x, (-1, 1, 1)[:ops.ndim(x)] if isinstance(
        ops.ndim(x), int) else (-1, 1)), (X,)),
    "shape": (lambda x: ops.reshape(x, ops.shape(x)[::-1]), (X,)),
    "size": (lambda x: (ops.size(x), ops.copy(x))[1], (X,)),
    "dtype": (lambda x: ops.cast(x, ops.dtype(x)), (X,)),
    "image.crop_images": (of("image.crop_images", 1, 1, 1, 1), (IMAGES,)),
    "image.pad_images": (of("image.pad_images", 1, 1, 1, 1), (IMAGES,)),
}

KERAS = "Keras"  #: Keras itself raises, before anything is counted
REFUSED = {  # what cannot be counted -> (function, shapes, what the error says, why)
    "convert_to_numpy": (of("convert_to_numpy"), (X,), KERAS, "a graph has no values"),
    "vectorize": (lambda x: ops.vectorize(ops.exp)(x), (X,), KERAS,
                  "Keras has it on other backends alone"),
    "bincount": (of("bincount", minlength=8), (INT,), "depends on the data",
                 "the length of what comes out is the largest value"),
    "nonzero": (of("nonzero"), (X,), "depends on the data", "how many there are"),
    "unique": (of("unique"), ((8,),), "depends on the data", "how many there are"),
    "nanmedian": (of("nanmedian"), (X,), "depends on the data", "it sorts what is a number"),
    "gcd": (of("gcd"), (INT, INT), "until the data end it",
            "Euclid's algorithm takes as many steps as the numbers ask for"),
    "lcm": (of("lcm"), (INT, INT), "until the data end it", "it divides by what gcd returns"),
    "histogram": (of("histogram", 5, (0.0, 1.0)), ((24,),), "AttributeError|depends on the data",
                  "it counts what is in the range; bare, Keras lacks the function that it calls"),
    "isin": (of("isin", constant(5)), (X,), "OperatorNotAllowedInGraphError",
             "Keras looks for the values that differ, and tests how many these are"),
    # Keras takes a tensor's number for a size, which TensorFlow refuses in a graph; and then it
    # sorts what is a number, as nanmedian does
    **{name: (of(name, q, 1), ((4, 7),), "TypeError", "Keras does not run it in a graph")
       for name, q in (("nanquantile", 0.3), ("nanpercentile", 30))},
}
#: Functions that Keras runs in one of the two places alone.
NOT_BARE = {"cond": "its branches hold tensors", "custom_gradient": "it takes no symbolic tensor",
            "view_as_complex": "Keras multiplies by a complex number that TensorFlow refuses",
            "while_loop": "its counter is a number"}
