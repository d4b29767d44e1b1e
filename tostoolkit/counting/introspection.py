"""What stands in a Keras model: with `layer_state`, all that knows Keras' private names.

`inspect` reads a model once, into records that hold no private name; `calls` goes on from there.
Nothing is executed and no weight is read. Every private name has a test of its own in
``tests/counting/test_introspection.py``.
"""

import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, wraps
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
    if cls in _shipped_layers():
        return cls.__name__
    if _is_shipped_operator(cls):
        return f"ops.{cls.__name__}"
    borrowed = cls.__name__ in _shipped_names() or cls.__name__.startswith("ops.")
    return f"custom>{cls.__name__}" if borrowed else cls.__name__


def is_operator(operation) -> bool:
    """Whether it is a bare operator and not a layer; some have an option that is named weights."""
    import keras

    return isinstance(operation, keras.Operation) and not isinstance(operation, keras.Layer)


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

    if not getattr(layer, "_layers", None):  # an operator, or a layer that holds none
        return ()
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


def has_loss_weights(model) -> bool:
    """Whether a model was compiled with weights of its losses."""
    return getattr(compiled_loss(model), "_user_loss_weights", None) is not None


def is_built_for(optimizer, variables) -> bool:
    """Whether an optimizer has variables of its own, and has them for these."""
    known = getattr(optimizer, "_trainable_variables_indices", {})
    return optimizer.built and all(optimizer._var_key(v) in known for v in variables)


@contextmanager
def unchanged(*things) -> Iterator[None]:
    """Return a context after which objects hold what they held, and so do their lists and dicts.

    And so do the layers, losses, metrics, optimizers, schedules and trackers that they hold.
    """
    import keras
    from keras.src.utils.tracking import Tracker

    stateful = (Tracker, keras.Layer, keras.Loss, keras.metrics.Metric, keras.optimizers.Optimizer,
                keras.optimizers.schedules.LearningRateSchedule)
    kept, stack = {}, list(things)
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            value = getattr(value, "__wrapped__", value)  # TensorFlow's trackable dict is a proxy
        if id(value) in kept:
            continue
        if isinstance(value, stateful) or hasattr(value, "_storage"):  # TensorFlow's trackable list
            kept[id(value)] = value, dict(vars(value))
            stack.extend(vars(value).values())
        elif isinstance(value, (list, set, dict)):
            kept[id(value)] = value, type(value).copy(value)
            stack.extend(value.values() if isinstance(value, dict) else value)
        elif isinstance(value, tuple):
            stack.extend(value)
    try:
        yield
    finally:
        for value, contents in kept.values():
            _put_back(value, contents)


def _put_back(value, contents):
    """Give a list, set, dict or object the contents that it had."""
    if isinstance(value, list):
        if len(value) != len(contents) or any(
                a is not b for a, b in zip(value, contents, strict=True)):
            list.__setitem__(value, slice(None), contents)
    elif isinstance(value, set):
        if set(map(id, value)) != set(map(id, contents)):
            set.clear(value)
            set.update(value, contents)
    else:
        held = value if isinstance(value, dict) else vars(value)
        if [*held] != [*contents] or any(held[k] is not contents[k] for k in contents):
            plain = OrderedDict if isinstance(held, OrderedDict) else dict  # past Keras' tracking
            plain.clear(held)
            plain.update(held, contents)


@contextmanager
def with_places(variables, place, every=False) -> Iterator[None]:
    """Return a context in which variables without a value hold what `place` makes.

    `place` is a function of a shape, a dtype and whether it is trained. Variables that are made in
    the context hold one too; with `every`, so do those of the `variables` that have a value.
    Afterwards the `variables` hold what they held, or nothing, again.
    """
    import keras

    cls, empty = keras.Variable, [v for v in variables if every or v._value is None]

    def put(variable, value=None):
        shape = value.shape if variable._shape is None else variable._shape
        variable._value = place(tuple(shape), variable.dtype, variable.trainable)

    with ExitStack() as stack:
        _replace(stack, cls, "__init__", getattr(cls.__init__, "with_value", cls.__init__))
        for name in ("_initialize", "_initialize_with_initializer"):
            _replace(stack, cls, name, put)
        for variable in empty:
            stack.callback(setattr, variable, "_value", variable._value)
            put(variable)
        yield


def _replace(stack, owner, name, value):
    """Replace an attribute of a class until the stack ends."""
    own = name in vars(owner)
    before = getattr(owner, name)
    setattr(owner, name, value)
    stack.callback(*((setattr, owner, name, before) if own else (delattr, owner, name)))


@contextmanager
def with_functions(**functions) -> Iterator[None]:
    """Return a context in which functions stand in the place of the backend's of their names."""
    from keras.src import backend

    held = [(module, name, vars(module)[name]) for module in (backend.nn, backend.core)
            for name in functions if name in vars(module)]
    try:
        for module, name, _ in held:
            setattr(module, name, functions[name])
        yield
    finally:
        for module, name, function in held:
            setattr(module, name, function)


def current_scope() -> str:
    """Return the names of the scopes that Keras is in, the outermost first, joined by ``/``.

    >>> import keras
    >>> with keras.name_scope("outer"), keras.name_scope("inner"):
    ...     current_scope()
    'outer/inner'
    """
    from keras.src.backend.common.name_scope import current_path

    return current_path()


def global_seed():
    """Return the variable that random numbers without a seed of their own come from."""
    from keras.src.random.seed_generator import global_seed_generator

    return global_seed_generator().state


def is_seed(variable) -> bool:
    """Whether a variable is the state of a generator of random numbers."""
    return variable.name == "seed_generator_state"


@contextmanager
def abstract() -> Iterator[None]:
    """Return a context in which Keras models are built without allocating their weights.

    A model of any size can then be counted: only shapes are kept. It cannot be called on data.

    Examples
    --------
    >>> import keras
    >>> with abstract():
    ...     model = keras.Sequential([keras.Input((10**6,)), keras.layers.Dense(10**6)])
    >>> model.count_params()  # 4 TB of float32 that nobody allocated
    1000001000000
    """
    import keras

    cls = keras.Variable
    make = cls.__init__

    @wraps(make)
    def make_without_value(variable, initializer, *args, **kwargs):
        make(variable, initializer, *args, **kwargs)
        if variable._value is not None:  # of a constant
            variable._initializer = lambda shape, dtype=None: keras.ops.convert_to_tensor(
                initializer, dtype)
        variable._value = None

    make_without_value.with_value = make
    with ExitStack() as stack:
        _replace(stack, cls, "__init__", make_without_value)
        _replace(stack, cls, "_initialize", lambda v, value: setattr(v, "_value", value))
        _replace(stack, cls, "_initialize_with_initializer",
                 lambda v, make: vars(v).update(_value=None, _initializer=make))
        # what is made in a scope without state would be given its value when that ends
        _replace(stack, cls, "_deferred_initialize", lambda v: None)
        if keras.backend.backend() == "torch":  # where a built layer asks for its values
            _replace(stack, keras.Layer, "_post_build", lambda layer: None)
        yield
