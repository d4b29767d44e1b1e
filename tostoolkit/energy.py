"""Energy and time of a step, measured over a window of repeated steps.

A step is called over and over. The window opens at an update of the energy counter, lasts at least
`seconds`, and closes at an update, so that a counter that advances every 100 ms does not cut part
of the energy off. Nothing is modelled: with no meter `Measurement.energy_j` is missing.
"""

import math
import statistics
import sys
import time
from dataclasses import asdict, dataclass

from .energy_meters import MeterError, Tally, cpu_name, find_meter, meters

__all__ = ["Measurement", "MeterError", "idle", "measure", "meters"]

CHUNK_S = 0.05  # between two looks at the counter: several looks per update of NVML's
WAIT_S = 0.5  # for an update of the counter, at either end of the window


@dataclass(frozen=True)
class Measurement:
    """What one window measured.

    Attributes
    ----------
    energy_j : float
        Joules of a step: those of the window over its steps. NaN where there is no meter.
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

    def row(self) -> dict:
        """Return the fields as a row of a runs file."""
        return asdict(self)


def measure(fn, seconds=2.0, warmup_s=0.5, meter="auto", clock=time.perf_counter) -> Measurement:
    """Return the energy and the time of one call of `fn`.

    ``energy_j = (E(end) - E(start)) / steps`` and ``time_s = (t(end) - t(start)) / steps``. The
    warm-up lasts at least `warmup_s`, and on until the time of a step is steady to 10 % or ten
    times `warmup_s` have passed. Every 50 ms a result is brought to the host, so that no work is
    left in a device's queue when the window closes.

    Parameters
    ----------
    fn : callable
        One step, without arguments; returns its result (a tensor, several in a tree, or None).
    seconds : float
        Least length of the window. NVML's counter advances about every 100 ms, 5 % of 2 s. (Power
        sampled instead of counted misses three quarters of the time on A100 and H100: Yang, Adamek,
        Armour, "Part-time Power Measurements", arXiv:2312.02741, abstract.)
    warmup_s : float
    meter : {"auto", "nvml", "rapl"}, Meter or None
        As for `energy_meters.find_meter`.
    clock : callable
        Returns seconds.

    Raises
    ------
    TypeError
        `fn` cannot be called.
    ValueError
        A length that is not positive; an unknown meter.
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
    for name, value in (("seconds", seconds), ("warmup_s", warmup_s)):
        if not (isinstance(value, int | float) and 0 < value < math.inf):
            raise ValueError(f"{name}: {value!r} is no positive number of seconds")
    found, missing = find_meter(meter)
    step_s, warmup_steps = _warm_up(fn, warmup_s, clock)
    chunk = max(1, round(CHUNK_S / step_s))
    tally = Tally(found) if found else None
    if tally:
        warmup_steps += _until_update(fn, chunk, tally, clock)[0]
        tally.joules, tally.updates = 0.0, 0
    steps, chunks = 0, []
    start = last = clock()
    while last - start < seconds or len(chunks) < 2:
        _run(fn, chunk)
        now = clock()
        steps += chunk
        chunks.append((now - last) / chunk)
        last = now
        if tally:
            tally.advance()
    energy = math.nan
    if tally:
        more, end = _until_update(fn, chunk, tally, clock)
        steps, last = steps + more, end
        if tally.updates:
            energy = tally.joules / steps
        else:
            missing = f"{found.name}: the counter did not advance in {last - start:.2f} s"
    return Measurement(
        energy_j=energy, time_s=(last - start) / steps, missing=missing, steps=steps,
        window_s=last - start,
        time_spread=statistics.stdev(chunks) / statistics.mean(chunks),
        warmup_steps=warmup_steps,
        counter_updates=tally.updates if tally else 0,
        meter=found.name if found else "none",
        device=found.device if found else cpu_name(),
        driver=found.driver if found else "",
        temperature_c=found.temperature() if found else math.nan)


def idle(seconds=2.0, meter="auto") -> Measurement:
    """Return the measurement of a step that sleeps: the device's idle baseline.

    Its power is ``energy_j / time_s``, in watts. Parameters and errors as for `measure`.
    """
    return measure(lambda: time.sleep(CHUNK_S), seconds, warmup_s=CHUNK_S, meter=meter)


def _warm_up(fn, seconds, clock):
    """Call fn until its time is steady; return (seconds of a step, steps)."""
    _run(fn, 1)  # traces, compiles, allocates
    times, begin = [], clock()
    while True:
        before = clock()
        _run(fn, 1)
        times.append(clock() - before)
        spent = clock() - begin
        if spent >= seconds and len(times) >= 2:
            half = len(times) // 2
            early, late = (statistics.median(part) for part in (times[:half], times[half:]))
            if abs(late - early) <= 0.1 * late or spent >= 10 * seconds:
                return max(late, 1e-9), len(times) + 1


def _until_update(fn, chunk, tally, clock):
    """Go on until the counter advances, but not for long; return (steps, the time of it)."""
    seen, begin, steps = tally.updates, clock(), 0
    while True:
        _run(fn, chunk)
        steps += chunk
        tally.advance()
        now = clock()
        if tally.updates > seen or now - begin > WAIT_S:
            return steps, now


def _run(fn, times):
    for _ in range(times):
        result = fn()
    _to_host(result)


def _to_host(result):
    if result is not None and "keras" in sys.modules:
        import keras

        keras.tree.map_structure(
            lambda x: keras.ops.convert_to_numpy(x) if keras.ops.is_tensor(x) else x, result)
