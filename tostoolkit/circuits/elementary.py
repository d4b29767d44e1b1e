"""Elementary functions as units: exponential, logistic, hyperbolic tangent, logarithm, erf.

Shift-and-add: ``2^f`` and ``log`` come digit by digit from factors ``1 +- 2^-i`` (Muller,
"Elementary Functions", 3rd ed., 2016, chapter 8), half of the digits; one multiplication gives the
other half. ``sigmoid`` and ``tanh`` divide what ``exp`` gives, so that no cancellation is left.
``erf`` is a piecewise polynomial, in formats of up to 24 bits. Results are not correctly rounded:
the proofs (``make prove``) measure the largest errors.
"""

from collections import defaultdict
from decimal import Decimal, localcontext
from functools import cache
from math import ceil, erf, floor, log, log2

import numpy as np

from .blocks import (
    add,
    add_constant,
    any_of,
    at_least,
    choose,
    constant,
    difference,
    masked,
    multiply,
    multiply_constant,
    negate_if,
    negated,
    pad,
    place_constant,
    reduce_columns,
    restoring_rows,
    shift_right,
    square,
    subtract,
)
from .float_fields import denormalised, effective, finish, fixed_point, normalised, unpack
from .integer_units import signed_product
from .netlist import part


def fixed(value, bits, rounding=round):
    """Return a real constant, given as a function of decimal arithmetic, times 2^bits."""
    with localcontext(prec=80):
        return int(rounding(value() * 2**bits))


@cache
def _log2_of(i, bits):
    """log2(1 + 2^-i), rounded up so that powers come out no greater than they are."""
    return fixed(lambda: (1 + Decimal(2) ** -i).ln() / Decimal(2).ln(), bits, ceil)


def guard_bits(f):
    """Bits below the last of the result, for one truncation in each of about p / 2 steps."""
    return 2 + ceil(log2(f.precision / 2))


@part("times log2(e)")
def _times_log2e(n, word, integer, fraction, doubled=False):
    """Return a word of fixed point times log2(e), or twice that, with one more integer bit."""
    bits = fraction + integer + 2
    value = fixed(lambda: (2 if doubled else 1) / Decimal(2).ln(), bits, floor)
    drop = bits - 6
    product = multiply_constant(n, word, value, drop)
    whole = integer + (2 if doubled else 1)
    return pad(product[6:], fraction + whole)[:fraction + whole]


@part("2^fraction by digits")
def power_of_two(n, f_bits):
    """Return 2^f in [1, 2) for a fraction f, with as many fraction bits; never above 2^f.

    For i = 1 ... h: where the rest of f is at least log2(1 + 2^-i), take that off it and multiply
    by 1 + 2^-i. Then the rest t < 2^-h 1.45, and 2^t = 1 + t ln 2 to 2^-2h.
    """
    size = len(f_bits)
    h = size // 2
    rest, power = list(f_bits), constant(1 << size, size + 1)
    for i in range(1, h + 1):
        value = _log2_of(i, size)
        width = max(len(rest), value.bit_length())
        rest = pad(rest, width)
        less, fits = subtract(n, rest, constant(value, width))
        rest = choose(n, fits, rest, less)[:size - i + 1]
        addend = pad(masked(n, power[i:], fits), size + 1)
        power = add(n, power, addend)[0]
    bits = len(rest) + 2
    slope = fixed(lambda: Decimal(2).ln(), bits, floor)
    rest = multiply_constant(n, rest, slope, bits - 4)[4:][:len(rest)]
    top = power[size + 1 - len(rest) - 2:]
    tail = multiply(n, top, rest)[len(top) - 1:]  # the rest's places
    return add(n, power, pad(tail, size + 1)[:size + 1])[0]


def _exponential(n, f, a, fraction, negative, doubled=False):
    """Return (power, whole, far): e^(+-|x|) = power 2^whole, or e^(+-2|x|) where doubled.

    The negative exponent is a one's complement, a unit of the last fraction bit too low.
    """
    # bits of |x| before the point: with more, exp overflows or vanishes
    integer = ceil(log2((f.bias + f.precision + 1) * log(2)))
    word, far = fixed_point(n, f, a, integer, fraction)
    word = [*_times_log2e(n, word, integer, fraction, doubled), 0]
    word = [n.xor(x, negative) for x in word]
    return power_of_two(n, word[:fraction]), word[fraction:], far


def float_exp(n, f, x):
    """Return e^x: x log2(e) in fixed point, its integer part the exponent, 2^fraction by digits."""
    p = f.precision
    a = unpack(n, f, x)
    power, whole, far = _exponential(n, f, a, p + guard_bits(f), a.sign)
    width = max(len(whole), f.exponent_bits + 1) + 1
    exponent = add_constant(n, pad(whole, width, whole[-1]), f.bias - 1)
    leading = power[len(power) - p - 2:]
    below = any_of(n, power[:len(power) - p - 2])
    exponent, leading, lost = denormalised(n, exponent, leading)
    huge = n.and_(n.or_(far, a.infinite), n.inv(a.nan))
    zero = n.and_(huge, a.sign)
    infinite = n.and_(huge, n.inv(a.sign))
    exponent = masked(n, exponent, n.inv(huge))
    return finish(n, f, 0, exponent, leading[2:], leading[1], n.or_(n.or_(leading[0], lost), below),
                  a.nan, infinite, n.and_(zero, n.inv(a.nan)))


def float_sigmoid(n, f, x):
    """Return 1 / (1 + e^-x): with E = e^-|x|, E / (1 + E) below 0 and 1 / (1 + E) above."""
    p = f.precision
    size = p + guard_bits(f)
    a = unpack(n, f, x)
    power, whole, far = _exponential(n, f, a, size, 1)
    far = n.and_(n.or_(far, a.infinite), n.inv(a.nan))
    down = negated(n, whole, len(whole))  # E = power 2^-down, down >= 1
    tail, _ = shift_right(n, power, down)
    divisor = [*masked(n, tail[:size], n.inv(far)), 1]  # 1 + E
    numerator = choose(n, a.sign, constant(1 << size, size + 1), power)
    quotient, remainder = restoring_rows(n, numerator, divisor, p + 2)
    low = n.inv(quotient[-1])
    width = max(len(down), f.exponent_bits) + 2
    exponent = difference(n, width, constant(f.bias - 1, width), masked(n, down, a.sign), [low])
    leading = choose(n, low, quotient, [0, *quotient[:-1]])
    exponent, leading, lost = denormalised(n, exponent, leading)
    sticky = n.or_(n.or_(leading[0], lost), any_of(n, remainder))
    return finish(n, f, 0, exponent, leading[2:], leading[1], sticky, a.nan, 0, n.and_(far, a.sign))


def float_tanh(n, f, x):
    """Return tanh x = (1 - E) / (1 + E) with E = e^-2|x|; x itself where |x| < 2^-(p / 2 + 1)."""
    p = f.precision
    small = p // 2 + 1  # there x^3 / 3 is below half an ulp's third
    size = p + guard_bits(f) + small
    a = unpack(n, f, x)
    power, whole, far = _exponential(n, f, a, size, 1, doubled=True)
    far = n.or_(far, a.infinite)
    down = negated(n, whole, len(whole))
    tail, _ = shift_right(n, power, down)
    tail = masked(n, tail[:size], n.inv(far))
    rest = [*negate_if(n, [*tail, 0], 1)[:size], n.inv(any_of(n, tail))]  # 1 - E
    numerator, count = normalised(n, rest)
    places = p + 4
    divisor = [*tail[size - places:], 1]
    quotient, remainder = restoring_rows(n, numerator[len(numerator) - places - 1:], divisor, p + 2)
    low = n.inv(quotient[-1])
    width = f.exponent_bits + 1
    exponent = difference(n, width, constant(f.bias - 1, width), count, [low])
    leading = choose(n, low, quotient, [0, *quotient[:-1]])
    sticky = n.or_(leading[0], any_of(n, remainder))
    result = finish(n, f, a.sign, exponent[:-1], leading[2:], leading[1], sticky, a.nan)
    tiny = n.inv(at_least(n, a.exponent, constant(max(f.bias - small, 0), f.exponent_bits)))
    return choose(n, tiny, result, x)


def log_steps(h):
    """Return the i of the factors 1 - 2^-i, in order.

    log(1 - 2^-i) exceeds the sum of all later ones by about 4^-i / 3, so that some numbers could
    not be reached; a step repeated at 2 i + 1 closes the gaps before it.
    """
    steps, repeat = [], 5
    for i in range(2, h + 1):
        steps.append(i)
        if i == repeat:
            steps.append(i)
            repeat = 2 * repeat + 1
    return steps


def float_log(n, f, x):
    """Return log x = k ln 2 + log m, m in [0.75, 1.5); relative accuracy near 1 included.

    The distance a = |m - 1| is brought below 2^-h by factors 1 -+ 2^-i, each of which adds a
    constant to the result; log(1 +- a) = +- a - a^2 / 2 gives the rest.
    """
    p = f.precision
    a = unpack(n, f, x)
    significand, count = normalised(n, a.significand)
    under = significand[-2]  # m >= 1.5 is taken as m / 2, below 1
    width = f.exponent_bits + 2
    k = difference(n, width, effective(n, a), count)
    k = add(n, k, constant(-f.bias % (1 << width), width), under)[0]
    h = p // 2 + 1
    size = p + guard_bits(f) + h  # fraction bits
    above = [0] * (size - p + 1) + significand[:-2]  # m - 1 < 0.5
    below = negate_if(n, [0] * (size - p) + significand[:-1], 1)  # 1 - m / 2 <= 0.25
    rest = choose(n, under, pad(above, size), pad(below, size))
    up = n.inv(under)
    total = [0] * size
    for i in log_steps(h):
        rest = rest[:size - i + 2]
        shifted = [n.xor(b, up) for b in pad(rest[i:], len(rest) + 1)]
        trial = add_constant(n, [*rest, 0], -(1 << (size - i)))
        trial = add(n, trial, shifted, up)[0]
        fits = n.inv(trial[-1])
        rest = choose(n, fits, rest, trial[:-1])
        total = add(n, total, _digit(n, i, size, fits, up, under))[0]
    rest = rest[:size - h + 1]
    # where no factor was taken a is exact and may be 2^-p, and a^2 / 2 reaches down to 2^-2p
    full = 2 * p + 3
    extra = full - size
    places = p + 4  # of the square's argument
    squared = square(n, rest[size - places:])  # 2 places fraction bits
    half = pad(squared[2 * places - full + 1:], full)[:full]
    rest = pad([0] * extra + rest, full)
    rest = add(n, rest, [n.xor(b, up) for b in half], up)[0]  # a -+ a^2 / 2
    total = add(n, [0] * extra + total, rest)[0]
    integer = f.exponent_bits
    value = pad([n.xor(b, under) for b in total], full + integer + 1, under)
    coarse = p + guard_bits(f)
    product = [0] * (full - coarse) + _signed_times(
        n, k, fixed(lambda: Decimal(2).ln(), coarse), coarse + integer + 1)
    value = add(n, value, product, under)[0]
    sign = value[-1]
    magnitude = negate_if(n, value[:-1], sign)
    magnitude, zeros = normalised(n, magnitude)
    empty = n.inv(any_of(n, magnitude))
    wide = max(f.exponent_bits, len(zeros)) + 1
    exponent = difference(n, wide, constant(f.bias + integer - 2, wide), zeros)
    infinite = n.or_(a.infinite, a.zero)
    nan = n.or_(a.nan, n.and_(a.sign, n.inv(a.zero)))
    return finish(n, f, n.mux(infinite, sign, a.zero), exponent[:-1], magnitude[-p:],
                  magnitude[-p - 1], any_of(n, magnitude[:-p - 1]), nan,
                  n.and_(infinite, n.inv(nan)), n.and_(empty, n.inv(infinite)))


def _digit(n, i, size, fits, up, under):
    """Return the constant of one step, where it is taken: -log(1 - 2^-i) or log(1 + 2^-i)."""
    down = fixed(lambda: -(1 - Decimal(2) ** -i).ln(), size)
    other = fixed(lambda: (1 + Decimal(2) ** -i).ln(), size)
    first, second = n.and_(fits, up), n.and_(fits, under)
    return [(0, first, second, fits)[(down >> j & 1) + 2 * (other >> j & 1)] for j in range(size)]


def _signed_times(n, k, value, width):
    """Return a two's complement word times a positive constant, modulo 2^width."""
    columns, correction = defaultdict(list), 0
    bits = [*k[:-1], n.inv(k[-1])]  # the top bit's weight is negative: -b = not b - 1
    for j in range(width):
        if value >> j & 1:
            for i, bit in enumerate(bits[:width - j], j):
                columns[i].append(bit)
            correction -= 1 << len(k) - 1 + j
    place_constant(columns, correction, width)
    return reduce_columns(n, columns, width)


def float_erf(n, f, x):
    """Return erf x = x g(|x|): g a polynomial in each of the segments of |x| < 4; 1 beyond.

    Coefficients come from a table in multiplexer logic, whose equal parts are shared.
    """
    p = f.precision
    index_bits, tables = _erf_segments(p)
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
            term = add(n, term, pad(product[len(used):], width, product[-1])[:width])[0]
        inner = term
    g = inner[:p + 7]  # p + 6 fraction bits, in (0.25, 1.13]
    significand, count = normalised(n, a.significand)
    product = multiply(n, significand, g)
    product, zeros = normalised(n, product[len(product) - p - 6:])
    below = any_of(n, product[:-p - 2])
    width = f.exponent_bits + 2
    exponent = difference(n, width, effective(n, a), count, zeros)
    exponent, leading, lost = denormalised(n, exponent, product[-p - 2:])
    one = n.and_(n.or_(far, a.infinite), n.inv(a.nan))
    sticky = n.or_(n.or_(leading[0], lost), below)
    result = finish(n, f, a.sign, exponent, leading[2:], leading[1], sticky, a.nan, 0, a.zero)
    return choose(n, one, result, [*constant(f.bias << (p - 1), f.width - 1), a.sign])


@cache
def _erf_segments(p):
    """Return (bits of the segments' number, coefficients times 2^(p + 6), lowest first)."""
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
            return bits, [[round(c * 2 ** (p + 6)) for c in row] for row in fits.tolist()]
    raise ValueError(f"precision: no table of 512 segments holds erf to {p} bits")


@np.vectorize
def _erf_ratio(x):
    """erf(x) / x, the limit at 0 included."""
    return erf(x) / x if x else 2 / np.sqrt(np.pi)


def _lookup(n, index, values):
    """Return the bit that an index selects, by a tree of multiplexers over constants."""
    for bit in index:
        values = choose(n, bit, values[::2], values[1::2])
    return values[0]
