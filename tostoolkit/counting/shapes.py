"""The shapes of what the calls of a model read and write.

Those that Keras recorded when a graph was built hold where every layer in it is of a class that
Keras ships, its input is as it was, and no operator moves the batch. Else they are computed anew.
A layer of Keras says what it makes of what it is given. Of another's, and of one with an activation
of the user's, what it says may be less than what it does, or wrong, since nothing in Keras asks; so
its call is run, on shapes, as the trace runs it. What it says holds where its call cannot be run.
"""

from contextlib import suppress
from functools import partial
from itertools import chain

from .calls import LayerCall, Tensor
from .introspection import is_of_keras, sublayers
from .layer_state import outputs_on_shapes
from .running_state import unchanged
from .trace import TraceError, python_errors
from .traces import call_key


def graph_shapes(graph, inputs, batch_size) -> dict:
    """Return id(recorded tensor) -> Tensor, of all tensors of a graph that is run on `inputs`.

    None of one that a layer said it makes, and does not.
    """
    recorded = {
        id(t): Tensor(_with_batch(t.shape, batch_size), t.dtype)
        for t in chain(graph.inputs, *(node.outputs for node in graph.nodes))}
    as_built = _recorded_shapes_hold(graph, inputs, recorded)
    if as_built and all(_says_its_shapes(node.operation) for node in graph.nodes):
        return recorded
    return _propagate_graph(graph, inputs, recorded if as_built else {})


def _with_batch(shape, batch_size):
    return tuple(batch_size if d is None and axis == 0 else d for axis, d in enumerate(shape))


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


def _says_its_shapes(operation):
    """Whether what an operation says of its outputs is right: it, and all in it, is of Keras.

    Keras takes an activation to make of a tensor one of its shape, which the user's need not, and
    `keras.activations.glu` does not.
    """
    import keras

    def says(layer):
        activation = vars(layer).get("activation")
        return is_of_keras(type(layer)) and not isinstance(layer, keras.layers.Lambda) and (
            activation is None or isinstance(activation, keras.Layer)
            or (activation is not keras.activations.glu and is_of_keras(activation)))

    return says(operation) and all(says(layer) for _, layer in sublayers(operation))


def _propagate_graph(graph, inputs, recorded):
    """Return id(recorded tensor) -> Tensor, shapes computed node by node from `inputs`.

    What is in `recorded` goes in where a layer neither runs nor says them. Equal calls are run
    once.
    """
    import keras

    known = {id(built): Tensor(tuple(asked.shape), asked.dtype)
             for built, asked in zip(graph.inputs, inputs, strict=True)}
    made = {}
    for node in graph.nodes:
        there = there_of(node.inputs, known)
        reads = tuple(known[id(t)] for t in there)
        key = call_key(LayerCall(node.operation.name, node.kind, node.operation, reads, (),
                                 bind=partial(bind, node, there=there)))
        if key not in made:
            try:
                made[key] = keras.tree.flatten(
                    propagate(node.operation, node.kind, *bind(node, reads, there)))
            except TraceError:
                if any(id(t) not in recorded for t in node.outputs):
                    raise
                made[key] = [recorded[id(t)] for t in node.outputs]
        known.update(dict.fromkeys(map(id, node.outputs)))  # None where it makes fewer than it said
        known.update(zip(map(id, node.outputs), made[key], strict=False))
    return known


def bind(node, tensors, there=None):
    """Return the arguments of a node's call, with `tensors` in the place of its inputs.

    Or of those of them that are `there`: the others are None.
    """
    there = node.inputs if there is None else there
    given = dict.fromkeys(map(id, node.inputs))
    return node.arguments.fill_in(given | dict(zip(map(id, there), tensors, strict=True)))


def there_of(tensors, known) -> tuple:
    """Return those of recorded tensors that are there: a layer may return None for one it said."""
    return tuple(t for t in tensors if known[id(t)] is not None)


def propagate(operation, kind, args, kwargs):
    """Return the Tensors that a layer, model or operator makes of its arguments, structured."""
    import keras

    args, kwargs = keras.tree.map_structure(
        lambda x: keras.KerasTensor(x.shape, x.dtype) if isinstance(x, Tensor) else x,
        (args, kwargs))
    return keras.tree.map_structure(
        lambda t: None if t is None else Tensor(tuple(map(int, t.shape)), t.dtype),
        _output_spec(operation, kind, args, kwargs))


def _output_spec(operation, kind, args, kwargs):
    """Return the KerasTensors that a layer, model or operator makes of its arguments.

    What a layer of Keras says goes first, and of another the run of its call.
    """
    import keras

    def is_open(specs):
        return [t.shape for t in keras.tree.flatten(specs) if t is not None and None in t.shape]

    def run():
        with unchanged(operation):
            return outputs_on_shapes(operation, args, kwargs)

    ran = None
    if not _says_its_shapes(operation):
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
