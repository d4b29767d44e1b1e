"""Energy and time of a step, measured over a window of repeated steps.

Nothing is modelled: with no meter, or a counter that does not advance, `Measurement.energy_j` is
missing, and `Measurement.missing` says why.
"""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from .meters import MeterChoice, cpu_name
from .window import Window

CHUNK_S = 0.05  # of steps between two looks at the clock
WAIT_S = 0.5  # beyond `seconds`, for a counter to advance twice
LONGEST = 10  # times `seconds`, where the window is extended for the sake of the error
STEADY = 0.1  # relative change of the time of a step from which a warm-up is not over
CHUNKS = 4  # at least, in a window: one look at the clock says nothing of how steady it was
NOISY = 0.2  # relative standard deviation of the time of a step that is flagged
FEW = 5  # advances of a counter under which a window is flagged
SHORTEST_S = 1e-9  # of a step, where a clock of coarse steps shows none


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
    steps, warmup_steps : int
        In the window, and before it.
    window_s : float
        Seconds that the window lasted.
    time_spread : float
        Standard deviation of the time of a step over the window's looks at the clock, relative to
        `time_s`: how steady the machine was.
    counter_updates : int
        Advances of the counter that were timed in the window; of several, the least.
    meter, device, driver : str
    temperature_c, clock_mhz : float
        Of the device at the window's end, in degrees Celsius and megahertz; NaN where it does not
        say.
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


def measure(fn: Callable[[], object], seconds: float = 2.0, warmup_s: float = 0.5,
            meter: MeterChoice = "auto", relative_error: float = 0.005) -> Measurement:
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
        ``auto`` takes the GPU's where Keras computes on one, else the CPU's; ``nvml:1`` is GPU 1;
        the energies of a list are added; None measures time alone.
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
            raise ValueError(f"{name}: {value!r} is not a positive number")
    times = []
    with Window(meter) as window:
        step_s, warmup_steps, steady = _warm_up(fn, warmup_s)
        chunk = max(1, round(min(CHUNK_S, seconds / CHUNKS) / step_s))
        window.restart()
        last = window.start
        while not _enough(window, times, last - window.start, seconds, relative_error):
            _run(fn, chunk)
            now = time.perf_counter()
            times.append((now - last) / chunk)
            last = now
            window.check()
        instrument = window.meter
        temperature_c, clock_mhz = ((instrument.temperature(), instrument.clock()) if instrument
                                    else (math.nan, math.nan))
    steps = chunk * len(times)
    spread = statistics.stdev(times) / statistics.mean(times)
    updates, error, powers = window.updates(), window.error(), window.powers()
    flags = {"unsteady warm-up": not steady, "noisy time": spread > NOISY,
             "few updates": 0 < updates < FEW, "coarse": error > relative_error}
    return Measurement(
        energy_j=window.energy_j / steps, time_s=window.time_s / steps, missing=window.missing,
        steps=steps, window_s=window.time_s, time_spread=spread, warmup_steps=warmup_steps,
        counter_updates=updates, meter=instrument.name if instrument else "none",
        device=instrument.device if instrument else cpu_name(),
        driver=instrument.driver if instrument else "",
        temperature_c=temperature_c, clock_mhz=clock_mhz, power_w=window.power_w,
        energy_error=error,
        counters="; ".join(f"{c.name}={p:.6g}" for c, p in zip(
            instrument.counters if instrument else (), powers, strict=True)),
        flags="; ".join(flag for flag, set_ in flags.items() if set_))


def _enough(window, times, spent, seconds, relative_error):
    if spent < seconds or len(times) < 2:
        return False
    if not window.meter or spent >= LONGEST * seconds:
        return True
    if window.updates() < 2:
        return spent >= seconds + WAIT_S
    return window.error() <= relative_error


def idle(seconds: float = 2.0, meter: MeterChoice = "auto") -> Measurement:
    """Return the measurement of a step that sleeps: its `power_w` is the idle baseline."""
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
                return max(late, SHORTEST_S), len(times) + 1, steady


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
    elif hasattr(result, "numpy"):  # TensorFlow, NumPy cannot read its bfloat16 scalars
        result.numpy()
    elif hasattr(result, "__array__"):  # JAX
        np.asarray(result)
