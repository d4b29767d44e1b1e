"""The traces of models on the backend that KERAS_BACKEND names, as JSON: for another process.

``python backend_counts.py layers``, ``all`` (of them) or ``applications`` gives, for each model and
phase, what is counted in all and in the optimizer's update, as {"float32 mac": 12}.
"""

import json
import sys
from collections import Counter

import keras
from layer_cases import CASES, model_of

from tostoolkit.counting.calls import LayerCall
from tostoolkit.counting.compiled import compiled
from tostoolkit.counting.introspection import inspect
from tostoolkit.counting.trace import trace_call, trace_step
from tostoolkit.counting.walk import read_calls

#: Kinds of layer whose traces on two backends are compared.
KINDS = (
    "Activation", "Add", "Attention", "AveragePooling2D", "BatchNormalization", "Conv1D", "Conv2D",
    "Conv2DTranspose", "Conv3D", "ConvLSTM1D", "Dense", "DepthwiseConv2D", "Dot", "Dropout",
    "Embedding", "Flatten", "GRU", "GaussianNoise", "GlobalAveragePooling2D",
    "GlobalMaxPooling2D", "GroupNormalization", "GroupQueryAttention", "LSTM",
    "LayerNormalization", "Masking", "MaxPooling2D", "MultiHeadAttention", "PReLU",
    "RMSNormalization", "ReLU", "Rescaling", "SeparableConv2D", "SimpleRNN", "Softmax",
    "SpectralNormalization", "UnitNormalization", "UpSampling2D", "ZeroPadding2D",
)
APPLICATIONS = ("MobileNetV2", "ConvNeXtTiny", "EfficientNetB0")


def no_counter(layer, kind):
    """No counter of the user's."""


def inference(model, batch_size=2, input_shape=None, by_user=no_counter):
    """Return the counts of one call of a model, traced as a whole."""
    read = read_calls(inspect(model), batch_size, input_shape)
    call = LayerCall(model.name, "", model, read.inputs, (),
                     bind=lambda tensors: ((read.structure(list(tensors)),), {}))
    return trace_call(call, by_user)


def training(model, loss="mse", optimizer="sgd", batch_size=2, input_shape=None,
             by_user=no_counter):
    """Return (layer, part) -> CallCount of a training step."""
    read = read_calls(inspect(model), batch_size, input_shape)
    return trace_step(read, compiled(inspect(model), loss, optimizer), by_user)


def flat(counts):
    """Return counts as JSON can hold them.

    >>> flat(Counter({("float32", "mac"): 12}))
    {'float32 mac': 12}
    """
    return {f"{dtype} {op}": n for (dtype, op), n in sorted(counts.items())}


def both_phases(model, batch_size=2):
    """Return what is counted of a model in inference and in training, and of its update."""
    rows = training(model, batch_size=batch_size)
    update = rows.pop(("optimizer", "update")).counts if ("optimizer", "update") in rows else {}
    return {"inference": flat(inference(model, batch_size).counts),
            "training": flat(sum((row.counts for row in rows.values()), Counter())),
            "update": flat(update)}


def models(which):
    """Yield (name, model, batch size) of the models that are compared."""
    if which == "applications":
        for name in APPLICATIONS:
            yield name, getattr(keras.applications, name)(
                weights=None, input_shape=(32, 32, 3), classes=10), 2
        return
    for kind in CASES if which == "all" else KINDS:
        for i, (kwargs, shapes) in enumerate(CASES[kind]):
            yield f"{kind} {i}", model_of(kind, kwargs, shapes), 2


if __name__ == "__main__":
    print(json.dumps({name: both_phases(model, size) for name, model, size in models(sys.argv[1])}))
