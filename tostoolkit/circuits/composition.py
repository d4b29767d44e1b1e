"""Transistor counts of arithmetic units, composed by formula from standard cells.

Every unit is fully unrolled static CMOS without registers: each transistor is charged once per
op. The formulas count the blocks of the textbook datapaths (Ercegovac and Lang, "Digital
Arithmetic", 2004, chapters 3, 5, 6 and 8; Muller, "Elementary Functions", 3rd ed., 2016,
chapters 6 and 11) with ripple carries; they are not netlists and nothing is simulated, so they
neither share logic between blocks nor drop what a constant makes idle. Operands may be
subnormal; rounding is to nearest even. Registers, clock, wires, memories and control are excluded.

``python -m tostoolkit.circuits`` writes the cost table ``cmos``.
"""

from math import ceil, log2

#: Transistors of each cell: static CMOS; the full adder is the mirror adder (Weste and Harris,
#: "CMOS VLSI Design", 4th ed., 2011, section 11.2.1), of which `carry` is the carry stage.
CELLS = {
    "not": 2, "nand": 4, "nor": 4, "and": 6, "or": 6, "xor": 10, "mux": 12,
    "half_adder": 16, "carry": 12, "full_adder": 28, "rom_bit": 1,
}
#: Floating-point formats: exponent bits, precision (with the hidden bit).
FORMATS = {
    "float64": (11, 53), "float32": (8, 24), "tfloat32": (8, 11), "bfloat16": (8, 8),
    "float16": (5, 11), "float8_e4m3fn": (4, 4), "float8_e5m2": (5, 3),
}
INTEGERS = {"int64": 64, "int32": 32, "int16": 16, "int8": 8, "int4": 4}
ROM_ADDRESS = 7  # bits that address one table of an elementary function


# Blocks -------------------------------------------------------------------------------------

def adder(n):
    """Transistors of an n-bit ripple-carry adder or subtractor."""
    return CELLS["full_adder"] * n


def incrementer(n):
    return CELLS["half_adder"] * n


def comparator(n):
    """Transistors of a < b: the carry chain of a subtraction, without its sum."""
    return (CELLS["carry"] + CELLS["not"]) * n


def choose(n):
    return CELLS["mux"] * n


def shifter(n):
    """Transistors of an n-bit barrel shifter: one row of multiplexers for each bit of distance."""
    return CELLS["mux"] * n * ceil(log2(n))


def any_bit(n):
    return CELLS["or"] * (n - 1)


def leading_zeros(n):
    """Transistors of a leading-zero counter: a tree that merges halves with one OR and one MUX."""
    return (CELLS["or"] + CELLS["mux"]) * n


def multiplier(n, m):
    """Transistors of an n x m array: AND for each partial product, then rows of adders."""
    rows = min(n, m) - 1
    width = max(n, m)
    return CELLS["and"] * n * m + rows * ((width - 1) * CELLS["full_adder"] + CELLS["half_adder"])


def constant_multiplier(n):
    """Transistors of a product with a constant: in canonical signed digits a third are not 0."""
    return adder(n) * ceil(n / 3)


def rom(n):
    """Transistors of a 128-word table of n bits as a ROM array, with its row decoder."""
    words = 2**ROM_ADDRESS
    return words * n * CELLS["rom_bit"] + words * 2 * ROM_ADDRESS


def unpack(e, p):
    """Transistors that tell zero, infinity and NaN of one operand."""
    return 2 * any_bit(e) + any_bit(p - 1)


def normalise(p):
    """Transistors that bring a subnormal significand to a leading one."""
    return leading_zeros(p) + shifter(p)


def pack(e, p):
    """Transistors that denormalise, round to nearest even and insert special values."""
    return (comparator(e) + shifter(p + 2) + any_bit(p) + incrementer(e + p - 1)
            + 2 * choose(e + p))


# Units --------------------------------------------------------------------------------------

def _float_add(e, p):
    w = e + p
    swap = comparator(w - 1) + 2 * choose(w - 1)
    align = adder(e) + shifter(p + 2) + any_bit(p)
    total = CELLS["xor"] * (p + 3) + adder(p + 3)
    renormalise = leading_zeros(p + 3) + shifter(p + 3) + 2 * adder(e) + comparator(e) + choose(e)
    rounding = incrementer(w - 1) + 2 * choose(w)  # an add is never denormalised further
    return 2 * unpack(e, p) + swap + align + total + renormalise + rounding


def _float_mul(e, p):
    return (2 * unpack(e, p) + 2 * normalise(p) + multiplier(p, p) + 2 * adder(e + 2)
            + pack(e, p))


def _float_div(e, p):
    row = (CELLS["full_adder"] + CELLS["mux"]) * (p + 1)  # subtract, keep or restore
    return (2 * unpack(e, p) + 2 * normalise(p) + (p + 2) * row + 2 * adder(e + 2) + any_bit(p)
            + pack(e, p))


def _float_sqrt(e, p):
    rows = sum((CELLS["full_adder"] + CELLS["mux"]) * (i + 2) for i in range(1, p + 3))
    return unpack(e, p) + normalise(p) + rows + adder(e) + any_bit(p) + incrementer(e + p - 1)


def _tables(n):
    """Tables whose factors leave a remainder r < 2^(-n/2), so that 1 + r is exact to n bits."""
    return ceil(n / 2 / ROM_ADDRESS)


def _float_exp(e, p):
    n = p + 3
    k = _tables(n)
    return (unpack(e, p) + shifter(n) + constant_multiplier(n) + k * rom(n)
            + (k - 1) * multiplier(n, n) + multiplier(n, ceil(n / 2)) + pack(e, p))


def _float_log(e, p):
    n = p + 3
    k = _tables(n)
    return (unpack(e, p) + normalise(p) + k * (rom(n) + rom(8) + multiplier(n, 8) + adder(n))
            + multiplier(ceil(n / 2), ceil(n / 2)) + multiplier(n, e) + 2 * adder(n)
            + normalise(n) + pack(e, p))


def _float_max(e, p):
    w = e + p
    return comparator(w) + choose(w) + 2 * unpack(e, p) + choose(w)


def _float_round(e, p):
    return comparator(e) + 2 * shifter(p) + incrementer(e + p - 1) + choose(e + p)


def _random(e, p):
    """One of the four words of Philox4x32-10 (Salmon et al., SC 2011, section 3.3), made a
    float."""
    return 5 * multiplier(32, 32) + 10 * CELLS["xor"] * 32 + 5 * adder(32) + pack(e, p)


_FLOAT_UNITS = {
    "add": (_float_add, "swap, align, add, renormalise, round"),
    "mul": (_float_mul, "normalise, p x p array, round"),
    "div": (_float_div, "normalise, p + 2 rows of radix-2 restoring division, round"),
    "sqrt": (_float_sqrt, "p + 2 growing rows of restoring square root, round"),
    "exp": (_float_exp, "x log2(e), 128-word ROMs multiplied, 1 + r, round"),
    "log": (_float_log, "normalise, reduction by 128-word ROMs, z - z^2/2, e ln 2, round"),
    "max": (_float_max, "compare, choose, NaN"),
    "round": (_float_round, "mask, increment, choose"),
    "convert": (lambda e, p: unpack(e, p) + normalise(p) + adder(e) + pack(e, p),
                "normalise, rebias, round (priced in the resulting format)"),
    "random": (_random, "Philox4x32-10, a quarter of its four words"),
    "neg": (lambda e, p: CELLS["not"], "invert the sign"),
    "abs": (lambda e, p: 0, "the sign is tied to 0: no transistor"),
    "select": (lambda e, p: choose(e + p), "one MUX a bit"),
    "logic": (lambda e, p: CELLS["xor"] * (e + p), "one XOR a bit"),
}
#: Ops without a unit of their own: what computes them.
EXPANSIONS = {
    "mac": {"mul": 1, "add": 1},
    "rem": {"div": 1, "round": 1, "mul": 1, "add": 1},
    "rsqrt": {"sqrt": 1, "div": 1},
    "cbrt": {"log": 1, "mul": 1, "exp": 1},
    "pow": {"log": 1, "mul": 1, "exp": 1},
    "sigmoid": {"exp": 1, "add": 1, "div": 1},
    "tanh": {"exp": 1, "add": 2, "div": 1},
    # Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, equation 7.1.26
    "erf": {"exp": 1, "div": 1, "mul": 7, "add": 7},
    # Cody-Waite reduction in two steps, then an odd polynomial of degree 9
    "sin": {"mul": 8, "add": 7, "round": 1},
}
_INTEGER_UNITS = {
    "add": (adder, "ripple-carry adder"),
    "mul": (lambda w: multiplier(w, w), "w x w array, the whole product"),
    "mac": (lambda w: multiplier(w, w) + adder(max(w, 32)), "w x w array, accumulator of >= 32"),
    "div": (lambda w: w * (CELLS["full_adder"] + CELLS["mux"]) * (w + 1), "w restoring rows"),
    "rem": (lambda w: w * (CELLS["full_adder"] + CELLS["mux"]) * (w + 1), "w restoring rows"),
    "max": (lambda w: comparator(w) + choose(w), "compare, choose"),
    "select": (choose, "one MUX a bit"),
    "logic": (lambda w: CELLS["xor"] * w, "one XOR a bit"),
    "neg": (lambda w: CELLS["not"] * w + incrementer(w), "invert, increment"),
    "abs": (lambda w: CELLS["xor"] * w + incrementer(w), "conditional invert, increment"),
    "round": (lambda w: 0, "an integer is round: no transistor"),
    "convert": (lambda w: shifter(w) + incrementer(w) + comparator(w) + choose(w),
                "shift, round, saturate (priced in the resulting format)"),
    "random": (lambda w: 5 * multiplier(32, 32) + 10 * CELLS["xor"] * 32 + 5 * adder(32),
               "Philox4x32-10, a quarter of its four words"),
}
_BOOL_UNITS = {
    "logic": (CELLS["xor"], "one XOR"), "select": (CELLS["mux"], "one MUX"),
    "max": (CELLS["or"], "one OR"), "convert": (0, "a wire"),
}


def op_transistors(op, dtype):
    """Return the transistors that one op takes in one number format, and the rule in words.

    Parameters
    ----------
    op : str
        An op kind of `op_kinds.OP_KINDS`.
    dtype : str
        ``float32``, ``int8``, ``bool``, ...

    Returns
    -------
    (int, str)

    Raises
    ------
    KeyError
        The op has no meaning in that format: there is no ``exp`` of an ``int8``.

    Examples
    --------
    >>> op_transistors("add", "int8")
    (224, 'ripple-carry adder')
    """
    if dtype in FORMATS:
        if op in EXPANSIONS:
            parts = EXPANSIONS[op]
            cost = sum(n * op_transistors(part, dtype)[0] for part, n in parts.items())
            return cost, " + ".join(f"{n} {part}" if n > 1 else part for part, n in parts.items())
        unit, words = _FLOAT_UNITS[op]
        return unit(*FORMATS[dtype]), words
    if dtype == "bool":
        return _BOOL_UNITS[op]
    unit, words = _INTEGER_UNITS[op]
    return unit(INTEGERS[dtype]), words


def write_table(path):
    """Write the cost table ``cmos``, one row for every op that each format has.

    Examples
    --------
    ``write_table("tostoolkit/cost_tables/cmos.csv")``
    """
    import pandas as pd

    from ..op_kinds import DTYPES, OP_KINDS

    rows = []
    for dtype in DTYPES:
        for op in OP_KINDS:
            try:
                cost, words = op_transistors(op, dtype)
            except KeyError:
                continue
            rows.append((op, dtype, cost, "derived", "tostoolkit.circuits.composition",
                         f"op_transistors({op!r}, {dtype!r})", words))
    table = pd.DataFrame(
        rows, columns=["op", "dtype", "cost", "status", "source", "locator", "derivation"])
    with open(path, "w") as file:
        file.write("# description: transistors of unrolled static-CMOS units, composed by formula "
                   "from standard cells with ripple carries\n# unit: TO\n")
        table.to_csv(file, index=False)
