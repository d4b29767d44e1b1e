"""Counters of joules, and the meters that they make.

A counter is read; it says joules since some moment and may start again from 0. A meter is the
counters that together make the energy of a device. Nothing here knows any hardware.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class MeterError(RuntimeError):
    """An energy counter that is not there, cannot be read, or does not count."""


class Counter(NamedTuple):
    """One counter; `Meter` makes it of ``(name, read)`` or ``(name, read, wraps_at)``."""

    name: str
    read: Callable[[], float]  # returns joules since some moment
    wraps_at: float = math.inf  # joules at which it starts again from 0


@dataclass(frozen=True)
class Meter:
    """The counters that together make the energy of a device; their sum is what is reported.

    Attributes
    ----------
    name : str
        ``nvml``, ``rapl``, ``zeus``, or a name of your own; several at once are joined by ``+``.
    counters : tuple of Counter
        Given as a sequence of ``(name, read)`` or ``(name, read, wraps_at)``: `read` returns joules
        since some moment, and `wraps_at` are the joules at which it starts again from 0.
    device, driver : str
        What is measured (the meter's name, if it is left out), and by which version of what; both
        are written into runs files.
    temperature, clock : callable
        Return degrees Celsius and megahertz; NaN where the device does not say.
    close : callable
        Gives back what was opened. A meter that is passed to `measure`, `Window` or `run_sweep` is
        not closed by it.

    Raises
    ------
    TypeError
        A name that is not text; counters that are not names and functions.
    ValueError
        No counter, or one that does not wrap at a positive number of joules.

    Examples
    --------
    >>> plug = Meter("plug", [("socket-1", lambda: 1.0)], device="my workstation")
    >>> print(plug)
    plug: my workstation (socket-1)
    >>> plug.counters[0].wraps_at
    inf
    """

    name: str
    counters: tuple[Counter, ...]
    device: str = ""
    driver: str = ""
    temperature: Callable[[], float] = lambda: math.nan
    clock: Callable[[], float] = lambda: math.nan
    close: Callable[[], None] = lambda: None

    def __post_init__(self):
        give = "give [('socket-1', read)], where read() returns joules"
        if not isinstance(self.name, str):
            raise TypeError(f"name: {self.name!r} is not text; name the meter, 'plug' say")
        try:
            counters = tuple(Counter(*counter) for counter in self.counters)
        except TypeError:
            raise TypeError(
                f"counters: {self.counters!r} is not a sequence of counters; {give}") from None
        if not counters:
            raise ValueError(f"counters: there are none; {give}")
        for name, read, wraps_at in counters:
            if not (isinstance(name, str) and callable(read)):
                raise TypeError(
                    f"counters: ({name!r}, {read!r}) is not a name and a function; {give}")
            if not wraps_at > 0:
                raise ValueError(f"counters: {name}: wraps_at is {wraps_at!r}; give the joules, "
                                 "over 0, at which it starts again")
        object.__setattr__(self, "counters", counters)
        object.__setattr__(self, "device", self.device or self.name)

    def __str__(self) -> str:
        return f"{self.name}: {self.device} ({', '.join(c.name for c in self.counters)})"


def together(*meters: Meter) -> Meter:
    """Return one meter of several devices: a GPU and its host, or several GPUs.

    Temperature and clock are those of the first.

    >>> gpu = Meter("nvml", [("gpu-0", lambda: 2.0)], "a GPU")
    >>> cpu = Meter("rapl", [("package-0", lambda: 1.0)], "a CPU")
    >>> print(together(gpu, cpu))
    nvml+rapl: a GPU + a CPU (gpu-0, package-0)
    """
    def close():
        for meter in meters:
            meter.close()

    return Meter(
        "+".join(m.name for m in meters), tuple(c for m in meters for c in m.counters),
        " + ".join(m.device for m in meters), " + ".join(m.driver for m in meters),
        meters[0].temperature, meters[0].clock, close)


class Tally:
    """Joules of one counter since this was made, wraps corrected; `advance` reads the counter.

    A counter that cannot be read, reads no finite number or goes backwards is a `MeterError`.

    >>> readings = iter([90.0, 97.0, 97.0, 4.0])
    >>> tally = Tally(Counter("package-0", lambda: next(readings), wraps_at=100.0))
    >>> tally.advance(), tally.advance(), tally.advance(), tally.joules
    (True, False, True, 14.0)
    """

    def __init__(self, counter: Counter):
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
            joules = float(self.counter.read())
            if not math.isfinite(joules):
                raise ValueError(f"it reads {joules}")
            return joules
        except Exception as error:
            raise MeterError(
                f"{self.counter.name}: the energy counter cannot be read "
                f"({type(error).__name__}: {error})") from error
