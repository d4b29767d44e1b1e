"""Of a loop and of a conditional counts what somebody needs, each case derived beside it."""

import keras
import pytest
from keras import layers, ops

import tostoolkit as tos


def looped(x, steps, step, *state):
    """Return the variables of a loop of so many steps, of which `step` makes the next ones."""
    return ops.while_loop(lambda i, *state: i < steps,
                          lambda i, *state: (i + 1, *step(*state)), (0, *(state or (x, x))))[1:]


def apart(a, b):
    return ops.tanh(a), ops.exp(b)


def in_turn(a, b, c):
    return ops.tanh(a), b + a, ops.sin(b)


#: What is made of x -> how many of each op, of 4 values.
CASES = {
    "the first of two that do not meet": (lambda x: looped(x, 5, apart)[0], {"tanh": 20}),
    "the second": (lambda x: looped(x, 5, apart)[1], {"exp": 20}),
    "what feeds the one that is needed": (
        lambda x: looped(x, 5, in_turn, x, x, x)[2], {"tanh": 20, "add": 20, "sin": 20}),
    "what does not feed it": (lambda x: looped(x, 5, in_turn, x, x, x)[1],
                              {"tanh": 20, "add": 20}),
    # 5 steps of 3, and what goes into the loop for nobody
    "a loop in a loop": (
        lambda x: looped(x, 5, lambda a, b: (looped(a, 3, apart, a, a)[0], ops.sin(b)),
                         x, ops.log(x))[0], {"tanh": 60}),
    "what is made for a loop and not needed in it": (
        lambda x: ops.fori_loop(0, 5, lambda i, s: (ops.tanh(s[0]), s[1] + s[0]),
                                (x, ops.sin(x)))[0], {"tanh": 20}),
    # the dearer branch of exp and log, on what goes into both, by a sum of 4 and a comparison
    "a branch's first result": (
        lambda x: ops.cond(ops.sum(x) > 0, lambda: (ops.tanh(x), ops.exp(x)),
                           lambda: (ops.tanh(x), ops.log(ops.log(x))))[0],
        {"tanh": 4, "add": 3, "max": 1}),
}


@pytest.mark.parametrize("name", CASES)
def test_what_nobody_needs_does_not_count(name):
    function, right = CASES[name]
    model = keras.Sequential([keras.Input((4,)), layers.Lambda(function, output_shape=(4,))])
    counts = tos.count_ops(model).iloc[0]
    assert {op: n for (dtype, op), n in counts.items() if n and dtype == "float32"} == right


@pytest.mark.parametrize(("kind", "gates"), [(layers.LSTM, 4), (layers.GRU, 3),
                                             (layers.SimpleRNN, 1)])
def test_no_gradient_of_what_a_frozen_layer_feeds(kind, gates):
    """5 steps of a batch of 2: 4 inputs and 3 units meet 3 units of each gate.

    The gradients of both kernels multiply as often as the forward pass, that of the state as the
    recurrent kernel; that of the inputs, where the embedding learns.
    """
    embedding = layers.Embedding(9, 4)
    model = keras.Sequential([keras.Input((5,), dtype="int32"), embedding, kind(3)])
    inputs, units = 5 * 2 * 4 * 3 * gates, 5 * 2 * 3 * 3 * gates

    def macs():
        counts = tos.count_ops(model, 2, "training", loss="mse", optimizer="sgd")
        return counts["float32", "mac"].sum()

    assert macs() == 3 * (inputs + units)
    embedding.trainable = False
    assert macs() == 2 * inputs + 3 * units
