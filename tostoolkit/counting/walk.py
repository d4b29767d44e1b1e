"""Keras model -> layer calls, with the shapes of what they read and write.

A functional model is walked node by node, not over ``model.layers``: a shared layer shows once
per call, a nested model is opened in place, and bare operators (``x + y``, ``keras.ops.exp(x)``)
stand beside the layers. Nothing is executed and no weight is read.
"""

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from itertools import count
from typing import TYPE_CHECKING, Any

from .calls import LEVELS, LayerCall, Tensor
from .introspection import inspect

if TYPE_CHECKING:
    import keras


def layer_calls(
    model: "keras.Layer", batch_size: int = 1,
    input_shape: tuple[int, ...] | list[tuple[int, ...]] | None = None,
) -> list[LayerCall]:
    """Return the layer calls of one forward pass, in the order of execution.

    Parameters
    ----------
    model : keras.Model or keras.Layer
        Built. A layer, or a model that is not a graph of layers (subclassed), is one call.
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
        `model` is not a Keras model or layer; `batch_size` is not an integer.
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
    return list(read_calls(inspect(model), batch_size, input_shape).calls)


@dataclass(frozen=True)
class ModelCalls:
    """The layer calls of one forward pass of a model, in the order of execution.

    `outputs` are the numbers of the model's outputs, among what the calls write: none where the
    model is not a graph of layers. `layers` are (kind, layer or operator) in it, at any depth.
    """

    model: Any
    inputs: tuple[Tensor, ...]
    calls: tuple[LayerCall, ...]
    outputs: tuple[int, ...]
    layers: tuple[tuple[str, Any], ...]

    def output_tensors(self) -> tuple[Tensor, ...]:
        """Return what the model makes of its inputs."""
        return _propagate(self.model, self.inputs)


def read_calls(inspected, batch_size=1, input_shape=None) -> ModelCalls:
    """Return the layer calls of an inspected model; arguments and errors as `layer_calls`."""
    if isinstance(batch_size, bool) or not hasattr(batch_size, "__index__"):
        raise TypeError(f"batch_size: {batch_size!r} is not an integer; try batch_size=32")
    if batch_size < 1:
        raise ValueError(f"batch_size: {batch_size!r} is below 1; try batch_size=1")
    model, graph = inspected.model, inspected.graph
    inputs = _input_tensors(model, graph, batch_size, input_shape)
    if graph is None:
        call = LayerCall(model.name, inspected.kind, model, inputs, _propagate(model, inputs),
                         model.compute_dtype)
        return ModelCalls(model, inputs, (call,), (), inspected.layers)
    numbers = count()
    sources = tuple(next(numbers) for _ in inputs)
    calls, outputs = _walk(graph, inputs, batch_size, "", sources, numbers)
    return ModelCalls(model, inputs, tuple(_number_repeats(calls)), outputs, inspected.layers)


def check_phase(phase):
    """Raise ValueError unless `phase` is one that can be counted."""
    if phase not in LEVELS:
        raise ValueError(f"phase: {phase!r} is unknown; use phase='inference' or 'training'")


def _input_tensors(model, graph, batch_size, input_shape):
    """Return the model's input Tensors, every dimension known; errors as `layer_calls`."""
    given = None
    if input_shape is not None:
        given = [input_shape] if _is_shape(input_shape) else list(input_shape)
    recorded = _recorded_inputs(model, graph, given)
    shapes = [shape for shape, _ in recorded]
    if given is not None:
        if len(given) != len(recorded):
            raise ValueError(
                f"input_shape: {len(given)} shapes for {len(recorded)} inputs of {model.name!r}; "
                "pass one shape per input, without the batch dimension")
        for built, asked in zip(shapes, given, strict=True):
            fits = len(built) == len(asked) + 1 and all(
                b in (None, a) for b, a in zip(built[1:], asked, strict=True))
            if not fits:
                raise ValueError(
                    f"input_shape: {tuple(asked)} does not fit the model's input {built[1:]}; "
                    "give one sample's shape, without the batch dimension")
        shapes = [(built[0], *asked) for built, asked in zip(shapes, given, strict=True)]
    for shape in shapes:
        if None in shape[1:]:
            raise ValueError(
                f"input_shape: {model.name!r} leaves a dimension of its input open, "
                f"{shape[1:]}; say what to count, for example "
                f"input_shape={tuple(100 if d is None else d for d in shape[1:])}")
        if shape[0] not in (None, batch_size):
            raise ValueError(
                f"batch_size: {batch_size} differs from the batch size that {model.name!r} was "
                f"built with; call with batch_size={shape[0]}")
    return tuple(Tensor((batch_size, *shape[1:]), dtype)
                 for shape, (_, dtype) in zip(shapes, recorded, strict=True))


def _recorded_inputs(model, graph, given):
    """Return (shape, dtype) of each input, as far as the model or the shapes `given` say."""
    if graph is not None:
        return [(tuple(t.shape), t.dtype) for t in graph.inputs]
    import keras

    if not model.built and (given is None or isinstance(model, keras.Sequential)):
        raise ValueError(
            f"model: {model.name!r} is not built, so its shapes are unknown; call model.build("
            "(None, 784)) with your input's shape, or start it with keras.Input(shape)")
    dtype = getattr(model, "input_dtype", None) or model.compute_dtype
    if given is not None:
        return [((None, *shape), dtype) for shape in given]
    shapes = _shapes_in(model.get_build_config() or {})
    if not shapes:
        raise ValueError(
            f"input_shape: {model.name!r} does not record its input's shape; pass "
            "input_shape=(784,) with your input's shape, without the batch dimension")
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
    recorded = {
        id(t): Tensor(_with_batch(t.shape, batch_size), t.dtype)
        for node in graph.nodes for t in (*node.inputs, *node.outputs)}
    as_built = _recorded_shapes_hold(graph, inputs, batch_size)
    known = recorded if as_built else _propagate_graph(graph, inputs)
    number = {id(t): n for t, n in zip(graph.inputs, sources, strict=True)}
    calls = []
    for node in graph.nodes:
        reads = tuple(number[id(t)] for t in node.inputs)
        node_inputs = tuple(known[id(t)] for t in node.inputs)
        if node.graph is None:
            node_outputs = tuple(known[id(t)] for t in node.outputs)
            writes = tuple(next(numbers) for _ in node.outputs)
            calls.append(LayerCall(
                prefix + node.operation.name, node.kind, node.operation, node_inputs, node_outputs,
                node.dtype or (node_outputs[0].dtype if node_outputs else "float32"),
                node.arguments.kwargs, reads, writes, partial(_bind, node)))
        else:
            inside, writes = _walk(node.graph, node_inputs, batch_size,
                                   f"{prefix}{node.operation.name}/", reads, numbers)
            calls += inside
        number.update(zip(map(id, node.outputs), writes, strict=True))
    return calls, tuple(number[id(t)] for t in graph.outputs)


def _bind(node, tensors):
    """Return the arguments of a node's call, with `tensors` in the place of its inputs."""
    return node.arguments.fill_in(dict(zip(map(id, node.inputs), tensors, strict=True)))


def has_mask(call) -> bool:
    """Whether a layer is called with a mask, given or handed on by the layer before it."""
    import keras

    if call.bind is None or len(call.inputs) == 1:
        return False
    args, kwargs = call.bind(call.inputs)
    arguments = signature(call.layer.call).bind(*args, **kwargs).arguments
    return any(isinstance(t, Tensor) for name, value in arguments.items() if "mask" in name
               for t in keras.tree.flatten(value))


def _with_batch(shape, batch_size):
    return tuple(batch_size if d is None and axis == 0 else d for axis, d in enumerate(shape))


def _recorded_shapes_hold(graph, inputs, batch_size):
    """Whether the shapes recorded when the graph was built are those of this call.

    They are not where an input differs or is open beyond the batch, and not where a bare
    operator may move the batch dimension; then the shapes are computed anew, which is exact
    and slower.
    """
    built = tuple(_with_batch(t.shape, batch_size) for t in graph.inputs)
    if built != tuple(t.shape for t in inputs):
        return False
    for node in graph.nodes:
        shapes = [tuple(t.shape) for t in node.outputs]
        if any(None in shape[1:] for shape in shapes):
            return False
        if node.dtype is None:  # a bare operator
            before = [tuple(t.shape) for t in node.inputs]
            if any(shape not in before for shape in shapes):
                return False
    return True


def _propagate_graph(graph, inputs):
    """Return id(recorded tensor) -> Tensor, shapes computed node by node from `inputs`."""
    import keras

    specs = {
        id(built): keras.KerasTensor(asked.shape, asked.dtype)
        for built, asked in zip(graph.inputs, inputs, strict=True)}
    for node in graph.nodes:
        args, kwargs = node.arguments.fill_in(specs)
        outputs = node.operation.compute_output_spec(*args, **kwargs)
        if isinstance(node.operation, keras.layers.EinsumDense):
            outputs = _einsum_spec(node.operation, args[0], outputs)
        for built, new in zip(node.outputs, keras.tree.flatten(outputs), strict=True):
            if None in new.shape:
                raise ValueError(
                    f"model: the output shape {tuple(new.shape)} of {node.operation.name!r} "
                    "depends on the data, so its work is unknown; count the model up to there")
            specs[id(built)] = new
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
    """Return the output Tensors of a layer or model on `inputs`."""
    import keras

    specs = [keras.KerasTensor(t.shape, t.dtype) for t in inputs]
    outputs = layer.compute_output_spec(specs[0] if len(specs) == 1 else specs)
    return tuple(Tensor(tuple(t.shape), t.dtype) for t in keras.tree.flatten(outputs))


def _number_repeats(calls):
    """Make the paths unique: the second call of a shared layer becomes ``path#2``."""
    seen = Counter()
    numbered = []
    for call in calls:
        seen[call.path] += 1
        n = seen[call.path]
        numbered.append(call if n == 1 else replace(call, path=f"{call.path}#{n}"))
    return numbered
