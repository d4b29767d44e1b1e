"""What Keras runs on TensorFlow, traced: a graph of a call, or of a training step.

What of a graph counts, says `tensorflow_graph`.
"""

from collections import Counter
from functools import wraps
from inspect import signature

from ..calls import BACKWARD_SCOPE, CallCount
from ..compiled import as_compiled
from ..introspection import sublayers, with_places
from ..trace import TraceError, python_errors, says_how_to_count
from .shared import counted_by_hand
from .tensorflow_graph import OpCounts, mark
from .tensorflow_ops import TRACE_COUNTERS


def trace_call(call, by_user) -> CallCount:
    """Return the op counts of one call, from its graph; arguments and errors as `trace`."""
    with _by_hand(sublayers(call.layer), by_user) as by_hand:
        graph = traced(call)
    ops = OpCounts(TRACE_COUNTERS, by_hand)
    with says_how_to_count(call.path, call.kind):
        ops.add_graph(graph)
    return CallCount(sum(ops.counts.values(), Counter()), "trace", tuple(ops.notes))


def trace_step(read, step, by_user) -> dict:
    """Return (layer, part) -> CallCount of a training step; arguments and errors as `trace`."""
    with _by_hand(read.layers, by_user) as by_hand:
        graph, notes = _traced_step(read, step)
    ops = OpCounts(TRACE_COUNTERS, by_hand, notes=notes)
    with says_how_to_count(read.model.name, type(read.model).__name__):
        ops.add_graph(graph)
    return ops.by_layer(read)


def _by_hand(layers, by_user):
    """Return a context in which calls of layers that the user counts are marked in the graph."""
    import tensorflow as tf

    def put_mark(number):
        scope, name = mark(number)
        return tf.name_scope(scope), lambda tensor: tf.identity(tensor, name)

    return counted_by_hand(layers, by_user, put_mark, lambda t: isinstance(t, tf.Tensor))


def _spec(tensor):
    """Return the TensorFlow spec of a tensor."""
    import tensorflow as tf

    return tf.TensorSpec(tuple(tensor.shape), tensor.dtype)


def _place(shape, dtype, trainable):
    """Return a variable that has a place in a graph and no memory."""
    from tensorflow.python.ops.resource_variable_ops import UninitializedVariable

    return UninitializedVariable(shape=shape, dtype=dtype, trainable=trainable)


def _graph(run, specs):
    """Return the graph of a function of tensors."""
    import tensorflow as tf

    return tf.function(run, autograph=False).get_concrete_function(*specs).graph


def traced(call):
    """Return the graph of one call in inference, on shapes alone."""
    layer = call.layer
    if not getattr(layer, "built", True):
        raise TraceError(f"{call.path!r} is not built, so it cannot be traced; call it on its "
                         "inputs, or layer.build(shape), first")
    takes_training = "training" in signature(layer.call).parameters

    def run(*tensors):
        args, kwargs = call.arguments(tensors)
        return layer(*args, **kwargs | ({"training": False} if takes_training else {}))

    with python_errors(call.path), with_places(getattr(layer, "variables", ()), _place):
        return _graph(run, map(_spec, call.inputs))


def _traced_step(read, step):
    """Return the graph of one training step, and what a reader should know of it."""
    import keras
    import tensorflow as tf

    def with_scope(gradient):
        @wraps(gradient)
        def scoped(*args, **kwargs):
            with tf.name_scope(BACKWARD_SCOPE):
                return gradient(*args, **kwargs)
        return scoped

    model = read.model
    with (python_errors(model.name, step=True), with_places(model.variables, _place),
          as_compiled(model, step) as train_step):
        gradient = tf.GradientTape.gradient
        tf.GradientTape.gradient = with_scope(gradient)
        try:
            errors = []
            for targets, notes in step.targets_of(read.output_tensors()):
                def run(*tensors):
                    x, y = tensors[:len(read.inputs)], tensors[len(read.inputs):]
                    return train_step((read.structure(x), keras.tree.pack_sequence_as(targets, y)))

                try:
                    return _graph(run, map(_spec, (*read.inputs, *keras.tree.flatten(targets)))), notes
                except Exception as error:
                    errors.append(error)
            raise errors[0]
        finally:
            tf.GradientTape.gradient = gradient
