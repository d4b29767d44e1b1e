"""The measures of a design, on tables whose answer is known; matched pairs."""

import numpy as np
import pandas as pd
import pytest

import tostoolkit as tos
from tostoolkit import statistics
from tostoolkit.models import design
from tostoolkit.models.design import factors_of, matched_pairs

RNG = np.random.default_rng(0)


def by_regression(columns, constant):
    """1 / (1 - R^2) of each column on the others, by least squares."""
    inflation = []
    for j in range(columns.shape[1]):
        y, x = columns[:, j], np.delete(columns, j, axis=1)
        if constant:
            x = np.column_stack([x, np.ones(len(x))])
        rest = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
        centre = y.mean() if constant else 0.0
        inflation.append(((y - centre) ** 2).sum() / (rest**2).sum())
    return inflation


def test_inflation_is_that_of_the_regressions():
    work = np.exp(RNG.normal(size=(40, 3)))
    work[:, 1] += 0.5 * work[:, 0]
    total = work.sum(axis=1) + RNG.random(40)
    shares = np.column_stack([work, np.ones(40)]) / total[:, None]
    assert statistics.inflation_relative(work, total) == pytest.approx(
        by_regression(shares, constant=False)[:3], rel=1e-6)
    assert statistics.inflation_log(work) == pytest.approx(
        by_regression(np.log1p(work), constant=True), rel=1e-6)


def test_collinear_work_is_inflated_without_bound_and_absent_work_has_none():
    x = RNG.random(20) + 1
    work = np.column_stack([x, 3 * x, np.zeros(20)])
    inflation = statistics.inflation_relative(work, np.ones(20))
    assert (inflation[:2] > 1e6).all()
    assert np.isnan(inflation[2])


def test_rank_correlation_is_scipys():
    from scipy.stats import spearmanr

    x, y = RNG.integers(1, 9, 50), RNG.integers(1, 9, 50)  # with ties
    assert design.correlations(x, y)[1] == pytest.approx(spearmanr(x, y).statistic)


def fake(n=24):
    """A counted set: MACs and exponentials of sizes drawn apart, comparisons too."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame({
        "configuration": [f"c{i}" for i in range(n)],
        "activation": ["tanh", "relu"] * (n // 2), "width": np.repeat(np.arange(n // 2), 2),
        "phase": "inference", "family": "feed_forward", "parameters": 1})
    for op in ("mac", "add", "exp", "max"):
        table[f"{op} float32"] = (10 ** rng.uniform(2, 7, n)).astype(int)
    return table


def test_report_of_independent_work_is_met_and_of_proportional_work_is_not():
    table = fake()
    report = tos.design_report(table)
    assert report.pairs.pairs.to_dict() == {"activation": 12}
    assert report.levels.loc["activation"].rows.to_dict() == {"tanh": 12, "relu": 12}
    span = table["mac float32"].max() / table["mac float32"].min()
    assert report.criteria.value["inference", "span of MACs", "ratio"] == pytest.approx(span)
    assert "criteri" in str(report)
    assert "<table" in report._repr_html_()

    tied = tos.design_report(table.assign(**{"exp float32": table["mac float32"] // 10 + 1}))
    assert not tied.met
    assert tied.criteria.value[
        "inference", "correlation of MACs and elementary TOs", "logs"] > 0.99


def test_a_measured_response_takes_the_place_of_the_tos():
    table = fake().assign(energy_j=1.0)  # equal energies: the columns are the counts themselves
    work = tos.price(table)[["tos_linear", "tos_elementary", "tos_comparison"]].to_numpy()
    value = tos.design_report(table, response="energy_j").criteria.value
    assert value["inference", "variance inflation of tos_linear", "relative"] == pytest.approx(
        statistics.inflation_relative(work, np.ones(len(table)))[0])


@pytest.mark.parametrize(("table", "kwargs", "word"), [
    (fake()[["configuration"]], {}, "no counts in it"), (fake(6), {}, "6 configurations"),
    (fake(), {"response": "energy_mj"}, "no column 'energy_mj'"),
])
def test_bad_tables_are_named(table, kwargs, word):
    with pytest.raises(ValueError, match=word):
        tos.design_report(table, **kwargs)


def test_a_correlation_of_fewer_than_three_rows_with_elementary_work_is_missing():
    table = fake().assign(**{"exp float32": [7, 8] + [0] * 22})
    value = tos.design_report(table).criteria.value.xs(
        "correlation of MACs and elementary TOs", level="criterion")
    assert len(value) == 2
    assert value.isna().all()


def test_rows_of_no_family_need_their_factors_named():
    table = fake().drop(columns="family")
    with pytest.raises(ValueError, match=r"no column 'family'.*factors="):
        tos.design_report(table)
    with pytest.raises(ValueError, match=r"family: 'mine' is unknown.*factors="):
        tos.design_report(table.assign(family="mine"))
    report = tos.design_report(table, factors=["activation"])
    assert report.levels.rows.to_dict() == {("activation", "tanh"): 12, ("activation", "relu"): 12}
    assert report.pairs.empty
    pd.testing.assert_frame_equal(report.criteria, tos.design_report(fake()).criteria)


@pytest.mark.parametrize("seed", range(10))
def test_factors_and_pairs_are_the_same_whatever_the_order_of_the_columns(seed):
    """As runs have them: factors before and after what was measured, and columns of one's own."""
    counted = fake().assign(time_s=1.0, lab=[f"person {i}" for i in range(24)])
    columns = np.random.default_rng(seed).permutation(counted.columns)
    shuffled = counted[columns]
    assert factors_of(shuffled) == ["width", "activation", "phase"]
    report = tos.design_report(shuffled)
    assert report.pairs.pairs.to_dict() == {"activation": 12}
    assert set(report.levels.index.get_level_values("factor")) == {"width", "activation"}
    shuffled = models(n=None)
    shuffled = shuffled[shuffled.activation != "relu"]
    shuffled = shuffled[np.random.default_rng(seed).permutation(shuffled.columns)]
    twins = matched_pairs(shuffled).iloc[len(shuffled):]
    assert len(twins) == 2 * 2 * 2  # depths, widths, with or without normalisation
    assert set(twins.activation) == {"relu"}


def test_twins_of_two_families_are_their_own():
    """A family without the factor has no twins, and rows of two families are no pair."""
    rows = pd.concat([models(n=None), models(n=None).assign(family="convolutional", filters=8)],
                     ignore_index=True)
    some = rows[(rows.activation == "tanh") | (rows.family == "feed_forward")]
    pairs = matched_pairs(some.reset_index(drop=True))
    assert len(pairs) == len(some) + 8
    assert set(pairs.family.iloc[len(some):]) == {"convolutional"}
    twins = matched_pairs(rows, "batch_norm")
    assert len(twins) == len(rows)
    with pytest.raises(ValueError, match="factor: 'kernel' is not a factor"):
        matched_pairs(rows, "kernel")


def test_twins_are_named_after_their_rows_whatever_these_are_called():
    rows = models(n=None).query("activation == 'gelu'").reset_index(drop=True)
    rows["configuration"] = [f"model {i}" for i in rows.index]
    pairs = matched_pairs(rows)
    assert pairs.configuration.tolist() == [
        *rows.configuration, *(f"{name} activation=relu" for name in rows.configuration)]


def models(**kwargs):
    return tos.feed_forward(depths=(1, 2), widths=(8, 16), activations=("relu", "tanh", "gelu"),
                            batch_norms=(False, True), input_sizes=(4,), batch_sizes=(2,),
                            phases=("inference",), dtypes=("float32",), **kwargs)


@pytest.mark.parametrize(("factor", "baseline", "given"), [
    ("activation", "relu", {}), ("batch_norm", False, {}),
    ("activation", "gelu", {"baseline": "gelu"})])
def test_twins_differ_in_the_factor_alone(factor, baseline, given):
    grid = models(n=None)
    some = grid[grid[factor] != baseline].iloc[::3].reset_index(drop=True)
    pairs = matched_pairs(some, factor, **given)
    assert pairs.configuration.is_unique
    assert set(pairs.configuration) <= set(grid.configuration)  # named as the set names them
    pd.testing.assert_frame_equal(pairs.iloc[:len(some)], some)
    twins = pairs.iloc[len(some):]
    assert (twins[factor] == baseline).all()
    others = ["depth", "width", "activation", "batch_norm"]
    others.remove(factor)
    assert set(map(tuple, twins[others].to_numpy())) == set(map(tuple, some[others].to_numpy()))
    level = pairs[factor] == baseline
    assert len(pairs[~level].merge(pairs[level], on=others)) == len(some)
    macs = tos.count_models(pairs).groupby(others)["mac float32"].nunique()
    assert (macs == 1).all()


def test_a_number_of_pairs():
    grid = models(n=None)
    some = grid[grid.activation != "relu"].reset_index(drop=True)
    assert len(matched_pairs(some, n=3)) == len(some) + 3
    whole = matched_pairs(grid)
    pd.testing.assert_frame_equal(whole, grid)  # a whole grid holds its twins


@pytest.mark.parametrize(("kwargs", "word"), [
    ({"factor": "kernel"}, "factor: 'kernel' is not a factor"),
    ({"factor": "width"}, "baseline: none is known of 'width'"), ({"n": 99}, "n: 99 pairs"),
    ({"n": -1}, "n: -1"),
])
def test_bad_pairs_are_named(kwargs, word):
    with pytest.raises(ValueError, match=word):
        matched_pairs(models(n=4), **kwargs)
