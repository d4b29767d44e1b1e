"""Builders of Keras models: of the families' rows, and transformers of any size.

A builder takes a row of factors and returns its model; `families` says which family it builds.
Transformers are blocks of layer normalisation, self-attention, layer normalisation and a GELU
network, each of the two behind a skip connection (Radford et al., "Language Models are Unsupervised
Multitask Learners", 2019, section 2.3). Built under `tos.abstract`, they take no memory to count.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import keras

#: Outputs of every model of a family.
CLASSES = 10
#: Groups of a group normalisation.
GROUPS = 8
#: Side of an image in pixels from which on it is pooled.
LEAST_POOLED = 4


class Normalization(NamedTuple):
    """A level of a normalisation: a layer and its arguments.

    That is the name of one in ``keras.layers``, or a class or function that returns one, with
    ``name=``; None leaves its input as it is.
    """

    layer: str | Callable | None
    arguments: Mapping[str, Any] = {}
    of_a_token: bool = False  # it normalises the vector of a token, so that transformers have it


#: Level -> what it puts there.
NORMALIZATIONS = {
    "none": Normalization(None, of_a_token=True),
    "batch": Normalization("BatchNormalization"),
    "layer": Normalization("LayerNormalization", of_a_token=True),
    "rms": Normalization("RMSNormalization", of_a_token=True),
    "group": Normalization("GroupNormalization", {"groups": GROUPS}),
}
OF_A_TOKEN = tuple(level for level, record in NORMALIZATIONS.items() if record.of_a_token)
POOLINGS = {"none": None, "max": "MaxPooling2D", "average": "AveragePooling2D"}


def _normalization(level, **arguments):
    """Return the layer of a level of `NORMALIZATIONS`; None of "none"."""
    import keras

    layer, always, _ = NORMALIZATIONS[level]
    if layer is None:
        return None
    make = getattr(keras.layers, layer) if isinstance(layer, str) else layer
    return make(**always, **arguments)


def _flag(row, name) -> bool:
    """Return a factor that is true or false, which a CSV may hold as text."""
    flags = {"True": True, "1": True, "1.0": True, "False": False, "0": False, "0.0": False}
    if str(row[name]) not in flags:
        raise ValueError(f"{name}: {row[name]!r} is neither True nor False; set it to one of them")
    return flags[str(row[name])]


def feed_forward_model(row: Mapping[str, Any]) -> "keras.Model":
    """Return the feed-forward network of a row: ``depth`` hidden layers of one ``width``.

    >>> row = {"depth": 1, "width": 8, "activation": "relu", "batch_norm": False, "input_size": 4}
    >>> feed_forward_model(row).count_params()
    130
    """
    import keras

    layers = [keras.Input((int(row["input_size"]),))]
    for _ in range(int(row["depth"])):
        layers.append(keras.layers.Dense(int(row["width"])))
        if _flag(row, "batch_norm"):
            layers.append(keras.layers.BatchNormalization())
        layers.append(keras.layers.Activation(row["activation"]))
    return keras.Sequential([*layers, keras.layers.Dense(CLASSES)])


def convolutional_model(row: Mapping[str, Any]) -> "keras.Model":
    """Return the convolutional network of a row: ``depth`` blocks, the mean of each channel."""
    import keras

    side, kernel = int(row["image_size"]), int(row["kernel"])
    layers = [keras.Input((side, side, 3))]
    for block in range(int(row["depth"])):
        layers.append(
            keras.layers.DepthwiseConv2D(kernel, padding="same")
            if block and _flag(row, "depthwise")
            else keras.layers.Conv2D(int(row["filters"]), kernel, padding="same"))
        layers.append(_normalization(row["normalization"]))
        layers.append(keras.layers.Activation(row["activation"]))
        pooling = POOLINGS[row["pooling"]]
        if pooling and side >= LEAST_POOLED:
            layers.append(getattr(keras.layers, pooling)(2))
            side //= 2
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(CLASSES)]
    return keras.Sequential([layer for layer in layers if layer is not None])


def transformer_model(row: Mapping[str, Any]) -> "keras.Model":
    """Return the transformer of a row, an `encoder` of as many classes as the other families."""
    return encoder(int(row["blocks"]), int(row["width"]), int(row["heads"]),
                   int(row["vocabulary"]), int(row["sequence"]), classes=CLASSES,
                   activation=row["activation"], normalization=row["normalization"])


def decoder(blocks: int, width: int, heads: int, vocabulary: int, context: int,
            feed_forward: int = 4, name: str = "decoder") -> "keras.Model":
    """Return a decoder-only language model, as GPT-2 and GPT-3 are.

    GPT-3 is ``decoder(96, 12288, 96, 50257, 2048)`` (Brown et al., arXiv:2005.14165, table 2.1).

    Parameters
    ----------
    blocks, width, heads, vocabulary, context : int
        Layers, model dimension, attention heads, tokens known, tokens in a sequence.
    feed_forward : int
        Width of the network in a block, in model dimensions.

    Raises
    ------
    ValueError
        `width` is not a multiple of `heads`.

    Examples
    --------
    >>> model = decoder(2, 64, 4, 1000, 128)
    >>> model.output_shape
    (None, 128, 1000)
    """
    import keras

    tokens, x = _vectors(blocks, width, heads, vocabulary, context, feed_forward, causal=True)
    logits = keras.layers.Dense(vocabulary, use_bias=False, name="logits")
    return keras.Model(tokens, logits(x), name=name)


def encoder(blocks: int, width: int, heads: int, vocabulary: int, context: int, classes: int = 2,
            feed_forward: int = 4, name: str = "encoder", activation: str = "gelu",
            normalization: str = "layer") -> "keras.Model":
    """Return a transformer that classifies a sequence by the mean of its vectors.

    Parameters and errors as for `decoder`; every token sees every other.

    Parameters
    ----------
    classes : int
        Outputs, without a softmax.
    activation : str
        Keras activation of the network in a block.
    normalization : {"layer", "rms", "none"}
        Before attention, before the network, and at the end.

    Raises
    ------
    ValueError
        Also an unknown `normalization`.

    Examples
    --------
    >>> model = encoder(2, 64, 4, 1000, 128)
    >>> model.output_shape
    (None, 2)
    """
    import keras

    tokens, x = _vectors(blocks, width, heads, vocabulary, context, feed_forward, causal=False,
                         activation=activation, normalization=normalization)
    x = keras.layers.GlobalAveragePooling1D(name="mean")(x)
    return keras.Model(tokens, keras.layers.Dense(classes, name="classes")(x), name=name)


def _vectors(blocks, width, heads, vocabulary, context, feed_forward, causal, activation="gelu",
             normalization="layer"):
    """Return (input, vectors): embeddings of tokens and of positions, after the blocks."""
    import keras
    from keras import layers

    if width % heads:
        raise ValueError(f"heads: a width of {width} does not divide into {heads} heads")
    if normalization not in OF_A_TOKEN:
        raise ValueError(f"normalization: {normalization!r} is unknown; use one of "
                         f"{', '.join(OF_A_TOKEN)}")

    def normalized(x, name):
        layer = _normalization(normalization, name=name)
        return x if layer is None else layer(x)

    tokens = keras.Input((context,), dtype="int32", name="tokens")
    x = layers.Embedding(vocabulary, width, name="token_embedding")(tokens)
    # 0, 1, 2, ... from the tokens, so that the embedding is part of the graph
    positions = keras.ops.cumsum(keras.ops.ones_like(tokens), axis=1) - 1
    x = x + layers.Embedding(context, width, name="position_embedding")(positions)
    for i in range(blocks):
        y = normalized(x, f"block_{i}_norm_1")
        attention = layers.MultiHeadAttention(heads, width // heads, name=f"block_{i}_attention")
        x = x + attention(y, y, use_causal_mask=causal)
        y = normalized(x, f"block_{i}_norm_2")
        y = layers.Dense(feed_forward * width, activation=activation, name=f"block_{i}_wide")(y)
        x = x + layers.Dense(width, name=f"block_{i}_narrow")(y)
    return tokens, normalized(x, "norm")
