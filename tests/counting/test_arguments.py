"""Every argument of every layer that has a rule: rule and trace agree, or the rule leaves it.

All constructor arguments and all arguments of ``call`` are set, one at a time, to a value that is
not the default. An argument that nobody gave a value here, one of a new Keras for example, fails
until somebody decides whether a rule knows it.
"""

from collections import Counter
from functools import partial
from inspect import Parameter, signature

import keras
import pytest
from keras import layers
from layer_cases import CASES, layer_of
from models import without_weights
from traced import trace_ops

from tostoolkit.counting.count import count
from tostoolkit.counting.layer_state import constructor_arguments
from tostoolkit.counting.rules import OP_COUNTERS, TRACED_LAYERS, VOCABULARIES

REGULARIZER, CONSTRAINT = keras.regularizers.L2(0.1), keras.constraints.NonNeg()

#: Constructor argument -> values that are not its default. A suffix stands for all that end so.
VALUES = {
    "_initializer": ["ones"], "_regularizer": [REGULARIZER], "_constraint": [CONSTRAINT],
    "name": ["another"], "trainable": [False], "autocast": [False], "seed": [3],
    "dtype": ["float64", "bfloat16", "float16", "mixed_bfloat16"],
    "activation": ["relu", "tanh", "softmax", "gelu", keras.ops.square, layers.ReLU(6.0)],
    "recurrent_activation": ["hard_sigmoid", keras.ops.square],
    "use_bias": [False], "bias_axes": ["d", "bd"], "unit_forget_bias": [False],
    "strides": [2], "padding": ["same"], "data_format": ["channels_first"], "dilation_rate": [2],
    "groups": [2], "depth_multiplier": [2], "output_padding": [1], "kernel_size": [2],
    "filters": [6], "units": [5], "pool_size": [3], "keepdims": [True], "rate": [0.4],
    "noise_shape": [(2, 1)], "stddev": [0.4], "dropout": [0.2], "recurrent_dropout": [0.2],
    "lora_rank": [2], "lora_alpha": [2.0], "mask_zero": [True], "mask_value": [1.5],
    "input_dim": [7], "output_dim": [6], "tie_weights": [False], "logit_soft_cap": [2.0],
    "reverse_dtype": ["float64"], "weights": [None],
    "quantization_config": [], "gptq_unpacked_column_size": [3],
    "num_heads": [3], "key_dim": [1, 4], "value_dim": [2], "output_shape": [7],
    "attention_axes": [(1,), (2,), (1, 2)], "sliding_window": [2], "flash_attention": [False],
    "use_gate": [True], "head_dim": [2], "num_query_heads": [2], "num_key_value_heads": [1],
    "use_scale": [True, False], "score_mode": ["concat"],
    "return_sequences": [True], "return_state": [True], "go_backwards": [True],
    "stateful": [True], "unroll": [True], "zero_output_for_mask": [True], "use_cudnn": [False],
    "reset_after": [False], "momentum": [0.5], "epsilon": [1e-2], "center": [False],
    "scale": [False], "renorm": [True], "renorm_clipping": [{"rmax": 2.0}],
    "renorm_momentum": [0.5], "synchronized": [True], "rms_scaling": [True],
    "axis": [1, (1, 2)], "mean": [{"mean": 2.0, "variance": 3.0}],
    "variance": [{"mean": 0.0, "variance": 1.0}], "invert": [True],
    "offset": [1.0], "max_value": [6.0, 3.0], "negative_slope": [0.2, 0.0],
    "threshold": [0.5], "alpha": [0.5], "shared_axes": [[1]], "axes": [2], "normalize": [True],
    "layer": [], "merge_mode": ["sum", "mul", "ave", "concat", None],
    "backward_layer": [layers.GRU(3, go_backwards=True), layers.LSTM(3, go_backwards=True)],
    "power_iterations": [2], "cells": [], "cell": [], "l1": [0.1], "l2": [0.1], "cropping": [1],
    "dims": [(2, 1)], "n": [2], "target_shape": [(2, 6)],
    "equation": ["abc,cd->abd"],
}

#: (Layer, argument) -> values, where those by the argument's name do not fit the layer.
OF_LAYER = {
    ("Rescaling", "scale"): [2.0, 1.0], ("EinsumDense", "output_shape"): [(5, 4)],
    ("Rescaling", "offset"): [0.5], ("Cropping1D", "cropping"): [(1, 2)],
    ("ZeroPadding1D", "padding"): [2], ("ZeroPadding2D", "padding"): [(2, 1)],
    ("ZeroPadding3D", "padding"): [2],
    ("SpatialDropout1D", "noise_shape"): [None], ("SpatialDropout2D", "noise_shape"): [None],
    ("SpatialDropout3D", "noise_shape"): [None],
    ("Concatenate", "axis"): [1], ("GroupNormalization", "axis"): [1],
    ("GroupNormalization", "groups"): [6, 1, -1], ("Normalization", "axis"): [1, None],
    ("BatchNormalization", "axis"): [1], ("Softmax", "axis"): [1, (1, 2), None],
    ("Reshape", "target_shape"): [(2, -1)],
    ("TimeDistributed", "layer"): [layers.Dropout(0.1), layers.Embedding(5, 2),
                                   layers.Dense(3, dtype="mixed_bfloat16")],
    ("SpectralNormalization", "layer"): [layers.Dense(3, activation="tanh")],
    ("Bidirectional", "layer"): [layers.GRU(3, return_sequences=True)],
    ("Bidirectional", "weights"): [None],
    ("RNN", "cell"): [layers.LSTMCell(3), layers.GRUCell(2, reset_after=False),
                      layers.SimpleRNNCell(3, activation="relu")],
    ("Conv1D", "padding"): ["same", "causal"], ("Dot", "axes"): [(1, 1)],
    **{(f"Conv{n}DTranspose", "dilation_rate"): [{"dilation_rate": 2, "strides": 1}]
       for n in (1, 2, 3)},
    ("EinsumDense", "bias_axes"): ["d", {"bias_axes": "bd", "output_shape": (5, 4)}],
}

#: Argument of ``call`` -> what is handed over: a value, or a function of the shapes of the inputs
#: that returns the shapes and the dtype of further inputs.
CALL_VALUES = {
    "training": [True, False], "return_attention_scores": [True], "use_causal_mask": [True],
    "reverse": [True], "mask": [lambda shapes: ([shapes[0][:1]], "bool")],
    "initial_state": [lambda shapes: ([(3,)], None)],
    "value": [], "key": [lambda shapes: ([shapes[1]], None)],  # `value` is one of the inputs
    "query_mask": [lambda shapes: ([shapes[0][:1]], "bool")],
    "value_mask": [lambda shapes: ([shapes[1][:1]], "bool")],
    "key_mask": [lambda shapes: ([shapes[1][:1]], "bool")],
    "attention_mask": [lambda shapes: ([(shapes[0][0], shapes[1][0])], "bool")],
}

#: (Layer, argument of ``call``) -> as above, where those by name do not fit the layer.
CALL_OF_LAYER = {
    ("Softmax", "mask"): [lambda shapes: ([shapes[0]], "bool")],
    **{(kind, "mask"): [lambda shapes: ([s[:1] for s in shapes], "bool")]
       for kind in ("Attention", "AdditiveAttention")},
    ("BatchNormalization", "mask"): [lambda shapes: ([shapes[0][:-1]], "bool")],
    ("LSTM", "initial_state"): [lambda shapes: ([(3,)] * 2, None)],
    ("RNN", "initial_state"): [None],  # of cells of several sizes
    ("Bidirectional", "initial_state"): [lambda shapes: ([(3,)] * 4, None)],
    ("ConvLSTM1D", "initial_state"): [lambda shapes: ([(6, 3)] * 2, None)],
    ("ConvLSTM2D", "initial_state"): [lambda shapes: ([(4, 5, 3)] * 2, None)],
    ("ConvLSTM3D", "initial_state"): [lambda shapes: ([(3, 3, 3, 2)] * 2, None)],
}

#: What Keras or its backend itself refuses: (layer, argument, value).
REFUSED = {
    ("ActivityRegularization", "activity_regularizer", REGULARIZER),
    ("RMSNormalization", "axis", 1),
    ("MaxPooling3D", "dtype", "float64"),
}
#: What a layer takes from its own class, not from the user.
OF_THE_CLASS = {"rank", "pool_dimensions", "pool_mode"}
#: Layers whose cells and inputs are other layers' concern.
CELLS = {"SimpleRNNCell", "LSTMCell", "GRUCell", "StackedRNNCells"}


def nonzero(table):
    return {key: int(n) for key, n in table.sum().items() if n}


def values_of(kind, argument):
    """Return the values to try of a constructor argument, None where nobody decided on them."""
    for table, key in ((OF_LAYER, (kind, argument)), (VALUES, argument)):
        if key in table:
            return table[key]
    return next((v for suffix, v in VALUES.items()
                 if suffix[0] == "_" and argument.endswith(suffix)), None)


def has_rule(kind):
    return not kind.startswith("ops.") and kind not in (
        *TRACED_LAYERS, *CELLS, *VOCABULARIES, "InputLayer")


def name_of(kind):
    """Return the public name of a class of layers."""
    return {"GroupedQueryAttention": "GroupQueryAttention"}.get(kind, kind)


KINDS = [kind for kind in OP_COUNTERS if has_rule(kind) and hasattr(layers, name_of(kind))]


def call_arguments(cls):
    """Return the names of the arguments of a layer's call, but for the first."""
    parameters = list(signature(cls.call).parameters.values())[2:]
    return [p.name for p in parameters if p.kind != Parameter.VAR_KEYWORD]


def model_of(kind, kwargs, shapes, argument=None, value=None):
    """Return a model of one layer, in whose format its inputs are, and perhaps an argument more."""
    layer = layer_of(name_of(kind), kwargs)
    indices = argument != "reverse" and "Embedding" in (
        kind + type(getattr(layer, "layer", None)).__name__)
    dtype = "int32" if indices else layer.compute_dtype
    size = 2 if kwargs.get("stateful") else None
    shapes = [(*shape, layer.output_dim) if argument == "reverse" else shape for shape in shapes]
    inputs = [keras.Input(shape, size, dtype=dtype) for shape in shapes]
    args = inputs if kind in ("MultiHeadAttention", "GroupedQueryAttention") else [
        inputs[0] if len(inputs) == 1 else inputs]
    more = []
    if callable(value):
        more = [keras.Input(shape, dtype=t or dtype) for t in (value(shapes)[1],)
                for shape in value(shapes)[0]]
        value = more[0] if len(more) == 1 else more
    return keras.Model([*inputs, *more], layer(*args, **({argument: value} if argument else {})))


def outcome(build):
    """Return whether a model is counted by rule or from the trace; the whole trace agrees."""
    model = build()
    counted = count(model, 2)
    assert nonzero(counted.counts) == nonzero(trace_ops(model, 2)), dict(counted.coverage)
    return "trace" if "trace" in counted.coverage else "rule"


def walk_constructor(kind):
    """Return (argument, value) -> outcome, of all constructor arguments of a kind of layer."""
    found, (kwargs, shapes) = {}, CASES[name_of(kind)][0]
    for argument in constructor_arguments(getattr(layers, name_of(kind))):
        values = values_of(kind, argument)
        assert argument in OF_THE_CLASS or values is not None, (
            f"{kind}({argument}=...) is new: give it a value in VALUES, and where a rule reads it "
            "or it changes nothing, a place in the rule's declaration")
        for value in values or ():
            changed = value if isinstance(value, dict) and argument in value else {argument: value}
            build = partial(model_of, kind, kwargs | changed, shapes)
            if any(refused[:2] == (kind, argument) and refused[2] is value for refused in REFUSED):
                with pytest.raises((TypeError, ValueError)):  # from Keras, or from its trace
                    trace_ops(build(), 2)
                continue
            if kwargs.get("stateful") or argument == "stateful":
                found[argument, str(value)] = outcome(build)
            else:
                found[argument, str(value)] = outcome(partial(without_weights, build))
    return found


def walk_call(kind):
    """Return (argument, number) -> outcome, of all arguments of the call of a kind of layer."""
    found, (kwargs, shapes) = {}, CASES[name_of(kind)][0]
    for argument in call_arguments(getattr(layers, name_of(kind))):
        values = CALL_OF_LAYER.get((kind, argument), CALL_VALUES.get(argument))
        assert values is not None, f"{kind}()(x, {argument}=...) is new: give it a value"
        for number, value in enumerate(values):
            found[argument, number] = outcome(partial(
                without_weights, partial(model_of, kind, kwargs, shapes, argument, value)))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_layer_has_its_rule(kind):
    kwargs, shapes = CASES[name_of(kind)][0]
    model = without_weights(lambda: model_of(kind, kwargs, shapes))
    assert nonzero(count(model, 2).counts) == nonzero(trace_ops(model, 2))
    assert count(model, 2).coverage in ({"rule": 1}, {"zero": 1})


#: What was found by `test_every_constructor_argument` and `test_every_argument_of_a_call`.
FOUND = {}


@pytest.mark.parametrize("kind", KINDS)
def test_every_constructor_argument(kind):
    FOUND["constructor", kind] = walk_constructor(kind)
    arguments = {argument for argument, _ in FOUND["constructor", kind]}
    assert {"trainable", "name"} & arguments


@pytest.mark.parametrize("kind", KINDS)
def test_every_argument_of_a_call(kind):
    FOUND["call", kind] = walk_call(kind)


def test_the_walk_was_long_and_the_rules_are_worth_having():
    if len(FOUND) < 2 * len(KINDS):
        pytest.skip("only a part of the walk was run")
    for part, arguments, by_rule, traced in (("constructor", 900, 900, 120), ("call", 50, 10, 20)):
        found = [(kind, argument, how) for (where, kind), outcomes in FOUND.items()
                 if where == part for (argument, _), how in outcomes.items()]
        numbers = Counter(how for *_, how in found)
        pairs = len({(kind, argument) for kind, argument, _ in found})
        print(f"{part}: {len(KINDS)} layers, {pairs} pairs of layer and argument, {dict(numbers)}")
        assert pairs >= arguments
        assert numbers["rule"] >= by_rule
        assert numbers["trace"] >= traced


def test_an_argument_that_nobody_decided_on_is_noticed(monkeypatch):
    monkeypatch.delitem(VALUES, "use_bias")
    with pytest.raises(AssertionError, match=r"Dense\(use_bias=.*is new"):
        walk_constructor("Dense")
