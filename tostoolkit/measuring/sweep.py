"""Sweeps: a model set, measured run by run into a file that grows as it goes and resumes."""

import math
import time
import warnings
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..models.families import FAMILIES, Family, find_family
from .cluster import Cluster
from .counters import MeterError
from .measure import Measurement
from .meters import MeterChoice, find_meter
from .run import Plan, attempt, block_of, blocks, describe, jobs_left, runs_made
from .runs import IDLE, LIBRARIES, RunsFile, conditions_of, load_runs, locked

if TYPE_CHECKING:
    from distributed import Client

HOPELESS = 5  # failed runs at the start of a sweep that are not the configurations' fault
_RUN = ("repeat", "position", "seed", "block")
_MEASURED = tuple(Measurement.__dataclass_fields__)
_PROVENANCE = ("error", "backend", "python", *LIBRARIES, "cores", "host", "device_id", "started",
               "ended")


def run_sweep(model_set: pd.DataFrame, out: str | Path, repeats: int = 3, seconds: float = 2.0,
              seed: int = 0, meter: MeterChoice = "auto", progress: bool = True,
              minutes: float | None = None, client: "Client | None" = None,
              families: Mapping[str, Family] = FAMILIES, retry_failed: bool = False
              ) -> pd.DataFrame:
    """Measure every configuration of a model set `repeats` times, and return the runs.

    Each repeat is a walk through the whole set in an order of its own, so that a drift of the
    machine does not pose as an effect of a factor. Where there is a meter, the idle baseline is
    measured before the first run, after every 20 and at the end. Each run is on disk before it is
    reported, and a sweep that was stopped, by whatever, resumes when it is called again.

    Runs of one device, meter, driver, backend, core count and versions make a *block*; under other
    conditions a sweep of the same file starts a block of its own, with a warning that says what
    changed. A configuration that fails, out of memory say, is a row with its ``error``. Devices
    are locked: one measurement at a time on each, whichever process makes it.

    Parameters
    ----------
    model_set : pandas.DataFrame
        As `feed_forward` and its like return: ``configuration``, ``batch_size``, the factors,
        and the ``family``, which may differ from row to row.
    out : str or Path
        Runs file; made if it is not there, else resumed. ``out.lock`` beside it is held meanwhile.
    repeats : int
    seconds : float
        Least length of a window.
    seed : int
        Of the order, of the weights and of the inputs.
    meter : {"auto", "nvml", "rapl", "zeus"}, Meter, list or None
        As for `measure`.
    progress : bool
        Show a progress bar with the time to finish, and the joules and watts of the last run.
    minutes : float, optional
        Stop before a run, or the closing baseline, that is expected to end later than this. Each
        repeat then begins with the most informative configurations (`informative_order`).
    client : dask.distributed.Client, optional
        Spread the runs over the workers of its cluster, one at a time on each device. The workers
        need tostoolkit; only this process writes `out`.
    families : mapping of str to Family
        The record of each family; ``FAMILIES | {"mine": Family(...)}`` adds one of your own.
    retry_failed : bool
        Measure those again that failed.

    Returns
    -------
    pandas.DataFrame
        As `load_runs`. What `minutes` left to make, `runs_left` says.

    Raises
    ------
    ValueError
        A model set without configurations or of an unknown family; an argument that is not a
        positive number; a file that is damaged or has other columns; workers of different
        conditions.
    OSError
        The folder of `out` does not exist, another sweep writes `out`, or a run cannot be written.
    MeterError
        As `measure`; what was measured before is kept.
    RuntimeError
        The first five runs all failed, or the cluster is gone.

    Examples
    --------
    ``runs = tos.run_sweep(tos.feed_forward(n=4), "runs.csv", repeats=1, minutes=9)``
    """
    begin, out = time.monotonic(), Path(out)
    _check(model_set, out, repeats, seconds, minutes, families)
    columns = [*model_set.columns, *_RUN, *_MEASURED, *_PROVENANCE]
    if len(set(columns)) < len(columns):
        taken = sorted({c for c in columns if columns.count(c) > 1})
        raise ValueError(f"model_set: its columns {taken} are the measurement's; rename them")
    task = partial(attempt, seed=seed, seconds=seconds, families=families)
    with locked(out):
        file = RunsFile(out, columns)
        with closing(_Here(task, meter) if client is None
                     else Cluster(client, task, meter)) as workers:
            block = block_of(file.runs, workers.conditions)
            _warn_of_block(file.runs, block, workers.conditions, out.name)
            jobs = jobs_left(model_set, repeats, runs_made(file.runs, block, retry_failed), seed,
                             minutes is not None, families)
            budget = math.inf if minutes is None else begin + 60 * minutes
            plan = Plan(jobs, workers.conditions["meter"] != "none", budget, seconds)
            family, *others = model_set.family.unique()
            known = {"family": "" if others else family,  # of several, a baseline is of none
                     "seed": seed, "block": block}
            hopeful = retry_failed and bool(runs_made(file.runs, block, True))
            kept = f"{out.name} holds what was measured; run the same sweep again, and it resumes"
            try:
                _walk(workers, plan, file, known, progress, hopeful)
            except MeterError as error:
                raise MeterError(f"{error}; {kept}") from error
            except KeyboardInterrupt as error:
                error.add_note(kept)
                raise
    return load_runs(out)


def _check(model_set, out, repeats, seconds, minutes, families):
    for column in ("configuration", "batch_size", "family"):
        if column not in model_set:
            raise ValueError(f"model_set: it has no column {column!r}; tos.feed_forward() returns "
                             "a model set")
    if model_set.empty:
        raise ValueError("model_set: it has no configurations")
    names = model_set.configuration.astype(str)
    if names.duplicated().any() or (names == IDLE).any():
        name = IDLE if (names == IDLE).any() else names[names.duplicated()].iloc[0]
        raise ValueError(f"model_set: configuration {name!r} "
                         + ("is the baseline's name" if name == IDLE else "is there twice")
                         + "; give each configuration a name of its own")
    for family in model_set.family.unique():
        find_family(family, families)
    if not isinstance(repeats, int) or isinstance(repeats, bool) or repeats < 1:
        raise ValueError(f"repeats: {repeats!r} is not an integer of at least 1")
    numbers = {"seconds": seconds} if minutes is None else {"seconds": seconds, "minutes": minutes}
    for name, value in numbers.items():
        if isinstance(value, bool) or not (
                isinstance(value, int | float) and 0 < value < math.inf):
            raise ValueError(f"{name}: {value!r} is not a positive number")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"out: folder {str(out.parent)!r} does not exist; create it")


def _warn_of_block(runs, block, conditions, name):
    """Say what differs from the last block of the file where this one is new to it."""
    before, now = blocks(runs), conditions_of(conditions)
    if not before or block in before:
        return
    last = before[max(before)]
    changed = ", ".join(f"{key} {last.get(key, 'other')!r} -> {value!r}"
                        for key, value in now.items() if last.get(key) != value)
    warnings.warn(f"out: {name} holds runs made under other conditions ({changed}); this sweep "
                  f"starts block {block}, a whole one", stacklevel=3)


def runs_left(model_set: pd.DataFrame, out: str | Path, repeats: int = 3,
              meter: MeterChoice = "auto", retry_failed: bool = False) -> pd.DataFrame:
    """Return the ``configuration`` and ``repeat`` of each run that `run_sweep` would make here now.

    >>> models = pd.DataFrame({"configuration": ["a", "b"]})
    >>> runs_left(models, "not there.csv", repeats=2, meter=None).value_counts("repeat").to_dict()
    {0: 2, 1: 2}
    """
    made = set()
    if Path(out).exists():
        runs = load_runs(out, failed=True)
        if "block" not in runs:
            raise ValueError(f"out: {str(out)!r} has no column 'block', which sweeps write since "
                             "0.2; run_sweep cannot resume it: give another file")
        made = runs_made(runs, block_of(runs, describe(meter)), retry_failed)
    return pd.DataFrame([(job.row["configuration"], job.repeat)
                         for job in jobs_left(model_set, repeats, made)],
                        columns=["configuration", "repeat"])


def _walk(workers, plan, file, known, progress, hopeful):
    """Measure what is planned; each run is on disk before the bar moves."""
    from tqdm import tqdm

    failed = runs = 0
    with tqdm(total=len(plan.todo), disable=not progress, unit="run", desc=file.path.name) as bar:
        while True:
            for device in workers.free(plan.go_on(), bar.write):
                job = plan.next(device)
                if job:
                    workers.submit(device, job)
            if not workers.busy():
                return
            for device, job, outcome in workers.wait():
                if outcome is None:
                    plan.give_back(device, job)
                    continue
                file.append({**known, **(job.row or {"configuration": IDLE}), "repeat": job.repeat,
                             "position": job.position, **outcome})
                plan.ended(device, job)
                if job.row is None:
                    continue
                runs += 1
                failed += "error" in outcome
                if failed == runs == HOPELESS and not hopeful:
                    raise RuntimeError(
                        f"the first {runs} runs all failed, the last with {outcome['error']}: it "
                        f"is hardly the configurations. Mend that, then run the same sweep with "
                        f"retry_failed=True; {file.path.name} holds the errors")
                bar.total = bar.n + 1 + workers.busy() + plan.runs_ahead()
                bar.set_postfix_str(_postfix(job.row, outcome, failed), refresh=False)
                bar.update()


def _postfix(row, outcome, failed):
    what = (outcome["error"] if "error" in outcome
            else f"{outcome['time_s'] * 1e3:.3g} ms" if math.isnan(outcome["energy_j"])
            else f"{outcome['energy_j']:.3g} J, {outcome['power_w']:.4g} W")
    return f"{row['configuration']}: {what}" + (f"; {failed} failed" if failed else "")


class _Here:
    """This process, as the one device that measures."""

    def __init__(self, task, meter):
        self.conditions = describe(meter)
        meter_here, _ = find_meter(meter)  # once: a counter that is open is read faster
        self._meter = meter_here or meter  # where there is none, each run says why
        self.close = meter_here.close if meter_here else lambda: None
        self._device_id, self._task, self._job = self.conditions["device_id"], task, None

    def free(self, needed, say):
        return [] if self._job else [self._device_id]

    def busy(self):
        return int(self._job is not None)

    def submit(self, device, job):
        self._job = job

    def wait(self):
        job, self._job = self._job, None
        measured = self._task(job.row, meter=self._meter, device_id=self._device_id)
        return [(self._device_id, job, {**measured, **self.conditions})]
