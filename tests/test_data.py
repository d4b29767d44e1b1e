"""The committed data: what it is says so, and it is what it was."""

import hashlib
import re
from pathlib import Path

import pandas as pd
import pytest

import tostoolkit as tos

DATA = Path(__file__).parent.parent / "data"
RAW = sorted(DATA.glob("raw/*.csv"))


def documented(heading):
    """Return the first column of the table under a heading of data/README.md."""
    text = (DATA / "README.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)`", text, flags=re.M)


def test_raw_data_is_there_and_unchanged():
    assert RAW
    sums = dict(reversed(line.split()) for line in (DATA / "SHA256SUMS").read_text().splitlines())
    assert sorted(sums) == [f"raw/{path.name}" for path in RAW]
    for path in RAW:
        assert sums[f"raw/{path.name}"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_file_is_documented():
    files = {path.relative_to(DATA).as_posix() for kind in ("*.csv", "*.json")
             for path in DATA.rglob(kind)}
    assert set(documented("Files")) == files


def test_every_column_of_the_runs_is_documented_and_conversely():
    columns = [pd.read_csv(path, nrows=0).columns for path in RAW]
    known = documented("Columns of runs files")
    assert set(known) == set().union(*columns)
    for own in columns:  # in the order in which they stand in the files
        order = [known.index(c) for c in own if c in known[known.index("family"):]]
        assert order == sorted(order)


@pytest.mark.parametrize("path", RAW, ids=lambda p: p.stem)
def test_runs_are_measurements_with_their_provenance(path):
    runs = tos.load_runs(path)
    assert (runs.time_s > 0).all()
    assert (runs.window_s >= 0.8).all()
    assert runs.started.is_monotonic_increasing
    assert (runs.energy_j.isna() == (runs.missing != "")).all()
    assert not runs.duplicated(["configuration", "repeat"]).any()
    assert runs.groupby("repeat").size().nunique() == 1
    assert (runs.time_s * runs.steps).to_numpy() == pytest.approx(runs.window_s.to_numpy())


@pytest.mark.parametrize("family", ["feed_forward", "convolutional", "transformer"])
def test_committed_sweeps_are_of_the_default_sets(family):
    runs = tos.load_runs(DATA / "raw" / f"cpu_{family}.csv")
    assert set(runs.configuration) == set(getattr(tos, family)().configuration)
    assert runs.groupby("configuration").size().eq(3).all()
