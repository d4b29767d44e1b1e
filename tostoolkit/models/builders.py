"""A row of a model set -> its Keras model, under the row's dtype policy."""

from .transformers import encoder

#: Groups of a group normalisation.
GROUPS = 8


def build(row, family="feed_forward", builders=None):
    """Return the Keras model of one row of a model set.

    Parameters
    ----------
    row : pandas.Series or dict
        The factors; ``dtype``, a Keras dtype policy, is float32 where there is none.
    family : str
        One of `builders`.
    builders : mapping of str to function, optional
        Family -> function of a row that returns its model; `BUILDERS`, when left out.

    Raises
    ------
    ValueError
        `family` is not one of `builders`; the dtype is no policy that Keras knows.

    Examples
    --------
    >>> row = {"depth": 1, "width": 8, "activation": "relu", "batch_norm": False, "input_size": 4}
    >>> build(row, "feed_forward").count_params()
    130
    """
    import keras

    builders = BUILDERS if builders is None else builders
    if family not in builders:
        raise ValueError(f"family: {family!r} is unknown; there are {', '.join(builders)}")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(row.get("dtype", "float32"))
    try:
        return builders[family](row)
    finally:
        keras.config.set_dtype_policy(before)


def _feed_forward(row):
    import keras

    layers = [keras.Input((int(row["input_size"]),))]
    for _ in range(int(row["depth"])):
        layers.append(keras.layers.Dense(int(row["width"])))
        if row["batch_norm"]:
            layers.append(keras.layers.BatchNormalization())
        layers.append(keras.layers.Activation(row["activation"]))
    return keras.Sequential([*layers, keras.layers.Dense(10)])


def _convolutional(row):
    import keras

    side, kernel = int(row["image_size"]), int(row["kernel"])
    layers = [keras.Input((side, side, 3))]
    for i in range(int(row["depth"])):
        layers.append(
            keras.layers.DepthwiseConv2D(kernel, padding="same") if row["depthwise"] and i
            else keras.layers.Conv2D(int(row["filters"]), kernel, padding="same"))
        layers += NORMALIZATIONS[row["normalization"]]()
        layers.append(keras.layers.Activation(row["activation"]))
        if row["pooling"] != "none" and side >= 4:
            layers.append({"max": keras.layers.MaxPooling2D,
                           "average": keras.layers.AveragePooling2D}[row["pooling"]](2))
            side //= 2
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)]
    return keras.Sequential(layers)


def _normalization(kind, **arguments):
    def layer():
        import keras

        return [getattr(keras.layers, kind)(**arguments)]
    return layer


#: Level of a convolutional network's normalisation -> function that returns its layers.
NORMALIZATIONS = {
    "none": list, "batch": _normalization("BatchNormalization"),
    "layer": _normalization("LayerNormalization"),
    "group": _normalization("GroupNormalization", groups=GROUPS),
}


def _transformer(row):
    return encoder(int(row["blocks"]), int(row["width"]), int(row["heads"]),
                   int(row["vocabulary"]), int(row["sequence"]), classes=10,
                   activation=row["activation"], normalization=row["normalization"])


#: Family -> function that builds the Keras model of a row.
BUILDERS = {"feed_forward": _feed_forward, "convolutional": _convolutional,
            "transformer": _transformer}
