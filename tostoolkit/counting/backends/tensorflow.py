"""What Keras runs on TensorFlow, traced: a graph of a call, or of a training step.

What of a graph counts, says `tensorflow_graph`.
"""

from collections import Counter
from contextlib import contextmanager
from functools import partial

from ..calls import CallCount
from ..introspection import sublayers
from ..running_state import seeds_noted, unchanged, with_functions, with_places
from ..shapes import endpoints_on_shapes
from ..trace import TraceError, check_sizes, not_built, python_errors, says_how_to_count
from .shared import (
    are_data,
    counted_by_hand,
    given_to,
    learnt,
    masked,
    needed_of,
    put_learnt,
    reached_of,
    run_call,
    variables_in,
)
from .tensorflow_constants import Frame
from .tensorflow_definitions import DEFINITIONS
from .tensorflow_graph import OpCounts, mark, mark_seeds, needed_ops
from .tensorflow_ops import TRACE_COUNTERS
from .tensorflow_sizes import sizes_in_full
from .tensorflow_steps import multiply_equals, traced_step


def trace_call(call, by_user) -> CallCount:
    """Return the op counts of one call, from its graph; arguments and errors as `trace`."""
    with _by_hand(sublayers(call.layer), by_user) as by_hand:
        graph = traced(call)
    ops = OpCounts(TRACE_COUNTERS, by_hand)
    with says_how_to_count(call.path, call.kind):
        reach = ops.add_graph(graph, are_data(call)).reached
    needed, given = needed_ops(graph), len(given_to(call))
    needs = needed_of(call, [t.op in needed for t in graph.inputs[:given]])
    reached = reached_of(call, graph.structured_outputs, partial(_is_in, reach))
    return CallCount(sum(ops.counts.values(), Counter()), "trace", tuple(ops.notes), needs, reached)


def _is_in(reached, thing):
    """Whether any tensor that a result consists of is among those reached."""
    import tensorflow as tf

    return any(t.ref() in reached for t in tf.nest.flatten(thing, expand_composites=True)
               if tf.is_tensor(t))


def trace_step(read, step, by_user) -> dict:
    """Return (layer, part) -> CallCount of a training step; arguments and errors as `trace`."""
    with _by_hand(read.layers, by_user) as by_hand, unchanged(read.model):
        learnt_as_weights(layer for _, layer in read.layers)
        graph, notes, times = traced_step(read, step, _places, _graph_of)
    ops = OpCounts(TRACE_COUNTERS, by_hand, notes=notes)
    with says_how_to_count(read.model.name, type(read.model).__name__, step=True):
        try:
            ops.add_graph(graph)
        except TraceError as error:
            saved = [layer.name for kind, layer in read.layers if kind == "TFSMLayer"]
            if not saved:
                raise
            raise TraceError(
                f"{saved[0]!r} (TFSMLayer) runs a graph that was exported with its batch open, of "
                "which a forward pass can be counted and a gradient cannot; export it at the batch "
                "that is counted, model.export(folder, input_signature=[keras.InputSpec(shape=("
                f"{read.inputs[0].shape[0]}, 784))]): {error}") from None
    multiply_equals(ops.counts, times)
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
    import tensorflow as tf
    from tensorflow.python.ops.resource_variable_ops import UninitializedVariable

    with tf.init_scope():  # of the graph that is being traced, if any
        return UninitializedVariable(shape=shape, dtype=dtype, trainable=trainable)


def _places(variables):
    """Return a context in which variables without memory have a place in a graph."""
    return with_places(variables, _place)


def learnt_as_weights(layers):
    """Put places for what normalisation layers have learnt, which Keras keeps as constants."""
    known = learnt(layers)
    put_learnt(known, [_place(held.shape, held.dtype, False) for _, _, held in known])


def _graph_of(run, tensors):
    """Return the graph of a function of tensors that are known by their shapes."""
    return _graph(run, map(_spec, tensors))


def _graph(run, specs):
    """Return the graph of a function of tensors."""
    import tensorflow as tf

    specs = list(specs)
    with (_known_choices(), with_functions(**DEFINITIONS), seeds_noted() as seeds,
          sizes_in_full(Frame.of, specs)):
        graph = tf.function(run, autograph=False).get_concrete_function(*specs).graph
        mark_seeds(graph, seeds)
    if max((t.shape.num_elements() or 0 for t in graph.inputs), default=0) > 2**32:
        check_sizes("a traced graph", (
            t.shape.as_list() for op in graph.get_operations() for t in op.outputs
            if t.shape.rank is not None))
    return graph


def traced(call):
    """Return the graph of one call in inference, on shapes alone.

    Its inputs begin with those of the call, and their masks.
    """
    layer, with_mask = call.layer, masked(call)
    if not getattr(layer, "built", True):
        raise not_built(call)

    def run(*tensors):
        n = len(call.inputs)
        masks = dict(zip((place for place, _ in with_mask), tensors[n:], strict=True))
        return run_call(call, tensors[:n], [masks.get(i) for i in range(n)],
                        _written_out(call.arguments(tensors[:n])))

    with (python_errors(call.path, kind=call.kind), unchanged(layer), endpoints_on_shapes(layer),
          _places(variables_in(call))):
        learnt_as_weights([layer, *(x for _, x in sublayers(layer))])
        return _graph(run, map(_spec, (*call.inputs, *(mask for _, mask in with_mask))))


@contextmanager
def _known_choices():
    """Return a context in which code that is traced takes the branches that are known.

    A conditional on a constant is its branch, and a choice by a bool is what it chooses: shapes
    that follow from it are known then, as they are when the code runs. So is what code asks of a
    tensor that is known, its rank say.
    """
    import tensorflow as tf

    cond, where, is_true = tf.cond, tf.where, tf.Tensor.__bool__

    def known_cond(pred, true_fn=None, false_fn=None, name=None):
        value = Frame.of(pred)
        if value is None:
            return cond(pred, true_fn, false_fn, name)
        return (true_fn if value else false_fn)()

    def known_where(condition, x=None, y=None, name=None):
        if isinstance(condition, bool) and x is not None:
            return x if condition else y
        return where(condition, x, y, name)

    def known_bool(tensor):
        value = Frame.of(tensor)
        return is_true(tensor) if value is None else bool(value)

    tf.cond, tf.where, tf.Tensor.__bool__ = known_cond, known_where, known_bool
    try:
        yield
    finally:
        tf.cond, tf.where, tf.Tensor.__bool__ = cond, where, is_true


def _written_out(arguments):
    """Return the arguments of a call, arrays that are known as constants of the graph."""
    import keras
    import tensorflow as tf

    def is_array(x):
        return tf.is_tensor(x) and hasattr(x, "numpy") and not isinstance(x, keras.Variable)

    return keras.tree.map_structure(
        lambda x: tf.constant(x.numpy()) if is_array(x) else x, arguments)
