"""Training steps that are traced on each backend: losses, optimizers, several outputs, targets.

``python step_cases.py [name ...]`` prints name -> part -> {"float32 mac": 12} as JSON, of all cases
or of those named, on the backend that KERAS_BACKEND names. Integers of 32 and 64 bits are ``int``.
"""

import json
import sys
from collections import Counter

import keras
from keras import layers, losses, optimizers

from tostoolkit.counting.compiled import compiled
from tostoolkit.counting.introspection import inspect
from tostoolkit.counting.trace import TraceError, trace_step
from tostoolkit.counting.walk import read_calls

LOSSES = sorted(name for name, cls in vars(losses).items()
                if isinstance(cls, type) and issubclass(cls, losses.Loss) and name != "Loss")
OPTIMIZERS = sorted(
    name for name, cls in vars(optimizers).items()
    if isinstance(cls, type) and issubclass(cls, optimizers.Optimizer)
    and name not in ("Optimizer", "LossScaleOptimizer", "MultiOptimizer"))
#: Losses of probabilities -> the activation that makes them.
ACTIVATIONS = {"Dice": "sigmoid", "Tversky": "sigmoid", "BinaryCrossentropy": "sigmoid",
               "BinaryFocalCrossentropy": "sigmoid", "KLDivergence": "softmax", **dict.fromkeys(
                   (name for name in LOSSES if "ategorical" in name), "softmax")}


def dense(activation=None, shape=(8,), **kwargs):
    return keras.Sequential(
        [keras.Input(shape), layers.Dense(4, activation=activation, **kwargs)])


def two(named):
    """Return a model of two outputs, in a list or by their names."""
    x = keras.Input((8,))
    a = layers.Dense(3, name="a")(x)
    b = layers.Dense(2, activation="softmax", name="b")(x)
    return keras.Model(x, {"a": a, "b": b} if named else [a, b])


class Penalty(layers.Layer):
    def call(self, x):
        self.add_loss(keras.ops.mean(x ** 2))
        return x


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="subclassed")
        self.dense = layers.Dense(4)

    def call(self, x):
        return {"y": self.dense(x), "z": self.dense(x) * 2}


def called():
    model = Subclassed()
    model(keras.ops.ones((1, 8)))
    return model


def weighted():
    model = two(False)
    model.compile("sgd", ["mse", "mae"], loss_weights=[0.3, 2.0])
    return model


def frozen():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4), layers.Dense(2)])
    model.layers[0].trainable = False
    return model


def cubes(y, p):
    return keras.ops.mean(keras.ops.abs(y - p) ** 3)


def of_labels(y, p):
    return keras.ops.mean(keras.ops.one_hot(y, 4) * p)


def of_one_column(y, p):
    return keras.ops.mean(y[:, :1] * p)


def cases():
    """Return name -> (function that makes a model, what its step is compiled with)."""
    found = {}
    for name in LOSSES:
        made = dense(ACTIVATIONS.get(name)) if name != "CTC" else dense(shape=(6, 8))
        given = {"targets": keras.Input((2,), dtype="int32")} if name == "CTC" else {}
        found[name] = made, {"loss": getattr(losses, name)(), **given}
    for name in OPTIMIZERS:
        found[name] = dense(), {"optimizer": getattr(optimizers, name)()}
    labels, pair = keras.Input((), dtype="int32"), {"a": "mse", "b": "categorical_crossentropy"}
    sparse = {"a": "mse", "b": "sparse_categorical_crossentropy"}
    return found | {
        "scaled": (dense(), {"optimizer": optimizers.LossScaleOptimizer(optimizers.SGD())}),
        "accumulated": (dense(), {"optimizer": optimizers.SGD(gradient_accumulation_steps=4)}),
        "clipped, averaged": (dense(), {"optimizer": optimizers.SGD(
            momentum=0.9, nesterov=True, global_clipnorm=1.0, use_ema=True, weight_decay=0.1)}),
        "list": (two(False), {"loss": [*pair.values()]}), "dict": (two(True), {"loss": sparse}),
        "list by name": (two(False), {"loss": pair}), "one for two": (two(False), {}),
        "dict and targets": (two(True), {"loss": sparse, "targets": {
            "a": keras.Input((3,)), "b": labels}}),
        "none for one": (two(True), {"loss": {"a": "mse", "b": None}}),
        "weighted": (weighted(), {"loss": None, "optimizer": None}),
        "subclassed": (called(), {"loss": {"y": "mse", "z": "mae"}, "input_shape": (8,)}),
        "wide labels": (dense("softmax"), {
            "loss": sparse["b"], "targets": keras.Input((1,), dtype="int32")}),
        "labels of logits": (dense(), {
            "loss": losses.SparseCategoricalCrossentropy(from_logits=True)}),
        "own": (dense(), {"loss": cubes}), "own of labels": (dense(), {"loss": of_labels}),
        "own of targets": (dense(), {"loss": of_one_column, "targets": keras.Input((7,))}),
        "penalties": (dense(kernel_regularizer="l2", activity_regularizer="l1",
                            kernel_constraint="non_neg"), {}),
        "add_loss": (keras.Sequential([keras.Input((8,)), layers.Dense(4), Penalty()]), {}),
        "frozen": (frozen(), {}),
    }


def parts(model, loss="mse", optimizer="sgd", targets=None, input_shape=None):
    """Return what is counted of the passes of a step, and of its update."""
    inspected = inspect(model)
    read = read_calls(inspected, 3, input_shape)
    try:
        rows = trace_step(read, compiled(inspected, loss, optimizer, targets), lambda *of: None)
    except TraceError as error:
        return {"error": str(error)}
    found = {"passes": Counter(), "update": Counter()}
    for (_, part), row in rows.items():
        for (dtype, op), n in row.counts.items():
            dtype = "int" if dtype in ("int32", "int64") else dtype
            found["update" if part == "update" else "passes"][f"{dtype} {op}"] += n
    return found


if __name__ == "__main__":
    named = sys.argv[1:]
    print(json.dumps({name: parts(model, **given) for name, (model, given) in cases().items()
                      if not named or name in named}))
