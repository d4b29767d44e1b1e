"""Energy meters: hardware counters of joules, found where the machine has them.

NVML's ``nvmlDeviceGetTotalEnergyConsumption`` counts a GPU's millijoules since its driver was
loaded (NVIDIA, NVML API Reference, "Device Queries"; Volta and newer), in steps about 100 ms
apart. Linux' powercap files count a CPU package's and its memory's microjoules and wrap at
``max_energy_range_uj`` (Linux kernel, Documentation/power/powercap/powercap.rst).
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import pandas as pd

#: Where powercap is mounted; the second is how Zeus hands it to containers.
POWERCAP = ("/sys/class/powercap", "/zeus_sys/class/powercap")


class MeterError(RuntimeError):
    """An energy counter that is not there, cannot be read, or does not count."""


@dataclass(frozen=True)
class Counter:
    """One hardware counter.

    Attributes
    ----------
    name : str
    read : callable
        Returns joules since some moment.
    wraps_at : float
        Joules at which the counter starts again from 0.
    """

    name: str
    read: Callable[[], float]
    wraps_at: float = math.inf


@dataclass(frozen=True)
class Meter:
    """The counters that together make the energy of a device; their sum is what is reported.

    Attributes
    ----------
    name : str
        ``nvml``, ``rapl``, ``zeus``; several at once are joined by ``+``.
    device, driver : str
    counters : tuple of Counter
    temperature, clock : callable
        Return degrees Celsius and megahertz; NaN where the device does not say.
    close : callable
        Gives back what was opened.

    Examples
    --------
    >>> Meter("rapl", "a CPU", "powercap", (Counter("package-0", lambda: 1.0),)).describe()
    'rapl: a CPU (package-0)'
    """

    name: str
    device: str
    driver: str
    counters: tuple[Counter, ...]
    temperature: Callable[[], float] = lambda: math.nan
    clock: Callable[[], float] = lambda: math.nan
    close: Callable[[], None] = lambda: None

    def describe(self) -> str:
        """Return what is measured by which counters."""
        return f"{self.name}: {self.device} ({', '.join(c.name for c in self.counters)})"


def together(*meters) -> Meter:
    """Return one meter of several devices: a GPU and its host, or several GPUs.

    Temperature and clock are those of the first.

    Examples
    --------
    >>> gpu = Meter("nvml", "a GPU", "1", (Counter("gpu-0", lambda: 2.0),))
    >>> cpu = Meter("rapl", "a CPU", "", (Counter("package-0", lambda: 1.0),))
    >>> together(gpu, cpu).describe()
    'nvml+rapl: a GPU + a CPU (gpu-0, package-0)'
    """
    def close():
        for meter in meters:
            meter.close()

    return Meter(
        "+".join(m.name for m in meters), " + ".join(m.device for m in meters),
        " + ".join(m.driver for m in meters), tuple(c for m in meters for c in m.counters),
        meters[0].temperature, meters[0].clock, close)


class Tally:
    """Joules of one counter since this was made, wraps corrected; `advance` reads the counter.

    Raises
    ------
    MeterError
        The counter cannot be read, or goes backwards.

    Examples
    --------
    >>> readings = iter([90.0, 97.0, 97.0, 4.0])
    >>> tally = Tally(Counter("package-0", lambda: next(readings), wraps_at=100.0))
    >>> tally.advance(), tally.advance(), tally.advance(), tally.joules
    (True, False, True, 14.0)
    """

    def __init__(self, counter):
        self.counter, self.joules = counter, 0.0
        self._last = self._read()

    def advance(self) -> bool:
        """Read the counter and return whether it advanced."""
        value = self._read()
        gain = value - self._last
        if gain < 0:  # a wrap takes it back by most of its range; less is a fault
            gain += self.counter.wraps_at
            if not gain < self.counter.wraps_at / 2:
                raise MeterError(
                    f"{self.counter.name}: the energy counter went back from {self._last:g} J to "
                    f"{value:g} J, which no wrap at {self.counter.wraps_at:g} J explains; was the "
                    "driver reloaded? Measure again")
        self._last = value
        self.joules += gain
        return gain > 0

    def _read(self):
        try:
            return self.counter.read()
        except Exception as error:
            raise MeterError(
                f"{self.counter.name}: the energy counter cannot be read "
                f"({type(error).__name__}: {error})") from error


def nvml(index=None) -> Meter:
    """Return the meter of an NVIDIA GPU.

    Parameters
    ----------
    index : int or str, optional
        NVML's number of the GPU, which ``nvidia-smi`` shows, or its UUID. Left out: the first of
        ``CUDA_VISIBLE_DEVICES``, on which Keras computes, or GPU 0.

    Raises
    ------
    MeterError
        No driver, no such GPU, or one without an energy counter (older than Volta).
    """
    import pynvml

    if index is None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
        index = visible if visible else 0
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
        "nvml", device, f"NVIDIA {driver}",
        (Counter(f"gpu-{number}",
                 lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3),),
        lambda: float(pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU)),
        lambda: float(pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM)),
        pynvml.nvmlShutdown)


def rapl(roots=POWERCAP) -> Meter:
    """Return the meter of the CPU packages and their memory.

    ``core`` and ``uncore`` are parts of a package and ``psys`` holds packages, so none of them is
    added. The files stay open, which makes a reading a few microseconds.

    Parameters
    ----------
    roots : sequence of str
        Where to look for powercap; the first that holds domains is used.

    Raises
    ------
    MeterError
        No domain; or one that this user may not read.
    """
    for root in map(Path, roots):
        domains = [
            domain for domain in sorted(root.glob("intel-rapl:*"))
            if _name(domain).startswith(("package", "dram"))]
        if domains:
            return _powercap(domains)
    raise MeterError("rapl: no CPU package counts its energy under "
                     + " or ".join(map(str, roots)))


def _name(domain):
    return (domain / "name").read_text(encoding="ascii").strip()


def _powercap(domains):
    files = []
    counters = tuple(_powercap_counter(domain, files) for domain in domains)
    return Meter("rapl", cpu_name(), "powercap", counters,
                 close=lambda: [os.close(file) for file in files])


def _powercap_counter(domain, files):
    path = domain / "energy_uj"
    try:
        int(path.read_text(encoding="ascii"))
        limit = int((domain / "max_energy_range_uj").read_text(encoding="ascii"))
        file = os.open(path, os.O_RDONLY)
    except (OSError, ValueError) as error:
        raise MeterError(
            f"rapl: {path} cannot be read ({type(error).__name__}); it is root's since Linux 5.10: "
            f"sudo chmod a+r {path}") from error
    files.append(file)
    return Counter(f"{domain.name} {_name(domain)}", lambda: int(os.pread(file, 32, 0)) / 1e6,
                   limit / 1e6)


def zeus(index=0) -> Meter:
    """Return the meter of a GPU that Zeus knows: AMD's, with ``pip install tostoolkit[zeus]``.

    Zeus (ml.energy/zeus, ``zeus.device.get_gpus``) reads AMD's energy accumulator through amdsmi
    and NVIDIA's through NVML, in millijoules.

    Raises
    ------
    MeterError
        Zeus is not installed, or finds no such GPU.
    """
    try:
        from zeus.device import get_gpus

        gpus = get_gpus()
        gpus.get_total_energy_consumption(index)
        device = gpus.get_name(index)
    except Exception as error:
        raise MeterError(f"zeus: no GPU {index} ({type(error).__name__}: {error}); "
                         "AMD GPUs need pip install 'tostoolkit[zeus]'") from error
    return Meter("zeus", device, f"zeus {version('zeus')}", (
        Counter(f"gpu-{index}", lambda: gpus.get_total_energy_consumption(index) / 1e3),))


def cpu_name() -> str:
    """Return the processor's name, as the kernel tells it."""
    import platform

    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


#: Name -> function that returns the meter or raises `MeterError`, in the order of preference.
METERS = {"nvml": nvml, "rapl": rapl, "zeus": zeus}


def meters() -> pd.DataFrame:
    """Return the known meters: whether each is here, and why not.

    Returns
    -------
    pandas.DataFrame
        Index: name; ``found``, ``device``, ``counters``, ``reason`` (why it is not here).

    Examples
    --------
    >>> meters().index.tolist()
    ['nvml', 'rapl', 'zeus']
    """
    rows = {}
    for name, find in METERS.items():
        try:
            meter = find()
            rows[name] = (True, meter.device, ", ".join(c.name for c in meter.counters), "")
            meter.close()
        except MeterError as error:
            rows[name] = (False, "", "", str(error))
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=["found", "device", "counters", "reason"])


def find_meter(meter="auto") -> tuple[Meter | None, str]:
    """Return the meter to use, and the reason where there is none.

    Parameters
    ----------
    meter : {"auto", "nvml", "rapl", "zeus"}, Meter, list of these, or None
        ``auto`` takes the GPU's where Keras (if it is in use) computes on one, else the CPU's.
        ``nvml:1`` is GPU 1. The energies of a list are added. None measures time alone.

    Raises
    ------
    ValueError
        An unknown name; an empty list.
    MeterError
        A meter asked for by name that is not here.

    Examples
    --------
    ``find_meter(["nvml", "rapl"])`` counts a GPU and its host.
    """
    if meter is None:
        return None, "no meter was asked for"
    if isinstance(meter, Meter):
        return meter, ""
    if isinstance(meter, list | tuple):
        if not meter:
            raise ValueError("meter: the list is empty; use None to measure time alone")
        found = [find_meter(m) for m in meter]
        for asked, (one, why) in zip(meter, found, strict=True):
            if one is None:
                raise MeterError(f"meter: {asked!r} of the list is none here ({why})")
        opened = [one for asked, (one, _) in zip(meter, found, strict=True) if one is not asked]
        joined = together(*(one for one, _ in found))
        return replace(joined, close=lambda: [one.close() for one in opened]), ""
    if meter != "auto":
        name, _, index = str(meter).partition(":")
        if name not in METERS:
            raise ValueError(f"meter: {meter!r} is unknown; use 'auto', "
                             f"{', '.join(map(repr, METERS))}, None, a Meter, or a list")
        if index and name == "rapl":
            raise ValueError(f"meter: {meter!r}: rapl counts all packages; use 'rapl'")
        return METERS[name](*([int(index) if index.isdigit() else index] if index else [])), ""
    reasons = []
    for name, find in METERS.items():
        if name != "rapl" and not computes_on_gpu():
            reasons.append(f"{name}: Keras computes on no GPU")
            continue
        try:
            return find(), ""
        except MeterError as error:
            reasons.append(str(error))
    return None, "; ".join(reasons)


def computes_on_gpu() -> bool:
    """Return whether Keras computes on a GPU; True where it is not in use, as all else may."""
    import sys

    if "keras" not in sys.modules:
        return True
    import keras

    return _GPUS.get(keras.backend.backend(), lambda: False)()


def _tensorflow_gpu():
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def _jax_gpu():
    import jax

    return jax.default_backend() in ("gpu", "cuda", "rocm")


def _torch_gpu():
    import torch

    return torch.cuda.is_available()


#: Keras backend -> whether it computes on a GPU that a meter here knows (`keras.distribution` knows
#: only some of them); other backends do not.
_GPUS = {"tensorflow": _tensorflow_gpu, "jax": _jax_gpu, "torch": _torch_gpu}
