"""What stands in a Keras model: with `layer_state`, all that knows Keras' private names.

`inspect` reads a model once, into records that hold no private name; `walk` goes on from there.
Nothing is executed and no weight is read. Every private name has a test of its own in
``tests/counting/test_introspection.py``.
"""

import sys
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

from .calls import product
from .running_state import has_loss_weights


class Node(NamedTuple):
    """One node of a functional graph: a layer or operator, called once."""

    operation: Any
    kind: str
    dtype: str | None  # in which a layer computes; an operator has none
    inputs: tuple      # of keras.KerasTensor
    outputs: tuple
    arguments: Any     # .kwargs, and .fill_in(tensors) -> args, kwargs
    graph: "Graph | None" = None  # that of a nested model
    masked: bool = False  # whether masks are in play: made as the graph was built, or handed over
    says_shapes: bool = True  # see `says_its_shapes`

    def there(self, known) -> tuple:
        """Return those of its inputs that are there: a layer may return None for one it said."""
        return tuple([t for t in self.inputs if known[id(t)] is not None])

    def bind(self, tensors, there=None) -> tuple[tuple, dict]:
        """Return the arguments of the call, with `tensors` in the place of its inputs.

        Or of those of them that are `there`: the others are None.
        """
        there = self.inputs if there is None else there
        given = dict.fromkeys(map(id, self.inputs))
        return self.arguments.fill_in(given | dict(zip(map(id, there), tensors, strict=True)))


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
class Training:
    """What a model says of its training step: what it was compiled with, and what is its own.

    `optimizers` are those that it holds itself, `own` the names of the methods by which its class,
    and not Keras, says what a step does, `metrics` the names of those that watch it.
    """

    loss: Any
    optimizer: Any
    optimizers: tuple
    own: tuple[str, ...]
    has_loss_weights: bool
    output_names: tuple[str, ...] | None
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Inspected:
    """A model or layer, its graph where it is one, and what is in it, at any depth."""

    model: Any
    kind: str
    graph: Graph | None
    layers: tuple[tuple[str, Any], ...]  # (kind, layer or operator)

    @cached_property
    def training(self) -> Training:
        """What it says of its training step; read when it is first asked for."""
        return _training(self.model)

    @cached_property
    def elements(self) -> int:
        """How many elements a sample has in the largest tensor of its graph, as far as is known."""
        return max((product(size or 1 for size in t.shape[1:])
                    for node in (self.graph.nodes if self.graph else ()) for t in node.outputs),
                   default=1)

    @cached_property
    def may_mask(self) -> bool:
        """Whether a mask was made when its graph was built, or may be when it is called."""
        return any(node.masked for node in self.graph.nodes) or any(
            makes_masks(layer) for _, layer in self.layers)


def inspect(model) -> Inspected:
    """Return what stands in a Keras model or layer; TypeError where it is neither."""
    import keras

    if isinstance(model, type):
        raise TypeError(f"model: {model.__name__} is a class; pass what it makes, an instance: "
                        f"{model.__name__}(...)")
    if not isinstance(model, keras.Layer):
        raise TypeError(
            f"model: {type(model).__name__!r} object is not a Keras model or layer; "
            "pass a keras.Model, for example keras.applications.ResNet50(weights=None); of a "
            "function of JAX arrays or a torch.nn.Module there are ops, not layer calls: "
            "tos.count_ops(f, input_shape=(784,))")
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
    if cls in shipped_layers():
        return cls.__name__
    if _is_shipped_operator(cls):
        return f"ops.{cls.__name__}"
    borrowed = cls.__name__ in _shipped_names() or cls.__name__.startswith("ops.")
    return f"custom>{cls.__name__}" if borrowed else cls.__name__


def cast_to(dtype):
    """Return the operator by which Keras makes a tensor one of another dtype."""
    from keras.src.ops.core import Cast

    return Cast(dtype)


def is_operator(operation) -> bool:
    """Whether it is a bare operator and not a layer; some have an option that is named weights."""
    import keras

    return isinstance(operation, keras.Operation) and not isinstance(operation, keras.Layer)


@cache
def shipped_layers() -> frozenset:
    """Return the classes of layers that Keras ships."""
    import keras

    return frozenset(c for c in vars(keras.layers).values()
                     if isinstance(c, type) and is_of_keras(c))


@cache
def _shipped_names():
    import keras

    return {*vars(keras.layers), *(c.__name__ for c in shipped_layers())}


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
    if not getattr(layer, "_layers", None):  # an operator, or a layer that holds none
        return ()
    import keras

    held = tuple(layer._flatten_layers(include_self=False))
    graphs = [graph or _graph(layer)] if isinstance(layer, keras.Model) else []
    graphs += [_graph(x) for x in held if isinstance(x, keras.Model)]
    operators = {id(node.operation): node.operation for graph in graphs if graph
                 for node in graph.nodes if node.dtype is None}
    return tuple((kind_of(x), x) for x in (*held, *operators.values()))


def weights_of(layer, trainable=False) -> list:
    """Return (shape, dtype) of the weights of a layer, as they are stored.

    >>> import keras
    >>> dense = keras.layers.Dense(4)
    >>> dense.build((None, 8))
    >>> weights_of(dense)
    [((8, 4), 'float32'), ((4,), 'float32')]
    """
    # the public names go by way of the backend's shapes, which is most of the time of a count
    name = "trainable_weights" if trainable else "weights"
    return [(tuple(w._shape), w._dtype) if hasattr(w, "_shape") else (tuple(w.shape), w.dtype)
            for w in getattr(layer, name, ())]


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
    dtype = operation.compute_dtype if isinstance(operation, keras.Layer) else None
    nested = _graph(operation) if dtype and isinstance(operation, keras.Model) else None
    masked = any([vars(t).get("_keras_mask") is not None for t in node.outputs]) or (nested and (
        any(inside.masked for inside in nested.nodes)
        or len(node.input_tensors) > len(nested.inputs)))  # it is called with masks
    return Node(operation, kind_of(operation), dtype, tuple(node.input_tensors),
                tuple(node.outputs), node.arguments, nested, bool(masked),
                says_its_shapes(operation))


def says_its_shapes(operation) -> bool:
    """Whether what an operation says of its outputs is right: it, and all in it, is of Keras.

    Keras takes an activation to make of a tensor one of its shape, which the user's need not, and
    `keras.activations.glu` does not.
    """
    return _says_shapes(operation) and all(
        [_says_shapes(layer) for _, layer in sublayers(operation)])


def _says_shapes(layer):
    if not _class_says_shapes(type(layer)):
        return False
    activation = vars(layer).get("activation")
    if activation is None:
        return True
    import keras

    return isinstance(activation, keras.Layer) or (
        activation is not keras.activations.glu and is_of_keras(activation))


@cache
def _class_says_shapes(cls):
    import keras

    return is_of_keras(cls) and not issubclass(cls, keras.layers.Lambda)


def makes_masks(layer) -> bool:
    """Whether a layer may make a mask as it is called, which it need not when a graph is built."""
    if getattr(layer, "mask_zero", False):
        return True
    cls = type(layer)
    if cls in shipped_layers():
        return cls.__name__ == "Masking"
    import keras

    return not (is_of_keras(cls) or is_operator(layer)
                or getattr(cls, "compute_mask", None) is keras.Layer.compute_mask)


def _training(model):
    names = ("train_step", "compute_loss")
    own = tuple(name for name in names if hasattr(model, name) and (
        name in vars(model) or not is_of_keras(getattr(type(model), name))))
    return Training(
        getattr(model, "loss", None), getattr(model, "optimizer", None),
        tuple(optimizers_of(model)), own, has_loss_weights(model),
        getattr(model, "output_names", None),
        tuple(metric.name for metric in getattr(model, "metrics", ())))


def optimizers_of(model) -> list:
    """Return the optimizers that a model holds, in lists and dicts of its too."""
    import keras

    return held_of(model, keras.optimizers.Optimizer)


def held_of(thing, cls) -> list:
    """Return the objects of a class among a thing's attributes, in lists and dicts too."""
    found = []
    for value in vars(thing).values():
        inside = (value.values() if isinstance(value, dict) else
                  value if isinstance(value, (list, tuple)) else (value,))
        found += [v for v in inside if isinstance(v, cls)]
    return [*{id(v): v for v in found}.values()]


def is_of_keras(definition) -> bool:
    """Whether a class or function was defined in Keras, not put there by somebody else."""
    return str(getattr(definition, "__module__", "")).startswith("keras.src.")
