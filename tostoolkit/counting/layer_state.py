"""What a Keras layer holds and takes: its arguments, weights, parts, its state.

With `introspection` the only module that knows Keras' private names; each has a test of its own in
``tests/counting/test_layer_state.py``.
"""

from functools import cache
from inspect import Parameter, isfunction, signature

from .introspection import is_of_keras, shipped_layers


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


def formats(layer) -> tuple[str, str, str | None]:
    """Return the dtypes in which a layer computes and stores, and how it is quantised.

    >>> import keras
    >>> formats(keras.layers.Dense(4, dtype="mixed_float16"))
    ('float16', 'float32', None)
    """
    policy = layer._dtype_policy
    if _asks_policy(type(layer), type(policy)):
        return policy.compute_dtype, policy.variable_dtype, policy.quantization_mode
    return layer.compute_dtype, layer.variable_dtype, layer.quantization_mode


@cache
def _asks_policy(cls, policy):
    """Whether layers of a class have the dtypes of their policy, by Keras' own detour."""
    import keras

    return policy is keras.dtype_policies.DTypePolicy and all(
        getattr(cls, name) is getattr(keras.Layer, name)
        for name in ("compute_dtype", "variable_dtype", "quantization_mode"))


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
                name in _WRAPPED and not _is_wrapped_by_keras(thing, name)))]


def parts_of(layer) -> list:
    """Return the layers that stand directly in a layer."""
    return layer._layers


def weight_names(layer) -> list[str]:
    """Return the names of a layer's own weights, not of those of the layers inside."""
    return [v.name for v in (*layer._trainable_variables, *layer._non_trainable_variables)]


def weight_shape(layer, *names) -> tuple | None:
    """Return the shape of the first of these weights that a layer holds, None of a layer without.

    >>> import keras
    >>> dense = keras.layers.Dense(4, use_bias=False)
    >>> dense.build((None, 3))
    >>> weight_shape(dense, "bias", "kernel"), weight_shape(dense, "gamma")
    ((3, 4), None)
    """
    held = vars(layer)
    for name in names:
        weight = held.get(name)
        if weight is None:
            weight = held.get(f"_{name}")
        if weight is not None:
            return tuple(getattr(weight, "_shape", None) or weight.shape)
    return None


def is_as_shipped(layer) -> bool:
    """Whether a layer of a class that Keras ships computes as that class says.

    It does not where one of its methods was replaced, ``layer.call = f``, or that of its class,
    or where low-rank adaptation adds to its weights.

    >>> import keras
    >>> dense = keras.layers.Dense(3)
    >>> is_as_shipped(dense)
    True
    >>> dense.call = keras.ops.exp
    >>> is_as_shipped(dense)
    False
    """
    cls, held = type(layer), vars(layer)
    if cls not in shipped_layers():
        return True
    return (is_of_keras(cls.call) and not getattr(layer, "lora_enabled", False)
            and _methods(cls).isdisjoint(held)
            and _is_wrapped_by_keras(layer, "build") and _is_wrapped_by_keras(layer, "quantize"))


#: Methods that Keras itself wraps in each layer.
_WRAPPED = ("build", "quantize")


@cache
def _methods(cls):
    """Names of the methods of a class, but for those that Keras itself wraps in each layer."""
    methods = {name for name in dir(cls) if isfunction(getattr(cls, name, None))}
    return frozenset(methods.difference(_WRAPPED))


def _is_wrapped_by_keras(layer, name):
    """Whether a method that Keras wraps in each layer is still that of the layer's class."""
    method = vars(layer).get(name)
    own = getattr(getattr(method, "__wrapped__", None), "__func__", None)
    return method is None or (method.__globals__["__name__"] == "keras.src.layers.layer"
                              and own is getattr(type(layer), name))
