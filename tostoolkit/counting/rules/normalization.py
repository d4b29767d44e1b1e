"""Op counts of normalisation layers, as Keras executes them on the TensorFlow backend.

All but RMS and unit normalisation end in ``tf.nn.batch_normalization``:
x s + (beta - mean s) with s = gamma / sqrt(variance + epsilon).
"""

from math import prod

from .activations import ops


def _axes(call):
    axis = call.layer.axis
    return axis if isinstance(axis, (tuple, list)) else (axis,)


def batch_normalization(call):
    """Inference: s and beta - mean s once per channel, then x s + (...) per element."""
    layer, n = call.layer, call.outputs[0].size
    channels = call.inputs[0].shape[layer.axis]
    return ops(
        call.dtype, rsqrt=channels,
        mul=n + channels * (2 if layer.scale else 1),
        add=n + channels * (2 if layer.center else 1),
        neg=0 if layer.center else channels)


def _moments(dtype, n, rows):
    """Mean and variance of `rows` groups, `n` elements in all: mean(x), mean((x - mean)^2)."""
    return ops(dtype, add=2 * (n - rows) + n, div=2 * rows, mul=n)


def _standardize(call, rows, scaled, shifted):
    """Moments, then x s + (beta - mean s); s has `scaled` elements, beta - mean s `shifted`.

    The two products with s run at the size of s; beta is added at the size of the result.
    """
    n, layer = call.inputs[0].size, call.layer
    return _moments(call.dtype, n, rows) + ops(
        call.dtype, rsqrt=rows, neg=rows,
        mul=n + (2 if layer.scale else 1) * scaled,
        add=rows + n + (shifted if layer.center else 0))


def layer_normalization(call):
    """Moments over the normalised axes of each row; gamma and beta have a row's shape."""
    n = call.inputs[0].size
    rows = n // prod(call.inputs[0].shape[a] for a in _axes(call))
    return _standardize(call, rows, n if call.layer.scale else rows, n)


def group_normalization(call):
    """Moments per sample and group; gamma and beta per channel."""
    shape = call.inputs[0].shape
    rows, channels = shape[0] * call.layer.groups, shape[0] * shape[call.layer.axis]
    return _standardize(call, rows, channels if call.layer.scale else rows, channels)


def rms_normalization(call):
    """x rsqrt(mean(x^2) + epsilon) gamma."""
    n = call.inputs[0].size
    rows = n // prod(call.inputs[0].shape[a] for a in _axes(call))
    return ops(call.dtype, mul=3 * n, add=(n - rows) + rows, div=rows, rsqrt=rows)


def unit_normalization(call):
    """x min(rsqrt(sum(x^2)), 1 / epsilon)."""
    n = call.inputs[0].size
    rows = n // prod(call.inputs[0].shape[a] for a in _axes(call))
    return ops(call.dtype, mul=2 * n, add=n - rows, rsqrt=rows, max=rows)


def normalization(call):
    """(x - mean) / max(sqrt(variance), epsilon); the right-hand side once per feature."""
    n = call.outputs[0].size
    features = prod(call.inputs[0].shape[a] for a in _axes(call) if a is not None)
    counts = ops(call.dtype, add=n, sqrt=features, max=features)
    return counts + ops(call.dtype, **{"mul" if call.layer.invert else "div": n})
