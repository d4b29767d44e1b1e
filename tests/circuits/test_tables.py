"""The tables that circuits write: regenerated, and complete."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tostoolkit as tos
from tostoolkit import op_kinds
from tostoolkit.circuits import tables, unit, unit_transistors

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
