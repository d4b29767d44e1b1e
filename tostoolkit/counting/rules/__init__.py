"""Layer call -> op counts, by rule: the fast paths to what the traced graph says.

A rule is a function of a `LayerCall` that returns a Counter of ``(dtype, op)``, or raises `NoRule`
where the call holds something that it does not cover; the call is then traced.
"""

from types import MappingProxyType

from . import attention as ac
from . import layers as lc
from . import recurrent as rc
from .layers import NoRule
from .operators import OPERATOR_COUNTERS

#: Layers that compute in training alone.
NOISE = (
    "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout1D",
    "SpatialDropout2D", "SpatialDropout3D",
)

#: Layers that compute nothing in inference.
ZERO_LAYERS = (
    *NOISE, "ActivityRegularization", "Concatenate", "Cropping1D", "Cropping2D", "Cropping3D",
    "Flatten", "Identity", "InputLayer", "Permute", "RepeatVector", "Reshape", "ZeroPadding1D",
    "ZeroPadding2D", "ZeroPadding3D",
)

#: Layers that have no rule and are counted from their traced graph.
TRACED_LAYERS = (
    *(f"Adaptive{kind}Pooling{n}D" for kind in ("Average", "Max") for n in (1, 2, 3)),
    "AugMix", "AutoContrast", "CategoryEncoding", "CenterCrop",
    "ContrastLimitedAdaptiveHistogramEqualization", "CutMix", "Discretization", "Equalization",
    "FlaxLayer", "HashedCrossing", "Hashing", "IntegerLookup", "JaxLayer", "Lambda", "Layer",
    "MaxNumBoundingBoxes", "MelSpectrogram", "MixUp", "Pipeline", "RandAugment",
    "RandomBrightness", "RandomColorDegeneration", "RandomColorJitter", "RandomContrast",
    "RandomCrop", "RandomElasticTransform", "RandomErasing", "RandomFlip", "RandomGaussianBlur",
    "RandomGrayscale", "RandomHue", "RandomInvert", "RandomPerspective", "RandomPosterization",
    "RandomRotation", "RandomSaturation", "RandomSharpness", "RandomShear", "RandomTranslation",
    "RandomZoom", "Resizing", "STFTSpectrogram", "Solarization", "StringLookup", "TFSMLayer",
    "TextVectorization", "TorchModuleWrapper", "UpSampling1D", "UpSampling2D", "UpSampling3D",
    "Wrapper",
)

#: Layers that hold others -> function of a LayerCall and of the function that counts what is held.
WRAPPERS = MappingProxyType({
    "Bidirectional": rc.bidirectional, "TimeDistributed": rc.time_distributed,
    "SpectralNormalization": rc.as_wrapped, "StackedRNNCells": rc.stacked_cells,
    **dict.fromkeys(("SimpleRNN", "LSTM", "GRU", "RNN"), rc.rnn),
})

#: Kind of layer -> function of a LayerCall that counts it. Coverage at a glance.
OP_COUNTERS = MappingProxyType({
    "Dense": lc.dense,
    **{f"Conv{n}D": lc.conv for n in (1, 2, 3)},
    "DepthwiseConv1D": lc.depthwise_conv, "DepthwiseConv2D": lc.depthwise_conv,
    "SeparableConv1D": lc.separable_conv, "SeparableConv2D": lc.separable_conv,
    **{f"MaxPooling{n}D": lc.max_pool for n in (1, 2, 3)},
    **{f"AveragePooling{n}D": lc.average_pool for n in (1, 2, 3)},
    **{f"GlobalMaxPooling{n}D": lc.reduction("max") for n in (1, 2, 3)},
    **{f"GlobalAveragePooling{n}D": lc.reduction("add", final="div") for n in (1, 2, 3)},
    **{f"Conv{n}DTranspose": lc.conv_transpose for n in (1, 2, 3)},
    "EinsumDense": ac.einsum_dense, "Embedding": ac.embedding, "Masking": lc.masking,
    "ReversibleEmbedding": ac.reversible_embedding,
    "MultiHeadAttention": ac.multi_head_attention,
    "GroupedQueryAttention": ac.group_query_attention,
    "Attention": ac.dot_attention, "AdditiveAttention": ac.additive_attention,
    "SimpleRNNCell": rc.simple_cell, "LSTMCell": rc.lstm_cell, "GRUCell": rc.gru_cell,
    "ConvLSTM1D": rc.conv_lstm, "ConvLSTM2D": rc.conv_lstm, "ConvLSTM3D": rc.conv_lstm,
    "BatchNormalization": lc.batch_normalization, "LayerNormalization": lc.layer_normalization,
    "GroupNormalization": lc.group_normalization, "RMSNormalization": lc.rms_normalization,
    "UnitNormalization": lc.unit_normalization, "Normalization": lc.normalization,
    "Rescaling": lc.rescaling,
    "Activation": lc.activation_by_name,
    **dict.fromkeys(lc.ACTIVATION_LAYERS, lc.activation_layer),
    "Add": lc.merge("add"), "Subtract": lc.merge("add"), "Multiply": lc.merge("mul"),
    "Average": lc.merge("add", final="div"), "Maximum": lc.merge("max"),
    "Minimum": lc.merge("max"), "Dot": lc.dot,
    **WRAPPERS, **OPERATOR_COUNTERS,
    **dict.fromkeys(ZERO_LAYERS, lc.zero), **dict.fromkeys(TRACED_LAYERS, lc.no_rule),
})


def find_counter(layer, kind, counters=OP_COUNTERS):
    """Return the counter of a layer: by its class where that is a key, else by its kind."""
    return counters.get(type(layer)) or counters.get(kind, lc.no_rule)


def user_counter(layer, kind, counters):
    """Return the counter that the user gave for a layer, None where it is the toolkit's own."""
    if counters is OP_COUNTERS:
        return None
    counter = find_counter(layer, kind, counters)
    return None if counter in (OP_COUNTERS.get(kind), lc.no_rule) else counter


__all__ = ["NOISE", "OP_COUNTERS", "TRACED_LAYERS", "WRAPPERS", "ZERO_LAYERS", "NoRule",
           "find_counter", "user_counter"]
