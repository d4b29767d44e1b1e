"""Runs joined with what is counted of the models that were measured.

A data set is a value: how its runs are loaded, how its models are rebuilt, and how many batches of
which parts of the work make its measured energy. The count of a run is then one sum:

    counts of a run = sum over parts of (batches of the part) x (counts of one batch of the part)
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace

import pandas as pd

from ..counting.introspection import abstract
from ..counting.rows import count_row

ONCE = ["layers", "elements"]
IN_PROCESSES = 200  # more models than these are counted in as many processes as there are cores


@dataclass(frozen=True)
class Dataset:
    """How a set of measurements is loaded, and how its models are rebuilt and counted.

    Attributes
    ----------
    load : function
        ``load(path=None)`` -> runs, one row a measurement, with ``configuration`` (repeats share
        it), ``device``, ``energy_j``, ``time_s``, ``phase``, ``batch_size`` and ``defect`` (why a
        row is no measurement; empty where it is one).
    build : function
        ``build(run, part)`` -> the Keras model of a run.
    model : str
        The column of the runs that tells which model was measured.
    steps : mapping of str to function
        Part of the work -> ``step(run)``, the keyword arguments with which `count_row` counts one
        batch of it: ``batch_size``, ``phase``, ``loss``, ``optimizer``.
    batches : function
        ``batches(runs)`` -> DataFrame, a row a run, a column a part: how many batches of each part
        make the measured energy. Negative takes away what was not measured.
    unit : str
        What ``energy_j`` is the energy of, and what the counts are of.
    files : mapping of str to (str, str or None)
        Path of each published file in a folder of data -> its address, and its SHA-256 where the
        file itself is pinned. None, of measurements of one's own.
    """

    load: Callable
    build: Callable
    model: str
    steps: Mapping[str, Callable]
    batches: Callable
    unit: str
    files: Mapping[str, tuple] = field(default_factory=dict)


def forward(run) -> dict:
    """A step of `Dataset.steps`: a forward pass of the run's batch."""
    return {"batch_size": int(run.batch_size)}


def forward_of_one(run) -> dict:
    """A step of `Dataset.steps`: a forward pass of one sample."""
    return {"batch_size": 1}


def one_forward(runs) -> pd.DataFrame:
    """The `Dataset.batches` of a measured forward pass."""
    return pd.DataFrame({"inference": 1}, index=runs.index)


def count_dataset(dataset, runs, workers=None, client=None) -> pd.DataFrame:
    """Return the counts of one batch of each part of each model of the runs.

    Parameters
    ----------
    dataset : Dataset
    runs : pandas.DataFrame
        As ``dataset.load`` returns them.
    workers : int, optional
        Processes, where there are more than 200 models to count; as many as cores when left out,
        none at 0. A script that counts in processes needs ``if __name__ == "__main__":``.
    client : dask.distributed.Client, optional
        Counts on its workers.

    Returns
    -------
    pandas.DataFrame
        Integers, as `count_row` gives them. Index: the column ``dataset.model``, and ``part``
        where the data set has several.
    """
    jobs = _jobs(dataset, runs)
    arguments = list(zip(*((dataset.build, dataset.steps[part], part, run)
                           for run, part in jobs.values()), strict=True))
    if client is not None:
        rows = client.gather(client.map(_count_job, *arguments, pure=False, batch_size=64))
    elif len(jobs) > IN_PROCESSES and workers != 0:
        rows = _in_processes(arguments, workers)
    else:
        rows = list(map(_count_job, *arguments))
    index = pd.MultiIndex.from_tuples(jobs, names=[dataset.model, "part"])
    table = pd.DataFrame(rows, index=index).fillna(0).astype("int64")
    return table.droplevel("part") if len(dataset.steps) == 1 else table


def _jobs(dataset, runs):
    """Return (model, part) -> (run, part): one job for whatever needs a count."""
    needed = dataset.batches(runs) != 0
    jobs = {}
    for part in dataset.steps:
        some = runs[needed[part]].drop_duplicates(dataset.model).sort_values(dataset.model)
        for run in some.to_dict("records"):
            jobs[run[dataset.model], part] = (SimpleNamespace(**run), part)
    return dict(sorted(jobs.items(), key=lambda job: job[0][0]))


def _in_processes(arguments, workers):
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from tqdm import tqdm

    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:  # TensorFlow does not fork
        counted = pool.map(_count_job, *arguments, chunksize=16)
        return list(tqdm(counted, total=len(arguments[0]), desc="models"))


def _count_job(build, step, part, run):
    with abstract():
        model = build(run, part)
    return count_row(model, **step(run))


def join_counts(dataset, runs, counts, name="counts") -> pd.DataFrame:
    """Return `runs` with the counts of what was measured added as columns.

    ``parameters`` are those of the model; everything else is the sum over its parts. Layers and
    elements, which `count_row` counts once for a training step, are not taken away from it.

    Raises
    ------
    ValueError
        `counts` lacks a model or a part that was measured.
    """
    batches = dataset.batches(runs)
    if len(dataset.steps) == 1:
        counts = pd.concat({next(iter(dataset.steps)): counts}, names=["part"]).swaplevel()
    total = 0
    for part in dataset.steps:
        table = counts.xs(part, level="part").reindex(runs[dataset.model])
        lacking = table.isna().any(axis=1).to_numpy() & (batches[part] != 0).to_numpy()
        if lacking.any():
            raise ValueError(f"{name}: no counts of the {part} of {table.index[lacking][0]} and of "
                             f"{lacking.sum() - 1} more runs; {_RECOUNT}")
        times = pd.DataFrame(dict.fromkeys(counts.columns, batches[part]))
        times[ONCE] = times[ONCE].clip(lower=0)
        total = total + table.fillna(0).to_numpy() * times.to_numpy()
    table = pd.DataFrame(total, columns=counts.columns, index=runs.index)
    first = counts.xs(next(iter(dataset.steps)), level="part").parameters
    table["parameters"] = runs[dataset.model].map(first)
    if all(kind == "i" for kind in batches.dtypes.map(lambda d: d.kind)):
        table = table.astype("int64")
    return pd.concat([runs, table], axis=1)


_RECOUNT = ("leave counts out to count here, or write a new file: "
            "tos.datasets.count(name).to_csv(file)")


def read_counts(dataset, runs, counts) -> pd.DataFrame:
    """Return a stored table of counts, refused where it is not what would be counted now.

    The first model is rebuilt and counted, and must agree with its stored row.

    Raises
    ------
    ValueError
        A column of the index is missing; a model's count is not the stored one.
    """
    table = counts if isinstance(counts, pd.DataFrame) else pd.read_csv(counts)
    name = "counts" if isinstance(counts, pd.DataFrame) else f"counts: {counts}"
    index = [dataset.model, *(["part"] if len(dataset.steps) > 1 else [])]
    if table.index.names != index:
        missing = [c for c in index if c not in table]
        if missing:
            raise ValueError(f"{name}: no column {', '.join(map(repr, missing))}, so it is no "
                             f"table of counts of this data set; {_RECOUNT}")
        table = table.set_index(index)
    model = runs[dataset.model].min()
    fresh = count_dataset(dataset, runs[runs[dataset.model] == model])
    for key, row in fresh.iterrows():
        if key not in table.index:
            raise ValueError(f"{name}: no counts of {key!r}; {_RECOUNT}")
        stored = table.loc[key]
        for column in row.index.union(stored.index, sort=False):
            now, then = row.get(column, 0), stored.get(column, 0)
            if now != then:
                raise ValueError(f"{name}: stale: {column!r} of {key!r} is {then}, counted now it "
                                 f"is {now}; {_RECOUNT}")
    return table


def measured(runs, name) -> pd.DataFrame:
    """Return the rows that are measurements; a warning and ``attrs['left_out']`` say how many not.
    """
    bad = runs.defect != ""
    kept = runs[~bad].reset_index(drop=True)
    kept.attrs["left_out"] = runs.defect[bad].value_counts().to_dict()
    if bad.any():
        reasons = "; ".join(f"{n}: {why}" for why, n in kept.attrs["left_out"].items())
        warnings.warn(f"{name}: {bad.sum()} of {len(runs)} rows left out ({reasons})", stacklevel=3)
    return kept
