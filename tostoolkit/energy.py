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

from .energy_meters import MeterError, Tally, cpu_name, find_meter, meters

__all__ = ["Measurement", "MeterError", "Window", "idle", "measure", "meters"]

CHUNK_S = 0.05  # of steps between two looks at the clock
WAIT_S = 0.5  # for the counter to advance, at either end of the window
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
        Times that the counter was seen to advance in the window.
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


class Window:
    """Energy of a block of code: the counter is watched while it runs.

    Parameters
    ----------
    meter : {"auto", "nvml", "rapl", "zeus"}, Meter, list or None
        As for `energy_meters.find_meter`.

    Attributes
    ----------
    energy_j, time_s, power_w : float
        Of the block, once it ended. NaN where there is no meter or the counter did not advance
        twice; `missing` says why.
    edges : list of (float, float, tuple)
        Seconds (of ``time.perf_counter``), half the time between the two readings that the
        counter advanced between, and joules by counter.

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
        self.edges, self._error = [], None
        self.energy_j = self.power_w = self.time_s = math.nan

    def __enter__(self):
        if self.meter:
            self.tally = Tally(self.meter)
            self._stop = threading.Event()
            self._switch = sys.getswitchinterval()
            sys.setswitchinterval(SWITCH_S)
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        self.start = time.perf_counter()
        return self

    def __exit__(self, kind, error, trace):
        self.close()
        if kind is None:
            self.check()

    def close(self):
        """End the window; what it measured is then known."""
        self.end = time.perf_counter()
        self.time_s = self.end - self.start
        if self.meter:
            self._stop.set()
            self._thread.join()
            sys.setswitchinterval(self._switch)
            self.power_w = self.power()
            self.energy_j = self.power_w * self.time_s
            if math.isnan(self.energy_j) and not self.missing:
                self.missing = (f"{self.meter.name}: the counter did not advance twice in "
                                f"{self.time_s:.2f} s")

    def check(self):
        """Raise what the counter raised since the window opened."""
        if self._error:
            raise self._error

    def between(self):
        """Return the advances within the window."""
        edges = [edge for edge in list(self.edges) if edge[0] >= self.start]
        return edges if len(edges) > 1 else []

    def power(self) -> float:
        """Return the mean power between the first and last advance so far, in watts."""
        return sum(self.powers()) if self.between() else math.nan

    def powers(self) -> list[float]:
        """Return the mean power of each counter, in watts."""
        edges = self.between()
        if not edges:
            return [math.nan for _ in self.meter.counters]
        (first, _, before), (last, _, after) = edges[0], edges[-1]
        return [(b - a) / (last - first) for a, b in zip(before, after, strict=True)]

    def error(self) -> float:
        """Return the bound of the relative error of the power so far."""
        edges = self.between()
        if not edges:
            return math.inf
        return (edges[0][1] + edges[-1][1]) / (edges[-1][0] - edges[0][0])

    def _watch(self):
        """Note when the counter advances; sleep while it is not about to."""
        try:
            interval = math.inf
            while not self._stop.is_set():
                edge = self._next_advance(interval)
                if edge is None:
                    break
                if self.edges:
                    interval = min(interval, edge[0] - self.edges[-1][0])
                self.edges.append(edge)
                if len(self.edges) > 4:  # a counter of milliseconds needs a look every 20 ms
                    self._stop.wait(max(0.8 * interval, 0.02))
            if interval < 0.01 and self.end - self.start > 0.02:  # on to the end of the window
                self._stop.clear()
                edge = self._next_advance(interval, time.perf_counter() + 4 * interval)
                if edge:
                    self.edges.append(edge)
        except Exception as error:  # it is the measuring thread's to raise
            self._error = error

    def _next_advance(self, interval, deadline=math.inf):
        gap = min(0.0005 if len(self.edges) > 4 else 0.0001, interval / 50)
        seen, before = self.tally.updates, time.perf_counter()
        first = True
        while not self._stop.is_set() and before < deadline:
            self.tally.advance()
            after = time.perf_counter()
            if self.tally.updates > seen:
                if not first:
                    joules = tuple(self.tally.by_counter)
                    return (before + after) / 2, (after - before) / 2, joules
                seen = self.tally.updates  # it advanced while nobody looked: when is not known
            first, before = False, after
            if gap > 0.00005:
                time.sleep(gap)
        return None


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
    window = Window(meter)
    step_s, warmup_steps, steady = _warm_up(fn, warmup_s)
    chunk = max(1, round(min(CHUNK_S, seconds / 4) / step_s))
    steps, times = 0, []
    with window:
        last = window.start
        while True:
            _run(fn, chunk)
            now = time.perf_counter()
            steps += chunk
            times.append((now - last) / chunk)
            last = now
            window.check()
            if len(times) > 1 and _enough(window, now - window.start, seconds, relative_error):
                break
    return _measurement(window, steps, times, warmup_steps, steady, relative_error)


def _enough(window, spent, seconds, relative_error):
    if spent < seconds:
        return False
    if not window.meter or spent >= LONGEST * seconds:
        return True
    if len(window.edges) < 2:
        return spent >= seconds + WAIT_S
    return window.error() <= relative_error


def _measurement(window, steps, times, warmup_steps, steady, relative_error):
    found = window.meter
    spread = statistics.stdev(times) / statistics.mean(times)
    updates = len(window.between())
    error = window.error() if updates else math.nan
    flags = [] if steady else ["unsteady warm-up"]
    flags += ["noisy time"] if spread > 0.2 else []
    if found and updates:
        flags += ["few updates"] if window.tally.updates < 5 else []
        flags += ["coarse"] if error > relative_error else []
    names = [c.name for c in found.counters] if found else []
    return Measurement(
        energy_j=window.power_w * window.time_s / steps, time_s=window.time_s / steps,
        missing=window.missing, steps=steps, window_s=window.time_s, time_spread=spread,
        warmup_steps=warmup_steps,
        counter_updates=window.tally.updates if found else 0,
        meter=found.name if found else "none",
        device=found.device if found else cpu_name(),
        driver=found.driver if found else "",
        temperature_c=found.temperature() if found else math.nan,
        clock_mhz=found.clock() if found else math.nan,
        power_w=window.power_w, energy_error=error,
        counters="; ".join(f"{n}={p:.6g}" for n, p in zip(names, window.powers(), strict=True))
        if found and updates else "",
        flags="; ".join(flags))


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
    if result is not None and "keras" in sys.modules:
        import keras

        keras.tree.map_structure(
            lambda x: keras.ops.convert_to_numpy(x) if keras.ops.is_tensor(x) else x, result)
