"""What cannot be traced says which layer, the innermost error, and the call that works."""

import re
from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

import tostoolkit as tos
from tostoolkit.counting.trace import TraceError


class Same(keras.layers.Layer):
    """A layer whose code Keras does not run before it is traced."""

    def build(self, shape):
        """Make no weights."""

    def compute_output_shape(self, shape):
        return shape


def fault(call):
    return type("Faulty", (Same,), {"call": call})(name="inner")


class Middle(Same):
    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, x):
        return self.inner(x)


class Outer(Middle):
    pass


def model_of(inner):
    x = keras.Input((8,))
    nested = keras.Sequential([keras.Input((8,)), Outer(Middle(inner, name="mid"), name="outer")],
                              name="nested")
    return keras.Model(x, keras.layers.Dense(2, name="head")(nested(x)), name="whole")


def length(self, x):
    return len(5)


def key(self, x):
    return x + {"a": 1.0}["b"]


def product(self, x):
    return keras.ops.matmul(x, keras.ops.ones((5, 7)))


def value(self, x):
    return x * np.sin(x.numpy())


def branch(self, x):
    return x if keras.ops.sum(x) > 0 else -x


def array(self, x):
    return x + np.asarray(x).mean()


def number(self, x):
    return x * float(x[0, 0])


def no_weight(self, x):
    return x * self.kernel


def claim(self, x):
    assert not tf.is_symbolic_tensor(x), "eager tensors only"
    return x


def mode(self, x):
    try:
        return x * {"train": 2.0}["test"]
    except KeyError as error:
        raise ValueError("no such mode") from error


def wrong_units(self, x):
    return keras.layers.Dense(-3)(x)


def long(self, x):
    raise RuntimeError("much " * 500)


def silent(self, x):
    raise RuntimeError


FAULTS = {
    length: "TypeError: object of type 'int' has no len()",
    key: "KeyError: 'b'",
    product: "ValueError: Dimensions must be equal, but are 8 and 5",
    value: "AttributeError: 'SymbolicTensor' object has no attribute 'numpy'",
    branch: "OperatorNotAllowedInGraphError: Using a symbolic `tf.Tensor` as a Python `bool`",
    array: "NotImplementedError: Cannot convert a symbolic tf.Tensor",
    number: "TypeError: float() argument must be a string or a real number",
    no_weight: "AttributeError: 'Faulty' object has no attribute 'kernel'",
    claim: "AssertionError: eager tensors only",
    mode: "ValueError: no such mode (test_trace_errors.py, line ",
    wrong_units: "ValueError: Received an invalid value for `units`",
    long: "RuntimeError: much much",
    silent: "RuntimeError (test_trace_errors.py, line ",
}
NESTED = {"inference": "nested/outer/mid/inner", "training": "whole/nested/outer/mid/inner"}


@pytest.mark.parametrize("phase", ["inference", "training"])
@pytest.mark.parametrize("call", FAULTS, ids=lambda call: call.__name__)
def test_the_layer_that_failed_and_its_own_error_are_named(call, phase):
    model = model_of(fault(call))
    with pytest.raises(TraceError) as raised:
        tos.count_ops(model, 2, phase, loss="mse", optimizer="sgd")
    said = str(raised.value)
    assert said.startswith(f"{NESTED[phase]!r} cannot be traced: its code raised {FAULTS[call]}")
    assert re.search(rf"\(test_trace_errors\.py, line {call.__code__.co_firstlineno + 1}|"
                     r"\(test_trace_errors\.py, line \d+\)", said)
    assert "Exception encountered" not in said
    assert "Arguments received" not in said
    assert "\n" not in said
    assert len(said) < 1200
    assert keras.config.is_traceback_filtering_enabled()  # as it was


def test_what_an_error_was_raised_from_is_said():
    with pytest.raises(TraceError, match=r"no such mode \(.*\), from KeyError: 'test' \("):
        tos.count_ops(model_of(fault(mode)))


@pytest.mark.parametrize("call", FAULTS, ids=lambda call: call.__name__)
def test_the_counter_that_the_error_gives_is_one_that_works(call):
    model = model_of(fault(call))
    with pytest.raises(TraceError) as raised:
        tos.count_ops(model, 2)
    advice = re.search(r"Count it by hand: (.*\)), with collections.Counter", str(raised.value))[1]
    counts = eval(advice, {"tos": tos, "model": model, "Counter": Counter})
    assert counts.loc["nested/outer"].to_numpy().sum() == 8  # one sample: an op an output
    assert counts["float32", "mac"].sum() == 8 * 2


def of_the_data(self, x):
    return keras.ops.reshape(tf.boolean_mask(x, x > 0), (-1,)) * 2.0


def python_op(self, x):
    return tf.py_function(lambda t: t, [x], tf.float32)


def numpy_op(self, x):
    return tf.numpy_function(np.sin, [x], tf.float32)


OPS = {of_the_data: "the op Mul at '.*inner.*depends on the data",
       python_op: "the op EagerPyFunc at '.*inner.*has no counter",
       numpy_op: "the op PyFunc at '.*inner.*has no counter"}


@pytest.mark.parametrize("call", OPS, ids=lambda call: call.__name__)
def test_an_op_that_cannot_be_counted_says_where_it_stands(call):
    with pytest.raises(TraceError, match=rf"'nested/outer' \(Outer\) cannot be traced: {OPS[call]}"
                                         r".*\{'Outer': lambda call"):
        tos.count_ops(model_of(fault(call)))


@pytest.mark.parametrize(("axis", "shape"), [(1, (4, 5, 6)), (-2, (4, 5))])
def test_a_layer_of_keras_that_it_cannot_run_is_an_error(axis, shape):
    """Its gamma, which stands along the last axis, does not fit."""
    x = keras.Input(shape)
    model = keras.Model(x, keras.layers.RMSNormalization(axis=axis, name="norm")(x))
    with pytest.raises(Exception, match=r"equal|broadcast|compatible|shape"):
        model(np.zeros((2, *shape)))
    with pytest.raises(TraceError, match="'norm' cannot be traced"):
        tos.count_ops(model)


def test_filtering_that_was_off_stays_off():
    keras.config.disable_traceback_filtering()
    try:
        with pytest.raises(TraceError, match="'nested/outer/mid/inner' cannot be traced"):
            tos.count_ops(model_of(fault(key)))
        assert not keras.config.is_traceback_filtering_enabled()
    finally:
        keras.config.enable_traceback_filtering()


def test_a_subclassed_model_names_its_inner_layer():
    class Mine(keras.Model):
        def __init__(self):
            super().__init__(name="mine")
            self.first, self.second = Middle(keras.layers.Dense(3), name="a"), fault(key)

        def call(self, x):
            return self.second(self.first(x))

    for phase in ("inference", "training"):
        with pytest.raises(TraceError, match=r"'mine/inner' cannot be traced.*KeyError: 'b'"):
            tos.count_ops(Mine(), 2, phase, input_shape=(8,), loss="mse", optimizer="sgd")
