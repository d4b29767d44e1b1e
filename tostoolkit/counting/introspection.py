"""Keras model -> layer calls. The only module that knows Keras' internals.

A functional model is walked node by node, not over ``model.layers``: a shared layer shows once
per call, a nested model is opened in place, and bare operators (``x + y``, ``keras.ops.exp(x)``)
stand beside the layers. Nothing is executed and no weight is read.
"""

import re
from collections import Counter
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from math import prod
from typing import Any


@dataclass(frozen=True)
class Tensor:
    """Shape and dtype of one tensor; no values."""

    shape: tuple[int, ...]
    dtype: str = "float32"

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in memory; sub-byte formats are packed."""
        return -(-self.size * _bits(self.dtype) // 8)


@cache
def _bits(dtype):
    """Bits of one element: the number in the dtype's name; a bool takes a byte."""
    digits = re.search(r"\d+", dtype)
    return int(digits.group()) if digits else 8


@dataclass(frozen=True)
class LayerCall:
    """One call of one layer (or bare operator) in a model's forward pass.

    Attributes
    ----------
    path : str
        Where it stands: ``"encoder/block_1/conv"``, nested models joined by ``/``. The second
        call of a shared layer is ``"conv#2"``.
    kind : str
        Class name: ``"Conv2D"``; with ``ops.`` before it for a bare operator: ``"ops.Exp"``.
    layer : object
        The Keras layer or operator, or any object with its public attributes.
    inputs, outputs : tuple of Tensor
        Shapes with the batch dimension filled in.
    dtype : str
        The dtype in which it computes.
    kwargs : mapping
        The other arguments of the call: ``{"use_causal_mask": True}``.
    reads, writes : tuple of int
        Numbers of the inputs and outputs: those of two calls are equal where the one reads what
        the other writes. Empty for a call that is not part of a graph.

    Examples
    --------
    A call can be made by hand, which is how the formulas are tested:

    >>> from types import SimpleNamespace
    >>> dense = SimpleNamespace(units=4, use_bias=True, activation=None)
    >>> LayerCall("d", "Dense", dense, (Tensor((1, 3)),), (Tensor((1, 4)),)).outputs[0].size
    4
    """

    path: str
    kind: str
    layer: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    dtype: str = "float32"
    kwargs: Mapping = field(default_factory=dict)
    reads: tuple[int, ...] = ()
    writes: tuple[int, ...] = ()


def layer_calls(model, batch_size=1, input_shape=None) -> list[LayerCall]:
    """Return the layer calls of one forward pass, in the order of execution.

    Parameters
    ----------
    model : keras.Model or keras.Layer
        Built. A layer, or a model that is no graph of layers (subclassed), is one call.
    batch_size : int
        Number of samples in the batch; at least 1.
    input_shape : tuple of int, or list of tuples, optional
        Shape of one sample, without the batch: fixes dimensions that the model leaves open
        (time steps, image size). Several inputs take a list of shapes.

    Returns
    -------
    list of LayerCall

    Raises
    ------
    TypeError
        `model` is no Keras model or layer; `batch_size` is no integer.
    ValueError
        The model is not built, a dimension is unknown, `batch_size` is below 1 or differs from
        the batch size that the model was built with.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="out")])
    >>> [(call.path, call.kind, call.outputs[0].shape) for call in layer_calls(model)]
    [('out', 'Dense', (1, 4))]
    """
    import keras

    check_batch_size(batch_size)
    if not isinstance(model, keras.Layer):
        raise TypeError(
            f"model: {type(model).__name__!r} object is no Keras model or layer; "
            "pass a keras.Model, for example keras.applications.ResNet50(weights=None)"
        )
    if _graph(model) is None:
        inputs = input_tensors(model, batch_size, input_shape)
        call = _call("", model, inputs, _propagate(model, inputs))
        return [replace(call, path=model.name)]
    return call_graph(model, batch_size, input_shape)[0]


def call_graph(model, batch_size=1, input_shape=None):
    """Return (calls, numbers of the outputs) of a graph of layers, else (None, ()).

    As `layer_calls`; the outputs are among what the calls write.
    """
    graph = _graph(model)
    if graph is None:
        return None, ()
    inputs = input_tensors(model, batch_size, input_shape)
    numbers = count()
    sources = tuple(next(numbers) for _ in inputs)
    calls, outputs = _walk(graph, inputs, batch_size, "", sources, numbers)
    return _number_repeats(calls), outputs


@contextmanager
def abstract():
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


def check_batch_size(batch_size):
    """Raise unless `batch_size` is an integer of at least 1."""
    if isinstance(batch_size, bool) or not hasattr(batch_size, "__index__"):
        raise TypeError(f"batch_size: {batch_size!r} is no integer; try batch_size=32")
    if batch_size < 1:
        raise ValueError(f"batch_size: {batch_size!r} is below 1; try batch_size=1")


def _graph(model):
    """Return the functional graph that `model` executes, or None where it is none.

    The one place that needs private names of Keras: ``Sequential._functional`` and
    ``Function._nodes_by_depth``.
    """
    import keras

    if isinstance(model, keras.Sequential) and type(model).call is keras.Sequential.call:
        if not model.built:
            _raise_not_built(model)
        return model._functional
    if hasattr(model, "_nodes_by_depth"):
        functional = next(c for c in type(model).__mro__ if c.__name__ == "Functional")
        return model if type(model).call is functional.call else None
    return None


def _nodes(graph):
    """Return the graph's nodes in the order of execution."""
    by_depth = graph._nodes_by_depth
    return [
        node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]
        if not node.is_input
    ]


def _raise_not_built(model):
    raise ValueError(
        f"model: {model.name!r} is not built, so its shapes are unknown; call "
        "model.build((None, 784)) with your input's shape, or start it with keras.Input(shape)"
    )


def input_tensors(model, batch_size, input_shape=None):
    """Return the model's input Tensors, every dimension known; errors as `layer_calls`."""
    graph = _graph(model)
    recorded = _recorded_inputs(model, graph, input_shape)
    shapes = [shape for shape, _ in recorded]
    if input_shape is not None:
        given = [input_shape] if _is_shape(input_shape) else list(input_shape)
        if len(given) != len(recorded):
            raise ValueError(
                f"input_shape: {len(given)} shapes for {len(recorded)} inputs of {model.name!r}; "
                "pass one shape per input, without the batch dimension"
            )
        for own, new in zip(shapes, given, strict=True):
            fits = len(own) == len(new) + 1 and all(
                o in (None, n) for o, n in zip(own[1:], new, strict=True))
            if not fits:
                raise ValueError(
                    f"input_shape: {tuple(new)} does not fit the model's input {own[1:]}; "
                    "give one sample's shape, without the batch dimension"
                )
        shapes = [(own[0], *new) for own, new in zip(shapes, given, strict=True)]
    for shape in shapes:
        if None in shape[1:]:
            raise ValueError(
                f"input_shape: {model.name!r} leaves a dimension of its input open, "
                f"{shape[1:]}; say what to count, for example "
                f"input_shape={tuple(100 if d is None else d for d in shape[1:])}"
            )
        if shape[0] not in (None, batch_size):
            raise ValueError(
                f"batch_size: {batch_size} differs from the batch size that {model.name!r} was "
                f"built with; call with batch_size={shape[0]}"
            )
    dtypes = [dtype for _, dtype in recorded]
    return tuple(
        Tensor((batch_size, *shape[1:]), dtype)
        for shape, dtype in zip(shapes, dtypes, strict=True)
    )


def _recorded_inputs(model, graph, input_shape):
    """Return (shape, dtype) of each input, as far as the model knows it."""
    if graph is not None:
        return [(tuple(t.shape), t.dtype) for t in graph.inputs]
    if not model.built and input_shape is None:
        _raise_not_built(model)
    dtype = getattr(model, "input_dtype", None) or model.compute_dtype
    if input_shape is not None:
        given = [input_shape] if _is_shape(input_shape) else list(input_shape)
        return [((None, *shape), dtype) for shape in given]
    built = getattr(model, "_build_shapes_dict", None) or {}
    shapes = [shape for value in built.values() for shape in _shapes_in(value)]
    if not shapes:
        raise ValueError(
            f"input_shape: {model.name!r} does not record its input's shape; pass "
            "input_shape=(784,) with your input's shape, without the batch dimension"
        )
    return [(tuple(shape), dtype) for shape in shapes]


def _is_shape(value):
    return all(d is None or hasattr(d, "__index__") for d in value)


def _shapes_in(value):
    if isinstance(value, dict):
        return [shape for v in value.values() for shape in _shapes_in(v)]
    if isinstance(value, (tuple, list)):
        if value and _is_shape(value):
            return [tuple(value)]
        return [shape for v in value for shape in _shapes_in(v)]
    return []


def _walk(graph, inputs, batch_size, prefix, sources, numbers):
    """Return the calls of `graph` on `inputs`, nested graphs opened in place, and its outputs.

    Inputs and outputs are known by number: `sources` are those of the inputs.
    """
    nodes = _nodes(graph)
    recorded = {
        id(t): Tensor(_with_batch(t.shape, batch_size), t.dtype)
        for node in nodes for t in (*node.input_tensors, *node.outputs)
    }
    as_built = _recorded_shapes_hold(graph, nodes, inputs, batch_size)
    known = recorded if as_built else _propagate_graph(graph, nodes, inputs)
    number = {id(t): n for t, n in zip(graph.inputs, sources, strict=True)}
    calls = []
    for node in nodes:
        operation = node.operation
        reads = tuple(number[id(t)] for t in node.input_tensors)
        node_inputs = tuple(known[id(t)] for t in node.input_tensors)
        node_outputs = tuple(known[id(t)] for t in node.outputs)
        nested = _graph(operation) if hasattr(operation, "layers") else None
        if nested is None:
            call = _call(prefix, operation, node_inputs, node_outputs, node.arguments.kwargs)
            writes = tuple(next(numbers) for _ in node.outputs)
            calls.append(replace(call, reads=reads, writes=writes))
        else:
            inside, writes = _walk(nested, node_inputs, batch_size, f"{prefix}{operation.name}/",
                                   reads, numbers)
            calls += inside
        number.update(zip(map(id, node.outputs), writes, strict=True))
    return calls, tuple(number[id(t)] for t in graph.outputs)


def _with_batch(shape, batch_size):
    return tuple(batch_size if d is None and axis == 0 else d for axis, d in enumerate(shape))


def _recorded_shapes_hold(graph, nodes, inputs, batch_size):
    """Whether the shapes recorded when the graph was built are those of this call.

    They are not where an input differs or is open beyond the batch, and not where a bare
    operator may move the batch dimension; then the shapes are computed anew, which is exact
    and slower.
    """
    own = tuple(_with_batch(t.shape, batch_size) for t in graph.inputs)
    if own != tuple(t.shape for t in inputs):
        return False
    for node in nodes:
        shapes = [tuple(t.shape) for t in node.outputs]
        if any(None in shape[1:] for shape in shapes):
            return False
        if not hasattr(node.operation, "weights"):  # a bare operator
            before = [tuple(t.shape) for t in node.input_tensors]
            if any(shape not in before for shape in shapes):
                return False
    return True


def _propagate_graph(graph, nodes, inputs):
    """Return id(recorded tensor) -> Tensor, shapes computed node by node from `inputs`."""
    import keras

    specs = {
        id(own): keras.KerasTensor(new.shape, new.dtype)
        for own, new in zip(graph.inputs, inputs, strict=True)
    }
    for node in nodes:
        args, kwargs = node.arguments.fill_in(specs)
        outputs = node.operation.compute_output_spec(*args, **kwargs)
        if type(node.operation).__name__ == "EinsumDense":
            outputs = _einsum_spec(node.operation, args[0], outputs)
        for own, new in zip(node.outputs, keras.tree.flatten(outputs), strict=True):
            if None in new.shape:
                raise ValueError(
                    f"model: the output shape {tuple(new.shape)} of {node.operation.name!r} "
                    "depends on the data, so its work is unknown; count the model up to there"
                )
            specs[id(own)] = new
    return {key: Tensor(tuple(t.shape), t.dtype) for key, t in specs.items()}


def _einsum_spec(layer, x, output):
    """Fill the dimensions that ``EinsumDense(output_shape=(None, ...))`` leaves to its input."""
    import keras

    left, result = layer.equation.replace(" ", "").replace("...", "").split("->")
    sizes = dict(zip(reversed(left.split(",")[0]), reversed(x.shape), strict=False))
    shape = [sizes.get(letter, size) if size is None else size
             for letter, size in zip(reversed(result), reversed(output.shape), strict=False)]
    shape = [*output.shape[:len(output.shape) - len(shape)], *reversed(shape)]
    return keras.KerasTensor(tuple(shape), output.dtype)


def _propagate(layer, inputs):
    """Return the output Tensors of one layer on `inputs`."""
    import keras

    specs = [keras.KerasTensor(t.shape, t.dtype) for t in inputs]
    outputs = layer.compute_output_spec(specs[0] if len(specs) == 1 else specs)
    return tuple(Tensor(tuple(t.shape), t.dtype) for t in keras.tree.flatten(outputs))


def _call(prefix, operation, inputs, outputs, kwargs=None):
    is_layer = hasattr(operation, "weights")
    dtype = operation.compute_dtype if is_layer else None
    return LayerCall(
        prefix + operation.name, _kind(operation, is_layer), operation, inputs, outputs,
        dtype or (outputs[0].dtype if outputs else "float32"), kwargs or {},
    )


def _kind(operation, is_layer):
    """Return the class name, marked where it is no Keras layer's own."""
    cls = type(operation)
    own = cls.__module__.partition(".")[0] == "keras"
    if not is_layer:
        return f"ops.{cls.__name__}" if own else cls.__name__
    if own:
        return cls.__name__
    import keras

    # A user's class that borrows a Keras name must not borrow its counter.
    return f"custom>{cls.__name__}" if hasattr(keras.layers, cls.__name__) else cls.__name__


def _number_repeats(calls):
    """Make the paths unique: the second call of a shared layer becomes ``path#2``."""
    seen = Counter()
    numbered = []
    for call in calls:
        seen[call.path] += 1
        n = seen[call.path]
        numbered.append(call if n == 1 else replace(call, path=f"{call.path}#{n}"))
    return numbered
