"""A sweep's runs on the workers of a Dask cluster: one at a time on each device.

A worker says on which device of which host it measures; workers may share a device, which is given
one run at a time. Dask makes a run again that was lost with its worker while the device has others;
where it has none, the run goes to another device.
"""

import math
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache

from .counters import MeterError
from .meters import find_meter
from .run import Job, describe, failure
from .runs import conditions_of

LOOK_S = 1.0  # between two looks at which workers the cluster has
PATIENCE_S = 600.0  # without any worker, before the sweep gives up
LOSSES = 3  # workers that a run may take with it before it is the configuration that failed


@dataclass
class _Device:
    about: dict  # as `describe` returns
    workers: set = field(default_factory=set)
    job: Job | None = None
    future: object = None
    asked: frozenset = frozenset()  # the workers that may run the job

    def lost(self):
        return not self.asked & self.workers


class Cluster:
    """The devices of a cluster; `conditions` are those of its first worker, as `run.describe`.

    ``task(row, meter=..., device_id=...)`` returns the columns that a run measured. Each worker
    finds the meter, by its name, for itself.
    """

    def __init__(self, client, task, meter):
        if not (hasattr(client, "nthreads") and hasattr(client, "submit")):
            raise TypeError(f"client: {client!r} is not a client of Dask; pass "
                            "dask.distributed.Client(address)")
        if client.asynchronous:
            raise TypeError("client: it is asynchronous; pass dask.distributed.Client(address)")
        for part in meter if isinstance(meter, list | tuple) else [meter]:
            if not (part is None or isinstance(part, str)):
                raise ValueError(f"meter: {part!r} cannot travel to workers; name it, 'nvml' say, "
                                 "and each finds its own")
        self._client, self._task = client, task
        self._meter = tuple(meter) if isinstance(meter, list) else meter
        self._devices, self._known, self._losses = {}, set(), {}
        self._looked, self._begun, self.conditions = -math.inf, False, None
        self._wait_for_workers(print)

    def free(self, needed, say):
        """Return the devices that do nothing; where one is needed, wait while there is none."""
        self._look()
        if needed and not self.busy():
            self._wait_for_workers(say)
        return [key for key, device in self._devices.items() if device.workers and not device.job]

    def busy(self):
        return sum(device.job is not None for device in self._devices.values())

    def submit(self, key, job):
        device = self._devices[key]
        device.job, device.asked, self._begun = job, frozenset(device.workers), True
        device.future = self._client.submit(
            _on_worker, self._task, job.row, self._meter, key[1], workers=sorted(device.asked),
            allow_other_workers=False, pure=False)

    def wait(self):
        """Return (device, job, outcome) of what ended meanwhile; no outcome: it was lost."""
        from distributed import CancelledError, wait

        with suppress(TimeoutError, CancelledError):
            wait([device.future for device in self._devices.values() if device.job],
                 timeout=LOOK_S, return_when="FIRST_COMPLETED")
        self._look()
        ended = []
        for key, device in self._devices.items():
            if device.job and (device.future.done() or device.lost()):
                outcome = self._outcome(device)
                if outcome is not _UNFINISHED:
                    ended.append((key, device.job, outcome and {**outcome, **device.about}))
                    device.job = device.future = None
        return ended

    def close(self):
        """Cancel what is under way; what a worker has begun it ends for nothing."""
        futures = [device.future for device in self._devices.values() if device.job]
        if futures and self._client.status == "running":
            self._client.cancel(futures, force=True)

    def _outcome(self, device):
        status = device.future.status
        if status == "finished":
            try:
                return device.future.result(timeout=LOOK_S)
            except TimeoutError:  # lost before it was fetched: Dask makes it again
                return self._lost(device) if device.lost() else _UNFINISHED
            except Exception:
                return self._lost(device)
        if status == "error":
            error = device.future.exception()
            if isinstance(error, MeterError):
                raise error
            if device.job.row is None:
                raise RuntimeError(f"client: {device.about['host']} could not measure its idle "
                                   f"baseline ({type(error).__name__}: {error})") from error
            return failure(error)
        if status == "cancelled":
            raise RuntimeError(_GONE)
        return self._lost(device)

    def _lost(self, device):
        """Give up a run whose device has no worker left; the third time it is the run's fault."""
        self._client.cancel([device.future], force=True)
        self._check_scheduler()
        run = device.job[:2]  # repeat, position
        self._losses[run] = self._losses.get(run, 0) + 1
        if device.job.row is not None and self._losses[run] >= LOSSES:
            return {"missing": "the run failed",  # as Dask names it
                    "error": f"KilledWorker: {LOSSES} workers were lost while it ran"}
        return None

    def _check_scheduler(self):
        if self._client.status != "running":
            raise RuntimeError(_GONE)

    def _look(self):
        """Note which workers came and went, at most once in `LOOK_S`."""
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        self._check_scheduler()
        try:
            workers = set(self._client.nthreads())
        except (OSError, TimeoutError) as error:
            raise RuntimeError(_GONE) from error
        for device in self._devices.values():
            device.workers &= workers
        self._known &= workers
        new = sorted(workers - self._known)
        if new:
            self._welcome(self._client.run(describe, self._meter, workers=new, on_error="return"))

    def _welcome(self, answers):
        for worker, about in sorted(answers.items()):
            self._known.add(worker)
            if isinstance(about, OSError):  # it is gone again
                continue
            if isinstance(about, MeterError):
                raise about
            if isinstance(about, Exception):
                raise RuntimeError(
                    f"client: worker {worker} cannot run tostoolkit ({type(about).__name__}: "
                    f"{about}); install the same version on every worker") from about
            if "device_id" not in about:
                raise RuntimeError(
                    f"client: worker {worker} runs tostoolkit {about.get('tostoolkit')}, which "
                    "names no device_id; install the same version on every worker")
            self.conditions = self.conditions or about
            here, first = conditions_of(about), conditions_of(self.conditions)
            if here != first:
                what = ", ".join(f"{name} {first.get(name)!r} and {here.get(name)!r}"
                                 for name in sorted({*first, *here})
                                 if first.get(name) != here.get(name))
                message = (f"client: the workers differ ({what}): {self.conditions['host']} and "
                           f"{about['host']} ({worker}); sweep each kind with a file of its own")
                if not self._begun:
                    raise ValueError(message)
                warnings.warn(f"{message}. {worker}, which came late, is left out", stacklevel=6)
                continue
            key = about["host"], about["device_id"]
            self._devices.setdefault(key, _Device(about)).workers.add(worker)

    def _wait_for_workers(self, say):
        until, said = time.monotonic() + PATIENCE_S, False
        self._look()
        while not any(device.workers for device in self._devices.values()):
            if time.monotonic() > until:
                raise RuntimeError(f"client: the cluster has had no worker for {PATIENCE_S:g} s; "
                                   "start some and run the same sweep again: it resumes")
            if not said:
                say(f"client: waiting up to {PATIENCE_S:g} s for the cluster's first worker")
                said = True
            time.sleep(min(LOOK_S, PATIENCE_S / 10))  # tests have less patience
            self._look()


_UNFINISHED = object()
_GONE = ("client: Dask's scheduler is gone, or it cancelled a run; connect again and run the same "
         "sweep: it resumes")
_find_once = cache(find_meter)  # on each worker: a counter that is open is read faster


def _on_worker(task, row, meter, device_id):
    return task(row, meter=_find_once(meter)[0] or meter, device_id=device_id)
