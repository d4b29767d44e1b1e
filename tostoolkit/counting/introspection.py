"""What stands in a Keras model: with `layer_state`, all that knows Keras' private names.

`inspect` reads a model once, into records that hold no private name; `calls` goes on from there.
Nothing is executed and no weight is read. Every private name has a test of its own in
``tests/counting/test_introspection.py``.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from inspect import isfunction
from typing import Any


@dataclass(frozen=True)
class Node:
    """One node of a functional graph: a layer or operator, called once."""

    operation: Any
    kind: str
    dtype: str | None  # in which a layer computes; an operator has none
    inputs: tuple      # of keras.KerasTensor
    outputs: tuple
    arguments: Any     # .kwargs, and .fill_in(tensors) -> args, kwargs
    graph: "Graph | None" = None  # that of a nested model
    masked: bool = False  # whether a mask was made for what it returns, when the graph was built


@dataclass(frozen=True)
class Graph:
    """A functional graph: its inputs and outputs, and its nodes in the order of execution.

    `template` is its inputs in the structure in which it takes them.
    """

    inputs: tuple
    outputs: tuple
    nodes: tuple[Node, ...]
    template: Any


@dataclass(frozen=True)
class Inspected:
    """A model or layer, its graph where it is one, and what is in it, at any depth."""

    model: Any
    kind: str
    graph: Graph | None
    layers: tuple[tuple[str, Any], ...]  # (kind, layer or operator)


def inspect(model) -> Inspected:
    """Return what stands in a Keras model or layer; TypeError where it is neither."""
    import keras

    if not isinstance(model, keras.Layer):
        raise TypeError(
            f"model: {type(model).__name__!r} object is not a Keras model or layer; "
            "pass a keras.Model, for example keras.applications.ResNet50(weights=None)")
    graph = _graph(model)
    return Inspected(model, kind_of(model), graph, sublayers(model, graph))


def kind_of(operation) -> str:
    """Return the kind of a layer or operator: what a rule is looked up by.

    The class name where the class is one that Keras ships, with ``ops.`` before it for an
    operator. Another's class keeps its name too, but for one that Keras ships: ``custom>Dense``
    is a class of the user's, which does not take the rule of ``keras.layers.Dense``.

    >>> import keras
    >>> kind_of(keras.layers.Dense(3))
    'Dense'
    >>> class Dense(keras.layers.Dense): ...
    >>> kind_of(Dense(3))
    'custom>Dense'
    """
    cls = type(operation)
    if cls in _shipped_layers():
        return cls.__name__
    if _is_shipped_operator(cls):
        return f"ops.{cls.__name__}"
    borrowed = cls.__name__ in _shipped_names() or cls.__name__.startswith("ops.")
    return f"custom>{cls.__name__}" if borrowed else cls.__name__


def is_operator(operation) -> bool:
    """Whether it is a bare operator, which holds no weights, and not a layer."""
    return not hasattr(operation, "weights")


@cache
def _shipped_layers():
    import keras

    return frozenset(c for c in vars(keras.layers).values()
                     if isinstance(c, type) and is_of_keras(c))


@cache
def _shipped_names():
    import keras

    return {*vars(keras.layers), *(c.__name__ for c in _shipped_layers())}


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
    cls = type(layer)
    if cls not in _shipped_layers():
        return True
    return (is_of_keras(cls.call) and not getattr(layer, "lora_enabled", False)
            and not _methods(cls) & vars(layer).keys()
            and all(is_wrapped_by_keras(layer, name) for name in WRAPPED))


#: Methods that Keras itself wraps in each layer.
WRAPPED = ("build", "quantize")


@cache
def _methods(cls):
    """Names of the methods of a class, but for those that Keras itself wraps in each layer."""
    methods = {name for name in dir(cls) if isfunction(getattr(cls, name, None))}
    return methods.difference(WRAPPED)


def is_wrapped_by_keras(layer, name):
    """Whether a method that Keras wraps in each layer is still that of the layer's class."""
    method = vars(layer).get(name)
    own = getattr(getattr(method, "__wrapped__", None), "__func__", None)
    return method is None or (method.__globals__["__name__"] == "keras.src.layers.layer"
                              and own is getattr(type(layer), name))


def _is_shipped_operator(cls):
    """Whether it is the class that stands in Keras under its name, as ``keras.src...Exp`` does."""
    import keras

    module = cls.__module__
    return (module.startswith("keras.src.") and not issubclass(cls, keras.Layer)
            and getattr(sys.modules.get(module), cls.__name__, None) is cls)


def sublayers(layer, graph=None) -> tuple:
    """Return (kind, layer) of the layers inside a layer or model, at any depth, each once.

    And those of the bare operators of the graphs in it; `graph` is its own, where that is known.
    """
    import keras

    flatten = getattr(layer, "_flatten_layers", None)
    if flatten is None:
        return ()
    graphs = [graph if graph and x is layer else _graph(x) for x in flatten()
              if isinstance(x, keras.Model)]
    held = {id(node.operation): node.operation for graph in graphs if graph for node in graph.nodes
            if node.dtype is None}
    return tuple((kind_of(x), x) for x in (*flatten(include_self=False), *held.values()))


def _graph(model):
    """Return the functional graph that `model` executes, or None where it is not one."""
    import keras
    from keras.src.models.functional import Functional

    if isinstance(model, keras.Sequential) and _runs_as(model, keras.Sequential):
        model = model._functional if model.built else None
        if model is None:
            return None
    elif not isinstance(model, Functional) or not _runs_as(model, Functional):
        return None
    by_depth = model._nodes_by_depth
    return Graph(tuple(model.inputs), tuple(model.outputs), tuple(
        _node(node) for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]
        if not node.is_input), model.input)


def _runs_as(model, cls):
    """Whether neither the model nor its class replaces how `cls` is called."""
    return (type(model).call is cls.call and type(model).__call__ is cls.__call__
            and "call" not in vars(model))


def _node(node):
    import keras

    operation = node.operation
    nested = _graph(operation) if isinstance(operation, keras.Model) else None
    dtype = None if is_operator(operation) else operation.compute_dtype
    masked = (any(inside.masked for inside in nested.nodes) if nested else
              any(mask_of(t) is not None for t in node.outputs))
    return Node(operation, kind_of(operation), dtype, tuple(node.input_tensors),
                tuple(node.outputs), node.arguments, nested, masked)


def mask_of(tensor):
    """Return the mask that Keras finds on a tensor, None without one."""
    from keras.src.backend import get_keras_mask

    return get_keras_mask(tensor)


def put_mask(tensor, mask):
    """Put a mask on a tensor, where Keras finds it."""
    from keras.src.backend import set_keras_mask

    set_keras_mask(tensor, mask)


def replaced_methods(thing) -> list[str]:
    """Return the names of the methods of its class that something replaces by its own."""
    return sorted(_methods(type(thing)) & vars(thing).keys())


def is_of_keras(definition) -> bool:
    """Whether a class or function was defined in Keras, not put there by somebody else."""
    return str(getattr(definition, "__module__", "")).startswith("keras.src.")


def compiled_loss(model):
    """Return what a compiled model holds its losses and their weights in, None without one."""
    return getattr(model, "_compile_loss", None)


@contextmanager
def with_places(variables, place, owner=None) -> Iterator[None]:
    """Return a context in which variables without a value hold what `place` makes.

    `place` is a function of a shape, a dtype and whether it is trained. Variables that are made in
    the context hold one too. Afterwards the `variables` are without a value again. What was made
    stays without one beside such variables; else it begins as Keras begins it, where the `owner`,
    or without an owner anybody, holds it: a layer is built when it is first called.
    """
    import keras

    cls, empty, made = keras.Variable, [v for v in variables if v._value is None], []
    initialize = cls._initialize_with_initializer

    def put(variable, initializer=None):
        variable._value = place(tuple(variable.shape), variable.dtype, variable.trainable)
        if initializer is not None:
            made.append((variable, initializer))

    try:
        cls._initialize_with_initializer = put
        for variable in empty:
            put(variable)
        yield
    finally:
        cls._initialize_with_initializer = initialize
        for variable in empty:
            variable._value = None
        kept = owner and {id(v) for v in owner.variables}
        for variable, initializer in made:
            variable._value, variable._initializer = None, initializer
            if not empty and (kept is None or id(variable) in kept):
                variable._deferred_initialize()


@contextmanager
def abstract() -> Iterator[None]:
    """Return a context in which Keras models are built without allocating their weights.

    A model of any size can then be counted: only shapes are kept. It cannot be called on data.
    Keras puts variables without values on a list, and gives all of it values when any other
    stateless scope ends; those that are made here are taken off it.

    Examples
    --------
    >>> import keras
    >>> with abstract():
    ...     model = keras.Sequential([keras.Input((10**6,)), keras.layers.Dense(10**6)])
    >>> model.count_params()  # 4 TB of float32 that nobody allocated
    1000001000000
    """
    import keras
    from keras.src.backend.common import global_state

    name = "uninitialized_variables"
    before = list(global_state.get_global_attribute(name) or ())
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(name, before)
