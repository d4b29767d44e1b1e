"""Op counts of what training does to one layer call, by rule: its gradient, its forward pass.

Backward, per call: a gradient for each trainable weight, and one for each input that trained
weights stand before. For a contraction each of the two gradients takes as many MACs as forward
(Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 6.5.6). Float32 throughout; a
call that holds anything that is not covered raises `NoRule`.
"""

from collections import Counter
from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

from ..calls import product
from . import layers as lc
from .activations import ACTIVATIONS, name_of, ops

DTYPE = "float32"


class Gradient(NamedTuple):
    """What is known of a kind of layer in training.

    `backward` is a function (call, wanted, is_logits) -> Counter of the backward pass: `wanted`
    says for each input whether its gradient is, `is_logits` whether the loss takes over the call's
    softmax. `forward` counts a call's forward pass, where that is not the one of inference;
    `activation` names the activation that it ends in.
    """

    backward: Callable
    forward: Callable | None = None
    activation: Callable = lambda call: "linear"


def _held_activation(call):
    """The activation argument of a layer; "linear" where it has none."""
    function = call.layer.activation
    name = name_of(function)
    if name is None or ACTIVATIONS[name].gradient is None:
        raise lc.NoRule(f"the activation {function!r}")
    return name


def _relu_layer(call):
    layer = call.layer
    plain = not layer.negative_slope and not layer.threshold
    if not plain or layer.max_value not in (None, 6):
        raise lc.NoRule("a ReLU with a slope, threshold or other maximum")
    return "relu" if layer.max_value is None else "relu6"


def _softmax_layer(call):
    if call.layer.axis not in (-1, len(call.outputs[0].shape) - 1) or len(call.inputs) > 1:
        raise lc.NoRule("a softmax over other than the last axis")
    return "softmax"


def _activation_gradient(call, is_logits):
    """The gradient of a call's activation; none of a softmax that the loss takes over."""
    name, output = GRADIENTS[call.kind].activation(call), call.outputs[0]
    if is_logits:
        return Counter()
    return ACTIVATIONS[name].count_gradient(DTYPE, output.size, output.shape[-1])


def _activation(call, wanted, is_logits):
    if not wanted[0]:
        raise lc.NoRule("an activation that nothing trained stands before")
    return _activation_gradient(call, is_logits)


def _contraction(forward):
    """Return the record of a contraction that `forward` counts, with its bias and activation.

    As many MACs as forward for the kernel's gradient, and again for the input's.
    """
    def backward(call, wanted, is_logits):
        layer, output = call.layer, call.outputs[0]
        _check_input(call)
        bias = output.size - output.shape[-1] if layer.use_bias else 0
        return (ops(DTYPE, mac=forward(call)[DTYPE, "mac"] * (1 + wanted[0]), add=bias)
                + _activation_gradient(call, is_logits))

    return Gradient(backward, activation=_held_activation)


def _batch_normalization_gradient(call, wanted, is_logits):
    n, channels = call.outputs[0].size, call.outputs[0].shape[-1]
    layer, last = call.layer, len(call.outputs[0].shape) - 1
    if not (n > channels and wanted[0] and layer.scale and layer.center and len(call.inputs) == 1
            and layer.axis in (-1, last) and not layer.renorm and not layer.synchronized):
        raise lc.NoRule("batch normalisation without scale or centre, of an input, or of one value,"
                        " or over several machines")
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
    # a draw, whether it is above the rate, and the input over the share kept, where it is
    return ops(DTYPE, max=n, mul=n, random=n, select=n)


def _dropout_gradient(call, wanted, is_logits):
    return ops(DTYPE, mul=call.outputs[0].size, select=call.outputs[0].size)


def _none(call, wanted, is_logits):
    return Counter()


def _max_pool_gradient(call, wanted, is_logits):
    """The place of each maximum is found again; the gradient is added there."""
    _check_input(call)
    return lc.max_pool(call) + ops(DTYPE, add=call.outputs[0].size)


def _average_pool_gradient(call, wanted, is_logits):
    """A window's share is added to each of its inputs."""
    _check_input(call)
    n = call.outputs[0].size
    window = product(call.layer.pool_size)
    return ops(DTYPE, div=n * (window > 1), add=n * window)


def _global_average_gradient(call, wanted, is_logits):
    _check_input(call)
    n = call.inputs[0].size
    return ops(DTYPE, div=n if n > call.outputs[0].size else 0)


def _check_input(call):
    if getattr(call.layer, "data_format", "channels_last") != "channels_last" or (
            len(call.inputs) > 1):
        raise lc.NoRule("channels first, or a mask")


#: Kind of layer -> what is known of it in training.
GRADIENTS = MappingProxyType({
    "Dense": _contraction(lc.dense), "DepthwiseConv2D": _contraction(lc.depthwise_conv),
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), _contraction(lc.conv)),
    "BatchNormalization": Gradient(_batch_normalization_gradient, _batch_normalization_forward),
    "Activation": Gradient(_activation, activation=_held_activation),
    "ReLU": Gradient(_activation, activation=_relu_layer),
    "Softmax": Gradient(_activation, activation=_softmax_layer),
    "Dropout": Gradient(_dropout_gradient, _dropout_forward),
    "MaxPooling1D": Gradient(_max_pool_gradient), "MaxPooling2D": Gradient(_max_pool_gradient),
    "AveragePooling1D": Gradient(_average_pool_gradient),
    "AveragePooling2D": Gradient(_average_pool_gradient),
    "GlobalAveragePooling1D": Gradient(_global_average_gradient),
    "GlobalAveragePooling2D": Gradient(_global_average_gradient),
    **dict.fromkeys(("Add", "Flatten", "Reshape", "Identity", "ZeroPadding1D", "ZeroPadding2D",
                     "Cropping2D"), Gradient(_none)),
})
