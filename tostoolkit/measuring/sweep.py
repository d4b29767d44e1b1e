"""Sweeps: a model set, measured run by run into a file that grows as it goes and resumes."""

import math
import time
import warnings
from collections import deque
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np

from ..models.model_sets import BUILDERS
from ..models.run_order import informative_order
from .measure import Measurement
from .meters import MeterError, find_meter
from .run import attempt, describe
from .runs import IDLE, LIBRARIES, RunsFile, conditions_of, load_runs, locked

BASELINE_EVERY = 20  # runs between two idle baselines
CLOCK_S = 0.016  # between two ticks of the coarsest clock that tells how long a run took
HOPELESS = 5  # failed runs at the start of a sweep that are not the configurations' fault
_RUN = ("repeat", "position", "seed", "block")
_MEASURED = tuple(Measurement.__dataclass_fields__)
_PROVENANCE = ("error", "backend", "python", *LIBRARIES, "cores", "host", "device_id", "started",
               "ended")


def run_sweep(model_set, out, repeats=3, seconds=2.0, seed=0, meter="auto", progress=True,
              minutes=None, client=None, builders=BUILDERS, retry_failed=False):
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
        As `feed_forward` and its like return: ``configuration``, ``batch_size``, the factors.
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
    builders : dict
        Family -> function from a row to a Keras model.
    retry_failed : bool
        Measure those again that failed.

    Returns
    -------
    pandas.DataFrame
        As `load_runs`; ``attrs["remaining"]`` says how many runs `minutes` left to make.

    Raises
    ------
    ValueError
        A model set without configurations or of an unknown family; an argument that is no positive
        number; a file that is damaged or has other columns; workers of different conditions.
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
    out = Path(out)
    begin = time.monotonic()
    family = _check(model_set, out, repeats, seconds, minutes, builders)
    columns = [*model_set.columns, "family", *_RUN, *_MEASURED, *_PROVENANCE]
    if len(set(columns)) < len(columns):
        taken = sorted({c for c in columns if columns.count(c) > 1})
        raise ValueError(f"model_set: its columns {taken} are the measurement's; rename them")
    task = partial(attempt, family=family, seed=seed, seconds=seconds, builders=builders)
    with locked(out):
        file = RunsFile(out, columns)
        with closing(_Here(task, meter) if client is None else _cluster(client, task, meter)) as on:
            block = _block(file.runs, on.conditions, out.name)
            todo = _todo(model_set, repeats, seed, minutes, _done(file.runs, block, retry_failed))
            budget = math.inf if minutes is None else begin + 60 * minutes
            plan = _Plan(todo, on.conditions["meter"] != "none", budget, seconds)
            known = {"family": family, "seed": seed, "block": block}
            hopeful = retry_failed and bool(_done(file.runs, block, True))
            try:
                _walk(on, plan, file, known, progress, hopeful)
            except MeterError as error:
                raise MeterError(f"{error}; what was measured before is kept in {out.name}: run "
                                 "the same sweep again, and it resumes") from error
            except KeyboardInterrupt as error:
                error.add_note(f"{out.name} holds what was measured; run the same sweep again, "
                               "and it resumes")
                raise
    runs = load_runs(out)
    runs.attrs["remaining"] = len(plan.todo)
    return runs


def _check(model_set, out, repeats, seconds, minutes, builders):
    for column in ("configuration", "batch_size"):
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
    family = model_set.attrs.get("family")
    if family not in builders:
        raise ValueError(f"model_set: its family, {family!r} in model_set.attrs['family'], is "
                         f"unknown; there are {', '.join(builders)}")
    if not isinstance(repeats, int) or isinstance(repeats, bool) or repeats < 1:
        raise ValueError(f"repeats: {repeats!r} is no integer of at least 1")
    for name, value in (("seconds", seconds), ("minutes", minutes)):
        if (name, value) != ("minutes", None) and (
                isinstance(value, bool) or not isinstance(value, int | float)
                or not 0 < value < math.inf):
            raise ValueError(f"{name}: {value!r} is no positive number")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"out: folder {str(out.parent)!r} does not exist; create it")
    return family


def _cluster(client, task, meter):
    from .cluster import Cluster

    return Cluster(client, task, meter)


def _block(runs, conditions, name):
    """Return the number of the block that these conditions belong to; say so where it is new."""
    now = conditions_of(conditions)
    blocks = {row["block"]: conditions_of(row)
              for row in runs.drop_duplicates("block", keep="last").to_dict("records")}
    for block, were in blocks.items():
        if were == now:
            return block
    if not blocks:
        return 0
    last = max(blocks)
    changed = ", ".join(f"{key} {blocks[last].get(key, 'other')!r} -> {value!r}"
                        for key, value in now.items() if blocks[last].get(key) != value)
    warnings.warn(f"out: {name} holds runs made under other conditions ({changed}); this sweep "
                  f"starts block {last + 1}, a whole one", stacklevel=3)
    return last + 1


def _done(runs, block, retry_failed):
    """Return the (configuration, repeat) pairs that a block holds."""
    there = (runs.block == block) & (runs.configuration != IDLE)
    if retry_failed:
        there &= runs.error == ""
    return set(zip(runs.configuration[there], runs.repeat[there], strict=True))


def _todo(model_set, repeats, seed, minutes, done):
    """Return (repeat, position, row) of the runs to make, repeat by repeat in random order."""
    rows, jobs = model_set.to_dict("records"), []
    for repeat in range(repeats):
        order = (np.random.default_rng([seed, repeat]).permutation(len(rows)) if minutes is None
                 else informative_order(model_set, [seed, repeat]))
        jobs += [(repeat, position, rows[i]) for position, i in enumerate(order)
                 if (str(rows[i]["configuration"]), repeat) not in done]
    return jobs


class _Plan:
    """What to measure next: runs as long as the budget lasts, baselines between them."""

    def __init__(self, todo, metered, end, seconds):
        self.todo, self.metered, self.end = deque(todo), metered, end
        self.since = {}  # device -> runs since its last baseline
        self.spent = {True: [], False: []}  # seconds of baselines, of runs
        self.seconds = seconds
        self.repeat = todo[0][0] if todo else 0

    def next(self, device):
        """Return a free device's (repeat, position, row), or None; no row is a baseline."""
        go_on = self.go_on()
        since = self.since.get(device)
        if self.metered and (since is None or since >= BASELINE_EVERY or not go_on):
            if not go_on and not since:
                return None
            self.since[device] = 0
            return self.repeat, -1, None
        if not go_on:
            return None
        self.since[device] = (since or 0) + 1
        self.repeat, position, row = self.todo.popleft()
        return self.repeat, position, row

    def go_on(self):
        """Return whether there is a run to make, and the time for it."""
        return bool(self.todo) and self.time_for_runs() >= 1

    def give_back(self, device, job):
        """Take back what a device that is gone had not finished."""
        self.since.pop(device, None)
        if job[2] is not None:
            self.todo.appendleft(job)

    def time_for_runs(self):
        """Return how many runs fit into what is left of the budget, closing baseline included."""
        left = self.end - time.monotonic() - (self.expected(True) if self.metered else 0)
        return left / self.expected(False)

    def expected(self, baseline):
        """Return the seconds that a run or a baseline is expected to take."""
        spent = self.spent[baseline]
        # a run that fails at once takes no time on a clock of coarse steps, as Windows' is
        return max(CLOCK_S, sum(spent) / len(spent)) if spent else self.seconds + 1


def _walk(on, plan, file, known, progress, hopeful):
    """Measure what is planned; each run is on disk before the bar moves."""
    from tqdm import tqdm

    failed = runs = 0
    began = {}
    with tqdm(total=len(plan.todo), disable=not progress, unit="run", desc=file.path.name) as bar:
        while True:
            for device in on.free(plan.go_on(), bar.write):
                job = plan.next(device)
                if job:
                    began[device] = time.monotonic()
                    on.submit(device, job)
            if not on.busy():
                return
            for device, job, outcome in on.wait():
                repeat, position, row = job
                if outcome is None:
                    plan.give_back(device, job)
                    continue
                file.append({**known, **(row or {"configuration": IDLE}), "repeat": repeat,
                             "position": position, **outcome, **on.describe(device)})
                plan.spent[row is None].append(time.monotonic() - began[device])
                if row is None:
                    continue
                runs += 1
                failed += "error" in outcome
                if failed == runs == HOPELESS and not hopeful:
                    raise RuntimeError(
                        f"the first {runs} runs all failed, the last with {outcome['error']}: it "
                        f"is hardly the configurations. Mend that, then run the same sweep with "
                        f"retry_failed=True; {file.path.name} holds the errors")
                bar.total = bar.n + 1 + on.busy() + min(len(plan.todo), int(max(0, min(
                    1e9, plan.time_for_runs())) * max(1, len(plan.since))))
                bar.set_postfix_str(_postfix(row, outcome, failed), refresh=False)
                bar.update()


def _postfix(row, outcome, failed):
    energy = outcome.get("energy_j", math.nan)
    what = (outcome["error"] if "error" in outcome
            else f"{outcome['time_s'] * 1e3:.3g} ms" if math.isnan(energy)
            else f"{energy:.3g} J, {outcome['power_w']:.4g} W")
    return f"{row['configuration']}: {what}" + (f"; {failed} failed" if failed else "")


class _Here:
    """This process, as the one device that measures."""

    def __init__(self, task, meter):
        self.conditions = describe(meter)
        self._found, _ = find_meter(meter)  # once: a counter that is open is read faster
        self._meter = self._found or meter  # where there is none, each run says why
        opened = self._found is not None and self._found is not meter
        self._close = self._found.close if opened else lambda: None
        self._device_id, self._task, self._job = self.conditions["device_id"], task, None

    def free(self, needed, say):
        return [] if self._job else [self._device_id]

    def busy(self):
        return int(self._job is not None)

    def submit(self, device, job):
        self._job = job

    def wait(self):
        job, self._job = self._job, None
        outcome = self._task(job[2], meter=self._meter, device_id=self._device_id)
        return [(self._device_id, job, outcome)]

    def describe(self, device):
        return self.conditions

    def close(self):
        self._close()
