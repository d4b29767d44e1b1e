"""Measured steps: how long, how well known, and what is said where energy is missing."""

import math

import pytest
from simulated_counters import WATTS, Device

import tostoolkit as tos
from tostoolkit.measuring import measure as energy
from tostoolkit.measuring.counters import Meter, MeterError, together
from tostoolkit.measuring.window import Window


def test_counters_with_intervals_of_their_own_are_added(clock, step):
    """A counter of 100 ms beside one of 1 ms: each has its own moments, or 10 % would be lost."""
    slow, fast = Device(0.1, clock=clock), Device(0.001, watts=50.0, clock=clock)
    m = tos.measure(step, seconds=1.0, warmup_s=0.1,
                    meter=together(slow.meter(), fast.meter("rapl")))
    assert abs(m.power_w / 150 - 1) <= m.energy_error < 0.002
    assert m.energy_j == pytest.approx(m.power_w * m.time_s)
    assert m.meter == "nvml+rapl"
    assert m.counters.startswith("gpu-0=")
    assert m.counter_updates in (9, 10, 11)


def test_measure_says_what_it_saw(clock, step):
    m = tos.measure(step, seconds=0.5, warmup_s=0.1, meter=Device(0.02, clock=clock).meter())
    assert m.time_s == pytest.approx(0.002)
    assert m.steps == 250
    assert m.window_s == pytest.approx(0.5)
    assert m.time_spread == pytest.approx(0.0, abs=1e-9)
    assert m.warmup_steps == 51  # the first, which compiles, and 0.1 s of them
    assert m.counter_updates in (24, 25)
    assert m.energy_j == pytest.approx(WATTS * 0.002, rel=m.energy_error)
    assert m.energy_error == pytest.approx(4e-4 / 0.48, rel=0.05)  # known to 0.2 ms at each end
    assert (m.missing, m.flags) == ("", "")


@pytest.mark.parametrize(("asked", "window_s"), [
    (0.5, 0.1),  # at once
    (0.0015, 0.3),  # two advances, each known to 0.2 ms, 4e-4 / 0.0015 = 0.27 s apart
    (1e-9, 1.0),  # never: ten times `seconds`
])
def test_window_goes_on_until_its_error_is_what_was_asked_for(clock, step, asked, window_s):
    m = tos.measure(step, 0.1, 0.1, meter=Device(0.02, clock=clock).meter(), relative_error=asked)
    assert m.window_s == pytest.approx(window_s, abs=0.03)
    assert (m.energy_error <= asked) == (asked > 1e-9)
    assert ("coarse" in m.flags) == (asked == 1e-9)


def test_a_window_waits_for_a_slow_counter_to_advance_twice(clock, step):
    """0.2 s were asked for, of a counter of 300 ms; no longer than `WAIT_S` beyond."""
    kwargs = {"seconds": 0.2, "warmup_s": 0.1, "relative_error": 0.5}
    m = tos.measure(step, meter=Device(0.3, clock=clock).meter(), **kwargs)
    assert m.counter_updates == 2
    assert 0.3 < m.window_s <= 0.7
    m = tos.measure(step, meter=Device(2.0, clock=clock).meter(), **kwargs)
    assert m.window_s == pytest.approx(0.2 + energy.WAIT_S, abs=energy.CHUNK_S)
    assert "did not advance twice" in m.missing


def test_quality_flags(clock, step):
    def flags(fn, seconds, warmup_s=0.1, relative_error=0.5, meter=None):
        return tos.measure(fn, seconds, warmup_s, meter, relative_error).flags

    slow = Device(0.1, clock=clock).meter()
    assert flags(step, 0.35, relative_error=1e-9, meter=slow) == "coarse"
    assert flags(step, 0.25, meter=slow) == "few updates"
    assert flags(step, 0.65, meter=slow) == ""
    uneven = iter([0.001] * 120 + [0.1, 0.001] * 1000)
    assert flags(lambda: clock.sleep(next(uneven)), 0.35) == "noisy time"
    slower = iter(x * 1e-4 for x in range(1, 10**6))
    assert "unsteady warm-up" in flags(lambda: clock.sleep(next(slower)), 0.2, 0.02)


def test_stuck_counter_is_missing_and_not_zero(clock, step):
    m = tos.measure(step, 0.1, 0.05, meter=Device(watts=0.0, clock=clock).meter())
    assert math.isnan(m.energy_j)
    assert math.isnan(m.power_w)
    assert "gpu-0 did not advance twice" in m.missing
    assert m.time_s == pytest.approx(0.002)


def test_one_stuck_counter_of_two_is_missing_and_named(clock, step):
    meter = together(Device(0.01, clock=clock).meter(), Meter("rapl", [("dram", lambda: 5.0)]))
    m = tos.measure(step, 0.1, 0.05, meter=meter)
    assert math.isnan(m.energy_j)
    assert m.missing.startswith("nvml+rapl: dram did not advance")


def test_counter_that_fails_in_the_window_is_an_error(clock, step):
    device = Device(0.01, clock=clock)

    def read():
        if clock.now > 0.3:
            raise OSError("GPU is lost")
        return device.joules()

    with pytest.raises(MeterError, match=r"gpu-0: the energy counter cannot be read.*GPU is lost"):
        tos.measure(step, meter=Meter("nvml", [("gpu-0", read)]))
    assert 0.3 < clock.now < 1.0  # in the window, not at its end
    with (pytest.raises(MeterError, match="GPU is lost"),
          Window(Meter("nvml", [("gpu-0", read)]))):
        pass


def test_idle_baseline_is_the_power_of_sleep(clock):
    m = energy.idle(0.3, Device(0.01, clock=clock).meter())
    assert m.time_s == pytest.approx(energy.CHUNK_S)
    assert abs(m.power_w / WATTS - 1) <= m.energy_error < 0.01


class Tensor:
    """Counts how often it is brought to the host."""

    copies = 0

    def __array__(self, dtype=None, copy=None):
        import numpy as np

        Tensor.copies += 1
        return np.zeros(1)


def test_results_are_brought_to_the_host():
    m = tos.measure(lambda: {"y": [Tensor()]}, seconds=0.3, warmup_s=0.01, meter=None)
    assert Tensor.copies > 3
    assert m.steps > Tensor.copies


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_results_of_keras_are_brought_to_the_host(dtype):
    import keras

    x = keras.ops.sum(keras.ops.ones(3, dtype))  # a scalar in bfloat16 is a case of its own
    reads = {"tensorflow": "numpy", "jax": "__array__", "torch": "detach"}
    assert hasattr(x, reads[keras.backend.backend()])  # what the copy relies on
    assert tos.measure(lambda: (x, None), seconds=0.1, warmup_s=0.01, meter=None).steps > 1


@pytest.mark.parametrize(("kwargs", "word"), [
    ({"seconds": 0}, "seconds: 0"), ({"warmup_s": "1"}, "warmup_s: '1'"),
    ({"meter": "watts"}, "meter: 'watts' is unknown"), ({"seconds": math.inf}, "seconds: inf"),
    ({"meter": []}, "meter: the list is empty"),
    ({"meter": "rapl:1"}, "rapl counts the whole host"),
    ({"relative_error": -1}, "relative_error: -1"),
])
def test_bad_argument_is_named(kwargs, word):
    with pytest.raises(ValueError, match=word):
        tos.measure(lambda: None, **kwargs)


def test_step_that_cannot_be_called():
    with pytest.raises(TypeError, match="fn: 3 cannot be called"):
        tos.measure(3)
