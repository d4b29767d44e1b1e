import numpy as np
import pandas as pd
import pytest
from runs import synthetic

import tostoolkit as tos
from tostoolkit.costs.pricing import predictor_values

RUNS = synthetic()


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


def test_a_gap_of_the_cost_table_is_the_reason_where_some_runs_have_no_price():
    runs = tos.price(pd.DataFrame({
        "mac float32": np.arange(1.0, 31), "exp float32": [0.0, 1, 2] * 10,
        "configuration": range(30)}))
    runs["energy_j"] = runs.tos
    assert runs["tos_horowitz45"].isna().sum() == 20
    table = tos.compare_predictors(runs, {"MACs": "macs", "45 nm": "tos_horowitz45"}, ["k-fold"],
                                   bootstrap=10)
    assert table.reason[1] == "costs: table 'horowitz45' has no cost for exp in float32"


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


def counted(weight=1.0, n=40, noise=0.02, seed=0):
    """Runs whose energy is TOs with non-linear work weighed by `weight`."""
    rng = np.random.default_rng(seed)
    runs = pd.DataFrame(10 ** rng.uniform(6, 9, (n, 4)), columns=[
        "mac float32", "add float32", "exp float32", "max float32"])
    runs["configuration"] = np.arange(n)
    total = predictor_values(runs, "tos") + (weight - 1) * predictor_values(runs, "tos_elementary")
    return runs.assign(energy_j=1e-13 * total * (1 + noise * rng.standard_normal(n)))


@pytest.mark.parametrize("weight", [1.0, 30.0])
def test_the_weight_that_made_the_energies_is_found(weight):
    table = tos.cost_sensitivity(counted(weight), bootstrap=200)
    part = table[table.part == "elementary"].set_index("multiplier")
    assert part.best.idxmax() == weight
    assert part.best.sum() == 1
    assert part.best_lower.iloc[0] <= weight <= part.best_upper.iloc[0]
    assert part.mean_relative_error[weight] < 0.03
    assert part.difference_macs_upper[weight] < 0  # TOs win, at that weight
    costs = tos.load_cost_table("cmos").costs
    assert part.macs_per_op[weight] == pytest.approx(
        weight * costs["float32", "exp"] / costs["float32", "mac"])
    assert (part.physical == part.macs_per_op.between(part.table_low, part.table_high)).all()
    assert part.physical[1.0]
    assert not part.physical[1e4]


def test_error_at_one_is_that_of_the_table():
    runs = counted(10.0)
    table = tos.cost_sensitivity(runs, multipliers=[0, 2], bootstrap=10)
    own = tos.compare_predictors(runs, {"TOs": "tos", "MACs": "macs"}, ["k-fold"])
    ones = table[table.multiplier == 1]
    assert len(ones) == 2
    assert ones.mean_relative_error.to_numpy() == pytest.approx([own.mean_relative_error[0]] * 2)
    assert ones.difference_macs.to_numpy() == pytest.approx([-own.difference[1]] * 2)
    assert (ones.difference == 0).all()


def test_several_sets_are_those_one_by_one():
    sets = {"a": counted(30.0), "b": counted(0.1, seed=1)}
    table = tos.cost_sensitivity(sets, multipliers=[30], bootstrap=20)
    for name, runs in sets.items():
        pd.testing.assert_frame_equal(
            table[table.dataset == name].drop(columns=["dataset", "device"]).reset_index(drop=True),
            tos.cost_sensitivity(runs, multipliers=[30], bootstrap=20))


@pytest.mark.parametrize(("call", "words"), [
    (lambda: tos.cost_sensitivity(counted(), multipliers=[-1]), ["multipliers", "-1"]),
    (lambda: tos.cost_sensitivity(counted(), costs="horowitz45"), ["horowitz45", "exp"]),
    (lambda: tos.cost_sensitivity(counted().drop(columns="exp float32")), ["elementary"]),
    (lambda: tos.cost_sensitivity(counted(), response="time_s"), ["'time_s'"]),
    (lambda: tos.cost_sensitivity(pd.DataFrame({"energy_j": [1.0]})), ["op counts"]),
])
def test_bad_input_is_an_error_that_names_it(call, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call()
    for word in words:
        assert word in str(caught.value)
