from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tostoolkit as tos


def paired(effect, seed=0, pairs=24, repeats=3, noise=0.04, drift=0.0):
    """Runs of relu and gelu twins, at the noise of a machine at rest, on a drifting machine."""
    rng = np.random.default_rng(seed)
    runs = pd.DataFrame(
        [(w, a, r) for w in range(pairs) for a in ("relu", "gelu") for r in range(repeats)],
        columns=["width", "activation", "repeat"])
    runs.insert(0, "configuration", runs.width.astype(str) + runs.activation)
    runs.insert(3, "family", "f")
    runs["energy_j"] = (1 + runs.width) * (1 + effect * (runs.activation == "gelu")) * np.exp(
        noise * rng.standard_normal(len(runs)) + drift * runs.repeat)
    return runs.sample(frac=1, random_state=seed)


def summary(runs):
    effects = tos.matched_pair_effects(runs, "activation", "relu")
    return tos.matched_pair_summary(effects).loc["gelu"]


def test_planted_three_per_cent_is_found_and_nothing_where_there_is_none():
    found = [summary(paired(0.03, seed)) for seed in range(60)]
    assert sum(s.lower > 0 for s in found) >= 57  # 1.5 are expected to be missed of power 0.99
    assert sum(s.lower <= 0.03 <= s.upper for s in found) >= 52
    none = [summary(paired(0.0, seed)) for seed in range(100)]
    false = sum(not s.lower <= 0 <= s.upper for s in none)
    assert 1 <= false <= 11  # of 100 at 5 %, others happen once in 100


@pytest.mark.parametrize("effect", [0.08, pytest.param(0.03, marks=pytest.mark.prove)])
@pytest.mark.parametrize("family", ["feed_forward", "convolutional", "transformer"])
def test_an_effect_is_found_at_the_noise_of_the_committed_sweeps(family, effect):
    """With as many pairs as that noise asks for, and with a quarter of them seldom."""
    runs = tos.load_runs(Path(__file__).parents[2] / "data" / "raw" / f"cpu_{family}.csv")
    needed = tos.pairs_needed(runs, effect, "time_s")
    logs = np.log(runs.time_s)
    noise = (logs - logs.groupby(runs.configuration).transform("mean")).std(ddof=0) * 1.5**0.5
    few, enough, none = (
        [summary(paired(planted, seed, n, noise=noise)).lower > 0 for seed in range(40)]
        for planted, n in ((effect, needed // 4), (effect, needed), (0.0, needed)))
    assert sum(enough) >= 34  # of 40 at a power of 0.95, fewer happen once in 300
    assert sum(few) <= 32  # the power is then 0.44
    assert sum(none) <= 5  # of 40 at 2.5 %, more happen once in 1,000


@pytest.mark.parametrize(("kwargs", "word"), [
    ({"effect": 0}, "effect: 0"), ({"effect": -1}, "effect: -1"), ({"power": 1}, "power: 1")])
def test_pairs_needed_names_a_bad_argument(kwargs, word):
    with pytest.raises(ValueError, match=word):
        tos.pairs_needed(paired(0.0), **kwargs)
    with pytest.raises(ValueError, match="a single repeat"):
        tos.pairs_needed(paired(0.0, repeats=1))


def test_pair_by_hand():
    runs = pd.DataFrame({
        "configuration": list("abab"), "width": 8, "activation": ["relu", "tanh"] * 2,
        "family": "f", "repeat": [0, 0, 1, 1], "energy_j": [1.0, 1.2, 2.0, 2.2]})
    pair = tos.matched_pair_effects(runs, "activation", "relu").iloc[0]
    gaps = np.log([1.2, 1.1])
    half = 12.706204736 * gaps.std(ddof=1) / 2**0.5  # t of 1 degree of freedom
    assert pair[["effect", "lower", "upper"]].to_numpy(float) == pytest.approx(
        np.expm1([gaps.mean(), gaps.mean() - half, gaps.mean() + half]))
    assert (pair.width, pair.level, pair.n_repeats) == (8, "tanh", 2)


def test_drift_between_repeats_cancels():
    still, drifting = (tos.matched_pair_effects(paired(0.03, drift=d), "activation", "relu")
                       for d in (0.0, 0.5))
    pd.testing.assert_frame_equal(still, drifting)


def test_unlike_repeats_are_two_samples():
    runs = paired(0.03, pairs=3).query("not (activation == 'relu' and repeat == 2)")
    pairs = tos.matched_pair_effects(runs, "activation", "relu")
    assert (pairs.n_repeats == 2).all()
    assert pairs[["effect", "lower", "upper"]].notna().all(axis=None)
    a, b = (np.log(runs[(runs.width == 1) & (runs.activation == x)].energy_j)
            for x in ("gelu", "relu"))
    from scipy.stats import ttest_ind
    interval = ttest_ind(a, b, equal_var=False).confidence_interval()
    one = pairs[pairs.width == 1].iloc[0]
    assert [one.lower, one.upper] == pytest.approx(np.expm1([interval.low, interval.high]))


def test_devices_are_not_paired_with_each_other():
    runs = paired(0.03, pairs=4)
    both = pd.concat([runs.assign(device="a"), runs.assign(device="b", energy_j=runs.energy_j * 5)])
    pairs = tos.matched_pair_effects(both, "activation", "relu")
    assert len(pairs) == 8
    assert pairs.effect.abs().max() < 0.2


def test_predicted_effect_stands_beside():
    runs = paired(0.03).assign(tos=lambda r: (1 + r.width) * np.where(r.activation == "gelu", 2, 1))
    law = tos.fit_scaling_law(runs, "tos")
    ours = tos.matched_pair_effects(runs, "activation", "relu", predicted=law)
    runs["p"] = law.predict(runs)
    again = tos.matched_pair_effects(runs, "activation", "relu", predicted="p")
    pd.testing.assert_frame_equal(ours, again)
    last = ours[ours.width == 23].iloc[0]
    c = law.coefficients.estimate
    assert last.predicted_effect == pytest.approx(24 * c.tos / (c.constant + 24 * c.tos))
    assert summary(runs).isna().predicted_effect  # none given, none made up


def test_a_single_repeat_is_warned_of_and_the_summary_stands():
    runs = paired(0.1, repeats=1)
    with pytest.warns(UserWarning, match="24 of 24 pairs have a single repeat"):
        pairs = tos.matched_pair_effects(runs, "activation", "relu")
    assert pairs.lower.isna().all()
    assert tos.matched_pair_summary(pairs).lower["gelu"] > 0
    with pytest.warns(UserWarning, match="single pair"):
        assert np.isnan(tos.matched_pair_summary(pairs[:1]).lower["gelu"])


@pytest.mark.parametrize(("kwargs", "words"), [
    ({"factor": "colour"}, ["'colour'"]),
    ({"baseline": "tanh"}, ["never 'tanh'", "'relu'"]),
    ({"factors": ["configuration"]}, ["configuration", "twins"]),
    ({"factors": ["depth"]}, ["'depth'"]),
    ({"response": "time_s"}, ["'time_s'"]),
    ({"predicted": "p"}, ["'p'"]),
])
def test_bad_input_is_an_error_that_names_it(kwargs, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        tos.matched_pair_effects(
            paired(0.0), **{"factor": "activation", "baseline": "relu"} | kwargs)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("family", ["feed_forward", "convolutional", "transformer"])
def test_pairs_of_the_sets_are_found(family):
    """A set says which of its configurations are twins by its factors alone."""
    table = getattr(tos, family)()
    runs = pd.concat([table.assign(family=family, repeat=r) for r in range(2)], ignore_index=True)
    noise = 0.01 * np.random.default_rng(0).standard_normal(len(runs))
    runs["energy_j"] = np.where(runs.activation == "relu", 1.0, 1.2) * np.exp(noise)
    pairs = tos.matched_pair_effects(runs, "activation", "relu")
    assert len(pairs) >= 12
    assert pairs.effect.mean() == pytest.approx(0.2, abs=0.01)
