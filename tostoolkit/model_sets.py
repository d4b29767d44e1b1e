"""Families of Keras models whose energy is to be explained: factors as columns, models on demand.

A model set is a pandas table, one row a configuration, with a ``configuration`` name and a column
for every factor; ``table.attrs["family"]`` names the function in `BUILDERS` that builds a row.
"""

from itertools import product

import numpy as np
import pandas as pd

from .introspection import abstract
from .predictors import count_row

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
        Numbers of hidden layers.
    widths : sequence of int
        Units of each hidden layer.
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
    table = _grid("feed_forward", {
        "depths": depths, "widths": widths, "activations": activations,
        "batch_norms": batch_norms, "input_sizes": input_sizes, "batch_size": batch_size})
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
    table = _grid("convolutional", {
        "depths": depths, "filters": filters, "kernels": kernels, "depthwise": depthwise,
        "activations": activations, "batch_norms": batch_norms, "image_size": image_size,
        "batch_size": batch_size})
    if n is None or n >= len(table):
        return table
    if n < 1:
        raise ValueError(f"n: {n!r} configurations cannot be drawn; give at least 1, or None")
    rows = _stratified(table, n, np.random.default_rng(seed))
    drawn = table.loc[np.sort(rows)].reset_index(drop=True)
    drawn.attrs = table.attrs
    return drawn


#: Argument -> column of a factor, where the two differ.
_COLUMNS = {"depths": "depth", "widths": "width", "activations": "activation",
            "batch_norms": "batch_norm", "input_sizes": "input_size", "kernels": "kernel"}
_SIZES = ("depths", "widths", "input_sizes", "filters", "kernels", "image_size", "batch_size")


def _grid(family, arguments):
    """Return every combination of the levels, as a model set."""
    levels = {}
    for name, values in arguments.items():
        values = (values,) if name in ("image_size", "batch_size") else tuple(values)
        if not values:
            raise ValueError(f"{name}: no value given; pass at least one")
        for value in values:
            if name in _SIZES and (
                    isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"{name}: {value!r} is no integer of at least 1")
        levels[_COLUMNS.get(name, name)] = values
    table = pd.DataFrame(list(product(*levels.values())), columns=list(levels))
    varied = [name for name, values in levels.items() if len(values) > 1] or list(levels)[:1]
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


def count_models(rows) -> pd.DataFrame:
    """Return a model set, or measured runs of one, with all that `count_row` counts added.

    Each configuration is built once, without allocating weights, and counted per batch of its
    ``batch_size``; a count is 0 where a model has none of an op.

    Parameters
    ----------
    rows : pandas.DataFrame
        Rows of a model set; or of a runs file, whose ``family`` column says how they are built.

    Raises
    ------
    ValueError
        Rows that do not say which family they are of, or not one family.

    Examples
    --------
    >>> counted = count_models(feed_forward(n=2))
    >>> bool((counted["mac float32"] > 0).all())
    True
    """
    families = {rows.attrs["family"]} if "family" in rows.attrs else set(rows.get("family", ()))
    if len(families) != 1:
        raise ValueError(f"rows: of {len(families)} families, {sorted(families)}; name one in "
                         "rows.attrs['family'], or count one at a time")
    family, = families
    configurations = rows.drop_duplicates("configuration")
    with abstract():
        counts = [count_row(build(row, family), int(row["batch_size"]))
                  for _, row in configurations.iterrows()]
    table = pd.DataFrame(counts, index=configurations.configuration).fillna(0).astype("int64")
    table = table.loc[rows.configuration].set_index(rows.index)
    return pd.concat([rows, table], axis=1)


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
