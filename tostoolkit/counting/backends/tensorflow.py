"""What Keras runs on TensorFlow, traced: a graph of a call, or of a training step.

What of a graph counts, says `tensorflow_graph`.
"""

import re
from collections import Counter
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from inspect import signature

from ..calls import BACKWARD_SCOPE, CallCount, LayerCall, Tensor
from ..compiled import as_compiled, optimizers_of
from ..introspection import is_operator, sublayers, unchanged, with_places
from ..targets import trials
from ..trace import TraceError, python_errors, says_how_to_count
from .tensorflow_graph import OpCounts, mark
from .tensorflow_ops import TRACE_COUNTERS

#: Scopes of the updates that are traced once for all equal variables, but for their numbers.
_EQUAL = "tos_equal_"
_SCOPE_OF_EQUALS = re.compile(rf"(?:^|/)({_EQUAL}\d+)/")


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
        graph, notes = _traced_step(read, step, times := {})
    ops = OpCounts(TRACE_COUNTERS, by_hand, notes=notes)
    with says_how_to_count(read.model.name, type(read.model).__name__):
        ops.add_graph(graph)
    _multiplied(ops.counts, times)
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

    with (python_errors(call.path), unchanged(layer),
          with_places(getattr(layer, "variables", ()), _place)):
        return _graph(run, map(_spec, call.inputs))


def _traced_step(read, step, times):
    """Return the graph of one training step, and what a reader should know of it.

    `times` is filled: scope of an update -> how many equal variables it stands for.
    """
    def update(optimizer, update_step):
        return _once(update_step, times) if _updates_alike(optimizer) else update_step

    model, worst = read.model, None
    handed = trials(step, read, (read.output_tensors, partial(_traced_outputs, read)))
    with python_errors(model.name, step=True), _gradients_in_scope():
        for tensors, data, notes in handed:
            times.clear()
            with with_places(_variables(model, step), _place), as_compiled(
                    model, step, update, _scope) as train_step:
                try:
                    return _graph(lambda *given, data=data, run=train_step: run(data(given)),
                                  map(_spec, tensors)), notes
                except Exception as error:
                    if worst is None or len(tensors) > len(read.inputs):
                        worst = error  # what goes wrong with targets says more
        if step.targets is not None:
            given = [f"{tuple(t.shape)} {t.dtype}" for t in tensors[len(read.inputs):]]
            raise TraceError(f"targets: the step of {model.name!r} fails with targets of "
                             f"{', '.join(given)}: {type(worst).__name__}: {worst}") from worst
        raise worst


def _traced_outputs(read):
    """Return what a model makes of its inputs, as its graph says."""
    import keras

    model, made = read.model, []

    def run(*tensors):
        made.append(model(read.structure(tensors)))
        return made[-1]

    with unchanged(model), with_places(model.variables, _place):
        _graph(run, map(_spec, read.inputs))
    return keras.tree.map_structure(lambda t: Tensor(tuple(t.shape), t.dtype.name), made[-1])


def _variables(model, step):
    """Return the variables of a model and of the optimizers of its step."""
    optimizers = [*optimizers_of(model), *([step.optimizer] if step.optimizer else [])]
    return [*model.variables, *(v for optimizer in optimizers for v in optimizer.variables)]


def _scope(name):
    """Return a scope of TensorFlow's that has the same name however often it is opened."""
    import tensorflow as tf

    return tf.name_scope(f"{name}/")


@contextmanager
def _gradients_in_scope():
    """Return a context in which what a tape differentiates stands in a scope of its own."""
    import tensorflow as tf

    gradient = tf.GradientTape.gradient

    @wraps(gradient)
    def scoped(*args, **kwargs):
        with _scope(BACKWARD_SCOPE):
            return gradient(*args, **kwargs)

    tf.GradientTape.gradient = scoped
    try:
        yield
    finally:
        tf.GradientTape.gradient = gradient


def _updates_alike(optimizer):
    """Whether an optimizer's update of a variable depends on its shape and dtype alone."""
    import keras

    cls = type(optimizer)
    return (getattr(keras.optimizers, cls.__name__, None) is cls
            and cls is not keras.optimizers.Muon)  # which goes by names too


def _once(update_step, times):
    """Return an update of variables that is traced for the first of equal ones.

    `times` holds, by the scope of that one, for how many it stands. Of the others the gradient is
    needed, for which it stands in their place.
    """
    import tensorflow as tf

    scopes = {}

    @wraps(update_step)
    def update(gradient, variable, learning_rate):
        if not isinstance(gradient, tf.Tensor) or gradient.dtype != variable.dtype:
            return update_step(gradient, variable, learning_rate)
        key = tuple(variable.shape), variable.dtype, tf.compat.v1.get_default_graph()
        scope = scopes.get(key)
        if scope is None:
            scope = scopes[key] = f"{_EQUAL}{len(times)}"
            times[scope] = 1
            with tf.name_scope(scope):
                return update_step(gradient, variable, learning_rate)
        times[scope] += 1
        variable.assign(gradient)

    return update


def _multiplied(counts, times):
    """Multiply the op counts of the updates that stand for several."""
    for name, ops in counts.items():
        scope = _SCOPE_OF_EQUALS.search(name)
        for key in ops if scope else ():
            ops[key] *= times[scope[1]]
