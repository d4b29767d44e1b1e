"""Equal layers on equal shapes are traced once; what differs is not taken for equal."""

from collections import Counter

import keras
import pytest
from keras import layers
from models import without_weights
from traced import trace_ops

import tostoolkit as tos
from tostoolkit.counting import traces
from tostoolkit.counting.count import count
from tostoolkit.counting.traces import call_key


class Own(layers.Layer):
    """Tanh of a product, scaled; what it holds is handed over."""

    def __init__(self, scale=2.0, function=keras.ops.tanh, **held):
        super().__init__()
        self.scale, self.function, self.held = scale, function, held
        self.inner = held.get("inner")

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], shape[-1]))

    def call(self, x, times=1):
        x = self.function(x @ self.kernel) * self.scale
        for _ in range(times):
            x = self.inner(x) if self.inner else x
        return x


class Thing:
    """Somebody's own: only itself is equal to it."""


def chain(*stack, width=4):
    return keras.Sequential([keras.Input((width,)), *stack])


def made(monkeypatch, model, **options):
    """Return how many traces a count takes."""
    calls = []
    trace = traces.trace_call
    monkeypatch.setattr(traces, "trace_call", lambda *args: calls.append(args) or trace(*args))
    counted = count(model, 2, **options)
    return len(calls), {k: int(n) for k, n in counted.counts.sum().items() if n}


def test_many_equal_layers_take_one_trace(monkeypatch):
    model = without_weights(lambda: chain(*(Own() for _ in range(50))))
    number, counts = made(monkeypatch, model)
    assert number == 1
    assert counts == {("float32", "mac"): 50 * 2 * 16, ("float32", "tanh"): 50 * 8,
                      ("float32", "mul"): 50 * 8}


SHARED = Thing()

EQUAL = {
    "nothing said": (Own, Own), "equal numbers": (lambda: Own(3.0), lambda: Own(3.0)),
    "equal containers": (lambda: Own(a=[1, {"b": (2, "c")}]), lambda: Own(a=[1, {"b": (2, "c")}])),
    "equal parts": (lambda: Own(inner=layers.Dense(4)), lambda: Own(inner=layers.Dense(4))),
    "generators of seeds": (lambda: Own(inner=layers.Dropout(0.5)),
                            lambda: Own(inner=layers.Dropout(0.5))),
    "the same thing": (lambda: Own(a=SHARED), lambda: Own(a=SHARED)),
    "formats": (lambda: Own(a=keras.DTypePolicy("mixed_float16")),
                lambda: Own(a=keras.DTypePolicy("mixed_float16"))),
}


def replaced():
    layer = Own()
    object.__setattr__(layer, "call", keras.ops.sin)
    return layer


DIFFERENT = {
    "numbers": (Own, lambda: Own(3.0)), "a number's type": (Own, lambda: Own(2)),
    "functions": (Own, lambda: Own(function=keras.ops.sin)),
    "containers": (lambda: Own(a=[1, 2]), lambda: Own(a=[2, 1])),
    "parts": (lambda: Own(inner=layers.Dense(4)),
              lambda: Own(inner=layers.Dense(4, activation="relu"))),
    "things": (lambda: Own(a=Thing()), lambda: Own(a=Thing())),
    "a replaced method": (Own, replaced),
    "a subclass": (Own, lambda: type("Own", (Own,), {})()),
    "regularisers": (lambda: Own(a=keras.regularizers.L2(0.1)),
                     lambda: Own(a=keras.regularizers.L2(0.2))),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equal_layers_are_traced_once(monkeypatch, name):
    model = chain(*(make() for make in EQUAL[name]))
    assert made(monkeypatch, model)[0] == 1


@pytest.mark.parametrize("name", DIFFERENT)
def test_different_layers_are_traced_each(monkeypatch, name):
    model = chain(*(make() for make in DIFFERENT[name]))
    number, counts = made(monkeypatch, model)
    assert number == 2
    assert counts == {k: int(n) for k, n in trace_ops(model, 2).sum().items() if n}


def test_arguments_and_shapes_of_a_call_tell_calls_apart():
    a, b, layer = keras.Input((4,)), keras.Input((3, 4)), Own()
    model = keras.Model([a, b], [layer(a), layer(b), layer(a, times=2), layer(a)])
    keys = [call_key(call) for call in tos.layer_calls(model)]
    assert len(set(keys)) == 3


def test_equal_layers_with_a_counter_of_the_users_inside():
    model = chain(*(Own(inner=layers.Dense(4)) for _ in range(3)))
    own = tos.OP_COUNTERS | {"Dense": lambda call: Counter({("float32", "sin"): 5})}
    assert tos.count_ops(model, counters=own).sum()["float32", "sin"] == 15
