import keras
import pandas as pd
import pytest
from models import shared_and_nested, small_classifier

import tostoolkit as tos
from tostoolkit.costs.predictors import PREDICTORS, Predictor, find_predictor
from tostoolkit.costs.pricing import priced_by
from tostoolkit.counting.rows import count_row

MODEL = small_classifier()


def test_row_by_hand():
    row = count_row(MODEL, batch_size=2)
    assert row["parameters"] == 3 * 3 * 3 * 4 + 4 + 2 * 4 + 64 * 5 + 5
    assert row["layers"] == 5  # flatten does nothing
    assert row["elements"] == 2 * (3 * 256 + 64 + 5)
    assert row["mac conv3x3"] == 2 * 8 * 8 * 4 * 27
    assert row["mac dense"] == 2 * 320
    assert row["bytes"] == tos.transistor_ops(MODEL, batch_size=2).bytes_moved


def test_classes_of_macs_add_up():
    models = [MODEL, shared_and_nested(), keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.DepthwiseConv2D(3), keras.layers.Conv2D(2, (1, 3))])]
    for row in map(count_row, models):
        classes = sum(n for name, n in row.items() if name.startswith("mac ") and "32" not in name)
        assert classes == row["mac float32"]


@pytest.mark.parametrize("costs", ["cmos", "flops", "macs"])
def test_prices_are_those_of_the_report(costs):
    rows = price_of([MODEL, shared_and_nested()], costs)
    assert rows.costs.tolist() == [costs] * 2
    for row, model in zip(rows.itertuples(), [MODEL, shared_and_nested()], strict=True):
        report = tos.transistor_ops(model, costs)
        assert row.tos == pytest.approx(report.total)
        assert row.macs == report.macs
        assert row.flops == report.flops
        assert row.bytes == report.bytes_moved
        assert row.tos_nonlinear / row.tos == pytest.approx(report.nonlinear_share)


def price_of(models, costs="cmos", names=None):
    return tos.price(counted(models), costs, names)


def counted(models):
    return pd.DataFrame([count_row(model) for model in models])


def relu_network():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


def test_a_named_predictor_that_cannot_be_computed_is_an_error():
    rows = counted([MODEL])
    for name in ("tos", "tos_horowitz45"):
        with pytest.raises(ValueError, match=r"'horowitz45' has no cost for .*exp in float32"):
            tos.price(rows, "horowitz45", ["macs", name])
    with pytest.raises(ValueError, match="did you mean 'macs'"):
        tos.price(rows, names=["mcs"])
    with pytest.raises(ValueError, match="it is measured"):
        tos.price(rows, names=["time_s"])


def test_an_unnamed_one_is_missing_in_the_rows_that_need_the_cost_and_there_alone():
    rows = counted([MODEL, relu_network()])
    with pytest.warns(UserWarning, match="'horowitz45' has no cost for .*exp in float32") as caught:
        priced = tos.price(rows, "horowitz45")
    assert len(caught) == 1
    assert priced.tos.isna().tolist() == [True, False]
    assert priced.tos[1] == pytest.approx(12 * 4.6 + 3 * 0.9)  # 12 MACs and 3 additions, in pJ
    assert priced.macs.notna().all()
    assert "time_s" not in priced  # measured, never filled in


def test_rows_priced_together_are_those_priced_apart():
    """Whatever the index: a join of files repeats labels."""
    parts = [counted([MODEL]), counted([relu_network(), shared_and_nested()])]
    joined = pd.concat(parts)
    assert joined.index.has_duplicates
    apart = pd.concat([tos.price(part) for part in parts])
    pd.testing.assert_frame_equal(tos.price(joined)[apart.columns].fillna(0), apart.fillna(0),
                                  check_dtype=False)


def test_pricing_does_not_need_a_tables_warning_where_nothing_is_missing(recwarn):
    price_of([MODEL])
    assert not recwarn.list


@pytest.mark.parametrize("names", [None, ["tos"], ["macs"]])
def test_a_second_price_leaves_nothing_of_the_first(names):
    """Every number that depends on a table is by the one that ``costs`` names."""
    rows = counted([MODEL, shared_and_nested()])
    first = tos.price(rows, "cmos")
    again = tos.price(first, "gpu-ieee", names)
    fresh = tos.price(rows, "gpu-ieee")
    assert again.costs.unique().tolist() == ["gpu-ieee"]
    assert (first.tos != fresh.tos).all()
    pd.testing.assert_frame_equal(again, fresh[again.columns])


def test_the_table_survives_a_file_a_merge_and_a_concat(tmp_path):
    rows = price_of([MODEL], "gpu-fast").assign(configuration="a")
    rows.to_csv(tmp_path / "rows.csv", index=False)
    assert priced_by(pd.read_csv(tmp_path / "rows.csv")) == "gpu-fast"
    assert priced_by(rows.merge(pd.DataFrame({"configuration": ["a"], "x": [1]}))) == "gpu-fast"
    assert priced_by(counted([MODEL])) is None
    for other, word in ((price_of([MODEL], "cmos"), "'gpu-fast', 'cmos'"),
                        (counted([MODEL]), "'gpu-fast', no table")):
        with pytest.raises(ValueError, match=f"priced by {word}"):
            priced_by(pd.concat([rows, other]))


def test_laws_of_rows_by_two_tables_are_an_error_that_names_them():
    runs = pd.concat([price_of([relu_network()] * 3, costs) for costs in ("cmos", "flops")])
    runs = runs.assign(configuration=range(6), energy_j=range(1, 7), macs=range(1, 7))
    with pytest.raises(ValueError, match="'cmos', 'flops'"):
        tos.fit_scaling_law(runs, "tos")
    assert tos.fit_scaling_law(runs, "macs").costs == "cmos"  # MACs depend on no table


def test_price_takes_counted_rows_and_keeps_a_column_of_ones_own():
    with pytest.raises(ValueError, match="no op counts"):
        tos.price(pd.DataFrame({"macs": [1.0]}))
    with pytest.raises(ValueError, match=r"column 'costs' .* rename it"):
        tos.price(counted([MODEL]).assign(costs=12.5))
    with pytest.raises(ValueError, match="no cost table 'cmoss'"):
        tos.price(counted([MODEL]), "cmoss")
    runs = counted([MODEL] * 4).assign(configuration=range(4), energy_j=1.0)
    with pytest.raises(ValueError, match=r"^costs: no cost table 'cmoss'"):  # not: no column 'tos'
        tos.fit_scaling_law(runs, "tos", costs="cmoss")


def test_every_predictor_has_a_definition_a_unit_and_a_value():
    table = tos.predictors()
    assert (table.map(len) > 0).all(axis=None)
    assert tos.predictors("horowitz45").unit[["tos", "tos_cmos"]].tolist() == ["pJ", "TO"]
    rows = tos.price(counted([MODEL, shared_and_nested()]).assign(time_s=1.0))
    assert set(table.index) <= set(rows)
    missing = {name for name in table.index if rows[name].isna().any()}
    assert missing == {"tos_horowitz45", "tos_jouppi7"}  # no energies of exponentials


def test_predictors_add_up():
    rows = price_of([MODEL, shared_and_nested()])
    kinds = [c for c in PREDICTORS if c.startswith("mac ")]
    assert rows[kinds].sum(axis=1).tolist() == rows.macs.tolist()
    assert rows["mac conv"].tolist() == rows["mac conv3x3"].fillna(0).tolist()
    assert rows.tos.to_numpy() == pytest.approx(
        (rows.tos_linear + rows.tos_elementary + rows.tos_comparison).to_numpy())
    assert rows.tos.to_numpy() == pytest.approx((rows.tos_mac + rows.tos_elementwise).to_numpy())
    assert rows.tos.to_numpy() == pytest.approx(rows["tos_cmos"].to_numpy())
    ops = rows.ops_linear + rows.ops_elementary + rows.ops_comparison
    assert (ops == rows.macs + rows.ops_elementwise).all()


def test_one_entry_is_a_new_predictor(monkeypatch):
    intensity = Predictor(
        "MACs a byte", "MAC/B", lambda rows, table: rows["mac float32"] / rows.bytes)
    monkeypatch.setattr("tostoolkit.costs.predictors.PREDICTORS",
                        PREDICTORS | {"intensity": intensity})
    rows = pd.DataFrame([count_row(MODEL, b) for b in (1, 2, 4, 8)]).assign(
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


def test_the_table_of_a_price_may_be_a_category():
    rows = tos.price(pd.DataFrame([{"mac float32": 10}]), "flops").astype({"costs": "category"})
    assert tos.price(rows, "macs").tos.tolist() == [10]
