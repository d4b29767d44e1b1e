"""Models side by side, under one cost table or several; activations, one a model of one element."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..counting.integers import exact_integers
from ..counting.rules.activations import ACTIVATIONS
from .cost_table import CostTable, load_cost_table
from .report import Report, transistor_ops

if TYPE_CHECKING:
    import keras


def compare(
    models: "Sequence[keras.Model | Report]",
    costs: str | Path | CostTable | Sequence = "cmos",
    batch_size: int = 1, phase: str = "inference", **kwargs,
) -> pd.DataFrame:
    """Return the totals of several models side by side, one row a model.

    Parameters
    ----------
    models : list of keras.Model or Report
        A model is counted with the other arguments, as by `transistor_ops`; the reports among
        them must be under the same cost table.
    costs : str, Path or CostTable, or a list of them
        Of a list, every model is counted once and priced by each table, reports too.

    Returns
    -------
    pandas.DataFrame
        Index: the models' names; of several tables ``(costs, model)``. MACs, FLOPs, cost and bytes
        of one batch, the non-linear share of the cost; ``relative_macs``, ``relative_cost``,
        ``relative_bytes`` to the first. Of several tables, what depends on the table is missing
        where it lacks an op of the model.

    Raises
    ------
    ValueError
        No models; reports under different cost tables, batch sizes or phases.

    Examples
    --------
    >>> import keras
    >>> small, large = (
    ...     keras.Sequential([keras.Input((8,)), keras.layers.Dense(n)], name=f"dense_{n}")
    ...     for n in (4, 12))
    >>> compare([small, large], costs="macs").relative_cost.tolist()
    [1.0, 3.0]
    >>> compare([small], costs=["macs", "flops"]).cost.to_dict()
    {('macs', 'dense_4'): 32.0, ('flops', 'dense_4'): 68.0}
    """
    several = isinstance(costs, Sequence) and not isinstance(costs, str)
    tables = [load_cost_table(table) for table in costs] if several else [costs]
    if not tables:
        raise ValueError("costs: the list is empty; pass cost tables, ['cmos', 'macs'] say")
    if several:
        kwargs |= {"missing": "skip"}
    reports = [m if isinstance(m, Report) else transistor_ops(
        m, tables[0], batch_size, phase, **kwargs) for m in models]
    if not reports:
        raise ValueError("models: the list is empty; pass models or reports")
    if not several:
        return _side_by_side(reports)
    priced = {table.name: [r.under(table, "skip") for r in reports] for table in tables}
    return pd.concat({name: _side_by_side(r, complete=True) for name, r in priced.items()},
                     names=["costs"])


def _side_by_side(reports, complete=False):
    """Return the totals; those that are to be complete are missing where an op has no price."""
    kinds = {(r.costs.name, r.batch_size, r.phase) for r in reports}
    if len(kinds) > 1:
        raise ValueError(f"models: reports under different settings, {sorted(kinds)}; "
                         "count them with the same cost table, batch size and phase")
    table = pd.DataFrame({
        "macs": exact_integers([r.macs for r in reports]),
        "flops": exact_integers([r.flops for r in reports]),
        "cost": [r.total for r in reports],
        "bytes": exact_integers([r.bytes_moved for r in reports]),
        "nonlinear_share": [r.nonlinear_share for r in reports],
    }, index=pd.Index([r.model for r in reports], name="model"))
    if complete:
        gaps = [not r.unpriced.empty for r in reports]
        table.loc[gaps, ["cost", "nonlinear_share"]] = float("nan")
    for column in ("macs", "cost", "bytes"):
        numbers = table[column].astype(float)
        table[f"relative_{column}"] = numbers / numbers.iloc[0]
    return table


def activation_costs(
    costs: str | Path | CostTable = "cmos", dtype: str = "float32"
) -> pd.DataFrame:
    """Return the cost of one element of each element-wise activation that Keras ships.

    Each is counted as any model is: a network of one activation, of one element.

    Parameters
    ----------
    costs : str, Path or CostTable
    dtype : str
        Number format that the activation is computed in.

    Returns
    -------
    pandas.DataFrame
        Index: the activation's name. ``cost``, in the table's unit; ``macs``, how many MACs of
        that table and format cost the same; ``ops``, op kind -> count, as a dict.

    Raises
    ------
    ValueError
        An unknown table; a table that lacks a MAC in that format, or an op of an activation.

    Examples
    --------
    >>> costs = activation_costs("flops")
    >>> costs.ops["silu"]  # x sigmoid(x)
    {'mul': 1, 'sigmoid': 1}
    """
    import keras

    table = load_cost_table(costs)
    if (dtype, "mac") not in table.costs.index:
        raise ValueError(f"costs: table {table.name!r} has no cost for mac in {dtype}")
    rows = {}
    elementwise = [name for name, activation in ACTIVATIONS.items()
                   if not activation.rows and hasattr(keras.activations, name)]
    for name in elementwise:
        report = transistor_ops(
            keras.Sequential([keras.Input((1,), dtype=dtype),
                              keras.layers.Activation(name, dtype=dtype)], name=name), table)
        ops = report.counts.sum()[lambda n: n > 0].droplevel("dtype")
        rows[name] = {"cost": report.total, "macs": report.total / table.costs[dtype, "mac"],
                      "ops": ops.to_dict()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("activation")
