"""A clock that the tests of windows and measured steps own, and runs that take no time."""

import math

import pytest
from simulated_counters import Clock

from tostoolkit.measuring import measure as energy
from tostoolkit.measuring import run as one_run
from tostoolkit.measuring import window as energy_window
from tostoolkit.measuring.measure import Measurement


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass in `clock.sleep` alone, for the package too."""
    clock = Clock()
    for module in (energy_window, energy):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(energy_window, "threading", clock)
    return clock


@pytest.fixture
def step(clock):
    """A step of 2 ms."""
    return lambda: clock.sleep(0.002)


@pytest.fixture
def instant(monkeypatch):
    """Measure nothing and at once; return the calls, one a run."""
    calls = []

    def measure(fn, seconds, meter):
        calls.append(fn)
        return Measurement(
            energy_j=math.nan, time_s=0.25 + len(calls), missing="no meter: a, \"b\"", steps=3,
            window_s=2.0, time_spread=0.1, warmup_steps=5, counter_updates=0, meter="none",
            device=one_run.cpu_name(), driver="", temperature_c=math.nan)

    monkeypatch.setattr(one_run, "measure", measure)
    monkeypatch.setattr(one_run, "_step", lambda row, *rest: row["configuration"])
    return calls
