"""Kinds of aten ops: how many ops an element, which reduce, move, make or draw values."""

from ..algorithms import bessel_i0
from ..rules.activations import ACTIVATIONS

_LINEAR = {"add": 2, "mul": 1}  # a + (b - a) t
#: Ops per output element.
ELEMENTWISE = {
    **dict.fromkeys(("add", "sub", "rsub"), {"add": 1}), "mul": {"mul": 1},
    **dict.fromkeys(("div", "true_divide", "reciprocal"), {"div": 1}),
    "floor_divide": {"div": 1, "round": 1}, **dict.fromkeys(("remainder", "fmod"), {"rem": 1}),
    **{name: {name: 1} for name in ("sqrt", "rsqrt", "exp", "log", "tanh", "sigmoid", "erf",
                                    "neg", "abs", "round")},
    "erfinv": {"erf": 1}, "erf_inv": {"erf": 1}, "angle": {"sin": 1}, "nextafter": {"max": 1},
    **dict.fromkeys(("i0", "bessel_i0"), bessel_i0()),
    "expm1": {"exp": 1}, "exp2": {"exp": 1}, "log1p": {"log": 1}, "erfc": {"erf": 1},
    **dict.fromkeys(("log2", "log10"), {"log": 1, "div": 1}),
    **dict.fromkeys(("sin", "cos", "tan", "asin", "acos", "atan", "atan2"), {"sin": 1}),
    "sinh": {"exp": 2, "add": 1, "mul": 1}, "cosh": {"exp": 2, "add": 1, "mul": 1},
    **dict.fromkeys(("asinh", "acosh"),  # log(x + sqrt(x x + 1))
                    {"mul": 1, "add": 2, "sqrt": 1, "log": 1}),
    "atanh": {"add": 2, "div": 1, "log": 1, "mul": 1},  # log((1 + x) / (1 - x)) / 2
    "hypot": {"mul": 2, "add": 1, "sqrt": 1}, "xlogy": {"log": 1, "mul": 1},
    "sinc": {"mul": 1, "sin": 1, "div": 1, "max": 1, "select": 1},
    **dict.fromkeys(("ceil", "floor", "trunc"), {"round": 1}), "frac": {"round": 1, "add": 1},
    **dict.fromkeys(("maximum", "minimum", "fmax", "fmin", "sign", "sgn", "relu", "clamp_min",
                     "clamp_max"), {"max": 1}),
    "square": {"mul": 1}, "lerp": _LINEAR, "logit": {"add": 1, "div": 1, "log": 1},
    "hardtanh": {"max": 2}, "hardshrink": {"abs": 1, "max": 1, "select": 1},
    "softshrink": ACTIVATIONS["soft_shrink"].forward, "threshold": {"max": 1, "select": 1},
    "leaky_relu": ACTIVATIONS["leaky_relu"].forward, "silu": ACTIVATIONS["silu"].forward,
    "mish": ACTIVATIONS["mish"].forward, "hardsigmoid": ACTIVATIONS["hard_sigmoid"].forward,
    "hardswish": ACTIVATIONS["hard_silu"].forward, "softplus": ACTIVATIONS["softplus"].forward,
    "log_sigmoid_forward": ACTIVATIONS["log_sigmoid"].forward,
    "_prelu_kernel": {"max": 1, "mul": 1, "select": 1},
    # gradients, by their formulas in terms of the output y or the input x
    "tanh_backward": ACTIVATIONS["tanh"].gradient,
    "sigmoid_backward": ACTIVATIONS["sigmoid"].gradient,
    "threshold_backward": ACTIVATIONS["relu"].gradient,
    "leaky_relu_backward": ACTIVATIONS["leaky_relu"].gradient,
    "silu_backward": ACTIVATIONS["silu"].gradient, "mish_backward": ACTIVATIONS["mish"].gradient,
    "hardsigmoid_backward": ACTIVATIONS["hard_sigmoid"].gradient,
    "hardtanh_backward": ACTIVATIONS["relu6"].gradient,
    "softplus_backward": ACTIVATIONS["softplus"].gradient,
    # g h + g x h' / 6, h the gate and h' 1 within it
    "hardswish_backward": {"add": 1, "max": 2, "div": 1, "mul": 2, "bool logic": 1,
                           "select": 1},
    "log_sigmoid_backward": {"neg": 1, "sigmoid": 1, "mul": 1},
    "hardshrink_backward": {"abs": 1, "max": 1, "select": 1},
    "softshrink_backward": {"abs": 1, "max": 1, "select": 1},
    "_prelu_kernel_backward": {"max": 2, "mul": 2, "select": 2},
    # a keep drawn for each element, x keep / (1 - rate); its gradient
    "native_dropout": {"random": 1, "max": 1, "select": 1, "mul": 1},
    "native_dropout_backward": {"select": 1, "mul": 1},
    "bernoulli": {"random": 1, "max": 1},
    # interpolation of the neighbours along each axis, three steps for four of them
    "upsample_linear1d": _LINEAR, "upsample_bilinear2d": {"add": 6, "mul": 3},
    "upsample_trilinear3d": {"add": 14, "mul": 7}, "upsample_bicubic2d": {"add": 15, "mul": 20},
}
COMPARISONS = frozenset(("eq", "ne", "gt", "ge", "lt", "le", "isnan", "isinf", "isfinite",
                         "isposinf", "isneginf", "signbit"))
LOGIC = frozenset(("logical_and", "logical_or", "logical_not", "logical_xor", "bitwise_and",
                   "bitwise_or", "bitwise_xor", "bitwise_not", "bitwise_left_shift",
                   "bitwise_right_shift", "__lshift__", "__rshift__"))
#: Reductions: the op that joins two values, and what follows once per result.
REDUCTIONS = {
    "sum": ("add", None), "nansum": ("add", None), "mean": ("add", "div"),
    **dict.fromkeys(("max", "min", "amax", "amin", "argmax", "argmin"), ("max", None)),
    "prod": ("mul", None), "all": ("logic", None), "any": ("logic", None),
}
#: Ops that move, copy or look up values and compute nothing; views need no entry.
MOVEMENT = frozenset((
    "_reshape_copy", "squeeze", "unsqueeze", "transpose", "t", "swapaxes", "swapdims", "as_strided",
    "detach", "_unsafe_index", "_unsafe_masked_index", "_unsafe_view", "block_diag", "cat",
    "channel_shuffle", "clone", "constant_pad_nd", "contiguous", "copy_strided", "diag_embed",
    "embedding", "fill", "flip", "gather", "index", "index_copy", "index_fill",
    "index_select", "masked_scatter", "masked_select", "meshgrid", "nonzero",
    "one_hot", "pixel_shuffle", "pixel_unshuffle", "reflection_pad1d", "reflection_pad2d",
    "reflection_pad3d", "repeat", "repeat_interleave", "replication_pad1d", "replication_pad2d",
    "replication_pad3d", "resize", "rot90", "roll", "scatter", "select_backward",
    "select_scatter", "set", "slice_backward", "slice_scatter", "diagonal_backward",
    "split_with_sizes_copy", "stack", "take", "tril", "triu", "unfold_copy", "unsafe_chunk",
    "unsafe_split", "unsafe_split_with_sizes", "upsample_nearest1d", "upsample_nearest2d",
    "upsample_nearest3d", "_upsample_nearest_exact1d", "_upsample_nearest_exact2d",
    "_upsample_nearest_exact3d", "zero", "im2col", "_assert_async", "_assert_tensor_metadata",
    "new_empty_strided", "unbind_copy", "permute_copy", "lift_fresh_copy", "empty_like",
    "value_selecting_reduction_backward", "_pack_padded_sequence",
))
#: What is made of a tensor's shape alone.
FACTORIES = frozenset((
    "empty_like", "ones_like", "zeros_like", "full_like", "new_empty", "new_ones", "new_zeros",
    "new_full", "new_empty_strided", "_efficientzerotensor",
))
RANDOM = frozenset(("rand", "rand_like", "randn", "randn_like", "randint", "randint_like",
                    "randperm", "normal", "uniform", "bernoulli", "exponential", "cauchy",
                    "geometric", "log_normal", "random", "multinomial", "poisson",
                    "normal_functional", "native_dropout"))
#: What writes a tensor anew, whatever it held.
OVERWRITES = frozenset(("copy", "fill", "zero", "uniform", "normal", "bernoulli", "random",
                        "exponential"))
