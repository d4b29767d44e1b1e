"""Counting many models: by closed forms, in processes, on a cluster; integers stay integers."""

from collections import Counter
from functools import partial

import keras
import pandas as pd
import pytest
from closed_forms import MACS
from dask.distributed import Client
from models import some

import tostoolkit as tos
from tostoolkit.counting.rules import OP_COUNTERS
from tostoolkit.models.counting import Job, count_each


def dense(inputs, units, dtype="float32"):
    return keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(units, dtype=dtype)])


def jobs(*sizes):
    return {(n,): Job(partial(dense, n, n), dict) for n in sizes}


@pytest.mark.parametrize("family", MACS)
def test_macs_of_a_forward_pass_by_closed_form(family):
    rows = some(6, family).assign(phase="inference", dtype="float32")
    counted = tos.count_models(rows)
    assert counted["mac float32"].tolist() == [MACS[family](row) for row in rows.itertuples()]


def test_counts_that_a_float_cannot_hold_stay_exact():
    """One model has no op of the other's format: a gap in the column must not make it floats."""
    side = 2**27 + 1  # side x side is odd and above 2^53
    table = count_each({
        ("large",): Job(partial(dense, side, side), dict),
        ("half",): Job(partial(dense, 2, 3, "bfloat16"), dict)}, ["model"])
    assert table["mac float32"].to_dict() == {("large",): side**2, ("half",): 0}
    assert table["mac bfloat16"].to_dict() == {("large",): 0, ("half",): 6}
    assert set(table.dtypes) == {pd.Series(dtype="int64").dtype}
    larger = count_each({("larger",): Job(partial(dense, 2**33, 2**33), dict)}, ["model"])
    assert larger["mac float32"].tolist() == [2**66]


def test_processes_and_a_cluster_count_the_same():
    here = count_each(jobs(2, 3, 5), ["n"])
    pd.testing.assert_frame_equal(count_each(jobs(2, 3, 5), ["n"], workers=1), here)
    models = some(3)
    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as one:
        pd.testing.assert_frame_equal(count_each(jobs(2, 3, 5), ["n"], client=one), here)
        pd.testing.assert_frame_equal(tos.count_models(models, one), tos.count_models(models))
    assert here["mac dense"].tolist() == [4, 9, 25]


def seven_roots(call):
    """A counter of one's own, of a module, so that it can travel."""
    return Counter({(call.dtype, "sqrt"): 7})


def test_counters_of_ones_own_hold_here_in_processes_and_on_a_cluster():
    rows = some(3).assign(phase="inference", dtype="float32", batch_norm=False)
    own = OP_COUNTERS | {"Dense": seven_roots}
    counted = tos.count_models(rows, counters=own)
    assert counted["sqrt float32"].tolist() == (7 * (rows.depth + 1)).tolist()
    assert "mac float32" not in counted
    pd.testing.assert_frame_equal(tos.count_models(rows, workers=1, counters=own), counted)
    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as one:
        pd.testing.assert_frame_equal(tos.count_models(rows, one, counters=own), counted)
    # a kind that is left out is traced
    pd.testing.assert_frame_equal(tos.count_models(rows, counters={}), tos.count_models(rows))


def test_the_columns_of_the_rows_come_first_and_their_family_stays():
    models = some(2)
    counted = tos.count_models(models)
    pd.testing.assert_frame_equal(counted[[*models]], models)
    assert counted.columns[len(models.columns)] == "parameters"
    assert not counted.attrs


def test_counts_are_of_the_phase_and_the_dtype_of_the_row():
    models = tos.feed_forward(depths=(1,), widths=(8,), activations=("relu",), batch_norms=(False,),
                              input_sizes=(4,), batch_sizes=(2,), n=None)
    counted = tos.count_models(models).set_index(["phase", "dtype"])
    hidden, out = 2 * 4 * 8, 2 * 8 * 10
    macs = {"inference": hidden + out, "training": 2 * hidden + 3 * out}  # no input gradient
    for (phase, dtype), row in counted.iterrows():
        native, other = ("float32", "bfloat16")[:: 1 if dtype == "float32" else -1]
        assert row[f"mac {native}"] == row["mac dense"] == macs[phase]
        assert row[f"mac {other}"] == 0
        assert row["parameters"] == 4 * 8 + 8 + 80 + 10
        assert (row["layers"], row["elements"]) == (3, 2 * (8 + 8 + 10))
    assert counted.loc[("training", "float32"), "bytes"] > 2 * counted.loc[
        ("inference", "float32"), "bytes"]


def test_rows_of_several_families_are_counted_together():
    sets = [tos.feed_forward(n=2, dtypes=("float32",)), tos.transformer(n=2, dtypes=("float32",))]
    counted = tos.count_models(pd.concat(sets, ignore_index=True))
    for models in sets:
        alone = tos.count_models(models)
        together = counted[counted.configuration.isin(alone.configuration)]
        for column in ("bytes", "mac float32", "layers"):
            assert together[column].tolist() == alone[column].tolist()


def test_families_with_configurations_of_one_name_are_told_apart():
    sets = [tos.feed_forward(n=1), tos.transformer(n=1)]
    rows = pd.concat(sets, ignore_index=True).assign(configuration="a")
    alone = [tos.count_models(models).bytes.item() for models in sets]
    assert tos.count_models(rows).bytes.tolist() == alone
    assert alone[0] != alone[1]


def test_runs_of_before_there_were_phases_are_counted():
    rows = pd.DataFrame([{"configuration": "a", "depth": 1, "width": 8, "activation": "relu",
                          "batch_norm": False, "input_size": 4, "batch_size": 2,
                          "family": "feed_forward"}] * 2)
    assert tos.count_models(rows)["mac float32"].tolist() == [2 * (32 + 80)] * 2


def test_one_configuration_in_another_phase_or_batch_is_counted_by_itself():
    """Its label alone does not say what is counted."""
    one = some(1).assign(phase="inference", batch_size=2)
    rows = pd.concat([one, one.assign(batch_size=6), one.assign(phase="training")])
    macs = tos.count_models(rows)["mac float32"].tolist()
    alone = [int(tos.count_models(rows.iloc[[i]])["mac float32"].iloc[0]) for i in range(3)]
    assert macs == alone
    assert (macs[1], macs[2] > macs[0]) == (3 * macs[0], True)
    unnamed = tos.count_models(rows.drop(columns="configuration"))
    assert unnamed["mac float32"].tolist() == alone


def test_counting_again_leaves_each_column_once():
    counted = tos.count_models(some(2))
    pd.testing.assert_frame_equal(tos.count_models(counted), counted)
