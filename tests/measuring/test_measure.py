"""Meters and the window, against simulated counters of known power."""

import dataclasses
import math
import statistics
import threading
import time

import pytest
from simulated_counters import WATTS, Clock, Device, Writer, fake_nvml, powercap_tree

import tostoolkit as tos
from tostoolkit.measuring import measure as energy
from tostoolkit.measuring import meters as energy_meters
from tostoolkit.measuring import window as energy_window
from tostoolkit.measuring.counters import Counter, Meter, MeterError, Tally, together
from tostoolkit.measuring.meters import MeterKind
from tostoolkit.measuring.window import Window


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


def windows(meter, seconds, n):
    """Return (relative error, bound of it) of n windows of real time on a meter of known power."""
    watts = WATTS * len(meter.counters)
    errors = []
    for _ in range(n):
        with Window(meter) as window:
            time.sleep(seconds)
        errors.append((window.energy_j / (watts * window.time_s) - 1, window.error()))
    return errors


def bound(every_s, updates):
    """Return the bound of the error that the looks at a counter of this interval leave.

    The first advance falls between two looks 0.1 ms apart; the second, before which the interval
    is not known, between two 0.5 ms apart; later ones between two that are a fiftieth of it apart,
    0.5 ms at most. Each is known to half of that.
    """
    last = 5e-4 if updates == 2 else min(5e-4, every_s / 50)
    return (1e-4 + last) / 2 / ((updates - 1) * every_s)


@pytest.mark.parametrize(("every_s", "seconds", "updates"), [
    (0.1, 1.05, 10), (0.02, 1.01, 50), (0.1, 0.25, 2), (0.02, 0.05, 2), (0.5, 2.6, 5)])
def test_known_power_is_recovered_within_the_bound(clock, every_s, seconds, updates):
    with Window(Device(every_s, clock=clock).meter()) as window:
        clock.sleep(seconds)
    assert window.time_s == pytest.approx(seconds)
    assert window.updates() == updates
    assert window.error() == pytest.approx(bound(every_s, updates), rel=0.02)
    assert abs(window.power_w / WATTS - 1) <= window.error()
    assert window.energy_j == pytest.approx(window.power_w * seconds)


def test_a_fast_counter_is_left_alone_between_looks(clock):
    """It advances every millisecond; 50 looks at each would be 50,000 a second."""
    device = Device(0.001, clock=clock)
    with Window(device.meter()) as window:
        clock.sleep(1.0)
    assert abs(window.power_w / WATTS - 1) <= window.error() < 2e-3
    assert device.readings < 6000  # at one advance in ten: once in `REST_S`


def test_the_bound_of_several_counters_is_that_of_their_sum(clock):
    """100 W every 100 ms beside 50 W every 20 ms: (100 e1 + 50 e2) / 150."""
    meter = together(Device(0.1, clock=clock).meter(),
                     Device(0.02, watts=50.0, clock=clock).meter("rapl"))
    with Window(meter) as window:
        clock.sleep(1.05)
    assert window.powers() == pytest.approx([100.0, 50.0], rel=1e-3)
    assert window.error() == pytest.approx((100 * bound(0.1, 10) + 50 * bound(0.02, 52)) / 150,
                                           rel=0.02)


@pytest.mark.parametrize(("seconds", "n", "limit"), [(1.0, 3, 0.002), (0.05, 9, 0.01)])
def test_known_power_is_recovered_from_powercap_files(tmp_path, seconds, n, limit):
    with Writer(powercap_tree(tmp_path)):
        found = windows(energy_meters.rapl((tmp_path,)), seconds, n)
    assert statistics.median(abs(error) for error, _ in found) <= limit


def test_known_power_is_recovered_from_nvml(monkeypatch):
    fake_nvml(monkeypatch, [Device(), Device(every_s=0.07)])
    found = windows(energy_meters.find_meter(["nvml:0", "nvml:1"])[0], 1.0, 3)
    assert statistics.median(abs(error) for error, _ in found) <= 0.002


def test_idle_time_around_a_window_is_not_in_it(clock):
    """Work begins 60 ms before the window and 10 ms into an interval of the counter, whose first
    advance in the window is therefore part idle; the power is that from there on.
    """
    device = Device(0.1, watts=10.0, clock=clock)
    clock.sleep(0.25)
    device.set_power(WATTS)
    clock.sleep(0.06)
    with Window(device.meter()) as window:
        clock.sleep(1.0)
    assert abs(window.power_w / WATTS - 1) <= window.error()
    trace = window.trace()
    assert len(trace) == 9
    assert trace.power_w.to_numpy() == pytest.approx(WATTS, rel=0.01)


def test_restart_leaves_out_what_was_before(clock):
    """A warm-up at 10 W is no part of the window that begins after it."""
    device = Device(0.02, watts=10.0, clock=clock)
    with Window(device.meter()) as window:
        clock.sleep(0.41)
        device.set_power(WATTS)
        clock.sleep(0.02)
        window.restart()
        clock.sleep(0.6)
    assert window.time_s == pytest.approx(0.6)
    assert abs(window.power_w / WATTS - 1) <= window.error() < 1e-3
    assert window.trace().time_s.between(0, 0.6).all()


def test_wrap_in_a_window_changes_nothing(clock):
    device = Device(0.02, wraps_at=262_143.0, start_j=262_110.0, clock=clock)
    with Window(device.meter()) as window:
        clock.sleep(1.0)
    assert device.joules() < 262_000  # it did wrap
    assert abs(window.power_w / WATTS - 1) <= window.error() < 1e-3


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


def test_a_window_closes_what_it_opened_and_nothing_else(monkeypatch):
    closed = []
    mine = dataclasses.replace(Device(0.01).meter(), close=lambda: closed.append("mine"))
    own = dataclasses.replace(Device(0.01).meter("rapl"), close=lambda: closed.append("own"))
    monkeypatch.setattr(energy_meters, "METERS", {"rapl": MeterKind(lambda: own, of_gpu=False)})
    for meter in (mine, [mine], [mine, mine]):
        with Window(meter):
            pass
    assert closed == []
    for meter in ("rapl", [mine, "rapl"]):
        with Window(meter):
            pass
    assert closed == ["own", "own"]
    with pytest.raises(MeterError, match="None of the list is no meter here"):
        Window([mine, None])


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


def test_trace_is_power_over_time(clock):
    """Of four advances, at 20, 40, 60 and 80 ms: three stretches of known power."""
    device = Device(0.02, clock=clock)
    with Window(device.meter()) as window:
        for watts in (100.0, 300.0, 200.0, 50.0):
            device.set_power(watts)
            clock.sleep(0.02)
        clock.sleep(0.005)
    trace = window.trace()
    assert trace.columns.tolist() == ["counter", "time_s", "power_w"]
    assert trace.time_s.to_numpy() == pytest.approx([0.03, 0.05, 0.07], abs=5e-4)
    assert trace.power_w.to_numpy() == pytest.approx([300.0, 200.0, 50.0], rel=0.02)


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


@pytest.mark.parametrize(("reading", "word"), [
    (math.nan, "it reads nan"), (math.inf, "it reads inf"), (None, "NoneType"), ("n/a", "'n/a'")])
def test_counter_that_reads_no_number_is_an_error(reading, word):
    """NaN in the middle of a window made the energy NaN, and no reason was given."""
    with pytest.raises(MeterError, match=f"package-0: .* cannot be read .*{word}"):
        tally(1.0, reading, 3.0).advance()


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


def test_error_in_the_block_is_the_one_raised_and_the_thread_ends():
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), Window(Device(0.01).meter()):
        1 / 0  # noqa: B018
    assert threading.active_count() == before


def test_empty_window_reads_each_counter_twice(clock):
    """What it costs beyond that, `benchmarks/bench_meters.py` shows."""
    device = Device(0.001, clock=clock)
    for _ in range(10):
        with Window(device.meter()):
            pass
    assert device.readings == 20


def test_no_meter_means_missing_with_the_reason(monkeypatch):
    def absent():
        raise MeterError("nvml: none here")

    monkeypatch.setattr(energy_meters, "METERS", {"nvml": MeterKind(absent, of_gpu=True)})
    monkeypatch.setattr(energy_meters, "computes_on_gpu", lambda: True)
    m = tos.measure(lambda: None, seconds=0.05, warmup_s=0.01)
    assert math.isnan(m.energy_j)
    assert m.missing == Window().missing == "nvml: none here"
    assert Window().meter is None
    assert m.meter == "none"
    assert m.counters == ""
    assert m.time_s > 0
    assert tos.meters().loc["nvml"].tolist() == [False, "", "", "nvml: none here"]
    with pytest.raises(MeterError, match="none here"):
        tos.measure(lambda: None, meter="nvml")


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


def test_a_meter_from_outside_the_package_is_measured_and_listed(clock, step):
    """40 W, counted by a function; test_sweep.py sweeps with one."""
    plug = tos.Meter("plug", [("socket-1", lambda: 40.0 * round(clock.now, 2))],
                     device="my workstation", driver="firmware 1.2")
    m = tos.measure(step, 1.0, 0.1, meter=plug)
    assert abs(m.power_w / 40 - 1) <= m.energy_error < 0.01
    assert (m.meter, m.device, m.driver) == ("plug", "my workstation", "firmware 1.2")
    assert tos.meters(plug).loc["plug"].tolist() == [True, "my workstation", "socket-1", ""]
    with tos.Window(meter=[plug, plug]) as window:
        clock.sleep(1.0)
    assert window.power_w == pytest.approx(80, rel=0.01)


def test_a_meter_of_unknown_device_is_its_own():
    plug, other = (tos.Meter(name, [("socket-1", lambda: 1.0)]) for name in ("plug", "other"))
    assert plug.device == "plug"
    assert str(together(plug, other)) == "plug+other: plug + other (socket-1, socket-1)"


def test_a_meter_that_cannot_be_read_is_listed_with_the_reason():
    plug = tos.Meter("plug", [("socket-1", lambda: 1 / 0)])
    found, _, _, reason = tos.meters(plug).loc["plug"]
    assert not found
    assert "socket-1: the energy counter cannot be read (ZeroDivisionError" in reason
    with pytest.raises(TypeError, match=r"'plug' is not a tos\.Meter"):
        tos.meters("plug")


@pytest.mark.parametrize(("arguments", "error", "word"), [
    (("plug", []), ValueError, "counters: there are none"),
    (("plug", lambda: 1.0), TypeError, "counters: <function .* give"),
    (("plug", {"socket-1": lambda: 1.0}), TypeError, "counters: {'socket-1': .* give"),
    (("plug", [("socket-1",)]), TypeError, "counters: .*give"),
    (("plug", [("socket-1", 3.0)]), TypeError, r"\('socket-1', 3.0\) is not a name and a function"),
    (("plug", [(1, lambda: 1.0)]), TypeError, "is not a name and a function"),
    (("plug", [("socket-1", lambda: 1.0, 0.0)]), ValueError, "socket-1: wraps_at is 0.0"),
    (("plug", [("socket-1", lambda: 1.0, math.nan)]), ValueError, "wraps_at is nan"),
    (([("socket-1", lambda: 1.0)], "plug"), TypeError, "name: .* is not text"),
])
def test_a_meter_that_is_none_is_an_error_that_says_so(arguments, error, word):
    with pytest.raises(error, match=word):
        tos.Meter(*arguments)
