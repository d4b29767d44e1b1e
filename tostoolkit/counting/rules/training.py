"""Layer calls -> op counts of a training step, by rule: the fast way for the common layers.

The rules give what `trace.trace_step` finds in the traced graph of the step, which is the oracle
that they are tested against, by part and op kind. Where anything stands in a model that they do
not cover, all of it is traced. Float32 throughout.

The gradient of each call is that of `gradients`. A tensor that k calls read sums k gradients, and
so do the weights of a layer that is called k times: (k - 1) x size additions.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from math import prod
from types import MappingProxyType
from typing import NamedTuple

from ..calls import BACKWARD, FORWARD, LOSS, UPDATE, CallCount
from . import OP_COUNTERS, rule_of
from .activations import ops, softmax
from .gradients import DTYPE, GRADIENTS
from .layers import NoRule


class Loss(NamedTuple):
    """Ops of a loss and of its gradient, for n outputs in r rows.

    `spared` are those of the softmax that the loss takes over from the last layer; None where it
    takes over none.
    """

    forward: Callable
    backward: Callable
    spared: Callable | None = None


def _means(n, r):
    """Divisions of the mean of each row, and of that over rows; a mean of one value has none."""
    return r * (n > r) + (r > 1)


def _softmax(n, r):
    return softmax(DTYPE, n, n // r)


#: Name of a loss function of ``keras.losses`` -> what is known of it. The gradient of each value is
#: multiplied by that of the means, 1/n or 1/r, which of one value is 1 and nothing.
LOSSES = MappingProxyType({
    "mean_squared_error": Loss(
        lambda n, r: ops(DTYPE, add=2 * n - 1, div=_means(n, r), mul=n),
        lambda n, r: ops(DTYPE, mul=2 * n - (n == 1), neg=n)),
    "mean_absolute_error": Loss(
        lambda n, r: ops(DTYPE, add=2 * n - 1, div=_means(n, r), abs=n),
        lambda n, r: ops(DTYPE, max=n, mul=n * (n > 1), neg=n)),
    # log(sum(exp(x - max x))) - x[y]; the gradient softmax(x) - y is computed on the way; Keras
    # converts the labels to the loss's float32 and back to integers
    "sparse_categorical_crossentropy": Loss(
        lambda n, r: ops(DTYPE, add=2 * n + 2 * r - 1, div=n + (r > 1), exp=n, log=r, max=n - r)
        + ops("int32", convert=r) + ops(DTYPE, convert=r),
        lambda n, r: ops(DTYPE, mul=n * (r > 1)), _softmax),
    "categorical_crossentropy": Loss(
        lambda n, r: ops(DTYPE, add=5 * n - r - 1, div=n + (r > 1), exp=n, log=r, max=n - r, mul=n),
        lambda n, r: ops(DTYPE, mul=n * (r > 1)), _softmax),
})


def _sgd(optimizer, p, v):
    """w - rate g; with momentum m = momentum m - rate g, w + m."""
    if optimizer.nesterov:
        raise NoRule("Nesterov momentum")
    k = 2 if optimizer.momentum else 1
    return ops(DTYPE, add=k * p, mul=k * p) + ops("int64", add=1)


def _adam(optimizer, p, v):
    """Kingma and Ba, "Adam", ICLR 2015, Algorithm 1, in the efficient order of section 2."""
    if optimizer.amsgrad:
        raise NoRule("AMSGrad")
    return ops(DTYPE, add=6 * p + 2 * v, mul=4 * p + v, div=p + v, sqrt=p + v, pow=2 * v) + ops(
        "int64", add=1 + v, convert=v)


#: Optimizer -> function of (optimizer, weights, variables) that counts its update.
OPTIMIZERS = MappingProxyType({"SGD": _sgd, "Adam": _adam})


def count_step(read, step, count_call, by_user) -> dict | None:
    """Return ``(path, part) -> CallCount`` of a training step, None where no rule covers it.

    It takes what `read_calls` and `compiled` return, and `count.count_call`, which counts a call in
    inference. `by_user` gives the counter that the user has for (layer, kind), or None: it gives
    the forward pass.

    >>> import keras
    >>> from tostoolkit.counting.count import count_call
    >>> from tostoolkit.counting.compiled import compiled
    >>> from tostoolkit.counting.introspection import inspect
    >>> from tostoolkit.counting.walk import read_calls
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="out")])
    >>> rows = count_step(read_calls(inspect(model), 2), compiled(inspect(model), "mse", "sgd"),
    ...                   count_call, lambda layer, kind: None)
    >>> rows["out", "backward"].counts
    Counter({('float32', 'mac'): 64, ('float32', 'add'): 4})
    """
    try:
        counts = _count_step(read, step, count_call, by_user)
    except NoRule:
        return None
    return {key: CallCount(ops, "rule") for key, ops in counts.items()}


def _count_step(read, step, count_call, by_user):
    calls, outputs = read.calls, read.outputs
    if len(outputs) != 1 or not step.is_plain:
        raise NoRule("no graph of layers, several outputs, or a step that does more than these")
    _check_plain(read.model, calls, step.optimizer)
    trained, gradients, uses = _reach(calls, outputs)
    loss = _loss(step.loss, calls, outputs[0])
    counts, seen = defaultdict(Counter), Counter()
    for call in calls:
        seen[id(call.layer)] += 1
        record, forward_key = GRADIENTS[call.kind], (call.path, FORWARD)
        counts[forward_key] = Counter()  # before the row of its gradient
        is_logits = loss.spared and call.writes == outputs
        if any(w in trained for w in call.writes):
            wanted = tuple(n in trained for n in call.reads)
            joined = sum((gradients[n] - 1) * t.size
                         for n, t in zip(call.writes, call.outputs, strict=True))
            backward = record.backward(call, wanted, is_logits) + Counter({(DTYPE, "add"): joined})
            repeats = uses[id(call.layer)]
            if repeats > 1 and seen[id(call.layer)] == repeats:  # in a nested model too
                weights = sum(prod(map(int, w.shape)) for w in call.layer.trainable_variables)
                backward[DTYPE, "add"] += weights * (repeats - 1)
            counts[call.path, BACKWARD] += backward
        counter = by_user(call.layer, call.kind)
        forward = (counter or record.forward or count_call)(call)
        if is_logits and not counter:
            n = call.outputs[0].size
            forward = forward - loss.spared(n, n // call.outputs[0].shape[-1])
        counts[forward_key] += forward
    output = next(t for c in calls for n, t in zip(c.writes, c.outputs, strict=True)
                  if n == outputs[0])
    rows = output.size // output.shape[-1]
    counts[LOSS, FORWARD] += loss.forward(output.size, rows)
    counts[LOSS, BACKWARD] += loss.backward(output.size, rows)
    reached = {id(w) for call in calls for w in getattr(call.layer, "trainable_variables", ())}
    sizes = [prod(map(int, w.shape)) for w in read.model.trainable_variables if id(w) in reached]
    counts["optimizer", UPDATE] += OPTIMIZERS[type(step.optimizer).__name__](
        step.optimizer, sum(sizes), len(sizes))
    return counts


def _reach(calls, outputs):
    """Return the tensors that need a gradient, how many gradients each sums, uses of layers."""
    trained, gradients, uses = set(), Counter(outputs), Counter()
    for call in calls:
        if call.kind not in GRADIENTS:
            raise NoRule(f"the kind {call.kind}")
        if getattr(call.layer, "trainable_variables", ()) or any(n in trained for n in call.reads):
            trained.update(call.writes)
    needed = set(outputs)
    for call in reversed(calls):
        if not needed & set(call.writes):
            raise NoRule(f"{call.path!r}, which the loss does not need")
        needed.update(call.reads)
        gradients.update(n for n in call.reads if n in trained)
        uses[id(call.layer)] += 1
    return trained, gradients, uses


def _check_plain(model, calls, optimizer):
    """Raise NoRule at what adds to a step: regularisers, clipping, schedules, frozen weights."""
    import keras

    stateful = ("BatchNormalization", "Dropout")  # moving averages, the state of a generator
    if model.losses or any(not w.trainable for c in calls if c.kind not in stateful
                           for w in getattr(c.layer, "weights", ())):
        raise NoRule("regularisers or frozen weights")
    if not model.trainable_variables:
        raise NoRule("nothing to train, so that nothing is differentiated")
    for call in calls:
        layer = call.layer
        rule_of(OP_COUNTERS.get(call.kind)).check(call)
        if any(call.masks):
            raise NoRule("masks, which the loss looks at too")
        if any(t.dtype != DTYPE for t in (*call.inputs, *call.outputs)) or call.dtype != DTYPE:
            raise NoRule(f"a number format other than {DTYPE}")
        if getattr(layer, "trainable", True) is False:
            raise NoRule("frozen layers")
        if getattr(layer, "activity_regularizer", None) or any(
                w.regularizer or w.constraint for w in getattr(layer, "weights", ())):
            raise NoRule("regularisers or constraints")
    if not any(type(optimizer) is getattr(keras.optimizers, name) for name in OPTIMIZERS):
        raise NoRule("the optimizer")
    extras = ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema",
              "loss_scale_factor", "gradient_accumulation_steps")
    if any(getattr(optimizer, name, None) for name in extras) or not _has_constant_rate(optimizer):
        raise NoRule("clipping, decay, averaging or a schedule")


def _has_constant_rate(optimizer):
    """Whether the learning rate is a number, neither a schedule nor a function."""
    try:
        return isinstance(optimizer.get_config()["learning_rate"], float)
    except Exception:  # of a schedule of the user's, which need not have a configuration
        return False


def _loss(loss, calls, output):
    """Return what is known of a loss that Keras ships: by itself, whatever its name."""
    import keras

    name = next((name for name in LOSSES if loss is getattr(keras.losses, name)), None)
    if name is None:
        raise NoRule(f"the loss {loss!r}")
    last = calls[-1]
    if LOSSES[name].spared and (
            last.writes != (output,) or GRADIENTS[last.kind].activation(last) != "softmax"):
        raise NoRule("cross-entropy of what is not a softmax")
    return LOSSES[name]
