from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tostoolkit as tos
from tostoolkit.models.families import Family, Pairs


def paired(effect, seed=0, pairs=24, repeats=3, noise=0.04, drift=0.0):
    """Runs of relu and gelu twins, at the noise of a machine at rest, on a drifting machine."""
    rng = np.random.default_rng(seed)
    runs = pd.DataFrame(
        [(w, a, r) for w in range(pairs) for a in ("relu", "gelu") for r in range(repeats)],
        columns=["width", "activation", "repeat"])
    runs.insert(0, "configuration", runs.width.astype(str) + runs.activation)
    runs["energy_j"] = (1 + runs.width) * (1 + effect * (runs.activation == "gelu")) * np.exp(
        noise * rng.standard_normal(len(runs)) + drift * runs.repeat)
    return runs.sample(frac=1, random_state=seed)


FACTORS = ["width"]


def summary(runs):
    table = tos.pair_effects(runs, "activation", "relu", factors=FACTORS)
    return table.set_index("level").loc["gelu"]


def pairs_of(runs, **options):
    options = {"factors": FACTORS} | options
    return tos.pair_effects(runs, "activation", "relu", per_pair=True, **options)


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
    needed = tos.repeatability(runs, "time_s", effects=[effect])[f"pairs_for_{effect:g}"]
    logs = np.log(runs.time_s)
    noise = (logs - logs.groupby(runs.configuration).transform("mean")).std(ddof=0) * 1.5**0.5
    few, enough, none = (
        [summary(paired(planted, seed, n, noise=noise)).lower > 0 for seed in range(40)]
        for planted, n in ((effect, needed // 4), (effect, needed), (0.0, needed)))
    assert sum(enough) >= 34  # of 40 at a power of 0.95, fewer happen once in 300
    assert sum(few) <= 32  # the power is then 0.44
    assert sum(none) <= 5  # of 40 at 2.5 %, more happen once in 1,000


def test_pair_by_hand():
    runs = pd.DataFrame({
        "configuration": list("abab"), "width": 8, "activation": ["relu", "tanh"] * 2,
        "repeat": [0, 0, 1, 1], "energy_j": [1.0, 1.2, 2.0, 2.2]})
    pair = pairs_of(runs).iloc[0]
    gaps = np.log([1.2, 1.1])
    half = 12.706204736 * gaps.std(ddof=1) / 2**0.5  # t of 1 degree of freedom
    assert pair[["effect", "lower", "upper"]].to_numpy(float) == pytest.approx(
        np.expm1([gaps.mean(), gaps.mean() - half, gaps.mean() + half]))
    assert (pair.width, pair.level, pair.n_repeats) == (8, "tanh", 2)


def test_drift_between_repeats_cancels():
    still, drifting = (pairs_of(paired(0.03, drift=d)) for d in (0.0, 0.5))
    pd.testing.assert_frame_equal(still, drifting)


def test_unlike_repeats_are_two_samples():
    runs = paired(0.03, pairs=3).query("not (activation == 'relu' and repeat == 2)")
    pairs = pairs_of(runs)
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
    pairs = pairs_of(both, factors=["width", "device"])
    assert len(pairs) == 8
    assert pairs.effect.abs().max() < 0.2


def test_predicted_effect_stands_beside():
    runs = paired(0.03).assign(tos=lambda r: (1 + r.width) * np.where(r.activation == "gelu", 2, 1))
    law = tos.fit_scaling_law(runs, "tos")
    pairs = pairs_of(runs, laws={"TOs": law})
    pd.testing.assert_frame_equal(pairs, pairs_of(runs, laws={"TOs": "tos"}))
    last = pairs[pairs.width == 23].iloc[0]
    c = law.coefficients.estimate
    assert last.predicted_effect == pytest.approx(24 * c.tos / (c.constant + 24 * c.tos))
    table = tos.pair_effects(runs, "activation", "relu", laws={"TOs": law}, factors=FACTORS)
    mean = np.expm1(np.log1p(pairs.predicted_effect).mean())
    assert table.predicted_effect.to_numpy() == pytest.approx([mean, mean])
    assert summary(runs).isna().predicted_effect  # none given, none made up


def test_a_single_repeat_is_warned_of_and_the_summary_stands():
    runs = paired(0.1, repeats=1)
    with pytest.warns(UserWarning, match="24 of 24 pairs have a single repeat"):
        pairs = pairs_of(runs)
    assert pairs.lower.isna().all()
    assert summary(runs).lower > 0
    one = summary(runs[runs.width == 3])
    assert one.n_pairs == 1
    assert np.isnan(one.lower)


def test_the_summary_is_students_and_the_sign_test_scipys():
    from scipy.stats import binomtest, ttest_1samp

    runs = paired(0.01, pairs=9)
    row, ratios = summary(runs), pairs_of(runs).log_ratio
    interval = ttest_1samp(ratios, 0).confidence_interval()
    assert [row.effect, row.lower, row.upper] == pytest.approx(
        np.expm1([ratios.mean(), interval.low, interval.high]))
    assert row.sign_p == pytest.approx(binomtest(int((ratios > 0).sum()), 9).pvalue)


def test_pairs_are_told_apart_by_a_column_and_over_sets():
    phases = pd.concat([paired(0.05, pairs=9).assign(phase="inference"),
                        paired(0.5, pairs=9).assign(phase="training")], ignore_index=True)
    table = tos.pair_effects({"a": phases, "b": phases}, "activation", "relu", by="phase",
                             factors=["width", "phase"])
    assert table.dataset.tolist() == ["a"] * 4 + ["b"] * 4
    effect = table[table.level == "gelu"].groupby("phase").effect.first()
    assert effect.to_numpy() == pytest.approx([0.05, 0.5], abs=0.05)


def test_conditions_are_equal_whatever_the_factors_are():
    """Factors that are named do not pair the runs of one device, or phase, with another's."""
    runs = paired(0.03, pairs=6)
    for condition in ("device", "phase", "dtype"):
        both = pd.concat([runs.assign(**{condition: "a"}), runs.assign(
            **{condition: "b"}, energy_j=runs.energy_j.mean() * np.exp(0 * runs.energy_j))],
            ignore_index=True)
        pairs = pairs_of(both, factors="width")
        assert len(pairs) == 12
        assert (pairs[pairs[condition] == "b"].effect == 0).all()


@pytest.mark.parametrize(("kwargs", "words"), [
    ({"factor": "colour"}, ["'colour'"]),
    ({"baseline": "tanh"}, ["never 'tanh'", "'relu'"]),
    ({"factors": ["configuration"]}, ["configuration", "twins"]),
    ({"factors": ["depth"]}, ["'depth'"]),
    ({"response": "time_s"}, ["'time_s'"]),
    ({"laws": {"x": "p"}}, ["'p'"]),
    ({"factors": None}, ["factors="]),
])
def test_bad_input_is_an_error_that_names_it(kwargs, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        tos.pair_effects(paired(0.0), **{
            "factor": "activation", "baseline": "relu", "factors": FACTORS} | kwargs)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("family", ["feed_forward", "convolutional", "transformer"])
def test_pairs_of_the_sets_are_the_same_in_any_order_of_columns(family):
    """A set says which of its configurations are twins by its family's factors alone."""
    table = getattr(tos, family)()
    runs = pd.concat([table.assign(family=family, repeat=r) for r in range(2)], ignore_index=True)
    noise = 0.01 * np.random.default_rng(0).standard_normal(len(runs))
    runs["energy_j"] = np.where(runs.activation == "relu", 1.0, 1.2) * np.exp(noise)
    pairs = tos.pair_effects(runs, "activation", per_pair=True)
    assert len(pairs) >= 12
    assert pairs.effect.mean() == pytest.approx(0.2, abs=0.01)
    every = tos.pair_effects(runs)
    assert set(every.factor) == {"activation", *({"batch_norm", "normalization"} & set(runs))}
    rng = np.random.default_rng(1)
    for _ in range(5):
        shuffled = runs[rng.permutation(runs.columns)]
        pd.testing.assert_frame_equal(tos.pair_effects(shuffled), every)


def test_runs_of_two_devices_of_a_host_pair_within_each():
    """One device is ten times the other, and only one of them ran each activation twice."""
    runs = paired(0.03, noise=0.0).assign(device_id="gpu-0")
    other = runs.assign(device_id="gpu-1", energy_j=10 * runs.energy_j)
    runs = pd.concat([runs, other[other.activation == "relu"]])
    table = tos.pair_effects(runs.assign(family="mine"), "activation", "relu",
                             families={"mine": Family(None, {"small": {"width": (1,)}})})
    assert table.effect.to_numpy() == pytest.approx(0.03)


def test_factors_without_a_pair_are_left_out_where_none_was_asked_for():
    runs = paired(0.03, noise=0.0).assign(family="mine", norm="none")
    runs.loc[runs.width == 0, "norm"] = "batch"
    pairs = {"norm": Pairs("none"), "activation": Pairs("relu")}
    mine = {"mine": Family(None, {"small": {"width": (1,), "norm": (), "activation": ()}},
                           pairs=pairs)}
    assert tos.pair_effects(runs, families=mine).factor.unique().tolist() == ["activation"]
    with pytest.raises(ValueError, match="no two configurations differ in 'norm' alone"):
        tos.pair_effects(runs, "norm", families=mine)


def test_a_baseline_that_a_csv_made_text_of_is_found():
    runs = paired(0.03, noise=0.0).rename(columns={"activation": "norm"})
    runs["norm"] = (runs.norm == "gelu").astype(str)
    table = tos.pair_effects(runs, "norm", False, factors=FACTORS)
    assert table.effect.to_numpy() == pytest.approx(0.03)
