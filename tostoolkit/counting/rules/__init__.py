"""Layer call -> op counts, by rule: the fast paths to what the traced graph says.

A rule is a function of a `LayerCall` that returns a Counter of ``(dtype, op)``, or raises `NoRule`
where the call holds something that it does not cover; the call is then traced. What it knows of a
layer stands with it in `OP_COUNTERS`: see `Rule`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from operator import index
from types import MappingProxyType

import numpy as np

from ...op_kinds import OP_KINDS
from . import attention as ac
from . import layers as lc
from . import recurrent as rc
from .operators import OPERATOR_COUNTERS
from .rule import NoRule, Rule

#: Layers that compute in training alone -> their constructor arguments.
NOISE = MappingProxyType({
    "AlphaDropout": "rate noise_shape", "Dropout": "rate noise_shape", "GaussianDropout": "rate",
    "GaussianNoise": "stddev", "SpatialDropout1D": "rate noise_shape",
    "SpatialDropout2D": "rate noise_shape data_format",
    "SpatialDropout3D": "rate noise_shape data_format",
})

#: Layers that compute nothing in inference -> their constructor arguments.
ZERO_LAYERS = MappingProxyType({
    **NOISE, "ActivityRegularization": "l1 l2", "Concatenate": "axis", "Cropping1D": "cropping",
    **dict.fromkeys(("Cropping2D", "Cropping3D"), "cropping data_format"),
    "Flatten": "data_format", "Identity": "", "InputLayer": None, "Permute": "dims",
    "RepeatVector": "n", "Reshape": "target_shape", "ZeroPadding1D": "padding data_format",
    **dict.fromkeys(("ZeroPadding2D", "ZeroPadding3D"), "padding data_format"),
})

_VOCABULARY = "vocabulary max_tokens encoding idf_weights pad_to_max_tokens"
_OUTSIDE = f"{_VOCABULARY} num_oov_indices mask_token oov_token invert vocabulary_dtype salt"

#: Layers that look tokens up in a table, which is no arithmetic -> their constructor arguments.
#: Where they return anything but the numbers of the tokens, they are traced.
VOCABULARIES = MappingProxyType({
    "IntegerLookup": _OUTSIDE, "StringLookup": _OUTSIDE,
    "TextVectorization": f"{_VOCABULARY} standardize split ngrams output_sequence_length ragged",
})

#: Layers that have no rule and are counted from their traced graph.
TRACED_LAYERS = (
    *(f"Adaptive{kind}Pooling{n}D" for kind in ("Average", "Max") for n in (1, 2, 3)),
    "AugMix", "AutoContrast", "CategoryEncoding", "CenterCrop",
    "ContrastLimitedAdaptiveHistogramEqualization", "CutMix", "Discretization", "Equalization",
    "FlaxLayer", "HashedCrossing", "Hashing", "JaxLayer", "Lambda", "Layer",
    "MaxNumBoundingBoxes", "MelSpectrogram", "MixUp", "Pipeline", "RandAugment",
    "RandomBrightness", "RandomColorDegeneration", "RandomColorJitter", "RandomContrast",
    "RandomCrop", "RandomElasticTransform", "RandomErasing", "RandomFlip", "RandomGaussianBlur",
    "RandomGrayscale", "RandomHue", "RandomInvert", "RandomPerspective", "RandomPosterization",
    "RandomRotation", "RandomSaturation", "RandomSharpness", "RandomShear", "RandomTranslation",
    "RandomZoom", "Resizing", "STFTSpectrogram", "Solarization", "TFSMLayer",
    "TorchModuleWrapper", "UpSampling1D", "UpSampling2D", "UpSampling3D", "Wrapper",
)

#: Activation layers -> their constructor arguments.
_ACTIVATION_ARGUMENTS = {
    "ELU": "alpha", "LeakyReLU": "negative_slope", "PReLU": "shared_axes",
    "ReLU": "max_value negative_slope threshold", "Softmax": "axis",
}
_ACTIVATION_LAYERS = {
    kind: Rule(lc.activation_layer, _ACTIVATION_ARGUMENTS.get(kind), weights="alpha")
    for kind in lc.ACTIVATION_LAYERS}

_rule = partial(Rule, parts=MappingProxyType(_ACTIVATION_LAYERS))  # of what takes an activation
_conv = partial(_rule, weights="kernel bias")
_norm = partial(Rule, half=False, weights="gamma beta moving_mean moving_variance scale",
                fits=lc.norm_fits)

_WINDOW = "kernel_size strides padding data_format dilation_rate activation use_bias"
_POOL = "pool_size strides padding data_format"
_GATES = "units activation recurrent_activation use_bias unit_forget_bias"
_STEPS = "return_sequences return_state go_backwards stateful unroll zero_output_for_mask"
_CELL = "kernel recurrent_kernel bias"
_cell = partial(_rule, call="states", weights=_CELL, inputs=(2, 3), fits=rc.cell_fits)
_SCALED = "axis epsilon center scale"

_look_up = partial(Rule, lc.zero, of="anything")
_rows = partial(Rule, of="indices", weights="embeddings reverse_embeddings")
_EINSUM = _conv(ac.einsum_dense, "equation output_shape activation bias_axes",
                fits=ac.einsum_dense_fits)
_PROJECTIONS = MappingProxyType({
    "EinsumDense": _EINSUM, "Softmax": _ACTIVATION_LAYERS["Softmax"],
    "Dropout": Rule(lc.zero, "rate"),
})
_attention = partial(Rule, half=False, call="value key use_causal_mask", parts=_PROJECTIONS,
                     inputs=(2, 3))
_merge = partial(Rule, arguments="", inputs=(2, 1000))

#: Layers that hold others -> their rule; its function also takes that which counts what is held.
WRAPPERS = MappingProxyType({
    "Bidirectional": Rule(rc.bidirectional, "layer merge_mode backward_layer", holds=True),
    "TimeDistributed": Rule(rc.time_distributed, "layer", holds=True),
    "SpectralNormalization": Rule(rc.as_wrapped, "layer power_iterations", holds=True,
                                  weights="kernel embeddings vector_u"),
    "StackedRNNCells": Rule(rc.stacked_cells, "cells", "states", inputs=(2, 1000), holds=True),
    **{kind: Rule(rc.rnn, f"cell {_GATES} {_STEPS} use_cudnn reset_after", holds=True)
       for kind in ("SimpleRNN", "LSTM", "GRU", "RNN")},
})

#: Kind of layer -> its `Rule`, or a function of a LayerCall that counts it. Coverage at a glance.
OP_COUNTERS = MappingProxyType({
    "Dense": _conv(lc.dense, "units activation use_bias"),
    **{f"Conv{n}D": _conv(lc.conv, f"filters groups {_WINDOW}", fits=lc.conv_fits)
       for n in (1, 2, 3)},
    **{f"DepthwiseConv{n}D": _conv(lc.depthwise_conv, f"depth_multiplier {_WINDOW}",
                                   fits=lc.depthwise_conv_fits)
       for n in (1, 2)},
    **{f"SeparableConv{n}D": _rule(lc.separable_conv, f"filters depth_multiplier {_WINDOW}",
                                   weights="depthwise_kernel pointwise_kernel bias",
                                   fits=lc.separable_conv_fits)
       for n in (1, 2)},
    **{f"MaxPooling{n}D": Rule(lc.max_pool, _POOL) for n in (1, 2, 3)},
    **{f"AveragePooling{n}D": Rule(lc.average_pool, _POOL) for n in (1, 2, 3)},
    **{f"GlobalMaxPooling{n}D": Rule(lc.reduction("max"), "data_format keepdims")
       for n in (1, 2, 3)},
    **{f"GlobalAveragePooling{n}D": Rule(lc.reduction("add", final="div"), "data_format keepdims",
                                         half=False) for n in (1, 2, 3)},
    **{f"Conv{n}DTranspose": _conv(lc.conv_transpose, f"filters output_padding {_WINDOW}",
                                   fits=lc.conv_transpose_fits)
       for n in (1, 2, 3)},
    "EinsumDense": _EINSUM,
    "Embedding": _rows(ac.embedding, "input_dim output_dim"),
    "Masking": Rule(lc.masking, "mask_value", half=False),
    "ReversibleEmbedding": _rows(
        ac.reversible_embedding, "input_dim output_dim tie_weights logit_soft_cap", "reverse"),
    "MultiHeadAttention": _attention(
        ac.multi_head_attention,
        "num_heads key_dim value_dim use_bias output_shape attention_axes",
        fits=ac.multi_head_attention_fits),
    "GroupedQueryAttention": _attention(
        ac.group_query_attention, "head_dim num_query_heads num_key_value_heads use_bias"),
    "Attention": Rule(ac.dot_attention, "use_scale score_mode dropout", inputs=(2, 3), half=False,
                      weights="scale concat_score_weight"),
    "AdditiveAttention": Rule(ac.additive_attention, "use_scale dropout", inputs=(2, 3),
                              half=False, weights="scale"),
    "SimpleRNNCell": _cell(rc.simple_cell, _GATES),
    "LSTMCell": _cell(rc.lstm_cell, _GATES),
    "GRUCell": _cell(rc.gru_cell, f"{_GATES} reset_after"),
    **{f"ConvLSTM{n}D": _rule(
        rc.conv_lstm, f"filters {_WINDOW} {_GATES} {_STEPS} cell", fits=rc.conv_lstm_fits,
        parts=MappingProxyType(_ACTIVATION_LAYERS | {
            "ConvLSTMCell": _rule(rc.conv_lstm, f"filters {_WINDOW} {_GATES}", weights=_CELL)}))
       for n in (1, 2, 3)},
    "BatchNormalization": _norm(lc.batch_normalization, f"{_SCALED} momentum synchronized"),
    "LayerNormalization": _norm(lc.layer_normalization, _SCALED),
    "GroupNormalization": _norm(lc.group_normalization, f"groups {_SCALED}"),
    "RMSNormalization": _norm(lc.rms_normalization, "axis epsilon", fits=lc.rms_norm_fits),
    "UnitNormalization": _norm(lc.unit_normalization, "axis"),
    "Normalization": Rule(lc.normalization, "axis mean variance invert",
                          weights="mean variance count", half=False,
                          fits=lc.normalization_fits),
    "Rescaling": Rule(lc.rescaling, "scale offset"),
    "Activation": _rule(lc.activation_by_name, "activation"),
    **_ACTIVATION_LAYERS,
    "Add": _merge(lc.merge("add")), "Subtract": _merge(lc.merge("add")),
    "Multiply": _merge(lc.merge("mul")), "Average": _merge(lc.merge("add", final="div")),
    "Maximum": _merge(lc.merge("max")), "Minimum": _merge(lc.merge("max")),
    "Dot": Rule(lc.dot, "axes normalize", inputs=(2, 2)),
    **WRAPPERS, **OPERATOR_COUNTERS,
    **{kind: Rule(lc.zero, arguments, of="anything", inputs=(1, 1000))
       for kind, arguments in ZERO_LAYERS.items()},
    **{kind: _look_up(arguments, parts={"StringLookup": _look_up(_OUTSIDE)})
       for kind, arguments in VOCABULARIES.items()},
    **dict.fromkeys(TRACED_LAYERS, lc.no_rule),
})

#: What a function that declares nothing is taken to know: all arguments.
_UNDECLARED = Rule(lc.no_rule)


def rule_of(counter) -> Rule:
    """Return what a counter declares that it knows."""
    return counter if isinstance(counter, Rule) else _UNDECLARED


def find_counter(layer, kind, counters=OP_COUNTERS):
    """Return the counter of a layer: by its class where that is a key, else by its kind."""
    return counters.get(type(layer)) or counters.get(kind, lc.no_rule)


def user_counter(layer, kind, counters):
    """Return the counter that the user gave for a layer, None where it is the toolkit's own."""
    if counters is OP_COUNTERS:
        return None
    counter = find_counter(layer, kind, counters)
    return None if counter in (OP_COUNTERS.get(kind), lc.no_rule) else counter


def counts_by_user(counter, call) -> Counter:
    """Return what a counter of the user's says of a call, in Python's integers, which do not wrap.

    An error unless it is numbers of ops. The counter is given a call of its own, to change or keep.
    """
    of = f"counters: that of {call.path!r} ({call.kind})"
    try:
        with np.errstate(over="raise"):
            counts = counter(replace(call))
    except (OverflowError, FloatingPointError) as error:
        raise ValueError(f"{of} computes with integers of NumPy's that are too small for it "
                         f"({error}); make them Python's, int(n), which hold any number") from error
    says = (f"{of} returned {counts!r}; it is a Counter of (dtype, op): "
            "Counter({(call.dtype, 'add'): call.outputs[0].size})")
    if not isinstance(counts, Mapping) or not all(
            isinstance(key, tuple) and len(key) == 2 for key in counts):
        raise TypeError(says)
    unknown = [op for _, op in counts if op not in OP_KINDS]
    if unknown:
        raise ValueError(f"{says}; {unknown[0]!r} is none of {', '.join(OP_KINDS)}")
    return Counter({key: index(n) if hasattr(n, "__index__") else n for key, n in counts.items()})


__all__ = ["NOISE", "OP_COUNTERS", "TRACED_LAYERS", "VOCABULARIES", "WRAPPERS", "ZERO_LAYERS",
           "NoRule", "counts_by_user", "find_counter", "rule_of", "user_counter"]
