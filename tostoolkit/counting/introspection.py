"""What stands in a Keras model: the only module that knows Keras' private names.

`inspect` reads a model once, into records that hold no private name; `calls` goes on from there.
Nothing is executed and no weight is read. Every private name has a test of its own in
``tests/counting/test_introspection.py``.
"""

import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache, wraps
from inspect import Parameter, isfunction, signature
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
            and all(_is_wrapped_by_keras(layer, name) for name in _WRAPPED))


#: Methods that Keras itself wraps in each layer.
_WRAPPED = ("build", "quantize")


@cache
def _methods(cls):
    """Names of the methods of a class, but for those that Keras itself wraps in each layer."""
    methods = {name for name in dir(cls) if isfunction(getattr(cls, name, None))}
    return methods.difference(_WRAPPED)


def _is_wrapped_by_keras(layer, name):
    """Whether a method that Keras wraps in each layer is still that of the layer's class."""
    method = vars(layer).get(name)
    own = getattr(getattr(method, "__wrapped__", None), "__func__", None)
    return method is None or (method.__globals__["__name__"] == "keras.src.layers.layer"
                              and own is getattr(type(layer), name))


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
                name in _WRAPPED and not _is_wrapped_by_keras(thing, name)))]


def parts_of(layer) -> list:
    """Return the layers that stand directly in a layer."""
    return layer._layers


def weight_names(layer) -> set[str]:
    """Return the names of a layer's own weights, not of those of the layers inside."""
    return {v.name for v in (*layer._trainable_variables, *layer._non_trainable_variables)}


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


def makes_masks(layer) -> bool:
    """Whether a layer may make a mask as it is called, which it need not when a graph is built."""
    import keras

    cls = type(layer)
    return bool(getattr(layer, "mask_zero", False)) or cls is keras.layers.Masking or not (
        is_of_keras(cls) or getattr(cls, "compute_mask", None) is keras.Layer.compute_mask
        or is_operator(layer))


def mask_of(tensor):
    """Return the mask that Keras finds on a tensor, None without one."""
    from keras.src.backend import get_keras_mask

    return get_keras_mask(tensor)


def put_mask(tensor, mask):
    """Put a mask on a tensor, where Keras finds it."""
    from keras.src.backend import set_keras_mask

    set_keras_mask(tensor, mask)


def run_on_shapes(function, tensors):
    """Run a function of tensors as the backend runs it, on shapes and dtypes alone."""
    import keras
    from keras.src import backend

    backend.compute_output_spec(
        function, *(keras.KerasTensor(t.shape, t.dtype) for t in tensors))


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
