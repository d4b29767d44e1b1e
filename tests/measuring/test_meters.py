"""The meters of a machine, on fakes of its hardware, and one from outside the package."""

import math
import os

import pytest
from simulated_counters import Device, fake_nvml, powercap_tree

import tostoolkit as tos
from tostoolkit.measuring import meters as energy_meters
from tostoolkit.measuring.counters import MeterError, Tally
from tostoolkit.measuring.meters import MeterKind
from tostoolkit.measuring.window import Window


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
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    (tmp_path / "intel-rapl:1" / "energy_uj").mkdir()
    before = os.listdir("/dev/fd")
    with pytest.raises(MeterError, match="sudo chmod a\\+r"):
        energy_meters.rapl((tmp_path,))
    assert os.listdir("/dev/fd") == before  # the files of the domain before it are closed


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


def test_a_meter_that_cannot_be_read_is_listed_with_the_reason():
    plug = tos.Meter("plug", [("socket-1", lambda: 1 / 0)])
    found, _, _, reason = tos.meters(plug).loc["plug"]
    assert not found
    assert "socket-1: the energy counter cannot be read (ZeroDivisionError" in reason
    with pytest.raises(TypeError, match=r"'plug' is not a tos\.Meter"):
        tos.meters("plug")
