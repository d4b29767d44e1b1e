"""The arithmetic units by op and number format: built, called, priced.

`unit` returns a netlist, `compute` runs it on NumPy arrays of values, `unit_transistors` counts it.
"""

from functools import cache

import numpy as np

from . import elementary
from . import float_units as floats
from . import integer_units as integers
from .formats import FLOATS, INTEGERS, find_format, from_float, to_float
from .netlist import Netlist, cell_library
from .simulation import simulate

ERF_PRECISION = 24  # bits of the widest format whose erf is a unit; its table grows with them

#: Op -> (function, operands) of the floating-point units.
FLOAT_UNITS = {
    "add": (floats.float_add, "xy"), "mul": (floats.float_mul, "xy"),
    "fma": (floats.float_fma, "xyz"), "div": (floats.float_div, "xy"),
    "sqrt": (floats.float_sqrt, "x"), "rsqrt": (floats.float_rsqrt, "x"),
    "max": (floats.float_max, "xy"), "relu": (floats.float_relu, "x"),
    "neg": (floats.float_neg, "x"), "abs": (floats.float_abs, "x"),
    "round": (floats.float_round, "x"), "select": (floats.float_select, "xyp"),
    "exp": (elementary.float_exp, "x"), "log": (elementary.float_log, "x"),
    "sigmoid": (elementary.float_sigmoid, "x"), "tanh": (elementary.float_tanh, "x"),
    "erf": (elementary.float_erf, "x"),
}
#: Op -> (function, operands) of the integer units.
INTEGER_UNITS = {
    "add": (integers.int_add, "xy"), "mul": (integers.int_mul, "xy"),
    "mac": (integers.int_mac, "xyz"), "max": (integers.int_max, "xy"),
    "neg": (integers.int_neg, "x"), "abs": (integers.int_abs, "x"),
    "div": (integers.int_quotient, "xy"), "rem": (integers.int_remainder, "xy"),
    "select": (integers.int_select, "xyp"), "logic": (integers.int_logic, "xy"),
    "requantise": (integers.requantise, "xms"),
}
#: Names and widths of operands that are not of the unit's own format.
_OTHER = {"p": ("predicate", 1), "m": ("multiplier", 32), "s": ("shift", 5)}


def units(dtype: str) -> list[str]:
    """Return the ops that have a unit in a format; ``convert:<format>`` turns its values into it.

    Raises
    ------
    ValueError
        An unknown format.

    Examples
    --------
    >>> "exp" in units("float32"), "exp" in units("int8")
    (True, False)
    """
    f = find_format(dtype)
    if dtype in INTEGERS:
        ops = [op for op in INTEGER_UNITS if op != "requantise" or f <= integers.ACCUMULATOR]
        return [*ops, *(f"convert:{name}" for name in FLOATS)]
    ops = [op for op in FLOAT_UNITS if op != "erf" or f.precision <= ERF_PRECISION]
    return [*ops, *(f"convert:{name}" for name in (*FLOATS, *INTEGERS) if name != dtype)]


@cache
def unit(op: str, dtype: str, adder: str = "ripple") -> Netlist:
    """Return the netlist of an arithmetic unit; its output is called ``result``.

    Parameters
    ----------
    op : str
        One of `units(dtype)`.
    dtype : str
        A format of `formats.FLOATS` or `formats.INTEGERS`.
    adder : {"ripple", "brent-kung", "kogge-stone"}

    Raises
    ------
    ValueError
        An unknown op, format or adder, with those that there are.

    Examples
    --------
    >>> unit("add", "int8").transistors()
    204
    """
    f = find_format(dtype)
    n = Netlist(adder)
    if op not in units(dtype):
        raise ValueError(f"op: there is no unit {op!r} in {dtype}; there are "
                         f"{', '.join(units(dtype))}")
    width = f if dtype in INTEGERS else f.width
    if op.startswith("convert:"):
        source = op.partition(":")[2]
        x = n.input("x", INTEGERS[source] if source in INTEGERS else FLOATS[source].width)
        if dtype in INTEGERS:
            result = floats.float_to_integer(n, FLOATS[source], f, x)
        elif source in INTEGERS:
            result = floats.float_from_integer(n, f, INTEGERS[source], x)
        else:
            result = floats.float_convert(n, FLOATS[source], f, x)
    else:
        function, letters = (INTEGER_UNITS if dtype in INTEGERS else FLOAT_UNITS)[op]
        words = [32 if letter == "x" and op == "requantise" else width for letter in letters]
        if op == "mac":
            words[-1] = max(width, integers.ACCUMULATOR)
        operands = [n.input(*_OTHER.get(letter, (letter, size)))
                    for letter, size in zip(letters, words, strict=True)]
        result = function(n, f, *operands)
    n.output("result", result)
    return n.finish()


@cache
def unit_transistors(op: str, dtype: str, cells: str = "mirror", adder: str = "ripple") -> int:
    """Return the transistors of a unit.

    Raises
    ------
    ValueError
        An unknown op, format, cell library or adder.

    Examples
    --------
    >>> unit_transistors("add", "int8")
    204
    """
    cell_library(cells)
    return unit(op, dtype, adder).transistors(cells)


def compute(op: str, dtype: str, *operands: np.ndarray, adder: str = "ripple") -> np.ndarray:
    """Return what a unit computes, on values.

    Parameters
    ----------
    op, dtype, adder : str
        As for `unit`.
    *operands : array, shape (n,)
        Values; floats are rounded to the format first.

    Returns
    -------
    array of float64 or int64, shape (n,)

    Raises
    ------
    ValueError
        As `unit`; too few or too many operands.

    Examples
    --------
    >>> compute("add", "bfloat16", np.array([1.0]), np.array([2.0**-9])).tolist()
    [1.0]
    """
    netlist = unit(op, dtype, adder)
    if len(operands) != len(netlist.inputs):
        raise ValueError(f"operands: {len(operands)} given; {op} in {dtype} takes "
                         f"{', '.join(netlist.inputs)}")
    words = {}
    source = op.partition(":")[2] or dtype
    for name, x in zip(netlist.inputs, operands, strict=True):
        width = len(netlist.inputs[name])
        if source in FLOATS and name in "xyz":
            words[name] = from_float(x, source)
        else:
            words[name] = np.asarray(x, np.int64).view(np.uint64) & np.uint64((1 << width) - 1)
    result = simulate(netlist, **words)["result"]
    if dtype in FLOATS:
        return to_float(result, dtype)
    width = np.uint64(64 - len(netlist.outputs["result"]))
    return (result << width).view(np.int64) >> width.astype(np.int64)
