"""Sweeps on disk: order, resumption, and files that something happened to."""

import math
import re
import tempfile
import threading
import time
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from models import some

import tostoolkit as tos
from tostoolkit.measuring import plan, sweep
from tostoolkit.measuring import run as one_run
from tostoolkit.measuring import runs as runs_file
from tostoolkit.measuring.counters import Meter, MeterError
from tostoolkit.measuring.measure import Measurement
from tostoolkit.models import optimal_design
from tostoolkit.models.families import Family
from tostoolkit.models.optimal_design import informative_order

RAW = Path(__file__).parents[2] / "data" / "raw"


@pytest.fixture
def instant(monkeypatch):
    """Measure nothing and at once; return the configurations' batch sizes in order."""
    calls = []

    def measure(fn, seconds, meter):
        calls.append(fn)
        return Measurement(
            energy_j=math.nan, time_s=0.25 + len(calls), missing="no meter: a, \"b\"", steps=3,
            window_s=2.0, time_spread=0.1, warmup_steps=5, counter_updates=0, meter="none",
            device=one_run.cpu_name(), driver="", temperature_c=math.nan)

    monkeypatch.setattr(one_run, "measure", measure)
    monkeypatch.setattr(one_run, "_step", lambda row, *rest: row["configuration"])
    return calls


def quiet(model_set, out, **kwargs):
    return tos.run_sweep(model_set, out, progress=False, meter=None, **kwargs)


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


def test_torn_last_line_keeps_all_complete_rows(instant, tmp_path):
    models, out = some(4), tmp_path / "runs.csv"
    quiet(models, out, repeats=1)
    whole = out.read_text()
    out.write_text(whole[:-40])
    with pytest.warns(UserWarning, match="last line was cut off"):
        assert len(tos.load_runs(out)) == 3
    runs = quiet(models, out, repeats=1)
    assert len(runs) == 4
    assert sorted(runs.configuration) == sorted(models.configuration)
    assert (tmp_path / "runs.csv.torn").read_text().strip() == whole[:-40].splitlines()[-1]


def test_header_cut_off_is_an_empty_file_to_resume(instant, tmp_path):
    out = tmp_path / "runs.csv"
    for start in ("configuration,dep", "", "\0\0\0\0"):
        out.write_text(start)
        assert len(quiet(some(2), out, repeats=1)) == 2
        assert out.read_text().startswith("configuration,depth,")


def test_a_file_of_something_else_stays_as_it_is(instant, tmp_path):
    out = tmp_path / "runs.csv"
    for content in ("a thesis", "a,b\n1,2\n"):
        out.write_text(content)
        with pytest.raises(ValueError, match="not a runs file"):
            quiet(some(2), out, repeats=1)
        assert out.read_text() == content


def test_power_lost_as_a_line_was_written_leaves_zeros(instant, tmp_path):
    models, out = some(4), tmp_path / "runs.csv"
    quiet(models, out, repeats=1)
    lines = out.read_bytes().splitlines(keepends=True)
    for tail in (b"\0" * 300, b"\0" * 300 + lines[-1][30:], lines[-1][:50] + b"\0" * 20,
                 lines[-1][:50] + "é".encode()[:1]):
        out.write_bytes(b"".join(lines[:-1]) + tail)
        with pytest.warns(UserWarning, match="last line was cut off"):
            assert len(tos.load_runs(out)) == 3
        assert len(quiet(models, out, repeats=1)) == 4
    out.write_bytes(lines[0] + b"\0" * 9 + b"".join(lines[1:]))
    with pytest.raises(ValueError, match="line 2 is damaged: it holds null"):
        tos.load_runs(out)


def damage(path, line, change):
    lines = path.read_text().splitlines(keepends=True)
    lines[line - 1] = change(lines[line - 1])
    path.write_text("".join(lines))


@pytest.mark.parametrize(("change", "word"), [
    (lambda s: s[:30] + "\n", "line 3 is damaged: it has . fields"),
    (lambda s: s.replace(",2.25,", ",2.x5,"), "line 3 is damaged: time_s is '2.x5'"),
])
def test_damaged_line_is_named_and_nothing_is_written(instant, tmp_path, change, word):
    models, out = some(3), tmp_path / "runs.csv"
    quiet(models, out, repeats=1)
    damage(out, 3, change)
    before = out.read_bytes()
    with pytest.raises(ValueError, match=word):
        tos.load_runs(out)
    with pytest.raises(ValueError, match=word):
        quiet(models, out, repeats=2)
    assert out.read_bytes() == before


@pytest.mark.parametrize(("content", "word"), [
    (b"", "header lacks"), (b"a,b\n1,2\n", "header lacks configuration"),
    (b"\xff\xfe\x01bin\n", "not a text file"),
])
def test_file_that_holds_no_runs(tmp_path, content, word):
    path = tmp_path / "runs.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=word):
        tos.load_runs(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tos\.run_sweep\(model_set"):
        tos.load_runs(tmp_path / "none.csv")


def test_other_columns_are_not_mixed_in(instant, tmp_path):
    out = tmp_path / "runs.csv"
    quiet(some(2), out, repeats=1)
    with pytest.raises(ValueError, match="other columns"):
        quiet(some(2, "convolutional"), out, repeats=1)


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


def test_when_all_fail_it_is_not_the_configuration(instant, tmp_path, monkeypatch):
    def step(row, *rest):
        raise MemoryError

    monkeypatch.setattr(one_run, "_step", step)
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


def metered(monkeypatch, run_s, idle_s):
    """Let runs and baselines take so many seconds of a clock that is not real; return it."""
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    numbers = {"missing": "", "steps": 3, "window_s": 2.0, "time_spread": 0.1, "warmup_steps": 5,
               "counter_updates": 9, "meter": "fake", "device": "d", "driver": "1",
               "temperature_c": 40.0, "time_s": 0.25}

    def measure(fn, seconds, meter):
        clock.now += run_s
        return Measurement(energy_j=7.5, power_w=30.0, **numbers)

    def idle(seconds, meter):
        clock.now += idle_s
        return Measurement(energy_j=1.0, power_w=10.0, **numbers)

    here = sweep.describe
    monkeypatch.setattr(sweep, "describe", lambda meter: {**here(meter), "meter": "fake"})
    monkeypatch.setattr(one_run, "measure", measure)
    monkeypatch.setattr(one_run, "idle", idle)
    monkeypatch.setattr(one_run, "_step", lambda *args: None)
    monkeypatch.setattr(sweep, "time", clock)
    monkeypatch.setattr(plan, "time", clock)
    return clock


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


def test_informative_rows_come_first():
    factors = {"depth": (1, 2, 4), "width": (64, 256, 1024), "batch_norm": (False, True),
               "activation": ("relu", "tanh", "gelu", "softmax"), "batch_size": (256,)}
    models = pd.DataFrame(product(*factors.values()), columns=list(factors))
    models.insert(0, "configuration", [f"c{i}" for i in models.index])
    models["family"] = "feed_forward"
    order = informative_order(models, 3)
    assert sorted(order) == list(range(len(models)))
    assert (order == informative_order(models, 3)).all()
    assert (order != informative_order(models, 4)).any()

    def information(rows):
        terms = optimal_design._terms(models[list(factors)])[rows]
        return np.linalg.slogdet(terms.T @ terms + 1e-3 * np.eye(terms.shape[1]))[1]

    chance = [information(np.random.default_rng(i).permutation(len(models))[:32])
              for i in range(20)]
    assert information(order[:32]) > max(chance)
    first = models.iloc[order[:24]]
    for factor in factors:
        assert set(first[factor]) == set(models[factor])


def test_idle_power_is_interpolated_between_the_baselines_of_its_device_and_block(tmp_path):
    columns = ["configuration", "repeat", "block", "host", "device_id", "energy_j", "time_s",
               "power_w", "started", "ended", "error"]
    file = runs_file.RunsFile(tmp_path / "runs.csv", columns)

    def row(name, second, power, device_id="gpu-0", block=0, energy=1.0):
        start = f"2026-01-01T00:{second // 60:02}:{second % 60:02}.000+00:00"
        end = f"2026-01-01T00:{second // 60:02}:{second % 60:02}.500+00:00"
        file.append({"configuration": name, "repeat": 0, "block": block, "host": "h",
                     "device_id": device_id, "energy_j": energy, "time_s": 0.01, "power_w": power,
                     "started": start, "ended": end})

    row("idle", 10, 50.0)
    row("early", 5, 300.0)
    row("quarter", 20, 300.0)
    row("other device", 25, 300.0, device_id="gpu-1")
    row("other block", 30, 300.0, block=1)
    row("idle", 33, 999.0, device_id="gpu-2")
    row("idle", 35, float("nan"))
    row("idle", 50, 90.0)
    row("late", 65, 300.0)
    runs = tos.load_runs(tmp_path / "runs.csv").set_index("configuration")
    assert runs.idle_w.round(9).dropna().to_dict() == {"early": 50.0, "quarter": 60.0, "late": 90.0}
    assert runs.net_energy_j["quarter"] == pytest.approx(1.0 - 60.0 * 0.01)
    assert set(runs.index[runs.net_energy_j.isna()]) == {"other device", "other block"}


@pytest.fixture
def before_0_3(instant, tmp_path):
    """A sweep of two runs that was stopped after the first, as 0.2 wrote it."""
    models, out = some(2), tmp_path / "runs.csv"
    quiet(models, out, repeats=1)
    lines = out.read_text().splitlines(keepends=True)
    assert lines[0].count(",device_id,") == 1
    out.write_text(lines[0].replace(",device_id,", ",unit,") + lines[1])
    return models, out


def test_a_file_from_before_0_3_is_read_under_the_names_of_today(before_0_3):
    _, out = before_0_3
    runs = tos.load_runs(out)
    assert "unit" not in runs
    assert runs.device_id.tolist() == ["cpu"]


def test_a_sweep_from_before_0_3_resumes_in_its_own_header(instant, before_0_3):
    models, out = before_0_3
    before = out.read_bytes()
    runs = quiet(models, out, repeats=1)
    assert out.read_bytes().startswith(before)
    assert sorted(runs.configuration) == sorted(models.configuration)
    assert runs.device_id.tolist() == ["cpu"] * 2
    assert set(runs.block) == {0}


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


def test_a_factor_may_be_called_unit(instant, tmp_path):
    """In a file that names its devices as today, `unit` is what the user says that it is."""
    runs = quiet(some(2).assign(unit=[10, 20]), tmp_path / "runs.csv", repeats=1)
    assert sorted(runs.unit) == [10, 20]
    assert set(runs.device_id) == {"cpu"}


def test_a_sweep_over_two_gpus_can_be_fitted(tmp_path):
    """Which GPU it was is not a unit of energy; the law of 2 J per x is found."""
    columns = ["configuration", "repeat", "x", "energy_j", "time_s", "device", "host", "device_id"]
    file = runs_file.RunsFile(tmp_path / "runs.csv", columns)
    for x in range(1, 21):
        file.append(dict(zip(columns, [f"c{x}", 0, x, 2.0 * x, 1.0, "a GPU", "here",
                                       f"gpu-{x % 2}"], strict=True)))
    law = tos.fit_scaling_law(tos.load_runs(tmp_path / "runs.csv"), "energy_j ~ x")
    assert law.coefficients.loc["x", "estimate"] == pytest.approx(2.0)


def test_versions_stay_text(tmp_path):
    columns = ["configuration", "repeat", "energy_j", "time_s", "keras", "python"]
    file = runs_file.RunsFile(tmp_path / "runs.csv", columns)
    file.append(dict(zip(columns, ["1", 0, "", 1.0, "3.10", "3.20"], strict=True)))
    runs = tos.load_runs(tmp_path / "runs.csv")
    assert runs[["configuration", "keras", "python"]].iloc[0].tolist() == ["1", "3.10", "3.20"]


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
