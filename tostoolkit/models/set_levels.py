"""Families -> levels of the factors of their default sets, and what a row of these must keep to."""

#: Those that the rules for training know (`training_counters.ACTIVATION_GRADIENTS`), but for
#: relu6, which is relu to a meter, and exponential, which in a deep network overflows.
ACTIVATIONS = ("relu", "linear", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "softmax", "elu",
               "selu", "softplus", "softsign", "mish", "hard_sigmoid")
PHASES = ("inference", "training")
DTYPES = ("float32", "mixed_bfloat16")

#: Family -> size -> levels of its factors. ``small``: forward passes of about 0.2 to 60 ms on a CPU
#: of a few cores. ``large``: up to what fills a data-centre GPU (80 GB; 10^12 MACs are tens of ms
#: at the tensor-float-32 rate that dense models reach there).
LEVELS = {
    "feed_forward": {
        "small": {"depth": (1, 2, 4, 8), "width": (64, 128, 256, 512, 1024, 2048),
                  "activation": ACTIVATIONS, "batch_norm": (False, True),
                  "input_size": (16, 128, 1024, 8192), "batch_size": (64, 256, 1024)},
        "large": {"depth": (1, 2, 4, 8), "width": (512, 1024, 2048, 4096, 8192, 16384),
                  "activation": ACTIVATIONS, "batch_norm": (False, True),
                  "input_size": (64, 512, 4096, 32768), "batch_size": (1024, 4096, 16384)},
    },
    "convolutional": {
        "small": {"depth": (2, 3, 4), "filters": (8, 16, 32, 64), "kernel": (1, 3, 5),
                  "depthwise": (False, True), "normalization": ("none", "batch", "layer", "group"),
                  "pooling": ("none", "max", "average"), "activation": ACTIVATIONS,
                  "image_size": (16, 32, 64), "batch_size": (8, 32)},
        "large": {"depth": (2, 3, 4), "filters": (32, 64, 128, 256), "kernel": (1, 3, 5),
                  "depthwise": (False, True), "normalization": ("none", "batch", "layer", "group"),
                  "pooling": ("none", "max", "average"), "activation": ACTIVATIONS,
                  "image_size": (32, 64, 128), "batch_size": (64, 256, 512)},
    },
    "transformer": {
        "small": {"blocks": (1, 2, 4), "width": (32, 64, 128, 256), "heads": (1, 2, 4, 8, 16),
                  "sequence": (16, 64, 256), "normalization": ("none", "layer", "rms"),
                  "activation": ACTIVATIONS,
                  "batch_size": (1, 4, 16), "vocabulary": (1000,)},
        "large": {"blocks": (1, 2, 4, 8), "width": (256, 512, 1024, 2048),
                  "heads": (2, 4, 8, 16, 32), "sequence": (64, 256, 1024, 2048),
                  "normalization": ("none", "layer", "rms"),
                  "activation": ACTIVATIONS,
                  "batch_size": (4, 16, 64), "vocabulary": (32000,)},
    },
}

#: Family -> size -> (least and most MACs of a forward pass in float32, most element-wise ops of it,
#: which bound what it holds in memory: an element takes one or more).
BOUNDS = {
    "feed_forward": {"small": (1e6, 1.5e9, 1e8), "large": (1e9, 1e12, 6e9)},
    "convolutional": {"small": (1e6, 1e9, 1e8), "large": (1e8, 1e12, 4e9)},
    "transformer": {"small": (1e6, 1.5e9, 1e8), "large": (1e9, 1e12, 6e9)},
}
