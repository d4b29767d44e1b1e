"""A counter of the user's holds wherever its layer is called, as often as it is called."""

from collections import Counter

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from models import Cell
from traced import trace_ops

import tostoolkit as tos
from tostoolkit.counting.count import count
from tostoolkit.counting.rules import NoRule
from tostoolkit.counting.trace import TraceError

F = "float32"
STEP = {"phase": "training", "loss": "mse", "optimizer": "sgd"}


def sines(call):
    """A thousand a call, which nothing else here computes, and one an output."""
    return Counter({(F, "sin"): 1000 + call.outputs[0].size})


@keras.saving.register_keras_serializable()
class Mine(layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 4))

    def call(self, x):
        return keras.ops.tanh(keras.ops.matmul(x, self.kernel))

    def compute_output_shape(self, shape):
        return (*shape[:-1], 4)


class Holder(layers.Layer):
    """Without a rule, so it is traced."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def build(self, shape):
        self.inner.build(shape)


class Twice(Holder):
    """It calls what it holds twice."""

    def call(self, x):
        return keras.ops.exp(self.inner(x)) + self.inner(x)


class Looping(Holder):
    def call(self, x):
        return keras.ops.while_loop(
            lambda i, y: i < 7, lambda i, y: (i + 1, self.inner(y)), (0, x))[1]


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="subclassed")
        self.mine = Mine(name="mine")
        self.out = layers.Dense(3, name="out")

    def call(self, x):
        return self.out(self.mine(x))


def subclassed():
    model = Subclassed()
    model(keras.ops.ones((1, 5)))
    return model


def chain(shape, *stack):
    return keras.Sequential([keras.Input(shape), *stack])


def with_attention():
    x = keras.Input((4, 6))
    return keras.Model(x, layers.MultiHeadAttention(2, 3)(x, x))


#: Where the layer stands -> (model, own counters, calls x (1000 + outputs) of it, for batches of 2)
PLACES = {
    "plain": (lambda: chain((5,), Mine()), "Mine", 1008),
    "TimeDistributed": (lambda: chain((3, 5), layers.TimeDistributed(Mine())), "Mine", 3 * 1008),
    "TimeDistributed twice": (lambda: chain((2, 3, 5), layers.TimeDistributed(
        layers.TimeDistributed(Mine()))), "Mine", 2 * 3 * 1008),
    "a model in TimeDistributed": (lambda: chain((3, 5), layers.TimeDistributed(
        chain((5,), Mine(), layers.Dense(2)))), "Mine", 3 * 1008),
    "SpectralNormalization": (
        lambda: chain((5,), layers.SpectralNormalization(Mine())), "Mine", 1008),
    "RNN": (lambda: chain((3, 5), layers.RNN(Cell(4))), "Cell", 3 * 1008),
    "Bidirectional": (lambda: chain((3, 5), layers.Bidirectional(layers.RNN(Cell(4)))), "Cell",
                      2 * 3 * 1008),
    "a stack of cells": (lambda: chain((3, 5), layers.RNN(layers.StackedRNNCells(
        [layers.LSTMCell(3), Cell(4)]))), "Cell", 3 * 1008),
    "LSTMCell in LSTM": (lambda: chain((3, 5), layers.LSTM(4)), "LSTMCell", 3 * 1008),
    "LSTM in Bidirectional": (
        lambda: chain((3, 5), layers.Bidirectional(layers.LSTM(4))), "LSTM", 2 * 1008),
    "a layer that is traced": (lambda: chain((5,), Twice(Mine())), "Mine", 2 * 1008),
    "a loop that is traced": (lambda: chain((4,), Looping(Mine())), "Mine", 7 * 1008),
    "a subclassed model": (subclassed, "Mine", 1008),
    # query, key and value are (2, 4, 2, 3), the output (2, 4, 6)
    "a layer that has a rule": (with_attention, "EinsumDense", 4 * 1048),
    "an activation argument": (
        lambda: chain((5,), layers.Dense(4, activation=layers.ReLU())), "ReLU", 1008),
}


def shape_of(model):
    return (5,) if isinstance(model, Subclassed) else None


@pytest.mark.parametrize("place", PLACES)
def test_it_holds_in_inference(place):
    build, key, sine = PLACES[place]
    model = build()
    shape = shape_of(model)
    counted = tos.count_ops(model, 2, input_shape=shape,
                            counters=tos.OP_COUNTERS | {key: sines}).sum()
    assert counted[F, "sin"] == sine
    assert (F, "sin") not in tos.count_ops(model, 2, input_shape=shape).columns


@pytest.mark.parametrize("place", PLACES)
def test_it_gives_the_forward_pass_of_a_training_step_and_the_graph_the_rest(place):
    build, key, sine = PLACES[place]
    model = build()
    step = STEP | {"input_shape": shape_of(model)}
    own = count(model, 2, counters=tos.OP_COUNTERS | {key: sines}, **step)
    traced = trace_ops(model, 2, **step).groupby("part").sum()
    parts = own.counts.groupby(level="part").sum()
    assert parts.loc["forward", (F, "sin")] == sine
    assert own.coverage["rule"] >= 1
    for part in ("backward", "update"):
        assert {k: n for k, n in parts.loc[part].items() if n} == {
            k: n for k, n in traced.loc[part].items() if n}


def test_what_the_layer_computes_is_not_counted_beside_its_counter():
    own = {"Mine": sines}
    ops = count(chain((5,), Twice(Mine())), 2, counters=tos.OP_COUNTERS | own).counts.sum()
    assert ops.to_dict() == {(F, "sin"): 2 * 1008, (F, "exp"): 8, (F, "add"): 8}


def test_a_counted_layer_inside_a_counted_layer_is_part_of_it():
    own = {"Twice": sines, "Mine": sines}
    for model, outer in ((chain((5,), Twice(Mine())), 1008),
                         (chain((5,), Twice(Twice(Mine()))), 1008),
                         (chain((3, 5), layers.TimeDistributed(Mine())), 3 * 1008)):
        assert tos.count_ops(model, 2, counters=tos.OP_COUNTERS | own).sum()[F, "sin"] == outer


def test_a_counter_of_a_keras_layer_stands_for_its_rule_in_training():
    model = chain((5,), layers.Dense(4, activation="relu", name="a"), layers.Dense(3, name="b"))
    own = count(model, 2, counters=tos.OP_COUNTERS | {layers.Dense: sines}, **STEP)
    ruled = tos.count_ops(model, 2, **STEP)
    assert own.coverage == {"rule": len(ruled)}
    for name, outputs in (("a", 8), ("b", 6)):
        row = own.counts.loc[(name, "forward")]
        assert row[row > 0].to_dict() == {(F, "sin"): 1000 + outputs}
        assert (own.counts.loc[(name, "backward"), ruled.columns]
                == ruled.loc[(name, "backward")]).all()


def test_the_class_is_a_key_and_decides_before_the_name():
    Dense = type("Dense", (Mine,), {})
    model = chain((5,), layers.Dense(4, name="keras"), Dense(name="mine"))

    def rows(own):
        table = tos.count_ops(model, counters=tos.OP_COUNTERS | own).droplevel("kind")
        return {layer: {op for (_, op), n in row.items() if n} for layer, row in table.iterrows()}

    assert rows({Dense: sines}) == {"keras": {"mac", "add"}, "mine": {"sin"}}
    assert rows({"Dense": sines}) == {"keras": {"sin"}, "mine": {"mac", "tanh"}}
    assert rows({layers.Dense: sines}) == {"keras": {"sin"}, "mine": {"mac", "tanh"}}
    assert rows({Mine: sines}) == {"keras": {"mac", "add"}, "mine": {"mac", "tanh"}}  # a subclass


def test_a_counter_that_does_not_cover_a_call_leaves_it_to_the_trace():
    def never(call):
        raise NoRule("not this one")

    for model in (chain((5,), Mine()), chain((5,), Twice(Mine()))):
        own = count(model, 2, counters=tos.OP_COUNTERS | {"Mine": never})
        pd.testing.assert_frame_equal(
            own.counts, count(model, 2).counts)


def test_models_are_left_as_they_were():
    model = chain((5,), Twice(Mine()))
    before = vars(model.layers[0].inner).copy()
    tos.count_ops(model, counters=tos.OP_COUNTERS | {"Mine": sines}, **STEP)
    assert vars(model.layers[0].inner).keys() == before.keys()
    assert "call" not in before


class Peeking(layers.Layer):
    """Looks at values, as no traced graph can."""

    def call(self, x):
        return x * 2.0 if float(x[0, 0]) > 0 else x

    def compute_output_shape(self, shape):
        return shape

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


def test_a_layer_that_cannot_be_traced_counts_in_inference_alone():
    own = tos.OP_COUNTERS | {"Peeking": sines}
    model = chain((3, 5), layers.Dense(4), layers.TimeDistributed(Peeking()))
    assert tos.count_ops(model, 2, counters=own).sum()[F, "sin"] == 3 * 1008
    with pytest.raises(TraceError, match="counters= gives a layer's forward pass alone"):
        tos.count_ops(model, 2, counters=own, **STEP)


def test_a_counter_of_an_operator_holds_in_training_and_in_what_is_traced():
    x = keras.Input((5,))
    model = keras.Model(x, keras.ops.exp(layers.Dense(4)(x)))
    own = tos.OP_COUNTERS | {"ops.Exp": sines}
    for options in ({}, STEP):
        ops = tos.count_ops(model, 2, counters=own, **options).sum()
        assert ops[F, "sin"] == 1008
    assert tos.count_ops(chain((5,), Twice(model)), 2, counters=own).sum()[F, "sin"] == 2 * 1008


@pytest.mark.parametrize(("returned", "error", "text"), [
    (5, TypeError, "of 'mine' .Sines. returned 5"),
    ({"add": 3}, TypeError, "returned {'add': 3}; it is a Counter of .dtype, op."),
    ({("float32", "foo"): 3}, ValueError, "'foo' is none of mac, add"),
])
def test_a_counter_that_returns_no_counts_says_so(returned, error, text):
    class Sines(layers.Layer):
        def call(self, x):
            return keras.ops.sin(x)

    model = keras.Sequential([keras.Input((4,)), Sines(name="mine")])
    with pytest.raises(error, match=f"counters: .*{text}"):
        tos.count_ops(model, counters=tos.OP_COUNTERS | {"Sines": lambda call: returned})


@pytest.mark.parametrize(("n", "total"), [
    (np.uint8(200), 200), (np.int32(2**30), 2**30), (np.int64(2**60), 2**60), (True, 1),
])
@pytest.mark.parametrize(("model", "times"), [
    (lambda: chain((7, 3), layers.TimeDistributed(Mine())), 7),
    (lambda: chain((3,), Twice(Mine())), 2), (lambda: chain((4,), Looping(Mine())), 7),
])
def test_what_a_counter_gives_in_integers_of_numpy_does_not_wrap(model, times, n, total):
    own = tos.OP_COUNTERS | {Mine: lambda call: Counter({(F, "sin"): n})}
    assert tos.count_ops(model(), 2, counters=own)[F, "sin"].sum() == times * total


def test_a_counter_whose_own_integers_are_too_small_is_named():
    own = tos.OP_COUNTERS | {Mine: lambda call: Counter({
        (F, "sin"): call.outputs[0].size * np.int8(100)})}
    with pytest.raises(ValueError, match=r"counters: that of 'mine.*' \(Mine\) computes with "
                                         r"integers of NumPy's that are too small.*int\(n\)"):
        tos.count_ops(chain((3,), Mine(name="mine")), counters=own)


def test_a_counter_may_change_the_call_that_it_is_given():
    def keep(call):
        call.outputs, call.inputs = call.outputs * 5, ()
        return Counter({(F, "sin"): 1})

    model = chain((3,), Mine())
    found = count(model, 2, counters=tos.OP_COUNTERS | {Mine: keep})
    assert found.bytes.equals(count(model, 2).bytes)
