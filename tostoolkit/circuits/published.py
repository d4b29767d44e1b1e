"""Transistor counts beside energies that others published: nothing is fitted, in log-log."""

import numpy as np
import pandas as pd

from .units import unit_transistors


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
