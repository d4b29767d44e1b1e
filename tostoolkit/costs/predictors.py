"""Predictors of energy: one row of numbers for a counted model, one column a predictor.

`count_row` holds what is counted, whatever it may cost; `add_predictors` and `add_indices` price
it. The first is slow (a model must be built), the second is one matrix product, so a table of
counts outlives any change of cost table. `PREDICTORS` names all that can stand in a law.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from ..counting.rows import CONTRACTIONS, KERNEL
from ..op_kinds import COMPARISON, DTYPES, ELEMENTARY, LINEAR, OP_KINDS
from .cost_table import did_you_mean, load_cost_table, shipped_names


@dataclass(frozen=True)
class Predictor:
    """One column that may explain energy.

    Attributes
    ----------
    definition : str
    unit : str or None
        None: that of the cost table.
    values : callable
        Counted rows and a CostTable -> Series.
    by_table : bool
        The values depend on the cost table that is asked for.
    """

    definition: str
    unit: str | None
    values: Callable
    by_table: bool = False


def _column(name, zero=False):
    """Return the function that takes a counted column; of a class that no model has, zeros."""
    def values(rows, table):
        if name in rows:
            return rows[name].fillna(0) if zero else rows[name]
        if zero and any(map(_is_op, rows.columns)):
            return pd.Series(0, rows.index)
        raise ValueError(f"{name}: the rows have no such column; tos.count_models(rows) counts it"
                         if name != "time_s" else "time_s: the rows have no measured time")
    return values


def _priced(keep=lambda op: True, costs=None):
    """Return the function that prices the ops that `keep` selects, by a table of its own or not."""
    def values(rows, table):
        table = table if costs is None else load_cost_table(costs)
        counts = _op_counts(rows, keep)
        price = table.costs.reindex(counts.columns)
        gaps = counts.columns[price.isna().to_numpy() & (counts != 0).any().to_numpy()]
        if len(gaps):
            raise ValueError(f"costs: table {table.name!r} has no cost for "
                             + ", ".join(f"{op} in {dtype}" for dtype, op in gaps))
        return counts @ price.fillna(0.0)
    return values


def _number(keep):
    return lambda rows, table: _op_counts(rows, keep).sum(axis=1)


def _op_counts(rows, keep):
    """Return the op counts of counted rows: (dtype, op) columns, as a cost table is indexed."""
    ops = [c for c in rows.columns if _is_op(c)]
    if not ops:
        raise ValueError("rows: they hold no op counts, such as 'mac float32'; "
                         "tos.count_models(rows) adds them")
    ops = [c for c in ops if keep(c.split()[0])]
    keys = [tuple(c.split()[::-1]) for c in ops]
    index = pd.MultiIndex.from_tuples(keys, names=["dtype", "op"]) if keys else pd.MultiIndex(
        [[], []], [[], []], names=["dtype", "op"])
    return rows[ops].fillna(0).set_axis(index, axis=1)


def _of(work):
    return lambda op: OP_KINDS[op] == work


def _elementwise(op):
    return op != "mac"


#: Name -> predictor. All per batch, of the phase that was counted.
PREDICTORS = {
    "macs": Predictor("multiply-accumulates of contractions", "MAC", _priced(costs="macs")),
    "flops": Predictor("floating-point operations, 2 a MAC", "FLOP", _priced(costs="flops")),
    "tos": Predictor("all ops at the cost table's costs", None, _priced(), True),
    **{f"tos_{work}": Predictor(f"{work} ops at the cost table's costs", None,
                                _priced(_of(work)), True)
       for work in (LINEAR, ELEMENTARY, COMPARISON)},
    "tos_nonlinear": Predictor("elementary and comparison ops at the cost table's costs", None,
                          _priced(lambda op: OP_KINDS[op] != LINEAR), True),
    "tos_mac": Predictor("MACs at the cost table's costs", None,
                         _priced(lambda op: op == "mac"), True),
    "tos_elementwise": Predictor("all ops but MACs at the cost table's costs", None,
                                 _priced(_elementwise), True),
    **{f"tos_{name}": Predictor(f"all ops at the costs of table {name}", None,
                                _priced(costs=name))
       for name in shipped_names()},
    **{f"ops_{work}": Predictor(f"number of {work} ops", "op", _number(_of(work)))
       for work in (LINEAR, ELEMENTARY, COMPARISON)},
    "ops_elementwise": Predictor("number of ops that are no MAC", "op", _number(_elementwise)),
    "mac conv": Predictor("MACs of convolutions of any kernel, not depthwise", "MAC",
                          lambda rows, table: rows.filter(regex=f"^{KERNEL}$").sum(axis=1)),
    **{f"mac {kind}": Predictor(f"MACs of {kind} layers", "MAC", _column(f"mac {kind}", zero=True))
       for kind in dict.fromkeys((*CONTRACTIONS.values(), "other")) if kind != "conv"},
    "elements": Predictor("outputs of the layer calls that do arithmetic", "element",
                          _column("elements")),
    "bytes": Predictor("weights and activations moved, each once a layer call", "B",
                       _column("bytes")),
    "parameters": Predictor("trainable weights", "parameter", _column("parameters")),
    "layers": Predictor("layer calls that do arithmetic", "layer", _column("layers")),
    "time_s": Predictor("measured time of a step: no count, and not known before", "s",
                        _column("time_s")),
}


def find_predictor(name) -> Predictor:
    """Return the predictor of a name: of `PREDICTORS`, ``mac conv3x3`` or an op's ``exp float32``.

    Raises
    ------
    ValueError
        There is none.
    """
    if name in PREDICTORS:
        return PREDICTORS[name]
    if re.fullmatch(KERNEL, name):
        return Predictor(f"MACs of convolutions with a kernel of {name.removeprefix('mac conv')}",
                         "MAC", _column(name, zero=True))
    if _is_op(name):
        op, dtype = name.split()
        return Predictor(f"number of {op} in {dtype}", "op", _column(name, zero=True))
    raise ValueError(f"{name}: no such predictor{did_you_mean(name, PREDICTORS)}; "
                     "tos.predictor_table() lists them")


def predictor_table(costs="cmos") -> pd.DataFrame:
    """Return the name, definition and unit of every predictor.

    ``mac conv3x3`` and its like, by kernel, and ``exp float32`` and its like, by op, are
    predictors too.

    Examples
    --------
    >>> predictor_table().loc["bytes", "unit"]
    'B'
    """
    return pd.DataFrame(
        [(name, p.definition, unit(name, costs)) for name, p in PREDICTORS.items()],
        columns=["name", "definition", "unit"]).set_index("name")


def unit(name, costs="cmos") -> str:
    """Return the unit of a predictor; of a column that is none, the empty string."""
    try:
        own = find_predictor(name).unit
    except ValueError:
        return ""
    table = costs if name not in PREDICTORS or PREDICTORS[name].by_table else name[4:]
    return own if own is not None else load_cost_table(table).unit if table else "TO"


def predictor_values(rows, name, costs="cmos") -> pd.Series:
    """Return the values of one predictor over counted rows.

    Raises
    ------
    ValueError
        No such predictor; rows without the counts that it needs; a cost table with gaps.

    Examples
    --------
    >>> rows = pd.DataFrame([{"mac float32": 10, "exp float32": 3}])
    >>> predictor_values(rows, "ops_elementary").tolist()
    [3]
    """
    return find_predictor(name).values(rows, load_cost_table(costs)).rename(name)


def add_predictors(rows, names=None, costs="cmos") -> pd.DataFrame:
    """Return counted rows with a column for each predictor.

    A predictor that cannot be computed, as under a cost table without a cost for one of the ops,
    is missing (NaN), and ``attrs["reasons"]`` says why by its name.

    Parameters
    ----------
    rows : pandas.DataFrame
        Columns as `count_row` gives them, missing counts being 0.
    names : sequence of str, optional
        All of `PREDICTORS` if not given.
    costs : str or CostTable
        For those that say "the cost table".

    Examples
    --------
    >>> rows = pd.DataFrame([{"mac float32": 10, "exp float32": 3}])
    >>> add_predictors(rows, ["tos_flops", "tos_horowitz45"]).attrs["reasons"]
    {'tos_horowitz45': "costs: table 'horowitz45' has no cost for exp in float32"}
    """
    columns, reasons = {}, {}
    for name in PREDICTORS if names is None else names:
        try:
            columns[name] = predictor_values(rows, name, costs)
        except ValueError as error:
            columns[name], reasons[name] = float("nan"), str(error)
    out = rows.assign(**columns)
    out.attrs |= {"costs": load_cost_table(costs).name, "reasons": reasons}
    return out


def add_indices(rows, costs="cmos") -> pd.DataFrame:
    """Return `rows` with the indices that count as predictors added.

    ``macs``, ``flops``, and under the cost table `costs`: ``tos``, and its parts by the class of
    the op (`op_kinds.OP_KINDS`), ``tos_linear``, ``tos_elementary`` and ``tos_comparison``; and
    by whether MACs see it, ``tos_mac`` and ``tos_elementwise``, all that is no MAC.

    Parameters
    ----------
    rows : pandas.DataFrame
        Columns as `count_row` gives them, missing counts being 0.
    costs : str or CostTable
        Ops that it does not price are an error.

    Raises
    ------
    ValueError
        A table that lacks an op of the rows.

    Examples
    --------
    >>> rows = pd.DataFrame([{"mac float32": 10, "add float32": 2}])
    >>> add_indices(rows, "flops")[["macs", "flops", "tos"]].to_numpy().tolist()
    [[10.0, 22.0, 22.0]]
    """
    table = load_cost_table(costs)
    names = ["macs", "flops", *(name for name, p in PREDICTORS.items() if p.by_table)]
    out = rows.assign(**{name: PREDICTORS[name].values(rows, table) for name in names})
    out.attrs["costs"] = table.name
    return out


def _is_op(column):
    op, _, dtype = str(column).partition(" ")
    return op in OP_KINDS and dtype in DTYPES
