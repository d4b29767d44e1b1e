"""Any layer or model -> op counts from its traced TensorFlow graph, forward and backward.

The graph is traced on shapes alone: no weight is allocated and nothing runs. What the outputs do
not need is not counted, and neither is what no input reaches: constants and the arithmetic of
shapes and loop counters. A loop counts as often as it runs, where that is known when it is traced;
of a conditional's branches the dearer one counts, and `trace_ops` says so. Only this module needs
the TensorFlow backend.
"""

import re
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import signature

import pandas as pd

from .introspection import abstract, check_batch_size, input_tensors, layer_calls
from .trace_ops import TRACE_COUNTERS

_CALLS = ("PartitionedCall", "StatefulPartitionedCall", "SymbolicGradient")
_LOOPS = ("While", "StatelessWhile")
_BRANCHES = ("If", "StatelessIf", "Case", "StatelessCase")
UPDATE, BACKWARD, LOSS = "update", "backward", "loss"


class TraceError(ValueError):
    """A graph that cannot be counted; the message says which op stands in the way."""


@dataclass
class _Walk:
    """Counts by the name scope of the op, and what a reader should know of them."""

    counters: dict
    counts: dict = field(default_factory=lambda: defaultdict(Counter))
    notes: list = field(default_factory=list)

    def total(self):
        return sum((sum(c.values()) for c in self.counts.values()), 0)

    def add(self, inner, op):
        """Add what a function, loop or branch holds; its ops stand where `op` does."""
        self.notes += inner.notes
        for name, counts in inner.counts.items():
            inside = name.startswith(op.name.split("/")[0])
            self.counts[name if inside else f"{op.name}/{name}"] += counts


def trace_call(call, counters=TRACE_COUNTERS) -> Counter:
    """Return the op counts of one layer call, from its traced graph.

    Parameters
    ----------
    call : LayerCall
        Of a Keras layer or operator.
    counters : mapping
        Type of TensorFlow op -> function of the op.

    Raises
    ------
    TraceError
        An op without a counter, a size or a number of steps that depends on the data, or a layer
        that cannot be traced.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, activation="tanh")])
    >>> sorted(trace_call(layer_calls(model)[0]).items())
    [(('float32', 'add'), 4), (('float32', 'mac'), 32), (('float32', 'tanh'), 4)]
    """
    graph = _traced(call.layer, call.inputs, call.path, call.kwargs)
    walk = _Walk(counters)
    try:
        _count_graph(graph, [True] * len(graph.inputs), walk, 1)
    except TraceError as error:
        raise TraceError(_how_to_count(call.path, call.kind, error)) from None
    return sum(walk.counts.values(), Counter())


def trace_ops(model, batch_size=1, phase="inference", *, input_shape=None, loss=None,
              optimizer=None, counters=TRACE_COUNTERS) -> pd.DataFrame:
    """Return the op counts of a model from its traced graph, by layer.

    Parameters
    ----------
    model : keras.Model or keras.Layer
        Built; its weights need not be allocated.
    batch_size : int
    phase : {"inference", "training"}
        A training step is the forward pass in training mode and the loss, the backward pass, and
        the optimizer's update.
    input_shape : tuple of int, optional
        As for `layer_calls`.
    loss, optimizer : str or Keras object, optional
        Those of the compiled model, when left out.
    counters : mapping
        As for `trace_call`.

    Returns
    -------
    pandas.DataFrame
        Integers; columns ``(dtype, op)``; index ``layer``, or ``(part, layer)`` for training, where
        part is ``forward``, ``backward`` or ``update``. ``attrs["notes"]`` lists the conditionals
        whose dearer branch was counted.

    Raises
    ------
    TraceError
        As `trace_call`.
    ValueError
        As `layer_calls`; an unknown phase; training without a loss or an optimizer.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="out")])
    >>> int(trace_ops(model, batch_size=2)["float32", "mac"].sum())
    64
    >>> step = trace_ops(model, phase="training", loss="mse", optimizer="sgd")
    >>> step["float32", "mac"].groupby("part").sum().to_dict()
    {'backward': 32, 'forward': 32, 'update': 0}
    """
    if phase not in ("inference", "training"):
        raise ValueError(f"phase: {phase!r} is unknown; use 'inference' or 'training'")
    check_batch_size(batch_size)
    inputs = input_tensors(model, batch_size, input_shape)
    walk = _Walk(counters)
    if phase == "inference":
        graph = _traced(model, inputs, model.name)
    else:
        graph = _traced_step(model, inputs, *loss_and_optimizer(model, loss, optimizer))
    try:
        _count_graph(graph, [True] * len(graph.inputs), walk, 1)
    except TraceError as error:
        raise TraceError(_how_to_count(model.name, type(model).__name__, error)) from None
    return _table(walk, model, phase)


def _how_to_count(path, kind, error):
    return (f"{path!r} ({kind}) cannot be traced: {error}. Count it by hand: tos.count_ops(model, "
            f"counters=tos.OP_COUNTERS | {{{kind!r}: lambda call: Counter({{(call.dtype, 'add'): "
            "call.outputs[0].size})}), with collections.Counter")


# Tracing ------------------------------------------------------------------------------------

def _specs(tensors):
    import tensorflow as tf

    return [tf.TensorSpec(t.shape, t.dtype) for t in tensors]


def _variable_specs(variables):
    import keras
    import tensorflow as tf

    return [tf.TensorSpec(tuple(v.shape), keras.backend.standardize_dtype(v.dtype))
            for v in variables]


def _check_backend():
    import keras

    if keras.backend.backend() != "tensorflow":
        raise TraceError(
            f"tracing needs the TensorFlow backend, and Keras runs on {keras.backend.backend()}; "
            "set KERAS_BACKEND=tensorflow before Keras is imported")


@contextmanager
def _python_errors(path):
    """Turn what a layer's Python code raises under tracing into a `TraceError`."""
    try:
        yield
    except (TraceError, KeyboardInterrupt):
        raise
    except Exception as error:
        text = str(error).strip().splitlines()
        raise TraceError(
            f"{path!r} cannot be traced: its code raised {type(error).__name__}"
            f"{': ' + text[0] if text else ''}; a layer that looks at values, or at anything but "
            "tensors, needs a counter of its own in counters=tos.OP_COUNTERS | {...}") from error


def _traced(layer, inputs, path, kwargs=None):
    """Return the graph of one call in inference, on shapes alone."""
    import keras
    import tensorflow as tf

    _check_backend()
    if not getattr(layer, "built", True):
        raise TraceError(f"{path!r} is not built, so it cannot be traced; call it on its inputs, "
                         "or layer.build(shape), first")
    own = {k: v for k, v in (kwargs or {}).items()
           if isinstance(v, (bool, int, float, str, type(None)))}
    parameters = signature(layer.call).parameters
    if "training" in parameters:
        own["training"] = False
    # an operator takes its tensors one by one, and so does a layer with several tensor arguments
    required = [p for p in parameters.values() if p.default is p.empty
                and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    spread = not hasattr(layer, "weights") or len(required) > 1

    def run(trainable, fixed, *x):
        x = x if spread else (x[0] if len(x) == 1 else list(x),)
        # not layer.stateless_call, which for a layer alone leaves out the casts of mixed precision
        with keras.StatelessScope(state_mapping=[
                *zip(getattr(layer, "trainable_variables", ()), trainable, strict=True),
                *zip(getattr(layer, "non_trainable_variables", ()), fixed, strict=True)]):
            return layer(*x, **own)

    with _python_errors(path), abstract():
        return tf.function(run, autograph=False).get_concrete_function(
            _variable_specs(getattr(layer, "trainable_variables", ())),
            _variable_specs(getattr(layer, "non_trainable_variables", ())),
            *_specs(inputs)).graph


def loss_and_optimizer(model, loss, optimizer):
    """Return the Keras objects given, or those of the compiled model; else raise ValueError."""
    import keras

    loss = loss if loss is not None else getattr(model, "loss", None)
    optimizer = optimizer if optimizer is not None else getattr(model, "optimizer", None)
    for name, value in (("loss", loss), ("optimizer", optimizer)):
        if value is None:
            raise ValueError(f"{name}: {model.name!r} is not compiled, so none is known; pass it, "
                             "for example loss='sparse_categorical_crossentropy', optimizer='adam'")
    if isinstance(loss, (list, tuple, dict)):
        raise ValueError("loss: one for each output is not supported; pass one for all of them")
    if isinstance(optimizer, str):
        optimizer = keras.optimizers.get(optimizer)
    return keras.losses.get(loss), optimizer


def _functional_optimizer(optimizer, variables):
    """Return a copy of an optimizer that returns its updates as values.

    On the TensorFlow backend Keras' optimizers assign to variables, which an abstract model does
    not have; the methods that do so are replaced by those of the backend-free base class.
    """
    lineage = type(optimizer).__mro__
    base = next(c for c in lineage if c.__name__ == "BaseOptimizer")
    backend = next((c for c in lineage if c.__name__ == "TFOptimizer"), base)
    methods = {name: getattr(base, name) for name, own in vars(backend).items()
               if callable(own) and name in vars(base) and name != "__init__"}
    copy = type(optimizer.__class__.__name__, (type(optimizer),), methods).from_config(
        optimizer.get_config())
    with abstract():
        copy.build(variables)
    return copy


def _traced_step(model, inputs, loss, optimizer):
    """Return the graph of one training step."""
    import keras
    import tensorflow as tf

    _check_backend()
    optimizer = _functional_optimizer(optimizer, model.trainable_variables)
    sparse = "sparse" in (getattr(loss, "name", None) or getattr(loss, "__name__", ""))

    def step(trainable, fixed, state, x, targets):
        x = x[0] if len(x) == 1 else list(x)
        with tf.GradientTape() as tape:
            tape.watch(trainable)
            outputs, fixed, penalties = model.stateless_call(
                trainable, fixed, x, training=True, return_losses=True)
            with tf.name_scope(LOSS):
                terms = [loss(y, out) for y, out in zip(
                    targets, keras.tree.flatten(outputs), strict=True)]
                value = tf.reduce_mean(terms[0])
                for term in [tf.reduce_mean(t) for t in terms[1:]] + list(penalties):
                    value = value + term
        with tf.name_scope(BACKWARD):
            gradients = tape.gradient(value, trainable)
        with tf.name_scope(UPDATE):
            return value, fixed, optimizer.stateless_apply(state, gradients, trainable)

    outputs = _output_specs(model, inputs)
    targets = [tf.TensorSpec(s.shape[:-1], "int32") if sparse else s for s in outputs]
    with _python_errors(model.name), abstract():
        return tf.function(step, autograph=False).get_concrete_function(
            _variable_specs(model.trainable_variables),
            _variable_specs(model.non_trainable_variables),
            _variable_specs(optimizer.variables), _specs(inputs), targets).graph


def _output_specs(model, inputs):
    import keras
    import tensorflow as tf

    specs = [keras.KerasTensor(t.shape, t.dtype) for t in inputs]
    outputs = model.compute_output_spec(specs[0] if len(specs) == 1 else specs)
    return [tf.TensorSpec(t.shape, t.dtype) for t in keras.tree.flatten(outputs)]


# Counting -----------------------------------------------------------------------------------

def _count_graph(graph, reached, walk, times):
    """Add the counts of a graph to `walk`; return which of its outputs data reaches.

    `reached` says which of its inputs carry data, rather than constants.
    """
    tainted = {t.ref() for t, r in zip(graph.inputs, reached, strict=False) if r}
    needed = _needed(graph)
    for op in graph.get_operations():
        if op not in needed or not any(t.ref() in tainted for t in op.inputs):
            continue
        if op.type in ("Shape", "ShapeN", "Size", "Rank", "TensorListLength"):
            continue  # known when traced: what follows is arithmetic of shapes
        flow = [t.ref() in tainted for t in op.inputs]
        outputs = [True] * len(op.outputs)
        if op.type in _CALLS:
            body = _Walk(walk.counters)
            outputs = _count_graph(_body(op, "f"), flow, body, times)
            walk.add(body, op)
        elif op.type in _LOOPS:
            outputs = _count_loop(op, flow, walk, times)
        elif op.type in _BRANCHES:
            _count_branches(op, flow, walk, times)
        elif op.type not in walk.counters:
            raise TraceError(f"the op {op.type} at {op.name!r} has no counter; add one to "
                             "counters=TRACE_COUNTERS | {...} of tostoolkit.counting.trace_ops")
        else:
            try:
                found = walk.counters[op.type](op)
            except ValueError as error:
                raise TraceError(f"the op {op.type} at {op.name!r}: {error}") from None
            for key, n in found.items():
                walk.counts[op.name][key] += n * times
        tainted.update(t.ref() for t, r in zip(op.outputs, outputs, strict=False) if r)
    return [t.ref() in tainted for t in graph.outputs]


def _needed(graph):
    """Return the ops that the graph's outputs depend on."""
    needed, stack = set(), [t.op for t in graph.outputs]
    while stack:
        op = stack.pop()
        if op not in needed:
            needed.add(op)
            stack.extend(t.op for t in op.inputs)
            stack.extend(op.control_inputs)
    return needed


def _body(op, attribute):
    return op.graph._get_function(op.get_attr(attribute).name).graph


def _count_loop(op, flow, walk, times):
    steps = _steps(op)
    if steps is None:
        raise TraceError(f"the loop at {op.name!r} runs until the data end it, so its work is "
                         "unknown")
    body = _body(op, "body")
    while True:  # until no further loop variable is found to carry data
        trial = _Walk(walk.counters)
        out = _count_graph(body, flow, trial, times * steps)
        merged = [a or b for a, b in zip(flow, out, strict=True)]
        if merged == flow:
            break
        flow = merged
    walk.add(trial, op)
    return flow


def _count_branches(op, flow, walk, times):
    names = ("then_branch", "else_branch") if "If" in op.type else None
    bodies = ([_body(op, n) for n in names] if names else
              [op.graph._get_function(f.name).graph for f in op.get_attr("branches")])
    trials = []
    for body in bodies:
        trial = _Walk(walk.counters)
        _count_graph(body, flow[1:], trial, times)
        trials.append(trial)
    dearest = max(trials, key=_Walk.total)
    if len({t.total() for t in trials}) > 1:
        walk.notes.append(f"{op.name}: the dearer branch of a conditional is counted")
    walk.add(dearest, op)


def _steps(op):
    """Return how often a loop runs, or None where that is not known when it is traced.

    Its condition is a conjunction of ``counter < bound``, the body adds a constant to the counter.
    """
    condition, body = _body(op, "cond"), _body(op, "body")
    bounds = []
    stack = [condition.outputs[0].op]
    while stack:
        test = stack.pop()
        if test.type in ("LogicalAnd", "Identity"):
            stack.extend(t.op for t in test.inputs)
        elif test.type in ("Less", "LessEqual", "Greater", "GreaterEqual"):
            low, high = test.inputs if test.type.startswith("Less") else test.inputs[::-1]
            steps = _counted(op, condition, body, low, high, test.type.endswith("Equal"))
            if steps is not None:
                bounds.append(steps)
    return min(bounds) if bounds else None


def _counted(op, condition, body, low, high, inclusive):
    place = _argument(condition, low)
    limit = _value(high, {t.ref(): x for t, x in zip(condition.inputs, op.inputs, strict=False)})
    if place is None or limit is None:
        return None
    start = _value(op.inputs[place], {})
    stride = _stride(body, place)
    if start is None or not stride or stride < 0:
        return None
    return max(0, -(-(limit + inclusive - start) // stride))


def _argument(graph, tensor):
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    for i, t in enumerate(graph.inputs):
        if t is tensor:
            return i
    return None


def _stride(body, place):
    """Return the constant that the body adds to a loop variable, or None."""
    out = body.outputs[place]
    while out.op.type == "Identity":
        out = out.op.inputs[0]
    if out.op.type not in ("AddV2", "Add"):
        return None
    a, b = out.op.inputs
    if _argument(body, b) == place:
        a, b = b, a
    return _value(b, {}) if _argument(body, a) == place else None


def _value(tensor, arguments):
    """Return a scalar integer that is known when the graph is traced, or None."""
    import tensorflow as tf

    op = tensor.op
    if tensor.ref() in arguments:
        return _value(arguments[tensor.ref()], {})
    if op.type == "Identity" or (
            op.type in ("Max", "Min", "Squeeze", "Reshape") and op.inputs[0].shape.rank == 0):
        return _value(op.inputs[0], arguments)
    if op.type in ("Minimum", "Maximum", "AddV2", "Sub", "Mul"):
        values = [_value(t, arguments) for t in op.inputs]
        if None in values:
            return None
        a, b = values
        return {"Minimum": min(values), "Maximum": max(values), "AddV2": a + b, "Sub": a - b,
                "Mul": a * b}[op.type]
    if op.type in _LOOPS:  # the final value of a loop's counter, which bounds the gradient's loop
        index = op.outputs.index(tensor) if tensor in list(op.outputs) else next(
            i for i, t in enumerate(op.outputs) if t is tensor)
        steps, stride = _steps(op), _stride(_body(op, "body"), index)
        start = _value(op.inputs[index], {})
        return None if None in (steps, stride, start) else start + steps * stride
    found = tf.get_static_value(tensor)
    return int(found) if found is not None and found.ndim == 0 else None


# Attribution --------------------------------------------------------------------------------

def _table(walk, model, phase):
    """Return the counts by part and layer, as read from the ops' name scopes."""
    names = _layer_names(model)
    rows = defaultdict(Counter)
    for name, counts in walk.counts.items():
        part, layer = _place(name, names, model.name)
        rows[(part, layer) if phase == "training" else layer] += counts
    columns = sorted({key for counts in rows.values() for key in counts})
    index = list(rows)
    table = pd.DataFrame(
        [[rows[key].get(c, 0) for c in columns] for key in index],
        columns=pd.MultiIndex.from_tuples(columns, names=["dtype", "op"]), dtype="int64",
        index=pd.MultiIndex.from_tuples(index, names=["part", "layer"]) if phase == "training"
        else pd.Index(index, name="layer"))
    table.attrs["notes"] = tuple(dict.fromkeys(walk.notes))
    return table


def _layer_names(model):
    flatten = getattr(model, "_flatten_layers", None)
    return {layer.name for layer in flatten(include_self=False)} if flatten else set()


def _place(name, names, model):
    """Return (part, layer) of an op's name; the layer is its path through nested models."""
    scopes = name.split("/")
    part = "forward"
    if scopes[0] in (BACKWARD, UPDATE):
        part = scopes.pop(0)
    if scopes and scopes[0] == "gradient_tape":
        part = BACKWARD
        scopes.pop(0)
    if part == UPDATE:
        return part, "optimizer"
    path = []
    if scopes and re.sub(r"_\d+$", "", scopes[0]) in (model, re.sub(r"_\d+$", "", model)):
        scopes.pop(0)  # the model's own
    for scope in scopes[:-1]:
        bare = re.sub(r"_\d+$", "", scope)  # TensorFlow numbers a scope that is opened again
        layer = bare if bare in names and bare != scope else scope if scope in names else None
        if layer is None:
            if scope == LOSS and not path:
                path.append(LOSS)
            break
        if not path or path[-1] != layer:
            path.append(layer)
    return part, "/".join(path) or "(operators)"


__all__ = ["TraceError", "layer_calls", "trace_call", "trace_ops"]
