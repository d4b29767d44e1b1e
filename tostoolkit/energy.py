"""Energy and time, measured over a window of repeated steps.

A thread watches the energy counter from before the window to its end and notes when it advances.
Between the first and the last advance inside the window both the joules and the seconds are known
exactly, however seldom the counter advances; their ratio is the mean power of the window, which
times the seconds of a step is its energy. Nothing is modelled: with no meter, or a counter that
does not advance, `Measurement.energy_j` is missing.
"""

import math
import statistics
import sys
import threading
import time
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from .energy_meters import MeterError, Tally, cpu_name, find_meter, meters

__all__ = ["Measurement", "MeterError", "Window", "idle", "measure", "meters"]

CHUNK_S = 0.05  # of steps between two looks at the clock
WAIT_S = 0.5  # beyond `seconds`, for a counter to advance twice
LOOK_S = 5e-4  # between looks at a counter that is about to advance
REST_S = 0.01  # before the next look, once the interval of a counter is known
SWITCH_S = 1e-4  # in which a step that holds Python's lock lets the counter be read
LONGEST = 10  # times `seconds`, where the window is extended for the sake of the error
STEADY = 0.1  # relative change of the time of a step from which a warm-up is not over


@dataclass(frozen=True)
class Measurement:
    """What one window measured.

    Attributes
    ----------
    energy_j : float
        Joules of a step: mean power times `time_s`. NaN where there is no meter.
    time_s : float
        Seconds of a step.
    missing : str
        Why `energy_j` is missing; empty where it is not.
    steps : int
        In the window.
    window_s : float
        Seconds that the window lasted.
    time_spread : float
        Standard deviation of the time of a step over the window's looks at the clock, relative to
        `time_s`: how steady the machine was.
    warmup_steps : int
        Steps before the window.
    counter_updates : int
        Advances of the counter that were timed in the window; of several, the least.
    meter, device, driver : str
    temperature_c : float
        Of the device at the window's end, degrees Celsius; NaN where it does not say.
    clock_mhz : float
        Of the device at the window's end; NaN where it does not say.
    power_w : float
        Mean power in the window, idle power included.
    energy_error : float
        Bound of the relative error that the moments at which the counter was read put on
        `energy_j`.
    counters : str
        Mean watts of each counter: ``gpu-0=301.2; package-0=45.1``.
    flags : str
        What a reader should know, separated by ``; ``: ``unsteady warm-up``, ``noisy time``
        (`time_spread` over 0.2), ``few updates`` (under 5), ``coarse`` (`energy_error` over what
        was asked for). A flagged run is a run all the same.
    """

    energy_j: float
    time_s: float
    missing: str
    steps: int
    window_s: float
    time_spread: float
    warmup_steps: int
    counter_updates: int
    meter: str
    device: str
    driver: str
    temperature_c: float
    clock_mhz: float = math.nan
    power_w: float = math.nan
    energy_error: float = math.nan
    counters: str = ""
    flags: str = ""

    def row(self) -> dict:
        """Return the fields as a row of a runs file."""
        return asdict(self)


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


def measure(fn, seconds=2.0, warmup_s=0.5, meter="auto", relative_error=0.005) -> Measurement:
    """Return the energy and the time of one call of `fn`.

    ``time_s = (t(end) - t(start)) / steps`` and ``energy_j = power x time_s``, where the power is
    that between the counter's first and last advance in the window. The warm-up lasts at least
    `warmup_s`, and on until the time of a step is steady to 10 % or ten times `warmup_s` have
    passed. Every 50 ms a result is brought to the host, so that no work is left in a device's queue
    when the window closes.

    Parameters
    ----------
    fn : callable
        One step, without arguments; returns its result (a tensor, several in a tree, or None).
    seconds : float
        Least length of the window. NVML's counter advances about every 100 ms. (Power sampled
        instead of counted misses three quarters of the time on A100 and H100: Yang, Adamek,
        Armour, "Part-time Power Measurements", arXiv:2312.02741, abstract.)
    warmup_s : float
    meter : {"auto", "nvml", "rapl", "zeus"}, Meter, list of these, or None
        As for `energy_meters.find_meter`.
    relative_error : float
        The window goes on, up to ten times `seconds`, until the moments of the counter's advances
        are known well enough for this.

    Raises
    ------
    TypeError
        `fn` cannot be called.
    ValueError
        A length or an error that is not positive; an unknown meter.
    MeterError
        A meter asked for by name that is not here; a counter that fails within the window.

    Examples
    --------
    >>> import time
    >>> m = measure(lambda: time.sleep(0.001), seconds=0.1, warmup_s=0.01, meter=None)
    >>> m.time_s >= 0.001, m.energy_j, m.missing
    (True, nan, 'no meter was asked for')
    """
    if not callable(fn):
        raise TypeError(f"fn: {fn!r} cannot be called; pass a step, such as lambda: model(x)")
    for name, value in (("seconds", seconds), ("warmup_s", warmup_s),
                        ("relative_error", relative_error)):
        if not (isinstance(value, int | float) and 0 < value < math.inf):
            raise ValueError(f"{name}: {value!r} is no positive number")
    steps, times = 0, []
    with Window(meter) as window:
        step_s, warmup_steps, steady = _warm_up(fn, warmup_s)
        chunk = max(1, round(min(CHUNK_S, seconds / 4) / step_s))
        window.restart()
        last = window.start
        while not _enough(window, times, last - window.start, seconds, relative_error):
            _run(fn, chunk)
            now = time.perf_counter()
            steps += chunk
            times.append((now - last) / chunk)
            last = now
            window.check()
        found = window.meter
        temperature_c, clock_mhz = (found.temperature(), found.clock()) if found else (math.nan,) * 2
    spread = statistics.stdev(times) / statistics.mean(times)
    updates, error, powers = window.updates(), window.error(), window.powers()
    flags = {"unsteady warm-up": not steady, "noisy time": spread > 0.2,
             "few updates": 0 < updates < 5, "coarse": error > relative_error}
    return Measurement(
        energy_j=window.energy_j / steps, time_s=window.time_s / steps, missing=window.missing,
        steps=steps, window_s=window.time_s, time_spread=spread, warmup_steps=warmup_steps,
        counter_updates=updates, meter=found.name if found else "none",
        device=found.device if found else cpu_name(), driver=found.driver if found else "",
        temperature_c=temperature_c, clock_mhz=clock_mhz, power_w=window.power_w,
        energy_error=error,
        counters="; ".join(f"{c.name}={p:.6g}" for c, p in zip(
            found.counters if found else (), powers, strict=True)),
        flags="; ".join(flag for flag, set_ in flags.items() if set_))


def _enough(window, times, spent, seconds, relative_error):
    if spent < seconds or len(times) < 2:
        return False
    if not window.meter or spent >= LONGEST * seconds:
        return True
    if window.updates() < 2:
        return spent >= seconds + WAIT_S
    return window.error() <= relative_error


def idle(seconds=2.0, meter="auto") -> Measurement:
    """Return the measurement of a step that sleeps: the device's idle baseline.

    Its power is ``power_w``. Parameters and errors as for `measure`.
    """
    return measure(lambda: time.sleep(CHUNK_S), seconds, warmup_s=CHUNK_S, meter=meter)


def _warm_up(fn, seconds):
    """Call fn until its time is steady; return (seconds of a step, steps, whether it was)."""
    _run(fn, 1)  # traces, compiles, allocates
    times, begin = [], time.perf_counter()
    while True:
        before = time.perf_counter()
        _run(fn, 1)
        times.append(time.perf_counter() - before)
        spent = time.perf_counter() - begin
        if spent >= seconds and len(times) >= 2:
            half = len(times) // 2
            early, late = (statistics.median(part) for part in (times[:half], times[half:]))
            steady = abs(late - early) <= STEADY * late
            if steady or spent >= LONGEST * seconds:
                return max(late, 1e-9), len(times) + 1, steady


def _run(fn, times):
    for _ in range(times):
        result = fn()
    _to_host(result)


def _to_host(result):
    """Copy the tensors of a result, in whatever tree, to the host: that waits for the device."""
    if isinstance(result, dict):
        result = tuple(result.values())
    if isinstance(result, list | tuple):
        for part in result:
            _to_host(part)
    elif hasattr(result, "detach"):  # PyTorch
        result.detach().cpu()
    elif hasattr(result, "numpy"):  # TensorFlow, whose scalars in bfloat16 are no arrays to NumPy
        result.numpy()
    elif hasattr(result, "__array__"):  # JAX
        np.asarray(result)
