"""Which runs a sweep still has to make, in which order, and how many of them the time allows."""

import math
import time
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..models.families import FAMILIES, Family
from ..models.optimal_design import informative_order
from .runs import IDLE, conditions_of

#: Runs between two idle baselines: a chip that warms up over minutes is followed, for 5 % of the
#: time.
BASELINE_EVERY = 20
#: Between two ticks of the coarsest clock that tells how long a run took: `time.monotonic` on
#: Windows until Python 3.13.
CLOCK_S = 0.016
#: Beyond the window, what a run is expected to take before the first has told: it builds, traces
#: and warms up.
SETUP_S = 1.0


class Job(NamedTuple):
    """One run to make: a configuration in a repeat, or the idle baseline, which has no row."""

    repeat: int
    position: int  # in the walk of this repeat; -1: a baseline
    row: dict | None


def block_of(runs: pd.DataFrame, conditions: dict) -> int:
    """Return the number of the block that these conditions belong to, the next where it is new."""
    block = next((block for block, were in blocks(runs).items()
                  if were == conditions_of(conditions)), None)
    return block if block is not None else int(runs.block.max()) + 1 if len(runs) else 0


def blocks(runs: pd.DataFrame) -> dict[int, dict]:
    """Return block -> the conditions that its last run was made under."""
    return {row["block"]: conditions_of(row)
            for row in runs.drop_duplicates("block", keep="last").to_dict("records")}


def runs_made(runs: pd.DataFrame, block: int, retry_failed: bool) -> set[tuple[str, int]]:
    """Return the (configuration, repeat) pairs that a block holds; failed ones if they stay so."""
    made = (runs.block == block) & (runs.configuration != IDLE)
    if retry_failed:
        made &= runs.error == ""
    return set(zip(runs.configuration[made], runs.repeat[made], strict=True))


def jobs_left(model_set: pd.DataFrame, repeats: int, made: set[tuple[str, int]], seed: int = 0,
              informative_first: bool = False, families: Mapping[str, Family] = FAMILIES
              ) -> list[Job]:
    """Return the runs to make, repeat by repeat, each in a random order of its own.

    What was `made` is as `runs_made` returns it; `informative_first` begins each repeat with the
    most informative configurations (`informative_order`).
    """
    rows, jobs = model_set.to_dict("records"), []
    for repeat in range(repeats):
        order = (informative_order(model_set, [seed, repeat], families) if informative_first
                 else np.random.default_rng([seed, repeat]).permutation(len(rows)))
        jobs += [Job(repeat, position, rows[i]) for position, i in enumerate(order)
                 if (str(rows[i]["configuration"]), repeat) not in made]
    return jobs


class Plan:
    """What to measure next: runs as long as the budget lasts, baselines between them.

    Parameters
    ----------
    jobs : list of Job
    metered : bool
        Whether there are idle baselines to measure.
    end : float
        When the budget ends, by `time.monotonic`.
    seconds : float
        Least length of a window.
    """

    def __init__(self, jobs, metered: bool, end: float, seconds: float):
        self.todo, self.metered, self.end, self.seconds = deque(jobs), metered, end, seconds
        self._since = {}  # device -> runs since its last baseline
        self._spent = {True: [], False: []}  # whether baselines -> seconds that each took
        self._begun = {}  # device -> when its job began
        self._repeat = jobs[0].repeat if jobs else 0

    def next(self, device) -> Job | None:
        """Return what a free device measures next, from now on; None where there is nothing."""
        job = self._next(device)
        if job:
            self._begun[device] = time.monotonic()
        return job

    def _next(self, device):
        go_on = self.go_on()
        since = self._since.get(device)
        if self.metered and (since is None or since >= BASELINE_EVERY or not go_on):
            if not go_on and not since:
                return None
            self._since[device] = 0
            return Job(self._repeat, -1, None)
        if not go_on:
            return None
        self._since[device] = (since or 0) + 1
        job = self.todo.popleft()
        self._repeat = job.repeat
        return job

    def ended(self, device, job: Job):
        """Note that a device's job ended now."""
        self._spent[job.row is None].append(time.monotonic() - self._begun[device])

    def give_back(self, device, job: Job):
        """Take back what a device that is gone had not finished."""
        self._since.pop(device, None)
        if job.row is not None:
            self.todo.appendleft(job)

    def go_on(self) -> bool:
        """Return whether there is a run to make, and the time for it."""
        return bool(self.todo) and self._time_for_runs() >= 1

    def runs_ahead(self) -> int:
        """Return how many runs of all devices are expected to be made before the budget ends."""
        ahead = max(0.0, self._time_for_runs()) * max(1, len(self._since))
        return len(self.todo) if ahead >= len(self.todo) else int(ahead)

    def _time_for_runs(self):
        """Return how many runs a device can make in what is left, closing baseline included."""
        left = self.end - time.monotonic() - (self._expected(True) if self.metered else 0)
        return left / self._expected(False)

    def _expected(self, baseline):
        """Return the seconds that a run or a baseline is expected to take."""
        spent = self._spent[baseline]
        # a run that fails at once takes no time on a clock of coarse steps
        return max(CLOCK_S, math.fsum(spent) / len(spent)) if spent else self.seconds + SETUP_S
