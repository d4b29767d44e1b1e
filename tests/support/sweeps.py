"""Sweeps without a bar and a meter, and runs of a known length on a clock that is not real."""

from types import SimpleNamespace

import tostoolkit as tos
from tostoolkit.measuring import run as one_run
from tostoolkit.measuring import sweep
from tostoolkit.measuring.measure import Measurement


def quiet(model_set, out, **kwargs):
    return tos.run_sweep(model_set, out, progress=False, meter=None, **kwargs)


def metered(monkeypatch, run_s, idle_s):
    """Let runs and baselines take so many seconds of a clock that is not real; return it."""
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    numbers = {"missing": "", "steps": 3, "window_s": 2.0, "time_spread": 0.1, "warmup_steps": 5,
               "counter_updates": 9, "meter": "fake", "device": "d", "driver": "1",
               "temperature_c": 40.0, "time_s": 0.25}

    def measure(fn, seconds, meter):
        clock.now += run_s
        return Measurement(energy_j=7.5, power_w=30.0, **numbers)

    def idle(seconds, meter):
        clock.now += idle_s
        return Measurement(energy_j=1.0, power_w=10.0, **numbers)

    here = sweep.describe
    monkeypatch.setattr(sweep, "describe", lambda meter: {**here(meter), "meter": "fake"})
    monkeypatch.setattr(one_run, "measure", measure)
    monkeypatch.setattr(one_run, "idle", idle)
    monkeypatch.setattr(one_run, "_step", lambda *args: None)
    monkeypatch.setattr(sweep, "time", clock)
    monkeypatch.setattr(one_run, "time", clock)
    return clock
