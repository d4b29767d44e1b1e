"""The shapes of what the calls of a model read and write.

Those that Keras recorded when a graph was built hold where every layer in it is of a class that
Keras ships, its input is as it was, and no operator moves the batch. Else they are computed anew.
A layer of Keras says what it makes of what it is given. Of another's, and of one with an activation
of the user's, what it says may be less than what it does, or wrong, since nothing in Keras asks; so
its call is run, on shapes, as the trace runs it. What it says holds where its call cannot be run.
"""

from contextlib import nullcontext, suppress
from functools import partial
from itertools import chain

from .calls import LayerCall, Tensor
from .introspection import says_its_shapes, sublayers
from .running_state import outputs_on_shapes, unchanged
from .trace import TraceError, python_errors


def graph_shapes(graph, inputs, batch_size, outputs_of) -> dict:
    """Return id(recorded tensor) -> Tensor, of all tensors of a graph that is run on `inputs`.

    None of one that a layer said it makes, and does not. `outputs_of` does what `call_outputs`
    does.
    """
    recorded = {
        id(t): Tensor(_with_batch(t.shape, batch_size), t.dtype)
        for t in chain(graph.inputs, *(node.outputs for node in graph.nodes))}
    as_built = _recorded_shapes_hold(graph, inputs, recorded)
    if as_built and all(node.says_shapes for node in graph.nodes):
        return recorded
    return _propagate_graph(graph, inputs, recorded if as_built else {}, outputs_of)


def _with_batch(shape, batch_size):
    return tuple([size if size is None else int(size) for size in (
        (batch_size, *shape[1:]) if shape and shape[0] is None else shape)])


def _recorded_shapes_hold(graph, inputs, recorded):
    """Whether the shapes recorded when the graph was built can be those of this call.

    They cannot where an input differs or is open beyond the batch, nor where a bare operator may
    move the batch dimension.
    """
    if [recorded[id(t)].shape for t in graph.inputs] != [t.shape for t in inputs]:
        return False
    if any(None in t.shape for t in recorded.values()):
        return False
    for node in graph.nodes:
        if node.dtype is None:  # a bare operator
            before = [tuple(t.shape) for t in node.inputs]
            if any(tuple(t.shape) not in before for t in node.outputs):
                return False
    return True


def _propagate_graph(graph, inputs, recorded, outputs_of):
    """Return id(recorded tensor) -> Tensor, shapes computed node by node from `inputs`.

    What is in `recorded` goes in where a layer neither runs nor says them.
    """
    known = {id(built): Tensor(tuple(asked.shape), asked.dtype)
             for built, asked in zip(graph.inputs, inputs, strict=True)}
    for node in graph.nodes:
        there = node.there(known)
        call = LayerCall(node.operation.name, node.kind, node.operation,
                         tuple(known[id(t)] for t in there), (),
                         bind=partial(node.bind, there=there))
        try:
            made = outputs_of(call)
        except TraceError:
            if any(id(t) not in recorded for t in node.outputs):
                raise
            made = [recorded[id(t)] for t in node.outputs]
        known.update(dict.fromkeys(map(id, node.outputs)))  # None where it makes fewer than it said
        known.update(zip(map(id, node.outputs), made, strict=False))
    return known


def call_outputs(call) -> list:
    """Return the Tensors that a call makes of its inputs, None in the place of one that is not."""
    import keras

    return keras.tree.flatten(propagate(call.layer, call.kind, *call.arguments(call.inputs)))


def taken_inside(node, tensors) -> list:
    """Return (place, Tensor) of each input of a nested model's graph.

    `place` is that of what the model is called with, among `tensors`; it makes of it what its graph
    takes, in dtype and number of axes.
    """
    import keras

    args, kwargs = node.bind(range(len(node.inputs)))
    places = keras.tree.flatten(args[0] if args else kwargs["inputs"])
    return [(place, Tensor(_of_rank(tensors[place].shape, len(built.shape)), built.dtype))
            for place, built in zip(places, node.graph.inputs, strict=True)]


def _of_rank(shape, rank):
    """Return a shape as a nested model makes it where it lacks its last axis, or has one more."""
    return shape[:-1] if len(shape) > rank else (*shape, 1) if len(shape) < rank else shape


def propagate(operation, kind, args, kwargs):
    """Return the Tensors that a layer, model or operator makes of its arguments, structured."""
    import keras

    args, kwargs = keras.tree.map_structure(
        lambda x: keras.KerasTensor(x.shape, x.dtype) if isinstance(x, Tensor) else x,
        (args, kwargs))
    return keras.tree.map_structure(
        lambda t: None if t is None else Tensor(tuple(map(int, t.shape)), t.dtype),
        _output_spec(operation, kind, args, kwargs))


def endpoints_on_shapes(operation):
    """Return a context in which a SavedModel in an operation runs on the shapes that it is given.

    Its functions leave their batch open, whatever they are called on.
    """
    import keras

    held = [layer for layer in (operation, *(x for _, x in sublayers(operation)))
            if isinstance(layer, keras.layers.TFSMLayer)]
    if not held:
        return nullcontext()
    from .backends.tensorflow_saved import inlined_endpoints

    return inlined_endpoints(held)


def _output_spec(operation, kind, args, kwargs):
    """Return the KerasTensors that a layer, model or operator makes of its arguments.

    What a layer of Keras says goes first, and of another the run of its call.
    """
    import keras

    def is_open(specs):
        return [t.shape for t in keras.tree.flatten(specs) if t is not None and None in t.shape]

    def run():
        with unchanged(operation), endpoints_on_shapes(operation):
            return outputs_on_shapes(operation, args, kwargs)

    ran = None
    if not says_its_shapes(operation):
        with suppress(Exception):  # its trace, if it comes to that, says why
            ran = run()
    with python_errors(operation.name, kind=kind):
        specs = ran
        if ran is None or is_open(ran):
            specs = operation.compute_output_spec(*args, **kwargs)
        if is_open(specs):
            specs = run() if ran is None else ran
    for shape in is_open(specs):
        raise TraceError(
            f"model: the output shape {tuple(shape)} of {operation.name!r} "
            "depends on the data, so its work is unknown; count the model up to there")
    return specs
