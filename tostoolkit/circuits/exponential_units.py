"""Exponential, logistic function and hyperbolic tangent as units: shift-and-add, in any format.

``2^f`` comes digit by digit from factors ``1 + 2^-i`` (Muller, "Elementary Functions", 3rd ed.,
2016, chapter 8), half of the digits; one multiplication gives the other half. ``sigmoid`` and
``tanh`` divide what ``exp`` gives, so that no cancellation is left. Results are not correctly
rounded: the proofs (``make prove``) measure the largest errors. Fixed-point constants come from
Python's decimal module.
"""

from decimal import Decimal, localcontext
from functools import cache
from math import ceil, floor, log2

from .blocks import (
    add,
    any_of,
    at_least,
    choose,
    constant,
    masked,
    multiply,
    multiply_constant,
    negate_if,
    pad,
    restoring_rows,
    shift_right,
    subtract,
)
from .float_fields import add_constant, denormalised, effective, finish, negated, normalised, unpack
from .netlist import part


def fixed(value, bits, rounding=round):
    """Return a real constant, given as a function of decimal arithmetic, times 2^bits."""
    with localcontext() as context:
        context.prec = 80
        return int(rounding(value() * 2**bits))


@cache
def _log2_of(i, bits):
    """log2(1 + 2^-i), rounded up so that powers come out no greater than they are."""
    return fixed(lambda: (1 + Decimal(2) ** -i).ln() / Decimal(2).ln(), bits, ceil)


def guard_bits(f):
    """Bits below the last of the result, for one truncation in each of about p / 2 steps."""
    return 2 + ceil(log2(f.precision / 2))


def _bits_of_range(f):
    """Integer bits of |x| beyond which exp overflows, or vanishes."""
    return ceil(log2((f.bias + f.precision + 1) * 0.6931471805599453))


@part("to fixed point")
def fixed_point(n, f, a, integer, fraction):
    """Return (|x| as a word of fixed point, 1 where it is 2^integer or more)."""
    width = max(f.exponent_bits, (f.bias + integer).bit_length()) + 1
    distance = subtract(n, constant(f.bias + integer - 1, width), pad(effective(n, a), width))[0]
    size = integer + fraction
    word = [0] * max(0, size - f.precision) + a.significand
    word, _ = shift_right(n, word, distance[:-1])
    return word[len(word) - size:], distance[-1]


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
    tail = multiply(n, top, rest)
    tail = tail[len(top) - 1:]  # the rest's places
    return add(n, power, pad(tail, size + 1)[:size + 1])[0]


def _exponential(n, f, a, fraction, negative, doubled=False):
    """Return (power, whole, far): e^(+-|x|) = power 2^whole, or e^(+-2|x|) where doubled.

    The negative exponent is a one's complement, a unit of the last fraction bit too low.
    """
    integer = _bits_of_range(f)
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
    whole = [*whole, *[whole[-1]] * (width - len(whole))]
    exponent = add_constant(n, whole, f.bias - 1)
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
    exponent = subtract(n, constant(f.bias - 1, width), pad(masked(n, down, a.sign), width))[0]
    exponent = subtract(n, exponent, pad([low], width))[0]
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
    exponent = subtract(n, constant(f.bias - 1, width), pad(count, width)[:width])[0]
    exponent = subtract(n, exponent, pad([low], width))[0]
    leading = choose(n, low, quotient, [0, *quotient[:-1]])
    sticky = n.or_(leading[0], any_of(n, remainder))
    result = finish(n, f, a.sign, exponent[:-1], leading[2:], leading[1], sticky, a.nan)
    tiny = n.inv(at_least(n, a.exponent, constant(max(f.bias - small, 0), f.exponent_bits)))
    return choose(n, tiny, result, x)
