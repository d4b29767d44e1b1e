"""A sweep over the workers of a real local Dask cluster, some of which are killed."""

import os
import signal
import threading
import time
from contextlib import contextmanager

import pandas as pd
import pytest
import sweep_lives
from distributed import Client, LocalCluster, WorkerPlugin

import tostoolkit as tos
from tostoolkit.measuring import cluster as sweep_dask
from tostoolkit.measuring import run as one_run
from tostoolkit.measuring.counters import Meter

PAUSE_S = 0.1  # that a measurement takes
SET = sweep_lives.SET.iloc[:20]


class Fake(WorkerPlugin):
    """Workers that measure in no time, on one device in all or on one each."""

    name = "fake"

    def __init__(self, one_each=False, deadly=None, late=None, python=lambda name: "3",
                 old=False):
        self.one_each, self.deadly, self.late, self.python = one_each, deadly, late, python
        self.old = old

    def setup(self, worker):
        about = {"host": "here", "device_id": f"gpu-{worker.name}" if self.one_each else "cpu",
                 "device": "a device", "meter": "fake", "driver": "1", "backend": "tensorflow",
                 **dict.fromkeys(one_run.LIBRARIES, "1"), "python": self.python(worker.name),
                 "cores": 2}

        if self.old:  # as 0.2 named it
            about["unit"] = about.pop("device_id")

        def describe(meter):
            if self.late and worker.name > 0:
                self.late.touch()
            return about

        def measure(*args, **kwargs):
            time.sleep(PAUSE_S)
            measured.append(1)
            while self.late and worker.name == 0 and len(measured) > 11 and not self.late.exists():
                time.sleep(PAUSE_S)
            return sweep_lives.MEASURED

        measured = []

        def step(row, *rest):
            if row["configuration"] == self.deadly:
                os.kill(os.getpid(), signal.SIGKILL)

        one_run.describe = describe
        one_run.measure = one_run.idle = measure
        one_run._step = step


@contextmanager
def workers(n, **fake):
    with LocalCluster(n_workers=n, threads_per_worker=1, processes=True,
                      dashboard_address=":0") as cluster, Client(cluster) as client:
        client.register_plugin(Fake(**fake))
        yield client, cluster


def sweep(client, out, **kwargs):
    return tos.run_sweep(SET, out, **{"repeats": 2, "meter": None, "progress": False,
                                      "client": client, **kwargs})


@contextmanager
def midway(out, act):
    """Call `act` in a thread once the file holds ten runs; it must have been called."""
    done = threading.Event()

    def watch():
        while not out.exists() or out.read_bytes().count(b"\n") < 11:
            time.sleep(0.02)
        act()
        done.set()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield
    assert done.wait(60)


def kill_one_that_measures(client):
    pids = client.run(os.getpid)

    def kill():
        busy = []
        while not busy:
            busy = [worker for worker, keys in client.processing().items() if keys]
        os.kill(pids[busy[0]], signal.SIGKILL)
        killed.append(busy[0])

    killed = []
    return kill


def overlaps(runs):
    """Return how many runs start before the one that started before them has ended."""
    runs = runs.sort_values("started")
    return int((pd.to_datetime(runs.started).iloc[1:].to_numpy()
                < pd.to_datetime(runs.ended).iloc[:-1].to_numpy()).sum())


def assert_all_once_and_one_at_a_time(out):
    runs = tos.load_runs(out)
    assert sorted(zip(runs.configuration, runs.repeat, strict=True)) == sorted(
        (name, repeat) for name in SET.configuration for repeat in range(2))
    every = tos.load_runs(out, baselines=True)
    assert {overlaps(rows) for _, rows in every.groupby(["host", "device_id"])} == {0}
    assert runs.idle_w.tolist() == [2.0] * 40
    return every


def test_workers_that_share_a_device_take_turns_and_one_is_killed(tmp_path):
    out = tmp_path / "runs.csv"
    with workers(3) as (client, _), midway(out, kill_one_that_measures(client)):
        sweep(client, out)
    every = assert_all_once_and_one_at_a_time(out)
    assert set(every.device_id) == {"cpu"}


def test_workers_with_a_device_each_run_at_once_and_one_is_killed(tmp_path):
    out = tmp_path / "runs.csv"
    with workers(3, one_each=True) as (client, _), midway(out, kill_one_that_measures(client)):
        sweep(client, out)
    every = assert_all_once_and_one_at_a_time(out)
    assert set(every.device_id) == {"gpu-0", "gpu-1", "gpu-2"}
    assert overlaps(every) > 5


def test_a_configuration_that_kills_its_workers_is_a_failed_run(tmp_path):
    out = tmp_path / "runs.csv"
    with workers(1, one_each=True, deadly="width=3") as (client, _), (
            pytest.warns(UserWarning, match="1 failed")):
        runs = sweep(client, out, repeats=1)
    assert len(runs) == 19
    every = tos.load_runs(out, failed=True)
    error, = every.error[every.configuration == "width=3"]
    assert error.startswith("KilledWorker: ")


def test_workers_that_come_late_are_used(tmp_path):
    out = tmp_path / "runs.csv"  # the first waits for one more after eleven measurements
    with workers(1, one_each=True, late=tmp_path / "late") as (client, cluster), (
            midway(out, lambda: cluster.scale(2))):
        sweep(client, out)
    assert set(assert_all_once_and_one_at_a_time(out).device_id) == {"gpu-0", "gpu-1"}


def test_a_cluster_that_ends_is_an_error_and_another_one_resumes(tmp_path):
    out = tmp_path / "runs.csv"
    with workers(1) as (client, cluster), midway(out, cluster.close), (
            pytest.raises(RuntimeError, match="it resumes")):
        sweep(client, out)
    assert 9 < len(tos.load_runs(out, baselines=True)) < 40
    with workers(1) as (client, _):
        sweep(client, out)
    assert_all_once_and_one_at_a_time(out)


def test_workers_that_differ_and_arguments_that_cannot_travel(tmp_path):
    out = tmp_path / "runs.csv"
    with workers(2, python=lambda name: f"3.1{name}") as (client, _):
        with pytest.raises(ValueError, match=r"differ \(python '3\.1[01]' and '3\.1[01]'\)"):
            sweep(client, out)
        meter = Meter("rapl", [("package-0", lambda: 1.0)], "a CPU")
        with pytest.raises(ValueError, match="cannot travel to workers"):
            sweep(client, out, meter=meter)
    with pytest.raises(TypeError, match=r"not a client of Dask; pass dask\.distributed\.Client"):
        sweep("tcp://10.0.0.1:8786", out)


def test_workers_of_an_older_version_are_named(tmp_path):
    with workers(1, old=True) as (client, _), pytest.raises(
            RuntimeError, match="runs tostoolkit 1, which names no device_id; install the same"):
        sweep(client, tmp_path / "runs.csv")


def test_a_cluster_without_workers_is_an_error_after_a_while(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sweep_dask, "PATIENCE_S", 0.5)
    with workers(0) as (client, _), pytest.raises(RuntimeError, match=r"no worker for 0\.5 s"):
        sweep(client, tmp_path / "runs.csv")
    assert "waiting up to 0.5 s for the cluster's first worker" in capsys.readouterr().out
