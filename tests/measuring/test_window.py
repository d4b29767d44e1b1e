"""Windows on simulated counters of known power, on a clock of the test's and in real time."""

import dataclasses
import statistics
import threading
import time

import pytest
from simulated_counters import WATTS, Device, Writer, fake_nvml, powercap_tree

from tostoolkit.measuring import meters as energy_meters
from tostoolkit.measuring.counters import MeterError, together
from tostoolkit.measuring.meters import MeterKind
from tostoolkit.measuring.window import Window


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
    with pytest.raises(MeterError, match="None of the list is not a meter here"):
        Window([mine, None])


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
