"""A sweep's runs: under which conditions, which are left, in which order, and how one is made."""

import gc
import getpass
import os
import platform
import re
import socket
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..models.families import FAMILIES, Family
from ..models.optimal_design import informative_order
from .counters import MeterError
from .measure import idle, measure
from .meters import MeterChoice, computes_on_gpu, cpu_name, find_meter
from .runs import IDLE, LIBRARIES, conditions_of
from .steps import step as _step

POLL_S = 0.01  # between two looks at a lock: little beside a run of seconds, long beside the look
ERROR_CHARACTERS = 200  # of its first line, in a runs file; backends write pages about memory
BASELINE_EVERY = 20  # runs: a chip that warms up over minutes is followed, for 5 % of the time
CLOCK_S = 0.016  # a tick of the coarsest clock: `time.monotonic` on Windows until Python 3.13
SETUP_S = 1.0  # beyond the window, until a first run has told: it builds, traces and warms up


def describe(meter: MeterChoice) -> dict:
    """Return where this process would measure, and under which conditions.

    ``host``; ``device_id``, which device of the host: ``cpu``, ``gpu-0``, ``cpu+gpu-0`` where both
    are counted; ``device``, ``meter``, ``driver``; Keras' ``backend``, ``cores`` that this process
    may use, and the versions of Python and of the libraries.
    """
    import keras

    instrument, _ = find_meter(meter)
    if instrument:
        instrument.close()
    return {
        "host": socket.gethostname(), "device_id": _device_id(instrument),
        "device": instrument.device if instrument else cpu_name(),
        "meter": instrument.name if instrument else "none",
        "driver": instrument.driver if instrument else "",
        "backend": keras.backend.backend(), "python": platform.python_version(),
        **{name: _version(name) for name in LIBRARIES},
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity")
        else os.cpu_count()}


def _device_id(meter):
    """Return the devices whose counters are read, or else the one that Keras computes on."""
    if meter:
        names = {c.name if c.name.startswith("gpu") else "cpu" for c in meter.counters}
        return "+".join(sorted(names))
    if not computes_on_gpu():
        return "cpu"
    return f"gpu-{os.environ.get('CUDA_VISIBLE_DEVICES', '').split(',')[0].strip() or 0}"


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def blocks(runs: pd.DataFrame) -> dict[int, dict]:
    """Return block -> the conditions that its last run was made under."""
    return {row["block"]: conditions_of(row)
            for row in runs.drop_duplicates("block", keep="last").to_dict("records")}


def block_of(runs: pd.DataFrame, conditions: dict) -> int:
    """Return the number of the block that these conditions belong to, the next where it is new."""
    for block, were in blocks(runs).items():
        if were == conditions_of(conditions):
            return block
    return int(runs.block.max()) + 1 if len(runs) else 0


def runs_made(runs: pd.DataFrame, block: int, retry_failed: bool) -> set[tuple[str, int]]:
    """Return the (configuration, repeat) pairs that a block holds; failed ones if they stay so."""
    made = (runs.block == block) & (runs.configuration != IDLE)
    if retry_failed:
        made &= runs.error == ""
    return set(zip(runs.configuration[made], runs.repeat[made], strict=True))


class Job(NamedTuple):
    """One run to make: a configuration in a repeat, or the idle baseline, which has no row."""

    repeat: int
    position: int  # in the walk of this repeat; -1: a baseline
    row: dict | None


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
    """What to measure next: the jobs as long as the budget lasts, baselines between them.

    There are baselines where it is `metered`; the budget lasts until `end`, by `time.monotonic`;
    windows last `seconds` at least.
    """

    def __init__(self, jobs: list[Job], metered: bool, end: float, seconds: float):
        self.todo, self._metered, self._end, self._seconds = deque(jobs), metered, end, seconds
        self._since = {}  # device -> runs since its last baseline
        self._spent = {True: [], False: []}  # whether baselines -> seconds that each took
        self._begun = {}  # device -> when its job began
        self._repeat = jobs[0].repeat if jobs else 0

    def next(self, device) -> Job | None:
        """Return what a free device measures next, from now on; None where there is nothing."""
        go_on, since = self.go_on(), self._since.get(device)
        if not go_on and not (self._metered and since):
            return None
        if self._metered and (since is None or since >= BASELINE_EVERY or not go_on):
            job = Job(self._repeat, -1, None)
            self._since[device] = 0
        else:
            job = self.todo.popleft()
            self._repeat = job.repeat
            self._since[device] = (since or 0) + 1
        self._begun[device] = time.monotonic()
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
        return int(min(ahead, len(self.todo)))

    def _time_for_runs(self):
        """Return how many runs a device can make in what is left, closing baseline included."""
        left = self._end - time.monotonic() - (self._expected(True) if self._metered else 0)
        return left / self._expected(False)

    def _expected(self, baseline):
        """Return the seconds that a run or a baseline is expected to take."""
        spent = self._spent[baseline]
        # a run that fails at once takes no time on a clock of coarse steps
        return max(CLOCK_S, fmean(spent)) if spent else self._seconds + SETUP_S


@contextmanager
def device_lock(device_id: str) -> Iterator[None]:
    """Hold the devices of an id: one measurement at a time, between all of a user's processes.

    The kernel gives the locks back however the process ends. They lie in the system's folder for
    temporary files, so two containers on one host do not see each other's.
    """
    from filelock import FileLock

    user = getattr(os, "getuid", getpass.getuser)()
    with ExitStack() as locks:
        for device in sorted(device_id.split("+")):  # sorted, so that two never wait for each other
            name = f"tostoolkit-{user}-{re.sub(r'[^A-Za-z0-9.-]', '_', device)}.lock"
            locks.enter_context(FileLock(Path(tempfile.gettempdir(), name), poll_interval=POLL_S))
        yield


def attempt(row: dict | None, meter: MeterChoice, device_id: str, *, seed: int, seconds: float,
            families: Mapping[str, Family]) -> dict:
    """Return what a run of a row measured, of None the idle baseline, as columns of a runs file.

    These are the fields of `Measurement`, or ``error`` and ``missing``, and ``started`` and
    ``ended``. A `MeterError` is raised: it is not the configuration that failed. Building the
    model, the warm-up and the window all hold the device's lock.
    """
    with device_lock(device_id):
        started = _now()
        if row is None:
            measured = idle(seconds, meter).row()
        else:
            try:
                step = _step(pd.Series(row, dtype=object), seed, families)
                measured = measure(step, seconds, meter=meter).row()
            except MeterError:
                raise
            except Exception as error:  # whatever a backend raises when memory is short
                measured = failure(error)
            step = None
            if "error" in measured:
                _free()
        return {**measured, "started": started, "ended": _now()}


def failure(error: BaseException) -> dict:
    """Return the columns of a run that failed."""
    lines = str(error).strip().splitlines() or [""]
    return {"missing": "the run failed",
            "error": f"{type(error).__name__}: {lines[0][:ERROR_CHARACTERS]}"}


def _now():
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _free():
    """Give back the memory of a model that failed; its traceback, which held it, is gone."""
    if "keras" in sys.modules:
        import keras

        keras.backend.clear_session(free_memory=True)
    gc.collect()
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        sys.modules["torch"].cuda.empty_cache()
