import numpy as np
import pandas as pd
import pytest

import tostoolkit as tos
from tostoolkit.costs.pricing import predictor_values


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
