"""Two's complement integer units."""

from collections import defaultdict

from .blocks import add, any_of, choose, negate_if, pad, place_constant, reduce_columns, subtract

ACCUMULATOR = 32  # bits of the sum that a multiply-accumulate adds to


def int_add(n, width, x, y):
    """Return x + y modulo 2^width."""
    return add(n, x, y)[0]


def signed_product(n, x, y, width, addend=()):
    """Return x y + addend modulo 2^width: Baugh-Wooley partial products, one reduction tree.

    Baugh and Wooley, "A two's complement parallel array multiplication algorithm", IEEE Trans.
    Computers C-22(12), 1973.
    """
    columns = defaultdict(list)
    for i, a in enumerate(x):
        for j, b in enumerate(y):
            bit = n.and_(a, b)
            if (i == len(x) - 1) != (j == len(y) - 1):
                bit = n.inv(bit)
            columns[i + j].append(bit)
    for i, bit in enumerate(addend):
        columns[i].append(bit)
    correction = (1 << len(x) - 1) + (1 << len(y) - 1) - (1 << len(x) + len(y) - 1)
    place_constant(columns, correction, width)
    return reduce_columns(n, columns, width)


def int_mul(n, width, x, y):
    """Return the product of x and y, whole up to 64 bits."""
    return signed_product(n, x, y, min(2 * width, 64))


def int_mac(n, width, x, y, accumulator):
    """Return x y + accumulator, modulo the accumulator's width."""
    return signed_product(n, x, y, len(accumulator), accumulator)


def int_max(n, width, x, y):
    """Return the greater."""
    flipped = [[*word[:-1], n.inv(word[-1])] for word in (x, y)]
    return choose(n, n.inv(subtract(n, *flipped)[1]), x, y)


def int_neg(n, width, x):
    """Return -x modulo 2^width."""
    return negate_if(n, x, 1)


def int_abs(n, width, x):
    """Return the absolute value, modulo 2^width."""
    return negate_if(n, x, x[-1])


def int_select(n, width, x, y, predicate):
    """Return y where the predicate is 1, else x."""
    return choose(n, predicate[0], x, y)


def int_div(n, width, x, y):
    """Return (x / y rounded to zero, remainder with x's sign), modulo 2^width."""
    a, b = negate_if(n, x, x[-1]), negate_if(n, y, y[-1])
    quotient, remainder = [], [0] * width
    for bit in reversed(a):
        remainder = [bit, *remainder]
        difference, fits = subtract(n, remainder, pad(b, width + 1))
        remainder = choose(n, fits, remainder, difference)[:-1]
        quotient.insert(0, fits)
    return negate_if(n, quotient, n.xor(x[-1], y[-1])), negate_if(n, remainder, x[-1])


def int_quotient(n, width, x, y):
    """Return x / y, rounded to zero."""
    return int_div(n, width, x, y)[0]


def int_remainder(n, width, x, y):
    """Return the remainder of x / y, with x's sign."""
    return int_div(n, width, x, y)[1]


def int_logic(n, width, x, y):
    """Return the exclusive or: one XOR a bit."""
    return [n.xor(a, b) for a, b in zip(x, y, strict=True)]


def requantise(n, width, x, multiplier, shift):
    """Return an accumulator scaled, rounded and saturated to `width` bits.

    ``round(x multiplier / 2^(31 + shift))``, half towards plus infinity: the fixed-point scaling of
    Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", CVPR 2018, section 2.2, with one rounding.
    """
    product = signed_product(n, x, multiplier, len(x) + len(multiplier))
    word = product[len(multiplier) - 2:]  # 31 + shift places and the rounding bit below
    sign = product[-1]
    for i, bit in enumerate(shift):
        step = 1 << i
        word = choose(n, bit, word, word[step:] + [sign] * step)
    rounded, _ = add(n, word[1:], [0] * (len(word) - 1), word[0])
    inside = n.inv(any_of(n, [n.xor(b, rounded[-1]) for b in rounded[width - 1:-1]]))
    extreme = [*[n.inv(rounded[-1])] * (width - 1), rounded[-1]]
    return choose(n, inside, extreme, rounded[:width])
