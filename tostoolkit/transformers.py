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


def encoder(blocks, width, heads, vocabulary, context, classes=2, feed_forward=4, name="encoder"):
    """Return a transformer that classifies a sequence by the mean of its vectors.

    Parameters and errors as for `decoder`; every token sees every other.

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
    x = _blocks(x, blocks, width, heads, feed_forward, causal=False)
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


def _blocks(x, blocks, width, heads, feed_forward, causal):
    from keras import layers

    for i in range(blocks):
        y = layers.LayerNormalization(name=f"block_{i}_norm_1")(x)
        attention = layers.MultiHeadAttention(heads, width // heads, name=f"block_{i}_attention")
        x = x + attention(y, y, use_causal_mask=causal)
        y = layers.LayerNormalization(name=f"block_{i}_norm_2")(x)
        y = layers.Dense(feed_forward * width, activation="gelu", name=f"block_{i}_wide")(y)
        x = x + layers.Dense(width, name=f"block_{i}_narrow")(y)
    return layers.LayerNormalization(name="norm")(x)
