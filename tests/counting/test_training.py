"""The rules of a training step against its traced graph, by part and op."""

from inspect import signature

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from models import application
from traced import trace_ops

import tostoolkit as tos
from tostoolkit.counting.count import count
from tostoolkit.counting.rules.activations import ACTIVATIONS
from tostoolkit.counting.rules.gradients import GRADIENTS
from tostoolkit.counting.rules.training import LOSSES, OPTIMIZERS

#: Activations whose gradient has a rule.
RULED = [name for name, a in ACTIVATIONS.items() if a.gradient is not None]
PARTS = ("forward", "backward", "update")


def by_part(table):
    totals = table.groupby(level="part").sum()
    return {part: {op: int(n) for op, n in totals.loc[part].items() if n} for part in PARTS}


def check(model, loss="mse", optimizer="sgd", batch_size=2, method="rule"):
    """The step is counted by `method`, and as the trace counts it."""
    step = {"batch_size": batch_size, "phase": "training", "loss": loss, "optimizer": optimizer}
    counted = count(model, **step)
    assert list(counted.coverage) == [method]
    assert by_part(counted.counts) == by_part(trace_ops(model, **step))


def sequential(shape, *stack):
    with tos.abstract():
        return keras.Sequential([keras.Input(shape), *stack])


@pytest.mark.parametrize("name", RULED)
def test_activations(name):
    check(sequential((3,), layers.Dense(5, activation=name), layers.Activation(name),
                     layers.Dense(2)))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("head", [
    [lambda: layers.Dense(5, activation="softmax")],
    [lambda: layers.Dense(5), lambda: layers.Softmax()],
    [lambda: layers.Dense(5), lambda: layers.Activation("softmax")],
])
@pytest.mark.parametrize("shape", [(3,), (4, 3)])
def test_losses(loss, head, shape):
    check(sequential(shape, *(make() for make in head)), loss, batch_size=3)


@pytest.mark.parametrize("shape", [(3,), (1, 3), (4, 3)])
@pytest.mark.parametrize(("loss", "outputs"), [
    ("mean_squared_error", 1), ("mean_absolute_error", 1), ("mean_squared_error", 5),
    ("sparse_categorical_crossentropy", 5), ("categorical_crossentropy", 5)])
def test_means_of_one_value(loss, outputs, shape):
    """Of one row, or rows of one output, at batch 1."""
    activation = "softmax" if "crossentropy" in loss else None
    check(sequential(shape, layers.Dense(outputs, activation=activation)), loss, batch_size=1)


def test_the_loss_of_one_output_by_hand():
    """y = w x + b of 8, (t - y)^2 and its gradient 2 (t - y), turned: no mean divides or weighs."""
    step = {"phase": "training", "loss": "mse", "optimizer": "sgd"}
    total = tos.count_ops(sequential((8,), layers.Dense(1)), **step).sum()
    assert {key: n for key, n in total.items() if n} == {
        ("float32", "mac"): 8 + 8, ("float32", "add"): 1 + 1 + 9, ("float32", "neg"): 1,
        ("float32", "mul"): 1 + 1 + 9, ("int64", "add"): 1}


@pytest.mark.parametrize("optimizer", [
    "sgd", "adam", keras.optimizers.SGD(momentum=0.9), keras.optimizers.Adam(1e-2, epsilon=1e-3)])
def test_optimizers(optimizer):
    assert {type(keras.optimizers.get(optimizer)).__name__} <= set(OPTIMIZERS)
    check(sequential((3,), layers.Dense(5, use_bias=False), layers.BatchNormalization(),
                     layers.Dense(2)), optimizer=optimizer)


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_drawn_image_networks(data):
    draw = data.draw

    def conv(i):
        size, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        common = {"padding": draw(st.sampled_from(["same", "valid"])),
                  "use_bias": draw(st.booleans()), "strides": stride,
                  "activation": draw(st.sampled_from([None, "relu", "silu"]))}
        if draw(st.booleans()):
            return layers.DepthwiseConv2D(size, depth_multiplier=draw(st.integers(1, 2)), **common)
        groups = draw(st.sampled_from([1, 2])) if i and common["strides"] == 1 else 1
        return layers.Conv2D(4, size, groups=groups, **common)

    stack = [layers.Conv2D(4, 3, padding="same")]
    for i in range(draw(st.integers(1, 3))):
        stack += [conv(i), *draw(st.sampled_from([
            [], [layers.BatchNormalization()], [layers.ReLU()], [layers.Dropout(0.3)],
            [layers.MaxPooling2D(2, strides=1, padding="same")],
            [layers.AveragePooling2D(2, padding="same")], [layers.ZeroPadding2D(1)],
        ]))]
    stack += [layers.GlobalAveragePooling2D() if draw(st.booleans()) else layers.Flatten(),
              layers.Dense(3, activation="softmax")]
    model = sequential((64, 64, 3), *stack)  # room for three strides, valid, each with a pooling
    batch_size = draw(st.integers(1, 3))
    single = batch_size == 1 and any(
        isinstance(x, layers.BatchNormalization) and x.output.shape[1:3] == (1, 1) for x in stack)
    check(model, draw(st.sampled_from(list(LOSSES))),
          draw(st.sampled_from(["sgd", "adam"])), batch_size, method="trace" if single else "rule")


@given(depth=st.integers(1, 4), width=st.integers(1, 9), batch=st.integers(1, 4),
       activation=st.sampled_from(RULED), norm=st.booleans())
@settings(max_examples=20, deadline=None)
def test_drawn_feed_forward_networks(depth, width, batch, activation, norm):
    stack = []
    for _ in range(depth):
        stack.append(layers.Dense(width))
        stack += [layers.BatchNormalization()] if norm else []
        stack.append(layers.Activation(activation))
    single = norm and batch == 1  # a mean of one value is no work: left to the trace
    check(sequential((6,), *stack, layers.Dense(3)), batch_size=batch,
          method="trace" if single else "rule")


def test_branches_shared_and_nested_layers():
    with tos.abstract():
        inputs = keras.Input((5,))
        x = layers.Dense(5)(inputs)
        shared = layers.Dense(5, activation="relu")
        once = shared(x)
        twice = shared(once)
        nested = keras.Sequential([keras.Input((5,)), layers.Dense(5), layers.ReLU()])
        y = layers.Add()([x, once, twice, nested(nested(twice)), layers.Dense(5)(inputs)])
        model = keras.Model(inputs, y)
    check(model, optimizer="adam")


def test_weights_of_a_branch_that_nobody_uses_are_not_updated():
    """fit updates weights that have a gradient: 4 x 3 + 3, each by one `mul` and one `add`."""
    x, i = keras.Input((4,)), keras.Input((4,))
    inner = keras.Model(x, [layers.Dense(3)(x), layers.Dense(5)(x)])
    model = keras.Model(i, inner(i)[0])
    check(model, optimizer="adam")
    counts = count(model, phase="training", loss="mse", optimizer="sgd").counts
    assert counts.loc["optimizer", "update"]["float32"][["mul", "add"]].tolist() == [15, 15]


def test_what_nothing_trained_stands_before_has_no_gradient():
    check(sequential((3,), layers.Activation("tanh"), layers.Dense(2)))


@pytest.mark.parametrize("name", ["ResNet50", "MobileNetV2"])
def test_applications(name):
    check(application(name), "sparse_categorical_crossentropy", "adam")


#: Kind with a gradient by rule -> arguments that it needs, and the shape of its input.
SMALLEST = {
    "Dense": ({"units": 4}, (5,)), "DepthwiseConv2D": ({"kernel_size": 2}, (6, 6, 3)),
    "Conv1D": ({"filters": 4, "kernel_size": 2}, (8, 4)),
    "Conv2D": ({"filters": 4, "kernel_size": 2}, (6, 6, 4)),
    "Conv3D": ({"filters": 2, "kernel_size": 2}, (5, 5, 5, 2)),
    **dict.fromkeys(("BatchNormalization", "ReLU", "Softmax", "Identity"), ({}, (5,))),
    "Activation": ({"activation": "tanh"}, (5,)), "Dropout": ({"rate": 0.3}, (5,)),
    **{f"{kind}Pooling{n}D": ({"pool_size": 2}, (6, 6, 3)[2 - n:])
       for kind in ("Max", "Average") for n in (1, 2)},
    **{f"GlobalAveragePooling{n}D": ({}, (6, 6, 3)[2 - n:]) for n in (1, 2)},
    "Flatten": ({}, (4, 3)), "Reshape": ({"target_shape": (3, 4)}, (4, 3)),
    **{name: ({}, (6, 6, 3)[2 - int(name[-2]):])
       for name in ("ZeroPadding1D", "ZeroPadding2D", "Cropping2D")},
    "Add": None,  # of several inputs: see test_branches_shared_and_nested_layers
}
#: Argument of a constructor -> values beside its default; None: it changes no arithmetic.
OTHERWISE = {
    "activation": ["relu", "softmax", keras.ops.sin], "use_bias": [False],
    **dict.fromkeys(("kernel_regularizer", "bias_regularizer", "activity_regularizer",
                     "depthwise_regularizer", "beta_regularizer", "gamma_regularizer"), ["l2"]),
    **dict.fromkeys(("kernel_constraint", "bias_constraint", "depthwise_constraint",
                     "beta_constraint", "gamma_constraint"), ["non_neg"]),
    "lora_rank": [2], "strides": [2], "padding": ["same"], "dilation_rate": [2], "groups": [2],
    "depth_multiplier": [2], "axis": [1], "momentum": [0.5], "epsilon": [0.1], "center": [False],
    "scale": [False], "renorm": [True], "synchronized": [True], "max_value": [6.0, 3.0],
    "negative_slope": [0.1], "threshold": [0.5], "noise_shape": [(None, 1)], "keepdims": [True],
    "cropping": [2], "trainable": [False], "dtype": ["mixed_bfloat16", "float16"],
    **dict.fromkeys((
        "name", "seed", "data_format", "lora_alpha", "quantization_config", "renorm_clipping",
        "renorm_momentum", *(f"{part}_initializer" for part in (
            "kernel", "bias", "depthwise", "beta", "gamma", "moving_mean", "moving_variance"))),
        ()),
}


@pytest.mark.parametrize("kind", [kind for kind in GRADIENTS if SMALLEST[kind]])
def test_a_rule_knows_every_argument_or_leaves_the_layer_to_the_trace(kind):
    """What an argument that is not the default adds to a step is counted, whoever counts it."""
    cls, (needed, shape) = getattr(layers, kind), SMALLEST[kind]
    names = {"trainable", "dtype", *signature(cls).parameters} - {"kwargs", *needed}
    for name in sorted(names):
        for value in OTHERWISE[name]:
            if name == "padding" and kind.startswith("ZeroPadding"):
                value = 2
            layer = cls(**needed | {name: value})
            model = sequential(shape, layers.Dense(shape[-1]), layer, layers.Dense(2))
            step = {"batch_size": 2, "phase": "training", "loss": "mse", "optimizer": "sgd"}
            counted = count(model, **step)
            if "rule" in counted.coverage:
                assert by_part(counted.counts) == by_part(trace_ops(model, **step)), (name, value)


@pytest.mark.parametrize("stack", [
    [layers.Dense(4, kernel_regularizer="l2")], [layers.Dense(4, trainable=False), layers.Dense(2)],
    [layers.Dense(4), layers.LayerNormalization()], [layers.Dense(4, dtype="mixed_bfloat16")],
    [layers.Dense(4), layers.BatchNormalization(scale=False)], [layers.BatchNormalization()],
    [layers.Dense(4), layers.ReLU(negative_slope=0.1)],
    [layers.Dense(4, activation=keras.ops.sin)],
])
def test_what_no_rule_covers_is_traced(stack):
    check(sequential((3,), *stack), method="trace")


@pytest.mark.parametrize("loss", [
    keras.losses.MeanSquaredError(), keras.losses.MeanSquaredError(reduction="sum"),
    keras.losses.SparseCategoricalCrossentropy(), "huber",
    keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
])
def test_a_loss_object_is_not_its_function(loss):
    check(sequential((3,), layers.Dense(4, activation="softmax")), loss,
          method="trace")


@pytest.mark.parametrize("optimizer", [
    "rmsprop", keras.optimizers.SGD(momentum=0.9, nesterov=True), keras.optimizers.Adam(clipnorm=1),
    keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 10))])
def test_other_optimizers_are_traced(optimizer):
    check(sequential((3,), layers.Dense(4)), optimizer=optimizer, method="trace")
