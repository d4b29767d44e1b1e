"""Op counts of activation functions, as Keras computes them.

`ACTIVATIONS` holds one record an activation: what it takes, what its gradient takes, and the
operator of ``keras.ops`` that it is. A function takes a record where it is the one that Keras
ships, whatever its name. The formulas are those of ``keras.activations`` on the TensorFlow
backend (Keras 3.15, ``keras/src/backend/tensorflow/nn.py``); kernels that TensorFlow fuses
(softplus, ELU, SELU) count by their definition.
"""

from collections import Counter
from collections.abc import Callable
from functools import cache
from math import ceil, log2
from types import MappingProxyType
from typing import NamedTuple


def ops(dtype, **counts):
    """Return a Counter of ``(dtype, op)`` keys; zero counts are left out.

    Unsigned integers count as signed ones.

    >>> ops("float32", mul=3, add=0), ops("uint8", add=3)
    (Counter({('float32', 'mul'): 3}), Counter({('int8', 'add'): 3}))
    """
    dtype = dtype.removeprefix("u") if dtype.startswith("uint") else dtype
    found = Counter()
    for op, n in counts.items():  # a Counter of a dict takes three times as long
        if n:
            found[dtype, op] = int(n)
    return found


class Activation(NamedTuple):
    """What is known of an activation of ``keras.activations``.

    `forward` are its ops per element, empty where it works on rows: then `rows` is a function
    (dtype, elements, length of a row) -> Counter. `gradient` is either of these for its gradient,
    as TensorFlow computes it; None where only the trace knows. `operator` names the operator of
    ``keras.ops`` that is the same function, and has no options but the axis of the rows.
    """

    forward: dict
    gradient: dict | Callable | None = None
    operator: str | None = None
    rows: Callable | None = None

    def count(self, dtype, n, length) -> Counter:
        """Return the counts of `n` elements, in rows of `length`."""
        return _per(self.rows or self.forward, dtype, n, length)

    def count_gradient(self, dtype, n, length) -> Counter:
        """Return the counts of the gradient of `n` elements, in rows of `length`."""
        return _per(self.gradient, dtype, n, length)


def _per(work, dtype, n, length):
    return work(dtype, n, length) if callable(work) else elementwise(dtype, n, work)


#: Ops per element of the tanh form of GELU: x/2 (1 + tanh(c (x + a x^3))).
GELU_TANH = {"mul": 6, "add": 2, "tanh": 1}


def elementwise(dtype, n, per_element):
    """Return the counts of `n` elements that each take the ops `per_element`.

    An op in another dtype has it before its name.

    >>> elementwise("float32", 3, {"max": 2, "bool logic": 1})
    Counter({('float32', 'max'): 6, ('bool', 'logic'): 3})
    """
    counts = ops(dtype, **{op: n * k for op, k in per_element.items() if " " not in op})
    for op, k in per_element.items():
        if " " in op:
            own, name = op.split()
            counts += ops(own, **{name: n * k})
    return counts


def softmax(dtype, n, length):
    """Return the counts of a softmax over rows of `length`, `n` elements in all.

    exp(x - max x) / sum(exp(x - max x)): per row length - 1 comparisons and length - 1 additions,
    per element a subtraction, an exponential and a division.
    """
    rows = n // length
    return ops(dtype, max=n - rows, add=2 * n - rows, exp=n, div=n)


def softmax_gradient(dtype, n, length):
    """Return the counts of g y - y sum(g y) over rows of `length`, the gradient of a softmax."""
    return ops(dtype, add=2 * n - n // length, mul=2 * n)


def log_softmax(dtype, n, length):
    """Return the counts of x - max x - log(sum(exp(x - max x))) over rows of `length`."""
    rows = n // length
    return ops(dtype, max=n - rows, add=3 * n - rows, exp=n, log=rows)


def sparsemax(dtype, n, length):
    """Return the counts of sparsemax over rows of `length` (Martins and Astudillo 2016, Alg. 1).

    A sort counts length * ceil(log2(length)) comparisons.
    """
    rows = n // length
    return ops(
        dtype,
        max=n * ceil(log2(max(length, 2))) + 2 * n,  # sort, support test, clip at zero
        add=3 * (n - rows) + 3 * n + rows,  # cumulative sum, two sums; z - (c - 1) / r, z - tau
        div=n + rows, select=n,
    ) + ops("bool", convert=n)


def glu(dtype, n, length):
    """Return the counts of x1 sigmoid(x2), the halves of a row, `n` elements in all."""
    return ops(dtype, sigmoid=n // 2, mul=n // 2)


#: Name of an activation -> its record. Their order gives them their colours in figures: a new one
#: goes to the end, so that all others keep theirs.
ACTIVATIONS = MappingProxyType({
    "linear": Activation({}, {}),
    "relu": Activation({"max": 1}, {"max": 1, "select": 1}, "Relu"),
    "tanh": Activation({"tanh": 1}, {"add": 1, "mul": 2}, "Tanh"),  # gradient: g (1 - y y)
    "sigmoid": Activation(  # gradient: g y (1 - y)
        {"sigmoid": 1}, {"add": 1, "mul": 2}, "Sigmoid"),
    "gelu": Activation(  # x/2 erfc(-x / sqrt 2)
        {"mul": 3, "neg": 1, "erf": 1}, {"exp": 1, "neg": 2, "add": 1, "mul": 7}),
    "silu": Activation(  # x sigmoid(x); gradient: g s (1 + x (1 - s)), s computed anew
        {"sigmoid": 1, "mul": 1}, {"sigmoid": 1, "add": 2, "mul": 3}, "Silu"),
    "softmax": Activation({}, softmax_gradient, "Softmax", softmax),
    "elu": Activation(  # x > 0 ? x : exp(x) - 1
        {"exp": 1, "max": 1}, {"add": 1, "max": 1, "mul": 1, "select": 1}),
    "selu": Activation(  # scale * (x > 0 ? x : a * expm1(x))
        {"exp": 1, "max": 1, "mul": 2}, {"add": 1, "max": 1, "mul": 2, "select": 1}, "Selu"),
    "softplus": Activation(  # log1p(exp(x))
        {"exp": 1, "log": 1}, {"sigmoid": 1, "mul": 1}, "Softplus"),
    "softsign": Activation(  # x / (1 + |x|)
        {"abs": 1, "add": 1, "div": 1}, {"abs": 1, "add": 1, "div": 1, "mul": 1}, "Softsign"),
    "exponential": Activation({"exp": 1}, {"mul": 1}, "Exp"),
    "mish": Activation(  # x tanh(softplus(x))
        {"exp": 1, "log": 1, "tanh": 1, "mul": 1}, {"sigmoid": 1, "add": 2, "mul": 5}, "Mish"),
    "leaky_relu": Activation(  # max(x, slope x)
        {"mul": 1, "max": 1}, {"max": 1, "mul": 1, "select": 1}, "LeakyRelu"),
    "hard_sigmoid": Activation(  # relu6(x + 3) / 6
        {"add": 1, "max": 2, "div": 1}, {"div": 1, "max": 2, "bool logic": 1, "select": 1},
        "HardSigmoid"),
    "relu6": Activation(  # min(max(x, 0), 6)
        {"max": 2}, {"max": 2, "bool logic": 1, "select": 1}, "Relu6"),
    "hard_silu": Activation(  # x hard_sigmoid(x)
        {"add": 1, "max": 2, "div": 1, "mul": 1}, None, "HardSilu"),
    "log_softmax": Activation({}, None, "LogSoftmax", log_softmax),
    "celu": Activation(  # max(x, 0) + expm1(min(x, 0)), of an alpha of 1
        {"max": 2, "exp": 1, "add": 1}, None, "Celu"),
    "squareplus": Activation(  # (x + sqrt(x x + b)) / 2
        {"mul": 1, "add": 2, "sqrt": 1, "div": 1}, None, "Squareplus"),
    "log_sigmoid": Activation({"neg": 2, "exp": 1, "log": 1}, None, "LogSigmoid"),  # -softplus(-x)
    "sparse_sigmoid": Activation(
        {"max": 2, "add": 1, "mul": 1, "select": 2}, None, "SparseSigmoid"),
    "tanh_shrink": Activation({"tanh": 1, "add": 1}, None, "TanhShrink"),  # x - tanh(x)
    "hard_tanh": Activation({"max": 2}, None, "HardTanh"),  # clip(x, -1, 1)
    "soft_shrink": Activation({"max": 2, "add": 2, "select": 2}, None, "SoftShrink"),
    "hard_shrink": Activation({"abs": 1, "max": 1, "select": 1}, None, "HardShrink"),
    "threshold": Activation({"max": 1, "select": 1}, None, "Threshold"),
    "sparse_plus": Activation(  # (x + 1)^2 / 4 between -1 and 1
        {"max": 2, "add": 1, "mul": 2, "select": 2}, None, "SparsePlus"),
    "sparsemax": Activation({}, None, "Sparsemax", sparsemax),
    "glu": Activation({}, rows=glu),
})


def relu(dtype, n, negative_slope=0.0, max_value=None, threshold=0.0):
    """Return the counts of ``keras.activations.relu`` with its options."""
    counts = Counter()
    if negative_slope and max_value is None and not threshold:
        return elementwise(dtype, n, ACTIVATIONS["leaky_relu"].forward)
    if negative_slope:  # - slope * relu(-x + threshold)
        counts += ops(dtype, neg=n, max=n, mul=n, add=2 * n if threshold else n)
    if threshold:
        counts += ops(dtype, max=n, select=n)
    elif max_value == 6:
        return counts + ops(dtype, max=2 * n)
    else:
        counts += ops(dtype, max=n)
    return counts + ops(dtype, max=2 * n if max_value is not None else 0)


def elu(dtype, n, alpha=1.0):
    """Return the counts of ``keras.activations.elu``, whose kernel knows an `alpha` of 1 alone."""
    scaled = Counter() if alpha == 1 else ops(dtype, max=n, mul=n, select=n)
    return elementwise(dtype, n, ACTIVATIONS["elu"].forward) + scaled


@cache
def _names():
    """Function of ``keras.activations`` -> name of its record."""
    import keras

    return {getattr(keras.activations, name): name for name in ACTIVATIONS
            if hasattr(keras.activations, name)}  # some are newer than the oldest Keras we take


def name_of(function) -> str | None:
    """Return the name of the record of a function that Keras ships, None of any other.

    >>> import keras
    >>> name_of(keras.activations.relu)
    'relu'
    >>> def relu(x):
    ...     return keras.ops.exp(x)
    >>> name_of(relu) is None
    True
    """
    try:
        return "linear" if function is None else _names().get(function)
    except TypeError:  # not hashable, so it is not a function that Keras ships
        return None
