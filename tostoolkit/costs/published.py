"""Transistor counts against energies that others published: not fitted, in log-log."""

import numpy as np
import pandas as pd

from ..circuits.units import unit_transistors
from .cost_table import load_cost_table


def published_energies(table) -> pd.DataFrame:
    """Return the additions and multiplications of an energy table beside the units' transistors.

    Parameters
    ----------
    table : str
        ``horowitz45`` or ``jouppi7``.

    Returns
    -------
    pandas.DataFrame
        ``op``, ``dtype``, ``energy_pj``, ``transistors``, ``status`` of the energy, and ``factor``:
        transistors over energy, relative to the geometric mean of the table. An 8-bit product is
        8 by 8 bits.

    Examples
    --------
    >>> len(published_energies("horowitz45"))
    8
    """
    rows = load_cost_table(table).rows.reset_index()
    rows = rows[rows.op.isin(["add", "mul"])].rename(columns={"cost": "energy_pj"})
    points = rows[["op", "dtype", "energy_pj", "status"]].reset_index(drop=True)
    points["transistors"] = [unit_transistors(op, dtype)
                             for op, dtype in zip(points.op, points.dtype, strict=True)]
    ratio = np.log(points.transistors / points.energy_pj)
    return points.assign(factor=np.exp(ratio - ratio.mean()))


def agreement(points) -> pd.Series:
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
