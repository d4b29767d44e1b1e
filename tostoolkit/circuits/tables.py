"""The cost tables that circuits give: every op of every format, as a unit or by units.

``python -m tostoolkit tables --out FOLDER`` writes them; nothing in them is quoted but the
expansions of ``gpu-*`` and ``cpu-libm``, whose rows say where they are from.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from ..op_kinds import DTYPES, OP_KINDS
from .formats import FLOATS, INTEGERS
from .switching import op_switching
from .units import FLOAT_UNITS, INTEGER_UNITS, unit, unit_transistors, units

GENERATOR = "tostoolkit.circuits 1"  # raised when a design changes what the tables hold
EXCLUSIVE_OR = 10  # transistors, static CMOS
#: Op of truth values -> (transistors, locator, what computes it); others have no meaning.
_BOOLEAN = {"logic": (EXCLUSIVE_OR, "cell", "one XOR"), "select": (12, "cell", "one multiplexer"),
            "max": (6, "cell", "one OR"), "convert": (0, "cell", "a wire")}
_PHILOX = ("int32", {"mul": 5, "add": 5, "logic": 10},
           "a quarter of the four words of Philox4x32-10 (Salmon et al., SC 2011, section 3.3)")
#: Ops without a unit in floating point: what computes them, {unit: how often}, and the rule.
EXPANSIONS = {
    "mac": ({"mul": 1, "add": 1}, "two roundings; the fused unit is the table cmos-fused's"),
    "rem": ({"div": 1, "round": 1, "mul": 1, "add": 1}, "x - y round(x / y)"),
    "cbrt": ({"log": 1, "mul": 1, "exp": 1}, "exp(log(x) / 3)"),
    "pow": ({"log": 1, "mul": 1, "exp": 1}, "exp(y log x)"),
    "sin": ({"mul": 9, "add": 6, "round": 1},
            "Cody-Waite reduction in two steps, odd polynomial of degree 9 (SLEEF, sinf)"),
    "logic": ({"xor": 1}, "one XOR a bit"),
    "erf": ({"exp": 1, "div": 1, "mul": 17, "add": 16},
            "Cody, Math. Comp. 23, 1969: rational of degree 8 times exp(-x^2)"),
}
#: Table -> (description, source, locator, instructions that a published implementation takes of
#: each op), priced as fused multiply-adds of the format. rsqrt, where it has no number of its own,
#: is a square root and a division.
_INSTRUCTIONS = {
    "gpu-ieee": (
        "instructions of CUDA's IEEE-rounded float32 functions on sm_90, as fused multiply-adds",
        "compiled CUDA math library, sm_90", "arithmetic instructions of the main path",
        {"mac": 1, "div": 7, "sqrt": 7, "exp": 9, "log": 28, "tanh": 16, "sigmoid": 15, "erf": 25,
         "rsqrt": 14}),
    "gpu-fast": (
        "instructions of CUDA's intrinsic functions, as fused multiply-adds",
        "NVIDIA, CUDA C++ Programming Guide",
        "mathematical functions appendix, table of intrinsic functions",
        {"mac": 1, "div": 2, "sqrt": 2, "rsqrt": 1, "exp": 2, "log": 2, "sin": 2, "pow": 3,
         "tanh": 1, "sigmoid": 4}),
    "cpu-libm": (
        "instructions or reciprocal throughput of float32 functions on x86-64, as fused "
        "multiply-adds", "glibc float32 functions; x86-64 dividers", "main path",
        {"mac": 1, "div": 6, "sqrt": 8, "exp": 31, "log": 36, "tanh": 116, "sigmoid": 35,
         "erf": 123, "rsqrt": 14}),
}
#: Floating-point ops that are their unit in those tables too.
_NATIVE = ("add", "mul", "max", "neg", "abs", "round", "select", "logic", "convert")


@dataclass(frozen=True)
class Pricing:
    """How a table prices a unit: by its transistors, of an adder, or by what a stream switches."""

    adder: str = "ripple"
    stream: str = ""


#: Table -> (description, unit, pricing, expansions that differ).
CIRCUIT_TABLES = {
    "cmos": ("transistors of simulated static-CMOS units, ripple adders; mac is multiply and add",
             "TO", Pricing(), {}),
    "cmos-fused": ("as cmos, with mac as one fused multiply-add unit", "TO", Pricing(),
                   {"mac": ({"fma": 1}, "one rounding")}),
    "cmos-prefix": ("as cmos, with Kogge-Stone adders", "TO", Pricing("kogge-stone"), {}),
    "cmos-switching-random": (
        "transistors that switch per op, operands of random bits", "transitions",
        Pricing(stream="random"), {}),
    "cmos-switching-network": (
        "transistors that switch per op, operands as in a trained network", "transitions",
        Pricing(stream="network"), {}),
}


def write_tables(folder: str | Path) -> list[Path]:
    """Write every table into a folder that exists, and return their paths."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"out: folder {str(folder)!r} does not exist; create it")
    paths = []
    for name, (description, measure, pricing, changes) in CIRCUIT_TABLES.items():
        rows = _circuit_rows(pricing, EXPANSIONS | changes)
        paths.append(_write(folder / f"{name}.csv", description, measure, rows))
    for name, (description, *instructions) in _INSTRUCTIONS.items():
        rows = _instruction_rows(*instructions)
        paths.append(_write(folder / f"{name}.csv", description, "TO", rows))
    return paths


def _write(path, description, measure, rows):
    table = pd.DataFrame(
        rows, columns=["op", "dtype", "cost", "status", "source", "locator", "derivation"])
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(f"# description: {description}\n# unit: {measure}\n")
        table.to_csv(file, index=False, lineterminator="\n")
    return path


@cache
def _cost(op, dtype, pricing):
    if pricing.stream:
        return float(f"{op_switching(op, dtype, pricing.stream).transitions:.4g}")
    return unit_transistors(op, dtype, adder=pricing.adder)


@cache
def _digest(op, dtype, adder="ripple"):
    return unit(op, dtype, adder).digest()


def _circuit_rows(pricing, expansions):
    for dtype in DTYPES:
        for op in OP_KINDS:
            entry = _priced(op, dtype, pricing, expansions)
            if entry is not None:
                cost, locator, derivation = entry
                yield op, dtype, cost, "derived", GENERATOR, locator, derivation


def _priced(op, dtype, pricing, expansions):
    """Return (cost, locator, derivation) of an op, or None where it has no meaning."""
    if dtype == "bool":
        return _BOOLEAN.get(op)
    if op == "random":
        return _sum(*_PHILOX, pricing)
    if op == "convert":
        op = f"convert:{'float32' if dtype != 'float32' else 'int32'}"
    if op == "round" and dtype in INTEGERS:
        return 0, "wires", "an integer is round already"
    table = FLOAT_UNITS if dtype in FLOATS else INTEGER_UNITS
    if op in units(dtype):  # what the unit's docstring says first stands in the table
        words = "" if op not in table else table[op][0].__doc__.splitlines()[0].rstrip(".")
        words = words.removeprefix("Return ") or f"from {op.partition(':')[2]}"
        digest = _digest(op, dtype, pricing.adder)
        return _cost(op, dtype, pricing), f"unit({op!r}, {dtype!r}), netlist {digest}", words
    if dtype in FLOATS and op in expansions:
        return _sum(dtype, *expansions[op], pricing)
    return None


def _sum(dtype, parts, words, pricing):
    """Return (cost, locator, derivation) of an op that units of a format compute."""
    if parts == {"xor": 1}:  # not a unit: nothing was simulated
        cost = EXCLUSIVE_OR * FLOATS[dtype].width
        return None if pricing.stream else (cost, f"{dtype}: xor; netlists ", words)
    terms = " + ".join(f"{n} {part}" if n > 1 else part for part, n in parts.items())
    cost = sum(n * _cost(part, dtype, pricing) for part, n in parts.items())
    digests = " ".join(_digest(part, dtype, pricing.adder)[:8] for part in parts)
    cost = float(f"{cost:.4g}") if pricing.stream else cost
    return cost, f"{dtype}: {terms}; netlists {digests}", words


def _instruction_rows(source, locator, instructions):
    base = {(row[1], row[0]): row for row in _circuit_rows(Pricing(), EXPANSIONS)}
    for dtype in DTYPES:
        for op in OP_KINDS:
            if op in instructions and dtype in FLOATS:
                digest = _digest("fma", dtype)
                cost = instructions[op] * unit_transistors("fma", dtype)
                yield (op, dtype, cost, "estimated", source, locator,
                       f"{instructions[op]} x fma ({GENERATOR}, netlist {digest})")
            elif (dtype, op) in base and (op in _NATIVE or dtype not in FLOATS):
                yield base[dtype, op]


# Beside published energies ---------------------------------------------------------------------

def published_energies(energies: pd.DataFrame) -> pd.DataFrame:
    """Return the additions and multiplications of an energy table beside the units' transistors.

    Parameters
    ----------
    energies : pandas.DataFrame
        Rows of a cost table in pJ, as ``tos.load_cost_table("horowitz45").rows``: index
        ``(dtype, op)``, columns ``cost`` and ``status``.

    Returns
    -------
    pandas.DataFrame
        ``op``, ``dtype``, ``energy_pj``, ``transistors``, ``status`` of the energy, and ``factor``:
        transistors over energy, relative to the geometric mean of the table. An 8-bit product is
        8 by 8 bits.

    Raises
    ------
    ValueError
        No addition or multiplication with an energy above 0; a format without units.

    Examples
    --------
    >>> import tostoolkit as tos
    >>> points = published_energies(tos.load_cost_table("horowitz45").rows)
    >>> points[points.op == "mul"].set_index("dtype").energy_pj["float32"]
    np.float64(3.7)
    """
    rows = energies.reset_index().rename(columns={"cost": "energy_pj"})
    rows = rows[rows.op.isin(["add", "mul"])]
    if rows.empty or not (rows.energy_pj > 0).all():
        raise ValueError("energies: they need an energy above 0 for each addition and "
                         "multiplication, and one at least; pass "
                         "tos.load_cost_table('horowitz45').rows")
    points = rows[["op", "dtype", "energy_pj", "status"]].reset_index(drop=True)
    points["transistors"] = [unit_transistors(op, dtype)
                             for op, dtype in zip(points.op, points.dtype, strict=True)]
    ratio = np.log(points.transistors / points.energy_pj)
    return points.assign(factor=np.exp(ratio - ratio.mean()))


def agreement(points: pd.DataFrame) -> pd.Series:
    """Return how far counts follow energies, as `published_energies` returns them.

    ``r`` and ``slope`` of log energy on log transistors, ``rms_factor`` (exponential of the root
    mean square of the log factor: 1 is perfect), ``worst_factor`` and ``worst``, the op of it.

    Examples
    --------
    >>> points = pd.DataFrame({"energy_pj": [1.0, 10.0], "transistors": [100, 1000],
    ...                        "factor": [1.0, 1.0], "op": "add", "dtype": ["int8", "int32"]})
    >>> round(float(agreement(points).slope), 6)
    1.0
    """
    x, y = np.log(points.transistors), np.log(points.energy_pj)
    error = np.abs(np.log(points.factor))
    worst = points.loc[error.idxmax()]
    return pd.Series({
        "n": len(points), "r": np.corrcoef(x, y)[0, 1], "slope": np.polyfit(x, y, 1)[0],
        "rms_factor": np.exp(np.sqrt((error**2).mean())), "worst_factor": np.exp(error.max()),
        "worst": f"{worst['op']} {worst['dtype']}"})
