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

import pandas as pd

from .meters import Tally, find_meter

LOOK_S = 5e-4  # between looks at a counter that is about to advance
REST_S = 0.01  # before the next look, once the interval of a counter is known
SWITCH_S = 1e-4  # in which a step that holds Python's lock lets the counter be read


class _Trace:
    """One counter, watched: when it was seen to advance, and the joules that it then showed."""

    def __init__(self, counter):
        self.tally = Tally(counter)
        self.edges = []  # (seconds, half the time between the readings around it, joules)
        self.interval, self.due = math.inf, 0.0
        self._before = None  # when the reading before began, if it was one look ago

    def look(self):
        begun = time.perf_counter()
        advanced = self.tally.advance()
        now = time.perf_counter()
        self.due = now + (min(LOOK_S, self.interval / 50) if self.edges else LOOK_S / 5)
        if advanced and self._before is not None:
            at = (self._before + now) / 2
            if self.edges:
                self.interval = min(self.interval, at - self.edges[-1][0])
            self.edges.append((at, (now - self._before) / 2, self.tally.joules))
            if len(self.edges) > 4:  # the next advance is not to be expected before
                self.due, begun = now + max(0.8 * self.interval, REST_S), None
        self._before = begun

    def within(self, start, end):
        """Return the advances of a stretch of time; none where there is but one."""
        edges = [edge for edge in list(self.edges) if start <= edge[0] <= end]
        return edges if len(edges) > 1 else []


class Window:
    """Energy of a block of code: a thread watches the counters while it runs.

    Parameters
    ----------
    meter : {"auto", "nvml", "rapl", "zeus"}, Meter, list or None
        As for `energy_meters.find_meter`.

    Attributes
    ----------
    energy_j, time_s, power_w : float
        Of the block, once it ended; ``energy_j = power_w x time_s``, where the power is the sum
        over counters of the joules between the first and the last advance in the window over the
        seconds between them. NaN where there is no meter, or a counter did not advance twice;
        `missing` says why.

    Raises
    ------
    MeterError
        A counter fails in the window.

    Examples
    --------
    >>> with Window(meter=None) as window:
    ...     total = sum(range(1000))
    >>> window.time_s > 0, window.energy_j
    (True, nan)
    """

    def __init__(self, meter="auto"):
        self.meter, self.missing = find_meter(meter)
        self._close = self.meter.close if self.meter and self.meter is not meter else None
        self._error, self.end = None, math.inf
        self.energy_j = self.power_w = self.time_s = math.nan

    def __enter__(self):
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
        if self._close:
            self._close()
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
        spans = [(edges[0], edges[-1]) if edges else ((math.nan,) * 3,) * 2
                 for edges in map(self._within, self._traces)]
        return [(last[2] - first[2]) / (last[0] - first[0]) for first, last in spans]

    def power(self) -> float:
        """Return the mean power of all counters so far, in watts."""
        return sum(self.powers()) if self._traces else math.nan

    def error(self) -> float:
        """Return the bound of the relative error that the moments of the readings put on it."""
        joules = sum(p * (e[0][1] + e[-1][1]) / (e[-1][0] - e[0][0]) for p, e in zip(
            self.powers(), map(self._within, self._traces), strict=True) if e)
        return joules / self.power() if joules else math.nan

    def updates(self) -> int:
        """Return the advances timed so far, of the counter that has fewest."""
        return min((len(self._within(trace)) for trace in self._traces), default=0)

    def trace(self) -> pd.DataFrame:
        """Return power over time: ``counter``, ``time_s`` (since the start), ``power_w``.

        One row between two advances of a counter, at the middle of the two.
        """
        return pd.DataFrame([
            (t.tally.counter.name, (a[0] + b[0]) / 2 - self.start, (b[2] - a[2]) / (b[0] - a[0]))
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
