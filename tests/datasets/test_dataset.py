"""Data sets as values: tidy runs, joined with counts that are stored or counted now."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tostoolkit as tos
from tostoolkit.datasets.dataset import Dataset, forward, join_counts, one_forward

DERIVED = Path(__file__).parents[2] / "data/derived"
COUNTED = {"parameters", "layers", "elements", "bytes"}


@pytest.mark.parametrize("name", tos.datasets.DATASETS)
def test_runs_are_tidy(load, name):
    runs = load(name)
    assert set(runs.dataset) == {name}
    for column in ("configuration", "device", "phase", "batch_size", "time_s", "defect"):
        assert runs[column].notna().all(), column
    assert runs.index.is_unique
    assert (runs.time_s > 0).all()
    good = runs[runs.defect != "the counter wrapped"]
    good = good[good.defect != "the counter did not advance"]
    assert (good.energy_j > 0).all()
    assert runs.energy_j.isna().sum() == len(runs) - len(good)
    assert {c for c in runs if c.endswith("_j")} <= {"energy_j", "cpu_energy_j"}
    # joules, seconds: from microcontrollers to data-centre GPUs, power lies in between
    power = (good.energy_j / good.time_s).median()
    low, high = {"mlperf_tiny": (1e-3, 1), "cunningham2025": (5, 200)}.get(name, (20, 400))
    assert low < power < high


@pytest.fixture
def two_models():
    """A data set of one's own: three runs of two dense layers, forward."""
    import keras

    def build(run, part):
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(int(run.units))])

    def runs(path=None):
        return pd.DataFrame({"units": [2, 3, 3], "configuration": ["a", "b", "b"], "batch_size": 5,
                             "energy_j": [1.0, 2.0, 2.1], "defect": ""})

    return Dataset(runs, build, "units", {"inference": forward}, one_forward, "one step")


def test_own_data_set_is_a_value(two_models):
    counted = tos.datasets.load(two_models)
    assert counted["mac dense"].tolist() == [40, 60, 60]
    assert counted["mac dense"].dtype == "int64"
    assert not counted.attrs


def test_stored_counts_are_the_same_and_stale_ones_are_refused(two_models, tmp_path):
    file = tmp_path / "counts.csv"
    counts = tos.datasets.count(two_models)
    counts.to_csv(file)
    pd.testing.assert_frame_equal(tos.datasets.load(two_models, counts=file),
                                  tos.datasets.load(two_models))
    pd.testing.assert_frame_equal(tos.datasets.load(two_models, counts=counts),
                                  tos.datasets.load(two_models))
    for wrong, word in [
        (counts.assign(**{"mac dense": 7}), "stale: 'mac dense' of 2 is 7.*now it is 40"),
        (counts.drop(columns="bytes"), "stale: 'bytes'"),
        (counts.assign(exp=1), "stale: 'exp'"),
        (counts.drop(index=2), "no counts of 2"),
        (counts.drop(index=3), "no counts of the inference of 3 and of 1 more"),
        (counts.reset_index(drop=True), "no column 'units'"),
    ]:
        wrong.to_csv(file, index=wrong.index.name == "units")
        with pytest.raises(ValueError, match=word) as caught:
            tos.datasets.load(two_models, counts=file)
        assert "tos.datasets.count(name).to_csv(file)" in str(caught.value)


@pytest.mark.filterwarnings("ignore:cunningham2025. 13 of 10000 rows left out")
@pytest.mark.filterwarnings("ignore:mlperf_tiny. 12 of 114 rows left out")
@pytest.mark.parametrize(("name", "rows"), [
    ("ec_nas_bench", 2805), ("cunningham2025", 9987), ("gaissa_seaa2023", 369),
    ("mlperf_tiny", 102)])
def test_stored_counts_are_those_counted_now(load, name, rows):
    """Refused by `load` if they were not."""
    load(name)
    counted = tos.datasets.load(name, counts=DERIVED / f"03_{name}_counts.csv")
    assert len(counted) == rows
    assert counted.columns.is_unique
    assert set(counted) >= COUNTED
    assert counted[list(COUNTED)].notna().all(axis=None)
    assert (counted[[*COUNTED - {"parameters"}]] > 0).all(axis=None)
    if name == "ec_nas_bench":
        assert (counted.parameters == counted.trainable_params).all()


def test_dask_client_counts_the_same(two_models):
    distributed = pytest.importorskip("distributed")
    with distributed.Client(processes=False, n_workers=1, threads_per_worker=1,
                            dashboard_address=None) as client:
        table = tos.datasets.count(two_models, client=client)
    pd.testing.assert_frame_equal(table, tos.datasets.count(two_models))


def test_unknown_data_set_is_an_error():
    with pytest.raises(ValueError, match="no data set 'butter_e'; there are ec_nas_bench"):
        tos.datasets.load("butter_e")


def test_counts_that_a_float_cannot_hold_are_joined_exactly(two_models):
    """A part that was not measured of one model leaves a gap, which must not make floats."""
    def batches(runs):
        return pd.DataFrame({"inference": 1, "training": (runs.units == 2).astype(int)})

    dataset = Dataset(two_models.load, two_models.build, "units",
                      {"inference": forward, "training": forward}, batches, "both")
    index = pd.MultiIndex.from_tuples(
        [(2, "inference"), (2, "training"), (3, "inference")], names=["units", "part"])
    counts = pd.DataFrame({"parameters": 1, "layers": 1, "elements": 1,
                           "mac float32": [2**53 + 1, 2, 2**53 + 3]}, index=index)
    joined = join_counts(dataset, two_models.load(), counts)
    assert joined["mac float32"].tolist() == [2**53 + 3, 2**53 + 3, 2**53 + 3]
    assert joined["mac float32"].dtype == np.int64


def test_each_set_says_in_words_what_its_energy_is_of():
    for dataset in tos.datasets.DATASETS.values():
        assert "energy" in dataset.energy_of
