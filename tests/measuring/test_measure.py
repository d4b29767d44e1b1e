"""Meters and the window, against simulated counters of known power."""

import dataclasses
import math
import statistics
import threading
import time

import pytest
from simulated_counters import WATTS, Device, Writer, fake_nvml, powercap_tree

import tostoolkit as tos
from tostoolkit.measuring import measure as energy
from tostoolkit.measuring import meters as energy_meters
from tostoolkit.measuring.meters import Counter, Meter, MeterError, Tally
from tostoolkit.measuring.window import Window


def step():
    time.sleep(0.002)


def windows(meter, seconds, n):
    """Return (relative error, bound of it) of n windows on a meter of known power."""
    watts = WATTS * len(meter.counters)
    found = []
    for _ in range(n):
        with Window(meter) as window:
            time.sleep(seconds)
        found.append((window.energy_j / (watts * window.time_s) - 1, window.error()))
    return found


@pytest.mark.parametrize(("every_s", "seconds", "n", "limit"), [
    (0.1, 1.0, 3, 0.002), (0.02, 1.0, 3, 0.002), (0.001, 1.0, 3, 0.002), (0.001, 0.05, 9, 0.01),
])
def test_known_power_is_recovered(every_s, seconds, n, limit):
    """The median, since a machine that is busy delays readings; the bound knows that it did."""
    found = windows(Device(every_s).meter(), seconds, n)
    assert statistics.median(abs(error) for error, _ in found) <= limit
    assert all(abs(error) <= bound for error, bound in found)


@pytest.mark.parametrize(("seconds", "n", "limit"), [(1.0, 3, 0.002), (0.05, 9, 0.01)])
def test_known_power_is_recovered_from_powercap_files(tmp_path, seconds, n, limit):
    with Writer(powercap_tree(tmp_path)):
        found = windows(energy_meters.rapl((tmp_path,)), seconds, n)
    assert statistics.median(abs(error) for error, _ in found) <= limit


def test_known_power_is_recovered_from_nvml(monkeypatch):
    fake_nvml(monkeypatch, [Device(), Device(every_s=0.07)])
    found = windows(energy_meters.find_meter(["nvml:0", "nvml:1"])[0], 1.0, 3)
    assert statistics.median(abs(error) for error, _ in found) <= 0.002


def test_idle_time_around_a_window_is_not_in_it():
    """A counter of 100 ms shows idle power in its first update; the window knows when it began."""
    device = Device(every_s=0.1, idle_w=10.0)
    time.sleep(0.25)
    worker = threading.Thread(target=device.work, args=(1.5,))
    worker.start()
    time.sleep(0.06)
    with Window(device.meter()) as window:
        time.sleep(1.0)
    worker.join()
    assert window.power_w == pytest.approx(WATTS, rel=0.1)  # one update in ten is part idle
    slow = window.trace()
    assert len(slow) >= 8
    assert slow.power_w[2:].to_numpy() == pytest.approx(WATTS, rel=0.1)


def test_restart_leaves_out_what_was_before():
    """A warm-up at 10 W is no part of the window that begins after it."""
    device = Device(every_s=0.02, idle_w=10.0)
    worker = threading.Thread(target=device.work, args=(0.9,))
    with Window(device.meter()) as window:
        time.sleep(0.4)
        worker.start()
        window.restart()
        time.sleep(0.6)
    worker.join()
    assert window.power_w == pytest.approx(WATTS, rel=0.1)
    assert window.trace().time_s.min() >= 0


def test_wrap_in_a_window_changes_nothing():
    device = Device(every_s=0.02, wraps_at=262_143.0, start_j=262_110.0)
    (error, bound), = windows(device.meter(), 1.0, 1)
    assert device.joules() < 262_000  # it did wrap
    assert abs(error) <= bound < 0.01


def test_counters_with_intervals_of_their_own_are_added():
    """A counter of 100 ms beside one of 1 ms: each has its own moments, or 10 % would be lost."""
    slow, fast = Device(0.1), Device(0.001, watts=50.0)
    meter = energy_meters.together(slow.meter(), fast.meter("rapl"))
    m = tos.measure(step, seconds=1.0, warmup_s=0.1, meter=meter)
    assert m.power_w == pytest.approx(150, rel=0.003)
    assert m.energy_j == pytest.approx(m.power_w * m.time_s)
    assert m.meter == "nvml+rapl"
    assert m.counters.startswith("gpu-0=")
    assert m.counter_updates in range(8, 13)


def test_a_window_closes_what_it_opened_and_nothing_else(monkeypatch):
    closed = []
    mine = dataclasses.replace(Device(0.01).meter(), close=lambda: closed.append("mine"))
    own = dataclasses.replace(Device(0.01).meter("rapl"), close=lambda: closed.append("own"))
    monkeypatch.setattr(energy_meters, "METERS", {"rapl": lambda: own})
    for meter in (mine, [mine], [mine, mine]):
        with Window(meter):
            pass
    assert closed == []
    for meter in ("rapl", [mine, "rapl"]):
        with Window(meter):
            pass
    assert closed == ["own", "own"]
    with pytest.raises(MeterError, match="None of the list is none here"):
        Window([mine, None])


def test_measure_says_what_it_saw():
    m = tos.measure(step, seconds=0.5, warmup_s=0.1, meter=Device(0.02).meter())
    assert m.window_s >= 0.5
    assert m.time_s == pytest.approx(m.window_s / m.steps)
    assert m.time_s >= 0.002
    assert m.power_w == pytest.approx(WATTS, rel=0.01)
    assert 10 <= m.counter_updates <= 30
    assert 0 < m.energy_error < 0.01
    assert m.missing == ""


def test_window_goes_on_until_its_error_is_what_was_asked_for():
    short = tos.measure(step, 0.1, 0.1, meter=Device(0.02).meter(), relative_error=0.5)
    long = tos.measure(step, 0.1, 0.1, meter=Device(0.02).meter(), relative_error=0.0015)
    assert long.window_s > 2 * short.window_s
    assert long.energy_error <= 0.0015 or "coarse" in long.flags


def test_quality_flags():
    times = iter([0.001] * 400 + [0.02, 0.0001] * 10**4)
    m = tos.measure(lambda: time.sleep(next(times)), 0.35, 0.1, meter=Device(0.1).meter(),
                    relative_error=1e-9)
    assert "coarse" in m.flags
    short = tos.measure(step, 0.25, 0.05, meter=Device(0.1).meter(), relative_error=0.5)
    assert "few updates" in short.flags
    slower = iter(x * 1e-4 for x in range(10**6))
    assert "unsteady warm-up" in tos.measure(
        lambda: time.sleep(next(slower)), 0.2, 0.02, meter=None).flags


def test_trace_is_power_over_time():
    with Window(Device(0.02).meter()) as window:
        time.sleep(0.5)
    trace = window.trace()
    assert trace.columns.tolist() == ["counter", "time_s", "power_w"]
    assert trace.time_s.is_monotonic_increasing
    assert trace.time_s.between(0, window.time_s).all()
    assert trace.power_w.mean() == pytest.approx(WATTS, rel=0.02)


def tally(*readings, wraps_at=math.inf):
    return Tally(Counter("package-0", iter(readings).__next__, wraps_at))


def test_counter_that_wraps_twice():
    wrapping = tally(90.0, 30.0, 75.0, 75.0, 5.0, wraps_at=100.0)
    assert [(wrapping.advance(), wrapping.joules) for _ in range(4)] == [
        (True, 40.0), (True, 85.0), (False, 85.0), (True, 115.0)]


@pytest.mark.parametrize("wraps_at", [100.0, math.inf])
def test_counter_that_goes_back_a_little_did_not_wrap(wraps_at):
    with pytest.raises(MeterError, match="went back from 50 J to 49 J"):
        tally(50.0, 49.0, wraps_at=wraps_at).advance()


def test_stuck_counter_is_missing_and_not_zero():
    m = tos.measure(step, 0.1, 0.05, meter=Device(watts=0.0).meter())
    assert math.isnan(m.energy_j)
    assert math.isnan(m.power_w)
    assert "gpu-0 did not advance twice" in m.missing
    assert m.time_s >= 0.002


def test_one_stuck_counter_of_two_is_missing_and_named():
    meter = energy_meters.together(
        Device(0.01).meter(), Meter("rapl", "", "", (Counter("dram", lambda: 5.0),)))
    m = tos.measure(step, 0.1, 0.05, meter=meter)
    assert math.isnan(m.energy_j)
    assert m.missing.startswith("nvml+rapl: dram did not advance")


def test_counter_that_fails_in_the_window_is_an_error():
    device, begun = Device(0.01), time.perf_counter()

    def read():
        if time.perf_counter() > begun + 0.3:
            raise OSError("GPU is lost")
        return device.joules()

    with pytest.raises(MeterError, match=r"gpu-0: the energy counter cannot be read.*GPU is lost"):
        tos.measure(step, meter=Meter("nvml", "", "", (Counter("gpu-0", read),)))
    with (pytest.raises(MeterError, match="GPU is lost"),
          Window(Meter("nvml", "", "", (Counter("gpu-0", read),)))):
        pass


def test_error_in_the_block_is_the_one_raised_and_the_thread_ends():
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), Window(Device(0.01).meter()):
        1 / 0  # noqa: B018
    assert threading.active_count() == before


def test_empty_window_costs_little():
    """Opening and closing, by the processor's time: under a millisecond."""
    meter = Device(0.001).meter()
    begun = time.process_time()
    for _ in range(200):
        with Window(meter):
            pass
    assert (time.process_time() - begun) / 200 < 1e-3


def test_no_meter_means_missing_with_the_reason(monkeypatch):
    def absent():
        raise MeterError("nvml: none here")

    monkeypatch.setattr(energy_meters, "METERS", {"nvml": absent})
    monkeypatch.setattr(energy_meters, "computes_on_gpu", lambda: True)
    m = tos.measure(lambda: None, seconds=0.05, warmup_s=0.01)
    assert math.isnan(m.energy_j)
    assert m.missing == "nvml: none here"
    assert m.meter == "none"
    assert m.counters == ""
    assert m.time_s > 0
    assert tos.meters().loc["nvml"].tolist() == [False, "", "", "nvml: none here"]
    with pytest.raises(MeterError, match="none here"):
        tos.measure(lambda: None, meter="nvml")


def test_idle_baseline_is_the_power_of_sleep():
    m = energy.idle(0.3, Device(0.01).meter())
    assert m.time_s >= energy.CHUNK_S
    assert m.power_w == pytest.approx(WATTS, rel=0.01)


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
    assert hasattr(x, "numpy") or hasattr(x, "__array__")  # what the copy relies on
    assert tos.measure(lambda: (x, None), seconds=0.1, warmup_s=0.01, meter=None).steps > 1


def test_rapl_adds_packages_and_memory_and_nothing_twice(tmp_path):
    powercap = powercap_tree(tmp_path)
    meter = energy_meters.rapl((powercap / "none", powercap))
    assert [c.name for c in meter.counters] == [
        "intel-rapl:0 package-0", "intel-rapl:0:1 dram", "intel-rapl:1 package-1"]
    assert [c.read() for c in meter.counters] == [1.0, 1.0, 1.0]
    assert meter.counters[0].wraps_at == 262143.32885
    file = powercap / "intel-rapl:0" / "energy_uj"
    file.write_text("262143000000\n")
    package = Tally(meter.counters[0])
    file.write_text("500000\n")
    assert package.advance()
    assert package.joules == pytest.approx(0.5 + 0.32885)
    meter.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        meter.counters[0].read()


def test_unreadable_rapl_is_an_error_that_says_how_to_read_it(tmp_path):
    powercap_tree(tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    (tmp_path / "intel-rapl:0" / "energy_uj").mkdir()
    with pytest.raises(MeterError, match="sudo chmod a\\+r"):
        energy_meters.rapl((tmp_path,))


def test_no_powercap_is_an_error(tmp_path):
    with pytest.raises(MeterError, match="no CPU package"):
        energy_meters.rapl((tmp_path,))


def test_nvml_through_its_library(monkeypatch):
    fake_nvml(monkeypatch, [Device(), Device()])
    meter = energy_meters.nvml(0)
    assert (meter.device, meter.driver) == ("NVIDIA H200", "NVIDIA 570.1")
    assert (meter.temperature(), meter.clock()) == (41.0, 1980.0)
    assert [c.name for c in energy_meters.nvml("GPU-1").counters] == ["gpu-1"]  # one name a GPU
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert [c.name for c in energy_meters.nvml().counters] == ["gpu-1"]


def test_zeus_is_one_entry_and_says_when_it_is_not_here(monkeypatch):
    import sys
    from types import ModuleType, SimpleNamespace

    monkeypatch.setitem(sys.modules, "zeus.device", None)
    with pytest.raises(MeterError, match=r"tostoolkit\[zeus\]"):
        energy_meters.zeus()
    gpus = SimpleNamespace(get_total_energy_consumption=lambda i: 2500 + i,
                           get_name=lambda i: "AMD Instinct MI300X")
    module = ModuleType("zeus.device")
    module.get_gpus = lambda: gpus
    monkeypatch.setitem(sys.modules, "zeus.device", module)
    monkeypatch.setattr(energy_meters, "version", lambda name: "0.12")
    meter = energy_meters.zeus(1)
    assert (meter.device, meter.counters[0].read()) == ("AMD Instinct MI300X", 2.501)


@pytest.mark.parametrize(("kwargs", "word"), [
    ({"seconds": 0}, "seconds: 0"), ({"warmup_s": "1"}, "warmup_s: '1'"),
    ({"meter": "watts"}, "meter: 'watts' is unknown"), ({"seconds": math.inf}, "seconds: inf"),
    ({"meter": []}, "meter: the list is empty"), ({"meter": "rapl:1"}, "rapl counts all packages"),
    ({"relative_error": -1}, "relative_error: -1"),
])
def test_bad_argument_is_named(kwargs, word):
    with pytest.raises(ValueError, match=word):
        tos.measure(lambda: None, **kwargs)


def test_step_that_cannot_be_called():
    with pytest.raises(TypeError, match="fn: 3 cannot be called"):
        tos.measure(3)
