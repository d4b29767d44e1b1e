"""Counts against closed forms, hand derivations and the all-ones oracle."""

from collections import Counter
from inspect import signature
from itertools import pairwise
from math import prod
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import application, shared_and_nested, small_classifier

import tostoolkit as tos
from tostoolkit.counting.calls import LayerCall, Tensor
from tostoolkit.counting.count import count, count_call
from tostoolkit.counting.rows import count_row
from tostoolkit.counting.rules import ZERO_LAYERS
from tostoolkit.counting.trace import TraceError
from tostoolkit.op_kinds import OP_KINDS

F32 = "float32"


def counts_of(layer, shape, batch_size=1):
    """Counts of one layer on samples of `shape`: op -> n."""
    table = tos.count_ops(layer, batch_size, input_shape=shape)
    assert set(table.columns.get_level_values("dtype")) <= {F32, "bool"}
    return table.sum().groupby("op").sum().to_dict()


def ones(layer, shape):
    """Output of the layer with its weights and its input all one."""
    layer.build((None, *shape))
    layer.set_weights([np.ones(w.shape) for w in layer.weights])
    return np.asarray(layer(np.ones((1, *shape), "float32")))


# --- the all-ones oracle: with kernel and input one, the output's sum is the number of MACs

def valid_twin(kind, shape, **kwargs):
    """The input shape on which `valid` padding sees every tap that `same` padding counts."""
    layer = kind(**kwargs)
    out = layer.compute_output_shape((None, *shape))[1:-1]
    sides = [
        (o - 1) * s + (k - 1) * d + 1
        for o, s, k, d in zip(out, layer.strides, layer.kernel_size, layer.dilation_rate,
                              strict=True)
    ]
    return (*sides, shape[-1])


conv_configurations = st.fixed_dictionaries({
    "rank": st.integers(1, 3), "filters": st.integers(1, 3), "groups": st.integers(1, 2),
    "channels": st.integers(1, 2), "kernel": st.integers(1, 3), "stride": st.integers(1, 2),
    "dilation": st.integers(1, 2), "padding": st.sampled_from(["valid", "same"]),
    "bias": st.booleans(),
})


@settings(max_examples=40, deadline=None)
@given(conv_configurations)
def test_convolution_matches_all_ones(c):
    stride = 1 if c["dilation"] > 1 else c["stride"]
    kind = getattr(keras.layers, f"Conv{c['rank']}D")
    kwargs = {
        "filters": c["filters"] * c["groups"], "kernel_size": c["kernel"], "strides": stride,
        "dilation_rate": c["dilation"], "groups": c["groups"], "use_bias": False,
    }
    shape = (6,) * c["rank"] + (c["channels"] * c["groups"],)
    padded = valid_twin(kind, shape, padding="same", **kwargs)
    seen = padded if c["padding"] == "same" else shape
    output = ones(kind(padding="valid", **kwargs), seen)
    layer = kind(padding=c["padding"], **kwargs | {"use_bias": c["bias"]})
    counts = counts_of(layer, shape)
    assert counts["mac"] == output.sum()
    assert counts.get("add", 0) == (output.size if c["bias"] else 0)


@pytest.mark.parametrize("layer", [
    keras.layers.Dense(4, use_bias=False),
    keras.layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False),
    keras.layers.DepthwiseConv2D((2, 3), strides=2, use_bias=False),
    keras.layers.Conv2D(4, 3, groups=2, data_format="channels_last", use_bias=False),
])
def test_contraction_matches_all_ones(layer):
    assert counts_of(layer, (7, 8, 6))["mac"] == ones(layer, (7, 8, 6)).sum()


@pytest.mark.parametrize("rank", [1, 2])
def test_separable_convolution_is_its_two_convolutions(rank):
    shape = (9,) * rank + (3,)
    separable = getattr(keras.layers, f"SeparableConv{rank}D")(
        5, 3, depth_multiplier=2, use_bias=False)
    depthwise = getattr(keras.layers, f"DepthwiseConv{rank}D")(
        3, depth_multiplier=2, use_bias=False)
    pointwise = getattr(keras.layers, f"Conv{rank}D")(5, 1, use_bias=False)
    middle = ones(depthwise, shape)
    expected = middle.sum() + ones(pointwise, middle.shape[1:]).sum()
    assert counts_of(separable, shape)["mac"] == expected


def test_dense_works_on_the_last_axis_of_any_rank():
    assert counts_of(keras.layers.Dense(4), (5, 3), 2) == {"mac": 2 * 5 * 4 * 3, "add": 2 * 5 * 4}


def test_channels_first_counts_as_channels_last():
    last = keras.layers.Conv2D(4, 3, groups=2, data_format="channels_last")
    first = keras.layers.Conv2D(4, 3, groups=2, data_format="channels_first")
    assert counts_of(first, (6, 7, 8)) == counts_of(last, (7, 8, 6))


# --- formulas on calls made by hand

@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 5))
def test_one_by_one_convolution_is_dense(channels, filters, side, batch):
    settings_ = {"use_bias": True, "activation": None}
    shapes = (Tensor((batch, side, side, channels)),), (Tensor((batch, side, side, filters)),)
    conv = SimpleNamespace(kernel_size=(1, 1), groups=1, data_format="channels_last", **settings_)
    as_conv = count_call(LayerCall("c", "Conv2D", conv, *shapes))
    as_dense = count_call(LayerCall("d", "Dense", SimpleNamespace(**settings_), *shapes))
    assert as_conv == as_dense


@given(st.integers(1, 64))
def test_counts_scale_with_the_batch_but_for_normalisation_constants(batch):
    model = MODEL
    one, many = tos.count_ops(model), tos.count_ops(model, batch)
    per_call = one.index.get_level_values("kind") == "BatchNormalization"
    assert (many[~per_call] == batch * one[~per_call]).all(axis=None)
    norm = many[per_call].sum()
    assert norm[F32, "rsqrt"] == 4
    assert norm[F32, "mul"] == batch * 8 * 8 * 4 + 2 * 4


MODEL = small_classifier()


def test_small_classifier_by_hand():
    table = tos.count_ops(MODEL).droplevel("kind")
    nonzero = {
        layer: {op: n for (_, op), n in row.items() if n} for layer, row in table.iterrows()}
    assert nonzero == {
        "conv": {"mac": 8 * 8 * 4 * 3 * 3 * 3, "add": 8 * 8 * 4},
        # s = gamma rsqrt(variance + epsilon); x s + (beta - mean s)
        "norm": {"mul": 256 + 2 * 4, "add": 256 + 2 * 4, "rsqrt": 4},
        "relu": {"max": 256},
        "pool": {"max": 4 * 4 * 4 * 3},
        "flat": {},
        "out": {"mac": 64 * 5, "add": 5 + 4 + 5, "max": 4, "exp": 5, "div": 5},
    }


def test_shared_layer_and_nested_model_count_once_per_call():
    table = tos.count_ops(shared_and_nested(), 2)
    assert table[F32, "mac"].sum() == 2 * (3 + 2) * 6 * 6
    assert table[F32, "exp"].sum() == 2 * 6
    assert table[F32, "mul"].sum() == 2 * 6


# --- every activation, as function, by name and as layer

ROWS = {"softmax", "log_softmax", "sparsemax", "glu"}
NAMES = sorted(
    name for name in dir(keras.activations)
    if not name.startswith("_") and name not in {"get", "serialize", "deserialize"}
)


@pytest.mark.parametrize("name", NAMES)
def test_every_activation_counts_by_name_and_as_argument(name):
    function = getattr(keras.activations, name)
    by_name = counts_of(keras.layers.Activation(function), (4, 6), 2)
    assert set(by_name) <= set(OP_KINDS)
    assert bool(by_name) == (name != "linear")
    if name == "glu":
        return  # halves its last axis, so it is no activation argument of Dense
    argument = counts_of(keras.layers.Dense(6, use_bias=False, activation=function), (4, 6), 2)
    assert Counter(argument) - Counter({"mac": 2 * 4 * 6 * 6}) == Counter(by_name)


@pytest.mark.parametrize(("name", "per_element"), [
    ("relu", {"max": 1}), ("tanh", {"tanh": 1}), ("sigmoid", {"sigmoid": 1}),
    ("silu", {"sigmoid": 1, "mul": 1}), ("elu", {"exp": 1, "max": 1}),
    ("gelu", {"erf": 1, "mul": 3, "neg": 1}),
    ("softplus", {"exp": 1, "log": 1}), ("softsign", {"abs": 1, "add": 1, "div": 1}),
])
def test_activation_by_hand(name, per_element):
    assert counts_of(keras.layers.Activation(name), (10,)) == {
        op: 10 * n for op, n in per_element.items()}


def test_softmax_by_hand():
    # 3 rows of 4: max of 4, subtract, exp, sum of 4, divide
    assert counts_of(keras.layers.Softmax(), (3, 4)) == {
        "max": 9, "add": 12 + 9, "exp": 12, "div": 12}
    assert counts_of(keras.layers.Softmax(axis=1), (3, 4)) == {
        "max": 8, "add": 12 + 8, "exp": 12, "div": 12}


@pytest.mark.parametrize(("layer", "expected"), [
    (keras.layers.ReLU(), {"max": 10}),
    (keras.layers.ReLU(max_value=6), {"max": 20}),
    (keras.layers.ReLU(max_value=3), {"max": 30}),
    (keras.layers.ReLU(threshold=1.0), {"max": 10, "select": 10}),
    (keras.layers.LeakyReLU(), {"max": 10, "mul": 10}),
    (keras.layers.ELU(), {"exp": 10, "max": 10}),
    (keras.layers.ELU(alpha=0.5), {"exp": 10, "max": 20, "mul": 10, "select": 10}),
    (keras.layers.PReLU(), {"max": 20, "neg": 20, "mul": 10, "add": 10}),
])
def test_activation_layer_by_hand(layer, expected):
    layer.build((None, 10))
    assert counts_of(layer, (10,)) == expected


# --- pooling, merging, bare operators

def test_pooling_by_hand():
    assert counts_of(keras.layers.MaxPooling2D(3, 2), (7, 7, 2)) == {"max": 3 * 3 * 2 * 8}
    assert counts_of(keras.layers.AveragePooling1D(4), (8, 2)) == {"add": 2 * 2 * 3, "div": 2 * 2}
    assert counts_of(keras.layers.MaxPooling3D(2, padding="same"), (3, 3, 3, 1)) == {"max": 8 * 7}
    assert counts_of(keras.layers.GlobalAveragePooling2D(), (5, 5, 3)) == {
        "add": 3 * 24, "div": 3}
    assert counts_of(keras.layers.GlobalMaxPooling1D(), (9, 3)) == {"max": 3 * 8}


@pytest.mark.parametrize(("layer", "expected"), [
    (keras.layers.Add(), {"add": 20}), (keras.layers.Subtract(), {"add": 10}),
    (keras.layers.Multiply(), {"mul": 20}), (keras.layers.Average(), {"add": 20, "div": 10}),
    (keras.layers.Maximum(), {"max": 20}), (keras.layers.Minimum(), {"max": 20}),
    (keras.layers.Concatenate(), {}),
    (keras.layers.Dot(axes=-1), {"mac": 10}),
    (keras.layers.Dot(axes=-1, normalize=True),
     {"mac": 10, "mul": 40, "add": 18, "max": 2, "rsqrt": 2}),
])
def test_merging_by_hand(layer, expected):
    k = 2 if layer.name.startswith(("subtract", "dot")) else 3
    inputs = [keras.Input((10,)) for _ in range(k)]
    table = tos.count_ops(keras.Model(inputs, layer(inputs)))
    assert {op: n for (_, op), n in table.sum().items()} == expected


@pytest.mark.parametrize(("function", "expected"), [
    (lambda x: x + 1, {"add": 12}), (lambda x: x - x, {"add": 12}),
    (lambda x: 2 * x, {"mul": 12}), (lambda x: x / 3, {"div": 12}), (lambda x: -x, {"neg": 12}),
    (lambda x: x**2.5, {"pow": 12}), (lambda x: abs(x), {"abs": 12}),
    (keras.ops.exp, {"exp": 12}), (keras.ops.sqrt, {"sqrt": 12}), (keras.ops.erf, {"erf": 12}),
    (keras.ops.relu, {"max": 12}), (keras.activations.relu, {"max": 12}),
    (keras.ops.silu, {"sigmoid": 12, "mul": 12}),
    (lambda x: keras.ops.gelu(x, approximate=True), {"mul": 72, "add": 24, "tanh": 12}),
    (keras.ops.softmax, {"max": 8, "add": 12 + 8, "exp": 12, "div": 12}),
    (lambda x: keras.ops.sum(x, axis=-1), {"add": 8}),
    (lambda x: keras.ops.mean(x, axis=1), {"add": 9, "div": 3}),
    (lambda x: keras.ops.matmul(x, keras.ops.transpose(x, (0, 2, 1))), {"mac": 4 * 4 * 3}),
    (lambda x: keras.ops.reshape(x, (-1, 12)), {}), (lambda x: x[:, 0], {}),
    (lambda x: keras.ops.where(x > 0, x, 0.0), {"max": 12, "select": 12}),
])
def test_bare_operator_by_hand(function, expected):
    x = keras.Input((4, 3))
    table = tos.count_ops(keras.Model(x, function(x)))
    total = table.sum().groupby("op").sum()
    assert total[total > 0].to_dict() == expected


@pytest.mark.parametrize("kind", ZERO_LAYERS)
def test_zero_layers_exist_in_keras(kind):
    assert hasattr(keras.layers, kind)


# --- known models

def test_resnet50_macs():
    assert tos.count_ops(application("ResNet50"))[F32, "mac"].sum() == 3_857_973_248


def test_vgg16_macs_by_hand():
    # 3x3 convolutions, `same`: side^2 x 9 x in x out; sides halve after each block
    blocks = [(224, (3, 64, 64)), (112, (64, 128, 128)), (56, (128, 256, 256, 256)),
              (28, (256, 512, 512, 512)), (14, (512, 512, 512, 512))]
    convolutions = sum(
        side**2 * 9 * i * o for side, ch in blocks for i, o in pairwise(ch))
    dense = 7 * 7 * 512 * 4096 + 4096 * 4096 + 4096 * 1000
    assert tos.count_ops(application("VGG16"))[F32, "mac"].sum() == convolutions + dense


def test_mobilenetv2_macs_by_hand():
    # Sandler et al. 2018, table 2: (expansion t, channels c, repeats n, stride s)
    rows = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
            (6, 160, 3, 2), (6, 320, 1, 1)]
    side, channels = 112, 32
    macs = side**2 * 9 * 3 * 32
    for t, c, n, s in rows:
        for i in range(n):
            wide = t * channels
            macs += side**2 * channels * wide if t > 1 else 0
            side //= s if i == 0 else 1
            macs += side**2 * 9 * wide + side**2 * wide * c
            channels = c
    macs += side**2 * 320 * 1280 + 1280 * 1000
    assert tos.count_ops(application("MobileNetV2"))[F32, "mac"].sum() == macs


@pytest.mark.parametrize("name", ["ResNet50", "VGG16", "MobileNetV2", "EfficientNetB0",
                                  "Xception"])
def test_classifiers_count_completely(name):
    model = application(name)
    table = tos.count_ops(model)
    assert len(table) == len([x for x in model.layers if x.__class__.__name__ != "InputLayer"])
    weighted = {layer.name for layer in model.layers if layer.weights}
    counted = table.index.get_level_values("layer")[table.sum(axis=1) > 0]
    assert weighted <= set(counted)


# --- the one way in

STEP = {"phase": "training", "loss": "sparse_categorical_crossentropy", "optimizer": "adam"}


@pytest.mark.parametrize("phase", [{}, STEP])
def test_count_is_what_its_tables_are_asked_for(phase):
    counted = count(MODEL, 3, **phase)
    assert counted.counts.equals(tos.count_ops(MODEL, 3, **phase))
    assert counted.bytes.equals(tos.count_bytes(MODEL, 3, **phase))
    assert counted.calls == tos.layer_calls(MODEL, 3)
    assert sum(counted.coverage.values()) == len(counted.counts)
    assert counted.notes == ()
    report = tos.transistor_ops(MODEL, batch_size=3, **phase)
    assert report.counts.equals(counted.counts)
    assert report.movement.equals(counted.bytes)
    assert report.coverage == counted.coverage


def test_one_order_of_arguments():
    first, *rest = (signature(f).parameters for f in (
        count, tos.count_ops, tos.count_bytes, count_row))
    assert list(first) == ["model", "batch_size", "phase", "input_shape", "counters", "loss",
                           "optimizer", "targets"]
    assert all(list(other.values()) == list(first.values()) for other in rest)
    assert set(first) <= set(signature(tos.transistor_ops).parameters)


def test_bytes_do_not_ask_for_a_loss():
    step = {"phase": "training", "optimizer": "adam"}
    assert tos.count_bytes(MODEL, **step).equals(count(MODEL, **STEP).bytes)
    with pytest.raises(ValueError, match="loss: 'small' is not compiled"):
        count(MODEL, **step)


def test_nothing_lives_in_attrs():
    for phase in ({}, STEP):
        counted = count(MODEL, **phase)
        assert counted.counts.attrs == counted.bytes.attrs == {}


# --- extension and bad input

class Doubled(keras.layers.Layer):
    def call(self, x):
        return x + x


class Peeking(keras.layers.Layer):
    """Looks at values, as no traced graph can."""

    def call(self, x):
        return x * 2.0 if float(x[0, 0]) > 0 else x


def test_own_counter_is_one_entry():
    model = keras.Sequential([keras.Input((3,)), Doubled(name="twice")])
    own = {"Doubled": lambda call: Counter({(call.dtype, "mul"): call.outputs[0].size})}
    counted = count(model, counters=tos.OP_COUNTERS | own)
    assert counted.counts.loc["twice"].iloc[0].to_dict() == {("float32", "mul"): 3}
    assert counted.coverage == {"rule": 1}


def test_layer_without_a_counter_is_traced():
    model = keras.Sequential([keras.Input((3,)), Doubled(name="twice")])
    counted = count(model)
    assert counted.counts.loc["twice"].iloc[0].to_dict() == {("float32", "add"): 3}
    assert counted.coverage == {"trace": 1}


def test_layer_that_cannot_be_traced_is_an_error_that_shows_the_counter_to_write():
    layer = Peeking()
    layer.build((2, 3))
    call = LayerCall("peek", "Peeking", layer, (Tensor((2, 3)),), (Tensor((2, 3)),))
    with pytest.raises(TraceError, match="'peek' cannot be traced") as caught:
        count_call(call)
    assert "OP_COUNTERS | {" in str(caught.value)


def test_activation_that_keras_does_not_ship_is_traced():
    def my_bump(x):
        return keras.ops.exp(-x * x)

    layer = keras.layers.Dense(3, activation=my_bump)
    layer.build((None, 4))
    assert counts_of(layer, (4,)) == {"mac": 12, "add": 3, "mul": 3, "neg": 3, "exp": 3}


def test_unknown_phase_is_an_error():
    with pytest.raises(ValueError, match="'train'"):
        tos.count_ops(MODEL, phase="train")


def test_model_of_copies_only_has_rows_and_no_columns():
    table = tos.count_ops(keras.Sequential([keras.Input((2, 3)), keras.layers.Flatten()]))
    assert table.shape == (1, 0)
    assert table.sum().sum() == 0


def test_pure_data_types():
    table = tos.count_ops(MODEL)
    assert (table.dtypes == "int64").all()
    assert table.index.names == ["layer", "kind"]
    assert table.columns.names == ["dtype", "op"]
    assert prod(table.shape) > 0
