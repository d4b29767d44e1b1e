"""Op counts of what PyTorch fuses: convolutions, norms, attention, pooling, resizing, losses.

Each counts by its definition, the norms by that of Keras: x s + (beta - mean s). Their gradients
are those of these formulas.
"""

from math import prod

from .. import algorithms
from ..rules.activations import elementwise, ops, softmax, softmax_gradient
from .torch_tensors import dtype_of


def convolution(op):
    """outputs x taps x (input channels / groups) MACs; inputs x taps x filters where transposed."""
    x, y, weight = op.arguments["input"], op.outputs[0], op.arguments["weight"]
    bias = y.numel() if op.get("bias") is not None else 0
    return ops(dtype_of(y), mac=_macs(op, x, y, weight), add=bias)


def convolution_gradient(op):
    """As many MACs as forward for each of the two gradients, a sum for that of the bias."""
    x, y, weight = op.arguments["input"], op.arguments["grad_output"], op.arguments["weight"]
    wanted = op.arguments["output_mask"]
    return ops(dtype_of(y), mac=_macs(op, x, y, weight) * sum(wanted[:2]),
               add=y.numel() - y.shape[1] if wanted[2] else 0)


def _macs(op, x, y, weight):
    return (x if op.get("transposed") else y).numel() * prod(weight.shape[1:])


def attention(op):
    """softmax(q k' scale + mask) v."""
    q, v, scores = op.arguments["query"], op.arguments["value"], _scores(op)
    mask = op.get("attn_mask") is not None or op.get("is_causal")
    counts = ops(dtype_of(q), mac=scores * (q.shape[-1] + v.shape[-1]),
                 mul=scores * _is_scaled(op), add=scores if mask else 0)
    return counts + softmax(dtype_of(q), scores, op.arguments["key"].shape[-2])


def attention_gradient(op):
    """The gradients of both products and of the softmax between them."""
    q, v, scores = op.arguments["query"], op.arguments["value"], _scores(op)
    return (ops(dtype_of(q), mac=2 * scores * (q.shape[-1] + v.shape[-1]),
                mul=scores * _is_scaled(op))
            + softmax_gradient(dtype_of(q), scores, op.arguments["key"].shape[-2]))


def _is_scaled(op):
    """Whether the scores are scaled, as they are by 1 / sqrt(width) where nothing is said."""
    return op.get("scale", op.arguments["query"].shape[-1] ** -0.5) != 1


def _scores(op):
    q, k = op.arguments["query"], op.arguments["key"]
    return q.numel() // q.shape[-1] * k.shape[-2]


def _standardized(op):
    """Return a norm's elements, its rows that have moments, the sizes of s and of beta - mean s.

    And its number of parameters and its dtype.
    """
    x = op.arguments["input"]
    n, weight = x.numel(), op.get("weight")
    if op.name.startswith("native_group_norm"):
        samples, channels, groups = (op.arguments[name] for name in ("N", "C", "group"))
        rows, size, parameters = samples * groups, samples * channels, channels
    else:
        parameters = prod(op.arguments["normalized_shape"])
        rows, size = n // parameters, n
    return n, rows, size if weight is not None else rows, size, parameters, dtype_of(x)


def layer_norm(op):
    """Moments of each row or group, then x s + (beta - mean s)."""
    n, rows, scaled, size, _, dtype = _standardized(op)
    scale, center = (op.get(name) is not None for name in ("weight", "bias"))
    return ops(dtype, add=2 * (n - rows) + n + rows + n + (size if center else 0),
               div=2 * rows, rsqrt=rows, neg=rows,
               mul=2 * n + (2 * scaled if scale else rows))


def layer_norm_gradient(op):
    """The gradient of that formula, the mean within the variance taken for a constant."""
    n, rows, scaled, size, parameters, dtype = _standardized(op)
    _, scale, center = op.arguments["output_mask"]
    scale = op.get("weight") is not None
    center_sums = size - parameters if center else 0
    if not op.arguments["output_mask"][0]:  # the gradients of gamma and beta alone
        to_rows = n - size if scale or center else 0
        if not scale:
            return ops(dtype, add=to_rows + center_sums)
        return ops(dtype, mul=n + 2 * size,
                   add=(n - size) + size + (size - parameters) + to_rows + center_sums)
    # g s, g x, 2 g (x - mean); g s and -g mean, twice for gamma; the root's
    products = 4 * n + 2 * scaled + (2 * size if scale else 0) + 4 * rows
    # x - mean; g x, the parts of s' gradient, those of gamma, the root and the mean; of x
    sums = n + (n - scaled) + scaled + (n - size) + (size - rows) + 2 * n + center_sums
    if scale:
        sums += (size - parameters) + (size - rows)
    return ops(dtype, mul=products, add=sums, div=2 * n, neg=rows)


def batch_norm(op):
    """In inference s and beta - mean s once per channel; in training the batch's moments too.

    Where there are running moments, training updates both: two products and a sum each.
    """
    x = op.arguments["input"]
    n, channels = x.numel(), x.shape[1]
    scale, center = (op.get(name) is not None for name in ("weight", "bias"))
    counts = ops(dtype_of(x), rsqrt=channels, mul=n + channels * (1 + scale),
                 add=n + channels * (1 + center), neg=0 if center else channels)
    if "no_training" in op.name or not op.get("training", True):
        return counts
    updates = 2 * channels if op.get("running_mean") is not None else 0
    return counts + ops(dtype_of(x), add=2 * (n - channels) + n + updates, mul=n + 2 * updates,
                        div=2 * channels)


def batch_norm_gradient(op):
    """The gradient of that formula; in inference the moments are constants."""
    x = op.arguments["input"]
    n, channels = x.numel(), x.shape[1]
    if not op.get("train"):
        return ops(dtype_of(x), mul=2 * n + 2 * channels, add=2 * (n - channels) + channels,
                   neg=channels)
    return ops(dtype_of(x), add=5 * n - channels, mul=4 * n + 8 * channels, div=2 * n,
               neg=channels)


def _window(op, tensor):
    kernel, dimensions = op.arguments["kernel_size"], int(op.name.split("pool")[1][0])
    kernel = kernel if isinstance(kernel, (list, tuple)) else [kernel]
    return prod(kernel) if len(kernel) == dimensions else kernel[0] ** dimensions


def max_pool(op):
    """window - 1 comparisons per output; padded taps count."""
    y = op.outputs[0]
    return ops(dtype_of(y), max=y.numel() * (_window(op, y) - 1))


def max_pool_gradient(op):
    """The window's maximum is found again, and gets the gradient added."""
    y = op.arguments["grad_output"]
    return ops(dtype_of(y), max=y.numel() * (_window(op, y) - 1), add=y.numel())


def average_pool(op):
    """window - 1 additions and a division per output, none of one value; padded taps count."""
    y, window = op.outputs[0], _window(op, op.outputs[0])
    return ops(dtype_of(y), add=y.numel() * (window - 1), div=y.numel() if window > 1 else 0)


def average_pool_gradient(op):
    """A window's share is added to each of its inputs."""
    y, window = op.arguments["grad_output"], _window(op, op.arguments["grad_output"])
    return ops(dtype_of(y), div=y.numel() if window > 1 else 0, add=y.numel() * window)


def _adaptive_taps(op, x, y):
    """Return the inputs of all windows of an adaptive pooling, its outputs, those of several."""
    dimensions = int(op.name.split("pool")[1][0])
    taps = alone = prod(x.shape[:-dimensions])
    for n, m in zip(x.shape[-dimensions:], y.shape[-dimensions:], strict=True):
        windows = [-(-(i + 1) * n // m) - i * n // m for i in range(m)]
        taps, alone = taps * sum(windows), alone * windows.count(1)
    return taps, y.numel(), y.numel() - alone


def adaptive_pool(op):
    """A window reaches from floor(i n / m) to ceil((i + 1) n / m)."""
    x, y = op.inputs[0], op.outputs[0]
    taps, outputs, means = _adaptive_taps(op, x, y)
    if "max" in op.name:
        return ops(dtype_of(y), max=taps - outputs)
    return ops(dtype_of(y), add=taps - outputs, div=means)


def adaptive_pool_gradient(op):
    """The gradient is added where the maximum stood, or its share to each input of the window."""
    y, x = op.inputs[0], op.inputs[1]
    if "max" in op.name:
        return ops(dtype_of(y), add=y.numel())
    taps, _, means = _adaptive_taps(op, x, y)
    return ops(dtype_of(y), div=means, add=taps)


#: What a pixel's gradient takes to reach the neighbours that it came from: along each axis it is
#: shared by weights, and each share is added.
_NEIGHBOURS = {"linear1d": {"mul": 2, "add": 2}, "bilinear2d": {"mul": 6, "add": 4},
               "trilinear3d": {"mul": 14, "add": 8}, "bicubic2d": {"mul": 20, "add": 16}}


def resize_gradient(op):
    """A share of each gradient is added to each neighbour that the pixel came from."""
    y, kind = op.inputs[0], op.name.removesuffix("_backward").rpartition("_")[2]
    return elementwise(dtype_of(y), y.numel(), _NEIGHBOURS.get(kind, {"add": 1}))  # the nearest


def resampled(op):
    """A widened kernel along the rows, then along the columns: MACs."""
    x, y = op.arguments["self"], op.outputs[0]
    if op.get("align_corners"):
        raise ValueError("of an image whose corners are aligned it is not known")
    radius = 2 if "bicubic" in op.name else 1
    rows, columns = (algorithms.resampled(n, m, m / n, 0, radius, True)
                     for n, m in zip(x.shape[-2:], y.shape[-2:], strict=True))
    return ops(dtype_of(y), mac=prod(x.shape[:2]) * (columns * x.shape[-2] + rows * y.shape[-1]))


def grid_sample(op):
    """Of each place ((x + 1) size - 1) / 2 along both axes, then four neighbours, or one."""
    y, grid = op.outputs[0], op.arguments["grid"]
    if op.get("interpolation_mode", 0) > 1 or grid.shape[-1] != 2:
        raise ValueError("of its interpolations the bilinear and the nearest of images are known")
    n, dtype = grid.numel(), dtype_of(y)
    counts = ops(dtype, add=2 * n, mul=n, div=n, round=n)
    if op.get("interpolation_mode", 0) == 1:
        return counts
    return counts + ops(dtype, add=n) + elementwise(dtype, y.numel(), {"add": 6, "mul": 3})


def nll_loss(op):
    """-x at the label, times its weight where labels have one; then their mean or sum."""
    x = op.arguments["self"]
    n, weight = op.arguments["target"].numel(), op.get("weight")
    counts = ops(dtype_of(x), neg=n, mul=n if weight is not None else 0)
    if op.get("reduction", 1):
        counts += ops(dtype_of(x), add=n - 1, div=1 if op.get("reduction", 1) == 1 else 0)
    return counts


def nll_loss_gradient(op):
    """Minus the gradient, divided by the number of labels where their mean was taken."""
    x, n = op.arguments["self"], op.arguments["target"].numel()
    return ops(dtype_of(x), neg=n, div=n if op.get("reduction", 1) == 1 else 0)


def folded(op):
    """What several places give to one is added."""
    return ops(dtype_of(op.inputs[0]), add=max(op.inputs[0].numel() - op.outputs[0].numel(), 0))


#: Name of an aten op -> function of the op that counts it.
KERNELS = {
    "convolution": convolution, "convolution_backward": convolution_gradient,
    "_convolution": convolution, "convolution_overrideable": convolution,
    **dict.fromkeys(("_scaled_dot_product_flash_attention_for_cpu",
                     "_scaled_dot_product_flash_attention",
                     "_scaled_dot_product_efficient_attention",
                     "_scaled_dot_product_fused_attention_overrideable"), attention),
    **dict.fromkeys(("_scaled_dot_product_flash_attention_for_cpu_backward",
                     "_scaled_dot_product_flash_attention_backward",
                     "_scaled_dot_product_efficient_attention_backward",
                     "_scaled_dot_product_fused_attention_overrideable_backward"),
                    attention_gradient),
    **dict.fromkeys(("native_layer_norm", "native_group_norm"), layer_norm),
    **dict.fromkeys(("native_layer_norm_backward", "native_group_norm_backward"),
                    layer_norm_gradient),
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm",
                     "_native_batch_norm_legit_no_training", "_batch_norm_with_update"),
                    batch_norm),
    "native_batch_norm_backward": batch_norm_gradient,
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool3d", "max_pool2d_with_indices",
                     "max_pool3d_with_indices"), max_pool),
    **dict.fromkeys(("max_pool2d_with_indices_backward", "max_pool3d_with_indices_backward"),
                    max_pool_gradient),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), average_pool),
    **dict.fromkeys(("avg_pool2d_backward", "avg_pool3d_backward"), average_pool_gradient),
    **{name: count for kind in ("avg_pool", "max_pool") for n in (1, 2, 3)
       for private in ("", "_") for name, count in (
           (f"{private}adaptive_{kind}{n}d", adaptive_pool),
           (f"{private}adaptive_{kind}{n}d_backward", adaptive_pool_gradient))},
    **{f"{private}upsample_{kind}_backward": resize_gradient for private in ("", "_")
       for kind in (*_NEIGHBOURS, *(f"nearest{exact}{n}d" for exact in ("", "_exact")
                                    for n in (1, 2, 3)))},
    **dict.fromkeys(("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa"), resampled),
    "grid_sampler_2d": grid_sample,
    **dict.fromkeys(("nll_loss_forward", "nll_loss2d_forward"), nll_loss),
    **dict.fromkeys(("nll_loss_backward", "nll_loss2d_backward"), nll_loss_gradient),
    **dict.fromkeys(("col2im", "reflection_pad1d_backward", "reflection_pad2d_backward",
                     "reflection_pad3d_backward", "replication_pad1d_backward",
                     "replication_pad2d_backward", "replication_pad3d_backward"), folded),
}
