import numpy as np
import pandas as pd
import pytest
from runs import synthetic

import tostoolkit as tos


def test_ceiling_is_that_of_the_planted_noise():
    """|mean of 2 others / y - 1| of noise s: s sqrt(1 + 1/2), times sqrt(2 / pi) on average."""
    ceiling = tos.repeatability(synthetic(n=400, noise=0.04))
    expected = 0.04 * 1.5**0.5 * (2 / np.pi) ** 0.5
    assert ceiling.mean_relative_error == pytest.approx(expected, rel=0.06)
    assert ceiling.lower < expected < ceiling.upper
    assert (ceiling.n_runs, ceiling.n_configurations, ceiling.n_single) == (1200, 400, 0)


def test_ceiling_by_hand_with_one_that_has_no_repeat():
    runs = pd.DataFrame({"configuration": list("aaab"), "energy_j": [1.0, 2.0, 4.0, 5.0]})
    ceiling = tos.repeatability(runs)
    assert ceiling.mean_relative_error == pytest.approx((2 + 0.25 + 0.625) / 3)
    assert (ceiling.n_runs, ceiling.n_configurations, ceiling.n_single) == (3, 1, 1)


def test_repeats_on_two_devices_are_no_repeats():
    runs = synthetic(noise=0)
    both = pd.concat([runs, runs.assign(device="e", energy_j=9 * runs.energy_j)])
    assert tos.repeatability(both).mean_relative_error == pytest.approx(0, abs=1e-12)


def test_a_law_that_is_true_reaches_the_ceiling_and_not_more():
    runs = synthetic(noise=0.04, n=200)
    held = tos.compare_predictors(runs, {"true": ["linear", "nonlinear"]}, ["k-fold"])
    ceiling = tos.repeatability(runs).mean_relative_error
    assert held.mean_relative_error[0] == pytest.approx(ceiling * (2 / 3) ** 0.5, rel=0.08)


@pytest.mark.parametrize(("runs", "words"), [
    (synthetic(repeats=1), ["single repeat", "repeats=3"]),
    (synthetic().assign(energy_j=-1.0), ["energy_j", "not positive"]),
    (synthetic().drop(columns="energy_j"), ["'energy_j'"]),
])
def test_bad_runs_are_an_error(runs, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        tos.repeatability(runs)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(("effect", "noise"), [(0.03, 0.04), (0.1, 0.04), (-0.2, 0.3), (0.5, 0.01)])
def test_pairs_for_an_effect_are_those_of_statsmodels(effect, noise):
    from statsmodels.stats.power import TTestPower

    runs = synthetic(n=30, noise=noise)
    logs = np.log(runs.energy_j)
    gaps = logs - logs.groupby(runs.configuration).transform("mean")
    of_pair = np.sqrt((gaps**2).sum() / 60 * 2 / 3)
    size = abs(np.log1p(effect)) / of_pair
    n = tos.repeatability(runs, effects=[effect])[f"pairs_for_{effect:g}"]
    assert TTestPower().power(size, n, 0.05) >= 0.95 or n == 2
    if n > 2:
        assert TTestPower().power(size, n - 1, 0.05) < 0.95
    if 1e-3 < size < 5:
        assert n == np.ceil(TTestPower().solve_power(size, alpha=0.05, power=0.95))


def test_pairs_of_a_small_sample_are_more_than_the_normal_quantiles_say():
    """7 pairs by normal quantiles; a t test of so few needs 9."""
    runs = pd.DataFrame({"configuration": list("aabb"), "energy_j": [1.0, 1.1, 2.0, 2.2]})
    assert tos.repeatability(runs, effects=[0.1])["pairs_for_0.1"] == 9


def test_several_sets_are_rows():
    sets = {"a": synthetic(), "b": synthetic(seed=1)}
    table = tos.repeatability(sets)
    assert table.index.tolist() == ["a", "b"]
    pd.testing.assert_series_equal(table.loc["b"], tos.repeatability(sets["b"]), check_names=False)


@pytest.mark.parametrize(("options", "word"), [
    ({"effects": [0]}, "effects: 0"), ({"effects": -1}, "effects: -1"),
    ({"effects": 1e-9}, "effects: 1e-09 cannot be told"), ({"bootstrap": 0}, "bootstrap: 0"),
    ({"power": 1}, "power: 1")])
def test_a_bad_effect_or_power_is_named(options, word):
    with pytest.raises(ValueError, match=word):
        tos.repeatability(synthetic(), **options)


def test_an_effect_that_no_number_of_pairs_tells_is_named():
    runs = pd.DataFrame({"configuration": list("aabb"), "energy_j": [1.0, 3.0, 2.0, 2.5]})
    with pytest.raises(ValueError, match="effects: 1e-09 cannot be told"):
        tos.repeatability(runs, effects=(1e-9,))
