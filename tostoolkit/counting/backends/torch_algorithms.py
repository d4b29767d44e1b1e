"""Op counts of aten ops that a library computes by an algorithm of its choice: the standard one.

The algorithms and their sources stand in `algorithms`.
"""

from collections import Counter
from math import prod

import torch

from .. import algorithms
from ..rules.activations import elementwise, ops
from .torch_tensors import dtype_of


def _matrices(count, matrix="A"):
    """Return the counter of what is done to each matrix; `count` takes the op, m and n."""
    def counter(op):
        a = op.arguments.get(matrix, op.inputs[0])
        m, n = a.shape[-2:]
        return elementwise(dtype_of(a), a.numel() // max(m * n, 1), count(op, m, n))
    return counter


def _columns(op):
    return op.arguments["B"].shape[-1]


def _transform(op):
    """A fast Fourier transform over axes; what is scaled is a product an element."""
    x, y = op.inputs[0], op.outputs[0]
    whole = y if op.name == "_fft_c2r" else x  # the side that is not cut in half
    lengths = [whole.shape[axis] for axis in op.arguments["dim"]]
    real = op.name != "_fft_c2c"
    dtype = str(whole.dtype.to_real() if whole.is_complex() else whole.dtype)
    dtype = dtype.removeprefix("torch.")
    counts = elementwise(dtype, whole.numel() // prod(lengths), algorithms.fft(lengths, real))
    scaled = whole.numel() * (1 if real else 2)
    return counts + (ops(dtype, mul=scaled) if op.get("normalization", 0) else Counter())


def _sorted(op):
    x = op.inputs[0]
    n = x.shape[op.get("dim", -1)] if x.dim() else 1
    kept = op.get("k") if op.name == "topk" else None
    return elementwise(dtype_of(x), x.numel() // max(n, 1), algorithms.sort(n, kept))


def _searched(op):
    """A binary search of each value among the boundaries."""
    values = op.arguments["self"]
    boundaries = op.arguments.get("sorted_sequence", op.arguments.get("boundaries"))
    n = values.numel() if isinstance(values, torch.Tensor) else 1
    return elementwise(dtype_of(boundaries), n, algorithms.binary_search(boundaries.shape[-1]))


#: Name of an aten op -> function of the op that counts it.
ALGORITHMS = {
    "linalg_cholesky_ex": _matrices(lambda op, m, n: algorithms.cholesky(n), "self"),
    "linalg_lu_factor_ex": _matrices(lambda op, m, n: algorithms.lu(n)),
    "_linalg_det": _matrices(lambda op, m, n: algorithms.determinant(n)),
    "_linalg_slogdet": _matrices(lambda op, m, n: algorithms.log_determinant(n)),
    "linalg_inv_ex": _matrices(lambda op, m, n: algorithms.inverse(n)),
    "linalg_qr": _matrices(
        lambda op, m, n: algorithms.qr(m, n, op.get("mode", "reduced") == "complete")),
    "_linalg_svd": _matrices(lambda op, m, n: algorithms.svd(
        m, n, op.get("compute_uv", True), op.get("full_matrices", False))),
    "_linalg_eigh": _matrices(
        lambda op, m, n: algorithms.symmetric_eigen(n, op.get("compute_v", True))),
    "linalg_eig": _matrices(lambda op, m, n: algorithms.eigen(n), "self"),
    "_linalg_eigvals": _matrices(lambda op, m, n: algorithms.eigen(n, False), "self"),
    "_linalg_solve_ex": _matrices(lambda op, m, n: algorithms.solve(n, _columns(op))),
    "linalg_solve_triangular": _matrices(
        lambda op, m, n: algorithms.triangular_solve(n, _columns(op)), "self"),
    "linalg_lstsq": _matrices(
        lambda op, m, n: algorithms.least_squares(
            m, n, op.arguments["b"].shape[-1] if op.arguments["b"].dim() > 1 else 1), "self"),
    **dict.fromkeys(("_fft_r2c", "_fft_c2r", "_fft_c2c"), _transform),
    **dict.fromkeys(("sort", "topk", "argsort", "kthvalue", "median", "msort"), _sorted),
    "searchsorted": _searched, "bucketize": _searched,
}
