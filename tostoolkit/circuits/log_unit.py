"""The natural logarithm as a unit: shift-and-add, in any format.

``log`` comes digit by digit from factors ``1 +- 2^-i`` (Muller, "Elementary Functions", 3rd ed.,
2016, chapter 8), half of the digits; one multiplication gives the other half. Results are not
correctly rounded: the proofs (``make prove``) measure the largest errors.
"""

from collections import defaultdict
from decimal import Decimal

from .blocks import add, any_of, choose, constant, negate_if, pad, reduce_columns, square, subtract
from .exponential_units import fixed, guard_bits
from .float_fields import add_constant, effective, finish, normalised, unpack


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
    k = subtract(n, pad(effective(n, a), width), pad(count, width)[:width])[0]
    k = add(n, k, constant(-f.bias % (1 << width), width), under)[0]
    h = p // 2 + 1
    size = p + guard_bits(f) + h  # fraction bits
    assert size <= 2 * p + 3
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
    value = [*[n.xor(b, under) for b in total], *[under] * (integer + 1)]
    coarse = p + guard_bits(f)
    product = [0] * (full - coarse) + _signed_times(
        n, k, fixed(lambda: Decimal(2).ln(), coarse), coarse + integer + 1)
    value = add(n, value, product, under)[0]
    sign = value[-1]
    magnitude = negate_if(n, value[:-1], sign)
    magnitude, zeros = normalised(n, magnitude)
    empty = n.inv(any_of(n, magnitude))
    wide = max(f.exponent_bits, len(zeros)) + 1
    exponent = subtract(n, constant(f.bias + integer - 2, wide), pad(zeros, wide))[0]
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
    for j in range(width):
        if value >> j & 1:
            for i, bit in enumerate(k):
                top = i == len(k) - 1
                if i + j < width:
                    columns[i + j].append(n.inv(bit) if top else bit)
                    correction -= (1 << i + j) if top else 0
    for i in range(width):
        if correction >> i & 1:
            columns[i].append(1)
    return reduce_columns(n, columns, width)
