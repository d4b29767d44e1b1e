"""A window: the energy of a block of code, from counters that are watched while it runs.

A thread watches each energy counter from before the window to its end and notes when it advances.
Between the first and the last advance inside the window both the joules and the seconds are known
exactly, however seldom the counter advances; their ratio is the mean power of the window.
"""

import math
import sys
import threading
import time
from itertools import pairwise
from typing import NamedTuple

import pandas as pd

from .counters import Counter, Tally
from .meters import MeterChoice, find_meter

LOOK_S = 5e-4  # between looks at a counter that is about to advance
FIRST_LOOK_S = LOOK_S / 5  # likewise, before its first advance: short windows need two of them
LOOKS = 50  # in an interval of the counter, where that is shorter than so many `LOOK_S`
REST_S = 0.01  # least rest after an advance, once the interval of a counter is known
KNOWN = 4  # advances after which the shortest interval so far is taken for the counter's
EARLY = 0.8  # of that interval, after which to look again: intervals vary
SWITCH_S = 1e-4  # in which a step that holds Python's lock lets the counter be read


class Advance(NamedTuple):
    """A counter that was seen to advance."""

    at: float  # seconds: the middle of the two readings around it
    half: float  # seconds: half the time between them, within which it did
    joules: float  # of the counter, since it is watched


class _Trace:
    """One counter, watched: when it was seen to advance, and the joules that it then showed."""

    def __init__(self, counter: Counter):
        self.tally = Tally(counter)
        self.advances = []
        self.interval, self.due = math.inf, 0.0
        self._before = None  # when the reading before began, if it was one look ago

    def look(self):
        begun = time.perf_counter()
        advanced = self.tally.advance()
        now = time.perf_counter()
        self.due = now + (min(LOOK_S, self.interval / LOOKS) if self.advances else FIRST_LOOK_S)
        if advanced and self._before is not None:
            at = (self._before + now) / 2
            if self.advances:
                self.interval = min(self.interval, at - self.advances[-1].at)
            self.advances.append(Advance(at, (now - self._before) / 2, self.tally.joules))
            if len(self.advances) > KNOWN:  # the next advance is not to be expected before
                self.due, begun = now + max(EARLY * self.interval, REST_S), None
        self._before = begun

    def within(self, start, end):
        """Return the advances of a stretch of time; none where there is but one."""
        inside = [advance for advance in list(self.advances) if start <= advance.at <= end]
        return inside if len(inside) > 1 else []


class Window:
    """Energy of a block of code: a thread watches the counters while it runs.

    Parameters
    ----------
    meter : {"auto", "nvml", "rapl", "zeus"}, Meter, list or None
        As for `measure`.

    Attributes
    ----------
    meter : Meter or None
        What is read; None where there is none, from the start.
    missing : str
        Why there is no energy; empty where there is.
    energy_j, time_s, power_w : float
        Of the block, once it ended; ``energy_j = power_w x time_s``, where the power is the sum
        over counters of the joules between the first and the last advance in the window over the
        seconds between them. NaN where there is no meter, or a counter did not advance twice.

    Raises
    ------
    ValueError
        An unknown meter.
    MeterError
        A meter asked for by name that is not here; a counter fails in the window.

    Examples
    --------
    >>> with Window(meter=None) as window:
    ...     total = sum(range(1000))
    >>> window.time_s > 0, window.energy_j, window.missing
    (True, nan, 'no meter was asked for')
    """

    def __init__(self, meter: MeterChoice = "auto"):
        self.meter, self.missing = find_meter(meter)
        self._error, self.end = None, math.inf
        self.energy_j = self.power_w = self.time_s = math.nan

    def __enter__(self) -> "Window":
        self._traces = [_Trace(c) for c in self.meter.counters] if self.meter else []
        if self._traces:
            self._stop = threading.Event()
            self._switch = sys.getswitchinterval()
            sys.setswitchinterval(SWITCH_S)
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        self.restart()
        return self

    def restart(self):
        """Begin the window here, with what is known of the counters so far."""
        self.start = time.perf_counter()

    def __exit__(self, kind, error, trace):
        self.end = time.perf_counter()
        self.time_s = self.end - self.start
        if self._traces:
            self._stop.set()
            self._thread.join()
            sys.setswitchinterval(self._switch)
            self.power_w = self.power()
            self.energy_j = self.power_w * self.time_s
        if self.meter:
            self.meter.close()
        if kind is None:
            self.check()
        still = [t.tally.counter.name for t in self._traces if not self._within(t)]
        if still:
            self.missing = (f"{self.meter.name}: {', '.join(still)} did not advance twice in "
                            f"{self.time_s:.2f} s")

    def check(self):
        """Raise what a counter raised since the window opened."""
        if self._error:
            raise self._error

    def powers(self) -> list[float]:
        """Return the mean power of each counter so far, in watts."""
        return [(inside[-1].joules - inside[0].joules) / (inside[-1].at - inside[0].at)
                if inside else math.nan for inside in map(self._within, self._traces)]

    def power(self) -> float:
        """Return the mean power of all counters so far, in watts."""
        return sum(self.powers()) if self._traces else math.nan

    def error(self) -> float:
        """Return the bound of the relative error that the moments of the readings put on it.

        Of n counters, each of power P over the time T between its first and its last advance,
        which were known to h1 and to h2 seconds: ``sum(P (h1 + h2) / T) / sum(P)``.
        """
        watts = 0.0
        for power, inside in zip(self.powers(), map(self._within, self._traces), strict=True):
            if inside:
                first, last = inside[0], inside[-1]
                watts += power * (first.half + last.half) / (last.at - first.at)
        return watts / self.power() if watts else math.nan

    def updates(self) -> int:
        """Return the advances timed so far, of the counter that has fewest."""
        return min((len(self._within(trace)) for trace in self._traces), default=0)

    def trace(self) -> pd.DataFrame:
        """Return power over time: ``counter``, ``time_s`` (since the start), ``power_w``.

        One row between two advances of a counter, at the middle of the two.
        """
        return pd.DataFrame([
            (t.tally.counter.name, (a.at + b.at) / 2 - self.start,
             (b.joules - a.joules) / (b.at - a.at))
            for t in self._traces for a, b in pairwise(self._within(t))
        ], columns=["counter", "time_s", "power_w"])

    def _within(self, trace):
        return trace.within(self.start, self.end)

    def _watch(self):
        try:
            while not self._stop.is_set():
                now = time.perf_counter()
                for trace in self._traces:
                    if trace.due <= now:
                        trace.look()
                due = min(trace.due for trace in self._traces)
                self._stop.wait(max(0.0, due - time.perf_counter()))
        except Exception as error:  # it is the measuring thread's to raise
            self._error = error
