import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import fleet, synthetic

import tostoolkit as tos
from tostoolkit.laws.prepare import prepare
from tostoolkit.laws.validation import folds, held_out
from tostoolkit.statistics import precision_metrics

RUNS = synthetic()


@given(st.integers(2, 12), st.integers(0, 1000))
def test_folds_never_split_repeats_and_test_every_run_once(k, seed):
    shuffled = RUNS.sample(frac=1, random_state=seed % 17)
    tested = []
    for train, test in folds(shuffled, "k-fold", k=k, seed=seed):
        a, b = (set(shuffled.configuration.iloc[i]) for i in (train, test))
        assert not a & b
        tested += list(test)
    assert sorted(tested) == list(range(len(RUNS)))


def test_leave_one_out_leaves_a_whole_group_out():
    parts = folds(RUNS, "leave-one-activation-out")
    assert len(parts) == 3
    for train, test in parts:
        (group,) = set(RUNS.activation.iloc[test])
        assert group not in set(RUNS.activation.iloc[train])


def test_top_quartile_is_larger_than_all_it_was_trained_on():
    ((train, test),) = folds(RUNS, "top-quartile-linear")
    assert RUNS.linear.iloc[train].max() < RUNS.linear.iloc[test].min()
    assert len(test) == pytest.approx(len(RUNS) / 4, abs=3)


def test_held_out_prediction_does_not_see_its_own_run():
    """A run that is wrong moves every law but the one that predicts it."""
    wrong = RUNS.copy()
    own = wrong.configuration == 7
    wrong.loc[own, "energy_j"] *= 50
    before, after = (
        tos.fit_scaling_law(r, "linear").held_out("k-fold", k=60) for r in (RUNS, wrong))
    moved = (after / before - 1).abs()
    assert (moved[own[moved.index]] < 1e-12).all()
    assert (moved[~own[moved.index]] > 1e-6).all()


def test_protocol_finds_nothing_where_there_is_nothing():
    """Energies dealt at random to configurations: no predictor may explain them held out."""
    rng = np.random.default_rng(0)
    shuffled = RUNS.copy()
    order = rng.permutation(RUNS.configuration.nunique())
    energy = RUNS.groupby("configuration").energy_j.mean().to_numpy()[order]
    shuffled["energy_j"] = energy[RUNS.configuration]
    table = tos.compare_predictors(
        shuffled, {"both": ["linear", "nonlinear"]}, ["k-fold"], form="linear")
    assert table.r2[0] < 0.1
    honest = tos.compare_predictors(
        RUNS, {"both": ["linear", "nonlinear"]}, ["k-fold"], form="linear")
    assert honest.r2[0] > 0.99


def test_better_predictor_wins_and_the_interval_says_so():
    table = tos.compare_predictors(
        RUNS, {"linear": "linear", "both": ["linear", "nonlinear"]},
        ["in-sample", "k-fold", "leave-one-activation-out", "top-quartile-linear"])
    assert len(table) == 8
    both = table[table.predictor == "both"]
    assert (both.mean_relative_error < 0.05).all()
    assert (both.difference_upper < 0).all()
    assert ((both.lower <= both.mean_relative_error) & (both.mean_relative_error <= both.upper)
            ).all()
    assert (table[table.predictor == "linear"].difference == 0).all()


def test_protocols_agree_with_metrics_by_hand():
    predicted = tos.fit_scaling_law(RUNS, "linear").held_out("k-fold", k=5, seed=3)
    error = (predicted / RUNS.energy_j.loc[predicted.index] - 1).abs()
    table = tos.compare_predictors(RUNS, {"x": "linear"}, ["k-fold"], k=5, seed=3)
    assert table.mean_relative_error[0] == pytest.approx(error.mean())
    assert table.precision[0] == pytest.approx(1 - error.mean())


@pytest.mark.parametrize(("protocol", "words"), [
    ("bootstrap", ["'bootstrap'", "k-fold"]),
    ("leave-one-device-out", ["'device'", "one value"]),
    ("leave-one-family-out", ["'family'", "activation"]),
    ("top-quartile-macs", ["'macs'"]),
])
def test_unusable_protocol_is_an_error(protocol, words):
    with pytest.raises(ValueError, match="protocol") as caught:
        folds(RUNS, protocol)
    for word in words:
        assert word in str(caught.value)


def test_more_folds_than_configurations_is_an_error():
    with pytest.raises(ValueError, match="61 folds of 60"):
        folds(RUNS, "k-fold", k=61)


def test_no_predictors_is_an_error():
    with pytest.raises(ValueError, match="none given"):
        tos.compare_predictors(RUNS, {})


def test_predictor_with_the_wrong_name_is_an_error():
    with pytest.raises(ValueError, match="'linaer'"):
        tos.compare_predictors(RUNS, {"x": "linaer", "y": "linear"})
    with pytest.raises(ValueError, match="compare laws of one response"):
        tos.compare_predictors(RUNS, {"x": "time_s ~ linear"})
    with pytest.raises(ValueError, match="no data set"):
        tos.compare_predictors({}, {"x": "linear"})
    with pytest.raises(ValueError, match="protocols: none"):
        tos.compare_predictors(RUNS, {"x": "linear"}, [])


def test_what_cannot_be_fitted_is_a_row_with_the_reason():
    runs = RUNS.assign(flat=1.0, gap=np.nan)
    other = RUNS.drop(columns=["nonlinear", "activation"]).assign(flat=RUNS.linear, gap=RUNS.linear)
    table = tos.compare_predictors(
        {"ours": runs, "theirs": other},
        {"linear": "linear", "flat": "flat", "gap": "gap", "nonlinear": "nonlinear"},
        ["k-fold", "leave-one-activation-out"]).set_index(["dataset", "predictor", "protocol"])
    assert len(table) == 16
    assert (table.reason == "").sum() == table.mean_relative_error.notna().sum() == 7
    reasons = table.reason
    assert "constant at 1" in reasons["ours", "flat", "k-fold"]
    assert "missing" in reasons["ours", "gap", "k-fold"]
    assert "'nonlinear'" in reasons["theirs", "nonlinear", "k-fold"]
    assert "'activation'" in reasons["theirs", "linear", "leave-one-activation-out"]
    with pytest.raises(ValueError, match="'depth'"):
        tos.compare_predictors({"ours": runs}, {"x": "linear"}, ["leave-one-depth-out"])


def test_devices_of_a_data_set_are_fitted_one_by_one():
    two = pd.concat([RUNS, RUNS.assign(device="e", energy_j=RUNS.energy_j * 7)])  # index repeats
    laws = {"both": ["linear", "nonlinear"]}
    table = tos.compare_predictors({"two": two}, laws, ["k-fold"])
    assert table.device.tolist() == ["d", "e"]
    one = tos.compare_predictors(RUNS, laws, ["k-fold"])
    assert table.mean_relative_error.to_numpy() == pytest.approx(
        np.repeat(one.mean_relative_error, 2).to_numpy())
    with pytest.raises(ValueError, match="2 devices"):
        tos.compare_predictors(two, laws)
    with pytest.raises(ValueError, match=r"two: .*not positive"):
        tos.compare_predictors({"two": two.assign(energy_j=0.0)}, laws)
    mixed = tos.compare_predictors({"two": two}, laws, ["k-fold"], form="mixed")
    assert mixed.device.tolist() == ["d, e"]
    power = tos.compare_predictors(RUNS, laws, ["k-fold"], form="power")
    assert mixed.mean_relative_error[0] == pytest.approx(power.mean_relative_error[0], rel=0.1)


def test_a_device_left_out_of_a_mixed_law_is_predicted_at_the_mean():
    one = synthetic(exponent=0.7)
    runs = pd.concat([one.assign(device=d, energy_j=one.energy_j * f)
                      for d, f in {"a": 0.5, "b": 1.0, "c": 2.0}.items()], ignore_index=True)
    predicted = tos.fit_scaling_law(runs, "linear", form="mixed").held_out("leave-one-device-out")
    ratio = (predicted / runs.energy_j).groupby(runs.device).median()
    # the mean of the other two logs: sqrt(1 * 2) / 0.5, sqrt(0.5 * 2) / 1, sqrt(0.5 * 1) / 2
    assert ratio.to_numpy() == pytest.approx([2**1.5, 1.0, 2**-1.5], rel=0.01)


@pytest.mark.parametrize("form", ["relative", "gamma", "nonnegative", "power"])
def test_held_out_predictions_are_those_of_laws_fitted_without_the_fold(form):
    terms = ["linear", "nonlinear"]
    predicted = tos.fit_scaling_law(RUNS, terms, form=form).held_out("k-fold", k=4)
    for train, test in folds(RUNS, "k-fold", k=4):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # beyond the range of the fold
            law = tos.fit_scaling_law(RUNS.iloc[train], terms, form=form)
            own = law.predict(RUNS.iloc[test])
        assert predicted[own.index].to_numpy() == pytest.approx(own.to_numpy())


def shuffled_r2(terms, protocol, n=60):
    """Return R^2 of the runs, and of `n` tables whose responses are dealt to other configurations.

    In the form ``linear`` R^2 is what is minimised, so there a leak shows most.
    """
    rng = np.random.default_rng(0)
    energy = RUNS.energy_j.to_numpy().reshape(-1, 3)  # repeats stay together
    scores = []
    for draw in range(n + 1):
        dealt = energy if not draw else energy[rng.permutation(len(energy))]
        runs = RUNS.assign(energy_j=dealt.ravel())
        p = held_out(prepare(runs, terms, form="linear"), folds(runs, protocol, seed=draw))
        scores.append(precision_metrics(runs.energy_j[p.index], p).r2)
    return scores[0], np.array(scores[1:])


@pytest.mark.parametrize("terms", ["linear", ["linear", "nonlinear"]])
def test_no_protocol_finds_anything_where_there_is_nothing_but_in_sample(terms):
    for protocol in ("k-fold", "leave-one-activation-out"):
        r2, shuffled = shuffled_r2(terms, protocol)
        assert r2 > 0.3
        assert shuffled.mean() <= 0
        assert (shuffled < r2).all()
    _, shuffled = shuffled_r2(terms, "in-sample")
    assert shuffled.mean() > 3 * shuffled.std(ddof=1) / len(shuffled) ** 0.5


def test_held_out_validation_of_a_random_slope_is_of_that_law():
    """Of the law that is judged, and not of one with random intercepts alone."""
    runs = fleet(4, slope=0.15)
    laws = {slope: tos.fit_scaling_law(runs, "linear", form="mixed", slope=slope)
            for slope in (None, "linear")}
    error = {slope: (law.held_out("k-fold", k=4) / runs.energy_j - 1).abs().mean()
             for slope, law in laws.items()}
    assert error["linear"] < 0.5 * error[None]


def test_the_top_quartile_is_not_of_two_prices():
    runs = RUNS.assign(tos=RUNS.linear, costs=np.where(RUNS.configuration < 30, "cmos", "flops"))
    with pytest.raises(ValueError, match="priced by 'cmos', 'flops'"):
        folds(runs, "top-quartile-tos")


@pytest.mark.parametrize(("option", "word"), [({"k": 1}, "k: 1"), ({"k": 0}, "k: 0"),
                                              ({"bootstrap": 0}, "bootstrap: 0")])
def test_too_few_folds_or_resamples_are_named(option, word):
    with pytest.raises(ValueError, match=word):
        tos.compare_predictors(RUNS, {"x": "linear"}, ["k-fold"], **option)


def test_a_gap_of_the_cost_table_is_the_reason_where_some_runs_have_no_price():
    runs = tos.price(pd.DataFrame({
        "mac float32": np.arange(1.0, 31), "exp float32": [0.0, 1, 2] * 10,
        "configuration": range(30)}))
    runs["energy_j"] = runs.tos
    assert runs["tos_horowitz45"].isna().sum() == 20
    table = tos.compare_predictors(runs, {"MACs": "macs", "45 nm": "tos_horowitz45"}, ["k-fold"],
                                   bootstrap=10)
    assert table.reason[1] == "costs: table 'horowitz45' has no cost for exp in float32"


def test_top_quartile_of_ties_is_an_error():
    with pytest.raises(ValueError, match="ties"):
        folds(RUNS.assign(flat=1), "top-quartile-flat")


def test_a_predictor_that_no_run_could_be_priced_for_has_its_reason():
    runs = pd.DataFrame(10 ** np.random.default_rng(0).uniform(6, 9, (30, 2)),
                        columns=["mac float32", "exp float32"])
    runs = tos.price(runs.assign(configuration=range(30)))
    runs["energy_j"] = runs.tos
    assert runs["tos_horowitz45"].isna().all()
    table = tos.compare_predictors(runs, {"MACs": "macs", "45 nm": "tos_horowitz45"}, ["k-fold"],
                                   bootstrap=10).set_index("predictor")
    assert table.reason["45 nm"] == "costs: table 'horowitz45' has no cost for exp in float32"
    assert np.isnan(table.mean_relative_error["45 nm"])


def test_a_missing_value_is_a_group_of_its_own():
    """It is not equal to itself, so that its runs were never tested."""
    runs = pd.DataFrame({"configuration": list("aabbcc"), "site": ["x", "x", "y", "y", None, None]})
    parts = folds(runs, "leave-one-site-out")
    assert [test.tolist() for _, test in parts] == [[0, 1], [2, 3], [4, 5]]
    assert [train.tolist() for train, _ in parts] == [[2, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 3]]
