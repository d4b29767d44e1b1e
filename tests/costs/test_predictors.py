import keras
import pandas as pd
import pytest
from models import shared_and_nested, small_classifier

import tostoolkit as tos
from tostoolkit.costs.predictors import PREDICTORS, Predictor, find_predictor

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


def test_every_predictor_has_a_definition_a_unit_and_a_value():
    table = tos.predictor_table()
    assert (table.map(len) > 0).all(axis=None)
    rows = pd.DataFrame([tos.count_row(MODEL), tos.count_row(shared_and_nested())])
    added = tos.add_predictors(rows.assign(time_s=1.0))
    assert set(table.index) <= set(added)
    for name in table.index:
        assert added[name].isna().all() == (name in added.attrs["reasons"]), name
    assert not set(added.attrs["reasons"]) & {"tos", "macs", "bytes", "mac attention", "time_s"}


def test_predictors_add_up():
    rows = tos.add_predictors(pd.DataFrame(
        [tos.count_row(MODEL), tos.count_row(shared_and_nested())]))
    kinds = [c for c in PREDICTORS if c.startswith("mac ")]
    assert rows[kinds].sum(axis=1).tolist() == rows.macs.tolist()
    assert rows["mac conv"].tolist() == rows["mac conv3x3"].fillna(0).tolist()
    assert rows.tos.to_numpy() == pytest.approx(
        (rows.tos_linear + rows.tos_elementary + rows.tos_comparison).to_numpy())
    assert rows.tos.to_numpy() == pytest.approx((rows.tos_mac + rows.tos_elementwise).to_numpy())
    assert rows.tos.to_numpy() == pytest.approx(rows["tos_cmos"].to_numpy())
    ops = rows.ops_linear + rows.ops_elementary + rows.ops_comparison
    assert (ops == rows.macs + rows.ops_elementwise).all()


def test_table_with_gaps_is_missing_with_the_reason():
    rows = tos.add_predictors(pd.DataFrame([tos.count_row(MODEL)]), ["tos_horowitz45", "bytes"])
    assert rows["tos_horowitz45"].isna().all()
    assert set(rows.attrs["reasons"]) == {"tos_horowitz45"}
    assert "exp in float32" in rows.attrs["reasons"]["tos_horowitz45"]


def test_one_entry_is_a_new_predictor(monkeypatch):
    intensity = Predictor(
        "MACs a byte", "MAC/B", lambda rows, table: rows["mac float32"] / rows.bytes)
    monkeypatch.setattr("tostoolkit.costs.predictors.PREDICTORS", PREDICTORS | {"intensity": intensity})
    rows = pd.DataFrame([tos.count_row(MODEL, b) for b in (1, 2, 4, 8)]).assign(
        configuration=range(4), energy_j=[1.0, 2.0, 3.0, 4.0])
    law = tos.fit_scaling_law(rows, "energy_j ~ intensity")
    assert "J/(MAC/B) intensity" in law.equation()


@pytest.mark.parametrize(("name", "words"), [
    ("mcs", ["mcs", "did you mean 'macs'"]), ("mac conv3x", ["no such predictor"]),
])
def test_unknown_predictor_is_an_error(name, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        find_predictor(name)
    for word in words:
        assert word in str(caught.value)
