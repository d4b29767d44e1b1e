"""Op counts of PyTorch's aten ops: one entry an op, on static shapes.

What a kernel fuses counts by its definition, so that a fused and an unfused form of the same
function count alike. The dtype is that in which an op computes: of operands of two dtypes, the one
that they are promoted to, and the others count as converted. A power with a small constant
exponent is what it is multiplied from. An op that stands nowhere here is what PyTorch says that it
consists of, or else an error, never nothing.
"""

from collections import Counter
from math import prod

import torch

from ..rules.activations import elementwise, log_softmax, ops, softmax, softmax_gradient
from .torch_algorithms import ALGORITHMS
from .torch_elementwise import (
    COMPLEX,
    cast,
    choice,
    clamp,
    compared,
    complex_arithmetic,
    converted,
    elu_gradient,
    elu_like,
    gelu,
    gelu_gradient,
    glu,
    masked_fill,
    per_output,
    power,
    scaled,
)
from .torch_kernels import KERNELS
from .torch_tables import COMPARISONS, ELEMENTWISE, FACTORIES, LOGIC, MOVEMENT, RANDOM, REDUCTIONS
from .torch_tensors import TorchOp, dtype_of, parts_of, tensors_in


def _reduced(op):
    kind, final = REDUCTIONS[op.name]
    if op.get("other") is not None:  # max(x, y)
        return per_output({kind: 1})(op)
    n, rows, like = op.inputs[0].numel(), op.outputs[0].numel(), op.outputs[0]
    if op.inputs[0].is_complex():
        ends = ops(parts_of(like)[0], div=2 * rows if final and n > rows else 0)
        return _joined(op, kind, max(n - rows, 0)) + ends
    if kind in ("max", "logic"):
        like = op.inputs[0]
    counts = ops(dtype_of(like), **{kind: max(n - rows, 0)}) + converted(op.inputs, like)
    ends = final and n > rows  # the mean of one value is that value
    return counts + (ops(dtype_of(like), **{final: rows}) if ends else Counter())


def _joined(op, kind, n):
    """Return the counts of `n` values that are joined to others: of a complex number, its parts."""
    dtype, parts = parts_of(op.outputs[0])
    if parts == 1:
        return ops(dtype, **{kind: n})
    if kind not in COMPLEX:
        raise ValueError("of the arithmetic of complex numbers it is not known")
    return elementwise(dtype, n, COMPLEX[kind])


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


def _products(op):
    """A product of matrices, or of each of a batch, and what it is added to."""
    a = op.arguments[{"addmm": "mat1", "addbmm": "batch1", "baddbmm": "batch1", "addmv": "mat"}
                     .get(op.name, "self")]
    result, (dtype, parts) = op.outputs[0], parts_of(a)
    length = a.shape[-1] * parts * parts  # a product of complex numbers is four of their parts
    if not op.name.startswith(("add", "badd")):
        return ops(dtype, mac=result.numel() * length)
    n, batch = result.numel(), a.shape[0] if op.name == "addbmm" else 1
    alpha, beta = op.get("alpha", 1), op.get("beta", 1)
    scaled = op.arguments["self"].numel() if beta not in (0, 1) else 0
    return ops(dtype, mac=n * length * batch, add=n * parts if beta else 0,
               mul=((n if alpha != 1 else 0) + scaled) * parts)


def _rows(function):
    """Return the counter of a function of rows along an axis."""
    def count(op):
        x = op.inputs[0]
        length = x.shape[op.get("dim", -1)] if x.dim() else 1
        counts = function(dtype_of(op.outputs[0]), x.numel(), length)
        return counts + converted(op.inputs, op.outputs[0])
    return count


def _log_softmax_gradient(dtype, n, length):
    """g - exp(y) sum(g)."""
    return ops(dtype, exp=n, mul=n, add=2 * n - n // length)


def _running(kind):
    """Return the counter of running sums, or the like: all values but the first of each row."""
    def count(op):
        x = op.inputs[0]
        length = x.shape[op.arguments["dim"]] if x.dim() else 1
        return _joined(op, kind, x.numel() - x.numel() // max(length, 1)) + (
            Counter() if x.is_complex() else converted(op.inputs, op.outputs[0]))
    return count


def _trilinear(op):
    """Sums of products of three: those of the first two, summed where the third has no axis."""
    factors = [op.arguments[name] for name in ("i1", "i2", "i3")]
    sizes = []
    for i, factor in enumerate(factors, 1):
        shape = list(factor.shape)
        for axis in sorted(op.arguments[f"expand{i}"]):
            shape.insert(axis, 1)
        sizes.append(shape)
    first = [max(a, b) for a, b in zip(*sizes[:2], strict=True)]
    summed = set(op.arguments["sumdim"]) & set(op.arguments["expand3"])
    left = [1 if axis in summed else n for axis, n in enumerate(first)]
    both = prod(max(a, b) for a, b in zip(left, sizes[2], strict=True))
    return ops(dtype_of(op.outputs[0]), mac=prod(first) + both)


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
    weighted = rows * y.shape[-1] if op.get("per_sample_weights") is not None else 0
    return ops(dtype_of(y), **{kind: joined}, div=mean, mul=weighted)


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
    **{name: per_output(per_element) for name, per_element in ELEMENTWISE.items()},
    **dict.fromkeys(COMPARISONS, compared("max")), **dict.fromkeys(LOGIC, compared("logic")),
    **dict.fromkeys(REDUCTIONS, _reduced),
    **dict.fromkeys(("var", "std", "var_mean", "std_mean"), _variance),
    **dict.fromkeys(("norm", "linalg_vector_norm"), _norm), "logsumexp": _logsumexp,
    "polar": complex_arithmetic, "clamp": clamp, "pow": power, "where": choice,
    "masked_fill": masked_fill,
    **dict.fromkeys(("copy", "_to_copy", "convert_element_type"), cast),
    **dict.fromkeys(("mm", "bmm", "mv", "dot", "vdot", "_int_mm", "addmm", "addbmm", "baddbmm",
                     "addmv"), _products),
    "addcmul": scaled("mul"), "addcdiv": scaled("div"),
    "elu": elu_like, "elu_backward": elu_gradient, "gelu": gelu, "gelu_backward": gelu_gradient,
    "glu": glu, "glu_backward": glu,
    "_softmax": _rows(softmax), "_log_softmax": _rows(log_softmax),
    "_softmax_backward_data": _rows(softmax_gradient),
    "_log_softmax_backward_data": _rows(_log_softmax_gradient), "_safe_softmax": _rows(softmax),
    "cumsum": _running("add"), "cumprod": _running("mul"),
    **dict.fromkeys(("cummax", "cummin"), _running("max")), "_trilinear": _trilinear,
    **dict.fromkeys(("index_put", "_index_put_impl", "_unsafe_index_put", "index_add",
                     "scatter_add", "scatter_reduce", "index_reduce", "scatter"), _scattered),
    "embedding_dense_backward": _embedding_gradient, "_embedding_bag": _embedding_bag,
    "_embedding_bag_forward_only": _embedding_bag, "_cdist_forward": _distances,
    **ALGORITHMS, **KERNELS,
}


def each(op):
    """Count an op on lists of tensors: that op on each of them."""
    name = op.name.removeprefix("_foreach_")
    if name not in TORCH_COUNTERS:
        raise ValueError(f"{name!r} has no counter")
    counts = Counter()
    for i in range(len(op.arguments["self"])):
        own = {key: value[i] if isinstance(value, (list, tuple)) else value
               for key, value in op.arguments.items()}
        outputs = op.outputs[i:i + 1] or [own["self"]]
        counts += TORCH_COUNTERS[name](
            TorchOp(name, own, list(tensors_in(own)), outputs, op.constant, op.is_data))
    return counts
