"""What a Keras layer holds and takes: its arguments, weights, parts, masks, its state.

With `introspection` the only module that knows Keras' private names; each has a test of its own in
``tests/counting/test_layer_state.py``.
"""

from contextlib import nullcontext, suppress
from functools import cache
from inspect import Parameter, signature

from .introspection import WRAPPED, is_of_keras, is_operator, is_wrapped_by_keras
from .running_state import abstract


@cache
def constructor_arguments(cls) -> dict:
    """Return name -> default of what the constructor of a layer class takes, its bases' included.

    >>> import keras
    >>> constructor_arguments(keras.layers.Dense)["use_bias"]
    True
    """
    found = {}
    for base in cls.__mro__:
        parameters = signature(base.__init__).parameters if "__init__" in vars(base) else {}
        for name, parameter in parameters.items():
            if parameter.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY):
                found.setdefault(name, parameter.default)
        if parameters and all(p.kind != Parameter.VAR_KEYWORD for p in parameters.values()):
            break
        if base.__name__ == "Layer":
            break
    found.pop("self", None)
    return found


def argument(layer, name):
    """Return what a layer holds of an argument of its constructor: as attribute, or configured.

    >>> import keras
    >>> argument(keras.layers.MultiHeadAttention(2, 3), "use_bias")
    True
    """
    held = vars(layer)
    if name in held:
        return held[name]
    if f"_{name}" in held:
        return held[f"_{name}"]
    if hasattr(type(layer), name):
        return getattr(layer, name)
    return layer.get_config().get(name, Ellipsis)


def bound_arguments(layer, args, kwargs) -> dict:
    """Return name -> value of the arguments of a call, in the order of its signature."""
    bound = _signature(type(layer)).bind(layer, *args, **kwargs).arguments
    return {name: value for name, value in bound.items() if value is not layer}


@cache
def _signature(cls):
    return signature(cls.call)


@cache
def hands_mask_on(cls) -> bool:
    """Whether a class of layers hands a mask on as it is, and does not look at it."""
    import keras

    return cls.compute_mask is keras.Layer.compute_mask and not any(
        "mask" in name for name in _signature(cls).parameters)


#: What every layer holds and what of it decides what it computes.
_DECISIVE = frozenset({
    "_allow_non_tensor_positional_args", "_convert_input_args", "_dtype_policy", "_layers",
    "_non_trainable_variables", "_remat_mode", "_supports_masking", "_trainable_variables",
    "autocast", "built",
})


@cache
def _bookkeeping():
    import keras

    return frozenset(vars(keras.layers.Layer())) - _DECISIVE


def is_held_by_value(thing) -> bool:
    """Whether a thing is told by its class and by what it holds, see `held_by`."""
    import keras

    return isinstance(thing, (keras.Operation, keras.Variable)) or (
        is_of_keras(type(thing)) and hasattr(thing, "__dict__") and not isinstance(thing, type))


def held_by(thing) -> list:
    """Return (name, what is held) of what decides what a layer or another thing of Keras computes.

    Of a variable these are shape and dtype, of a generator of seeds nothing.
    """
    import keras

    if isinstance(thing, keras.Variable):
        return [("shape", tuple(thing.shape)), ("dtype", thing.dtype)]
    if isinstance(thing, (keras.random.SeedGenerator, keras.initializers.Initializer)):
        return []
    if not isinstance(thing, keras.Operation):
        return sorted(vars(thing).items())
    return [(name, held) for name, held in sorted(vars(thing).items())
            if not name.startswith("_self_") and (name not in _bookkeeping() or (
                name in WRAPPED and not is_wrapped_by_keras(thing, name)))]


def parts_of(layer) -> list:
    """Return the layers that stand directly in a layer."""
    return layer._layers


def weight_names(layer) -> set[str]:
    """Return the names of a layer's own weights, not of those of the layers inside."""
    return {v.name for v in (*layer._trainable_variables, *layer._non_trainable_variables)}


def makes_masks(layer) -> bool:
    """Whether a layer may make a mask as it is called, which it need not when a graph is built."""
    import keras

    cls = type(layer)
    return bool(getattr(layer, "mask_zero", False)) or cls is keras.layers.Masking or not (
        is_of_keras(cls) or getattr(cls, "compute_mask", None) is keras.Layer.compute_mask
        or is_operator(layer))


def run_on_shapes(function, tensors):
    """Run a function of tensors as the backend runs it, on shapes and dtypes alone."""
    import keras
    from keras.src import backend

    backend.compute_output_spec(
        function, *(keras.KerasTensor(t.shape, t.dtype) for t in tensors))


def outputs_on_shapes(operation, args, kwargs):
    """Return the specs of what a layer or operator makes of arguments, as it is called.

    Tensors among the arguments are KerasTensors. What the backend keeps for one trace is set aside.
    """
    from keras.src import backend

    return backend.compute_output_spec(operation, *args, **kwargs)


def build_parts(model, structure, tensors):
    """Build what of a model is built when it is first called, as Keras' own first call does.

    `structure` packs tensors as the model takes them. Nothing is done where all is built, or where
    the model's code does not run on shapes: its trace then says why.
    """
    if not model.built or all(layer.built for layer in model._flatten_layers()):
        return
    with (abstract() if any(v._value is None for v in model.variables) else nullcontext(),
          suppress(Exception)):
        run_on_shapes(lambda *given: model(structure(given)), tensors)
