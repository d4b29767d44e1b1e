"""Families of Keras models whose energy is to be explained: factors as columns, models on demand.

A model set is a pandas table, one row a configuration, with a ``configuration`` name and a column
for every factor; ``table.attrs["family"]`` names the function in `BUILDERS` that builds a row.
"""

from itertools import product

import numpy as np
import pandas as pd

ACTIVATIONS = ("relu", "tanh", "sigmoid", "gelu", "silu", "softmax", "elu", "softplus")


def feed_forward(depths=(1, 2, 4), widths=(64, 256, 1024), activations=ACTIVATIONS,
                 batch_norms=(False, True), input_sizes=(16, 256, 4096),
                 batch_size=256, n=72, seed=0) -> pd.DataFrame:
    """Return a feed-forward model set: `n` configurations drawn from the grid of the factors.

    Non-linear work grows with depth x width and MACs with depth x width^2, so the two go
    together in a plain grid. The draw is the best of 500 stratified ones: every level of every
    factor as often as any other, least correlation between log MACs and log non-linear
    elements. The input size moves MACs alone, and softmax, sigmoid and the like move non-linear
    work alone.

    Parameters
    ----------
    depths : sequence of int
        Hidden layers.
    widths : sequence of int
        Units of a hidden layer.
    activations : sequence of str
    batch_norms : sequence of bool
        Batch normalisation before each activation.
    input_sizes : sequence of int
        Features of the input.
    batch_size : int
        Samples of a step.
    n : int or None
        Configurations to draw; None takes the whole grid.
    seed : int

    Returns
    -------
    pandas.DataFrame
        ``configuration``, ``depth``, ``width``, ``activation``, ``batch_norm``, ``input_size``,
        ``batch_size``.

    Raises
    ------
    ValueError
        An empty factor, or a size that is no integer of at least 1.

    Examples
    --------
    >>> feed_forward(n=2).columns.tolist()[:3]
    ['configuration', 'depth', 'width']
    """
    factors = {"depth": depths, "width": widths, "activation": activations,
               "batch_norm": batch_norms, "input_size": input_sizes, "batch_size": (batch_size,)}
    table = _grid("feed_forward", factors, sizes=("depth", "width", "input_size", "batch_size"))
    if n is None or n >= len(table):
        return table
    if n < 1:
        raise ValueError(f"n: {n!r} configurations cannot be drawn; give at least 1, or None")
    macs = np.log(table.width * (table.input_size + (table.depth - 1) * table.width))
    weight = table.activation.map({"relu": 0.05}).fillna(3.0)  # in MACs, roughly
    work = np.log(table.depth * table.width * weight)
    rng = np.random.default_rng(seed)
    draws = [_stratified(table, n, rng) for _ in range(500 if n > 2 else 1)]
    best = min(draws, key=lambda rows: abs(np.corrcoef(macs[rows], work[rows])[0, 1])
               if len(rows) > 2 else 0.0)
    drawn = table.loc[np.sort(best)].reset_index(drop=True)
    drawn.attrs = table.attrs
    return drawn


def convolutional(depths=(2, 4), filters=(16, 64), kernels=(1, 3, 5), depthwise=(False, True),
                  activations=("relu", "sigmoid", "gelu", "silu"), batch_norms=(False, True),
                  image_size=32, batch_size=32, n=48, seed=0) -> pd.DataFrame:
    """Return a convolutional model set: `n` configurations drawn from the grid of the factors.

    Parameters
    ----------
    depths : sequence of int
        Blocks of convolution, normalisation and activation.
    filters, kernels : sequence of int
        Channels of a block, side of its kernel.
    depthwise : sequence of bool
        Depthwise instead of full convolutions after the first.
    activations, batch_norms, batch_size, n, seed
        As in `feed_forward`.
    image_size : int
        Side of the image, in pixels, with three channels.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    ValueError
        As `feed_forward`.

    Examples
    --------
    >>> len(convolutional(n=None))
    192
    """
    factors = {"depth": depths, "filters": filters, "kernel": kernels, "depthwise": depthwise,
               "activation": activations, "batch_norm": batch_norms,
               "image_size": (image_size,), "batch_size": (batch_size,)}
    table = _grid("convolutional", factors,
                  sizes=("depth", "filters", "kernel", "image_size", "batch_size"))
    if n is None or n >= len(table):
        return table
    if n < 1:
        raise ValueError(f"n: {n!r} configurations cannot be drawn; give at least 1, or None")
    rows = _stratified(table, n, np.random.default_rng(seed))
    drawn = table.loc[np.sort(rows)].reset_index(drop=True)
    drawn.attrs = table.attrs
    return drawn


def _grid(family, factors, sizes):
    for name, values in factors.items():
        if len(values) == 0:
            raise ValueError(f"{name}: no value given; pass at least one")
        for value in values:
            if name in sizes and (isinstance(value, bool) or not isinstance(value, int)
                                  or value < 1):
                raise ValueError(f"{name}: {value!r} is no integer of at least 1")
    table = pd.DataFrame(list(product(*factors.values())), columns=list(factors))
    varied = [name for name, values in factors.items() if len(values) > 1] or list(factors)[:1]
    labels = table[varied].apply(
        lambda row: " ".join(f"{k}={v}" for k, v in row.items()), axis=1)
    table.insert(0, "configuration", labels)
    table.attrs["family"] = family
    return table


def _stratified(table, n, rng):
    """Draw n rows so that each level of each factor appears about equally often."""
    order = rng.permutation(len(table))
    factors = [c for c in table.columns if c != "configuration" and table[c].nunique() > 1]
    codes = np.column_stack([pd.factorize(table[c])[0] for c in factors])[order]
    seen = [np.zeros(codes[:, j].max() + 1) for j in range(codes.shape[1])]
    free = np.ones(len(table), bool)
    chosen = []
    for _ in range(n):
        load = sum(seen[j][codes[:, j]] * len(seen[j]) for j in range(codes.shape[1]))
        pick = int(np.argmin(np.where(free, load, np.inf)))
        free[pick] = False
        chosen.append(order[pick])
        for j in range(codes.shape[1]):
            seen[j][codes[pick, j]] += 1
    return np.array(chosen)


def build(row, family="feed_forward"):
    """Return the Keras model of one row of a model set.

    Raises
    ------
    ValueError
        `family` is not one of `BUILDERS`.

    Examples
    --------
    >>> table = feed_forward(n=1)
    >>> build(table.iloc[0], table.attrs["family"]).count_params() > 0
    True
    """
    if family not in BUILDERS:
        raise ValueError(f"family: {family!r} is unknown; there are {', '.join(BUILDERS)}")
    return BUILDERS[family](row)


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

    layers = [keras.Input((int(row["image_size"]),) * 2 + (3,))]
    for i in range(int(row["depth"])):
        kernel = int(row["kernel"])
        layers.append(
            keras.layers.DepthwiseConv2D(kernel, padding="same") if row["depthwise"] and i
            else keras.layers.Conv2D(int(row["filters"]), kernel, padding="same"))
        if row["batch_norm"]:
            layers.append(keras.layers.BatchNormalization())
        layers.append(keras.layers.Activation(row["activation"]))
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)]
    return keras.Sequential(layers)


#: Family -> function that builds the Keras model of a row.
BUILDERS = {"feed_forward": _feed_forward, "convolutional": _convolutional}


def design_correlation(rows) -> float:
    """Return the correlation of log MACs and log non-linear TOs over the rows of a counted set.

    Rows need ``macs`` and ``tos_nonlinear`` (`add_indices`); those with no non-linear work have
    no logarithm and are left out.

    Raises
    ------
    ValueError
        Fewer than three rows with non-linear work.

    Examples
    --------
    >>> rows = pd.DataFrame({"macs": [1, 10, 100], "tos_nonlinear": [5, 50, 500]})
    >>> round(design_correlation(rows), 6)
    1.0
    """
    rows = rows[rows.tos_nonlinear > 0]
    if len(rows) < 3:
        raise ValueError(f"rows: {len(rows)} have non-linear work; a correlation needs 3")
    return float(np.corrcoef(np.log(rows.macs), np.log(rows.tos_nonlinear))[0, 1])
