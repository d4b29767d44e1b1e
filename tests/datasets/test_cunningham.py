"""Cunningham 2025: what was measured and what failed, and counts by closed form."""

import dataclasses

import pytest

import tostoolkit as tos
from tostoolkit.datasets import cunningham
from tostoolkit.datasets.dataset import measured


def test_cunningham_keeps_failed_counters_out(load):
    runs = load("cunningham2025")
    assert len(runs) == 10_000  # 6,000 forward, and backward all but the 2,000 poolings
    assert runs.groupby("phase").size().to_dict() == {"inference": 6000, "backward": 4000}
    assert set(runs.device) == {"broadwell-ep", "raptorlake"}
    first = runs.iloc[0]  # 396,645.16 microjoules and 17,666.69994 microseconds in conv.csv
    assert (first.energy_j, first.time_s) == pytest.approx((0.39664516, 0.01766669994))
    assert set(runs[runs.layer_kind == "MaxPooling2D"].phase) == {"inference"}
    failed = runs[runs.defect != ""]
    assert failed.groupby("phase").size().to_dict() == {"inference": 12, "backward": 1}
    assert failed.energy_j.isna().all()
    with pytest.warns(UserWarning, match=r"13 of 10000 rows left out "
                      r"\(8: the counter did not advance; 5: the counter wrapped\)"):
        good = measured(runs, "cunningham2025")
    assert len(good) == 9987
    assert not good.attrs


def closed_form(run):
    """Return the MACs and the bias additions of a forward pass of a layer, by hand."""
    if run.layer_kind == "Dense":
        outputs, fan_in = run.outputs, run.inputs
    else:
        side = (run.side - run.kernel) // run.stride + 1
        outputs, fan_in = side**2 * run.outputs, run.kernel**2 * run.inputs
    return run.batch_size * outputs * fan_in, run.batch_size * outputs


def test_cunningham_counts_agree_with_the_closed_form(load):
    runs = load("cunningham2025")
    some = runs[runs.defect == ""].groupby(["device", "layer_kind"]).sample(4, random_state=0)
    some = runs[runs.layer.isin(some.layer)]
    dataset = dataclasses.replace(cunningham.DATASET, load=lambda path=None: some)
    counted = tos.datasets.load(dataset)
    assert set(counted.phase) == {"inference", "backward"}
    for run in counted[counted.layer_kind != "MaxPooling2D"].itertuples():
        macs, outputs = closed_form(run)
        # backward: the weights' gradient takes as many MACs; the input needs none
        assert counted.loc[run.Index, "mac float32"] == macs
        if run.phase == "inference":
            assert counted.loc[run.Index, "add float32"] == outputs
        assert run.parameters == run.outputs * (macs // outputs + 1)
    for run in counted[counted.layer_kind == "MaxPooling2D"].itertuples():
        side = (run.side - run.kernel) // run.stride + 1
        comparisons = run.batch_size * run.inputs * side**2 * (run.kernel**2 - 1)
        assert counted.loc[run.Index, "max float32"] == comparisons
