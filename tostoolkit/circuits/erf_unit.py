"""The error function as a unit: x times a piecewise polynomial, in formats of up to 24 bits.

Results are not correctly rounded: the proofs (``make prove``) measure the largest errors.
"""

from functools import cache
from math import erf

import numpy as np

from .blocks import add, any_of, choose, constant, multiply, pad, subtract
from .float_fields import denormalised, effective, finish, normalised, unpack
from .integer_units import signed_product
from .shift_and_add import fixed_point


def float_erf(n, f, x):
    """Return erf x = x g(|x|): g a polynomial in each of the segments of |x| < 4; 1 beyond.

    Coefficients come from a table in multiplexer logic, whose equal parts are shared.
    """
    p = f.precision
    places = p + 6  # fraction bits of g
    index_bits, tables = _erf_segments(p, places)
    a = unpack(n, f, x)
    word, far = fixed_point(n, f, a, 2, p + 4)
    index, local = word[-index_bits:], word[:-index_bits]
    bound, inner = 0, []
    for table in reversed(tables):
        bound += max(abs(value) for value in table)
        width = bound.bit_length() + 1
        term = [_lookup(n, index, [value >> bit & 1 for value in table]) for bit in range(width)]
        if inner:
            used = local[-min(len(local), len(inner)):]
            product = signed_product(n, inner, [*used, 0], len(inner) + len(used) + 1)
            high = product[len(used):]
            high = [*high, *[high[-1]] * (width - len(high))][:width]
            term = add(n, term, high)[0]
        inner = term
    g = inner[:places + 1]  # in (0.25, 1.13]
    significand, count = normalised(n, a.significand)
    product = multiply(n, significand, g)
    product, zeros = normalised(n, product[len(product) - p - 6:])
    below = any_of(n, product[:-p - 2])
    width = f.exponent_bits + 2
    floor_ = subtract(n, pad(effective(n, a), width), pad(count, width)[:width])[0]
    floor_ = subtract(n, floor_, pad(zeros, width)[:width])[0]
    floor_, leading, lost = denormalised(n, floor_, product[-p - 2:])
    one = n.and_(n.or_(far, a.infinite), n.inv(a.nan))
    sticky = n.or_(n.or_(leading[0], lost), below)
    result = finish(n, f, a.sign, floor_, leading[2:], leading[1], sticky, a.nan, 0, a.zero)
    return choose(n, one, result, [*constant(f.bias << (p - 1), f.width - 1), a.sign])


@cache
def _erf_segments(p, places):
    """Return (bits of the segments' number, coefficient tables in fixed point, lowest first)."""
    degree = 2 if p < 16 else 3
    nodes = (1 - np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))) / 2
    probes = np.linspace(0, 1, 16)
    for bits in range(2, 10):
        starts = np.arange(2**bits) * 4 / 2**bits
        values = _erf_ratio(starts[:, None] + nodes * 4 / 2**bits)
        fits = np.linalg.solve(np.vander(nodes, increasing=True), values.T)
        wanted = _erf_ratio(starts[:, None] + probes * 4 / 2**bits)
        error = np.abs((np.vander(probes, degree + 1, increasing=True) @ fits).T - wanted)
        if (error / wanted).max() < 2.0 ** -(p + 4):
            return bits, [[round(c * 2**places) for c in row] for row in fits.tolist()]
    raise ValueError(f"precision: no table of 512 segments holds erf to {p} bits")


def _erf_ratio(x):
    """erf(x) / x, the limit at 0 included."""
    return np.array([erf(v) / v if v else 2 / np.sqrt(np.pi) for v in x.ravel()]).reshape(x.shape)


def _lookup(n, index, values):
    """Return the bit that an index selects, by a tree of multiplexers over constants."""
    for bit in index:
        pairs = zip(values[::2], values[1::2], strict=True)
        values = [n.mux(bit, low, high) for low, high in pairs]
    return values[0]
