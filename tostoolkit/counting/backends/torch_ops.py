"""Op counts of PyTorch's aten ops: one entry an op, on static shapes.

What a kernel fuses counts by its definition, so that a fused and an unfused form of the same
function count alike. The dtype is that in which an op computes: of operands of two dtypes, the one
that they are promoted to, and the others count as converted. A power with a small constant
exponent is what it is multiplied from. An op that stands nowhere here is what PyTorch says that it
consists of, or else an error, never nothing.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..rules.activations import (
    ACTIVATIONS,
    GELU_TANH,
    elementwise,
    elu,
    log_softmax,
    ops,
    softmax,
    softmax_gradient,
)
from .torch_kernels import KERNELS, dtype_of
from .torch_tables import COMPARISONS, ELEMENTWISE, FACTORIES, LOGIC, MOVEMENT, RANDOM, REDUCTIONS


@dataclass(frozen=True)
class TorchOp:
    """One op that runs: its arguments by name, its tensors.

    `constant` gives the number that an operand is, None where it is none or varies, and `is_data`
    says whether data reach a tensor.
    """

    name: str
    arguments: dict
    inputs: list
    outputs: list
    constant: Callable
    is_data: Callable

    def get(self, name, default=None):
        """Return an argument, or what it is where it is left out."""
        value = self.arguments.get(name)
        return default if value is None else value


#: Ops per element of complex arithmetic, in the dtype of its parts.
_COMPLEX = {"mul": {"mul": 4, "add": 2}, "add": {"add": 2}, "sub": {"add": 2}, "neg": {"neg": 2},
            "abs": {"mul": 2, "add": 1, "sqrt": 1}, "polar": {"sin": 2, "mul": 2}}


def _complex(op):
    """Count arithmetic on complex numbers: that on their parts."""
    part = next(t for t in (*op.inputs, *op.outputs) if t.is_complex()).dtype.to_real()
    n, per_element = op.outputs[0].numel(), _COMPLEX.get(op.name)
    if op.name == "mul" and not (len(op.inputs) == 2 and all(t.is_complex() for t in op.inputs)):
        per_element = {"mul": 2}  # by a real number
    if per_element is None:
        raise ValueError("of the arithmetic of complex numbers it is not known")
    return elementwise(str(part).removeprefix("torch."), n, per_element)


def _per_output(per_element):
    def count(op):
        if any(t.is_complex() for t in (*op.inputs, *op.outputs)):
            return _complex(op)
        if _is_neutral(op):
            return _converted(op, op.outputs[0])
        n, dtype = op.outputs[0].numel(), dtype_of(op.outputs[0])
        if dtype == "bool":  # a product of truths is their conjunction
            return ops(dtype, logic=n)
        counts = elementwise(dtype, n, per_element) + _converted(op, op.outputs[0])
        if abs(op.get("alpha", 1)) != 1:  # x + alpha y
            counts += ops(dtype, mul=_other(op).numel() if _other(op) is not None else 0)
        if op.get("rounding_mode"):
            counts += ops(dtype, round=n)
        return counts
    return count


def _other(op):
    other = op.arguments.get("other")
    return other if isinstance(other, torch.Tensor) else None


def _converted(op, result):
    """Return the conversions of the operands to the dtype of the result; scalars are free."""
    counts = Counter()
    for tensor in op.inputs:
        if tensor.dtype != result.dtype and tensor.dim():
            counts += ops(dtype_of(tensor), convert=tensor.numel())
    return counts


#: A constant that leaves the other operand as it is: x 1, x / 1, x + 0, x - 0.
_NEUTRAL = {"mul": 1, "div": 1, "add": 0, "sub": 0}


def _is_neutral(op):
    """Whether an operand is a constant that changes nothing."""
    if op.name not in _NEUTRAL or op.get("rounding_mode"):
        return False
    a, b = op.arguments.get("self"), op.arguments.get("other")
    for one, other in ((a, b), (b, a))[:2 if op.name in ("mul", "add") else 1]:
        if (isinstance(one, torch.Tensor) and one.shape == op.outputs[0].shape
                and op.constant(other) == _NEUTRAL[op.name]):
            return True
    return False


def _compared(kind):
    def count(op):
        dtype = op.inputs[0].dtype
        operands = [op.arguments.get(name) for name in ("self", "other")]
        if all(x is not None for x in operands):
            dtype = torch.result_type(*operands)
        like = torch.empty((), dtype=dtype, device="meta")
        return ops(dtype_of(like), **{kind: op.outputs[0].numel()}) + _converted(op, like)
    return count


def _clamp(op):
    bounds = sum(op.get(name) is not None for name in ("min", "max"))
    return ops(dtype_of(op.outputs[0]), max=bounds * op.outputs[0].numel())


def _pow(op):
    """A power; x^2 and x^3 are products, and so are their inverses."""
    n, dtype, exponent = op.outputs[0].numel(), dtype_of(op.outputs[0]), op.get("exponent")
    per_element = {"pow": 1}
    value = op.constant(exponent)
    if value in (0, 1):
        per_element = {}
    elif value in (2, 3, -2, -1):
        per_element = {"mul": abs(int(value)) - 1, "div": int(value < 0)}
    elif value in (0.5, -0.5):
        per_element = {"sqrt" if value > 0 else "rsqrt": 1}
    return elementwise(dtype, n, per_element) + _converted(op, op.outputs[0])


def _reduced(op):
    kind, final = REDUCTIONS[op.name]
    if op.get("other") is not None:  # max(x, y)
        return _per_output({kind: 1})(op)
    n, rows, like = op.inputs[0].numel(), op.outputs[0].numel(), op.outputs[0]
    if kind in ("max", "logic"):
        like = op.inputs[0]
    counts = ops(dtype_of(like), **{kind: max(n - rows, 0)}) + _converted(op, like)
    return counts + (ops(dtype_of(like), **{final: rows}) if final else Counter())


def _variance(op):
    """The mean of (x - mean)^2, and its root; with the mean where that is returned."""
    n, rows, dtype = op.inputs[0].numel(), op.outputs[0].numel(), dtype_of(op.inputs[0])
    root = rows if op.name.startswith("std") else 0
    return ops(dtype, add=2 * (n - rows) + n, mul=n, div=2 * rows, sqrt=root)


def _norm(op):
    n, rows, dtype = op.inputs[0].numel(), op.outputs[0].numel(), dtype_of(op.inputs[0])
    order = op.get("ord", 2)
    if order == 2:
        return ops(dtype, mul=n, add=n - rows, sqrt=rows)
    if order == 1:
        return ops(dtype, abs=n, add=n - rows)
    if order == float("inf"):
        return ops(dtype, abs=n, max=n - rows)
    return ops(dtype, abs=n, pow=n + rows, add=n - rows)


def _logsumexp(op):
    """max + log(sum(exp(x - max))), with its test for an infinite maximum."""
    n, rows = op.inputs[0].numel(), op.outputs[0].numel()
    return ops(dtype_of(op.inputs[0]), max=n, add=2 * n, exp=n, log=rows, select=rows)


def _cast(op):
    source = op.inputs[-1] if op.name == "copy" else op.inputs[0]
    changes = dtype_of(source) != dtype_of(op.outputs[0])
    return ops(dtype_of(source), convert=op.outputs[0].numel() if changes else 0)


def _where(op):
    """A choice an element; one condition that no data reach is no choice."""
    if op.inputs[0].numel() == 1 and not op.is_data(op.inputs[0]):
        return Counter()
    result, chosen = op.outputs[0], op.inputs[1:]
    converted = Counter()
    for tensor in chosen:
        if tensor.dtype != result.dtype and tensor.dim():
            converted += ops(dtype_of(tensor), convert=tensor.numel())
    return ops(dtype_of(result), select=result.numel()) + converted


def _masked(op):
    """A choice an element between what stands there and a number."""
    return ops(dtype_of(op.outputs[0]), select=op.outputs[0].numel())


def _products(op):
    """A product of matrices, or of each of a batch, and what it is added to."""
    a = op.arguments[{"addmm": "mat1", "addbmm": "batch1", "baddbmm": "batch1", "addmv": "mat"}
                     .get(op.name, "self")]
    result, dtype = op.outputs[0], dtype_of(a)
    length = a.shape[-1]
    if not op.name.startswith(("add", "badd")):
        return ops(dtype, mac=result.numel() * length)
    n, batch = result.numel(), a.shape[0] if op.name == "addbmm" else 1
    alpha, beta = op.get("alpha", 1), op.get("beta", 1)
    scaled = op.arguments["self"].numel() if beta not in (0, 1) else 0
    return ops(dtype, mac=n * length * batch, add=n if beta else 0,
               mul=(n if alpha != 1 else 0) + scaled)


def _scaled(kind):
    """x + value a b, or x + value a / b."""
    def count(op):
        n = op.outputs[0].numel()
        return (ops(dtype_of(op.outputs[0]), add=n, mul=n if op.get("value", 1) != 1 else 0)
                + ops(dtype_of(op.outputs[0]), **{kind: n}))
    return count


def _elu(op):
    n, dtype = op.outputs[0].numel(), dtype_of(op.outputs[0])
    if op.get("scale", 1) != 1:
        return elementwise(dtype, n, ACTIVATIONS["selu"].forward)
    return elu(dtype, n, op.get("alpha", 1))


def _elu_gradient(op):
    name = "selu" if op.get("scale", 1) != 1 else "elu"
    scaled = op.get("alpha", 1) != 1 and name == "elu"
    n, dtype = op.outputs[0].numel(), dtype_of(op.outputs[0])
    return elementwise(dtype, n, ACTIVATIONS[name].gradient) + ops(dtype, mul=n * scaled)


def _gelu(op):
    per_element = (GELU_TANH if op.get("approximate") == "tanh" else ACTIVATIONS["gelu"].forward)
    return elementwise(dtype_of(op.outputs[0]), op.outputs[0].numel(), per_element)


def _rows(function):
    """Return the counter of a function of rows along an axis."""
    def count(op):
        x = op.inputs[0]
        length = x.shape[op.get("dim", -1)] if x.dim() else 1
        return function(dtype_of(op.outputs[0]), x.numel(), length) + _converted(op, op.outputs[0])
    return count


def _log_softmax_gradient(dtype, n, length):
    """g - exp(y) sum(g)."""
    return ops(dtype, exp=n, mul=n, add=2 * n - n // length)


#: Ops per element of the gradient of the tanh form of GELU, x used in three places.
GELU_TANH_GRADIENT = {"mul": 9, "pow": 1, "add": 3}


def _gelu_gradient(op):
    per_element = (GELU_TANH_GRADIENT if op.get("approximate") == "tanh" else
                   ACTIVATIONS["gelu"].gradient)
    return elementwise(dtype_of(op.outputs[0]), op.outputs[0].numel(), per_element)


def _glu(op):
    n = op.outputs[0].numel()  # the halves of a row: x1 sigmoid(x2), and its gradient
    gradient = {"sigmoid": 1, "mul": 4, "add": 1} if op.name.endswith("backward") else {}
    if gradient:
        n //= 2
    return elementwise(dtype_of(op.outputs[0]), n, gradient or {"sigmoid": 1, "mul": 1})


def _sorted(op):
    x = op.inputs[0]
    length = x.shape[op.get("dim", -1)] if x.dim() else 1
    return ops(dtype_of(x), max=x.numel() * max(length - 1, 1).bit_length())


def _per_input(kind):
    return lambda op: ops(dtype_of(op.outputs[0]), **{kind: op.inputs[0].numel()})


def _scattered(op):
    """Values that join those at their places: added, unless the op says otherwise."""
    source = next((op.arguments[name] for name in ("source", "src", "values", "value")
                   if isinstance(op.arguments.get(name), torch.Tensor)), op.inputs[-1])
    n, dtype = source.numel(), dtype_of(source)
    if "index_put" in op.name and not op.get("accumulate"):
        return Counter()
    reduce = op.get("reduce", "sum")
    if op.name == "scatter" and not op.get("reduce"):
        return Counter()
    kinds = {"amax": "max", "amin": "max", "prod": "mul", "multiply": "mul"}
    counts = ops(dtype, **{kinds.get(reduce, "add"): n})
    return counts + (ops(dtype, div=op.outputs[0].numel()) if reduce == "mean" else Counter())


def _embedding_gradient(op):
    return ops(dtype_of(op.inputs[0]), add=op.inputs[0].numel())


def _embedding_bag(op):
    """Rows that are looked up and added, or of which the mean or maximum is taken."""
    rows, y = op.arguments["indices"].numel(), op.outputs[0]
    joined = (rows * y.shape[-1]) - y.numel()
    kind = ("add", "add", "max")[op.get("mode", 0)]
    mean = y.numel() if op.get("mode", 0) == 1 else 0
    return ops(dtype_of(y), **{kind: joined}, div=mean)


def _random(op):
    return ops(dtype_of(op.outputs[0]), random=op.outputs[0].numel())


def _random_in_range(scale, shift):
    """Return the counter of random numbers that are scaled and shifted."""
    def count(op):
        n = op.outputs[0].numel()
        scaled, shifted = scale(op) != 1, shift(op) != 0
        return ops(dtype_of(op.outputs[0]), random=n, mul=n * scaled, add=n * shifted)
    return count


def _distances(op):
    """The square root of the sums of squared differences of all pairs."""
    x = op.inputs[0]
    n, pairs, dtype = op.outputs[0].numel() * x.shape[-1], op.outputs[0].numel(), dtype_of(x)
    return ops(dtype, add=n + n - pairs, mul=n, sqrt=pairs)


#: Name of an aten op, in place or not -> function of the op that counts it.
TORCH_COUNTERS = {
    **dict.fromkeys(MOVEMENT, lambda op: Counter()),
    **dict.fromkeys(FACTORIES, lambda op: Counter()),
    **dict.fromkeys(RANDOM, _random),
    **dict.fromkeys(("normal", "normal_functional"), _random_in_range(
        lambda op: op.get("std", 1), lambda op: op.get("mean", 0))),
    "uniform": _random_in_range(
        lambda op: op.get("to", 1) - op.get("from", 0), lambda op: op.get("from", 0)),
    **{name: _per_output(per_element) for name, per_element in ELEMENTWISE.items()},
    **dict.fromkeys(COMPARISONS, _compared("max")), **dict.fromkeys(LOGIC, _compared("logic")),
    **dict.fromkeys(REDUCTIONS, _reduced),
    **dict.fromkeys(("var", "std", "var_mean", "std_mean"), _variance),
    **dict.fromkeys(("norm", "linalg_vector_norm"), _norm), "logsumexp": _logsumexp,
    "polar": _complex, "clamp": _clamp, "pow": _pow, "where": _where, "masked_fill": _masked,
    **dict.fromkeys(("copy", "_to_copy"), _cast),
    **dict.fromkeys(("mm", "bmm", "mv", "dot", "vdot", "_int_mm", "addmm", "addbmm", "baddbmm",
                     "addmv"), _products),
    "addcmul": _scaled("mul"), "addcdiv": _scaled("div"),
    "elu": _elu, "elu_backward": _elu_gradient, "gelu": _gelu, "gelu_backward": _gelu_gradient,
    "glu": _glu, "glu_backward": _glu,
    "_softmax": _rows(softmax), "_log_softmax": _rows(log_softmax),
    "_softmax_backward_data": _rows(softmax_gradient),
    "_log_softmax_backward_data": _rows(_log_softmax_gradient), "_safe_softmax": _rows(softmax),
    **dict.fromkeys(("sort", "topk", "argsort", "kthvalue", "median", "msort"), _sorted),
    **dict.fromkeys(("cumsum",), _per_input("add")), "cumprod": _per_input("mul"),
    **dict.fromkeys(("cummax", "cummin"), _per_input("max")),
    **dict.fromkeys(("index_put", "_index_put_impl", "_unsafe_index_put", "index_add",
                     "scatter_add", "scatter_reduce", "index_reduce", "scatter"), _scattered),
    "embedding_dense_backward": _embedding_gradient, "_embedding_bag": _embedding_bag,
    "_embedding_bag_forward_only": _embedding_bag, "_cdist_forward": _distances,
    **KERNELS,
}
