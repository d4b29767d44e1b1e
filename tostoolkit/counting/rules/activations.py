"""Op counts of activation functions, as Keras computes them.

Each entry of `ACTIVATIONS` maps a Keras activation's name to the ops that it takes per element.
The formulas are those of ``keras.activations`` on the TensorFlow backend (Keras 3.15,
``keras/src/backend/tensorflow/nn.py``); kernels that TensorFlow fuses (softplus, ELU, SELU) count
by their definition.
"""

from collections import Counter
from math import ceil, log2


def ops(dtype, **counts):
    """Return a Counter of ``(dtype, op)`` keys; zero counts are left out.

    >>> ops("float32", mul=3, add=0)
    Counter({('float32', 'mul'): 3})
    """
    return Counter({(dtype, op): int(n) for op, n in counts.items() if n})


#: Ops per element of the element-wise activations.
ACTIVATIONS = {
    "linear": {},
    "relu": {"max": 1},
    "relu6": {"max": 2},                                       # min(max(x, 0), 6)
    "leaky_relu": {"mul": 1, "max": 1},                        # max(x, slope x)
    "elu": {"exp": 1, "max": 1},                               # x > 0 ? x : exp(x) - 1
    "selu": {"exp": 1, "max": 1, "mul": 2},                    # scale * (x > 0 ? x : a * expm1(x))
    "celu": {"max": 2, "div": 1, "exp": 1, "mul": 1, "add": 1},
    "softplus": {"exp": 1, "log": 1},                          # log1p(exp(x))
    "softsign": {"abs": 1, "add": 1, "div": 1},                # x / (1 + |x|)
    "squareplus": {"mul": 1, "add": 2, "sqrt": 1, "div": 1},   # (x + sqrt(x x + b)) / 2
    "sigmoid": {"sigmoid": 1},
    "log_sigmoid": {"neg": 2, "exp": 1, "log": 1},             # -softplus(-x)
    "hard_sigmoid": {"add": 1, "max": 2, "div": 1},            # relu6(x + 3) / 6
    "sparse_sigmoid": {"max": 2, "add": 1, "mul": 1, "select": 2},
    "silu": {"sigmoid": 1, "mul": 1},                          # x sigmoid(x)
    "hard_silu": {"add": 1, "max": 2, "div": 1, "mul": 1},     # x hard_sigmoid(x)
    "mish": {"exp": 1, "log": 1, "tanh": 1, "mul": 1},         # x tanh(softplus(x))
    "gelu": {"mul": 3, "neg": 1, "erf": 1},                    # x/2 erfc(-x / sqrt 2)
    "tanh": {"tanh": 1},
    "tanh_shrink": {"tanh": 1, "add": 1},                      # x - tanh(x)
    "hard_tanh": {"max": 2},                                   # clip(x, -1, 1)
    "soft_shrink": {"max": 2, "add": 2, "select": 2},
    "hard_shrink": {"abs": 1, "max": 1, "select": 1},
    "threshold": {"max": 1, "select": 1},
    "sparse_plus": {"max": 2, "add": 1, "pow": 1, "mul": 1, "select": 2},
    "exponential": {"exp": 1},
}

#: Ops per element of the tanh form of GELU: x/2 (1 + tanh(c (x + a x^3))).
GELU_TANH = {"mul": 4, "pow": 1, "add": 2, "tanh": 1}


def elementwise(dtype, n, per_element):
    """Return the counts of `n` elements that each take the ops `per_element`."""
    return ops(dtype, **{op: n * k for op, k in per_element.items()})


def softmax(dtype, n, length):
    """Return the counts of a softmax over rows of `length`, `n` elements in all.

    exp(x - max x) / sum(exp(x - max x)): per row length - 1 comparisons and length - 1 additions,
    per element a subtraction, an exponential and a division.
    """
    rows = n // length
    return ops(dtype, max=n - rows, add=2 * n - rows, exp=n, div=n)


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


def relu(dtype, n, negative_slope=0.0, max_value=None, threshold=0.0):
    """Return the counts of ``keras.activations.relu`` with its options."""
    counts = Counter()
    if negative_slope and max_value is None and not threshold:
        return elementwise(dtype, n, ACTIVATIONS["leaky_relu"])
    if negative_slope:  # - slope * relu(-x + threshold)
        counts += ops(dtype, neg=n, max=n, mul=n, add=2 * n if threshold else n)
    if threshold:
        counts += ops(dtype, max=n, select=n)
    elif max_value == 6:
        return counts + ops(dtype, max=2 * n)
    else:
        counts += ops(dtype, max=n)
    return counts + ops(dtype, max=2 * n if max_value is not None else 0)


#: Activations that work on rows: name -> f(dtype, n, length of the row).
ROW_ACTIVATIONS = {"softmax": softmax, "log_softmax": log_softmax, "sparsemax": sparsemax}


def activation(function, dtype, shape):
    """Return the counts of `function` applied to a tensor of `shape`.

    Parameters
    ----------
    function : callable or None
        As a Keras layer holds it in ``.activation``: a function of ``keras.activations``.
    dtype : str
    shape : tuple of int

    Returns
    -------
    Counter, or None where the function is none that Keras ships.

    Examples
    --------
    >>> def tanh(x): ...
    >>> activation(tanh, "float32", (2, 5))
    Counter({('float32', 'tanh'): 10})
    """
    if function is None:
        return Counter()
    name = getattr(function, "__name__", None)
    n = 1
    for d in shape:
        n *= d
    if name in ACTIVATIONS:
        return elementwise(dtype, n, ACTIVATIONS[name])
    if name in ROW_ACTIVATIONS:
        return ROW_ACTIVATIONS[name](dtype, n, shape[-1])
    if name == "glu":  # x1 sigmoid(x2), the halves of the last axis
        return ops(dtype, sigmoid=n // 2, mul=n // 2)
    return None
