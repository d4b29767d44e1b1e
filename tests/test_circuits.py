"""Transistor counts by formula: hand-counted blocks, and the table that is written from them."""

from importlib.resources import files

import pytest

from tostoolkit.circuits import CELLS, FORMATS, composition, op_transistors, write_table


def test_blocks_counted_by_hand():
    assert composition.adder(8) == 8 * 28
    assert composition.comparator(8) == 8 * (12 + 2)
    # 4x4 array: 16 ANDs, three rows of three full adders and one half adder
    assert composition.multiplier(4, 4) == 16 * 6 + 3 * (3 * 28 + 16)
    assert composition.shifter(16) == 4 * 16 * 12
    assert op_transistors("select", "float32")[0] == 32 * CELLS["mux"]


@pytest.mark.parametrize(("op", "netlist"), [  # of netlists built and simulated elsewhere
    ("add", 9_600), ("mul", 21_000), ("div", 26_000), ("sqrt", 14_000), ("exp", 56_000),
    ("max", 1_700), ("log", 42_000), ("tanh", 102_000), ("sigmoid", 92_000),
])
def test_float32_units_are_near_the_netlists_of_the_same_cells(op, netlist):
    assert 0.7 < op_transistors(op, "float32")[0] / netlist < 1.5


@pytest.mark.parametrize("op", ["add", "mul", "mac", "div", "sqrt", "exp", "log", "tanh", "max"])
def test_a_wider_format_costs_more(op):
    costs = [op_transistors(op, d)[0] for d in ("float8_e4m3fn", "float16", "float32", "float64")]
    assert costs == sorted(set(costs))


def test_every_float_format_has_every_op():
    from tostoolkit.op_kinds import OP_KINDS

    for dtype in FORMATS:
        for op in OP_KINDS:
            assert op_transistors(op, dtype)[0] >= 0


def test_an_op_without_meaning_in_a_format_has_no_cost():
    with pytest.raises(KeyError):
        op_transistors("exp", "int8")


def test_committed_table_is_what_the_formulas_give(tmp_path):
    write_table(tmp_path / "cmos.csv")
    committed = files("tostoolkit") / "cost_tables" / "cmos.csv"
    assert committed.read_text() == (tmp_path / "cmos.csv").read_text()
