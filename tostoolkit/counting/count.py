"""Layer calls -> op counts.

Conventions
-----------
* Counts say what is computed, not how silicon does it: a tanh is one ``tanh``.
* Counts are integers, per forward pass of one batch, and add up.
* ``mac`` is one multiply-accumulate of a contraction; K products per output are K MACs. It is
  one op, never silently one or two FLOPs: the ``flops`` cost table says 2, ``macs`` says 1.
* A bias is one ``add`` per output.
* With ``same`` padding the padded taps count: a convolution is outputs x taps x channels.
* A reduction over n values is n - 1 ops per output; a mean adds one ``div``.
* ``max`` is every comparison-based choice: max, min, compare, ReLU, pooling, sign.
* Batch normalisation in inference takes its reciprocal root once per channel.
* What a kernel fuses counts by its definition: softmax is, per element, a subtraction, an
  exponential and a division, and per row of n, n - 1 comparisons and n - 1 additions.
* The dtype is part of the op: that in which the layer computes; a comparison's is that of its
  operands, a conversion's that of its source.
* A constant that changes nothing (x 1, x + 0) is no work.
* Where a layer computes in another dtype than it stores (mixed precision) or is quantised, it is
  counted from its traced graph, conversions and scaling included, and so is a layer without a rule.
* Quantised layers count as Keras runs them: int8 multiplies in int8 and accumulates in int32; int4
  keeps its weights packed, unpacks them and multiplies in the layer's dtype; float8 rounds to
  float8 and back and multiplies in the layer's dtype (a compiler may fuse that into float8 units).
* Training is forward in training mode, backward and the update, by rule or from the traced graph.
* Dropout and noise layers are nothing in inference. Index arithmetic, copies and reshapes are
  data movement, not arithmetic.

Extend with a value: ``count_ops(model, counters=OP_COUNTERS | {"MyLayer": f})`` where ``f`` takes a
`LayerCall` and returns a Counter of ``(dtype, op)``.
"""

from collections import Counter
from dataclasses import replace
from types import MappingProxyType

import pandas as pd

from ..op_kinds import OP_KINDS
from .introspection import call_graph, layer_calls
from .rules import attention as ac
from .rules import layers as lc
from .rules import normalization as nc
from .rules import recurrent as rc
from .rules.operators import OPERATOR_COUNTERS
from .rules.training import count_step
from .trace import loss_and_optimizer, trace_call, trace_ops

#: Layers that compute nothing in inference.
ZERO_LAYERS = (
    "ActivityRegularization", "AlphaDropout", "Concatenate", "Cropping1D", "Cropping2D",
    "Cropping3D", "Dropout", "Flatten", "GaussianDropout", "GaussianNoise", "Identity",
    "InputLayer", "Permute", "RepeatVector", "Reshape", "SpatialDropout1D", "SpatialDropout2D",
    "SpatialDropout3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D",
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

#: Kind of layer -> function of a LayerCall that counts it. Coverage at a glance.
OP_COUNTERS = MappingProxyType({
    "Dense": lc.dense,
    "Conv1D": lc.conv, "Conv2D": lc.conv, "Conv3D": lc.conv,
    "DepthwiseConv1D": lc.depthwise_conv, "DepthwiseConv2D": lc.depthwise_conv,
    "SeparableConv1D": lc.separable_conv, "SeparableConv2D": lc.separable_conv,
    "MaxPooling1D": lc.max_pool, "MaxPooling2D": lc.max_pool, "MaxPooling3D": lc.max_pool,
    "AveragePooling1D": lc.average_pool, "AveragePooling2D": lc.average_pool,
    "AveragePooling3D": lc.average_pool,
    "GlobalMaxPooling1D": lc.global_max_pool, "GlobalMaxPooling2D": lc.global_max_pool,
    "GlobalMaxPooling3D": lc.global_max_pool,
    "GlobalAveragePooling1D": lc.global_average_pool,
    "GlobalAveragePooling2D": lc.global_average_pool,
    "GlobalAveragePooling3D": lc.global_average_pool,
    "Conv1DTranspose": lc.conv_transpose, "Conv2DTranspose": lc.conv_transpose,
    "Conv3DTranspose": lc.conv_transpose,
    "EinsumDense": ac.einsum_dense, "Embedding": ac.embedding, "Masking": lc.masking,
    "ReversibleEmbedding": ac.reversible_embedding,
    "SpectralNormalization": lambda call: count_call(
        replace(call, kind=type(call.layer.layer).__name__, layer=call.layer.layer)),
    "MultiHeadAttention": ac.multi_head_attention,
    "GroupedQueryAttention": ac.group_query_attention,
    "Attention": ac.dot_attention, "AdditiveAttention": ac.additive_attention,
    "SimpleRNN": rc.rnn, "LSTM": rc.rnn, "GRU": rc.rnn, "RNN": rc.rnn,
    "SimpleRNNCell": rc.cell, "LSTMCell": rc.cell, "GRUCell": rc.cell, "StackedRNNCells": rc.cell,
    "ConvLSTM1D": rc.conv_lstm, "ConvLSTM2D": rc.conv_lstm, "ConvLSTM3D": rc.conv_lstm,
    "Bidirectional": rc.bidirectional(lambda call: count_call(call)),
    "TimeDistributed": rc.time_distributed(lambda call: count_call(call)),
    "BatchNormalization": nc.batch_normalization, "LayerNormalization": nc.layer_normalization,
    "GroupNormalization": nc.group_normalization, "RMSNormalization": nc.rms_normalization,
    "UnitNormalization": nc.unit_normalization, "Normalization": nc.normalization,
    "Rescaling": lc.rescaling,
    "Activation": lc.activation_by_name,
    "ReLU": lc.activation_layer, "LeakyReLU": lc.activation_layer, "ELU": lc.activation_layer,
    "PReLU": lc.activation_layer, "Softmax": lc.activation_layer,
    "Add": lc.merge("add"), "Subtract": lc.merge("add"), "Multiply": lc.merge("mul"),
    "Average": lc.merge("add", final="div"), "Maximum": lc.merge("max"),
    "Minimum": lc.merge("max"), "Dot": lc.dot,
    **dict.fromkeys(ZERO_LAYERS, lc.zero), **dict.fromkeys(TRACED_LAYERS, trace_call),
    **OPERATOR_COUNTERS,
})


def count_call(call, counters=OP_COUNTERS) -> Counter:
    """Return the op counts of one layer call: by its rule, else from its traced graph.

    Raises
    ------
    TraceError
        There is no counter for its kind and it cannot be traced; the message says how to add one.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from tostoolkit.counting.introspection import LayerCall, Tensor
    >>> dense = SimpleNamespace(use_bias=True, activation=None)
    >>> count_call(LayerCall("d", "Dense", dense, (Tensor((2, 3)),), (Tensor((2, 4)),)))
    Counter({('float32', 'mac'): 24, ('float32', 'add'): 8})
    """
    return counted(call, counters)[0]


def counted(call, counters=OP_COUNTERS) -> tuple[Counter, str]:
    """Return the op counts of a call and how they were found: ``rule``, ``trace`` or ``zero``."""
    counter = counters.get(call.kind, trace_call)
    if counter is lc.zero:
        return Counter(), "zero"
    own = counter is not OP_COUNTERS.get(call.kind)
    if counter is not trace_call and (own or not _computes_otherwise(call)):
        try:
            return counter(call), "rule"
        except lc.NoRule:
            pass
    return trace_call(call), "trace"


def _computes_otherwise(call):
    """Whether the layer is quantised, or computes in another dtype than it stores."""
    layer = call.layer
    policy = getattr(layer, "dtype_policy", None)
    if policy is None or call.kind in ZERO_LAYERS:
        return False
    return (getattr(layer, "quantization_mode", None) is not None
            or policy.compute_dtype != policy.variable_dtype
            or any(t.dtype != policy.compute_dtype and t.dtype.startswith(("float", "bfloat"))
                   for t in call.inputs))


def count_ops(model, batch_size=1, phase="inference", *, input_shape=None, counters=OP_COUNTERS,
              loss=None, optimizer=None):
    """Return the op counts of `model`, layer by layer.

    Parameters
    ----------
    model : keras.Model or keras.Layer
    batch_size : int
        Samples in the batch that the counts are for.
    phase : {"inference", "training"}
        A training step is counted by rule where all of it has one (`training_counters`), else from
        its traced graph (`op_trace.trace_ops`).
    input_shape : tuple of int, optional
        Shape of one sample, where the model leaves a dimension open.
    counters : mapping of str to function
        Kind of layer -> counter; for inference.
    loss, optimizer : str or Keras object, optional
        For training; those of the compiled model, when left out.

    Returns
    -------
    pandas.DataFrame
        Integers; one row a layer call, index ``(layer, kind)``; columns ``(dtype, op)``.
        Every layer call has its row, all zero where it computes nothing. For training ``kind`` is
        the part of the step: ``forward``, ``backward`` or ``update``.

    Raises
    ------
    ValueError
        A layer without a counter that cannot be traced, an unbuilt model, an unknown
        dimension, `batch_size` below 1,
        an unknown `phase`.
    TypeError
        `model` is no Keras model; `batch_size` no integer.

    Examples
    --------
    >>> import keras
    >>> dense = keras.layers.Dense(4, activation="tanh", name="hidden")
    >>> model = keras.Sequential([keras.Input((8,)), dense])
    >>> count_ops(model).loc["hidden"].iloc[0].to_dict()
    {('float32', 'mac'): 32, ('float32', 'add'): 4, ('float32', 'tanh'): 4}
    """
    check_phase(phase)
    if phase == "inference":
        return count_calls(layer_calls(model, batch_size, input_shape), counters)
    try:
        step = count_step(model, *call_graph(model, batch_size, input_shape),
                          *loss_and_optimizer(model, loss, optimizer), count_call)
    except lc.NoRule:
        table = trace_ops(model, batch_size, phase, input_shape=input_shape, loss=loss,
                          optimizer=optimizer).swaplevel().rename_axis(["layer", "kind"])
        table.attrs["coverage"] = {"trace": len(table)}
        return table
    table = counts_table(step)
    table.attrs["coverage"] = {"rule": len(table)}
    return table


def check_phase(phase):
    """Raise ValueError unless `phase` is one that can be counted."""
    if phase not in ("inference", "training"):
        raise ValueError(f"phase: {phase!r} is unknown; use phase='inference' or 'training'")


def count_calls(calls, counters=OP_COUNTERS) -> pd.DataFrame:
    """Return the op counts of a list of layer calls, as `count_ops` does for a model.

    ``attrs["coverage"]`` says how many calls were counted by ``rule``, by ``trace``, as ``zero``.
    """
    found = {(call.path, call.kind): counted(call, counters) for call in calls}
    table = counts_table({key: counts for key, (counts, _) in found.items()})
    table.attrs["coverage"] = dict(Counter(method for _, method in found.values()))
    return table


def counts_table(counts):
    """Return the DataFrame of a dict ``(layer, kind) -> Counter``; columns in a fixed order."""
    kinds = {op: i for i, op in enumerate(OP_KINDS)}
    columns = sorted({key for c in counts.values() for key in c}, key=lambda k: (k[0], kinds[k[1]]))
    return pd.DataFrame(
        [[c[key] for key in columns] for c in counts.values()],
        index=pd.MultiIndex.from_tuples(counts, names=["layer", "kind"]),
        columns=pd.MultiIndex.from_arrays(
            [[dtype for dtype, _ in columns], [op for _, op in columns]], names=["dtype", "op"]),
        dtype="int64",
    )
