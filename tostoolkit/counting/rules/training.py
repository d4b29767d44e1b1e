"""Layer calls -> op counts of a training step, by rule: the fast way for the common layers.

The rules give what `op_trace` finds in the traced graph of the step, which is the oracle that
they are tested against, by part and op kind. Where anything stands in a model that they do not
cover, `lc.NoRule` sends all of it to the trace. Float32 throughout.

Backward, per call: a gradient for each trainable weight, and one for each input that trained
weights stand before. A tensor that k calls read sums k gradients: (k - 1) x size additions. For a
contraction each of the two gradients takes as many MACs as forward (Goodfellow, Bengio and
Courville, "Deep Learning", 2016, section 6.5.6).
"""

from collections import Counter, defaultdict
from types import MappingProxyType

from . import layers as lc
from .activations import elementwise, ops, softmax

FORWARD, BACKWARD, UPDATE, LOSS = "forward", "backward", "update", "loss"
DTYPE = "float32"

#: Ops per element of the gradient of an activation, as TensorFlow computes it.
ACTIVATION_GRADIENTS = MappingProxyType({
    "linear": {},
    "relu": {"max": 1, "select": 1},
    "relu6": {"max": 2, "logic": 1, "select": 1},
    "leaky_relu": {"max": 1, "mul": 1, "select": 1},
    "elu": {"add": 1, "max": 1, "mul": 1, "select": 1},
    "selu": {"add": 1, "max": 1, "mul": 2, "select": 1},
    "tanh": {"add": 1, "mul": 2},                    # g (1 - y y)
    "sigmoid": {"add": 1, "mul": 2},                 # g y (1 - y)
    "silu": {"sigmoid": 1, "add": 2, "mul": 3},      # g s (1 + x (1 - s)); s is computed anew
    "gelu": {"exp": 1, "neg": 2, "add": 1, "mul": 7},
    "softplus": {"sigmoid": 1, "mul": 1},
    "softsign": {"abs": 1, "add": 1, "div": 1, "mul": 1},
    "exponential": {"mul": 1},
    "mish": {"sigmoid": 1, "add": 2, "mul": 5},
    "hard_sigmoid": {"div": 1, "logic": 1, "max": 2, "select": 1},
})


def _activation_name(call):
    """Return the name of the activation that a layer holds or is; "linear" where it has none."""
    if call.kind == "ReLU":
        layer = call.layer
        plain = not layer.negative_slope and not layer.threshold
        if plain and layer.max_value in (None, 6):
            return "relu" if layer.max_value is None else "relu6"
        raise lc.NoRule("a ReLU with a slope, threshold or other maximum")
    if call.kind == "Softmax":
        if call.layer.axis not in (-1, len(call.outputs[0].shape) - 1) or len(call.inputs) > 1:
            raise lc.NoRule("a softmax over other than the last axis")
        return "softmax"
    function = getattr(call.layer, "activation", None)
    if function is None:
        return "linear"
    module, name = getattr(function, "__module__", ""), getattr(function, "__name__", "")
    if not module.startswith("keras.") or name not in {*ACTIVATION_GRADIENTS, "softmax"}:
        raise lc.NoRule(f"the activation {name!r}")
    return name


def _activation_gradient(call, is_logits):
    """The gradient of a call's activation; none of a softmax that the loss takes over."""
    name, output = _activation_name(call), call.outputs[0]
    if is_logits:
        return Counter()
    if name == "softmax":  # g y - y sum(g y)
        return ops(DTYPE, add=2 * output.size - output.size // output.shape[-1],
                   mul=2 * output.size)
    return elementwise(DTYPE, output.size, ACTIVATION_GRADIENTS[name])


def _activation(call, wanted, is_logits):
    if not wanted[0]:
        raise lc.NoRule("an activation that nothing trained stands before")
    return _activation_gradient(call, is_logits)


def _contraction(call, wanted, is_logits):
    """As many MACs as forward for the kernel's gradient, and again for the input's."""
    if getattr(call.layer, "lora_enabled", False) or len(call.inputs) > 1:
        raise lc.NoRule("low-rank adaptation")
    forward, output = _forward_contraction(call), call.outputs[0]
    bias = output.size - output.shape[-1] if call.layer.use_bias else 0
    return (ops(DTYPE, mac=forward[DTYPE, "mac"] * (1 + wanted[0]), add=bias)
            + _activation_gradient(call, is_logits))


def _forward_contraction(call):
    if getattr(call.layer, "data_format", "channels_last") != "channels_last":
        raise lc.NoRule("channels first")
    return {"Dense": lc.dense, "DepthwiseConv2D": lc.depthwise_conv}.get(
        call.kind, lc.conv)(call)


def _batch_normalization_gradient(call, wanted, is_logits):
    n, channels = call.outputs[0].size, call.outputs[0].shape[-1]
    layer, last = call.layer, len(call.outputs[0].shape) - 1
    if not (n > channels and wanted[0] and layer.scale and layer.center and len(call.inputs) == 1
            and layer.axis in (-1, last) and not layer.renorm):
        raise lc.NoRule("batch normalisation without scale or centre, of an input, or of one value")
    return ops(DTYPE, add=5 * n - channels, mul=4 * n + 8 * channels, div=2 * n, neg=channels)


def _batch_normalization_forward(call):
    """Moments of the batch, normalisation, and the moving averages."""
    n, channels = call.outputs[0].size, call.outputs[0].shape[-1]
    return ops(DTYPE, add=4 * n + 2 * channels, mul=2 * n + 6 * channels, div=2 * channels,
               rsqrt=channels)


def _dropout_forward(call):
    n = call.outputs[0].size
    if call.layer.rate == 0 or call.layer.noise_shape is not None:
        raise lc.NoRule("dropout of nothing, or of a shape of its own")
    return ops(DTYPE, max=n, mul=2 * n, random=n, select=n) + ops("int64", add=2, convert=2, rem=2)


def _dropout_gradient(call, wanted, is_logits):
    return ops(DTYPE, mul=call.outputs[0].size, select=call.outputs[0].size)


def _zero(call, wanted, is_logits):
    return Counter()


def _max_pool_gradient(call, wanted, is_logits):
    """The place of each maximum is found again; the gradient is added there."""
    _check_pool(call)
    return lc.max_pool(call) + ops(DTYPE, add=call.outputs[0].size)


def _average_pool_gradient(call, wanted, is_logits):
    """A window's share is added to each of its inputs."""
    _check_pool(call)
    forward, n = lc.average_pool(call), call.outputs[0].size
    return ops(DTYPE, div=n, add=forward[DTYPE, "add"] + n)


def _global_average_gradient(call, wanted, is_logits):
    if call.layer.data_format != "channels_last" or len(call.inputs) > 1:
        raise lc.NoRule("channels first, or a mask")
    n = call.inputs[0].size
    return ops(DTYPE, div=n if n > call.outputs[0].size else 0)


def _check_pool(call):
    if call.layer.data_format != "channels_last":
        raise lc.NoRule("channels first")


#: Kind of layer -> function of (call, wanted, is_logits) that counts its backward pass: `wanted`
#: says for each input whether its gradient is, `is_logits` whether the loss takes over the softmax.
BACKWARD_COUNTERS = MappingProxyType({
    "Dense": _contraction,
    "Conv1D": _contraction, "Conv2D": _contraction, "Conv3D": _contraction,
    "DepthwiseConv2D": _contraction,
    "BatchNormalization": _batch_normalization_gradient,
    "Activation": _activation, "ReLU": _activation, "Softmax": _activation,
    "MaxPooling1D": _max_pool_gradient, "MaxPooling2D": _max_pool_gradient,
    "AveragePooling1D": _average_pool_gradient, "AveragePooling2D": _average_pool_gradient,
    "GlobalAveragePooling1D": _global_average_gradient,
    "GlobalAveragePooling2D": _global_average_gradient,
    "Dropout": _dropout_gradient,
    **dict.fromkeys(("Add", "Flatten", "Reshape", "Identity", "ZeroPadding1D", "ZeroPadding2D",
                     "Cropping2D"), _zero),
})

#: Kinds whose forward pass in training mode is not that of inference.
FORWARD_COUNTERS = MappingProxyType({
    "BatchNormalization": _batch_normalization_forward, "Dropout": _dropout_forward,
})

#: Loss -> (forward, backward) ops of n outputs in r rows.
LOSSES = MappingProxyType({
    "mean_squared_error": (
        lambda n, r: ops(DTYPE, add=2 * n - 1, div=r + 1, mul=n),
        lambda n, r: ops(DTYPE, mul=2 * n, neg=n)),
    "mean_absolute_error": (
        lambda n, r: ops(DTYPE, add=2 * n - 1, div=r + 1, abs=n),
        lambda n, r: ops(DTYPE, max=n, mul=n, neg=n)),
    # log(sum(exp(x - max x))) - x[y]; the gradient softmax(x) - y is computed on the way
    "sparse_categorical_crossentropy": (
        lambda n, r: ops(DTYPE, add=2 * n + 2 * r - 1, div=n + 1, exp=n, log=r, max=n - r)
        + ops("int32", convert=r),
        lambda n, r: ops(DTYPE, mul=n)),
    "categorical_crossentropy": (
        lambda n, r: ops(DTYPE, add=5 * n - r - 1, div=n + 1, exp=n, log=r, max=n - r, mul=n),
        lambda n, r: ops(DTYPE, mul=n)),
})
_CROSS_ENTROPIES = ("sparse_categorical_crossentropy", "categorical_crossentropy")


def _sgd(optimizer, p, v):
    """w - rate g; with momentum m = momentum m - rate g, w + m."""
    if optimizer.nesterov:
        raise lc.NoRule("Nesterov momentum")
    k = 2 if optimizer.momentum else 1
    return ops(DTYPE, add=k * p, mul=k * p) + ops("int64", add=1)


def _adam(optimizer, p, v):
    """Kingma and Ba, "Adam", ICLR 2015, Algorithm 1, in the efficient order of section 2."""
    if optimizer.amsgrad:
        raise lc.NoRule("AMSGrad")
    return ops(DTYPE, add=6 * p + 2 * v, mul=4 * p + v, div=p + v, sqrt=p + v, pow=2 * v) + ops(
        "int64", add=1 + v, convert=v)


#: Optimizer -> function of (optimizer, weights, variables) that counts its update.
OPTIMIZERS = MappingProxyType({"SGD": _sgd, "Adam": _adam})


def count_step(model, calls, outputs, loss, optimizer, count_call) -> dict:
    """Return ``(path, part) -> Counter`` of a training step, by rule.

    Parameters
    ----------
    model : keras.Model
    calls, outputs
        Its `introspection.call_graph`.
    loss : callable
        A Keras loss.
    optimizer : keras.Optimizer
    count_call : function
        Counts a call in inference: `op_count.count_call`.

    Raises
    ------
    NoRule
        Something in the model, loss or optimizer is not covered; count it by trace.

    Examples
    --------
    >>> import keras
    >>> from tostoolkit.counting.introspection import call_graph
    >>> from tostoolkit.counting.count import count_call
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="out")])
    >>> step = count_step(model, *call_graph(model, 2), keras.losses.get("mse"),
    ...                   keras.optimizers.get("sgd"), count_call)
    >>> step["out", "backward"]
    Counter({('float32', 'mac'): 64, ('float32', 'add'): 4})
    """
    if calls is None or len(outputs) != 1:
        raise lc.NoRule("no graph of layers, or several outputs")
    _check_plain(model, calls, optimizer)
    loss_forward, loss_backward, from_softmax = _loss(loss, calls, outputs[0])
    trained, gradients, uses = _reach(calls, outputs)
    counts = defaultdict(Counter)
    for call in calls:
        is_logits = from_softmax and call.writes == outputs
        forward = FORWARD_COUNTERS.get(call.kind, count_call)(call)
        if is_logits:
            output = call.outputs[0]
            forward = forward - softmax(DTYPE, output.size, output.shape[-1])
        counts[call.path, FORWARD] += forward
        if not any(w in trained for w in call.writes):
            continue
        wanted = tuple(n in trained for n in call.reads)
        counts[call.path, BACKWARD] += BACKWARD_COUNTERS[call.kind](call, wanted, is_logits)
        counts[call.path, BACKWARD] += ops(
            DTYPE, add=sum((gradients[n] - 1) * t.size
                           for n, t in zip(call.writes, call.outputs, strict=True)))
        if uses[id(call.layer)] > 1 and call.path.endswith(f"#{uses[id(call.layer)]}"):
            size = sum(_size(w) for w in call.layer.trainable_variables)
            counts[call.path, BACKWARD] += ops(DTYPE, add=size * (uses[id(call.layer)] - 1))
    output = next(t for c in calls for n, t in zip(c.writes, c.outputs, strict=True)
                  if n == outputs[0])
    rows = output.size // output.shape[-1]
    counts[LOSS, FORWARD] = loss_forward(output.size, rows)
    counts[LOSS, BACKWARD] = loss_backward(output.size, rows)
    sizes = [_size(w) for w in model.trainable_variables]
    counts["optimizer", UPDATE] = OPTIMIZERS[type(optimizer).__name__](
        optimizer, sum(sizes), len(sizes))
    return dict(counts)


def _size(variable):
    size = 1
    for d in variable.shape:
        size *= d
    return size


def _reach(calls, outputs):
    """Return the tensors that need a gradient, how many gradients each sums, uses of layers."""
    trained, gradients, uses = set(), Counter(outputs), Counter()
    for call in calls:
        if call.kind not in BACKWARD_COUNTERS:
            raise lc.NoRule(f"the kind {call.kind}")
        own = bool(getattr(call.layer, "trainable_variables", ()))
        if own or any(n in trained for n in call.reads):
            trained.update(call.writes)
    needed = set(outputs)
    for call in reversed(calls):
        if not needed & set(call.writes):
            raise lc.NoRule(f"{call.path!r}, which the loss does not need")
        needed.update(call.reads)
        gradients.update(n for n in call.reads if n in trained)
        uses[id(call.layer)] += 1
    return trained, gradients, uses


def _check_plain(model, calls, optimizer):
    """Raise NoRule at what adds to a step: regularisers, clipping, schedules, frozen weights."""
    import keras

    if model.losses or any(not w.trainable for c in calls for w in getattr(c.layer, "weights", ())
                           if c.kind != "BatchNormalization" and "seed" not in w.name):
        raise lc.NoRule("regularisers or frozen weights")
    for call in calls:
        layer = call.layer
        if any(t.dtype != DTYPE for t in (*call.inputs, *call.outputs)) or call.dtype != DTYPE:
            raise lc.NoRule(f"a number format other than {DTYPE}")
        if getattr(layer, "quantization_mode", None) or getattr(layer, "trainable", True) is False:
            raise lc.NoRule("quantised or frozen layers")
        for name in ("kernel", "bias", "beta", "gamma", "activity"):
            if getattr(layer, f"{name}_regularizer", None) or getattr(
                    layer, f"{name}_constraint", None):
                raise lc.NoRule("regularisers or constraints")
    if type(optimizer).__name__ not in OPTIMIZERS or type(optimizer) is not getattr(
            keras.optimizers, type(optimizer).__name__):
        raise lc.NoRule("the optimizer")
    extras = ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema",
              "loss_scale_factor", "gradient_accumulation_steps")
    if any(getattr(optimizer, name, None) for name in extras) or not isinstance(
            optimizer.get_config()["learning_rate"], float):
        raise lc.NoRule("clipping, decay, averaging or a schedule")


def _loss(loss, calls, output):
    """Return (forward, backward, whether the loss takes over the last call's softmax)."""
    name = getattr(loss, "name", None) or getattr(loss, "__name__", "")
    import keras

    plain = {f: getattr(keras.losses, f) for f in LOSSES}
    if loss is not plain.get(name):
        raise lc.NoRule(f"the loss {name!r}")
    if name not in _CROSS_ENTROPIES:
        return *LOSSES[name], False
    last = calls[-1]
    if last.writes != (output,) or _activation_name(last) != "softmax":
        raise lc.NoRule("cross-entropy of what is no softmax")
    return *LOSSES[name], True
