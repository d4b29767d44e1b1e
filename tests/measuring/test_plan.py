"""What a sweep measures next: order, blocks, baselines, and what a budget leaves."""

from pathlib import Path

import pytest
from models import some
from sweeps import metered, quiet

import tostoolkit as tos
from tostoolkit.measuring import run as one_run
from tostoolkit.measuring import sweep
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
