"""The inputs of a model: their shapes, dtypes and structure, recorded or asked for."""

import re
from contextlib import suppress
from operator import index

import numpy as np

from .calls import Tensor


def read_inputs(model, graph, batch_size, input_shape=None):
    """Return the model's input Tensors, every dimension known, and the template of their structure.

    `input_shape` is the shape of one sample, or a structure of such shapes, lists and dicts as the
    model takes them; in the place of a shape may stand what has one and a dtype, the batch first,
    as ``keras.Input((8,), dtype="int32")``. Errors as `walk.layer_calls`.
    """
    recorded, template = _recorded(model, graph)
    if input_shape is not None:
        asked, asked_template = _leaves(input_shape, "input_shape")
        if graph is None:  # what was recorded is one call of many
            if recorded is None or isinstance(asked_template, dict) or len(asked) != len(recorded):
                template = asked_template
            recorded = asked
        else:
            if isinstance(asked_template, dict):
                asked = _by_name(model, graph, template, asked, asked_template)
            recorded = _agreed(model, recorded, asked)
    elif recorded is None and not model.built and hasattr(model, "layers"):
        raise ValueError(
            f"model: {model.name!r} has not been called, so its layers and shapes are unknown; "
            "call it once, model(numpy.zeros((1, 784))), with your input's shape")
    elif recorded is None:
        raise ValueError(
            f"input_shape: {model.name!r} {'' if model.built else 'is not built and '}"
            "does not record its input's shape; pass "
            "input_shape=(784,) with your input's shape, without the batch dimension")
    for shape, _ in recorded:
        if None in shape[1:]:
            raise ValueError(
                f"input_shape: {model.name!r} leaves a dimension of its input open, "
                f"{shape[1:]}; say what to count, for example "
                f"input_shape={tuple(100 if d is None else d for d in shape[1:])}")
        if any(d < 1 for d in shape[1:]):
            raise ValueError(f"input_shape: {shape[1:]} has a dimension below 1; give one sample's "
                             "shape, without the batch dimension")
        if graph is not None and shape[0] not in (None, batch_size):
            raise ValueError(
                f"batch_size: {batch_size} differs from the batch size that {model.name!r} was "
                f"built with; call with batch_size={shape[0]}")
    default = getattr(model, "input_dtype", None) or model.compute_dtype
    return tuple(Tensor((batch_size, *shape[1:]), dtype or default)
                 for shape, dtype in recorded), template


def _recorded(model, graph):
    """Return (shape, dtype) of each input that the model records, or None, and their structure."""
    import keras

    if graph is not None:
        return [(tuple(t.shape), t.dtype) for t in graph.inputs], graph.template
    if not model.built and isinstance(model, keras.Sequential):
        raise ValueError(
            f"model: {model.name!r} is not built, so its shapes are unknown; call model.build("
            "(None, 784)) with your input's shape, or start it with keras.Input(shape)")
    shapes = (model.get_build_config() or {}) if model.built else {}
    by_argument = shapes.get("shapes_dict")  # else of one argument, in the structure it has
    shapes = {re.sub(".shape$", "", name): shape for name, shape in by_argument.items()} if (
        by_argument) else shapes.get("input_shape")
    if not shapes:
        return None, None
    return _leaves(shapes, "model")


def _leaves(given, name):
    """Return (shape with the batch, dtype) of each shape in a structure, and the structure."""
    import keras

    leaves = []

    def no_shape(value):
        return TypeError(f"{name}: {value!r} is no shape; give one sample's, for example "
                         "input_shape=(784,), or of several inputs a list or dict of shapes")

    def read(value):
        if name == "input_shape" and _is_listed(value):  # an array, a TensorShape
            value = tuple(value)
        if hasattr(value, "shape") and hasattr(value, "dtype") and not _is_size(value):
            if not len(value.shape):  # nor a batch
                raise no_shape(value)
            dtype = keras.backend.standardize_dtype(value.dtype)
            if isinstance(value, np.ndarray) and dtype == "float64":
                dtype = None  # as a model takes it: in its own dtype
            leaves.append((tuple(value.shape), dtype))
        elif _is_size(value):
            leaves.append(((None, index(value)), None))
        elif isinstance(value, dict):
            return {key: read(value[key]) for key in sorted(value)}
        elif _is_shape(value):
            value = tuple(d if d is None else index(d) for d in value)
            leaves.append(((None, *value) if name == "input_shape" else value, None))
        elif isinstance(value, (list, tuple)):
            return [read(v) for v in value]
        else:
            raise no_shape(value)
        return len(leaves) - 1

    template = read(given)
    if not leaves:
        raise no_shape(given)
    return leaves, template


def _is_listed(value):
    """Whether something but a list has the dimensions of a shape, and is no sample of an input."""
    if isinstance(value, np.ndarray):
        return value.ndim == 1 and value.dtype.kind in "iuO"
    return hasattr(value, "as_list")  # tf.TensorShape


def _is_shape(value):
    """Whether it is a tuple or list of sizes; an empty list is a structure of no inputs."""
    return (isinstance(value, tuple) or (isinstance(value, list) and bool(value))) and all(
        d is None or _is_size(d) for d in value)


def _is_size(value):
    """Whether it is one size: an integer, of NumPy's or of an array's without axes too."""
    with suppress(TypeError):
        return not isinstance(value, bool) and len(getattr(value, "shape", ())) == 0 and (
            index(value) is not None)
    return False


def _by_name(model, graph, template, asked, asked_template):
    """Return what is asked for by name in the order of the model's inputs."""
    names = sorted(template) if isinstance(template, dict) else [t.name for t in graph.inputs]
    if set(names) != set(asked_template):
        raise ValueError(f"input_shape: the inputs of {model.name!r} are {names}, and shapes are "
                         f"given for {sorted(asked_template)}; name each input once")
    return [asked[asked_template[name]] for name in names]


def _agreed(model, recorded, asked):
    """Return (shape, dtype) of each input, as asked for where the model leaves it open."""
    if len(asked) != len(recorded):
        raise ValueError(
            f"input_shape: {len(asked)} shapes for {len(recorded)} inputs of {model.name!r}; "
            "pass one shape per input, without the batch dimension")
    agreed = []
    for (built, dtype), (shape, wanted) in zip(recorded, asked, strict=True):
        if not (len(built) == len(shape) and all(
                b in (None, a) for b, a in zip(built[1:], shape[1:], strict=True))):
            raise ValueError(
                f"input_shape: {shape[1:]} does not fit the model's input {built[1:]}; "
                "give one sample's shape, without the batch dimension")
        agreed.append((built[:1] + shape[1:], dtype or wanted))
    return agreed
