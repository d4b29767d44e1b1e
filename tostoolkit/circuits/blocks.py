"""Word-level blocks of arithmetic datapaths: adders, shifters, counters, multipliers.

Textbook designs (Ercegovac and Lang, "Digital Arithmetic", 2004: chapters 2, 3 and 5). Every
function takes the netlist first; words are lists of nets, least significant bit first.
"""

from collections import defaultdict

from .netlist import part


def constant(value, width):
    """Return the word of a non-negative constant."""
    return [value >> i & 1 for i in range(width)]


def pad(word, width, fill=0):
    """Return a word widened at its top."""
    return [*word, *[fill] * (width - len(word))]


def inverted(n, word):
    return [n.inv(x) for x in word]


def masked(n, word, keep):
    """Return the word where `keep` is 1, else 0."""
    return [n.and_(x, keep) for x in word]


def choose(n, select, a, b):
    """Return `b` where `select` is 1, else `a`."""
    return [n.mux(select, x, y) for x, y in zip(a, b, strict=True)]


def any_of(n, word):
    """Return the OR of a word's bits, as a balanced tree."""
    return _tree(word, n.or_, 0)


def all_of(n, word):
    return _tree(word, n.and_, 1)


def _tree(word, join, empty):
    word = list(word)
    while len(word) > 1:
        word = [join(*word[i:i + 2]) if i + 1 < len(word) else word[i]
                for i in range(0, len(word), 2)]
    return word[0] if word else empty


def equals(n, word, value):
    """Return 1 where the word is that constant."""
    return all_of(n, [x if value >> i & 1 else n.inv(x) for i, x in enumerate(word)])


# Adders -------------------------------------------------------------------------------------

@part("carry-propagate adders")
def add(n, a, b, carry=0):
    """Return (sum, carry out) of two words of one width, by the netlist's adder."""
    assert len(a) == len(b)
    if n.adder == "ripple":
        total = []
        for x, y in zip(a, b, strict=True):
            total.append(n.xor3(x, y, carry))
            carry = n.majority(x, y, carry)
        return total, carry
    half = [n.xor(x, y) for x, y in zip(a, b, strict=True)]
    pairs = [(n.and_(x, y), p) for x, y, p in zip(a, b, half, strict=True)]
    pairs = [(carry, 0), *pairs]  # the carry in generates below the word
    scan = _kogge_stone if n.adder == "kogge-stone" else _brent_kung
    carries = [g for g, _ in scan(n, pairs)]
    return [n.xor(p, c) for p, c in zip(half, carries, strict=False)], carries[-1]


def _join(n, high, low):
    return n.or_(high[0], n.and_(high[1], low[0])), n.and_(high[1], low[1])


def _kogge_stone(n, pairs):
    step = 1
    while step < len(pairs):
        pairs = [_join(n, pairs[i], pairs[i - step]) if i >= step else pairs[i]
                 for i in range(len(pairs))]
        step *= 2
    return pairs


def _brent_kung(n, pairs):
    pairs, size, step = list(pairs), len(pairs), 1
    while step < size:
        for i in range(2 * step - 1, size, 2 * step):
            pairs[i] = _join(n, pairs[i], pairs[i - step])
        step *= 2
    while step > 1:
        step //= 2
        for i in range(3 * step - 1, size, 2 * step):
            pairs[i] = _join(n, pairs[i], pairs[i - step])
    return pairs


def add_constant(n, word, value):
    """Return a word plus a constant, modulo its width."""
    return add(n, word, constant(value % (1 << len(word)), len(word)))[0]


def subtract(n, a, b):
    """Return (a - b modulo 2^width, 1 where a >= b)."""
    return add(n, a, inverted(n, b), 1)


def difference(n, width, a, *others):
    """Return a word less each of the others, modulo 2^width; they may be of other widths."""
    for b in others:
        a = subtract(n, pad(a, width)[:width], pad(b, width)[:width])[0]
    return a


def at_least(n, a, b):
    """Return 1 where a >= b: the carries of a subtraction, without its sum."""
    return subtract(n, a, b)[1]


def increment(n, word, by=1):
    """Return (word + by, carry out) for one bit `by`: half adders."""
    return add(n, word, [0] * len(word), by)


def negated(n, word, width):
    """Return the two's complement of an unsigned word, in `width` bits."""
    return increment(n, inverted(n, pad(word, width)))[0]


def negate_if(n, word, sign):
    """Return the two's complement of the word where `sign` is 1."""
    return increment(n, [n.xor(x, sign) for x in word], sign)[0]


# Shifters and counters ----------------------------------------------------------------------

@part("shift left")
def shift_left(n, word, amount):
    """Return the word shifted left within its width, zeros moving in."""
    for i, bit in enumerate(amount):
        step = min(1 << i, len(word))
        word = choose(n, bit, word, [0] * step + word[:len(word) - step])
    return word


@part("shift right")
def shift_right(n, word, amount):
    """Return (the word shifted right, 1 where a 1 was shifted out), whatever the amount."""
    useful = len(word).bit_length()
    far = any_of(n, amount[useful:])
    lost = 0
    for i, bit in enumerate(amount[:useful]):
        step = min(1 << i, len(word))
        lost = n.or_(lost, n.and_(bit, any_of(n, word[:step])))
        word = choose(n, bit, word, word[step:] + [0] * step)
    near = n.inv(far)
    return masked(n, word, near), n.or_(lost, n.and_(far, any_of(n, word)))


@part("count leading zeros")
def leading_zeros(n, word):
    """Return the count of zeros above the leading one, as a word."""
    width = len(word)
    size = 1 << (width - 1).bit_length()
    if width == 1:
        return [n.inv(word[0])]
    return _leading_zeros(n, [1] * (size - width) + list(word))[0]


def _leading_zeros(n, word):
    """Return (count, 1 where all are zero) of a word whose width is a power of two."""
    if len(word) == 1:
        return [], n.inv(word[0])
    half = len(word) // 2
    high, none_high = _leading_zeros(n, word[half:])
    low, none_low = _leading_zeros(n, word[:half])
    count = [n.mux(none_high, h, x) for h, x in zip(high, low, strict=True)]
    return [*count, none_high], n.and_(none_high, none_low)


# Multipliers --------------------------------------------------------------------------------

def reduce_columns(n, columns, width):
    """Return the sum, modulo 2^width, of bits given by weight: a Dadda tree, then an adder.

    Dadda, "Some schemes for parallel multipliers", Alta Frequenza 34, 1965.
    """
    columns = [list(columns.get(i, ())) for i in range(width)]
    heights = [2]
    while heights[-1] < max(map(len, columns), default=0):
        heights.append(heights[-1] * 3 // 2)
    for height in reversed(heights[:-1]):
        for i, column in enumerate(columns):
            while len(column) > height:
                bits = [column.pop(0) for _ in range(3 if len(column) > height + 1 else 2)]
                bits = bits if len(bits) == 3 else [*bits, 0]
                column.append(n.xor3(*bits))
                if i + 1 < width:
                    columns[i + 1].append(n.majority(*bits))
    low = []
    for column in columns:  # below the first column of two there is nothing to add
        if len(column) > 1:
            break
        low.append(column[0] if column else 0)
    rest = columns[len(low):]
    a, b = ([c[k] if len(c) > k else 0 for c in rest] for k in (0, 1))
    return low + add(n, a, b)[0] if rest else low


@part("product array")
def multiply(n, a, b):
    """Return the whole product of two unsigned words."""
    columns = defaultdict(list)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            columns[i + j].append(n.and_(x, y))
    return reduce_columns(n, columns, len(a) + len(b))


@part("product array")
def square(n, a):
    """Return the square of an unsigned word: products of two bits once, one place higher."""
    columns = defaultdict(list)
    for i, x in enumerate(a):
        columns[2 * i].append(x)
        for j in range(i):
            columns[i + j + 1].append(n.and_(x, a[j]))
    return reduce_columns(n, columns, 2 * len(a))


def signed_digits(value):
    """Return the canonical signed digits of an integer: {power of two: 1 or -1}, few of them."""
    digits, place = {}, 0
    while value:
        if value & 1:
            digit = 2 - (value & 3)
            digits[place] = digit
            value -= digit
        value >>= 1
        place += 1
    return digits


@part("product array")
def multiply_constant(n, a, value, drop=0):
    """Return a word times a constant, one row of adders for each digit that is not 0.

    Columns below 2^drop are not built, and neither is what they would carry.
    """
    width = len(a) + value.bit_length()
    columns, correction = defaultdict(list), 0
    for place, digit in signed_digits(value).items():
        for i, x in enumerate(a):
            if place + i >= drop:
                columns[place + i].append(x if digit > 0 else n.inv(x))
        if digit < 0:  # -x = not x + 1 - 2^width
            dropped = max(0, drop - place)
            correction -= ((1 << len(a)) - (1 << dropped)) << place
    place_constant(columns, correction, width)
    return reduce_columns(n, {i - drop: c for i, c in columns.items()}, width - drop)


def place_constant(columns, value, width):
    """Add the bits of a constant, modulo 2^width, to columns of bits by weight."""
    for i in range(width):
        if value >> i & 1:
            columns[i].append(1)


@part("digit rows")
def restoring_rows(n, remainder, divisor, rows):
    """Return (quotient, remainder) of a restoring array divider.

    Each row subtracts, keeps the difference where it is not negative, and doubles it. The first
    quotient bit has the weight of 1; needs remainder < 2 divisor.
    """
    quotient = []
    divisor = pad(divisor, len(divisor) + 1)
    remainder = pad(remainder, len(divisor))
    for row in range(rows):
        difference, fits = subtract(n, remainder, divisor)
        remainder = choose(n, fits, remainder, difference)
        quotient.insert(0, fits)
        if row + 1 < rows:
            remainder = [0, *remainder[:-1]]
    return quotient, remainder


@part("digit rows")
def root_rows(n, radicand, rows):
    """Return (root, remainder) of a restoring square root of a word of 2 x rows bits."""
    root, remainder = [], []
    for row in range(rows):
        low = 2 * (rows - 1 - row)
        remainder = [radicand[low], radicand[low + 1], *remainder]
        trial = [1, 0, *root]
        width = max(len(remainder), len(trial))
        difference, fits = subtract(n, pad(remainder, width), pad(trial, width))
        remainder = choose(n, fits, pad(remainder, width), difference)[:row + 2]
        root = [fits, *root]
    return root, remainder
