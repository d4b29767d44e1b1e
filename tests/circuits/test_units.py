"""The units: right bit by bit, and the record of the long proofs is of today's netlists."""

import ml_dtypes
import numpy as np
import pandas as pd
import proofs
import pytest

from tostoolkit.circuits import (
    ADDERS,
    FLOATS,
    INTEGERS,
    compute,
    from_float,
    simulate,
    to_float,
    unit,
    unit_transistors,
    units,
)
from tostoolkit.circuits.netlist import AND, OR, XOR

NUMPY = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16,
         "float8_e4m3fn": ml_dtypes.float8_e4m3fn, "float8_e5m2": ml_dtypes.float8_e5m2}


@pytest.mark.parametrize("dtype", NUMPY)
def test_formats_are_those_of_ml_dtypes(dtype):
    f = FLOATS[dtype]
    every = np.arange(2 ** min(f.width, 16), dtype=np.uint64)
    if f.width == 32:
        every = every * np.uint64(65537)
    with np.errstate(all="ignore"):
        theirs = every.astype(f"uint{f.width}").view(NUMPY[dtype]).astype(np.float64)
    np.testing.assert_array_equal(to_float(every, dtype), theirs)
    rng = np.random.default_rng(0)
    x = rng.standard_normal(20_000) * np.exp2(rng.integers(-160, 127, 20_000))
    x = np.clip(x, -3.4e38, 3.4e38).astype(np.float32)
    x = np.append(x, np.float32([0, -0.0, np.inf, -np.inf, 448, 464, 465, 480]))
    with np.errstate(all="ignore"):
        wanted = x.astype(NUMPY[dtype])
    got = from_float(x.astype(float), dtype).astype(f"uint{f.width}").view(NUMPY[dtype])
    np.testing.assert_array_equal(got.astype(np.float64), wanted.astype(np.float64))


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS])
def test_units_are_right(dtype):
    """8-bit formats exhaustively in all but the fused unit; the others on a thousand vectors."""
    for op in units(dtype):
        exhaustive = dtype.startswith("float8") or dtype in ("int8", "int4")
        proof = proofs.prove(op, dtype, vectors=2**16 if exhaustive and op != "fma" else 2**10)
        assert proof.failures == 0, proof
        assert not proof.max_ulp > 1, proof


@pytest.mark.parametrize("adder", [a for a in ADDERS if a != "ripple"])
@pytest.mark.parametrize("op", ["add", "mul", "fma", "div", "exp", "log"])
def test_every_adder_gives_the_same_results(op, adder):
    proof = proofs.prove(op, "bfloat16", adder, vectors=2**12)
    assert proof.failures == 0
    assert not proof.max_ulp > 1


def test_the_proof_can_fail():
    """Of all gates of an adder that are changed in turn, nine in ten are found.

    The others change nothing: an OR of two nets that are never 1 together is an XOR as well.
    """
    def unfound(netlist):
        got = simulate(netlist, x=x, y=y)["result"]
        return not proofs._wrong("float8_e4m3fn", got, right).any()

    x, y = (part.ravel().astype(np.uint64) for part in np.meshgrid(range(256), range(256)))
    right = proofs._expected("add", "float8_e4m3fn", {"x": x, "y": y})
    assert unfound(unit("add", "float8_e4m3fn"))
    other = {AND: OR, OR: AND, XOR: OR}
    gates = [net for net, kind in enumerate(unit("add", "float8_e4m3fn").kinds) if kind in other]
    survivors = 0
    for net in gates:
        broken = unit.__wrapped__("add", "float8_e4m3fn")
        broken.kinds[net] = other[broken.kinds[net]]
        survivors += unfound(broken)
    assert len(gates) > 100
    assert survivors < len(gates) / 10


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_float64_is_an_exact_reference_for_fused_8_bit_units(dtype):
    """Elsewhere it would round twice; there rationals are the reference."""
    words = dict(zip("xyz", np.random.default_rng(0).integers(0, 256, (3, 4000), dtype=np.uint64),
                     strict=True))
    values = [to_float(w, dtype) for w in words.values()]
    with np.errstate(all="ignore"):
        exact = [proofs._exact_fma(FLOATS[dtype], *v) for v in zip(*values, strict=True)]
    expected = proofs._expected("fma", dtype, words)
    assert not proofs._wrong(dtype, np.array(exact, np.uint64), expected).any()


def test_zero_times_infinity_and_cancellation_in_the_fused_unit():
    x = np.array([0.0, np.inf, 1 + 2**-23, 2.0**-149, 3.0])
    y = np.array([1e38, 0.0, 1 + 2**-23, 2.0**-149, 5.0])
    z = np.array([7.0, 1.0, -1 - 2**-22, -0.0, -15.0])
    got = compute("fma", "float32", x, y, z)
    np.testing.assert_array_equal(got, [7.0, np.nan, 2.0**-46, 0.0, 0.0])


def test_record_of_the_long_proofs_is_of_todays_netlists():
    record = pd.read_csv(proofs.RECORD)
    assert (record.failures == 0).all()
    every = [(op, dtype, adder) for adder in ADDERS for dtype in (*FLOATS, *INTEGERS)
             for op in units(dtype)]
    assert sorted(zip(record.op, record.dtype, record.adder, strict=True)) == sorted(every)
    changed = [
        (row.op, row.dtype, row.adder) for row in record.itertuples()
        if row.netlist != unit(row.op, row.dtype, row.adder).digest()]
    assert not changed, "run make prove"


def test_record_covers_what_is_claimed():
    record = pd.read_csv(proofs.RECORD)
    ripple = record[record.adder == "ripple"].set_index(["dtype", "op"])
    for dtype in ("float8_e4m3fn", "float8_e5m2"):
        for op in ("add", "mul", "fma", "div", "max"):
            assert ripple.method[dtype, op] == "exhaustive"
    for dtype in ("float16", "bfloat16"):
        for op in ("sqrt", "rsqrt", "exp", "log", "tanh", "sigmoid", "erf", "round"):
            assert ripple.method[dtype, op] == "exhaustive"
    for op in ("exp", "log", "tanh", "sigmoid", "erf"):
        assert ripple.max_ulp["float32", op] <= 1
        assert ripple.vectors["float32", op] >= 10**6
    assert (ripple.max_ulp.dropna() <= 1).all()


def test_units_are_not_wasteful():
    """Against hand counts of the dominant array of each, and of one another."""
    p = 24
    array = p * p * 6 + (p * p - 2 * p) * 28 + p * 16
    assert array < unit_transistors("mul", "float32") < 1.4 * array
    rows = (p + 2) * (p + 1) * (28 + 12)
    assert rows < unit_transistors("div", "float32") < 1.35 * rows
    assert unit_transistors("max", "float32") < 2 * 32 * 28  # no two subtractors
    assert unit_transistors("relu", "float32") == 31 * 6 + 2
    assert unit_transistors("neg", "float32") == 2
    assert unit_transistors("abs", "float32") == 0
    assert unit_transistors("fma", "float32") < 1.3 * (
        unit_transistors("mul", "float32") + unit_transistors("add", "float32"))


def test_library_and_adder_are_arguments():
    sizes = [unit_transistors("add", "float16", cells) for cells in
             ("transmission-gate", "mirror", "nand")]
    assert sizes == sorted(sizes)
    assert unit_transistors("div", "float16", adder="kogge-stone") > unit_transistors(
        "div", "float16")


def test_bad_input_lists_what_exists():
    for call, word in [
        (lambda: unit("add", "float12"), "bfloat16"), (lambda: unit("gelu", "float32"), "tanh"),
        (lambda: unit("exp", "int8"), "requantise"),
        (lambda: unit("add", "int8", "carry-skip"), "kogge-stone"),
        (lambda: unit_transistors("add", "int8", "finfet"), "transmission-gate"),
        (lambda: compute("add", "float32", np.ones(2)), "takes x, y"),
    ]:
        with pytest.raises(ValueError, match=word):
            call()
