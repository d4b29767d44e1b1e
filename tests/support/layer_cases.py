"""One or more configurations of every layer that Keras ships, for checks of rule against trace."""

import keras
from keras import layers

#: Layer class -> [(keyword arguments, shapes of one sample of each input), ...].
CASES = {
    "Activation": [({"activation": a}, [(5, 6)]) for a in (
        "relu", "gelu", "softmax", "silu", "mish", "softplus", "log_softmax", "hard_sigmoid")],
    "ActivityRegularization": [({}, [(4,)])],
    "AdaptiveAveragePooling1D": [({"output_size": 3}, [(9, 4)])],
    "AdaptiveAveragePooling2D": [({"output_size": 2}, [(6, 8, 3)])],
    "AdaptiveAveragePooling3D": [({"output_size": 2}, [(4, 4, 6, 3)])],
    "AdaptiveMaxPooling1D": [({"output_size": 3}, [(9, 4)])],
    "AdaptiveMaxPooling2D": [({"output_size": 2}, [(6, 8, 3)])],
    "AdaptiveMaxPooling3D": [({"output_size": 2}, [(4, 4, 6, 3)])],
    "Add": [({}, [(4, 3)] * 3)], "Subtract": [({}, [(4, 3)] * 2)],
    "Multiply": [({}, [(4, 3)] * 3)], "Average": [({}, [(4, 3)] * 3)],
    "Maximum": [({}, [(4, 3)] * 3)], "Minimum": [({}, [(4, 3)] * 2)],
    "Concatenate": [({}, [(4, 3)] * 2)],
    "Dot": [({"axes": 1}, [(4, 3), (4, 5)]), ({"axes": 1, "normalize": True}, [(7,), (7,)]),
            ({"axes": (2, 1)}, [(4, 3), (3, 5)])],
    "AdditiveAttention": [({}, [(5, 6), (7, 6)]), ({"use_scale": False}, [(5, 6), (7, 6)])],
    "Attention": [({}, [(5, 6), (7, 6)]), ({"use_scale": True}, [(5, 6), (7, 6)]),
                  ({"score_mode": "concat"}, [(5, 6), (7, 6)])],
    "AlphaDropout": [({"rate": 0.3}, [(6,)])], "Dropout": [({"rate": 0.3}, [(6,)])],
    "GaussianDropout": [({"rate": 0.3}, [(6,)])], "GaussianNoise": [({"stddev": 0.3}, [(6,)])],
    "SpatialDropout1D": [({"rate": 0.3}, [(6, 2)])],
    "SpatialDropout2D": [({"rate": 0.3}, [(6, 2, 2)])],
    "SpatialDropout3D": [({"rate": 0.3}, [(6, 2, 2, 2)])],
    "AveragePooling1D": [({"pool_size": 3, "strides": 2}, [(9, 4)])],
    "AveragePooling2D": [({"pool_size": (2, 3), "padding": "same"}, [(6, 8, 3)])],
    "AveragePooling3D": [({"pool_size": 2}, [(4, 4, 6, 3)])],
    "MaxPooling1D": [({"pool_size": 3, "strides": 2, "padding": "same"}, [(9, 4)])],
    "MaxPooling2D": [({"pool_size": (2, 3)}, [(6, 8, 3)])], "MaxPooling3D": [
        ({"pool_size": 2}, [(4, 4, 6, 3)])],
    **{f"Global{kind}Pooling{n}D": [({}, [(*(4, 5, 6)[:n], 3)]),
                                    ({"keepdims": True}, [(*(4, 5, 6)[:n], 3)])]
       for n in (1, 2, 3) for kind in ("Average", "Max")},
    "BatchNormalization": [({}, [(4, 5, 3)]), ({"scale": False}, [(6,)]),
                           ({"center": False}, [(6,)]), ({"axis": 1}, [(3, 4)]),
                           ({"center": False, "scale": False}, [(6,)])],
    "LayerNormalization": [({}, [(4, 6)]), ({"scale": False}, [(4, 6)]),
                           ({"center": False}, [(4, 6)]), ({"axis": (1, 2)}, [(4, 6)])],
    "GroupNormalization": [({"groups": 2}, [(4, 5, 6)]),
                           ({"groups": 3, "scale": False, "center": False}, [(5, 6)])],
    "RMSNormalization": [({}, [(4, 6)])], "UnitNormalization": [({}, [(4, 6)])],
    "Normalization": [({}, [(4, 6)]), ({"mean": 1.0, "variance": 2.0}, [(4, 6)]),
                      ({"mean": 1.0, "variance": 2.0, "invert": True}, [(4, 6)])],
    "SpectralNormalization": [({"layer": layers.Dense(4)}, [(6,)])],
    "Bidirectional": [({"layer": layers.LSTM(3)}, [(6, 4)]),
                      ({"layer": layers.GRU(3, return_sequences=True), "merge_mode": "sum"},
                       [(6, 4)]),
                      ({"layer": layers.SimpleRNN(3), "merge_mode": "ave"}, [(6, 4)])],
    "TimeDistributed": [({"layer": layers.Dense(3)}, [(4, 5)]),
                        ({"layer": layers.Conv2D(2, 3)}, [(3, 6, 6, 2)])],
    "Conv1D": [({"filters": 4, "kernel_size": 3, "padding": "causal"}, [(9, 4)]),
               ({"filters": 4, "kernel_size": 3, "strides": 2, "groups": 2}, [(9, 4)])],
    "Conv2D": [({"filters": 4, "kernel_size": 3, "padding": "same"}, [(8, 7, 2)]),
               ({"filters": 4, "kernel_size": (2, 3), "dilation_rate": 2}, [(8, 9, 2)]),
               ({"filters": 6, "kernel_size": 3, "groups": 2, "activation": "relu"}, [(8, 9, 4)])],
    "Conv3D": [({"filters": 4, "kernel_size": 2, "use_bias": False}, [(5, 6, 7, 2)])],
    "Conv1DTranspose": [({"filters": 4, "kernel_size": 3, "strides": 2}, [(7, 3)]),
                        ({"filters": 4, "kernel_size": 3, "padding": "same"}, [(7, 3)])],
    "Conv2DTranspose": [({"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"},
                         [(5, 6, 3)])],
    "Conv3DTranspose": [({"filters": 2, "kernel_size": 2, "strides": 2}, [(3, 4, 5, 3)])],
    "DepthwiseConv1D": [({"kernel_size": 3, "depth_multiplier": 2}, [(9, 4)])],
    "DepthwiseConv2D": [({"kernel_size": 3, "padding": "same"}, [(8, 7, 4)]),
                        ({"kernel_size": 3, "strides": 2, "depth_multiplier": 2}, [(9, 9, 3)])],
    "SeparableConv1D": [({"filters": 5, "kernel_size": 3}, [(9, 4)])],
    "SeparableConv2D": [({"filters": 5, "kernel_size": 3, "depth_multiplier": 2,
                          "padding": "same"}, [(8, 7, 4)])],
    "ConvLSTM1D": [({"filters": 3, "kernel_size": 3, "padding": "same"}, [(4, 6, 2)])],
    "ConvLSTM2D": [({"filters": 3, "kernel_size": 2}, [(4, 5, 6, 2)])],
    "ConvLSTM3D": [({"filters": 2, "kernel_size": 2}, [(3, 4, 4, 4, 2)])],
    "Cropping1D": [({}, [(6, 2)])], "Cropping2D": [({}, [(6, 6, 2)])],
    "Cropping3D": [({}, [(6, 6, 6, 4)])],
    "ZeroPadding1D": [({}, [(6, 2)])], "ZeroPadding2D": [({}, [(6, 6, 2)])],
    "ZeroPadding3D": [({}, [(6, 6, 6, 2)])],
    "Dense": [({"units": 4}, [(5,)]), ({"units": 4, "use_bias": False}, [(3, 5)]),
              ({"units": 4, "activation": "gelu"}, [(2, 3, 5)])],
    "EinsumDense": [({"equation": "abc,cd->abd", "output_shape": (None, 4), "bias_axes": "d"},
                     [(5, 6)]),
                    ({"equation": "abc,cde->abde", "output_shape": (None, 2, 3)}, [(5, 6)])],
    "Embedding": [({"input_dim": 10, "output_dim": 4}, [(5,)])],
    "ReversibleEmbedding": [({"input_dim": 10, "output_dim": 4}, [(5,)])],
    "ELU": [({}, [(6,)]), ({"alpha": 0.5}, [(6,)])],
    "LeakyReLU": [({}, [(6,)])], "PReLU": [({}, [(4, 6)]), ({"shared_axes": [1]}, [(4, 6)])],
    "ReLU": [({}, [(6,)]), ({"max_value": 6}, [(6,)]), ({"negative_slope": 0.1}, [(6,)]),
             ({"max_value": 4.0, "threshold": 0.5}, [(6,)])],
    "Softmax": [({}, [(4, 6)]), ({"axis": (1, 2)}, [(4, 6)])],
    "Flatten": [({}, [(4, 3)])], "Identity": [({}, [(4,)])],
    "Permute": [({"dims": (2, 1)}, [(4, 3)])],
    "RepeatVector": [({"n": 3}, [(4,)])], "Reshape": [({"target_shape": (6, 2)}, [(4, 3)])],
    "GRU": [({"units": 3}, [(6, 4)]), ({"units": 3, "reset_after": False}, [(6, 4)]),
            ({"units": 3, "use_bias": False, "return_sequences": True}, [(6, 4)])],
    "GRUCell": [], "LSTMCell": [], "SimpleRNNCell": [], "StackedRNNCells": [],
    "LSTM": [({"units": 3}, [(6, 4)]), ({"units": 3, "use_bias": False, "unroll": True}, [(6, 4)]),
             ({"units": 3, "activation": "relu", "go_backwards": True}, [(6, 4)])],
    "SimpleRNN": [({"units": 3}, [(6, 4)])],
    "RNN": [({"cell": layers.StackedRNNCells([layers.LSTMCell(3), layers.GRUCell(2)])}, [(6, 4)])],
    "Masking": [({}, [(5, 3)])],
    "MultiHeadAttention": [
        ({"num_heads": 2, "key_dim": 3}, [(5, 6), (7, 6)]),
        ({"num_heads": 2, "key_dim": 3, "value_dim": 4, "use_bias": False}, [(5, 6), (7, 8)]),
        ({"num_heads": 2, "key_dim": 3, "output_shape": 5}, [(5, 6), (5, 6), (5, 6)]),
        ({"num_heads": 2, "key_dim": 3, "dropout": 0.3}, [(5, 6), (7, 6)])],
    "GroupQueryAttention": [
        ({"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}, [(5, 6), (7, 6)]),
        ({"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2, "dropout": 0.3},
         [(5, 6), (7, 6)])],
    "Rescaling": [({"scale": 0.5}, [(4, 4, 3)])],
    "UpSampling1D": [({"size": 2}, [(4, 3)])],
    "UpSampling2D": [({"size": 2}, [(4, 5, 3)]), ({"size": 2, "interpolation": "bilinear"},
                                                  [(4, 5, 3)])],
    "UpSampling3D": [({"size": 2}, [(2, 3, 4, 2)])],
    "Resizing": [({"height": 6, "width": 7}, [(4, 5, 3)]),
                 ({"height": 6, "width": 7, "interpolation": "nearest"}, [(4, 5, 3)])],
    "CenterCrop": [({"height": 3, "width": 3}, [(6, 6, 3)])],
    **{name: [(kwargs, [(6, 6, 3)])] for name, kwargs in {
        "RandomFlip": {}, "RandomRotation": {"factor": 0.2}, "RandomZoom": {"height_factor": 0.2},
        "RandomTranslation": {"height_factor": 0.1, "width_factor": 0.1},
        "RandomContrast": {"factor": 0.2}, "RandomBrightness": {"factor": 0.2},
    }.items()},
}


def layer_of(kind, kwargs):
    """Return a new layer; wrapped layers are made anew, so that cases do not share weights."""
    own = {k: v.__class__.from_config(v.get_config()) if isinstance(v, keras.Layer) else v
           for k, v in kwargs.items()}
    return getattr(layers, kind)(**own)


def model_of(kind, kwargs, shapes, dtype=None):
    """Return a functional model of one layer."""
    layer = layer_of(kind, kwargs | ({"dtype": dtype} if dtype else {}))
    of_indices = kind in ("Embedding", "ReversibleEmbedding")
    inputs = [keras.Input(shape, dtype="int32" if of_indices else None) for shape in shapes]
    attention = kind in ("MultiHeadAttention", "GroupQueryAttention")
    outputs = layer(*inputs) if attention else layer(inputs[0] if len(inputs) == 1 else inputs)
    return keras.Model(inputs, outputs)
