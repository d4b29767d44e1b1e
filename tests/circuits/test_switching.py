"""Switching at the circuit: exact on small cases, and data-dependent in layers."""

import keras
import numpy as np
import pytest

from tostoolkit.circuits import (
    FLOATS,
    INTEGERS,
    Netlist,
    layer_switching,
    op_switching,
    switching,
    switching_table,
    unit,
    units,
)
from tostoolkit.circuits.switching import terminals


def test_every_transistor_has_its_gate_on_one_net():
    for dtype in (*FLOATS, *INTEGERS):
        for op in units(dtype):
            n = unit(op, dtype)
            drives, inner = terminals(n)
            inside = sum(count for nets in inner.values() for count, _ in nets)
            assert sum(drives) + inside == n.transistors(), (op, dtype)


def test_inverter_that_toggles_every_time_switches_both_transistors():
    n = Netlist()
    n.output("result", [n.inv(n.input("x", 1)[0])])
    s = switching(n.finish(), x=np.arange(4096, dtype=np.uint64) % 2)
    assert s.transitions == 2.0
    assert s.activity == 1.0
    assert s.std_error == 0.0


def test_full_adder_by_hand():
    """x toggles each time, y = 1, z = 0: x drives 8, the carry 4, the sum 2."""
    n = Netlist()
    x, y, z = (n.input(name, 1)[0] for name in "xyz")
    n.output("result", [n.xor3(x, y, z), n.majority(x, y, z)])
    ones = np.ones(2048, np.uint64)
    s = switching(n.finish(), x=np.arange(2048, dtype=np.uint64) % 2, y=ones, z=0 * ones)
    assert s.transitions == 8 + 4 + 2


def test_constant_operands_switch_nothing():
    x = np.full(2048, 5, np.uint64)
    assert switching(unit("mul", "float16"), x=x, y=x).transitions == 0.0


def test_long_streams_agree_with_their_parts():
    """65,536 operands are simulated in batches; 32,768 of them tell the same within the error."""
    long, short = (op_switching("mul", "float16", "random", n) for n in (2**16, 2**15))
    assert abs(long.transitions - short.transitions) < 5 * np.hypot(long.std_error, short.std_error)
    assert long.std_error < 0.02 * long.transitions


def test_sampling_error_is_that_of_repeated_samples():
    runs = [op_switching("add", "bfloat16", "network", 2**12, seed) for seed in range(12)]
    spread = np.std([s.transitions for s in runs], ddof=1)
    assert 0.4 < spread / np.mean([s.std_error for s in runs]) < 2.5


def test_sparse_and_narrow_operands_switch_less():
    rng = np.random.default_rng(0)
    layer = keras.layers.Dense(16)
    x = rng.standard_normal((64, 96)).astype("float32")
    layer(x)
    dense, sparse = layer_switching(layer, x), layer_switching(layer, np.maximum(x, 0))
    assert sparse.transitions["mul"] < dense.transitions["mul"]
    assert (dense.activity < dense.random).all()
    narrow = layer_switching(layer, x, "bfloat16")
    assert (narrow.transitions < 0.5 * dense.transitions).all()
    assert (dense.std_error < 0.1 * dense.transitions).all()


@pytest.mark.parametrize("layer", [
    keras.layers.Conv2D(5, 3, strides=2, padding="same", use_bias=False),
    keras.layers.Conv2D(5, (2, 3), dilation_rate=2, use_bias=False),
    keras.layers.Conv1D(5, 3, use_bias=False),
])
def test_receptive_fields_are_those_of_the_layer(layer):
    from tostoolkit.circuits.layers import _patches

    shape = (2, 9, 8, 3) if "2d" in layer.name else (2, 9, 3)
    x = np.random.default_rng(0).standard_normal(shape).astype("float32")
    wanted = np.asarray(layer(x))
    kernel = np.asarray(layer.kernel)
    got = _patches(layer, x) @ kernel.reshape(-1, kernel.shape[-1])
    np.testing.assert_allclose(got, wanted.reshape(-1, 5), atol=1e-5)
    assert layer_switching(layer, np.tile(x, (8, *[1] * (x.ndim - 1)))).activity.between(0, 1).all()


def test_relu_layer():
    x = np.random.default_rng(0).standard_normal((8, 512))
    assert layer_switching(keras.layers.ReLU(), x).index.tolist() == ["max"]


def test_a_table_is_its_units_one_by_one():
    table = switching_table(["add", "exp"], "bfloat16")
    assert table.index.names == ["stream", "op"]
    for (stream, op), row in table.iterrows():
        one = op_switching(op, "bfloat16", stream)
        assert (row.transitions, row.transistors) == (one.transitions, one.transistors)
        assert row.activity == one.transitions / one.transistors


def test_bad_input_names_what_was_wrong():
    x = np.ones((4, 4))
    for call, word in [
        (lambda: layer_switching(keras.layers.LSTM(2), x), "LSTM"),
        (lambda: layer_switching(keras.layers.Dense(2), x), "not built"),
        (lambda: layer_switching(keras.layers.Dense(2), x, "int8"), "bfloat16"),
        (lambda: op_switching("add", "int8", "noise"), "network"),
        (lambda: switching(unit("add", "int8"), x=np.zeros(9, int), y=np.zeros(9, int)), "1024"),
    ]:
        with pytest.raises(ValueError, match=word):
            call()
