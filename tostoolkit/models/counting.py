"""Counting many models: here, in processes, or on a Dask cluster, each built without weights.

`count_each` is the one loop; `count_models` asks it for model sets, `datasets` for what others
measured.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from ..counting.integers import exact_integers
from ..counting.rows import count_row
from ..counting.rules import OP_COUNTERS
from ..counting.rules.layers import no_rule
from ..counting.running_state import abstract
from .families import FAMILIES, Family, build, find_family

if TYPE_CHECKING:
    import keras
    from distributed import Client

#: Of a training step; a rule counts both (`rules.training`). SGD adds no elementary work, which
#: Adam does for every weight: it would tie the elementary work to the MACs.
LOSS, OPTIMIZER = "mean_squared_error", "sgd"

#: Jobs that a process takes at a time: some seconds of counting, so that all end together.
CHUNK = 16


class Job(NamedTuple):
    """One model to count; both are called where it is counted, since not all of it can travel."""

    build: Callable[[], "keras.Model"]
    step: Callable[[], Mapping[str, Any]]  # the keyword arguments of `count_row`


def count_each(jobs: Mapping[Hashable, Job], names: Sequence[str], workers: int | None = 0,
               client: "Client | None" = None) -> pd.DataFrame:
    """Return what `count_row` counts of each job's model: integers, 0 where it has none of an op.

    The keys of the jobs are the rows of the index, `names` its levels; `workers` and `client` are
    as for `count_models`. A column whose sum is 2^63 or more is one of Python integers.

    >>> import keras
    >>> def dense():
    ...     return keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    >>> counts = count_each({("a", 1): Job(dense, dict)}, ["model", "part"])
    >>> counts["mac float32"].to_dict()
    {('a', 1): 32}
    """
    if client is not None:
        rows = client.gather(client.map(_count, list(jobs.values()), pure=False))
    elif workers == 0:
        rows = [_count(job) for job in jobs.values()]
    else:
        rows = _in_processes(list(jobs.values()), workers)
    # absent counts are 0 before there is a column: NaN would make floats of integers
    return pd.DataFrame({
        column: exact_integers([row.get(column, 0) for row in rows])
        for column in dict.fromkeys(chain.from_iterable(rows))
    }, index=pd.MultiIndex.from_tuples(jobs, names=names))


def _count(job: Job) -> dict:
    with abstract():
        model = job.build()
    return count_row(model, **job.step())


def _in_processes(jobs: Sequence[Job], workers: int | None) -> list[dict]:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from tqdm import tqdm

    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:  # TensorFlow does not fork
        counted = pool.map(_count, jobs, chunksize=CHUNK)
        return list(tqdm(counted, total=len(jobs), desc="models"))


def count_models(rows: pd.DataFrame, client: "Client | None" = None,
                 families: Mapping[str, Family] = FAMILIES, workers: int | None = 0,
                 counters: Mapping = OP_COUNTERS) -> pd.DataFrame:
    """Return a model set, or measured runs of one, with all that `count_row` counts added.

    Each configuration, at the same levels of its family's factors, is built once, under its dtype
    policy and without allocating weights, and counted per batch of its ``batch_size``, in its
    ``phase``; a count is 0 where a model has none of an op. A training step is that of
    `steps.step`. What the rows hold of an earlier count is counted anew.

    Parameters
    ----------
    rows : pandas.DataFrame
        Rows of a model set or of a runs file; the column ``family`` says how each is built.
    client : dask.distributed.Client, optional
        Spreads the configurations over its workers, which need tostoolkit; the result is the same.
    families : mapping of str to Family
    workers : int, optional
        Processes; 0 counts here, None takes as many as there are cores. A script that counts in
        processes needs ``if __name__ == "__main__":``.
    counters : mapping of str or class to function
        As for `count_ops`; where processes count, functions of a module that they can import.

    Raises
    ------
    ValueError
        Rows that do not say which family they are of; what `build` and `count_row` raise.

    Examples
    --------
    >>> from tostoolkit.models import feed_forward
    >>> counted = count_models(feed_forward(n=2, dtypes=("float32",)))
    >>> bool((counted["mac float32"] > 0).all())
    True
    """
    if "family" not in rows:
        raise ValueError("rows: they do not say which family they are of; name it in a column "
                         "'family', as rows.assign(family='feed_forward')")
    records = {name: find_family(name, families) for name in rows["family"].unique()}
    known = dict.fromkeys(f for record in records.values() for f in record.factors)
    # not the label alone: another batch size or phase is another count
    columns = [c for c in ("family", "configuration", *known) if c in rows]
    models = rows[columns].reset_index(drop=True).groupby(
        columns, sort=False, dropna=False, observed=True).ngroup().to_numpy()
    own = _own(counters)
    jobs = {}
    for number, row in zip(models, rows.to_dict("records"), strict=True):
        if (number,) not in jobs:
            record = {row["family"]: records[row["family"]]}  # alone, since it may travel
            jobs[number,] = Job(partial(build, row, record), partial(_step, row, own))
    counts = count_each(jobs, ["model"], workers, client).loc[models]
    rows = rows.drop(columns=counts.columns, errors="ignore")  # of an earlier count
    return pd.concat([rows, counts.set_index(rows.index)], axis=1)


def _own(counters):
    """Return how counters differ from `OP_COUNTERS`, not all of which can travel."""
    return {key: counters.get(key, no_rule) for key in {**OP_COUNTERS, **counters}
            if counters.get(key) is not OP_COUNTERS.get(key)}


def _step(row, counters):
    return {"batch_size": int(row["batch_size"]), "phase": row.get("phase", "inference"),
            "loss": LOSS, "optimizer": row.get("optimizer", OPTIMIZER),
            **({"counters": OP_COUNTERS | counters} if counters else {})}
