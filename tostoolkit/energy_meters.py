"""Energy meters: hardware counters of joules, found where the machine has them.

NVML's ``nvmlDeviceGetTotalEnergyConsumption`` counts a GPU's millijoules since its driver was
loaded (NVIDIA, NVML API Reference, "Device Queries"; Volta and newer), in steps about 100 ms
apart. Linux' powercap files count a CPU package's and its memory's microjoules and wrap at
``max_energy_range_uj`` (Linux kernel, Documentation/power/powercap/powercap.rst).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
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
        ``nvml`` or ``rapl``.
    device, driver : str
    counters : tuple of Counter
    temperature : callable
        Returns degrees Celsius; NaN where the device does not say.
    """

    name: str
    device: str
    driver: str
    counters: tuple[Counter, ...]
    temperature: Callable[[], float] = lambda: math.nan


class Tally:
    """Joules since it was made, wraps corrected; `advance` reads the counters.

    Raises
    ------
    MeterError
        A counter cannot be read, or goes backwards.

    Examples
    --------
    >>> readings = iter([90.0, 97.0, 4.0])
    >>> meter = Meter("rapl", "a CPU", "", (Counter("package-0", lambda: next(readings), 100.0),))
    >>> tally = Tally(meter)
    >>> tally.advance(), tally.advance(), tally.updates
    (7.0, 14.0, 2)
    """

    def __init__(self, meter):
        self.counters = meter.counters
        self.joules, self.updates = 0.0, 0
        self._last = [self._read(c) for c in self.counters]

    def advance(self) -> float:
        """Read the counters and return the joules so far."""
        gain = 0.0
        for i, counter in enumerate(self.counters):
            value = self._read(counter)
            delta = value - self._last[i]
            if delta < 0:
                delta += counter.wraps_at
                if not delta < counter.wraps_at / 2:
                    raise MeterError(
                        f"{counter.name}: the counter went back from {self._last[i]:g} J to "
                        f"{value:g} J, which no wrap at {counter.wraps_at:g} J explains; was the "
                        "driver reloaded? Measure again")
            self._last[i] = value
            gain += delta
        self.updates += gain > 0
        self.joules += gain
        return self.joules

    @staticmethod
    def _read(counter):
        try:
            return float(counter.read())
        except Exception as error:
            raise MeterError(
                f"{counter.name}: the energy counter cannot be read "
                f"({type(error).__name__}: {error})") from error


def nvml(index=0) -> Meter:
    """Return the meter of an NVIDIA GPU.

    Parameters
    ----------
    index : int
        NVML's number of the GPU, which ``nvidia-smi`` shows.

    Raises
    ------
    MeterError
        No driver, no such GPU, or one without an energy counter (older than Volta).
    """
    import pynvml

    try:
        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)
        device, driver = pynvml.nvmlDeviceGetName(gpu), pynvml.nvmlSystemGetDriverVersion()
    except pynvml.NVMLError as error:
        raise MeterError(f"nvml: GPU {index} has no energy counter here ({error})") from error
    return Meter(
        "nvml", device, f"NVIDIA {driver}",
        (Counter(f"gpu-{index}",
                 lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3),),
        lambda: float(pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU)))


def rapl(roots=POWERCAP) -> Meter:
    """Return the meter of the CPU packages and their memory.

    ``core`` and ``uncore`` are parts of a package and ``psys`` holds packages, so none of them is
    added.

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
        domains = sorted(root.glob("intel-rapl:*"))
        counters = tuple(
            _powercap_counter(domain) for domain in domains
            if (domain / "name").read_text().strip().startswith(("package", "dram")))
        if counters:
            return Meter("rapl", cpu_name(), "powercap", counters)
    raise MeterError("rapl: no CPU package counts its energy under "
                     + " or ".join(map(str, roots)))


def _powercap_counter(domain):
    file = domain / "energy_uj"
    try:
        int(file.read_text())
        limit = int((domain / "max_energy_range_uj").read_text())
    except (OSError, ValueError) as error:
        raise MeterError(
            f"rapl: {file} cannot be read ({type(error).__name__}); it is root's since Linux 5.10: "
            f"sudo chmod a+r {file}") from error
    name = (domain / "name").read_text().strip()
    return Counter(f"{domain.name} {name}", lambda: int(file.read_text()) / 1e6, limit / 1e6)


def cpu_name() -> str:
    """Return the processor's name, as the kernel tells it."""
    import platform

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


#: Name -> function that returns the meter or raises `MeterError`, in the order of preference.
METERS = {"nvml": nvml, "rapl": rapl}


def meters() -> pd.DataFrame:
    """Return the known meters: whether each is here, and why not.

    Returns
    -------
    pandas.DataFrame
        Index: name; ``found``, ``device``, ``counters``, ``reason`` (why it is not here).

    Examples
    --------
    >>> meters().index.tolist()
    ['nvml', 'rapl']
    """
    rows = {}
    for name, find in METERS.items():
        try:
            meter = find()
            rows[name] = (True, meter.device, ", ".join(c.name for c in meter.counters), "")
        except MeterError as error:
            rows[name] = (False, "", "", str(error))
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=["found", "device", "counters", "reason"])


def find_meter(meter="auto") -> tuple[Meter | None, str]:
    """Return the meter to use, and the reason where there is none.

    Parameters
    ----------
    meter : {"auto", "nvml", "rapl"}, Meter or None
        ``auto`` takes the GPU's where Keras (if it is in use) computes on one, else the CPU's.
        None measures time alone.

    Raises
    ------
    ValueError
        An unknown name.
    MeterError
        A meter asked for by name that is not here.
    """
    if meter is None:
        return None, "no meter was asked for"
    if isinstance(meter, Meter):
        return meter, ""
    if meter != "auto":
        if meter not in METERS:
            raise ValueError(f"meter: {meter!r} is unknown; use 'auto', "
                             f"{', '.join(map(repr, METERS))}, None, or a Meter")
        return METERS[meter](), ""
    reasons = []
    for name, find in METERS.items():
        if name == "nvml" and not _computes_on_gpu():
            reasons.append("nvml: Keras computes on no GPU")
            continue
        try:
            return find(), ""
        except MeterError as error:
            reasons.append(str(error))
    return None, "; ".join(reasons)


def _computes_on_gpu():
    import sys

    if "keras" not in sys.modules:
        return True  # whatever else is measured may well use it
    import keras

    return bool(keras.distribution.list_devices("gpu"))
