import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_scaling_law import synthetic

import tostoolkit as tos
from tostoolkit.validation import folds

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
        tos.held_out_predictions(r, "linear", "k-fold", k=60) for r in (RUNS, wrong))
    assert (before[own[before.index]] == after[own[after.index]]).all()
    assert (before[~own[before.index]] != after[~own[after.index]]).all()


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
    predicted = tos.held_out_predictions(RUNS, "linear", "k-fold", k=5, seed=3)
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
