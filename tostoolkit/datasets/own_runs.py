"""A researcher's own measurements, checked and joined with what is counted of their models."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from ..counting.rules import OP_COUNTERS
from ..counting.running_state import abstract
from ..counting.saved import load_saved
from ..models.counting import Job, count_each

#: Unit -> joules.
JOULES = MappingProxyType({
    "J": 1.0, "kJ": 1e3, "MJ": 1e6, "mJ": 1e-3, "µJ": 1e-6, "μJ": 1e-6, "uJ": 1e-6, "Wh": 3600.0,
    "kWh": 3.6e6,
})


def from_csv(csv: str | Path | pd.DataFrame, models: Mapping[str, Any], *, model: str = "model",
             energy: str | None = "energy_j", unit: str = "J", device: str = "device",
             time: str | None = None, batch_size: int | str = 1, phase: str = "inference",
             configuration: str | None = None, loss: Any = None, optimizer: Any = None,
             input_shape: tuple[int, ...] | None = None,
             counters: Mapping = OP_COUNTERS) -> pd.DataFrame:
    """Return one's own measured runs with everything that is counted of their models.

    What comes back goes as it is into `price`, `fit_scaling_law` and `compare_predictors`.

    Parameters
    ----------
    csv : str, Path or pandas.DataFrame
        One row a measurement; repeats are rows. Columns not named here are kept.
    models : dict of str to (Keras model, function that returns one, or path of a ``.keras`` file)
        By the names that stand in the column `model`.
    model : str
        Column that names the model.
    energy : str or None
        Column with the energy **of one step**, a forward pass or a training step of one batch;
        None where only time was measured.
    unit : str
        ``J``, ``kJ``, ``MJ``, ``mJ``, ``µJ`` or ``uJ``, ``Wh``, ``kWh``; or the column that holds
        the unit, the same in all rows. A column that is not named here does not
        say the unit, whatever it is called.
    device : str
        Column that names the device; or the device, where all runs are of one.
    time : str, optional
        Column with the seconds of one step.
    batch_size : int or str
        Samples of a step, or the column that holds them.
    phase : str
        ``inference`` or ``training``, or the column that says which.
    configuration : str, optional
        Column that tells which runs repeat one another; model, batch size and phase, when left out.
    loss, optimizer : str or Keras object, optional
        For training; those of the compiled model, when left out.
    input_shape : tuple of int, optional
        Shape of one sample, where the models leave a dimension open.
    counters : mapping of str or class to function
        As for `count_ops`.

    Returns
    -------
    pandas.DataFrame
        The file's columns, with ``configuration``, ``model``, ``device``, ``phase``,
        ``batch_size``, ``energy_j``, ``time_s`` (missing where not measured), and the columns of
        `count_row` per step.

    Raises
    ------
    FileNotFoundError
        `csv` or a model's file is not there.
    TypeError
        A model that is neither a Keras model nor gives one.
    ValueError
        A missing column; a model that `models` lacks; an unknown unit or several; an energy that
        is missing, not a number or not positive; rows that are copies of one another. The message
        names column, row (the header is line 1) and fix.

    Examples
    --------
    >>> import keras
    >>> small = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    >>> measured = pd.DataFrame({"model": ["small", "small"], "energy_mj": [1.5, 1.6]})
    >>> runs = from_csv(measured, {"small": small}, energy="energy_mj", unit="mJ", device="my GPU",
    ...                 batch_size=32)
    >>> runs[["batch_size", "energy_j", "mac float32"]].to_numpy().tolist()
    [[32.0, 0.0015, 1024.0], [32.0, 0.0016, 1024.0]]
    """
    table = csv if isinstance(csv, pd.DataFrame) else _read(csv)
    table = table.reset_index(drop=True)
    _need(table, {"model": model, "energy": energy, "time": time, "configuration": configuration})
    _refuse("csv", table.duplicated(),
            "equal to an earlier row in every column, so it is a copy and not a repeat; drop it "
            "(drop_duplicates), or add a column that tells repeats apart")
    unknown = ~table[model].isin(list(models))
    name = next(iter(table[model][unknown]), None)
    _refuse(model, unknown, f"no model {name!r} in models, which has "
                            f"{', '.join(map(str, models))}; add it")
    runs = table.assign(
        model=table[model],
        device=_devices(table, device),
        phase=_phases(table, phase),
        batch_size=_batch_sizes(table, batch_size),
        energy_j=_joules(table, energy, unit) if energy else float("nan"),
        time_s=_numbers(table, time) if time else float("nan"),
    )
    runs["configuration"] = runs[configuration] if configuration else [
        f"{r.model} batch={r.batch_size} {r.phase}" for r in runs.itertuples()]
    return _counted(runs, models, loss=loss, optimizer=optimizer, input_shape=input_shape,
                    counters=counters)


def _read(csv):
    if not Path(csv).is_file():
        raise FileNotFoundError(f"csv: there is no file {str(csv)!r}")
    return pd.read_csv(csv)


def _need(table, columns):
    for argument, column in columns.items():
        if column is not None and column not in table:
            raise ValueError(f"{argument}: no column {column!r}; there are "
                             f"{', '.join(map(str, table.columns))}: pass {argument}='<column>'")


def _refuse(argument, wrong, what, values=None):
    """Raise where rows are wrong: up to five are named by their line in the file.

    What is said of them stands behind the first wrong one of the values.
    """
    if wrong.any():
        lines = [str(row + 2) for row in wrong.to_numpy().nonzero()[0]]
        where = f"line{'s' * (len(lines) > 1)} {', '.join(lines[:5])}{' ...' * (len(lines) > 5)}"
        first = "" if values is None else f"{values[wrong].tolist()[0]!r} "
        raise ValueError(f"{argument}: {where}: {first}{what}")


def _devices(table, device):
    """Return the column of that name; else the name, which is that of all runs' device."""
    if device in table:
        _refuse(device, table[device].isna(), "no device; fill it in")
        return table[device]
    if device == "device":
        raise ValueError("device: no column 'device'; pass device='<column>', or the device itself "
                         "where all runs are of one")
    return device


def _phases(table, phase):
    phases = table[phase] if phase in table else pd.Series(phase, index=table.index)
    _refuse("phase", ~phases.isin(["inference", "training"]),
            "is neither 'inference' nor 'training', nor a column of the file", phases)
    return phases


def _batch_sizes(table, batch_size):
    if isinstance(batch_size, str):
        _need(table, {"batch_size": batch_size})
        sizes = _numbers(table, batch_size)
    else:
        sizes = pd.Series(batch_size, index=table.index)
    _refuse("batch_size", (sizes < 1) | (sizes % 1 != 0),
            "is not a number of samples; give whole numbers from 1", sizes)
    return sizes.astype("int64")


def _numbers(table, column):
    """Return a column of numbers that are there and positive."""
    values = pd.to_numeric(table[column], errors="coerce")
    _refuse(column, values.isna() & table[column].notna(), "is not a number", table[column])
    _refuse(column, values.isna(), "no value; drop rows that were not measured")
    _refuse(column, values <= 0,
            "is not positive, so a counter wrapped or failed; drop those rows", values)
    return values


def _joules(table, energy, unit):
    if unit not in JOULES and unit in table:
        units = table[unit].unique()
        if len(units) > 1:
            _refuse(unit, table[unit] != units[0], f"beside {units[0]!r}; convert the column "
                                                   f"{energy!r} to one unit", table[unit])
        unit = units[0]
    if unit not in JOULES:
        raise ValueError(f"unit: {unit!r} is neither a unit of energy nor a column; use one of "
                         f"{', '.join(JOULES)}")
    suffix = energy.rsplit("_", 1)[-1]
    named = [u for u in JOULES if u.lower() == suffix.lower()] if "_" in energy else []
    if named and JOULES[unit] not in [JOULES[u] for u in named]:
        raise ValueError(f"unit: {unit!r}, but the column's name, {energy!r}, says {named[0]!r}; "
                         f"pass unit={named[0]!r}, or rename the column")
    return _numbers(table, energy) * JOULES[unit]


def _counted(runs, models, **counting):
    names = ["model", "batch_size", "phase"]
    steps = runs[names].drop_duplicates()
    built = {name: _build(name, models[name]) for name in steps.model.unique()}
    jobs = {
        (name, size, phase): Job(partial(built.get, name), partial(
            dict, batch_size=size, phase=phase, **counting))
        for name, size, phase in steps.itertuples(index=False)}
    counts = count_each(jobs, names)
    clash = counts.columns.intersection(runs.columns)
    if len(clash):
        raise ValueError(f"csv: column {clash[0]!r} has the name of a count; rename it")
    keys = pd.MultiIndex.from_frame(runs[names])
    return pd.concat([runs, counts.loc[keys].set_index(runs.index)], axis=1)


def _build(name, model):
    if isinstance(model, (str, Path)):
        if not Path(model).is_file():
            raise FileNotFoundError(f"models: {name!r}: there is no file {str(model)!r}")
        return load_saved(model, compiled=True)
    if hasattr(model, "layers"):
        return model
    if not callable(model):
        raise TypeError(f"models: {name!r} is a {type(model).__name__}; give a Keras model, a "
                        "function that returns one, or the path of a .keras file")
    with abstract():
        return model()
