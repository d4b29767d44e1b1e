import numpy as np
import pandas as pd
import pytest

import tostoolkit as tos
from tostoolkit.costs.predictors import predictor_values


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


def test_tables_with_gaps_are_missing_with_the_reason():
    table = tos.table_sensitivity(counted(), bootstrap=10).set_index("predictor")
    assert set(table.index) == {"MACs", *tos.cost_tables().index}
    gap = table.loc["horowitz45"]
    assert np.isnan(gap.mean_relative_error)
    assert "no cost for exp in float32" in gap.reason or "exp in float32" in gap.reason
    assert table.mean_relative_error["cmos"] < 0.03 < table.mean_relative_error["MACs"]
    assert table.mean_relative_error["macs"] == pytest.approx(table.mean_relative_error["MACs"])


def test_tables_in_two_classes_over_data_sets():
    sets = {"a": counted(30.0), "b": counted(0.1, seed=1)}
    table = tos.table_sensitivity(sets, tables=["cmos", "macs"], classes=True, bootstrap=10)
    cmos = table[table.predictor == "cmos"]
    assert cmos.dataset.tolist() == ["a", "b"]
    macs = table[table.predictor == "MACs"]
    assert (cmos.mean_relative_error.to_numpy() < macs.mean_relative_error.to_numpy()).all()
    assert table[table.predictor == "macs"].reason.str.contains("constant").all()


@pytest.mark.parametrize(("call", "words"), [
    (lambda: tos.cost_sensitivity(counted(), multipliers=[-1]), ["multipliers", "-1"]),
    (lambda: tos.cost_sensitivity(counted(), costs="horowitz45"), ["horowitz45", "exp"]),
    (lambda: tos.cost_sensitivity(counted().drop(columns="exp float32")), ["elementary"]),
    (lambda: tos.cost_sensitivity(counted(), response="time_s"), ["'time_s'"]),
    (lambda: tos.cost_sensitivity(pd.DataFrame({"energy_j": [1.0]})), ["op counts"]),
    (lambda: tos.table_sensitivity(counted(), tables=["cmso"]), ["cmso", "cmos"]),
])
def test_bad_input_is_an_error_that_names_it(call, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call()
    for word in words:
        assert word in str(caught.value)
