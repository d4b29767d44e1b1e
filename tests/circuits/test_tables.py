"""The tables that circuits write: regenerated, complete, and beside published energies."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tostoolkit as tos
from tostoolkit import op_kinds
from tostoolkit.circuits import agreement, published_energies, tables, unit, unit_transistors

FOLDER = Path(tos.circuits.__file__).parent.parent / "costs" / "tables"


SWITCHING = {"cmos-switching-random", "cmos-switching-network"}  # ten seconds to simulate


@pytest.mark.parametrize("switching", [False, pytest.param(True, marks=pytest.mark.prove)])
def test_committed_tables_are_what_the_circuits_give(tmp_path, monkeypatch, switching):
    circuits = {name: table for name, table in tables.CIRCUIT_TABLES.items()
                if switching or name not in SWITCHING}
    monkeypatch.setattr(tables, "CIRCUIT_TABLES", circuits)
    written = tables.write_tables(tmp_path)
    assert {path.stem for path in written} == {
        "cmos", "cmos-fused", "cmos-prefix", "gpu-ieee", "gpu-fast", "cpu-libm",
        *(SWITCHING if switching else ())}
    for path in written:
        assert_same_table(path, FOLDER / path.name)


def assert_same_table(path, committed):
    """Transistors are integers, and exact; what switches is a mean, of four digits."""
    now, then = (file.read_text(encoding="utf-8").splitlines() for file in (path, committed))
    assert now[:2] == then[:2], f"{path.name}: run make tables"  # description and unit
    now, then = (pd.read_csv(file, comment="#") for file in (path, committed))
    close = {"rtol": 2e-3} if "switching" in path.name else {"check_exact": True}
    pd.testing.assert_frame_equal(now, then, obj=f"{path.name}: run make tables; it", **close)


@pytest.mark.parametrize("name", ["cmos", "cmos-fused", "cmos-prefix"])
def test_every_op_has_a_cost_in_every_floating_point_format(name):
    costs = tos.load_cost_table(name).costs
    for dtype in op_kinds.FLOAT_DTYPES:
        assert set(op_kinds.OP_KINDS) == set(costs[dtype].index)


def test_rows_carry_generator_and_netlist():
    rows = tos.load_cost_table("cmos").rows.loc["float32"]
    assert set(rows.source) == {tables.GENERATOR}
    assert unit("exp", "float32").digest() in rows.locator["exp"]
    assert rows.cost["exp"] == unit_transistors("exp", "float32")
    assert rows.cost["mac"] == rows.cost["mul"] + rows.cost["add"]
    fused = tos.load_cost_table("cmos-fused").costs["float32", "mac"]
    assert fused == unit_transistors("fma", "float32")


def test_published_expansions_say_that_they_are():
    rows = tos.load_cost_table("cpu-libm").rows.loc["float32"]
    assert rows.status["tanh"] == "estimated"
    assert rows.cost["tanh"] == 116 * unit_transistors("fma", "float32")
    assert rows.status["add"] == "derived"


def test_expansion_of_sine_is_accurate_in_its_range():
    """The expansion that prices sin, run in float32: 9 mul, 6 add, 1 round."""
    x = np.random.default_rng(0).uniform(-50, 50, 100_000).astype(np.float32)
    f = np.float32
    k = np.rint(x * f(1 / np.pi))
    r = (x - k * f(3.140625)) - k * f(9.67653589793e-4)
    s = r * r
    p = f(2.6083159809786593541503e-06)
    for c in (-0.0001981069071916863322258, 0.00833307858556509017944336, -0.16666659712791442871):
        p = p * s + f(c)
    result = p * (s * r) + r
    result = np.where(k % 2 == 1, -result, result)
    assert np.abs(result - np.sin(x.astype(float))).max() < 4e-6


# Beside published energies: exact where energies are made of them ---------------------------------

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
    fit = agreement(points)
    assert (fit.r, fit.slope, fit.rms_factor, fit.worst_factor) == pytest.approx((1,) * 4)
    assert fit.n == len(OPS)


def test_one_energy_that_is_off_is_the_worst_and_moves_the_mean():
    rows = energies(1e-3)
    rows.loc[("int8", "mul"), "cost"] *= 32.0  # log factors: -4/5 of log 32, and 1/5 of it
    points = published_energies(rows).set_index(["dtype", "op"])
    assert points.factor["int8", "mul"] == pytest.approx(32 ** -0.8)
    assert points.factor.drop(("int8", "mul")).to_numpy() == pytest.approx([2.0] * 4)
    fit = agreement(points.reset_index())
    assert fit.worst == "mul int8"
    assert fit.worst_factor == pytest.approx(16.0)
    assert np.log2(fit.rms_factor) == pytest.approx(np.sqrt((4 * 1 + 16) / 5))


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
    fit = agreement(points)
    assert fit.n >= 6
    assert fit.r > 0.95
    assert fit.rms_factor < 1.6
