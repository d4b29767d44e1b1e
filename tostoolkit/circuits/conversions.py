"""Conversions between number formats as units, with the roundings of IEEE 754."""

from .blocks import any_of, choose, constant, masked, negate_if, pad, shift_right, subtract
from .float_fields import add_constant, denormalised, effective, finish, normalised, unpack


def convert(n, source, target, x):
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
        floor = subtract(n, floor, pad(count, width)[:width])[0]
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


def to_integer(n, f, width, x):
    """Return x as a two's complement integer: truncated, saturated, 0 for NaN."""
    p = f.precision
    a = unpack(n, f, x)
    size = max(p, width - 1)
    wide = max(f.exponent_bits, width.bit_length()) + 1
    distance = subtract(n, constant(f.bias + width - 2, wide), pad(a.exponent, wide))[0]
    large = n.or_(distance[-1], a.infinite)  # 2^(width - 1) or more
    word, _ = shift_right(n, [0] * (size - p) + a.significand, distance[:-1])
    magnitude = word[size - (width - 1):]
    value = negate_if(n, [*magnitude, 0], a.sign)
    saturated = [*[n.inv(a.sign)] * (width - 1), a.sign]
    return masked(n, choose(n, large, value, saturated), n.inv(a.nan))


def from_integer(n, f, width, x):
    """Return a two's complement integer in a floating-point format."""
    sign = x[-1]
    magnitude = negate_if(n, x, sign)
    word, count = normalised(n, magnitude)
    size = max(f.exponent_bits + 1, (f.bias + width).bit_length() + 1)
    floor = subtract(n, constant(f.bias + width - 2, size), pad(count, size)[:size])[0]
    word = [0] * max(0, f.precision + 2 - width) + word
    q = f.precision
    return finish(n, f, sign, floor, word[-q:], word[-q - 1], any_of(n, word[:-q - 1]),
                  zero=n.inv(any_of(n, magnitude)))
