"""Tables of results: rounded, carried over, in words."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from runs import synthetic

import tostoolkit as tos
from tostoolkit import figures
from tostoolkit.laws import results

DERIVED = Path(__file__).parents[2] / "data" / "derived"


def errors_of(errors):
    return pd.DataFrame({"dataset": list(errors), "error": list(errors.values())})


def test_floats_keep_four_digits_and_nothing_else_changes():
    table = pd.DataFrame({"error": [0.123456, 1234567.0, -4.39449e-16, np.nan, np.inf, 0.0],
                          "n": 123456789, "name": "a", "best": True})
    rounded = results.significant(table)
    # by NumPy, digit by digit of the decimal exponent
    expected = [np.round(0.123456, 4), np.round(1234567.0, -3), np.round(-4.39449e-16, 19)]
    assert rounded.error[:3].to_numpy() == pytest.approx(np.array(expected), rel=1e-12, abs=0)
    assert np.isnan(rounded.error[3])
    assert rounded.error[4:].tolist() == [np.inf, 0.0]
    pd.testing.assert_frame_equal(rounded.drop(columns="error"), table.drop(columns="error"))


def test_numbers_in_a_table_that_was_turned_are_rounded_too():
    table = pd.DataFrame({"a": {"error": 1.23456, "n": 3}, "b": {"error": 2.0, "n": 4}}).T
    assert results.significant(table.astype(object)).error.tolist() == [1.235, 2.0]


def test_what_is_committed_is_rounded():
    for name, table in results.read_numbers(DERIVED / "03_numbers.json").items():
        pd.testing.assert_frame_equal(results.significant(table), table, check_exact=True, obj=name)


def test_missing_numbers_of_either_kind_stay_missing():
    table = pd.DataFrame({"error": pd.array([1.23456, None], "Float64")})
    assert results.significant(table).error.tolist()[0] == 1.235
    assert results.significant(table).error.isna().tolist() == [False, True]


def test_numbers_come_back_as_they_were_written(tmp_path):
    tables = {"errors": pd.DataFrame({"error": [1.23456e-9, np.nan], "n": [1, 2], "by": ["é", ""]})}
    results.write_numbers(tmp_path / "numbers.json", tables)
    again = results.read_numbers(tmp_path / "numbers.json")
    pd.testing.assert_frame_equal(again["errors"], results.significant(tables["errors"]))
    assert again["errors"].error[0] == 1.235e-9  # small numbers are not lost


def test_one_row_a_configuration_with_the_mean_of_its_runs():
    runs = pd.DataFrame({"configuration": list("bab"), "energy_j": [1.0, 7.0, 4.0],
                         "time_s": [2.0, 3.0, 4.0], "macs": [5, 6, 5]}, index=[4, 4, 9])
    means = results.mean_of_repeats(runs)
    assert means.to_numpy().tolist() == [["b", 2.5, 3.0, 5], ["a", 7.0, 3.0, 6]]


def test_what_is_lacking_is_carried_over_in_its_place_and_marked():
    before = errors_of({"ours": 0.3, "nets": 0.16, "layers": 0.5, "boards": 0.4})
    now = errors_of({"ours": 0.31, "layers": 0.5, "new": 0.2})
    table = results.carried_over(now, before, ["nets", "boards"])
    assert table.to_numpy().tolist() == [
        ["ours", 0.31, False], ["nets", 0.16, True], ["layers", 0.5, False],
        ["boards", 0.4, True], ["new", 0.2, False]]


def test_nothing_is_carried_where_all_is_at_hand():
    now = errors_of({"b": 1.0, "a": 2.0})
    table = results.carried_over(now, errors_of({"a": 3.0, "gone": 4.0}), [])
    pd.testing.assert_frame_equal(table, now.assign(carried=False))


def test_carrying_again_is_the_same():
    before = errors_of({"ours": 0.3, "nets": 0.16})
    once = results.carried_over(errors_of({"ours": 0.3}), before, ["nets"])
    again = results.carried_over(errors_of({"ours": 0.3}), once, ["nets"])
    pd.testing.assert_frame_equal(again, once)
    more = errors_of({"ours": 0.3, "nets": 0.16, "boards": 0.4})
    assert results.carried_over(once, more, ["boards"]).carried.tolist() == [False, True, True]


def test_everything_may_be_lacking():
    before = errors_of({"nets": 0.16})
    assert results.carried_over(errors_of({}), before, ["nets"]).carried.tolist() == [True]


@pytest.mark.parametrize(("lacking", "word"), [
    (["none"], "'none' has no rows in the earlier table"), (["ours"], "'ours' has rows")])
def test_what_cannot_be_carried_over_is_an_error(lacking, word):
    with pytest.raises(ValueError, match=word):
        results.carried_over(errors_of({"ours": 1.0}), errors_of({"ours": 1.0}), lacking)


def test_a_table_that_does_not_name_its_data_is_an_error():
    with pytest.raises(ValueError, match=r"column: the table has no 'data'; .*, of dataset, error"):
        results.carried_over(errors_of({"a": 1.0}), errors_of({"a": 1.0}), [], "data")


def errors(difference, lower, upper, **more):
    return pd.DataFrame({
        "dataset": "d", "device": "CPU", "response": "time_s", "predictor": ["MACs", "TOs", "best"],
        "mean_relative_error": [0.4, 0.4 + difference, 0.1], "difference": [0, difference, -0.3],
        "difference_lower": [0, lower, -0.4], "difference_upper": [0, upper, -0.2]}).assign(**more)


@pytest.mark.parametrize(("difference", "lower", "upper", "verdict"), [
    (-0.1, -0.2, -0.01, "better"), (0.1, 0.01, 0.2, "worse"),
    (0.1, -0.01, 0.2, "neither better nor worse"), (-0.1, -0.2, 0.0, "neither better nor worse"),
    (0.004, 0.003, 0.005, "the same to half a point")])
def test_verdict_is_that_of_the_interval(difference, lower, upper, verdict):
    sentence, = results.verdicts(errors(difference, lower, upper))
    said = f"of one TO number {0.4 + difference:.1%}, {verdict} ({100 * difference:+.2f}"
    assert said in sentence
    assert sentence.endswith("best: best, 10.0%.")
    assert "carried" not in sentence


def test_laws_that_could_not_be_fitted_and_devices_without_a_name_are_said():
    table = errors(-0.1, -0.2, -0.01).assign(device=np.nan)
    assert results.verdicts(table)[0].startswith("d, nan (time_s)")
    table.loc[1, "mean_relative_error"] = np.nan
    assert results.verdicts(table) == ["d, nan: no law of MACs, or of TOs, could be fitted."]


def test_verdicts_and_captions_say_what_is_carried_over():
    table = errors(-0.1, -0.2, -0.01, carried=True)
    assert "(time_s, carried over)" in results.verdicts(table)[0]
    caption = figures.caption(figures.heldout_error, table)
    first = figures.heldout_error.__doc__.splitlines()[0]
    assert caption == f"{first} Carried over from an earlier run: d."
    assert figures.caption(figures.heldout_error, table.assign(carried=False)) == first
    assert figures.caption(figures.heldout_error, table.drop(columns="carried")) == first


def test_held_out_runs_have_the_errors_that_the_comparison_says():
    runs = synthetic(noise=0.1)
    joined = pd.concat([runs[:90], runs[90:].set_axis(range(90))])  # labels repeat
    laws = {"one": "linear", "two": ["linear", "nonlinear"]}
    table = results.held_out_runs(joined, laws)
    errors = tos.compare_predictors(runs, laws, ["k-fold"], bootstrap=10).set_index("predictor")
    found = (table.predicted / table.measured - 1).abs().groupby(table.predictor).mean()
    assert found.to_dict() == pytest.approx(errors.mean_relative_error.to_dict())
    assert table.groupby("predictor").configuration.nunique().tolist() == [60, 60]


def test_joules_of_every_run_make_a_law_of_energy_and_one_gap_makes_it_one_of_time():
    runs = pd.DataFrame({"energy_j": [1.0, 2.0], "time_s": [0.1, 0.2]})
    gap = runs.assign(energy_j=[1.0, None])
    assert results.response_of(runs, runs) == "energy_j"
    assert results.response_of(runs, gap) == results.response_of(gap) == "time_s"
    assert [results.QUANTITIES[r] for r in ("energy_j", "time_s")] == ["energy", "time"]


def test_pairs_and_weights_in_words_are_those_of_their_tables():
    runs = synthetic().assign(family="f", width=lambda r: r.configuration // 3)
    effects = tos.pair_effects({"ours": runs}, "activation", "relu", factors=["width"])
    together = effects[effects.level == "all others"]
    (sentence,) = results.pair_verdicts(together, "energy")
    row = together.iloc[0]
    assert sentence.startswith(f"ours: another activation than relu at equal MACs changes the "
                               f"energy by {row.effect:+.1%} [{row.lower:+.1%}, {row.upper:+.1%}]")
    assert "the law of" not in sentence
    priced = tos.pair_effects({"ours": runs}, "activation", "relu", laws={"L": "linear"},
                              factors=["width"])
    assert all("the law of L predicts" in s for s in results.pair_verdicts(priced, "energy"))
