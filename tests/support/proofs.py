"""Proof that the units compute the right answer, and the record of it.

Arithmetic is compared bit by bit with NumPy, with float64 results rounded once more where that is
exact (a format of p bits with 2 p + 2 <= 53: Figueroa, "When is double rounding innocuous?",
SIGNUM Newsletter 30(3), 1995), or with rationals. Every vector of an 8-bit format is tried, and
every argument of a 16-bit one; else random and directed ones. Elementary functions are compared
with 80-bit floats and their largest error is kept, in units in the last place.

``make prove`` runs all of it, this file as a script, and keeps the record as
``tests/circuits/proofs.csv``; the tests check that the netlists of today are those that were
proved.
"""

import sys
from dataclasses import asdict, dataclass
from datetime import date
from fractions import Fraction
from math import erf
from pathlib import Path

import numpy as np
import pandas as pd

from tostoolkit.circuits import (
    ADDERS,
    FLOATS,
    INTEGERS,
    from_float,
    simulate,
    to_float,
    unit,
    units,
)

RECORD = Path(__file__).parents[1] / "circuits" / "proofs.csv"
VECTORS = 2**20  # of a unit; every vector of two operands of 8 bits, or of one of 16, is fewer
RATIONALS = 2**14  # vectors that are compared with rationals, which are slow
ELEMENTARY = ("exp", "log", "sigmoid", "tanh", "erf", "rsqrt")


@dataclass(frozen=True)
class Proof:
    """What was tried and what came of it.

    Attributes
    ----------
    method : str
        ``exhaustive`` or ``random and directed``.
    vectors, failures : int
    max_ulp : float
        Largest error of an elementary function; NaN where results are exact.
    netlist : str
        The netlist's hash.
    """

    op: str
    dtype: str
    adder: str
    method: str
    vectors: int
    failures: int
    max_ulp: float
    netlist: str


def prove(op, dtype, adder="ripple", vectors=VECTORS, seed=0) -> Proof:
    """Return the proof of one unit, over at most about so many vectors.

    Raises
    ------
    ValueError
        As `unit`.

    Examples
    --------
    >>> prove("add", "float8_e5m2").failures
    0
    """
    netlist = unit(op, dtype, adder)
    words, method = _vectors(netlist, op, dtype, vectors, np.random.default_rng(seed))
    got = simulate(netlist, **words)["result"]
    if op in ELEMENTARY:
        wrong, ulp = _elementary(op, dtype, words["x"], got)
    else:
        wrong, ulp = _wrong(dtype, got, _expected(op, dtype, words)), float("nan")
    return Proof(op, dtype, adder, method, len(got), int(wrong.sum()), ulp, netlist.digest())


def prove_all() -> pd.DataFrame:
    """Return the proofs of every unit in every format and adder (half an hour)."""
    from tqdm import tqdm

    todo = [(op, dtype, adder) for adder in ADDERS for dtype in (*FLOATS, *INTEGERS)
            for op in units(dtype)]
    rows = []
    for op, dtype, adder in tqdm(todo, unit="unit"):
        vectors = VECTORS if adder == "ripple" else VECTORS // 16
        rows.append(asdict(prove(op, dtype, adder, vectors)))
    return pd.DataFrame(rows).assign(date=date.today().isoformat())


# Vectors ------------------------------------------------------------------------------------

def _vectors(netlist, op, dtype, most, rng):
    """Return (operands, method): every vector where there are few, else some."""
    widths = {name: len(word) for name, word in netlist.inputs.items()}
    total = sum(widths.values())
    if (total <= 16 and most >= 1 << total) or (total <= 24 and most >= VECTORS):
        every = np.arange(1 << total, dtype=np.uint64)
        words, low = {}, 0
        for name, width in widths.items():
            words[name] = every >> np.uint64(low) & np.uint64((1 << width) - 1)
            low += width
        return words, "exhaustive"
    if op == "fma":
        most = min(most, RATIONALS)
    source = op.partition(":")[2] or dtype
    words = {}
    for name, width in widths.items():
        bits = rng.integers(0, 2**63, most, dtype=np.uint64) * np.uint64(2) + rng.integers(
            0, 2, most, dtype=np.uint64)
        words[name] = bits >> np.uint64(64 - width)
    if source in FLOATS:
        f = FLOATS[source]
        names = [name for name, width in widths.items() if width == f.width]
        _bring_near(f, words, names, rng)
        if op == "fma":  # cancellation: an addend next to the product
            with np.errstate(all="ignore"):
                near = -to_float(words["x"], dtype) * to_float(words["y"], dtype)
                near *= 1 + rng.integers(-2, 3, most) * 2.0 ** (1 - f.precision)
            words["z"][::3] = from_float(near, dtype)[::3]
        if len(names) == 1:
            words[names[0]][::2] = _arguments(op, source, len(words[names[0]][::2]), rng)
        directed = np.array(_directed(f), np.uint64)
        if op == "fma" and most < RATIONALS:
            directed = directed[::2]
        grid = np.meshgrid(*[directed] * len(names))
        extra = {name: part.ravel() for name, part in zip(names, grid, strict=True)}
    else:
        extra = {name: np.array([0, 1, 2, (1 << w - 1) - 1, 1 << w - 1, (1 << w) - 1], np.uint64)
                 for name, w in widths.items()}
        grid = np.meshgrid(*extra.values())
        extra = dict(zip(extra, (part.ravel() for part in grid), strict=True))
    size = len(next(iter(extra.values())))
    for name in words:
        tail = extra[name] if name in extra else rng.integers(0, 1 << widths[name], size,
                                                              dtype=np.uint64)
        words[name] = np.concatenate([words[name], tail])
    return words, "random and directed"


def _bring_near(f, words, names, rng):
    """Bring the exponents of half of the operands near one another, so that they interact."""
    if len(names) < 2:
        return
    shift, mask = np.uint64(f.precision - 1), np.uint64((1 << f.exponent_bits) - 1)
    half = len(words[names[0]]) // 2
    first = (words[names[0]][:half] >> shift & mask).astype(np.int64)
    for name in names[1:]:
        near = first + rng.integers(-f.precision - 2, f.precision + 3, half)
        near = np.clip(near, 0, int(mask)).astype(np.uint64)
        words[name][:half] = words[name][:half] & ~(mask << shift) | near << shift


def _arguments(op, dtype, n, rng):
    """Return arguments where a function of one operand has work to do: every size, and near 1."""
    f = FLOATS[dtype]
    sizes = rng.standard_normal(n) * np.exp2(rng.integers(-f.precision, 10, n))
    near = 1 + rng.standard_normal(n) * np.exp2(rng.integers(-f.precision - 1, 0, n))
    chosen = np.where(rng.random(n) < 0.5, sizes, near)
    return from_float(np.abs(chosen) if op in ("log", "sqrt", "rsqrt") else chosen, dtype)


def _directed(f):
    """Return zero, subnormals, one, ties, halves, the largest, infinity and NaN, of both signs."""
    one, step = f.bias << f.precision - 1, 1 << f.precision - 1
    words = [0, 1, 2, step - 1, step, step + 1, one, one + 1, one - 1, one - step, one + step // 2,
             one + step, one + step + step // 4, f.infinity - 1, f.infinity, f.nan,
             one + (f.precision - 1) * step, one + f.precision * step + 1]
    words = [w for w in words if w < 1 << f.width - 1]
    return words + [w | 1 << f.width - 1 for w in words]


# References ---------------------------------------------------------------------------------

_FUNCTIONS = {
    "add": np.add, "mul": np.multiply, "div": np.divide, "sqrt": np.sqrt, "round": np.rint,
    "neg": np.negative, "abs": np.abs,
}


def _expected(op, dtype, words):
    """Return the right result's bits; for floats any NaN stands for every NaN."""
    if op.startswith("convert:"):
        return _converted(op.partition(":")[2], dtype, words["x"])
    if dtype in INTEGERS:
        return _integers(op, INTEGERS[dtype], words)
    f = FLOATS[dtype]
    if op == "select":
        return np.where(words["predicate"] == 1, words["y"], words["x"])
    values = [to_float(words[name], dtype) for name in words]
    with np.errstate(all="ignore"):
        if op == "fma" and f.width == 8:  # exact in 53 bits
            return from_float(values[0] * values[1] + values[2], dtype)
        if op == "fma":
            return np.array([_exact_fma(f, *v) for v in zip(*values, strict=True)], np.uint64)
        if op == "max":
            x, y = values
            first = np.where(x == y, np.signbit(y), x > y)
            result = np.where(first == 1, words["x"], words["y"])
            return np.where(np.isnan(x) | np.isnan(y), np.uint64(f.nan), result)
        if op == "relu":
            return np.where(words["x"] >> np.uint64(f.width - 1) == 1, np.uint64(0), words["x"])
        if op in ("neg", "abs"):
            sign = np.uint64(1 << f.width - 1)
            return words["x"] ^ sign if op == "neg" else words["x"] & ~sign
        if dtype == "float32":
            values = [v.astype(np.float32) for v in values]
        return from_float(_FUNCTIONS[op](*values).astype(np.float64), dtype)


def _exact_fma(f, x, y, z):
    if np.isfinite([x, y, z]).all():
        exact = Fraction(x) * Fraction(y) + Fraction(z)
        if exact:
            return _rounded(f, exact)
        negative = np.signbit(x) != np.signbit(y) and np.signbit(z)
        return int(negative) << f.width - 1
    product = x * y if not np.isfinite([x, y]).all() else np.float64(0)
    return int(from_float(np.array([product + z]), f.name)[0])


def _rounded(f, exact):
    """Return the bits of a rational, rounded to nearest, ties to even."""
    size = abs(exact)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= Fraction(2) ** exponent > size
    exponent = max(exponent, 1 - f.bias)
    units = round(size / Fraction(2) ** (exponent - f.precision + 1))
    field = min((exponent + f.bias - 1 << f.precision - 1) + units, f.infinity)
    return field | (exact < 0) << f.width - 1


def _converted(source, target, bits):
    if source in INTEGERS:
        values = _signed(bits, INTEGERS[source]).tolist()
        f = FLOATS[target]
        return np.array([_rounded(f, Fraction(v)) if v else 0 for v in values], np.uint64)
    values = to_float(bits, source)
    if target in FLOATS:
        return from_float(values, target)
    width = INTEGERS[target]
    low, high = -(1 << width - 1), (1 << width - 1) - 1
    clipped = [0 if v != v else low if v <= low else high if v >= high + 1 else int(v)
               for v in values.tolist()]
    return np.array([v % (1 << width) for v in clipped], np.uint64)


def _signed(bits, width):
    shift = np.uint64(64 - width)
    return (bits << shift).view(np.int64) >> shift.astype(np.int64)


def _integers(op, width, words):
    """Return results with Python's integers, which do not overflow."""
    names = list(words)
    sizes = {"multiplier": 32, "shift": 6, "predicate": 2, "z": max(width, 32)}
    if op == "requantise":
        sizes["x"] = 32
    x, *others = (_signed(words[k], sizes.get(k, width)).astype(object) for k in names)
    modulus = 1 << width
    if op == "add":
        result = x + others[0]
    elif op == "mul":
        result, modulus = x * others[0], 1 << min(2 * width, 64)
    elif op == "mac":
        result, modulus = x * others[0] + others[1], 1 << max(width, 32)
    elif op == "max":
        result = np.maximum(x, others[0])
    elif op in ("neg", "abs"):
        result = -x if op == "neg" else abs(x)
    elif op == "logic":
        return words["x"] ^ words["y"]
    elif op == "select":
        return np.where(words["predicate"] == 1, words["y"], words["x"])
    elif op == "requantise":
        shift = words["shift"].astype(object)
        low, high = -(1 << width - 1), (1 << width - 1) - 1
        result = np.array([
            min(max((a * m + (1 << 30 + int(s))) >> 31 + int(s), low), high)
            for a, m, s in zip(x, others[0], shift, strict=True)], object)
    else:
        y = others[0]
        result = np.array([_divided(op, a, b, width) for a, b in zip(x, y, strict=True)], object)
    return np.array([int(v) % modulus for v in result], np.uint64)


def _divided(op, a, b, width):
    if b == 0:  # the array gives all ones, and the dividend back
        quotient, remainder = (1 << width) - 1, abs(a)
        return (-quotient if a < 0 else quotient) if op == "div" else (
            -remainder if a < 0 else remainder)
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return quotient if op == "div" else a - b * quotient


def _wrong(dtype, got, expected):
    wrong = got != expected
    if dtype in FLOATS:
        wrong &= ~(np.isnan(to_float(got, dtype)) & np.isnan(to_float(expected, dtype)))
    return wrong


_SPECIAL = {
    "exp": np.exp, "log": np.log, "tanh": np.tanh, "rsqrt": lambda v: 1 / np.sqrt(v),
    "sigmoid": lambda v: np.where(v < 0, np.exp(v) / (1 + np.exp(v)), 1 / (1 + np.exp(-v))),
    "erf": lambda v: np.array([erf(x) for x in v.astype(float).tolist()], np.longdouble),
}


def _elementary(op, dtype, bits, got):
    """Return (1 where NaN, infinity or sign are wrong, the largest error in ulp)."""
    f = FLOATS[dtype]
    x, result = to_float(bits, dtype), to_float(got, dtype)
    with np.errstate(all="ignore"):
        exact = _SPECIAL[op](x.astype(np.longdouble))
        exact = np.where(np.isnan(x), np.nan, exact)
        rounded = to_float(from_float(exact.astype(np.float64), dtype), dtype)
        wrong = (np.isnan(rounded) != np.isnan(result)) | (np.isinf(rounded) != np.isinf(result))
        wrong |= (np.signbit(rounded) != np.signbit(result)) & ~np.isnan(rounded)
        finite = np.isfinite(rounded) & np.isfinite(result)
        exponent = np.maximum(np.frexp(np.abs(rounded[finite]))[1] - 1, 1 - f.bias)
        ulp = np.ldexp(1.0, exponent - f.precision + 1)
        error = np.abs(result[finite] - exact[finite]) / ulp
    return wrong, float(error.max()) if len(error) else 0.0


if __name__ == "__main__":
    record = prove_all()
    record.to_csv(RECORD, index=False, float_format="%.4f", lineterminator="\n")
    print(f"{len(record)} units, {record.vectors.sum():,} vectors, {record.failures.sum()} failures"
          f"\nwrote {RECORD}")
    sys.exit(record.failures.any())
