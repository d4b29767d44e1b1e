"""Predictors of energy: one row of numbers for a counted model, one column a predictor.

`count_row` holds what is counted, whatever it may cost; `price` gives it a cost. The first is slow
(a model must be built), the second is one matrix product, so a table of counts outlives any change
of cost table. `PREDICTORS` names all that can stand in a law.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..counting.integers import exact_columns, row_sums
from ..counting.rows import CONTRACTIONS, KERNEL
from ..op_kinds import COMPARISON, DTYPES, ELEMENTARY, LINEAR, OP_KINDS
from .cost_table import CostTable, did_you_mean, load_cost_table, shipped


@dataclass(frozen=True)
class Predictor:
    """One column that may explain energy."""

    definition: str
    unit: str | None  # None: that of the cost table
    values: Callable  # counted rows and a CostTable -> Series
    by_table: bool = False  # the values depend on the cost table that is asked for
    costs: str | None = None  # cost table that it is priced by, whichever is asked for
    measured: bool = False  # no count of a model tells it


class NoCost(ValueError):
    """A cost table lacks an op of some rows; `values` are those of the others, else NaN."""

    def __init__(self, message, values):
        super().__init__(message)
        self.values = values


def _column(name, zero=False, measured=False):
    """Return the function that takes a counted column; of a class that no model has, zeros."""
    def values(rows, table):
        if name in rows and (zero or rows.empty or rows[name].notna().any()):
            column = rows[name] if measured else rows[[name]].pipe(exact_columns)[name]
            return column.fillna(0) if zero else column
        if zero and any(map(_is_op, rows.columns)):
            return pd.Series(0, rows.index)
        raise ValueError(f"{name}: the rows do not hold it, and it is measured" if measured else
                         f"{name}: the rows have no such column; tos.count_models(rows) counts it")
    return values


def _priced(ops=OP_KINDS, costs=None):
    """Return the function that prices those kinds of op, by a table of its own or not."""
    def values(rows, table):
        table = table if costs is None else load_cost_table(costs)
        counts = op_counts(rows, ops)
        price = table.costs.reindex(counts.columns)
        numbers = _floats(counts)
        gaps = price.isna().to_numpy() & (numbers != 0)
        total = pd.Series(numbers @ price.fillna(0.0).to_numpy(float), counts.index)
        if gaps.any():
            lacking = ", ".join(
                f"{op} in {dtype}" for dtype, op in counts.columns[gaps.any(axis=0)])
            raise NoCost(f"costs: table {table.name!r} has no cost for {lacking}",
                         total.mask(gaps.any(axis=1)))
        return total
    return values


def _floats(counts):
    """Return counts as floats; products of integers could wrap."""
    try:
        return counts.to_numpy(float)
    except OverflowError:
        largest = counts.map(int).to_numpy().max()
        raise OverflowError(
            f"rows: a count of about 10^{len(str(largest)) - 1} is more than a float holds "
            "(1.8e308), so it has no price; count at a smaller batch_size and multiply") from None


def _number(ops):
    return lambda rows, table: op_counts(rows, ops).pipe(row_sums)


def op_counts(rows: pd.DataFrame, ops: Collection[str] = OP_KINDS) -> pd.DataFrame:
    """Return counts of those kinds of op: (dtype, op) columns, as a cost table is indexed."""
    columns = [c for c in rows.columns if _is_op(c)]
    if not columns:
        raise ValueError("rows: they hold no op counts, such as 'mac float32'; "
                         "tos.count_models(rows) adds them")
    columns = [c for c in columns if c.split()[0] in ops]
    index = pd.MultiIndex.from_arrays(
        [[c.split()[1] for c in columns], [c.split()[0] for c in columns]], names=["dtype", "op"])
    return rows[columns].pipe(exact_columns).fillna(0).set_axis(index, axis=1)


#: Part of the ops -> what it is, and its kinds of op.
_PARTS = {
    **{work: (f"{work} ops", [op for op, of in OP_KINDS.items() if of == work])
       for work in (LINEAR, ELEMENTARY, COMPARISON)},
    "nonlinear": ("elementary and comparison ops",
                  [op for op, work in OP_KINDS.items() if work != LINEAR]),
    "mac": ("MACs", ["mac"]),
    "elementwise": ("all ops but MACs", [op for op in OP_KINDS if op != "mac"]),
}

#: Name -> predictor. All per batch, of the phase that was counted.
PREDICTORS = {
    "macs": Predictor("multiply-accumulates of contractions", "MAC", _priced(costs="macs")),
    "flops": Predictor("floating-point operations, 2 a MAC", "FLOP", _priced(costs="flops")),
    "tos": Predictor("all ops at the cost table's costs", None, _priced(), True),
    **{f"tos_{part}": Predictor(f"{what} at the cost table's costs", None, _priced(ops), True)
       for part, (what, ops) in _PARTS.items()},
    **{f"tos_{name}": Predictor(f"all ops at the costs of table {name}", None,
                                _priced(costs=name), costs=name)
       for name in shipped()},
    **{f"ops_{work}": Predictor(f"number of {work} ops", "op", _number(_PARTS[work][1]))
       for work in (LINEAR, ELEMENTARY, COMPARISON)},
    "ops_elementwise": Predictor("number of ops other than MACs", "op",
                                 _number(_PARTS["elementwise"][1])),
    "mac conv": Predictor("MACs of convolutions of any kernel, not depthwise", "MAC",
                          lambda rows, table: rows.filter(regex=f"^{KERNEL}$").pipe(
                              exact_columns).pipe(row_sums)),
    **{f"mac {kind}": Predictor(f"MACs of {kind} layers", "MAC", _column(f"mac {kind}", zero=True))
       for kind in dict.fromkeys((*CONTRACTIONS.values(), "other")) if kind != "conv"},
    "elements": Predictor("outputs of the layer calls that do arithmetic", "element",
                          _column("elements")),
    "bytes": Predictor("weights and activations moved, each once a layer call", "B",
                       _column("bytes")),
    "parameters": Predictor("trainable weights", "parameter", _column("parameters")),
    "layers": Predictor("layer calls that do arithmetic", "layer", _column("layers")),
    "time_s": Predictor("measured time of a step: not a count, and not known before", "s",
                        _column("time_s", measured=True), measured=True),
}


def find_predictor(name: str) -> Predictor:
    """Return the predictor of a name, ``mac conv3x3`` and an op's ``exp float32`` among them."""
    if name in PREDICTORS:
        return PREDICTORS[name]
    if re.fullmatch(KERNEL, name):
        return Predictor(f"MACs of convolutions with a kernel of {name.removeprefix('mac conv')}",
                         "MAC", _column(name, zero=True))
    if _is_op(name):
        op, dtype = name.split()
        return Predictor(f"number of {op} in {dtype}", "op", _column(name, zero=True))
    raise ValueError(f"{name}: no such predictor{did_you_mean(name, PREDICTORS)}; "
                     "tos.predictors() lists them")


def predictors(costs: str | Path | CostTable = "cmos") -> pd.DataFrame:
    """Return the name, definition and unit of every predictor, under a cost table.

    ``mac conv3x3`` and its like, by kernel, and ``exp float32`` and its like, by op, are
    predictors too.

    Examples
    --------
    >>> predictors().loc["bytes", "unit"]
    'B'
    """
    return pd.DataFrame(
        [(name, p.definition, unit(name, costs)) for name, p in PREDICTORS.items()],
        columns=["name", "definition", "unit"]).set_index("name")


def unit(name: str, costs: str | Path | CostTable | None = "cmos") -> str:
    """Return the unit of a predictor; of a column that is not one, the empty string."""
    try:
        predictor = find_predictor(name)
    except ValueError:
        return ""
    if predictor.unit is not None:
        return predictor.unit
    table = costs if predictor.by_table else predictor.costs
    return load_cost_table(table).unit if table else "TO"


def is_measured(name: str) -> bool:
    """Return whether a column is a predictor that no count of a model tells.

    >>> is_measured("time_s"), is_measured("macs"), is_measured("temperature")
    (True, False, False)
    """
    return name in PREDICTORS and PREDICTORS[name].measured


def _is_op(column):
    op, _, dtype = str(column).partition(" ")
    return op in OP_KINDS and dtype in DTYPES
