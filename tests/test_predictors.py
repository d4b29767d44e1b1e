import keras
import pandas as pd
import pytest
from models import shared_and_nested, small_classifier

import tostoolkit as tos

MODEL = small_classifier()


def test_row_by_hand():
    row = tos.count_row(MODEL, batch_size=2)
    assert row["parameters"] == 3 * 3 * 3 * 4 + 4 + 2 * 4 + 64 * 5 + 5
    assert row["layers"] == 5  # flatten does nothing
    assert row["elements"] == 2 * (3 * 256 + 64 + 5)
    assert row["mac conv3x3"] == 2 * 8 * 8 * 4 * 27
    assert row["mac dense"] == 2 * 320
    assert row["bytes"] == tos.transistor_ops(MODEL, batch_size=2).bytes_moved


def test_classes_of_macs_add_up():
    models = [MODEL, shared_and_nested(), keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.DepthwiseConv2D(3), keras.layers.Conv2D(2, (1, 3))])]
    for row in map(tos.count_row, models):
        classes = sum(n for name, n in row.items() if name.startswith("mac ") and "32" not in name)
        assert classes == row["mac float32"]


@pytest.mark.parametrize("costs", ["cmos", "flops", "macs"])
def test_indices_are_those_of_the_report(costs):
    rows = tos.add_indices(pd.DataFrame([tos.count_row(MODEL), tos.count_row(shared_and_nested())]),
                           costs)
    for row, model in zip(rows.itertuples(), [MODEL, shared_and_nested()], strict=True):
        report = tos.transistor_ops(model, costs)
        assert row.tos == pytest.approx(report.total)
        assert row.macs == report.macs
        assert row.flops == report.flops
        assert 1 - row.tos_linear / row.tos == pytest.approx(report.nonlinear_share)


def test_missing_cost_is_an_error():
    rows = pd.DataFrame([tos.count_row(MODEL)])
    with pytest.raises(ValueError, match="exp in float32"):
        tos.add_indices(rows, "horowitz45")
