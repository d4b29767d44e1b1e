"""Sweeps into a file: what stops them, what is refused, and real ones."""

import math

import pandas as pd
import pytest
from models import some
from sweeps import metered, quiet

import tostoolkit as tos
from tostoolkit.measuring import run as one_run
from tostoolkit.measuring import sweep
from tostoolkit.measuring.counters import MeterError
from tostoolkit.models.families import Family


def test_interrupted_sweep_resumes_and_changes_no_row(instant, tmp_path, monkeypatch):
    models, out = some(4), tmp_path / "runs.csv"
    whole = quiet(models, tmp_path / "whole.csv", repeats=2)
    instant.clear()
    inner = one_run.measure

    def fail(*args, **kwargs):
        if len(instant) == 5:
            raise KeyboardInterrupt
        return inner(*args, **kwargs)

    monkeypatch.setattr(one_run, "measure", fail)
    with pytest.raises(KeyboardInterrupt):
        quiet(models, out, repeats=2)
    before = out.read_bytes()
    assert before.count(b"\n") == 6
    monkeypatch.setattr(one_run, "measure", inner)
    runs = quiet(models, out, repeats=2)
    assert out.read_bytes().startswith(before)
    assert runs.configuration.tolist() == whole.configuration.tolist()
    n = len(instant)
    assert len(quiet(models, out, repeats=2)) == 8
    assert len(instant) == n
    assert len(quiet(models, out, repeats=3)) == 12


def test_when_all_fail_it_is_not_the_configuration(instant, tmp_path, monkeypatch):
    def step(row, *rest):
        raise MemoryError

    monkeypatch.setattr(one_run, "_step", step)
    monkeypatch.setattr(one_run, "_free", lambda: None)  # slow, and there is nothing to free
    out = tmp_path / "runs.csv"
    with pytest.raises(RuntimeError, match="first 5 runs all failed, the last with MemoryError"):
        quiet(some(9), out)
    assert len(tos.load_runs(out, failed=True)) == 5


def test_an_interrupt_says_that_the_sweep_resumes(instant, tmp_path, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(one_run, "measure", interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        quiet(some(2), tmp_path / "runs.csv")
    assert "it resumes" in caught.value.__notes__[0]


def test_the_bar_shows_the_last_run(tmp_path, monkeypatch, capsys):
    metered(monkeypatch, 3.0, 2.0)
    tos.run_sweep(some(2), tmp_path / "runs.csv", repeats=1, meter=None)
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert "7.5 J, 30 W" in shown
    assert any(name in shown for name in some(2).configuration)


def test_builders_of_ones_own(instant, tmp_path):
    models = pd.DataFrame({"configuration": ["a", "b"], "batch_size": 1, "family": "mine"})
    runs = quiet(models, tmp_path / "runs.csv", families={"mine": Family(lambda row: None)},
                 repeats=1)
    assert set(runs.family) == {"mine"}


@pytest.mark.parametrize(("models", "kwargs", "word"), [
    (some(2).drop(columns="batch_size"), {}, "no column 'batch_size'"),
    (some(2).iloc[:0], {}, "no configurations"),
    (pd.DataFrame({"configuration": ["a"], "batch_size": [1]}), {}, "family"),
    (some(2), {"repeats": 0}, "repeats: 0"),
    (some(2), {"seconds": 0}, "seconds: 0"),
    (some(2), {"minutes": -1}, "minutes: -1"),
    (some(2).assign(configuration="a"), {}, "'a' is there twice"),
    (some(1).assign(configuration="idle"), {}, "baseline's name"),
    (some(1).assign(device_id=1), {}, r"\['device_id'\] are the measurement's"),
])
def test_bad_argument_is_named(tmp_path, models, kwargs, word):
    with pytest.raises(ValueError, match=word):
        quiet(models, tmp_path / "runs.csv", **kwargs)
    assert not (tmp_path / "runs.csv").exists()


def test_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="create it"):
        quiet(some(2), tmp_path / "none" / "runs.csv")


def test_a_real_sweep_without_a_meter(tmp_path):
    models = tos.feed_forward(n=2, depths=(1,), widths=(8,), input_sizes=(4,))
    runs = tos.run_sweep(models, tmp_path / "runs.csv", repeats=1, seconds=0.1, meter=None)
    assert (runs.time_s > 0).all()
    assert (runs.window_s >= 0.1).all()
    assert runs.energy_j.isna().all()
    assert set(runs.missing) == {"no meter was asked for"}


def test_idle_baselines_with_a_meter_and_a_meter_that_fails(tmp_path):
    state = {"j": 0.0, "fail_at": math.inf}

    def read():
        state["j"] += 0.5
        if state["j"] > state["fail_at"]:
            raise OSError("gone")
        return state["j"]

    meter = tos.Meter("plug", [("socket-1", read)], "my workstation", "firmware 1.2")
    models = tos.feed_forward(n=2, depths=(1,), widths=(8,), input_sizes=(4,))
    out = tmp_path / "runs.csv"
    kwargs = {"seconds": 0.1, "meter": meter, "progress": False}
    runs = tos.run_sweep(models, out, repeats=1, **kwargs)
    assert (runs.energy_j > 0).all()
    assert set(runs.device) == {"my workstation"}
    assert set(runs.meter) == {"plug"}
    both = tos.load_runs(out, baselines=True)
    assert both.configuration.tolist()[0] == both.configuration.tolist()[-1] == sweep.IDLE
    assert len(both) == 4
    state["fail_at"] = state["j"] + 20
    with pytest.raises(MeterError, match="gone"):
        tos.run_sweep(models, out, repeats=30, **kwargs)
    assert len(tos.load_runs(out)) >= 2
