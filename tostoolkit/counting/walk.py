"""Keras model -> layer calls, with the shapes of what they read and write.

A functional model is walked node by node, not over ``model.layers``: a shared layer shows once
per call, a nested model is opened in place, and bare operators (``x + y``, ``keras.ops.exp(x)``)
stand beside the layers. Nothing is executed and no weight is read.
"""

from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from operator import index
from typing import TYPE_CHECKING, Any

from .calls import LEVELS, LayerCall, Tensor
from .inputs import read_inputs
from .introspection import cast_to, inspect
from .masks import with_masks
from .running_state import build_parts
from .shapes import call_outputs, graph_shapes, propagate, taken_inside
from .trace import of_many_samples
from .traces import OfEqualCalls

if TYPE_CHECKING:
    import keras


@of_many_samples
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
    `template` is of the structure of the model's input: lists and dicts, at any depth.
    """

    model: Any
    inputs: tuple[Tensor, ...]
    calls: tuple[LayerCall, ...]
    outputs: tuple[int, ...]
    layers: tuple[tuple[str, Any], ...]
    template: Any = None

    def structure(self, tensors):
        """Return tensors, one for each of the inputs, in the structure that the model takes."""
        import keras

        if self.template is None:
            return tensors[0] if len(tensors) == 1 else list(tensors)
        return keras.tree.pack_sequence_as(self.template, list(tensors))

    def output_tensors(self):
        """Return what the model makes of its inputs, in its own structure."""
        return propagate(
            self.model, type(self.model).__name__, (self.structure(self.inputs),), {})


def read_calls(inspected, batch_size=1, input_shape=None) -> ModelCalls:
    """Return the layer calls of an inspected model; arguments and errors as `layer_calls`."""
    batch_size = check_batch_size(batch_size)
    model, graph = inspected.model, inspected.graph
    inputs, template = read_inputs(model, graph, batch_size, input_shape)
    outputs_of = OfEqualCalls(call_outputs)
    if graph is None:
        calls, outputs = [_alone(inspected, inputs, template, outputs_of)], ()
    else:
        numbers = count()
        sources = tuple(next(numbers) for _ in inputs)
        calls, outputs = _walk(graph, inputs, batch_size, "", sources, numbers, outputs_of)
        calls = _needed(_number_repeats(with_masks(inspected, inputs, calls)), outputs)
    read = ModelCalls(model, inputs, tuple(calls), outputs, inspected.layers, template)
    build_parts(inspected, read.structure, inputs)
    return read


def _alone(inspected, inputs, template, outputs_of):
    """Return the call of a layer that stands in no graph."""
    import keras

    model = inspected.model
    call = LayerCall(model.name, inspected.kind, model, inputs, (), model.compute_dtype)
    if isinstance(template, dict) or len(inputs) > 1:
        call = replace(call, bind=partial(_bind_alone, call, template))
    _check_given(call)
    if type(model).call is keras.Model.call:  # it only trains, as a GAN does
        return call
    return replace(call, outputs=tuple(t for t in outputs_of(call) if isinstance(t, Tensor)))


def _needed(calls, outputs):
    """Return the calls that the outputs depend on, and on which of theirs: no more is run."""
    needed, kept = set(outputs), []
    for call in reversed(calls):
        wanted = [i for i, n in enumerate(call.writes) if n in needed]
        if wanted or not call.writes:
            needed.update(call.reads)
            needed.update(n for n in call.mask_reads if n is not None)
            if len(wanted) < len(call.writes):
                call = replace(call, wanted=tuple(wanted))
            kept.append(call)
    return kept[::-1]


def _bind_alone(call, template, tensors):
    """Return the arguments of the call of a layer that stands in no graph.

    Where its inputs are known by the names of what `call` takes, these are its arguments; where
    they are a list and it takes several, each of the list is one; else one takes all of them.
    """
    import keras

    taken = call.signature.parameters
    if template is None:
        return replace(call, bind=None).arguments(tensors)
    given = keras.tree.pack_sequence_as(template, list(tensors))
    if isinstance(template, dict) and template.keys() <= taken.keys():
        return (), given
    spread = isinstance(template, list) and len(template) > 1 and (
        len(_required(taken)) > 1 or any(p.kind is p.VAR_POSITIONAL for p in taken.values()))
    return (tuple(given) if spread else (given,)), {}


def _required(parameters):
    """Return the names of the arguments that a call cannot do without."""
    return [name for name, p in parameters.items() if p.default is p.empty and p.kind not in (
        p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _check_given(call):
    """Raise ValueError where a call that stands in no graph takes more, or less, than is known."""
    taken = call.signature
    args, kwargs = call.arguments(call.inputs)
    try:
        taken.bind(*args, **kwargs)
    except TypeError:
        required = _required(taken.parameters)
        raise ValueError(
            f"input_shape: `call` of {call.path!r} takes {' and '.join(map(repr, required))}, and "
            f"the shape of {len(args) + len(kwargs)} is known; pass that of each by its name, "
            f"input_shape={dict.fromkeys(required, (784,))}") from None


def check_batch_size(batch_size):
    """Return `batch_size` as a Python integer, which no product of sizes wraps; raise unless >= 1.

    TypeError where it is not an integer, ValueError where it is below 1.
    """
    if isinstance(batch_size, bool) or not hasattr(batch_size, "__index__") or (
            getattr(batch_size, "shape", ()) != ()):
        raise TypeError(f"batch_size: {batch_size!r} is not an integer; try batch_size=32")
    if batch_size < 1:
        raise ValueError(f"batch_size: {batch_size!r} is below 1; try batch_size=1")
    return index(batch_size)


def check_phase(phase):
    """Raise ValueError unless `phase` is one that can be counted."""
    if phase not in LEVELS:
        raise ValueError(f"phase: {phase!r} is unknown; use phase='inference' or 'training'")


def _walk(graph, inputs, batch_size, prefix, sources, numbers, outputs_of):
    """Return the calls of `graph` on `inputs`, nested graphs opened in place, and its outputs.

    Inputs and outputs are known by number: `sources` are those of the inputs.
    """
    known = graph_shapes(graph, inputs, batch_size, outputs_of)
    number = {id(t): n for t, n in zip(graph.inputs, sources, strict=True)}
    calls = []
    for node in graph.nodes:
        there = node.there(known)
        reads = tuple([number[id(t)] for t in there])
        node_inputs = tuple([known[id(t)] for t in there])
        if node.graph is None:
            node_outputs = tuple(
                [known[id(t)] for t in node.outputs if known[id(t)] is not None])
            writes = tuple([next(numbers) for _ in node.outputs])
            calls.append(LayerCall(
                prefix + node.operation.name, node.kind, node.operation, node_inputs, node_outputs,
                node.dtype or (node_outputs[0].dtype if node_outputs else "float32"),
                node.arguments.kwargs, reads, writes, partial(node.bind, there=there)))
        else:
            path = prefix + node.operation.name
            taken, numbers_inside = taken_inside(node, node_inputs), []
            for place, tensor in taken:
                given, number_given = node_inputs[place], reads[place]
                if tensor.dtype != given.dtype:
                    calls.append(_cast(path, given, tensor, number_given, next(numbers)))
                    number_given = calls[-1].writes[0]
                numbers_inside.append(number_given)
            inside, writes = _walk(node.graph, [tensor for _, tensor in taken], batch_size,
                                   f"{path}/", numbers_inside, numbers, outputs_of)
            calls += inside
        number.update(zip(map(id, node.outputs), writes, strict=True))
    return calls, tuple(number[id(t)] for t in graph.outputs)


def _cast(path, given, taken, reads, writes):
    """Return the call that makes of what a nested model is given the dtype that its graph takes."""
    return LayerCall(f"{path}/cast", "ops.Cast", cast_to(taken.dtype), (given,), (taken,),
                     taken.dtype, reads=(reads,), writes=(writes,))


def _number_repeats(calls):
    """Make the paths unique: the second call of a shared layer becomes ``path#2``."""
    seen, numbered = {}, []
    for call in calls:
        n = seen[call.path] = seen.get(call.path, 0) + 1
        numbered.append(call if n == 1 else replace(call, path=f"{call.path}#{n}"))
    return numbered
