"""Any layer or model -> its traced TensorFlow graph, forward and backward -> op counts.

The graph is traced on shapes alone: no weight is allocated and nothing runs. What of it counts,
says `op_graph`. Only this module needs the TensorFlow backend.
"""

from collections import Counter
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from inspect import signature

from .calls import CallCount, LayerCall, Tensor
from .introspection import abstract, is_operator, sublayers
from .op_graph import BACKWARD_SCOPE, LOSS_SCOPE, UPDATE_SCOPE, OpCounts, TraceError, mark
from .trace_ops import TRACE_COUNTERS


def trace_call(call, by_user) -> CallCount:
    """Return the op counts of one call of a Keras layer or operator, from its traced graph.

    `by_user` gives the counter that the user has for (layer, kind), or None: a layer inside this
    one that has one is counted by it, as often as it is called. TraceError says what of an op, a
    size or a number of steps that depends on the data, or the layer's code stands in the way.

    >>> import keras
    >>> from tostoolkit.counting.walk import layer_calls
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, activation="tanh")])
    >>> sorted(trace_call(layer_calls(model)[0], lambda layer, kind: None).counts.items())
    [(('float32', 'add'), 4), (('float32', 'mac'), 32), (('float32', 'tanh'), 4)]
    """
    with _by_hand(sublayers(call.layer), by_user) as by_hand:
        graph = traced(call)
    ops = OpCounts(TRACE_COUNTERS, by_hand)
    with says_how_to_count(call.path, call.kind):
        ops.add_graph(graph)
    return CallCount(sum(ops.counts.values(), Counter()), "trace", tuple(ops.notes))


def trace_step(read, step, by_user) -> dict:
    """Return (layer, part) -> CallCount of a training step, from its traced graph.

    It takes what `read_calls` and `compiled` return. `by_user` is as for `trace_call`: a counter
    of the user's gives a layer's forward pass, and the graph its gradient.
    """
    with _by_hand(read.layers, by_user) as by_hand:
        graph, note = _traced_step(read, step)
    ops = OpCounts(TRACE_COUNTERS, by_hand, notes=note)
    with says_how_to_count(read.model.name, type(read.model).__name__):
        ops.add_graph(graph)
    return ops.by_layer(read)


@contextmanager
def says_how_to_count(path, kind):
    """Turn what stands in a graph's way into an error that says what to do about it."""
    try:
        yield
    except TraceError as error:
        raise TraceError(
            f"{path!r} ({kind}) cannot be traced: {error}. Count it by hand: tos.count_ops(model, "
            f"counters=tos.OP_COUNTERS | {{{kind!r}: lambda call: Counter({{(call.dtype, 'add'): "
            "call.outputs[0].size})}), with collections.Counter") from None


def _specs(tensors):
    """Return the TensorFlow specs of tensors or of Keras variables."""
    import keras
    import tensorflow as tf

    return [tf.TensorSpec(tuple(t.shape), keras.backend.standardize_dtype(t.dtype))
            for t in tensors]


def _check_backend():
    import keras

    if keras.backend.backend() != "tensorflow":
        raise TraceError(
            f"tracing needs the TensorFlow backend, and Keras runs on {keras.backend.backend()}; "
            "set KERAS_BACKEND=tensorflow before Keras is imported")


@contextmanager
def _python_errors(path, step=False):
    """Turn what a layer's Python code raises under tracing into a `TraceError`."""
    try:
        yield
    except (TraceError, KeyboardInterrupt):
        raise
    except Exception as error:
        text = str(error).strip().splitlines()
        remedy = ("counters= gives a layer's forward pass alone, so of a training step each layer "
                  "must be traced" if step else
                  "a layer that looks at values, or at anything but tensors, needs a counter of "
                  "its own in counters=tos.OP_COUNTERS | {...}")
        raise TraceError(f"{path!r} cannot be traced: its code raised {type(error).__name__}"
                         f"{': ' + text[0] if text else ''}; {remedy}") from error


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


def traced(call):
    """Return the graph of one call in inference, on shapes alone."""
    import keras
    import tensorflow as tf

    _check_backend()
    layer = call.layer
    if not getattr(layer, "built", True):
        raise TraceError(f"{call.path!r} is not built, so it cannot be traced; call it on its "
                         "inputs, or layer.build(shape), first")
    arguments = {k: v for k, v in call.kwargs.items()
                 if isinstance(v, (bool, int, float, str, type(None)))}
    parameters = signature(layer.call).parameters
    if "training" in parameters:
        arguments["training"] = False
    # an operator takes its tensors one by one, and so does a layer with several tensor arguments
    required = [p for p in parameters.values() if p.default is p.empty
                and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    spread = is_operator(layer) or len(required) > 1

    def run(trainable, fixed, *x):
        if call.bind is None:
            x, named = x if spread else (x[0] if len(x) == 1 else list(x),), arguments
        else:
            x, named = call.bind(x)
            named = named | {k: v for k, v in arguments.items() if k == "training"}
        # not layer.stateless_call, which for a layer alone leaves out the casts of mixed precision
        with keras.StatelessScope(state_mapping=[
                *zip(getattr(layer, "trainable_variables", ()), trainable, strict=True),
                *zip(getattr(layer, "non_trainable_variables", ()), fixed, strict=True)]):
            return layer(*x, **named)

    with _python_errors(call.path), abstract():
        return tf.function(run, autograph=False).get_concrete_function(
            _specs(getattr(layer, "trainable_variables", ())),
            _specs(getattr(layer, "non_trainable_variables", ())),
            *_specs(call.inputs)).graph


def _traced_step(read, step):
    """Return the graph of one training step, and what a reader should know of it."""
    import keras
    import tensorflow as tf

    _check_backend()
    model, optimizer, loss = read.model, step.functional_optimizer(), step.loss
    with abstract():
        optimizer.build(model.trainable_variables)

    mode = {"training": True} if "training" in signature(model.call).parameters else {}

    def run(trainable, fixed, state, x, targets):
        x = x[0] if len(x) == 1 else list(x)
        with tf.GradientTape() as tape:
            tape.watch(trainable)
            outputs, fixed, penalties = model.stateless_call(
                trainable, fixed, x, return_losses=True, **mode)
            with tf.name_scope(LOSS_SCOPE):
                terms = [loss(y, out) for y, out in zip(
                    targets, keras.tree.flatten(outputs), strict=True)]
                value = tf.reduce_mean(terms[0])
                for term in [tf.reduce_mean(t) for t in terms[1:]] + list(penalties):
                    value = value + term
        with tf.name_scope(BACKWARD_SCOPE):
            gradients = tape.gradient(value, trainable)
        with tf.name_scope(UPDATE_SCOPE):
            return value, fixed, optimizer.stateless_apply(state, gradients, trainable)

    def traced_with(targets):
        return tf.function(run, autograph=False).get_concrete_function(
            _specs(model.trainable_variables), _specs(model.non_trainable_variables),
            _specs(optimizer.variables), _specs(read.inputs), targets).graph

    outputs = _specs(read.output_tensors())
    labels = [tf.TensorSpec(t.shape[:-1], "int32") for t in outputs]
    with _python_errors(model.name, step=True), abstract():
        if step.takes_labels:
            return traced_with(labels), []
        try:
            return traced_with(outputs), []
        except Exception as error:
            if step.takes_labels is not None:
                raise
            try:
                graph = traced_with(labels)
            except Exception:
                raise error from None
            return graph, ["loss: its targets were taken to be integer labels"]
