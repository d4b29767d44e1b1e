"""One run of a sweep: where it is made, under which conditions, and what comes of it."""

import gc
import getpass
import os
import platform
import re
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd

from ..models.families import FAMILIES, Family
from .counters import MeterError
from .measure import idle, measure
from .meters import MeterChoice, computes_on_gpu, cpu_name, find_meter
from .runs import LIBRARIES
from .steps import step as _step

#: Between two looks at a lock: little beside a run of seconds, long beside the look.
POLL_S = 0.01
#: Of an error's first line that a runs file holds; backends write pages about memory.
ERROR_CHARACTERS = 200


def describe(meter: MeterChoice = "auto") -> dict:
    """Return where this process would measure, and under which conditions.

    ``host``; ``device_id``, which device of the host: ``cpu``, ``gpu-0``, ``cpu+gpu-0`` where both
    are counted; ``device``, ``meter``, ``driver``; Keras' ``backend``, ``cores`` that this process
    may use, and the versions of Python and of the libraries.

    Raises
    ------
    MeterError
        A meter asked for by name that is not here.
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


def attempt(row: dict | None, seed: int = 0, seconds: float = 2.0, meter: MeterChoice = "auto",
            families: Mapping[str, Family] = FAMILIES, device_id: str = "cpu") -> dict:
    """Return what one run measured, or the error that it failed with, as columns of a runs file.

    Building the model, the warm-up and the window all hold the device's lock.

    Parameters
    ----------
    row : dict or None
        A configuration; None stands for the idle baseline.
    seed, seconds, meter, families, device_id
        As for `run_sweep`; as `describe` returns.

    Returns
    -------
    dict
        The fields of `Measurement`, or ``error`` and ``missing``; ``started`` and ``ended``.

    Raises
    ------
    MeterError
        As `measure`: it is not the configuration that failed.
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
