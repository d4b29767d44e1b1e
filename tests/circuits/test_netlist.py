"""Netlists: folding, sharing, dead logic, counts by hand; simulation against Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tostoolkit.circuits import ADDERS, CELL_LIBRARIES, Netlist, blocks, simulate


def built(function, *widths, adder="ripple"):
    n = Netlist(adder)
    operands = [n.input(name, width) for name, width in zip("xyz", widths, strict=False)]
    n.output("result", function(n, *operands))
    return n.finish()


def test_full_adder_by_hand():
    n = built(lambda n, x, y, z: [n.xor3(x[0], y[0], z[0]), n.majority(x[0], y[0], z[0])], 1, 1, 1)
    assert n.cells() == {"full adder": 1}
    assert [n.transistors(cells) for cells in CELL_LIBRARIES] == [28, 24, 36]
    every = np.arange(8, dtype=np.uint64)
    result = simulate(n, x=every & 1, y=every >> 1 & 1, z=every >> 2)["result"]
    assert result.tolist() == [bin(i).count("1") for i in range(8)]


def test_half_adder_and_merged_inverters_by_hand():
    assert built(lambda n, x, y: [n.xor(x[0], y[0]), n.and_(x[0], y[0])], 1, 1).transistors() == 16
    assert built(lambda n, x, y: [n.inv(n.and_(x[0], y[0]))], 1, 1).cells() == {"nand": 1}
    assert built(lambda n, x, y: [n.inv(n.or_(x[0], y[0]))], 1, 1).transistors() == 4
    both = built(lambda n, x, y: [n.inv(n.and_(x[0], y[0])), n.and_(x[0], y[0])], 1, 1)
    assert both.cells() == {"and": 1, "not": 1}


def test_ripple_adder_by_hand():
    # 8 bits: a half adder, six full adders, and a top sum without its carry
    n = built(lambda n, x, y: blocks.add(n, x, y)[0], 8, 8)
    assert n.transistors() == 16 + 6 * 28 + 20


def test_comparator_is_carries_without_sums():
    n = built(lambda n, x, y: [blocks.at_least(n, x, y)], 8, 8)
    assert set(n.cells()) <= {"majority", "or", "not", "nand", "and"}
    assert n.transistors() < 8 * 16


def test_multiplier_is_the_textbook_array():
    # n^2 ANDs, n^2 - 2n full adders and n half adders (Dadda, 1965)
    cells = built(blocks.multiply, 8, 8).cells()
    assert cells["full adder"] + cells["majority"] == 8 * 8 - 2 * 8
    assert cells["and"] == 8 * 8 + 8


@pytest.mark.parametrize(("function", "value"), [
    (lambda n, a: n.and_(a, n.inv(a)), 0), (lambda n, a: n.or_(a, n.inv(a)), 1),
    (lambda n, a: n.xor(a, a), 0), (lambda n, a: n.xor(n.inv(a), a), 1),
    (lambda n, a: n.mux(a, 0, 1), "a"), (lambda n, a: n.mux(a, a, 1), "a"),
    (lambda n, a: n.inv(n.inv(a)), "a"), (lambda n, a: n.xor3(a, a, 1), 1),
    (lambda n, a: n.majority(a, a, 0), "a"), (lambda n, a: n.xor3(0, a, 1), "not a"),
])
def test_constants_and_equal_nets_fold(function, value):
    n = Netlist()
    a = n.input("x", 1)[0]
    assert function(n, a) == {"a": a, "not a": n.inv(a)}.get(value, value)


def test_equal_cells_are_shared_and_dead_ones_dropped():
    n = Netlist()
    a, b = n.input("x", 2)
    assert n.and_(a, b) == n.and_(b, a)
    n.xor(a, b)
    n.output("result", [n.and_(a, b)])
    assert n.finish().cells() == {"and": 1}


def reference(kind, x, y, z):
    return {"and": x & y, "or": x | y, "xor": x ^ y, "not": 1 - x, "mux": z if x else y,
            "xor3": x ^ y ^ z, "majority": int(x + y + z >= 2)}[kind]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(
    st.sampled_from(["and", "or", "xor", "not", "mux", "xor3", "majority"]),
    st.integers(0, 30), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=30))
def test_any_circuit_computes_what_its_gates_say(gates):
    """Folding, sharing, merging of full adders and reuse of storage change no value."""
    n = Netlist()
    build = {"and": (n.and_, 2), "or": (n.or_, 2), "xor": (n.xor, 2), "not": (n.inv, 1),
             "mux": (n.mux, 3), "xor3": (n.xor3, 3), "majority": (n.majority, 3)}
    nets = [0, 1, *n.input("x", 5)]
    every = range(32)
    values = [[0] * 32, [1] * 32, *([v >> i & 1 for v in every] for i in range(5))]
    for kind, *ins in gates:
        a, b, c = (i % len(nets) for i in ins)
        cell, arity = build[kind]
        nets.append(cell(*(nets[i] for i in (a, b, c)[:arity])))
        values.append([reference(kind, *t) for t in zip(values[a], values[b], values[c],
                                                        strict=True)])
    outputs = nets[7:][-20:]
    n.output("result", outputs)
    result = simulate(n.finish(), x=np.arange(32, dtype=np.uint64))["result"]
    expected = [sum(v[i] << k for k, v in enumerate(values[7:][-20:])) for i in every]
    assert result.tolist() == expected


@pytest.mark.parametrize("adder", ADDERS)
@pytest.mark.parametrize("width", [1, 2, 5, 8, 13])
def test_adders_add(adder, width):
    def both(n, x, y, z):
        total, carry = blocks.add(n, x, y, z[0])
        return [*total, carry]

    n = built(both, width, width, 1, adder=adder)
    rng = np.random.default_rng(width)
    x, y = rng.integers(0, 2**width, (2, 4000), dtype=np.uint64)
    z = rng.integers(0, 2, 4000, dtype=np.uint64)
    assert (simulate(n, x=x, y=y, z=z)["result"] == x + y + z).all()


def test_prefix_adders_are_larger_and_shallower():
    def depth(n):
        level = [0] * len(n.kinds)
        for net, nets in enumerate(n.fanins):
            level[net] = 1 + max((level[x] for x in nets), default=-1)
        return max(level)

    adders = {a: built(lambda n, x, y: blocks.add(n, x, y)[0], 32, 32, adder=a) for a in ADDERS}
    assert adders["ripple"].transistors() < adders["brent-kung"].transistors()
    assert adders["brent-kung"].transistors() < adders["kogge-stone"].transistors()
    assert depth(adders["kogge-stone"]) < depth(adders["brent-kung"]) < depth(adders["ripple"])


@pytest.mark.parametrize("width", [1, 2, 3, 7, 8, 11])
def test_shifters_and_counters(width):
    def everything(n, x, y):
        right, lost = blocks.shift_right(n, x, y)
        count = blocks.leading_zeros(n, x)
        return [*right, lost, *blocks.shift_left(n, x, y), *blocks.pad(count, 5)]

    n = built(everything, width, 4)
    grid = np.meshgrid(np.arange(2**width), np.arange(16))
    x, y = (part.ravel().astype(np.uint64) for part in grid)
    result = simulate(n, x=x, y=y)["result"].tolist()
    for a, s, r in zip(x.tolist(), y.tolist(), result, strict=True):
        mask = (1 << width) - 1
        assert r & mask == a >> s
        assert r >> width & 1 == (a & ((1 << s) - 1) != 0)
        assert r >> width + 1 & mask == a << s & mask
        if a:
            assert r >> 2 * width + 1 == width - a.bit_length()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 2**12), st.integers(1, 9))
def test_multiplication_by_a_constant(value, width):
    n = built(lambda n, x: blocks.multiply_constant(n, x, value), width)
    x = np.arange(2**width, dtype=np.uint64)
    assert (simulate(n, x=x)["result"] == x * np.uint64(value)).all()


def test_square_and_product_agree():
    x = np.arange(256, dtype=np.uint64)
    assert (simulate(built(blocks.square, 8), x=x)["result"] == x * x).all()
    assert built(blocks.square, 8).transistors() < built(blocks.multiply, 8, 8).transistors()


def test_digest_tells_circuits_apart():
    first, same, other = (built(blocks.multiply, 4, w) for w in (4, 4, 5))
    assert first.digest() == same.digest() != other.digest()


def test_bad_input_lists_what_exists():
    n = built(blocks.multiply, 4, 4)
    x = np.zeros(3, np.uint64)
    for call, error, word in [
        (lambda: Netlist("carry-skip"), ValueError, "kogge-stone"),
        (lambda: n.transistors("finfet"), ValueError, "transmission-gate"),
        (lambda: simulate(n, x=x), ValueError, "takes x, y"),
        (lambda: simulate(n, x=x, y=x.astype(float)), TypeError, "y: dtype float64"),
        (lambda: simulate(n, x=x, y=x[:2]), ValueError, "different lengths"),
        (lambda: simulate(n, x=x, y=x.reshape(3, 1)), ValueError, r"shape \(3, 1\)"),
    ]:
        with pytest.raises(error, match=word):
            call()
