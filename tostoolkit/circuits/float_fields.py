"""Floating-point words: operands taken apart, results rounded and put together (IEEE 754).

Exponents are handled as ``E - 1`` ("floor"), which is 0 for the smallest normal binade and for
subnormals alike: hidden bit and rounding carry then enter the exponent field by plain addition.
"""

from dataclasses import dataclass

from .blocks import (
    add,
    all_of,
    any_of,
    constant,
    difference,
    increment,
    leading_zeros,
    masked,
    negated,
    pad,
    shift_left,
    shift_right,
)
from .netlist import part


@dataclass
class Fields:
    """An operand taken apart; every flag is a net."""

    sign: int
    exponent: list  # as stored
    mantissa: list  # as stored, without the hidden bit
    hidden: int  # 0 for zero and subnormals
    zero: int
    infinite: int
    nan: int

    @property
    def significand(self):
        return [*self.mantissa, self.hidden]


@part("unpack")
def unpack(n, f, word) -> Fields:
    """Return the fields of an operand."""
    mantissa, exponent = word[:f.precision - 1], word[f.precision - 1:-1]
    hidden = any_of(n, exponent)
    filled = any_of(n, mantissa)
    top = all_of(n, exponent)
    if f.infinities:
        infinite, nan = n.and_(top, n.inv(filled)), n.and_(top, filled)
    else:
        infinite, nan = 0, n.and_(top, all_of(n, mantissa))
    return Fields(word[-1], exponent, mantissa, hidden, n.inv(n.or_(hidden, filled)), infinite, nan)


def effective(n, x):
    """Return the exponent with the subnormals' 0 read as 1."""
    return [n.or_(x.exponent[0], n.inv(x.hidden)), *x.exponent[1:]]


@part("normalise subnormals")
def normalised(n, significand):
    """Return (the word shifted until its top bit is 1, the shift)."""
    count = leading_zeros(n, significand)
    return shift_left(n, significand, count), count


@part("to fixed point")
def fixed_point(n, f, x, integer, fraction):
    """Return (|x| as a word of fixed point, 1 where it is 2^integer or more)."""
    width = max(f.exponent_bits, (f.bias + integer).bit_length()) + 1
    distance = difference(n, width, constant(f.bias + integer - 1, width), effective(n, x))
    size = integer + fraction
    word = [0] * max(0, size - f.precision) + x.significand
    word, _ = shift_right(n, word, distance[:-1])
    return word[len(word) - size:], distance[-1]


@part("round and pack")
def finish(n, f, sign, floor, significand, guard, sticky, nan=0, infinite=0, zero=0):
    """Return the result word: rounded, overflow and special values inserted.

    The floor, of any width, is not negative; the significand, of `f.precision` bits, has a top bit
    of 0 only where the floor is 0; `guard` is the next bit, `sticky` the OR of all below it.
    """
    up = n.and_(guard, n.or_(sticky, significand[0]))
    mantissa, carry = increment(n, significand[:-1], up)
    width = max(len(floor), f.exponent_bits) + 1
    exponent, _ = add(n, pad(floor, width), pad([significand[-1]], width), carry)
    field, high = exponent[:f.exponent_bits], exponent[f.exponent_bits:]
    full = all_of(n, field) if f.infinities else n.and_(all_of(n, field), all_of(n, mantissa))
    over = n.and_(n.or_(any_of(n, high), full), n.inv(zero))
    if f.infinities:
        infinite = n.or_(infinite, over)
        top = n.or_(infinite, nan)
        clear = n.inv(n.or_(top, zero))
        mantissa = masked(n, mantissa, clear)
        mantissa[-1] = n.or_(mantissa[-1], nan)
        # a NaN must not be cleared by the zero flag, nor a zero set by the overflow flag
        field = [n.or_(n.and_(x, n.inv(zero)), top) for x in field]
    else:
        nan = n.or_(nan, n.or_(over, infinite))
        keep = n.inv(zero)
        mantissa = [n.or_(n.and_(x, keep), nan) for x in mantissa]
        field = [n.or_(n.and_(x, keep), nan) for x in field]
    return [*mantissa, *field, n.and_(sign, n.inv(nan))]


@part("denormalise")
def denormalised(n, floor, word):
    """Return (floor, word, lost): shifted right where the signed floor is negative."""
    negative = floor[-1]
    amount = masked(n, negated(n, floor, len(floor)), negative)
    word, lost = shift_right(n, word, amount)
    return masked(n, floor[:-1], n.inv(negative)), word, lost
