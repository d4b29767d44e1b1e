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


def test_top_quartile_of_ties_is_an_error():
    with pytest.raises(ValueError, match="ties"):
        folds(RUNS.assign(flat=1), "top-quartile-flat")


def test_a_missing_value_is_a_group_of_its_own():
    """It is not equal to itself, so that its runs were never tested."""
    runs = pd.DataFrame({"configuration": list("aabbcc"), "site": ["x", "x", "y", "y", None, None]})
    parts = folds(runs, "leave-one-site-out")
    assert [test.tolist() for _, test in parts] == [[0, 1], [2, 3], [4, 5]]
    assert [train.tolist() for train, _ in parts] == [[2, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 3]]
