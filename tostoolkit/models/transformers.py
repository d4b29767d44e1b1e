"""Transformers as Keras models, of any size: built abstractly, they take no memory to count.

Blocks of layer normalisation, self-attention, layer normalisation and a GELU network, each of the
two behind a skip connection (Radford et al., "Language Models are Unsupervised Multitask Learners",
2019, section 2.3).
"""


def decoder(blocks, width, heads, vocabulary, context, feed_forward=4, name="decoder"):
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
        `width` is no multiple of `heads`.

    Examples
    --------
    >>> import tostoolkit as tos
    >>> with tos.abstract():
    ...     model = decoder(2, 64, 4, 1000, 128)
    >>> model.output_shape
    (None, 128, 1000)
    """
    import keras

    tokens, x = _embedded(width, heads, vocabulary, context)
    x = _blocks(x, blocks, width, heads, feed_forward, causal=True)
    logits = keras.layers.Dense(vocabulary, use_bias=False, name="logits")
    return keras.Model(tokens, logits(x), name=name)


def encoder(blocks, width, heads, vocabulary, context, classes=2, feed_forward=4, name="encoder",
            activation="gelu", normalization="layer"):
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
    >>> import tostoolkit as tos
    >>> with tos.abstract():
    ...     model = encoder(2, 64, 4, 1000, 128)
    >>> model.output_shape
    (None, 2)
    """
    import keras

    tokens, x = _embedded(width, heads, vocabulary, context)
    x = _blocks(x, blocks, width, heads, feed_forward, causal=False, activation=activation,
                normalization=normalization)
    x = keras.layers.GlobalAveragePooling1D(name="mean")(x)
    return keras.Model(tokens, keras.layers.Dense(classes, name="classes")(x), name=name)


def _embedded(width, heads, vocabulary, context):
    """Return (input, vectors): token embeddings plus position embeddings."""
    import keras
    from keras import layers

    if width % heads:
        raise ValueError(f"heads: a width of {width} does not divide into {heads} heads")
    tokens = keras.Input((context,), dtype="int32", name="tokens")
    x = layers.Embedding(vocabulary, width, name="token_embedding")(tokens)
    # 0, 1, 2, ... from the tokens, so that the embedding is part of the graph
    positions = keras.ops.cumsum(keras.ops.ones_like(tokens), axis=1) - 1
    return tokens, x + layers.Embedding(context, width, name="position_embedding")(positions)


#: Name -> Keras layer that normalises a token's vector; None leaves it as it is.
NORMALIZATIONS = {"layer": "LayerNormalization", "rms": "RMSNormalization", "none": None}


def _blocks(x, blocks, width, heads, feed_forward, causal, activation="gelu",
            normalization="layer"):
    from keras import layers

    if normalization not in NORMALIZATIONS:
        raise ValueError(f"normalization: {normalization!r} is unknown; use one of "
                         f"{', '.join(NORMALIZATIONS)}")
    kind = NORMALIZATIONS[normalization]

    def norm(x, name):
        return getattr(layers, kind)(name=name)(x) if kind else x

    for i in range(blocks):
        y = norm(x, f"block_{i}_norm_1")
        attention = layers.MultiHeadAttention(heads, width // heads, name=f"block_{i}_attention")
        x = x + attention(y, y, use_causal_mask=causal)
        y = norm(x, f"block_{i}_norm_2")
        y = layers.Dense(feed_forward * width, activation=activation, name=f"block_{i}_wide")(y)
        x = x + layers.Dense(width, name=f"block_{i}_narrow")(y)
    return norm(x, "norm")
