"""Number formats of the arithmetic units, and exact rounding to them."""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: 1 sign bit, exponent, significand.

    Without infinities is float8 e4m3, whose all-ones exponent is a binade like others and whose
    only NaN is all ones (OCP 8-bit Floating Point Specification, rev. 1.0, 2023, section 5.3.1).
    """

    name: str
    exponent_bits: int
    precision: int  # bits of the significand, the hidden one included
    infinities: bool = True

    @property
    def width(self) -> int:
        return self.exponent_bits + self.precision

    @property
    def bias(self) -> int:
        return 2 ** (self.exponent_bits - 1) - 1

    @property
    def nan(self) -> int:
        """Bits of the NaN that the units return."""
        exponent = (1 << self.exponent_bits) - 1
        quiet = 1 << (self.precision - 2) if self.infinities else (1 << (self.precision - 1)) - 1
        return exponent << (self.precision - 1) | quiet

    @property
    def infinity(self) -> int:
        """Bits of what an overflow gives: infinity, or NaN where there is none."""
        if not self.infinities:
            return self.nan
        return ((1 << self.exponent_bits) - 1) << (self.precision - 1)


FLOATS = MappingProxyType({f.name: f for f in (
    Format("float64", 11, 53), Format("float32", 8, 24), Format("tfloat32", 8, 11),
    Format("bfloat16", 8, 8), Format("float16", 5, 11),
    Format("float8_e4m3fn", 4, 4, infinities=False), Format("float8_e5m2", 5, 3),
)})
#: Width of the integer formats, in bits; two's complement.
INTEGERS = MappingProxyType({"int64": 64, "int32": 32, "int16": 16, "int8": 8, "int4": 4})


def find_format(name: str) -> Format | int:
    """Return a `Format`, or the width of an integer format; an unknown one is an error."""
    formats = FLOATS | INTEGERS
    if name not in formats:
        raise ValueError(f"dtype: {name!r} is unknown; there are {', '.join(formats)}")
    return formats[name]


def to_float(bits: np.ndarray, dtype: str) -> np.ndarray:
    """Return the values, float64, of bit patterns of a format.

    Examples
    --------
    >>> to_float(np.array([0x3f80], np.uint16), "bfloat16").tolist()
    [1.0]
    """
    f = FLOATS[dtype]
    bits = np.asarray(bits, np.uint64)
    if dtype == "float64":
        return bits.view(np.float64)
    mantissa = (bits & np.uint64((1 << (f.precision - 1)) - 1)).astype(np.float64)
    field = bits >> np.uint64(f.precision - 1) & np.uint64((1 << f.exponent_bits) - 1)
    exponent = field.astype(np.int64)
    hidden = np.where(exponent > 0, 2.0 ** (f.precision - 1), 0.0)
    value = np.ldexp(mantissa + hidden, np.maximum(exponent, 1) - f.bias - f.precision + 1)
    top = exponent == (1 << f.exponent_bits) - 1
    if f.infinities:
        value = np.where(top, np.where(mantissa == 0, np.inf, np.nan), value)
    else:
        value = np.where(top & (mantissa == (1 << (f.precision - 1)) - 1), np.nan, value)
    return np.where(bits >> np.uint64(f.width - 1) & np.uint64(1), -value, value)


def from_float(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return the bit patterns of float64 values rounded to nearest, ties to even, in a format.

    Examples
    --------
    >>> hex(from_float(np.array([1.0]), "float16")[0])
    '0x3c00'
    """
    f = FLOATS[dtype]
    values = np.asarray(values, np.float64)
    if dtype == "float64":
        return values.view(np.uint64).copy()
    magnitude = np.abs(values)
    finite = np.isfinite(values)
    exponent = np.frexp(np.where(finite, magnitude, 1.0))[1].astype(np.int64) - 1
    least = 1 - f.bias  # shared by the subnormals and zero
    exponent = np.where(magnitude > 0, np.maximum(exponent, least), least)
    quantum = np.ldexp(1.0, exponent - f.precision + 1)
    units = np.rint(np.where(finite, magnitude, 0.0) / quantum).astype(np.int64)
    # one field holds exponent and significand: a carry out of one is a step of the other
    field = ((exponent + f.bias - 1) << (f.precision - 1)) + units
    largest = f.infinity if f.infinities else f.nan
    field = np.where((field >= largest) | np.isinf(values), f.infinity, field)
    field = np.where(np.isnan(values), f.nan, field)
    return field.astype(np.uint64) | np.signbit(values).astype(np.uint64) << np.uint64(f.width - 1)
