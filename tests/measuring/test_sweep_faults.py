"""Runs files survive what stops a sweep: kills, full disks, read-only folders, a second sweep."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pytest
import sweep_lives

import tostoolkit as tos
from tostoolkit.measuring import runs as runs_file

LIVES = Path(sweep_lives.__file__)
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(tos.__file__).parents[1])}


def sweep(*arguments, **kwargs):
    return subprocess.run([sys.executable, LIVES, *map(str, arguments)], env=ENVIRONMENT, text=True,
                          capture_output=True, check=False, **kwargs)


def reported(run):
    return [line for line in run.stdout.splitlines() if "idle" not in line]


def in_file(out):
    runs = tos.load_runs(out)
    return [f"{c},{r}" for c, r in zip(runs.configuration, runs.repeat, strict=True)]


@pytest.mark.parametrize("kills", [30, pytest.param(200, marks=pytest.mark.prove)])
def test_killed_again_and_again_at_random_moments(tmp_path, kills):
    out = tmp_path / "runs.csv"
    run = sweep("lives", out, kills, kills)
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    print({name: value if isinstance(value, int) else len(value) for name, value in seen.items()})
    assert seen["killed"] == kills
    assert seen["torn"] > kills / 20  # kills did land between the two pieces of a line
    assert not seen["lost"]
    assert len(seen["reported"]) > kills / 2
    sweep_lives_left = sweep("once", out)  # one repeat, to its end
    assert sweep_lives_left.returncode == 0, sweep_lives_left.stderr
    there = in_file(out)
    assert len(set(there)) == len(there)
    assert set(seen["reported"]) | set(reported(sweep_lives_left)) <= set(there)
    assert {f"{c},0" for c in sweep_lives.SET.configuration} <= set(there)
    assert out.read_bytes().endswith(b"\n")


def test_a_full_disk_leaves_whole_lines_and_the_sweep_resumes(tmp_path):
    out = tmp_path / "runs.csv"
    for limit in (5000, 5050, 20_000):
        run = sweep("once", out, 0, limit)
        assert "OSError: [Errno 27] the run could not be written (File too large)" in run.stderr
        assert "it resumes" in run.stderr
        assert str(out) in run.stderr
        data = out.read_bytes()
        assert data.endswith(b"\n")
        assert limit - 400 < len(data) <= limit
        assert set(reported(run)) <= set(in_file(out))
    assert sweep("once", out).returncode == 0
    assert len(in_file(out)) == len(set(in_file(out))) == len(sweep_lives.SET)


def test_a_disk_that_is_full_from_the_start_leaves_no_file(tmp_path):
    run = sweep("once", tmp_path / "runs.csv", 0, 20)
    assert "File too large" in run.stderr
    assert not (tmp_path / "runs.csv").exists()


def test_a_folder_that_is_read_only_leaves_the_file_as_it_is():
    nobody = ["65534"] if os.getuid() == 0 else []  # root may write wherever it likes
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "runs.csv")
        out.write_text("configuration")
        Path(folder).chmod(0o555)
        run = sweep("once", out, 0, 10**9, *nobody)
        Path(folder).chmod(0o755)
        assert run.returncode == 1
        assert ("PermissionError: [Errno 13] the run could not be written (Permission denied)"
                in run.stderr)
        assert out.read_text() == "configuration"


def test_a_second_sweep_of_one_file_is_refused_and_the_lock_dies_with_the_first(tmp_path):
    out = tmp_path / "runs.csv"
    with subprocess.Popen([sys.executable, LIVES, "once", out, "0.01"], env=ENVIRONMENT,
                          stdout=subprocess.PIPE) as first:
        first.stdout.readline()
        second = sweep("once", out)
        first.kill()
    assert second.returncode == 1
    assert "BlockingIOError: out: another sweep is writing" in second.stderr
    assert str(out) in second.stderr
    assert not second.stdout
    assert sweep("once", out).returncode == 0
    assert len(in_file(out)) == len(set(in_file(out))) == len(sweep_lives.SET)


def test_two_sweeps_on_one_device_never_measure_at_once(tmp_path):
    outs = [tmp_path / "a.csv", tmp_path / "b.csv"]
    both = [subprocess.Popen([sys.executable, LIVES, "once", out, "0.005"], env=ENVIRONMENT,
                             stdout=subprocess.DEVNULL) for out in outs]
    assert [process.wait() for process in both] == [0, 0]
    a, b = (tos.load_runs(out, baselines=True) for out in outs)
    assert max(a.started.min(), b.started.min()) < min(a.ended.max(), b.ended.max())
    rows = pd.concat([a, b]).sort_values(["started", "ended"])
    assert len(rows) > 2 * len(sweep_lives.SET)
    assert (rows.started.iloc[1:].to_numpy() >= rows.ended.iloc[:-1].to_numpy()).all()


def test_a_file_that_another_program_changes_is_not_written_on(tmp_path):
    out = tmp_path / "runs.csv"
    columns = ["configuration", "repeat", "energy_j", "time_s"]
    file = runs_file.RunsFile(out, columns)
    file.append({"configuration": "a", "repeat": 0})
    content = out.read_text() + "b,0,,1.0\n"
    out.write_text(content)
    with pytest.raises(OSError, match="changed by another program"):
        file.append({"configuration": "c", "repeat": 0})
    assert out.read_text() == content


def test_a_row_is_synced_before_it_is_reported_and_so_is_the_new_file(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync

    def note(file):
        stat = os.fstat(file)
        synced.append((stat.st_ino, stat.st_size))
        fsync(file)

    monkeypatch.setattr(os, "fsync", note)
    out = tmp_path / "runs.csv"
    file = runs_file.RunsFile(out, ["configuration", "repeat", "energy_j", "time_s"])
    assert synced[-1][0] == tmp_path.stat().st_ino
    file.append({"configuration": "a\nb", "repeat": 0})
    assert synced[-1] == (out.stat().st_ino, out.stat().st_size)
    assert out.read_text().splitlines()[1:] == ["a b,0,,"]  # a row is a line
