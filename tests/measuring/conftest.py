"""A clock that the tests of windows and measured steps own."""

import pytest
from simulated_counters import Clock

from tostoolkit.measuring import measure as energy
from tostoolkit.measuring import window as energy_window


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
