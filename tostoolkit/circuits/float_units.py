"""Floating-point units, arithmetic and conversions: IEEE 754, subnormals and special values too.

Each function takes the netlist, the format and operand words, and returns the result word.
Rounding is to nearest, ties to even; a NaN result is one quiet NaN whatever went in. Datapaths
after Ercegovac and Lang, "Digital Arithmetic", 2004, chapter 8 (add, multiply, fused
multiply-add), 5 (array divider) and 6 (array square root).
"""

from .blocks import (
    add,
    add_constant,
    any_of,
    at_least,
    choose,
    constant,
    difference,
    equals,
    leading_zeros,
    masked,
    multiply,
    negate_if,
    pad,
    restoring_rows,
    root_rows,
    shift_left,
    shift_right,
)
from .float_fields import denormalised, effective, finish, normalised, unpack


def float_add(n, f, x, y):
    """Return x + y: swap, align, add, normalise, round."""
    p = f.precision
    swap = n.inv(at_least(n, x[:-1], y[:-1]))
    a, b = unpack(n, f, choose(n, swap, x, y)), unpack(n, f, choose(n, swap, y, x))
    large = effective(n, a)
    distance = difference(n, len(large), large, effective(n, b))
    aligned, lost = shift_right(n, [0, 0, *b.significand], distance)
    minus = n.xor(a.sign, b.sign)
    addend = [n.xor(z, minus) for z in (lost, *aligned)]
    total, carry = add(n, [0, 0, 0, *a.significand], addend, minus)
    total.append(n.and_(carry, n.inv(minus)))
    count = leading_zeros(n, total)
    shift = _at_most(n, count, large)
    floor = difference(n, len(large), large, shift)
    total = shift_left(n, total, shift)
    empty = n.inv(any_of(n, total))
    infinite = n.or_(a.infinite, b.infinite)
    both = n.and_(a.infinite, b.infinite)
    nan = n.or_(n.or_(a.nan, b.nan), n.and_(both, minus))
    sign = n.mux(empty, a.sign, n.and_(a.sign, b.sign))
    return finish(n, f, sign, masked(n, floor, n.inv(empty)), total[-p:], total[-p - 1],
                  any_of(n, total[:-p - 1]), nan, infinite)


def _at_most(n, count, limit):
    """Return the lesser of a short count and a longer limit."""
    width = max(len(count), len(limit))
    fits = at_least(n, pad(limit, width), pad(count, width))
    return choose(n, fits, pad(limit, width)[:len(count)], count)


def _product(n, f, a, b):
    """Return (product, floor): 2p bits with the point below the top two, a signed floor.

    At most one operand of a product that does not vanish is subnormal, so one normaliser does.
    """
    swap = n.inv(a.hidden)
    first = choose(n, swap, a.significand, b.significand)
    second, count = normalised(n, choose(n, swap, b.significand, a.significand))
    width = f.exponent_bits + 2
    floor, _ = add(n, pad(effective(n, a), width), pad(effective(n, b), width))
    floor = difference(n, width, add_constant(n, floor, -f.bias), count)
    return multiply(n, first, second), floor


def float_mul(n, f, x, y):
    """Return x y: normalise, multiply, round."""
    p = f.precision
    a, b = unpack(n, f, x), unpack(n, f, y)
    product, floor = _product(n, f, a, b)
    low = n.inv(product[-1])
    floor = difference(n, len(floor), floor, [low])
    leading = choose(n, low, product[p - 2:], product[p - 3:-1])  # p + 1 bits and one below
    below = any_of(n, product[:p - 3])
    below = n.or_(below, n.and_(n.inv(low), product[p - 3]))
    floor, leading, lost = denormalised(n, floor, leading)
    zero = n.or_(a.zero, b.zero)
    infinite = n.or_(a.infinite, b.infinite)
    nan = n.or_(n.or_(a.nan, b.nan), n.and_(zero, infinite))
    sticky = n.or_(n.or_(lost, below), leading[0])
    return finish(n, f, n.xor(a.sign, b.sign), floor, leading[2:], leading[1], sticky, nan,
                  infinite, zero)


def float_fma(n, f, x, y, z):
    """Return x y + z, rounded once."""
    p = f.precision
    a, b, c = unpack(n, f, x), unpack(n, f, y), unpack(n, f, z)
    product, floor = _product(n, f, a, b)
    nonzero = n.inv(n.or_(a.zero, b.zero))
    width = len(floor) + 1
    # the addend stands p + 3 places above the product's units and is shifted right from there
    base = add_constant(n, [*floor, floor[-1]], p + 3)
    floor_c = pad(difference(n, f.exponent_bits, c.exponent, [c.hidden]), width)
    gap = difference(n, width, base, floor_c)
    inside = n.and_(n.inv(gap[-1]), nonzero)  # else the product is far below the addend, or 0
    size = 3 * p + 3
    aligned, lost = shift_right(n, [0] * (size - p) + c.significand, masked(n, gap[:-1], inside))
    minus = n.xor(n.xor(a.sign, b.sign), c.sign)
    addend = [n.xor(w, minus) for w in (lost, *aligned, 0)]
    total, _ = add(n, pad([0, *product], size + 2), addend, minus)
    negative = total[-1]
    total = negate_if(n, total[:-1], negative)
    top = choose(n, inside, floor_c, base)[:-1]  # not negative
    count = leading_zeros(n, total)
    wide = max(len(count), len(top))
    shift = _at_most(n, pad(count, wide), pad(top, wide))
    floor = difference(n, wide, top, shift)
    total = shift_left(n, total, shift[:len(count)])
    empty = n.inv(any_of(n, total))
    infinite = n.or_(n.or_(a.infinite, b.infinite), c.infinite)
    product_infinite = n.or_(a.infinite, b.infinite)
    nan = n.or_(n.or_(a.nan, b.nan), c.nan)
    nan = n.or_(nan, n.and_(n.inv(nonzero), product_infinite))
    nan = n.or_(nan, n.and_(n.and_(product_infinite, c.infinite), minus))
    sign = n.xor(n.xor(a.sign, b.sign), negative)
    sign = n.mux(c.infinite, sign, c.sign)
    sign = n.mux(product_infinite, sign, n.xor(a.sign, b.sign))
    # an exact zero is negative only where both terms are
    sign = n.mux(n.and_(empty, n.inv(infinite)), sign, n.and_(c.sign, n.xor(a.sign, b.sign)))
    return finish(n, f, sign, masked(n, floor, n.inv(empty)), total[-p:], total[-p - 1],
                  any_of(n, total[:-p - 1]), nan, infinite)


def float_div(n, f, x, y):
    """Return x / y: normalise, p + 2 rows of a restoring array, round."""
    p = f.precision
    a, b = unpack(n, f, x), unpack(n, f, y)
    numerator, count_a = normalised(n, a.significand)
    divisor, count_b = normalised(n, b.significand)
    quotient, remainder = restoring_rows(n, numerator, divisor, p + 2)
    width = f.exponent_bits + 2
    floor = difference(n, width, effective(n, a), effective(n, b))
    floor = add_constant(n, floor, f.bias - 1)
    floor, _ = add(n, floor, difference(n, width, count_b, count_a))
    low = n.inv(quotient[-1])
    floor = difference(n, width, floor, [low])
    leading = choose(n, low, quotient, [0, *quotient[:-1]])
    floor, leading, lost = denormalised(n, floor, leading)
    infinite, zero = n.or_(a.infinite, b.zero), n.or_(a.zero, b.infinite)
    nan = n.or_(n.or_(a.nan, b.nan), n.and_(a.zero, b.zero))
    nan = n.or_(nan, n.and_(a.infinite, b.infinite))
    sticky = n.or_(n.or_(lost, any_of(n, remainder)), leading[0])
    return finish(n, f, n.xor(a.sign, b.sign), floor, leading[2:], leading[1], sticky, nan,
                  n.and_(infinite, n.inv(nan)), zero)


def _radicand(n, f, a):
    """Return (significand in [1, 4) with p fraction bits, half of the exponent + bias)."""
    significand, count = normalised(n, a.significand)
    width = f.exponent_bits + 1
    exponent = add_constant(n, difference(n, width, effective(n, a), count), f.bias)
    odd = exponent[0]
    radicand = choose(n, odd, [0, *significand, 0], [0, 0, *significand])
    return radicand, exponent[1:]


def float_sqrt(n, f, x):
    """Return the square root: normalise, p + 1 rows of a restoring array, round."""
    p = f.precision
    a = unpack(n, f, x)
    radicand, exponent = _radicand(n, f, a)  # p + 2 bits, two before the point
    rows = p + 1
    root, remainder = root_rows(n, [0] * (2 * rows - len(radicand)) + radicand, rows)
    floor = add_constant(n, exponent, -1)
    nan = n.or_(a.nan, n.and_(a.sign, n.inv(a.zero)))
    return finish(n, f, a.sign, floor, root[1:], root[0], any_of(n, remainder), nan,
                  n.and_(a.infinite, n.inv(a.sign)), a.zero)


def float_rsqrt(n, f, x):
    """Return 1 / square root: p + 5 root bits, then a restoring divider; not correctly rounded."""
    p = f.precision
    a = unpack(n, f, x)
    radicand, exponent = _radicand(n, f, a)
    rows = p + 5
    root, _ = root_rows(n, [0] * (2 * rows - len(radicand)) + radicand, rows)
    one = [0] * (rows - 1) + [1]
    quotient, remainder = restoring_rows(n, one, root, p + 3)
    low = n.inv(quotient[-1])
    width = len(exponent) + 1
    floor = difference(n, width, constant(2 * f.bias - 1, width), exponent, [low])
    leading = choose(n, low, quotient, [0, *quotient[:-1]])
    nan = n.or_(a.nan, n.and_(a.sign, n.inv(a.zero)))
    sticky = n.or_(any_of(n, remainder), any_of(n, leading[:2]))
    return finish(n, f, a.sign, floor, leading[3:], leading[2], sticky, nan, a.zero, a.infinite)


def float_max(n, f, x, y):
    """Return the greater; NaN where there is one; +0 above -0 (IEEE 754-2019, 9.6 maximum)."""
    a, b = unpack(n, f, x), unpack(n, f, y)
    less = n.inv(at_least(n, x[:-1], y[:-1]))
    same = n.inv(n.xor(a.sign, b.sign))
    second = n.mux(same, a.sign, n.xor(less, a.sign))
    second = n.or_(n.and_(second, n.inv(a.nan)), b.nan)
    return choose(n, second, x, y)


def float_relu(n, f, x):
    """Return x where it is positive, else 0: one AND a bit (a NaN with its sign set gives 0)."""
    return [*masked(n, x[:-1], n.inv(x[-1])), 0]


def float_neg(n, f, x):
    """Return -x."""
    return [*x[:-1], n.inv(x[-1])]


def float_abs(n, f, x):
    """Return the absolute value: the sign is tied to 0."""
    return [*x[:-1], 0]


def float_select(n, f, x, y, predicate):
    """Return y where the predicate is 1, else x: one multiplexer a bit."""
    return choose(n, predicate[0], x, y)


def float_round(n, f, x):
    """Return x rounded to an integer, ties to even (IEEE 754 roundToIntegralTiesToEven)."""
    p = f.precision
    a = unpack(n, f, x)
    # thermometer: bit i of the mantissa has a weight below 1 where the exponent is small enough
    below = [n.inv(at_least(n, a.exponent, constant(f.bias + p - 1 - i, f.exponent_bits)))
             for i in range(p)]  # of bit i; the last one is the hidden bit: |x| < 1
    bits = a.significand
    # the lowest bit of weight 1 or more is where the run of fraction bits ends
    unit = [n.and_(n.inv(below[i]), below[i - 1]) for i in range(1, p)]
    last = any_of(n, [n.and_(u, b) for u, b in zip(unit, bits[1:], strict=True)])
    half = any_of(n, [n.and_(u, b) for u, b in zip(unit, bits[:-1], strict=True)])
    deeper = any_of(n, [n.and_(below[i + 1], bits[i]) for i in range(p - 1)])
    up = n.and_(half, n.or_(deeper, last))
    carry, out = 0, []  # an increment of the hidden bit is one of the exponent
    for i, bit in enumerate([*a.mantissa, *a.exponent]):
        inject = n.or_(carry, n.and_(unit[i - 1], up) if 1 <= i < p else 0)
        out.append(n.and_(n.xor(bit, inject), n.inv(below[i]) if i < p - 1 else 1))
        carry = n.and_(bit, inject)
    # below 1: 1 above a half, else 0
    one = n.and_(equals(n, a.exponent, f.bias - 1), any_of(n, a.mantissa))
    tiny = masked(n, constant(f.bias << (p - 1), f.width - 1), one)
    return [*choose(n, below[-1], out, tiny), a.sign]


# Conversions ----------------------------------------------------------------------------------

def float_convert(n, source, target, x):
    """Return x in another floating-point format."""
    a = unpack(n, source, x)
    p, q = source.precision, target.precision
    width = max(source.exponent_bits, target.exponent_bits) + 2
    significand, count = a.significand, []
    offset = target.bias - source.bias
    if offset > 0:  # subnormals become normal
        significand, count = normalised(n, significand)
    floor = add_constant(n, pad(effective(n, a), width), offset - 1)
    if count:
        floor = difference(n, width, floor, count)
    word = [0] * max(0, q + 2 - p) + significand
    lost = 0
    least = offset - (p - 1 if offset > 0 else 0)
    if least < 0:
        floor, word, lost = denormalised(n, floor, word)
    else:
        floor = floor[:-1]
    sticky = n.or_(lost, any_of(n, word[:-q - 1]))
    return finish(n, target, a.sign, floor, word[-q:], word[-q - 1], sticky, a.nan,
                  n.and_(a.infinite, n.inv(a.nan)), a.zero)


def float_to_integer(n, f, width, x):
    """Return x as a two's complement integer: truncated, saturated, 0 for NaN."""
    p = f.precision
    a = unpack(n, f, x)
    size = max(p, width - 1)
    wide = max(f.exponent_bits, width.bit_length()) + 1
    distance = difference(n, wide, constant(f.bias + width - 2, wide), a.exponent)
    large = n.or_(distance[-1], a.infinite)  # 2^(width - 1) or more
    word, _ = shift_right(n, [0] * (size - p) + a.significand, distance[:-1])
    magnitude = word[size - (width - 1):]
    value = negate_if(n, [*magnitude, 0], a.sign)
    saturated = [*[n.inv(a.sign)] * (width - 1), a.sign]
    return masked(n, choose(n, large, value, saturated), n.inv(a.nan))


def float_from_integer(n, f, width, x):
    """Return a two's complement integer in a floating-point format."""
    sign = x[-1]
    magnitude = negate_if(n, x, sign)
    word, count = normalised(n, magnitude)
    size = max(f.exponent_bits + 1, (f.bias + width).bit_length() + 1)
    floor = difference(n, size, constant(f.bias + width - 2, size), count)
    word = [0] * max(0, f.precision + 2 - width) + word
    q = f.precision
    return finish(n, f, sign, floor, word[-q:], word[-q - 1], any_of(n, word[:-q - 1]),
                  zero=n.inv(any_of(n, magnitude)))
