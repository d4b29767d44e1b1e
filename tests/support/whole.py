"""The counts of all of a model's trace, by ``"dtype op"``, on whichever backend Keras runs.

``python tests/support/whole.py`` prints them as JSON, of `layer_cases` and of small applications,
or of those kinds of layer and applications that are named. Under another backend than TensorFlow,
that cannot be imported then, so that it is seen not to be needed.
"""

import json
import sys
from collections import Counter

import keras

import tostoolkit as tos
from tostoolkit.counting.calls import LayerCall
from tostoolkit.counting.compiled import compiled
from tostoolkit.counting.introspection import inspect
from tostoolkit.counting.trace import TraceError, trace_call, trace_step
from tostoolkit.counting.walk import read_calls

#: Applications that are counted at small images.
SMALL, LARGE = ("MobileNetV2", "EfficientNetB0", "ConvNeXtTiny"), ("DenseNet121", "NASNetMobile")


class NotInstalled:
    """As if TensorFlow were not installed."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def no_counter(layer, kind):
    """No counter of the user's."""


def whole(model, phase, batch_size=2):
    """Return the counts of a pass, or of the forward and backward passes of a step.

    Integers have 64 bits on TensorFlow where they have 32 on JAX; here they are ``int``. What
    cannot be traced has an entry of its own.
    """
    read = read_calls(inspect(model), batch_size)
    found = Counter()
    try:
        if phase == "inference":
            call = LayerCall(model.name, "", model, read.inputs, (),
                             bind=lambda tensors: ((read.structure(tensors),), {}))
            parts = [trace_call(call, no_counter).counts]
        else:
            step = trace_step(read, compiled(inspect(model), "mse", "sgd"), no_counter)
            parts = [row.counts for (_, part), row in step.items() if part != "update"]
    except TraceError:
        return {"cannot be traced": 1}
    for part in parts:
        for (dtype, op), n in part.items():
            dtype = "int" if dtype in ("int32", "int64") else dtype
            found[f"{dtype} {op}"] += n
    return {key: n for key, n in found.items() if n}


def application(name):
    """Return an application without weights, at an image of 32 x 32."""
    with tos.abstract():
        return getattr(keras.applications, name)(weights=None, input_shape=(32, 32, 3))


def layer_kinds(names=None):
    """Return what is counted of the layer cases: kind -> phase -> [counts of a case, ...]."""
    from layer_cases import CASES, model_of

    found = {}
    for kind, cases in CASES.items():
        if names is not None and kind not in names:
            continue
        models = [model_of(kind, *case) for case in cases]
        found[kind] = {phase: [whole(model, phase) for model in models]
                       for phase in ("inference", "training")}
    return found


def applications(names):
    """Return what is counted of applications: name -> phase -> [counts]."""
    models = {name: application(name) for name in names if hasattr(keras.applications, name)}
    return {name: {phase: [whole(model, phase)] for phase in ("inference", "training")}
            for name, model in models.items()}


if __name__ == "__main__":
    if keras.backend.backend() != "tensorflow":
        assert "tensorflow" not in sys.modules
        sys.meta_path.insert(0, NotInstalled())
    named = sys.argv[1:]
    print(json.dumps(layer_kinds(named or None) | applications(named or SMALL)))
