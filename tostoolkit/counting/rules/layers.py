"""Op counts of Keras layers: one formula a layer, on shapes and public attributes only.

Each function takes a `LayerCall` and returns a Counter of ``(dtype, op)``. The conventions stand
at the top of `count`.
"""

from collections import Counter

import numpy as np

from ..calls import product
from ..introspection import kind_of
from ..layer_state import weight_shape
from .activations import ACTIVATIONS, elementwise, elu, name_of, ops, relu, softmax
from .rule import NoRule


def no_rule(call):
    """No rule: the call is counted from its traced graph."""
    raise NoRule(f"{call.path!r} ({call.kind})")


def zero(call):
    """No arithmetic: the layer moves, reshapes, or passes on."""
    return Counter()


def _channels(call):
    """Return the channels of an image-like input, in the layer's data format."""
    first = getattr(call.layer, "data_format", None) == "channels_first"
    return call.inputs[0].shape[1 if first else -1]


def _contraction(call, macs):
    """MACs, one addition per output where there is a bias, then the activation argument."""
    out = call.outputs[0]
    return (ops(call.dtype, mac=macs, add=out.size if call.layer.use_bias else 0)
            + fused_activation(call, call.layer.activation, out.shape))


def fused_activation(call, function, shape):
    """Return the counts of an activation argument, a function or a layer."""
    name = name_of(function)
    if name == "glu":
        raise NoRule(f"{call.path!r} ({call.kind}): an activation that halves what it is given")
    if name is not None:
        return ACTIVATIONS[name].count(call.dtype, product(shape), shape[-1])
    kind = kind_of(function)
    if kind not in ACTIVATION_LAYERS:
        raise NoRule(f"{call.path!r} ({call.kind}): an activation that Keras does not ship")
    return ACTIVATION_LAYERS[kind](function, call.dtype, shape)


def _softmax_layer(layer, dtype, shape):
    axes = _axes(layer)
    if None in axes:
        raise NoRule(f"{layer.name!r}: a softmax over no axis")
    length, n = product(shape[a] for a in axes), product(shape)
    if len(axes) == 1:
        return softmax(dtype, n, length)
    rows = n // length  # exp(x - logsumexp(x)), with its test for an infinite maximum
    return softmax(dtype, n, length) - ops(dtype, div=n) + ops(
        dtype, exp=n, log=rows, add=n + rows, max=rows, select=rows)


#: Activation layers by class name -> f(layer, dtype, shape); also usable as activation=layer.
ACTIVATION_LAYERS = {
    "ReLU": lambda layer, dtype, shape: relu(
        dtype, product(shape), float(layer.negative_slope),
        None if layer.max_value is None else float(layer.max_value), float(layer.threshold)),
    "LeakyReLU": lambda layer, dtype, shape: elementwise(
        dtype, product(shape), ACTIVATIONS["leaky_relu"].forward),
    "ELU": lambda layer, dtype, shape: elu(dtype, product(shape), layer.alpha),
    # relu(x) - alpha relu(-x)
    "PReLU": lambda layer, dtype, shape: ops(
        dtype, max=2 * product(shape), neg=product(shape) + product(layer.alpha.shape),
        mul=product(shape), add=product(shape)),
    "Softmax": _softmax_layer,
}


def activation_layer(call):
    """Return the counts of a layer that is an activation."""
    return ACTIVATION_LAYERS[call.kind](call.layer, call.dtype, call.outputs[0].shape)


def activation_by_name(call):
    """Activation("tanh"): the function it holds."""
    return fused_activation(call, call.layer.activation, call.outputs[0].shape)


# Whether weights have the shapes that the settings say, see `Rule`.

def _is(layer, shape, *names):
    """Whether the first of these weights that a layer holds has this shape, or there is none."""
    found = weight_shape(layer, *names)
    return found is None or found == shape


def conv_fits(call):
    """Taps, channels of a group and filters are those of the kernel."""
    layer = call.layer
    return _is(layer, (*layer.kernel_size, _channels(call) // layer.groups, layer.filters),
               "kernel")


def conv_transpose_fits(call):
    """Taps, filters and channels are those of the kernel."""
    layer = call.layer
    return _is(layer, (*layer.kernel_size, layer.filters, _channels(call)), "kernel")


def depthwise_conv_fits(call):
    """Taps, channels and filters a channel are those of the kernel."""
    layer = call.layer
    return _is(layer, (*layer.kernel_size, _channels(call), layer.depth_multiplier), "kernel",
               "depthwise_kernel")


def separable_conv_fits(call):
    """And the filters those of the second kernel."""
    layer = call.layer
    middle = _channels(call) * layer.depth_multiplier
    return depthwise_conv_fits(call) and _is(
        layer, (*(1 for _ in layer.kernel_size), middle, layer.filters), "pointwise_kernel")


def norm_fits(call):
    """The axes are distinct, and what was learnt stands along them."""
    shape, axes = call.inputs[0].shape, _axes(call.layer)
    distinct = len(axes) == 1 or len({axis % len(shape) for axis in axes}) == len(axes)
    return distinct and _is(
        call.layer, tuple([shape[axis] for axis in axes]), "gamma", "beta", "moving_mean")


def rms_norm_fits(call):
    """The axes are the last, in order, along which gamma is multiplied."""
    shape, axes = call.inputs[0].shape, _axes(call.layer)
    last = list(range(len(shape) - len(axes), len(shape)))
    return [axis % len(shape) for axis in axes] == last and _is(
        call.layer, tuple(shape[axis] for axis in axes), "scale")


def normalization_fits(call):
    """There are as many means as features."""
    found, features = weight_shape(call.layer, "mean"), call.inputs[0].size // _rows(call)
    return found is None or product(found) == features


def conv_transpose(call):
    """inputs x taps x filters MACs: each input is spread over the taps; cropped taps count."""
    macs = call.inputs[0].size * product((*call.layer.kernel_size, call.layer.filters))
    return _contraction(call, macs)


def masking(call):
    """A test per element, an any() over the features, a choice per element."""
    n, rows = call.inputs[0].size, call.inputs[0].size // call.inputs[0].shape[-1]
    return ops(call.dtype, max=n, select=n) + ops("bool", logic=n - rows)


def dense(call):
    """outputs x inputs MACs, a bias addition per output, the activation."""
    return _contraction(call, call.outputs[0].size * call.inputs[0].shape[-1])


def conv(call):
    """outputs x taps x (input channels / groups) MACs; padded taps count."""
    taps = product(call.layer.kernel_size) * (_channels(call) // int(call.layer.groups))
    return _contraction(call, call.outputs[0].size * taps)


def depthwise_conv(call):
    """outputs x taps MACs: every output channel sees one input channel."""
    return _contraction(call, call.outputs[0].size * product(call.layer.kernel_size))


def separable_conv(call):
    """A depthwise convolution, then a 1x1 convolution across its channels."""
    layer, filters = call.layer, int(call.layer.filters)
    pixels = call.outputs[0].size // filters
    middle = _channels(call) * int(layer.depth_multiplier)
    return _contraction(call, pixels * middle * (product(layer.kernel_size) + filters))


def max_pool(call):
    """window - 1 comparisons per output; padded taps count."""
    return ops(call.dtype, max=call.outputs[0].size * (product(call.layer.pool_size) - 1))


def average_pool(call):
    """window - 1 additions and a division per output; padded taps count."""
    return _fold(call, "add", call.outputs[0].size * (product(call.layer.pool_size) - 1), "div")


def reduction(op, final=None):
    """Return the counter of n - 1 `op` per output for n inputs each, then `final` once."""
    def counter(call):
        return _fold(call, op, call.inputs[0].size - call.outputs[0].size, final)
    return counter


def merge(op, final=None):
    """Return the counter of k - 1 `op` per output for k inputs to a layer, then `final` once."""
    def counter(call):
        if len({t.shape for t in call.inputs}) > 1:
            raise NoRule(f"{call.path!r} ({call.kind}): inputs of several shapes")
        return _fold(call, op, (len(call.inputs) - 1) * call.outputs[0].size, final)
    return counter


def _fold(call, op, times, final):
    """Return the counts of what joins values, and of what follows: nothing where it joins none."""
    ends = {final: call.outputs[0].size} if final and times else {}
    return ops(call.dtype, **{op: times}, **ends)


def rescaling(call):
    """x scale + offset; a scale of 1 or an offset of 0 is nothing."""
    n, layer = call.outputs[0].size, call.layer
    return ops(call.dtype, mul=0 if np.all(np.equal(layer.scale, 1)) else n,
               add=0 if np.all(np.equal(layer.offset, 0)) else n)


def dot(call):
    """outputs x contracted length MACs; with ``normalize`` both sides are scaled to unit length."""
    axes = call.layer.axes
    axis = axes[0] if isinstance(axes, (list, tuple)) else axes
    x, y = call.inputs
    length = x.shape[axis]
    counts = ops(call.dtype, mac=call.outputs[0].size * length)
    if call.layer.normalize:  # x rsqrt(max(sum(x x), epsilon))
        for t in (x, y):
            rows = t.size // length
            counts += ops(call.dtype, mul=2 * t.size, add=t.size - rows, max=rows, rsqrt=rows)
    return counts


# Normalisation: all but RMS and unit normalisation end in ``tf.nn.batch_normalization``,
# x s + (beta - mean s) with s = gamma / sqrt(variance + epsilon).

def _axes(layer):
    """Return the axis or axes of a layer as a list."""
    return list(layer.axis) if isinstance(layer.axis, (tuple, list)) else [layer.axis]


def _rows(call):
    """Return how many groups of values an input has along the axes of the layer."""
    x = call.inputs[0]
    return x.size // product(x.shape[axis] for axis in _axes(call.layer))


def _need_several(call, rows):
    """Raise NoRule of moments of one value, which no division follows."""
    if call.inputs[0].size == rows:
        raise NoRule(f"{call.path!r} ({call.kind}): moments of one value")


def batch_normalization(call):
    """Inference: s and beta - mean s once per channel, then x s + (...) per element."""
    layer, n = call.layer, call.outputs[0].size
    channels = call.inputs[0].shape[layer.axis]
    return ops(
        call.dtype, rsqrt=channels,
        mul=n + channels * (2 if layer.scale else 1),
        add=n + channels * (2 if layer.center else 1),
        neg=0 if layer.center else channels)


def _standardize(call, rows, size):
    """Moments, then x s + (beta - mean s).

    mean(x) and mean((x - mean)^2) of `rows` groups; the two products with s run at the size of s,
    which is `size` where there is a gamma, and beta is added at that of the result, `size`.
    """
    n, layer = call.inputs[0].size, call.layer
    _need_several(call, rows)
    moments = ops(call.dtype, add=2 * (n - rows) + n, div=2 * rows, mul=n)
    return moments + ops(
        call.dtype, rsqrt=rows, neg=rows,
        mul=n + (2 * size if layer.scale else rows), add=rows + n + (size if layer.center else 0))


def layer_normalization(call):
    """Moments over the normalised axes of each row; gamma and beta have a row's shape."""
    return _standardize(call, _rows(call), call.inputs[0].size)


def group_normalization(call):
    """Moments per sample and group; gamma and beta per channel."""
    shape = call.inputs[0].shape
    return _standardize(
        call, shape[0] * int(call.layer.groups), shape[0] * shape[call.layer.axis])


def rms_normalization(call):
    """x rsqrt(mean(x^2) + epsilon) gamma."""
    n, rows = call.inputs[0].size, _rows(call)
    _need_several(call, rows)
    return ops(call.dtype, mul=3 * n, add=(n - rows) + rows, div=rows, rsqrt=rows)


def unit_normalization(call):
    """x min(rsqrt(sum(x^2)), 1 / epsilon)."""
    n, rows = call.inputs[0].size, _rows(call)
    return ops(call.dtype, mul=2 * n, add=n - rows, rsqrt=rows, max=rows)


def normalization(call):
    """(x - mean) / max(sqrt(variance), epsilon); the right-hand side once per feature.

    Statistics that were given, not learnt, are constants, of which the trace knows more.
    """
    if not call.layer.variables:
        raise NoRule(f"{call.path!r} ({call.kind}): statistics that were given")
    n = call.outputs[0].size
    features = n // _rows(call)
    counts = ops(call.dtype, add=n, sqrt=features, max=features)
    return counts + ops(call.dtype, **{"mul" if call.layer.invert else "div": n})
