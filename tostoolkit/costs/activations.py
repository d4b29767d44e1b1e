"""What an element of each activation function costs: the method on one layer of one element."""

from pathlib import Path

import pandas as pd

from ..counting.rules.activations import ACTIVATIONS
from .cost_table import CostTable, load_cost_table
from .report import transistor_ops


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
