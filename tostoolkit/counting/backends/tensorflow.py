"""What Keras runs on TensorFlow, traced: a graph of a call, or of a training step.

What of a graph counts, says `tensorflow_graph`.
"""

from collections import Counter
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from inspect import signature

from ..calls import CallCount, LayerCall, Tensor
from ..introspection import is_operator, sublayers, unchanged, with_places
from ..trace import TraceError, python_errors, says_how_to_count
from .tensorflow_constants import Frame
from .tensorflow_graph import OpCounts, mark
from .tensorflow_ops import TRACE_COUNTERS
from .tensorflow_steps import multiply_equals, traced_step


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
        graph, notes, times = traced_step(read, step, _places, _graph_of)
    ops = OpCounts(TRACE_COUNTERS, by_hand, notes=notes)
    with says_how_to_count(read.model.name, type(read.model).__name__):
        ops.add_graph(graph)
    multiply_equals(ops.counts, times)
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
    import tensorflow as tf
    from tensorflow.python.ops.resource_variable_ops import UninitializedVariable

    with tf.init_scope():  # of the graph that is being traced, if any
        return UninitializedVariable(shape=shape, dtype=dtype, trainable=trainable)


def _places(variables):
    """Return a context in which variables without memory have a place in a graph."""
    return with_places(variables, _place)


def _graph_of(run, tensors):
    """Return the graph of a function of tensors that are known by their shapes."""
    return _graph(run, map(_spec, tensors))


def _graph(run, specs):
    """Return the graph of a function of tensors."""
    import tensorflow as tf

    with _known_choices():
        return tf.function(run, autograph=False).get_concrete_function(*specs).graph


def traced(call):
    """Return the graph of one call in inference, on shapes alone."""
    layer = call.layer
    if not getattr(layer, "built", True):
        raise TraceError(f"{call.path!r} is not built, so it cannot be traced; call it on its "
                         "inputs, or layer.build(shape), first")
    takes_training = "training" in signature(layer.call).parameters

    def run(*tensors):
        args, kwargs = _written_out(call.arguments(tensors))
        return layer(*args, **kwargs | ({"training": False} if takes_training else {}))

    with (python_errors(call.path), unchanged(layer),
          _places(getattr(layer, "variables", ()))):
        return _graph(run, map(_spec, call.inputs))


@contextmanager
def _known_choices():
    """Return a context in which code that is traced takes the branches that are known.

    A conditional on a constant is its branch, and a choice by a bool is what it chooses: shapes
    that follow from it are known then, as they are when the code runs.
    """
    import tensorflow as tf

    cond, where = tf.cond, tf.where

    def known_cond(pred, true_fn=None, false_fn=None, name=None):
        value = Frame.of(pred)
        if value is None:
            return cond(pred, true_fn, false_fn, name)
        return (true_fn if value else false_fn)()

    def known_where(condition, x=None, y=None, name=None):
        if isinstance(condition, bool) and x is not None:
            return x if condition else y
        return where(condition, x, y, name)

    tf.cond, tf.where = known_cond, known_where
    try:
        yield
    finally:
        tf.cond, tf.where = cond, where


def _written_out(arguments):
    """Return the arguments of a call, arrays that are known as constants of the graph."""
    import keras
    import tensorflow as tf

    return keras.tree.map_structure(
        lambda x: tf.constant(x.numpy()) if tf.is_tensor(x) and hasattr(x, "numpy") else x,
        arguments)
