"""Runs joined with what is counted of the models that were measured.

A data set is a value: how its runs are loaded, how its models are rebuilt, and how many batches of
which parts of the work make its measured energy. The count of a run is then one sum:

    counts of a run = sum over parts of (batches of the part) x (counts of one batch of the part)
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pandas as pd

from ..counting.integers import exact_columns, exact_products
from ..models.counting import Job, count_each

if TYPE_CHECKING:
    from distributed import Client

#: Counted once for a training step, forward and backward.
ONCE = ["layers", "elements"]
IN_PROCESSES = 200  # more models than these are worth the seconds that processes take to start


@dataclass(frozen=True)
class Dataset:
    """How a set of measurements is loaded, and how its models are rebuilt and counted.

    Attributes
    ----------
    load : function
        ``load(path=None)`` -> runs, one row a measurement, with ``configuration`` (repeats share
        it), ``device``, ``energy_j``, ``time_s``, ``phase``, ``batch_size`` and ``defect`` (why a
        row is not a measurement; empty where it is one).
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
    energy_of : str
        What ``energy_j`` is the energy of, and what the counts are of.
    files : mapping of str to (str, str or None)
        Path of each published file in a folder of data -> its address, and its SHA-256 where the
        file itself is pinned. None, of measurements of one's own.
    title : str
        Its name in tables and figures.
    phases : sequence of str
        Phases whose energies are of different kinds of work, so that each is a table of its own.
    """

    load: Callable
    build: Callable
    model: str
    steps: Mapping[str, Callable]
    batches: Callable
    energy_of: str
    files: Mapping[str, tuple] = field(default_factory=dict)
    title: str = ""
    phases: tuple[str, ...] = ()

    @property
    def titles(self) -> tuple[str, ...]:
        """Titles of the tables that it is judged by: one, or one a phase."""
        return tuple(f"{self.title}, {phase}" for phase in self.phases) or (self.title,)

    def by_title(self, runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """Return title -> runs: all of them, or those of each phase."""
        if not self.phases:
            return {self.title: runs}
        return {title: runs[runs.phase == phase]
                for title, phase in zip(self.titles, self.phases, strict=True)}


def forward(run: SimpleNamespace) -> dict:
    """A step of `Dataset.steps`: a forward pass of the run's batch."""
    return {"batch_size": int(run.batch_size)}


def forward_of_one(run: SimpleNamespace) -> dict:
    """A step of `Dataset.steps`: a forward pass of one sample."""
    return {"batch_size": 1}


def one_forward(runs: pd.DataFrame) -> pd.DataFrame:
    """The `Dataset.batches` of a measured forward pass."""
    return pd.DataFrame({"inference": 1}, index=runs.index)


def count_dataset(dataset: Dataset, runs: pd.DataFrame, workers: int | None = None,
                  client: "Client | None" = None) -> pd.DataFrame:
    """Return the counts of one batch of each part of each model of the runs, as `count_row` does.

    The index is the column ``dataset.model``, and ``part`` where the data set has several. Workers
    and client are those of `count_each`; fewer than `IN_PROCESSES` models are counted here.
    """
    needed = dataset.batches(runs) != 0
    jobs = {}
    for part, step in dataset.steps.items():
        models = runs[needed[part]].drop_duplicates(dataset.model).sort_values(dataset.model)
        for record in models.to_dict("records"):
            run = SimpleNamespace(**record)
            jobs[record[dataset.model], part] = Job(partial(dataset.build, run, part),
                                                    partial(step, run))
    jobs = dict(sorted(jobs.items(), key=lambda job: job[0][0]))
    table = count_each(jobs, [dataset.model, "part"],
                       workers if len(jobs) > IN_PROCESSES else 0, client)
    return table.droplevel("part") if len(dataset.steps) == 1 else table


def join_counts(dataset: Dataset, runs: pd.DataFrame, counts: pd.DataFrame) -> pd.DataFrame:
    """Return `runs` with the counts of what was measured added as columns.

    ``parameters`` are those of the model; everything else is the sum over its parts. Layers and
    elements, which `count_row` counts once for a training step, are not taken away from it. Counts
    that lack a model or a part that was measured are an error.
    """
    batches = dataset.batches(runs)
    if len(dataset.steps) == 1:
        counts = pd.concat({next(iter(dataset.steps)): counts}, names=["part"]).swaplevel()
    total = 0
    for part in dataset.steps:
        table = counts.xs(part, level="part")
        lacking = runs[dataset.model][~runs[dataset.model].isin(table.index) & (batches[part] != 0)]
        if len(lacking):
            raise ValueError(f"counts: no counts of the {part} of {lacking.iloc[0]} and of "
                             f"{len(lacking) - 1} more runs; {_RECOUNT}")
        times = pd.DataFrame(dict.fromkeys(counts.columns, batches[part]))
        times[ONCE] = times[ONCE].clip(lower=0)
        table = table.reindex(runs[dataset.model], fill_value=0)
        total = total + exact_products(table.to_numpy(), times.to_numpy())
    table = exact_columns(pd.DataFrame(total, columns=counts.columns, index=runs.index))
    first = counts.xs(next(iter(dataset.steps)), level="part").parameters
    table["parameters"] = runs[dataset.model].map(first)
    return pd.concat([runs, table], axis=1)


_RECOUNT = ("leave counts out to count here, or write a new file: "
            "tos.datasets.count(name).to_csv(file)")


def read_counts(dataset: Dataset, runs: pd.DataFrame, counts: str | Path | pd.DataFrame
                ) -> pd.DataFrame:
    """Return a stored table of counts, refused where it is not what would be counted now.

    The first model is rebuilt and counted, and must agree with its stored row.
    """
    table = counts if isinstance(counts, pd.DataFrame) else pd.read_csv(counts)
    name = "counts" if isinstance(counts, pd.DataFrame) else f"counts: {counts}"
    index = [dataset.model, *(["part"] if len(dataset.steps) > 1 else [])]
    if table.index.names != index:
        missing = [c for c in index if c not in table]
        if missing:
            raise ValueError(f"{name}: no column {', '.join(map(repr, missing))}, so it is not "
                             f"a table of counts of this data set; {_RECOUNT}")
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


def measured(runs: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the rows that are measurements; a warning says how many are not, and why."""
    bad = runs.defect != ""
    if bad.any():
        reasons = "; ".join(f"{n}: {why}" for why, n in runs.defect[bad].value_counts().items())
        warnings.warn(f"{name}: {bad.sum()} of {len(runs)} rows left out ({reasons})", stacklevel=3)
    return runs[~bad].reset_index(drop=True)
