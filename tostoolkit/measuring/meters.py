"""The meters of this machine: one entry in `METERS` each, and how one of them is found.

NVML's ``nvmlDeviceGetTotalEnergyConsumption`` counts a GPU's millijoules since its driver was
loaded (NVIDIA, NVML API Reference, "Device Queries"; Volta and newer), in steps about 100 ms
apart. Linux' powercap files count a CPU package's and its memory's microjoules and wrap at
``max_energy_range_uj`` (Linux kernel, Documentation/power/powercap/powercap.rst).
"""

import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pandas as pd

from .counters import Counter, Meter, MeterError, Tally, together

#: Where powercap is mounted; the second is how Zeus hands it to containers.
POWERCAP = ("/sys/class/powercap", "/zeus_sys/class/powercap")
#: What stands for a meter where one is asked for; see `find_meter`.
MeterChoice = str | Meter | Sequence[str | Meter | None] | None
LONGEST_READING = 32  # bytes; 64 bits of microjoules have 20 digits


def nvml(index: int | str | None = None) -> Meter:
    """Return the meter of an NVIDIA GPU, by its UUID or its number in NVML and ``nvidia-smi``.

    Left out, it is the first of ``CUDA_VISIBLE_DEVICES``, on which Keras computes, or GPU 0.
    """
    import pynvml

    if index is None:
        index = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip() or 0
    try:
        pynvml.nvmlInit()
        gpu = (pynvml.nvmlDeviceGetHandleByUUID(index)
               if isinstance(index, str) and not index.lstrip("-").isdigit()
               else pynvml.nvmlDeviceGetHandleByIndex(int(index)))
        pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)
        number = pynvml.nvmlDeviceGetIndex(gpu)
        device, driver = pynvml.nvmlDeviceGetName(gpu), pynvml.nvmlSystemGetDriverVersion()
    except pynvml.NVMLError as error:
        raise MeterError(f"nvml: GPU {index} has no energy counter here ({error})") from error
    return Meter(
        "nvml",
        [(f"gpu-{number}", lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3)],
        device, f"NVIDIA {driver}",
        lambda: float(pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU)),
        lambda: float(pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM)),
        pynvml.nvmlShutdown)


def rapl(roots: Sequence[str | Path] = POWERCAP) -> Meter:
    """Return the meter of the CPU packages and their memory, from the first root that holds any.

    ``core`` and ``uncore`` are parts of a package and ``psys`` holds packages, so none of them is
    added. The files stay open, which makes a reading a few microseconds.
    """
    for root in map(Path, roots):
        domains = [
            domain for domain in sorted(root.glob("intel-rapl:*"))
            if _name(domain).startswith(("package", "dram"))]
        if domains:
            break
    else:
        raise MeterError("rapl: no CPU package counts its energy under "
                         + " or ".join(map(str, roots)))
    with ExitStack() as files:  # closed where a domain cannot be read
        counters = [_powercap_counter(domain, files) for domain in domains]
        return Meter("rapl", counters, cpu_name(), "powercap", close=files.pop_all().close)


def _name(domain):
    return (domain / "name").read_text(encoding="ascii").strip()


def _powercap_counter(domain, files):
    """Return a domain's counter, and leave it to `files` to close the file that it holds open."""
    path = domain / "energy_uj"
    try:
        int(path.read_text(encoding="ascii"))
        limit = int((domain / "max_energy_range_uj").read_text(encoding="ascii"))
        file = os.open(path, os.O_RDONLY)
    except (OSError, ValueError) as error:
        raise MeterError(
            f"rapl: {path} cannot be read ({type(error).__name__}); it is root's since Linux 5.10: "
            f"sudo chmod a+r {path}") from error
    files.callback(os.close, file)
    return Counter(f"{domain.name} {_name(domain)}",
                   lambda: int(os.pread(file, LONGEST_READING, 0)) / 1e6, limit / 1e6)


def zeus(index: int = 0) -> Meter:
    """Return the meter of a GPU that Zeus knows: AMD's, with ``pip install tostoolkit[zeus]``.

    Zeus (ml.energy/zeus, ``zeus.device.get_gpus``) reads AMD's energy accumulator through amdsmi
    and NVIDIA's through NVML, in millijoules.
    """
    try:
        from zeus.device import get_gpus

        gpus = get_gpus()
        gpus.get_total_energy_consumption(index)
        device = gpus.get_name(index)
    except Exception as error:
        raise MeterError(f"zeus: no GPU {index} ({type(error).__name__}: {error}); "
                         "AMD GPUs need pip install 'tostoolkit[zeus]'") from error
    return Meter(
        "zeus", [(f"gpu-{index}", lambda: gpus.get_total_energy_consumption(index) / 1e3)],
        device, f"zeus {version('zeus')}")


def cpu_name() -> str:
    """Return the processor's name, as the kernel tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


class MeterKind(NamedTuple):
    """How a kind of meter is found, and what it counts."""

    find: Callable[..., Meter]  # returns it, opened, or raises `MeterError` with the reason
    of_gpu: bool  # one GPU, whose number or UUID `find` takes; otherwise the whole host


#: Name -> kind, in the order of preference.
METERS: Mapping[str, MeterKind] = MappingProxyType({
    "nvml": MeterKind(nvml, of_gpu=True),
    "rapl": MeterKind(rapl, of_gpu=False),
    "zeus": MeterKind(zeus, of_gpu=True),
})


def meters(*others: Meter) -> pd.DataFrame:
    """Return the known meters: whether each is here, and why not.

    Parameters
    ----------
    *others : Meter
        Meters of your own, to be listed below; each of their counters is read once.

    Returns
    -------
    pandas.DataFrame
        Index: name; ``found``, ``device``, ``counters``, ``reason`` (why it is not here).

    Raises
    ------
    TypeError
        What is not a Meter.

    Examples
    --------
    >>> plug = Meter("plug", [("socket-1", lambda: 1.0)], device="my workstation")
    >>> meters(plug).loc["plug", "device"]
    'my workstation'
    """
    rows = []
    for name, kind in METERS.items():
        try:
            meter = kind.find()
            rows.append((name, True, meter.device, _names(meter), ""))
            meter.close()
        except MeterError as error:
            rows.append((name, False, "", "", str(error)))
    for meter in others:
        if not isinstance(meter, Meter):
            raise TypeError(f"others: {meter!r} is not a tos.Meter")
        try:
            for counter in meter.counters:
                Tally(counter)
            rows.append((meter.name, True, meter.device, _names(meter), ""))
        except MeterError as error:
            rows.append((meter.name, False, meter.device, _names(meter), str(error)))
    return pd.DataFrame(
        rows, columns=["name", "found", "device", "counters", "reason"]).set_index("name")


def _names(meter):
    return ", ".join(counter.name for counter in meter.counters)


def find_meter(meter: MeterChoice = "auto") -> tuple[Meter | None, str]:
    """Return the meter to use, and the reason where there is none; `meter` is as for `measure`.

    Whoever calls this closes the meter; that closes only what was opened here.
    """
    if meter is None:
        return None, "no meter was asked for"
    if isinstance(meter, Meter):
        return replace(meter, close=lambda: None), ""
    if isinstance(meter, list | tuple):
        return _together(meter), ""
    if meter != "auto":
        name, _, index = str(meter).partition(":")
        if name not in METERS:
            raise ValueError(f"meter: {meter!r} is unknown; use 'auto', "
                             f"{', '.join(map(repr, METERS))}, None, a Meter, or a list")
        if index and not METERS[name].of_gpu:
            raise ValueError(f"meter: {meter!r}: {name} counts the whole host; use {name!r}")
        if not index:
            return METERS[name].find(), ""
        return METERS[name].find(int(index) if index.isdigit() else index), ""
    reasons = []
    for name, kind in METERS.items():
        if kind.of_gpu and not computes_on_gpu():
            reasons.append(f"{name}: Keras computes on no GPU")
            continue
        try:
            return kind.find(), ""
        except MeterError as error:
            reasons.append(str(error))
    return None, "; ".join(reasons)


def _together(asked):
    """Return one meter of a list of them; where one is not here, those before it are closed."""
    if not asked:
        raise ValueError("meter: the list is empty; use None to measure time alone")
    parts = []
    with ExitStack() as opened:
        for part in asked:
            meter, why = find_meter(part)
            if meter is None:
                raise MeterError(f"meter: {part!r} of the list is not a meter here ({why})")
            opened.callback(meter.close)
            parts.append(meter)
        opened.pop_all()
    return together(*parts)


def computes_on_gpu() -> bool:
    """Return whether Keras computes on a GPU that a meter here knows.

    True where Keras is not in use, as all else may. `keras.distribution` knows only some GPUs.
    """
    if "keras" not in sys.modules:
        return True
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    if backend == "jax":
        import jax

        return jax.default_backend() in ("gpu", "cuda", "rocm")
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    return False
