"""Families of Keras models whose energy is to be explained: factors as columns, models on demand.

A model set is a pandas table, one row a configuration, with a ``configuration`` name and a column
for every factor, the ``phase`` and the ``dtype`` policy of the step among them;
``table.attrs["family"]`` names the function in `BUILDERS` that builds a row. The draw is that of
`drawing.draw`: factors in balance, MACs and elementary work not collinear, matched pairs, by what
`count_models` counts of each row. The default sets are read from files (`set_files`): to draw one
anew, and to count what it takes, takes up to minutes.
"""

from functools import cache

import numpy as np
import pandas as pd

from ..costs.predictors import predictor_values
from ..counting.introspection import abstract
from ..counting.rows import count_row
from .builders import BUILDERS, build
from .design import PAIR_BASELINES, label
from .optimal_design import candidates, draw
from .set_files import default_set
from .set_levels import BOUNDS, DTYPES, LEVELS, PHASES

#: Of a training step; a rule counts both (`training_counters`). SGD adds no elementary work, which
#: Adam does for every weight: it would tie the elementary work to the MACs.
LOSS, OPTIMIZER = "mean_squared_error", "sgd"

#: What a model set's functions have as defaults: where nothing else is asked for, the set is read.
N, SEED = 96, 0


def feed_forward(size="small", n=N, seed=SEED, phases=PHASES, dtypes=DTYPES, *, depths=None,
                 widths=None, activations=None, batch_norms=None, input_sizes=None,
                 batch_sizes=None) -> pd.DataFrame:
    """Return a feed-forward model set: `n` configurations drawn from the grid of the factors.

    Hidden layers of one width, each a dense layer, batch normalisation or not, and the activation;
    then ten outputs. The input size moves MACs alone, the activation elementary work alone.

    Parameters
    ----------
    size : {"small", "large"}
        Levels of the factors that are not given: for a CPU, or for a data-centre GPU (`LEVELS`).
        Where none is given, configurations are within `BOUNDS`.
    n : int or None
        Configurations to draw; None takes the whole grid.
    seed : int
        Of the draw.
    phases : sequence of {"inference", "training"}
    dtypes : sequence of str
        Keras dtype policies: ``float32``, ``mixed_bfloat16``, ``bfloat16``, ``mixed_float16``.
    depths, widths, input_sizes, batch_sizes : sequence of int, optional
        Hidden layers, units of each, features of the input, samples of a step.
    activations : sequence of str, optional
        Names of Keras activations.
    batch_norms : sequence of bool, optional
        Batch normalisation before each activation.

    Returns
    -------
    pandas.DataFrame
        ``configuration``, ``depth``, ``width``, ``activation``, ``batch_norm``, ``input_size``,
        ``batch_size``, ``phase``, ``dtype``.

    Raises
    ------
    ValueError
        An empty factor, a size that is no integer of at least 1, an unknown phase, dtype or size.

    Examples
    --------
    >>> feed_forward(n=2).columns.tolist()[:3]
    ['configuration', 'depth', 'width']
    """
    return _model_set("feed_forward", size, n, seed, phases, dtypes, {
        "depth": depths, "width": widths, "activation": activations, "batch_norm": batch_norms,
        "input_size": input_sizes, "batch_size": batch_sizes})


def convolutional(size="small", n=N, seed=SEED, phases=PHASES, dtypes=DTYPES, *, depths=None,
                  filters=None, kernels=None, depthwise=None, normalizations=None, poolings=None,
                  activations=None, image_sizes=None, batch_sizes=None) -> pd.DataFrame:
    """Return a convolutional model set: `n` configurations drawn from the grid of the factors.

    Blocks of convolution, normalisation, activation and pooling; then the mean of each channel and
    ten outputs.

    Parameters
    ----------
    size, n, seed, phases, dtypes, batch_sizes, activations
        As in `feed_forward`.
    depths, filters, kernels : sequence of int, optional
        Blocks, channels of a block, side of its kernel.
    depthwise : sequence of bool, optional
        Depthwise instead of full convolutions after the first.
    normalizations : sequence of {"none", "batch", "layer", "group"}, optional
        Layer normalisation is over the channels; group normalisation has 8 groups.
    poolings : sequence of {"none", "max", "average"}, optional
        Over 2 x 2, after each block, while the image has a side of at least 4.
    image_sizes : sequence of int, optional
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
    >>> len(convolutional("large", n=8))
    8
    """
    return _model_set("convolutional", size, n, seed, phases, dtypes, {
        "depth": depths, "filters": filters, "kernel": kernels, "depthwise": depthwise,
        "normalization": normalizations, "pooling": poolings, "activation": activations,
        "image_size": image_sizes, "batch_size": batch_sizes})


def transformer(size="small", n=N, seed=SEED, phases=PHASES, dtypes=DTYPES, *, blocks=None,
                widths=None, heads=None, sequences=None, normalizations=None, activations=None,
                batch_sizes=None, vocabulary=None) -> pd.DataFrame:
    """Return a set of transformer encoders: `n` configurations drawn from the grid of the factors.

    The MACs of a token grow with the width squared, the exponentials of its attention with heads x
    sequence, those of its network with the width: heads and sequence part the two.

    Parameters
    ----------
    size, n, seed, phases, dtypes, batch_sizes, activations
        As in `feed_forward`; the activation is that of the network in each block.
    blocks, widths, heads, sequences : sequence of int, optional
        As `transformers.encoder` has them; combinations in which heads do not divide the width are
        left out.
    normalizations : sequence of {"none", "layer", "rms"}, optional
    vocabulary : int, optional
        Tokens known; 1000 for small, 32000 for large sets.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    ValueError
        As `feed_forward`; heads none of which divides a width.

    Examples
    --------
    >>> transformer(n=2).attrs["family"]
    'transformer'
    """
    return _model_set("transformer", size, n, seed, phases, dtypes, {
        "blocks": blocks, "width": widths, "heads": heads, "sequence": sequences,
        "normalization": normalizations, "activation": activations, "batch_size": batch_sizes,
        "vocabulary": None if vocabulary is None else (vocabulary,)})


#: Factors whose levels are words.
_WORDS = {"phase": PHASES, "dtype": (*DTYPES, "bfloat16", "mixed_float16"),
          "pooling": ("none", "max", "average")}
_PLURALS = {"depthwise": "depthwise", "filters": "filters", "blocks": "blocks", "heads": "heads"}


def draw_default(family, size="small", n=N, seed=SEED, phases=PHASES, dtypes=DTYPES):
    """Return a default set as its function would, but drawn afresh and never read from its file.

    Parameters, errors
        As for `feed_forward`; `family` is one of `LEVELS`.

    Examples
    --------
    >>> draw_default("feed_forward", n=2).equals(feed_forward(n=2))
    True
    """
    given = dict.fromkeys(LEVELS[family]["small"])
    return _model_set(family, size, n, seed, phases, dtypes, given, afresh=True)


def _model_set(family, size, n, seed, phases, dtypes, given, afresh=False):
    if size not in LEVELS[family]:
        raise ValueError(f"size: {size!r} is unknown; use one of {', '.join(LEVELS[family])}")
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
        raise ValueError(f"n: {n!r} configurations cannot be drawn; give at least 1, or None")
    own = all(values is None for values in given.values())
    levels = {name: LEVELS[family][size][name] if values is None else tuple(values)
              for name, values in given.items()}
    levels |= {"phase": tuple(phases), "dtype": tuple(dtypes)}
    for name, values in levels.items():
        _check_levels(name, values)
    if own and not afresh and (n, seed, levels["phase"], levels["dtype"]) == (
            N, SEED, PHASES, DTYPES):
        return default_set(family, size, levels, n)
    rng = np.random.default_rng(seed)
    grid = candidates(levels, rng, everything=n is None)
    if "heads" in grid:
        grid = grid[grid.width % grid.heads == 0].reset_index(drop=True)
        if grid.empty:
            raise ValueError(f"heads: none of {levels['heads']} divides any of the widths "
                             f"{levels['width']}")
    varied = [name for name, values in levels.items() if len(values) > 1] or list(levels)[:1]
    if n is not None and n < len(grid):
        pairs = {f: b for f, b in PAIR_BASELINES.items()
                 if f in varied and b in levels[f]}
        work, within = _judges(family, BOUNDS[family][size])
        grid = draw(grid, work, n, rng, pairs, within if own else None)
    grid.insert(0, "configuration", label(grid, varied))
    grid.attrs["family"] = family
    return grid


def _judges(family, bounds):
    """Return the functions of a row that `draw` needs: its work, and whether it is in bounds."""
    low, high, most = bounds

    @cache
    def counted(row):
        return pd.DataFrame(_count([(dict(row), family)], BUILDERS))

    def values(row, *names):
        rows = counted(tuple(row.items()))
        return [predictor_values(rows, name).item() for name in names]

    def work(row):
        return values(row, "macs", "tos_linear", "tos_elementary", "tos_comparison")

    def within(row):
        forward = row | {"phase": "inference", "dtype": "float32"}
        macs, elementwise = values(forward, "macs", "ops_elementwise")
        return low <= macs <= high and elementwise <= most

    return work, within


def _check_levels(name, values):
    argument = _PLURALS.get(name, name + "s" if name != "vocabulary" else name)
    if not values:
        raise ValueError(f"{argument}: no value given; pass at least one")
    for value in values:
        if name in _WORDS and value not in _WORDS[name]:
            raise ValueError(f"{argument}: {value!r} is unknown; use {', '.join(_WORDS[name])}")
        if name in _SIZES and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"{argument}: {value!r} is no integer of at least 1")


_SIZES = ("depth", "width", "input_size", "filters", "kernel", "image_size", "batch_size",
          "blocks", "heads", "sequence", "vocabulary")


def count_models(rows, client=None, builders=BUILDERS) -> pd.DataFrame:
    """Return a model set, or measured runs of one, with all that `count_row` counts added.

    Each configuration is built once, under its dtype policy and without allocating weights, and
    counted per batch of its ``batch_size``, in its ``phase``; a count is 0 where a model has none
    of an op. A training step is that of `steps.step`.

    Parameters
    ----------
    rows : pandas.DataFrame
        Rows of a model set; or of a runs file, whose ``family`` column says how each is built.
    client : dask.distributed.Client, optional
        Spreads the configurations over its workers, which need tostoolkit; the result is the same.
    builders : mapping of str to function
        As for `build`.

    Raises
    ------
    ValueError
        Rows that do not say which family they are of; what `build` and `count_row` raise.

    Examples
    --------
    >>> counted = count_models(feed_forward(n=2, dtypes=("float32",)))
    >>> bool((counted["mac float32"] > 0).all())
    True
    """
    if "family" not in rows and "family" not in rows.attrs:
        raise ValueError("rows: they do not say which family they are of; name it in "
                         "rows.attrs['family'], or in a column 'family'")
    family = rows["family"] if "family" in rows else rows.attrs["family"]
    key = pd.MultiIndex.from_frame(pd.DataFrame(
        {"family": family, "configuration": rows.configuration}, index=rows.index))
    first = ~key.duplicated()
    tasks = [(row.to_dict(), f) for (f, _), (_, row) in zip(
        key[first], rows[first].iterrows(), strict=True)]
    if client is None:
        counts = _count(tasks, builders)
    else:  # several chunks a worker, as configurations differ in how long they take
        pieces = min(len(tasks), 4 * max(1, len(client.scheduler_info()["workers"])))
        chunks = [tasks[i::pieces] for i in range(pieces)]
        counts = [None] * len(tasks)
        for i, found in enumerate(client.gather(client.map(
                _count, chunks, builders=builders, pure=False))):
            counts[i::pieces] = found
    table = pd.DataFrame(counts, index=key[first]).fillna(0).astype("int64")
    counted = pd.concat([rows, table.loc[key].set_index(rows.index)], axis=1)
    counted.attrs = dict(rows.attrs)
    return counted


def _count(tasks, builders):
    """Return the counts of (row, family) pairs."""
    counts = []
    for row, family in tasks:
        with abstract():
            model = build(row, family, builders)
        counts.append(count_row(
            model, int(row["batch_size"]), phase=row.get("phase", "inference"), loss=LOSS,
            optimizer=row.get("optimizer", OPTIMIZER)))
    return counts
