"""What stands in a Keras model: the only module that knows Keras' private names.

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


@dataclass(frozen=True)
class Graph:
    """A functional graph: its inputs and outputs, and its nodes in the order of execution."""

    inputs: tuple
    outputs: tuple
    nodes: tuple[Node, ...]


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
    return Inspected(model, kind_of(model), _graph(model), sublayers(model))


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
                     if isinstance(c, type) and _is_of_keras(c))


@cache
def _shipped_names():
    import keras

    return {*vars(keras.layers), *(c.__name__ for c in _shipped_layers())}


def _is_of_keras(definition):
    """Whether a class or function was defined in Keras, not put there by somebody else."""
    return str(getattr(definition, "__module__", "")).startswith("keras.src.")


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
    return (_is_of_keras(cls.call) and not getattr(layer, "lora_enabled", False)
            and not _methods(cls) & vars(layer).keys())


@cache
def _methods(cls):
    """Names of the methods of a class, but for those that Keras itself wraps in each layer."""
    methods = {name for name in dir(cls) if isfunction(getattr(cls, name, None))}
    return methods - {"build", "quantize"}


def _is_shipped_operator(cls):
    """Whether it is the class that stands in Keras under its name, as ``keras.src...Exp`` does."""
    import keras

    module = cls.__module__
    return (module.startswith("keras.src.") and not issubclass(cls, keras.Layer)
            and getattr(sys.modules.get(module), cls.__name__, None) is cls)


def sublayers(layer) -> tuple:
    """Return (kind, layer) of the layers inside a layer or model, at any depth, each once.

    And those of the bare operators of the graphs in it.
    """
    import keras

    flatten = getattr(layer, "_flatten_layers", None)
    if flatten is None:
        return ()
    graphs = [_graph(x) for x in flatten() if isinstance(x, keras.Model)]
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
        if not node.is_input))


def _runs_as(model, cls):
    """Whether neither the model nor its class replaces how `cls` is called."""
    return (type(model).call is cls.call and type(model).__call__ is cls.__call__
            and "call" not in vars(model))


def _node(node):
    import keras

    operation = node.operation
    nested = _graph(operation) if isinstance(operation, keras.Model) else None
    dtype = None if is_operator(operation) else operation.compute_dtype
    return Node(operation, kind_of(operation), dtype, tuple(node.input_tensors),
                tuple(node.outputs), node.arguments, nested)


@dataclass(frozen=True)
class Compiled:
    """What a training step needs beside the model: Keras' loss and optimizer.

    `takes_labels` says whether the loss compares with integer labels, not with targets like the
    outputs; None of a loss of the user's, which does not say.
    """

    loss: Any
    optimizer: Any
    takes_labels: bool | None

    def functional_optimizer(self):
        """Return a copy of the optimizer that returns its updates as values.

        On the TensorFlow backend Keras' optimizers assign to variables, which an abstract model
        does not have; the methods that do so are replaced by those of the backend-free base class.
        """
        from keras.src.backend.tensorflow.optimizer import TFOptimizer
        from keras.src.optimizers.base_optimizer import BaseOptimizer

        cls = type(self.optimizer)
        methods = {name: getattr(BaseOptimizer, name)
                   for name, method in vars(TFOptimizer).items()
                   if callable(method) and name in vars(BaseOptimizer) and name != "__init__"}
        return type(cls.__name__, (cls,), methods).from_config(self.optimizer.get_config())


def compiled(model, loss=None, optimizer=None) -> Compiled:
    """Return the loss and optimizer given, or those that the model was compiled with.

    ValueError where there is none, and of one loss for each output.
    """
    import keras

    loss = _given_or_compiled(model, "loss", loss)
    if isinstance(loss, (list, tuple, dict)):
        raise ValueError("loss: one for each output is not supported; pass one for all of them")
    loss = keras.losses.get(loss)
    return Compiled(loss, compiled_optimizer(model, optimizer), _takes_labels(loss))


def _takes_labels(loss):
    import keras

    if (isinstance(loss, keras.losses.SparseCategoricalCrossentropy)
            or loss is keras.losses.sparse_categorical_crossentropy):
        return True
    shipped = vars(keras.losses).values()
    return False if any(loss is x or type(loss) is x for x in shipped) else None


def compiled_optimizer(model, optimizer=None):
    """Return the Keras optimizer given, or that of the compiled model; errors as `compiled`."""
    import keras

    optimizer = _given_or_compiled(model, "optimizer", optimizer)
    optimizer = keras.optimizers.get(optimizer) if isinstance(optimizer, str) else optimizer
    replaced = sorted(_methods(type(optimizer)) & vars(optimizer).keys())
    if replaced:  # a copy is counted, from its configuration
        raise ValueError(f"optimizer: {replaced[0]!r} of this {type(optimizer).__name__} was "
                         "replaced, which a copy of it does not know; override it in a subclass")
    return optimizer


def _given_or_compiled(model, name, given):
    found = getattr(model, name, None) if given is None else given
    if found is None:
        raise ValueError(
            f"{name}: {model.name!r} is not compiled, so none is known; pass it, "
            "for example loss='sparse_categorical_crossentropy', optimizer='adam'")
    return found


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
