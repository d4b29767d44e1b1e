"""Op counts of what a library computes by an algorithm that it chooses: those of the standard one.

A library may factor a matrix in blocks, or transform in radices of its own; no graph says how. Each
function returns op -> count of one problem by the standard algorithm, with its source. GvL is Golub
and Van Loan, Matrix Computations, 4th edition, Johns Hopkins 2013; a multiplication and the
addition that takes it up are one ``mac``, two of their flops.
"""

from math import ceil, floor, log2, prod

GVL = "Golub and Van Loan 2013"


def cholesky(n):
    """Return the ops of A = L L' (GvL Algorithm 4.2.2, n^3 / 3 flops).

    Column j takes (n - j + 1)(j - 1) MACs, one root and n - j divisions.

    >>> cholesky(3)
    {'mac': 4, 'div': 3, 'sqrt': 3}
    """
    return {"mac": (n ** 3 - n) // 6, "div": n * (n - 1) // 2, "sqrt": n}


def lu(n):
    """Return the ops of P A = L U with partial pivoting (GvL Algorithm 3.4.1, 2 n^3 / 3 flops).

    Step k chooses the largest of n - k + 1 values, divides n - k and updates (n - k)^2.

    >>> lu(3)
    {'mac': 5, 'div': 3, 'max': 3, 'abs': 5}
    """
    return {"mac": n * (n - 1) * (2 * n - 1) // 6, "div": n * (n - 1) // 2,
            "max": n * (n - 1) // 2, "abs": (n - 1) * (n + 2) // 2}


def triangular_solve(n, columns):
    """Return the ops of L X = B (GvL Algorithm 3.1.1, n^2 flops a column).

    >>> triangular_solve(3, 2)
    {'mac': 6, 'div': 6}
    """
    return {"mac": columns * n * (n - 1) // 2, "div": columns * n}


def solve(n, columns):
    """Return the ops of A X = B: P A = L U, then L Y = P B, L of unit diagonal, and U X = Y."""
    half = triangular_solve(n, columns)
    return added(lu(n), half, {"mac": half["mac"]})


def inverse(n):
    """Return the ops of the inverse, the solution of A X = I (GvL 3.4: 8 n^3 / 3 flops)."""
    return solve(n, n)


def determinant(n):
    """Return the ops of the product of the diagonal of U."""
    return added(lu(n), {"mul": max(n - 1, 0)})


def log_determinant(n):
    """Return the ops of the sign of the determinant and of the logarithm of its size."""
    return added(lu(n), {"log": n, "abs": n, "add": n - 1, "max": n, "mul": n - 1})


def qr(m, n, full=False):
    """Return the ops of Q R by Householder reflections (GvL Algorithms 5.1.1, 5.2.1 and 5.1.6).

    2 n^2 (m - n / 3) flops for R, and as many for the first n columns of Q. Reflection j of an
    (m - j) x (n - j) rest takes a norm, a root and a division each, and is applied to the columns
    after it; Q is accumulated backward.
    """
    steps = range(min(m, n))
    columns = m if full else min(m, n)
    return {"mac": sum((m - j) + 2 * (m - j) * (n - j - 1) + 2 * (m - j) * (columns - j)
                       for j in steps),
            "sqrt": len(steps), "div": sum(m - j - 1 for j in steps)}


def svd(m, n, vectors=True, full=False):
    """Return the ops of the singular value decomposition (Golub-Reinsch, GvL Figure 8.6.1).

    Flops: 4 m n^2 - 4 n^3 / 3 for the values alone, 14 m n^2 + 8 n^3 with the first n left vectors
    and the right ones, 4 m^2 n + 8 m n^2 + 9 n^3 with all of them.

    >>> svd(4, 3)
    {'mac': 360}
    """
    m, n = max(m, n), min(m, n)
    flops = (4 * m * n ** 2 - 4 * n ** 3 // 3 if not vectors else
             4 * m ** 2 * n + 8 * m * n ** 2 + 9 * n ** 3 if full else
             14 * m * n ** 2 + 8 * n ** 3)
    return {"mac": flops // 2}


def symmetric_eigen(n, vectors=True):
    """Return the ops of the symmetric QR algorithm (GvL Algorithm 8.3.3).

    9 n^3 flops with the vectors, 4 n^3 / 3 without.
    """
    return {"mac": (9 * n ** 3 if vectors else 4 * n ** 3 // 3) // 2}


def eigen(n, vectors=True):
    """Return the ops of the QR algorithm (GvL Algorithm 7.5.2): 25 n^3 flops, 10 n^3 for values."""
    return {"mac": (25 if vectors else 10) * n ** 3 // 2}


def least_squares(m, n, columns):
    """Return the ops of min |A X - B| by Householder QR (GvL Algorithm 5.3.2)."""
    m, n = max(m, n), min(m, n)
    factor = {"mac": sum((m - j) + 2 * (m - j) * (n - j - 1) for j in range(n)),
              "sqrt": n, "div": sum(m - j - 1 for j in range(n))}
    return added(factor, {"mac": columns * sum(2 * (m - j) for j in range(n))},
                 triangular_solve(n, columns))


def fft(lengths, real=False):
    """Return the ops of a fast Fourier transform over axes of these lengths.

    Radix 2 (Cooley and Tukey, Math. Comp. 19 (1965) 297-301): N / 2 log2 N butterflies of a
    complex product and two complex sums, 2 N log2 N multiplications and 3 N log2 N additions; half
    of it for real values. A length that is no power of two takes its own logarithm, rounded up.

    >>> fft([8])
    {'mul': 48, 'add': 72}
    """
    n = prod(lengths)
    levels = sum(ceil(log2(length)) for length in lengths if length > 1)
    share = 2 if real else 1
    return {"mul": 2 * n * levels // share, "add": 3 * n * levels // share}


def sort(n, kept=None):
    """Return the comparisons of a sort, n ceil(log2 n), or of a choice of the `kept` largest.

    A sort by merging (Knuth, The Art of Computer Programming 3, 5.2.4); the `kept` largest stand
    in a heap of their own (5.2.3), n ceil(log2 kept).
    """
    return {"max": n * max(max(n if kept is None else kept, 2) - 1, 1).bit_length()}


def binary_search(n):
    """Return the comparisons of a value's search in n sorted ones (Knuth 3, 6.2.1)."""
    return {"max": ceil(log2(n + 1)) if n else 0}


def bessel_i0():
    """Return the ops of I0(x) (Abramowitz and Stegun 1964, 9.8.2, the dearer of two polynomials).

    exp(x) / sqrt(x) times a polynomial of degree 8 in 3.75 / x; the test that chooses it counts.
    """
    return {"abs": 1, "max": 1, "div": 2, "mul": 9, "add": 8, "exp": 1, "sqrt": 1}


def resampled(inputs, outputs, scale, shift, radius, antialias):
    """Return the taps that the outputs of an axis take together, of the inputs along it.

    The kernel of this radius stands at (place + 1/2 - shift) / scale, and is widened by 1 / scale
    where an image shrinks and `antialias` is asked for.
    """
    wide = radius * max(1 / scale, 1) if antialias else radius
    taps = 0
    for place in range(outputs):
        at = (place + 0.5 - shift) / scale
        if 0 <= at <= inputs:
            first = max(0, ceil(at - wide - 0.5))
            taps += max(0, min(inputs - 1, floor(at + wide - 0.5)) - first + 1)
    return taps


def added(*counts):
    """Return the sum of op counts."""
    return {op: sum(c.get(op, 0) for c in counts) for op in dict.fromkeys(
        op for c in counts for op in c)}
