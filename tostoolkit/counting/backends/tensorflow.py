"""What Keras runs on TensorFlow, traced: a graph of a call, or of a training step.

What of a graph counts, says `tensorflow_graph`.
"""

from collections import Counter
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from inspect import signature

from ..calls import BACKWARD_SCOPE, CallCount, LayerCall, Tensor
from ..compiled import as_compiled
from ..introspection import is_operator, sublayers, with_places
from ..trace import check_sizes, not_built, python_errors, says_how_to_count
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
    with says_how_to_count(read.model.name, type(read.model).__name__, step=True):
        ops.add_graph(graph)
    return ops.by_layer(read)


@contextmanager
def _by_hand(layers, by_user):
    """Return a context in which the user's counters stand for those of the layers that have one.

    A call of such a layer puts a mark in the graph. What is yielded says what the marks stand for:
    number -> function that returns the op counts of that call.
    """
    by_hand = {}
    with ExitStack() as stack:
        for kind, layer in layers:
            counter = by_user(layer, kind)
            names = ("call", *(() if is_operator(layer) else ("quantized_call",)))
            for name in names if counter else ():
                marked = _marked(layer, kind, getattr(layer, name), counter, by_hand)
                object.__setattr__(layer, name, marked)  # Keras would track it as state
                stack.callback(object.__delattr__, layer, name)
        yield by_hand


def _marked(layer, kind, call, counter, by_hand):
    """Return the layer's `call` with a mark around it in the graph."""
    import keras
    import tensorflow as tf

    def tensors(structure):
        return tuple(Tensor(tuple(t.shape), t.dtype.name) for t in keras.tree.flatten(structure)
                     if isinstance(t, tf.Tensor))

    @wraps(call)
    def marked(*args, **kwargs):
        number = len(by_hand)
        by_hand[number] = None  # calls inside this one come after it
        scope, name = mark(number)
        with tf.name_scope(scope):
            args, tensor_kwargs = keras.tree.map_structure(
                lambda t: tf.identity(t, name) if isinstance(t, tf.Tensor) else t, (args, kwargs))
            outputs = call(*args, **tensor_kwargs)
        written = tensors(outputs)
        by_hand[number] = partial(counter, LayerCall(
            layer.name, kind, layer, tensors((args, kwargs)), written,
            written[0].dtype if is_operator(layer) else layer.compute_dtype,
            {k: v for k, v in kwargs.items() if not tensors(v)}))
        return outputs

    return marked


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

    graph = tf.function(run, autograph=False).get_concrete_function(*specs).graph
    if max((t.shape.num_elements() or 0 for t in graph.inputs), default=0) > 2**32:
        check_sizes("a traced graph", (
            t.shape.as_list() for op in graph.get_operations() for t in op.outputs
            if t.shape.rank is not None))
    return graph


def traced(call):
    """Return the graph of one call in inference, on shapes alone."""
    layer = call.layer
    if not getattr(layer, "built", True):
        raise not_built(call)
    takes_training = "training" in signature(layer.call).parameters

    def run(*tensors):
        args, kwargs = call.arguments(tensors)
        return layer(*args, **kwargs | ({"training": False} if takes_training else {}))

    with (python_errors(call.path, kind=call.kind),
          with_places(getattr(layer, "variables", ()), _place)):
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
