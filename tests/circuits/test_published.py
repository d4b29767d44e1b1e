"""Transistors beside published energies: exact where energies are made of them."""

import numpy as np
import pandas as pd
import pytest

import tostoolkit as tos
from tostoolkit.circuits import agreement, published_energies, unit_transistors

OPS = [("float32", "add"), ("float32", "mul"), ("int8", "add"), ("int8", "mul"), ("int32", "add")]


def energies(pj_per_transistor, power=1.0):
    """Return rows of a cost table whose energies are a power of the units' transistors."""
    cost = [pj_per_transistor * unit_transistors(op, dtype)**power for dtype, op in OPS]
    return pd.DataFrame({"cost": cost, "status": "published"},
                        index=pd.MultiIndex.from_tuples(OPS, names=["dtype", "op"]))


@pytest.mark.parametrize("scale", [1e-4, 3.0])
def test_energies_in_proportion_agree_perfectly(scale):
    points = published_energies(energies(scale))
    assert points.factor.to_numpy() == pytest.approx(np.ones(len(OPS)))
    found = agreement(points)
    assert (found.r, found.slope, found.rms_factor, found.worst_factor) == pytest.approx((1,) * 4)
    assert found.n == len(OPS)


def test_one_energy_that_is_off_is_the_worst_and_moves_the_mean():
    rows = energies(1e-3)
    rows.loc[("int8", "mul"), "cost"] *= 32.0  # log factors: -4/5 of log 32, and 1/5 of it
    points = published_energies(rows).set_index(["dtype", "op"])
    assert points.factor["int8", "mul"] == pytest.approx(32 ** -0.8)
    assert points.factor.drop(("int8", "mul")).to_numpy() == pytest.approx([2.0] * 4)
    found = agreement(points.reset_index())
    assert found.worst == "mul int8"
    assert found.worst_factor == pytest.approx(16.0)
    assert np.log2(found.rms_factor) == pytest.approx(np.sqrt((4 * 1 + 16) / 5))


def test_slope_is_the_power():
    assert agreement(published_energies(energies(1.0, 0.5))).slope == pytest.approx(0.5)


def test_other_ops_are_left_out():
    rows = pd.concat([energies(1.0), pd.DataFrame(
        {"cost": [7.0], "status": "published"},
        index=pd.MultiIndex.from_tuples([("float32", "exp")], names=["dtype", "op"]))])
    assert set(published_energies(rows).op) == {"add", "mul"}


@pytest.mark.parametrize("rows", [energies(1.0)[:0], energies(0.0)])
def test_rows_without_energies_are_an_error(rows):
    with pytest.raises(ValueError, match="energy above 0"):
        published_energies(rows)


@pytest.mark.parametrize("name", ["horowitz45", "jouppi7"])
def test_unfitted_counts_follow_published_energies(name):
    rows = tos.load_cost_table(name).rows
    points = published_energies(rows)
    printed = {(p.dtype, p.op): p.energy_pj for p in points.itertuples()}
    assert printed == {key: cost for key, cost in rows.cost.items() if key[1] in ("add", "mul")}
    found = agreement(points)
    assert found.n >= 6
    assert found.r > 0.95
    assert found.rms_factor < 1.6
