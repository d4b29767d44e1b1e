"""Work of the families' models by hand: what the counts and the draw are held against."""

import tostoolkit as tos

CLASSES = 10


def feed_forward_macs(row):
    """Each layer: its inputs times its outputs."""
    hidden = row.input_size * row.width + (row.depth - 1) * row.width**2
    return row.batch_size * (hidden + row.width * CLASSES)


def convolutional_macs(row):
    """Each convolution, padded to the size of its image: pixels times kernel times channels."""
    side, channels, macs = row.image_size, 3, 0
    for block in range(row.depth):
        channels_of_an_output = 1 if row.depthwise and block else channels
        macs += side**2 * row.kernel**2 * channels_of_an_output * row.filters
        channels = row.filters
        if row.pooling != "none" and side >= 4:
            side //= 2
    return row.batch_size * (macs + channels * CLASSES)


def transformer_macs(row):
    """12 width^2 a token and block, 2 sequence width for scores and mixture, the classes."""
    block = 12 * row.width**2 + 2 * row.sequence * row.width
    return row.batch_size * (row.sequence * row.blocks * block + row.width * CLASSES)


#: Family -> MACs of the forward pass of a batch of a row.
MACS = {"feed_forward": feed_forward_macs, "convolutional": convolutional_macs,
        "transformer": transformer_macs}

#: Activation -> elementary functions of an element, from its definition.
ELEMENTARY = {
    "relu": (), "linear": (), "leaky_relu": (), "hard_sigmoid": ("div",), "softsign": ("div",),
    "tanh": ("tanh",), "sigmoid": ("sigmoid",), "silu": ("sigmoid",), "gelu": ("erf",),
    "softmax": ("exp", "div"), "elu": ("exp",), "selu": ("exp",), "softplus": ("exp", "log"),
    "mish": ("tanh", "exp", "log"),
}


def elementary_tos(row):
    """Transistor operations of the elementary functions of a feed-forward network's inference.

    Activations compute in the format of the policy; batch normalisation takes one reciprocal root
    a channel, in float32.
    """
    costs = tos.load_cost_table("cmos").costs
    dtype = row.dtype.removeprefix("mixed_")
    activations = row.batch_size * row.depth * row.width
    roots = row.depth * row.width if row.batch_norm else 0
    return (activations * sum(costs[dtype, op] for op in ELEMENTARY[row.activation])
            + roots * costs["float32", "rsqrt"])
