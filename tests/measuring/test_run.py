"""A sweep's runs: their order, blocks, baselines and budget, their device, and how one fails."""

import re
import tempfile
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from models import some
from sweeps import metered, quiet

import tostoolkit as tos
from tostoolkit.measuring import run as one_run
from tostoolkit.measuring import sweep
from tostoolkit.measuring.counters import Meter
from tostoolkit.models.optimal_design import informative_order

RAW = Path(__file__).parents[2] / "data" / "raw"


def test_every_configuration_in_every_repeat_in_an_order_of_its_own(instant, tmp_path):
    models = some(6)
    runs = quiet(models, tmp_path / "runs.csv", repeats=3)
    assert len(runs) == 18
    walks = [runs[runs.repeat == r].configuration.tolist() for r in range(3)]
    assert all(sorted(walk) == sorted(models.configuration) for walk in walks)
    assert len({tuple(walk) for walk in walks}) == 3
    assert runs.time_s.tolist() == [1.25 + i for i in range(18)]
    assert runs.energy_j.isna().all()
    assert set(runs.missing) == {'no meter: a, "b"'}
    assert set(runs.batch_norm) <= {True, False}
    assert runs.keras.str.startswith("3.").all()
    assert runs.started.str.endswith("+00:00").all()


def test_another_machine_starts_a_block_and_the_first_goes_on_with_its_own(
        instant, tmp_path, monkeypatch):
    models, out = some(3), tmp_path / "runs.csv"
    quiet(models, out, repeats=1)
    here = sweep.describe
    monkeypatch.setattr(sweep, "describe", lambda meter: {
        **here(meter), "device": "another CPU", "host": "elsewhere", "python": "3.99"})
    with pytest.warns(UserWarning, match=r"device '.*' -> 'another CPU', python .* block 1"):
        runs = quiet(models, out, repeats=2)
    assert runs.groupby("block").size().to_dict() == {0: 3, 1: 6}
    assert set(runs.host[runs.block == 1]) == {"elsewhere"}
    assert len(quiet(models, out, repeats=2)) == 9  # nothing to do, and no third block
    monkeypatch.setattr(sweep, "describe", lambda meter: {**here(meter), "host": "its twin"})
    runs = quiet(models, out, repeats=2)  # the same conditions on another host
    assert runs.groupby("block").size().to_dict() == {0: 6, 1: 6}
    assert not runs.duplicated(["block", "configuration", "repeat"]).any()
    assert set(runs.host[runs.block == 0]) == {here(None)["host"], "its twin"}


def test_baselines_at_the_ends_and_after_every_twenty_runs(tmp_path, monkeypatch):
    metered(monkeypatch, 3.0, 2.0)
    out = tmp_path / "runs.csv"
    runs = quiet(some(22), out, repeats=2)
    rows = tos.load_runs(out, baselines=True).configuration
    assert rows.index[rows == sweep.IDLE].tolist() == [0, 21, 42, 47]
    assert len(runs) == 44
    assert runs.idle_w.tolist() == [10.0] * 44
    assert runs.net_energy_j.tolist() == [7.5 - 10 * 0.25] * 44
    assert len(tos.load_runs(out, baselines=True)) == 48
    quiet(some(22), out, repeats=2)  # nothing to do: no baseline either
    assert len(tos.load_runs(out, baselines=True)) == 48


def test_a_budget_is_kept_closing_baseline_included_and_the_rest_resumes(tmp_path, monkeypatch):
    clock = metered(monkeypatch, 3.0, 2.0)
    models, out = some(40), tmp_path / "runs.csv"
    runs = quiet(models, out, repeats=1, minutes=1, seconds=1.0)
    assert 56 < clock.now - 100 <= 60  # 2 + 18 x 3 + 2 seconds are 58, and no run more fits
    assert len(runs) == 18
    left = sweep.runs_left(models, out, repeats=1, meter=None)
    assert sorted([*left.configuration, *runs.configuration]) == sorted(models.configuration)
    assert len(left) == 22
    assert not runs.attrs
    assert tos.load_runs(out, baselines=True).configuration.iloc[-1] == sweep.IDLE
    order = informative_order(models, [0, 0])[:18]
    assert runs.configuration.tolist() == models.configuration.iloc[order].tolist()
    for remaining in (4, 0):
        runs = quiet(models, out, repeats=1, minutes=1, seconds=1.0)
        assert len(sweep.runs_left(models, out, repeats=1, meter=None)) == remaining
    assert sorted(runs.configuration) == sorted(models.configuration)


def test_runs_left_are_those_that_the_next_sweep_makes(instant, tmp_path, monkeypatch):
    """Of this block alone; a run that failed is left only to a sweep that retries it."""
    models, out = some(4), tmp_path / "runs.csv"
    bad = models.configuration[1]

    def left(**kwargs):
        table = sweep.runs_left(models, out, meter=None, **kwargs)
        return sorted(zip(table.configuration, table.repeat, strict=True))

    assert left(repeats=2) == sorted((c, r) for c in models.configuration for r in (0, 1))

    def step(row, *rest):
        if row["configuration"] == bad:
            raise MemoryError
        return row["configuration"]

    monkeypatch.setattr(one_run, "_step", step)
    with pytest.warns(UserWarning, match="1 failed"):
        quiet(models, out, repeats=1)
    assert left(repeats=1) == []
    assert left(repeats=2) == sorted((c, 1) for c in models.configuration)
    assert left(repeats=1, retry_failed=True) == [(bad, 0)]
    here = sweep.describe
    monkeypatch.setattr(sweep, "describe", lambda meter: {**here(meter), "device": "another CPU"})
    assert len(left(repeats=1)) == 4  # of a block of its own
    out.write_text("configuration,repeat,energy_j,time_s\na,0,,1.0\n")
    with pytest.raises(ValueError, match="no column 'block'"):
        left()


@pytest.mark.parametrize("family", ["feed_forward", "convolutional", "transformer"])
def test_the_committed_sweeps_of_0_2_would_resume(instant, tmp_path, monkeypatch, family):
    """On the machine that made them, with their last ten runs lost, those ten are made again."""
    committed = (RAW / f"cpu_{family}.csv").read_bytes().splitlines(keepends=True)
    out = tmp_path / "runs.csv"
    out.write_bytes(b"".join(committed[:-10]))
    last = tos.load_runs(RAW / f"cpu_{family}.csv").iloc[-1]
    there = {name: last[name] for name in sweep.describe(None)}
    monkeypatch.setattr(sweep, "describe", lambda meter: there)
    models = getattr(tos, family)()
    assert len(sweep.runs_left(models, out, meter=None)) == 10
    runs = quiet(models, out)
    lines = out.read_bytes().splitlines(keepends=True)
    assert lines[:-10] == committed[:-10]
    assert len(instant) == 10
    order = ["configuration", "repeat", "position", "device_id", "block"]
    whole = tos.load_runs(RAW / f"cpu_{family}.csv")
    assert runs[order].equals(whole[order])


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


def test_a_run_that_fails_is_a_row_and_the_sweep_goes_on(instant, tmp_path, monkeypatch):
    models, out = some(4), tmp_path / "runs.csv"
    bad = models.configuration[2]

    def step(row, *rest):
        if row["configuration"] == bad:
            raise OutOfMemoryError('CUDA out of memory, "40" GiB\nsecond line')
        return row["configuration"]

    monkeypatch.setattr(one_run, "_step", step)
    with pytest.warns(UserWarning, match="2 failed runs are left out.*CUDA out of memory"):
        runs = quiet(models, out, repeats=2)
    assert len(runs) == 6
    assert bad not in set(runs.configuration)
    assert runs.steps.dtype == int
    every = tos.load_runs(out, failed=True)
    lost = every[every.error != ""]
    assert lost.error.tolist() == ['OutOfMemoryError: CUDA out of memory, "40" GiB'] * 2
    assert lost.energy_j.isna().all()
    assert lost.time_s.isna().all()
    assert set(lost.missing) == {"the run failed"}
    assert set(lost.device) == {one_run.cpu_name()}
    monkeypatch.setattr(one_run, "_step", lambda row, *rest: row["configuration"])
    with pytest.warns(UserWarning, match="2 failed"):
        assert len(quiet(models, out, repeats=2)) == 6
    with pytest.warns(UserWarning, match="2 failed"):
        runs = quiet(models, out, repeats=2, retry_failed=True)
    assert sorted(runs.configuration) == sorted([*models.configuration] * 2)
    n = len(instant)
    with pytest.warns(UserWarning, match="2 failed"):
        quiet(models, out, repeats=2, retry_failed=True)
    assert len(instant) == n


@pytest.mark.parametrize("devices", [["cpu"] * 4, ["cpu+gpu-0", "gpu-0", "cpu+gpu-0"]])
def test_one_measurement_at_a_time_on_a_device(tmp_path, monkeypatch, devices):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    inside, most = [], []

    def hold(device_id):
        with one_run.device_lock(device_id):
            inside.append(device_id)
            time.sleep(0.02)  # in which another would come in
            most.append(len(inside))
            inside.remove(device_id)

    threads = [threading.Thread(target=hold, args=(device_id,)) for device_id in devices * 3]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert most == [1] * len(threads)


def test_two_devices_measure_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    both = threading.Barrier(2)

    def hold(device_id):
        with one_run.device_lock(device_id):
            both.wait(60)  # for the other, which holds its own

    other = threading.Thread(target=hold, args=("gpu-1",))
    other.start()
    hold("gpu-0")
    other.join()


@pytest.mark.parametrize(("names", "device_id"), [
    (["gpu-0"], "gpu-0"), (["package-0", "dram"], "cpu"), (["gpu-1", "package-0"], "cpu+gpu-1")])
def test_a_device_is_what_the_counters_count(names, device_id):
    meter = Meter("m", [(name, lambda: 0.0) for name in names], "d")
    assert one_run.describe(meter)["device_id"] == device_id


@pytest.mark.prove  # TensorFlow tries for ten seconds
def test_a_model_that_does_not_fit_into_memory_is_a_failed_run(tmp_path):
    models = pd.DataFrame({"configuration": list("abc"), "depth": 1, "width": [8, 8_000_000, 8],
                           "input_size": [4, 8_000_000, 4], "activation": "relu",
                           "batch_norm": False, "batch_size": 2,  # 256 TB of weights
                           "family": "feed_forward"})
    with pytest.warns(UserWarning, match="1 failed"):
        runs = tos.run_sweep(models, tmp_path / "runs.csv", 1, 0.05, meter=None, progress=False)
    assert sorted(runs.configuration) == sorted(models.configuration[[0, 2]])
    every = tos.load_runs(tmp_path / "runs.csv", failed=True)
    error, = every.error[every.configuration == models.configuration[1]]
    assert re.match("ResourceExhaustedError: .*OOM|MemoryError|OutOfMemoryError|.*allocate", error)
