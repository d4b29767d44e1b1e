"""Sweeps: a model set, measured run by run into a file that grows as it goes and resumes.

A runs file is CSV, one row a run, written and synced as the run ends. It is only ever appended to.
"""

import csv
import io
import os
import platform
import warnings
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd

from .energy import Measurement, idle, measure
from .energy_meters import cpu_name, find_meter
from .model_sets import BUILDERS
from .steps import step as _step

#: Configuration of the rows that hold the device's idle baseline.
IDLE = "idle"
LIBRARIES = ("tostoolkit", "keras", "tensorflow", "jax", "torch", "numpy")
_RUN = ("repeat", "position", "seed")
_MEASURED = tuple(Measurement.__dataclass_fields__)
_PROVENANCE = ("backend", "python", *LIBRARIES, "cores", "started")


def run_sweep(model_set, out, repeats=3, seconds=2.0, seed=0, meter="auto", progress=True):
    """Measure every configuration of a model set `repeats` times, and return the runs.

    Each repeat is a walk through the whole set in an order of its own, so that a drift of the
    machine does not pose as an effect of a factor. Where there is a meter, the idle baseline is
    measured before each walk and after the last. A step is one forward pass of a batch of standard
    normal inputs, compiled by the backend. Runs that `out` already holds are not made again.

    Parameters
    ----------
    model_set : pandas.DataFrame
        As `feed_forward` and its like return: ``configuration``, ``batch_size``, the factors.
    out : str or Path
        Runs file; made if it is not there, else resumed.
    repeats : int
    seconds : float
        Least length of a window.
    seed : int
        Of the order, of the weights and of the inputs.
    meter : {"auto", "nvml", "rapl"}, Meter or None
        As for `measure`.
    progress : bool
        Show a progress bar with the time to finish.

    Returns
    -------
    pandas.DataFrame
        As `load_runs`.

    Raises
    ------
    ValueError
        A model set without configurations or of an unknown family; repeats below 1; a file that
        is damaged, has other columns, or holds runs of another device.
    FileNotFoundError
        The folder of `out` does not exist.
    MeterError
        As `measure`; what was measured before is kept.

    Examples
    --------
    ``runs = tos.run_sweep(tos.feed_forward(n=4), "runs.csv", repeats=1)``
    """
    from tqdm import tqdm

    out = Path(out)
    family = _check(model_set, out, repeats)
    found, _ = find_meter(meter)
    meter = found if found else (None if meter is None else "auto")
    columns = [*model_set.columns, "family", *_RUN, *_MEASURED, *_PROVENANCE]
    done = _resume(out, columns, found.device if found else cpu_name())
    baselines = range(repeats + 1) if found else ()
    todo = [
        (repeat, position, row)
        for repeat in range(repeats + 1)
        for position, row in enumerate(_walk(model_set, repeat, repeats, seed, baselines))
        if (IDLE if row is None else row["configuration"], repeat) not in done
    ]
    with tqdm(todo, disable=not progress, unit="run", desc=out.name) as bar:
        for repeat, position, row in bar:
            started = datetime.now(UTC).isoformat(timespec="seconds")
            if row is None:
                bar.set_postfix_str(IDLE)
                factors, measured = {"configuration": IDLE}, idle(seconds, meter)
            else:
                bar.set_postfix_str(row["configuration"])
                factors = row.to_dict()
                measured = measure(_step(row, family, seed), seconds, meter=meter)
            run = dict(zip(_RUN, (repeat, position, seed), strict=True))
            _append(out, columns, {**factors, "family": family, **run, **measured.row(),
                                   **_provenance(started)})
    return load_runs(out)


def load_runs(path, baselines=False) -> pd.DataFrame:
    """Return the runs of a file, one row a run, as they were measured.

    A last line that was cut off as it was written is left out, with a warning.

    Parameters
    ----------
    path : str or Path
    baselines : bool
        Also the rows of the idle baseline, whose ``configuration`` is ``idle``.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is empty, is no runs file, or is damaged; the message says at which line.

    Examples
    --------
    ``runs = tos.load_runs("data/raw/feed_forward_cpu.csv")``
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"path: there is no runs file {str(path)!r}; tos.run_sweep(model_set, {str(path)!r}) "
            "makes one")
    text, torn = _complete(path)
    if torn:
        warnings.warn(
            f"{path.name}: its last line was cut off and is left out: {torn[:60]!r}", stacklevel=2)
    _check_lines(path, text)
    runs = pd.read_csv(io.StringIO(text), dtype={"missing": str, "driver": str},
                       keep_default_na=False, na_values=["", "nan"])
    for name in runs.columns.intersection(["missing", "driver", *LIBRARIES]):
        runs[name] = runs[name].astype(object).fillna("").astype(str)
    for name in ("energy_j", "time_s"):
        values = pd.to_numeric(runs[name], errors="coerce")
        bad = runs.index[values.isna() & runs[name].notna()]
        if len(bad):
            raise _damaged(path, bad[0] + 2, f"{name} is {runs[name][bad[0]]!r}, no number")
        runs[name] = values.astype(float)
    if not baselines:
        runs = runs[runs.configuration != IDLE].reset_index(drop=True)
    return runs


def _check(model_set, out, repeats):
    for column in ("configuration", "batch_size"):
        if column not in model_set:
            raise ValueError(f"model_set: it has no column {column!r}; tos.feed_forward() returns "
                             "a model set")
    if model_set.empty:
        raise ValueError("model_set: it has no configurations")
    family = model_set.attrs.get("family")
    if family not in BUILDERS:
        raise ValueError(f"model_set: its family, {family!r} in model_set.attrs['family'], is "
                         f"unknown; there are {', '.join(BUILDERS)}")
    if not isinstance(repeats, int) or isinstance(repeats, bool) or repeats < 1:
        raise ValueError(f"repeats: {repeats!r} is no integer of at least 1")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"out: folder {str(out.parent)!r} does not exist; create it")
    return family


def _walk(model_set, repeat, repeats, seed, baselines):
    """Return the rows of one repeat in their random order; None stands for the idle baseline."""
    order = np.random.default_rng([seed, repeat]).permutation(len(model_set))
    rows = [model_set.iloc[i] for i in order] if repeat < repeats else []
    return [*([None] if repeat in baselines else []), *rows]


def _resume(out, columns, device):
    """Return the (configuration, repeat) pairs that `out` holds, once it can be appended to."""
    if not out.exists() or out.stat().st_size == 0:
        return set()
    text, torn = _complete(out)
    if text:
        header = text.splitlines()[0].split(",")
        if header != columns:
            other = sorted(set(header) ^ set(columns)) or "their order"
            raise ValueError(f"out: {out.name} has other columns ({other}); give another file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runs = load_runs(out, baselines=True)
    others = set(runs.device) - {device}
    if others:
        raise ValueError(f"out: {out.name} holds runs of {sorted(others)}, and this is {device!r}; "
                         "give another file")
    if torn:  # kept beside, then cut off, so that the next run starts a line of its own
        with open(out.with_name(out.name + ".torn"), "a", encoding="utf-8") as file:
            file.write(torn + "\n")
        with open(out, "r+b") as file:
            file.truncate(len(text.encode()))
    return set(zip(runs.configuration, runs.repeat, strict=True))


def _append(out, columns, row):
    """Write one row, and the header before the first, and have it on disk on return."""
    with open(out, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)
        file.flush()
        os.fsync(file.fileno())


def _complete(path):
    """Return the file's complete lines, and what follows the last of them."""
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name}: it is no text file (byte {error.start}); restore it from "
                         "a copy") from None
    end = text.rfind("\n") + 1
    return text[:end], text[end:]


def _check_lines(path, text):
    """Raise unless every line has the fields that the header names."""
    rows = csv.reader(io.StringIO(text))
    header = next(rows, [])
    missing = [c for c in ("configuration", "repeat", "energy_j", "time_s") if c not in header]
    if missing:
        raise ValueError(f"{path.name}: it is no runs file: its header lacks {', '.join(missing)}; "
                         "tos.run_sweep writes runs files")
    for row in rows:
        if len(row) != len(header):
            raise _damaged(
                path, rows.line_num, f"it has {len(row)} fields instead of {len(header)}")


def _damaged(path, line, what):
    return ValueError(f"{path.name}: line {line} is damaged: {what}; restore the file from a copy, "
                      "or delete that line and let tos.run_sweep measure the run again")


def _provenance(started):
    import keras

    return {"backend": keras.backend.backend(), "python": platform.python_version(),
            **{name: _version(name) for name in LIBRARIES},
            "cores": os.cpu_count(), "started": started}


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
