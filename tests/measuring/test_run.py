"""One run: its device, its lock, and what it says when it fails."""

import re
import tempfile
import threading
import time

import pandas as pd
import pytest
from models import some
from sweeps import quiet

import tostoolkit as tos
from tostoolkit.measuring import run as one_run
from tostoolkit.measuring.counters import Meter


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
