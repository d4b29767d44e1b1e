"""Meters and the window, against simulated counters of known power."""

import math

import pytest

import tostoolkit as tos
from tostoolkit import energy, energy_meters
from tostoolkit.energy_meters import Counter, Meter, MeterError, Tally


class Machine:
    """A clock that a step moves on, and a counter of constant power that shows updates late."""

    def __init__(self, watts=100.0, step_s=0.004, every_s=0.1, wraps_at=math.inf, start_j=0.0):
        self.now, self.watts, self.step_s = 0.0, watts, step_s
        self.every_s, self.wraps_at, self.start_j = every_s, wraps_at, start_j

    def clock(self):
        return self.now

    def step(self):
        self.now += self.step_s

    def joules(self):
        shown = math.floor(self.now / self.every_s + 1e-9) * self.every_s
        return (self.start_j + self.watts * shown) % self.wraps_at

    def meter(self):
        return Meter("nvml", "a GPU", "driver 1", (Counter("gpu-0", self.joules, self.wraps_at),))

    def measure(self, **kwargs):
        return tos.measure(self.step, clock=self.clock, meter=self.meter(), **kwargs)


@pytest.mark.parametrize("step_s", [0.0004, 0.004, 0.03, 0.25, 1.3])
def test_known_power_is_recovered(step_s):
    m = Machine(step_s=step_s).measure()
    assert m.time_s == pytest.approx(step_s)
    late = 0.1 + 0.05 if step_s < 0.05 else 0.1 + step_s
    assert m.energy_j == pytest.approx(100 * step_s, rel=0.1 if step_s > 0.1 else late / m.window_s)
    assert m.window_s >= 2
    assert m.window_s == pytest.approx(m.steps * step_s)
    assert m.missing == ""


def test_window_opens_and_closes_at_updates():
    """Between updates of 100 ms a counter is stale; cutting there would lose up to 5 % of 2 s."""
    m = Machine(step_s=0.001, every_s=0.1).measure()
    assert m.energy_j == pytest.approx(0.1, rel=0.001)
    assert m.counter_updates == round(m.window_s / 0.1)


def test_counter_that_wraps_in_the_window():
    m = Machine(wraps_at=262_143.0, start_j=262_000.0).measure()
    assert m.energy_j == pytest.approx(0.4, rel=0.03)


def test_counter_that_wraps_twice():
    readings = iter([90.0, 30.0, 75.0, 5.0])
    tally = Tally(Meter("rapl", "", "", (Counter("package-0", lambda: next(readings), 100.0),)))
    assert [tally.advance() for _ in range(3)] == [40.0, 85.0, 115.0]


def test_counter_that_goes_back_a_little_did_not_wrap():
    readings = iter([50.0, 49.0])
    tally = Tally(Meter("rapl", "", "", (Counter("package-0", lambda: next(readings), 100.0),)))
    with pytest.raises(MeterError, match="went back from 50 J to 49 J"):
        tally.advance()


def test_counter_without_a_range_that_goes_back():
    readings = iter([90.0, 89.0])
    tally = Tally(Meter("nvml", "", "", (Counter("gpu-0", lambda: next(readings)),)))
    with pytest.raises(MeterError, match="went back from 90 J to 89 J"):
        tally.advance()


def test_counters_are_added():
    meter = Meter("rapl", "", "", (Counter("a", iter([0.0, 1.0]).__next__),
                                   Counter("b", iter([5.0, 7.0]).__next__)))
    assert Tally(meter).advance() == 3.0


def test_stuck_counter_is_missing_and_not_zero():
    machine = Machine(watts=0.0)
    m = machine.measure()
    assert math.isnan(m.energy_j)
    assert "did not advance" in m.missing
    assert m.time_s == pytest.approx(0.004)


def test_counter_that_fails_in_the_window_is_an_error():
    machine = Machine()
    readings = iter([1.0, 2.0, 3.0])

    def read():
        return next(readings)

    meter = Meter("nvml", "", "", (Counter("gpu-0", read),))
    with pytest.raises(MeterError, match="gpu-0: the energy counter cannot be read"):
        tos.measure(machine.step, clock=machine.clock, meter=meter)


def test_no_meter_means_missing_with_the_reason(monkeypatch):
    def absent():
        raise MeterError("nvml: none here")

    monkeypatch.setattr(energy_meters, "METERS", {"nvml": absent})
    monkeypatch.setattr(energy_meters, "_computes_on_gpu", lambda: True)
    m = tos.measure(lambda: None, seconds=0.05, warmup_s=0.01)
    assert math.isnan(m.energy_j)
    assert m.missing == "nvml: none here"
    assert m.meter == "none"
    assert m.time_s > 0
    assert tos.meters().loc["nvml"].tolist() == [False, "", "", "nvml: none here"]
    with pytest.raises(MeterError, match="none here"):
        tos.measure(lambda: None, meter="nvml")


def test_idle_baseline_is_the_power_of_sleep():
    readings = iter(x / 10 for x in range(10**6))
    meter = Meter("nvml", "", "", (Counter("gpu-0", readings.__next__),))
    m = energy.idle(0.3, meter)
    assert m.time_s >= energy.CHUNK_S
    assert m.energy_j > 0


def test_results_are_brought_to_the_host(monkeypatch):
    import keras

    seen = []
    to_numpy = keras.ops.convert_to_numpy
    monkeypatch.setattr(keras.ops, "convert_to_numpy", lambda x: seen.append(1) or to_numpy(x))
    x = keras.ops.ones(3)
    m = tos.measure(lambda: {"y": x}, seconds=0.2, warmup_s=0.01, meter=None)
    assert len(seen) > 3
    assert m.steps > len(seen)


@pytest.fixture
def powercap(tmp_path):
    domains = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram",
               "intel-rapl:1": "package-1", "intel-rapl:2": "psys"}
    for domain, name in domains.items():
        folder = tmp_path / domain
        folder.mkdir()
        (folder / "name").write_text(name + "\n")
        (folder / "energy_uj").write_text("1000000\n")
        (folder / "max_energy_range_uj").write_text("262143328850\n")
    return tmp_path


def test_rapl_adds_packages_and_memory_and_nothing_twice(powercap):
    meter = energy_meters.rapl((powercap / "none", powercap))
    assert [c.name for c in meter.counters] == [
        "intel-rapl:0 package-0", "intel-rapl:0:1 dram", "intel-rapl:1 package-1"]
    assert [c.read() for c in meter.counters] == [1.0, 1.0, 1.0]
    assert meter.counters[0].wraps_at == 262143.32885
    (powercap / "intel-rapl:0" / "energy_uj").write_text("262143000000\n")
    tally = Tally(meter)
    (powercap / "intel-rapl:1" / "energy_uj").write_text("3500000\n")
    (powercap / "intel-rapl:0" / "energy_uj").write_text("500000\n")
    assert tally.advance() == pytest.approx(2.5 + 0.5 + 0.32885)


def test_unreadable_rapl_is_an_error_that_says_how_to_read_it(powercap):
    (powercap / "intel-rapl:0" / "energy_uj").unlink()
    (powercap / "intel-rapl:0" / "energy_uj").mkdir()
    with pytest.raises(MeterError, match="sudo chmod a\\+r"):
        energy_meters.rapl((powercap,))


def test_no_powercap_is_an_error(tmp_path):
    with pytest.raises(MeterError, match="no CPU package"):
        energy_meters.rapl((tmp_path,))


def test_nvml_through_its_library(monkeypatch):
    import pynvml

    joules = iter([5000, 5000, 9000])
    for name, value in {
        "nvmlInit": lambda: None, "nvmlDeviceGetHandleByIndex": lambda i: i,
        "nvmlDeviceGetTotalEnergyConsumption": lambda g: next(joules),
        "nvmlDeviceGetName": lambda g: "NVIDIA H200",
        "nvmlSystemGetDriverVersion": lambda: "570.1",
        "nvmlDeviceGetTemperature": lambda g, sensor: 41,
    }.items():
        monkeypatch.setattr(pynvml, name, value)
    meter = energy_meters.nvml(0)
    assert (meter.device, meter.driver) == ("NVIDIA H200", "NVIDIA 570.1")
    assert Tally(meter).advance() == 4.0
    assert meter.temperature() == 41.0


@pytest.mark.parametrize(("kwargs", "word"), [
    ({"seconds": 0}, "seconds: 0"), ({"warmup_s": "1"}, "warmup_s: '1'"),
    ({"meter": "watts"}, "meter: 'watts' is unknown"), ({"seconds": math.inf}, "seconds: inf"),
])
def test_bad_argument_is_named(kwargs, word):
    with pytest.raises(ValueError, match=word):
        tos.measure(lambda: None, **kwargs)


def test_step_that_cannot_be_called():
    with pytest.raises(TypeError, match="fn: 3 cannot be called"):
        tos.measure(3)
