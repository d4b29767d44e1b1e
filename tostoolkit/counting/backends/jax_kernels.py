"""Op counts of JAX's linear algebra, transforms and searches, and of complex numbers.

What only a standard algorithm says stands in `ALGORITHMS`, by the name of the primitive, or of the
function of JAX's, and a note goes with its counts. Complex numbers are pairs: their arithmetic
counts in that of their parts.
"""

from collections import Counter
from math import prod

from .. import algorithms
from ..rules.activations import elementwise, ops

#: Name of what is counted by a standard algorithm -> its source.
ALGORITHMS = {
    **dict.fromkeys(("cholesky", "lu", "qr", "geqrf", "householder_product", "svd", "eigh", "eig",
                     "triangular_solve", "solve", "inv", "det"), algorithms.GVL),
    "fft": "Cooley and Tukey 1965", "searchsorted": "Knuth 1998", "top_k": "Knuth 1998",
}
#: Primitive -> ops per element of complex numbers, in those of their parts.
COMPLEX = {
    **dict.fromkeys(("add", "sub", "add_any"), {"add": 2}), "neg": {"neg": 2}, "conj": {"neg": 1},
    **dict.fromkeys(("mul", "square"), {"mul": 4, "add": 2}), "div": {"mul": 6, "add": 3, "div": 2},
    "abs": {"mul": 2, "add": 1, "sqrt": 1}, "exp": {"exp": 1, "sin": 2, "mul": 2},
    "eq": {"max": 2, "logic": 1},
}


def dtype_of(aval):
    """Return the name of a dtype in which arithmetic is counted: that of a complex number's parts.

    Unsigned integers have that of signed ones.
    """
    name = str(aval.dtype)
    return {"complex64": "float32", "complex128": "float64"}.get(
        name, name.removeprefix("u") if name.startswith("uint") else name)


def parts_of(var):
    """Return of how many numbers a number of a variable consists: a complex one of two."""
    return 2 if str(var.aval.dtype).startswith("complex") else 1


def size(var):
    """Return the number of elements of a variable of a jaxpr."""
    return prod(var.aval.shape)


def _matrices(count):
    """Return the counter of what is done to each matrix; `count` takes the equation, m and n."""
    def counter(eqn, site):
        matrix = eqn.invars[0]
        m, n = matrix.aval.shape[-2:]
        return elementwise(dtype_of(matrix.aval), size(matrix) // max(m * n, 1), count(eqn, m, n))
    return counter


def _columns(eqn, n):
    """Return how many right-hand sides there are for each matrix."""
    return size(eqn.invars[1]) * n // max(size(eqn.invars[0]), 1)


def _triangular(eqn, m, n):
    counts = algorithms.triangular_solve(n, _columns(eqn, n))
    return {"mac": counts["mac"]} if eqn.params["unit_diagonal"] else counts


def _reflections(m, n):
    """Return the ops of R by Householder reflections, without Q."""
    return {"mac": sum((m - j) + 2 * (m - j) * (n - j - 1) for j in range(min(m, n))),
            "sqrt": min(m, n), "div": sum(m - j - 1 for j in range(min(m, n)))}


def _of_reflections(eqn, m, n):
    """Return the ops of Q, taken up from the reflections."""
    steps = eqn.invars[1].aval.shape[-1]
    return {"mac": sum(2 * (m - j) * (n - j) for j in range(steps))}


def _transform(eqn, site):
    """A fast Fourier transform over the last axes; the inverse scales what it returns."""
    lengths, kind = list(eqn.params["fft_lengths"]), eqn.params["fft_type"].name
    inverse, real = kind.startswith("I"), "R" in kind
    whole = eqn.outvars[0] if inverse else eqn.invars[0]  # the side that is not cut in half
    dtype, n = dtype_of(whole.aval), size(whole)
    counts = elementwise(dtype, n // prod(lengths), algorithms.fft(lengths, real))
    return counts + (ops(dtype, mul=n * (1 if real else 2)) if inverse else Counter())


def _search(eqn, site):
    """Each value is compared in the dtype to which it and the places are promoted."""
    from jax.numpy import promote_types

    places, values = eqn.invars[:2]
    dtype = promote_types(places.aval.dtype, values.aval.dtype)
    counts = elementwise(dtype_of(values.aval.update(dtype=dtype)), size(values),
                         algorithms.binary_search(places.aval.shape[-1]))
    for var, reached in zip((places, values), site.reached, strict=False):
        if reached and var.aval.dtype != dtype:
            counts += ops(dtype_of(var.aval), convert=size(var))
    return counts


def _sorted(axis):
    def count(eqn, site):
        n = eqn.invars[0].aval.shape[eqn.params.get(axis, -1)]
        return elementwise(dtype_of(eqn.invars[0].aval), size(eqn.invars[0]) // max(n, 1),
                           algorithms.sort(n, eqn.params.get("k")))
    return count


#: Name of a primitive -> function of (equation, site) that counts it.
KERNELS = {
    "cholesky": _matrices(lambda eqn, m, n: algorithms.cholesky(n)),
    "lu": _matrices(lambda eqn, m, n: algorithms.lu(n)),
    "qr": _matrices(lambda eqn, m, n: algorithms.qr(m, n, eqn.params["full_matrices"])),
    "geqrf": _matrices(lambda eqn, m, n: _reflections(m, n)),
    "householder_product": _matrices(_of_reflections),
    "svd": _matrices(lambda eqn, m, n: algorithms.svd(
        m, n, eqn.params["compute_uv"], eqn.params["full_matrices"])),
    "eigh": _matrices(lambda eqn, m, n: algorithms.symmetric_eigen(n)),
    "eig": _matrices(lambda eqn, m, n: algorithms.eigen(n)),
    "triangular_solve": _matrices(_triangular), "fft": _transform,
    "sort": _sorted("dimension"), "top_k": _sorted("axis"),
    "approx_top_k": _sorted("reduction_dimension"),
}
#: Name of a function of JAX's -> its counter.
FUNCTIONS = {
    "solve": _matrices(lambda eqn, m, n: algorithms.solve(n, _columns(eqn, n))),
    "inv": _matrices(lambda eqn, m, n: algorithms.inverse(n)),
    "det": _matrices(lambda eqn, m, n: algorithms.determinant(n)),
    "searchsorted": _search,
}
