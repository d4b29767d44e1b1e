"""Sets of models whose energy is to be explained: factors as columns, models on demand.

A model set is a pandas table, one row a configuration, with a ``configuration`` name, a column for
every factor, the ``phase`` and the ``dtype`` policy of the step among them, and the ``family``,
whose record in `families.FAMILIES` builds a row. `optimal_design.draw` draws it, by what is counted
of each row; the default sets are read from their files (`set_files`).
"""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import pandas as pd

from ..costs.pricing import predictor_values
from .counting import count_models
from .design import label
from .families import DTYPES, FAMILIES, PHASES, POLICIES, Family, find_family
from .optimal_design import candidates, draw
from .set_files import default_set

#: What a model set's functions have as defaults: where nothing else is asked for, the set is read.
N, SEED = 96, 0


def feed_forward(size: str = "small", n: int | None = N, seed: int = SEED,
                 phases: Sequence[str] = PHASES, dtypes: Sequence[str] = DTYPES, *,
                 depths: Sequence[int] | None = None, widths: Sequence[int] | None = None,
                 activations: Sequence[str] | None = None,
                 batch_norms: Sequence[bool] | None = None,
                 input_sizes: Sequence[int] | None = None,
                 batch_sizes: Sequence[int] | None = None) -> pd.DataFrame:
    """Return a feed-forward model set: `n` configurations drawn from the grid of the factors.

    Hidden layers of one width, each a dense layer, batch normalisation or not, and the activation;
    then ten outputs. The input size moves MACs alone, the activation elementary work alone.

    Parameters
    ----------
    size : {"small", "large"}
        Levels of the factors that are not given: for a CPU, or for a data-centre GPU. Where none is
        given, configurations are within the bounds of the family's record in `families.FAMILIES`.
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
        ``batch_size``, ``phase``, ``dtype``, ``family``.

    Raises
    ------
    ValueError
        An empty factor, a size that is not an integer of at least 1, an unknown phase, dtype or
        size.

    Examples
    --------
    >>> feed_forward(n=2).columns.tolist()[:3]
    ['configuration', 'depth', 'width']
    """
    return model_set("feed_forward", size, n, seed, phases, dtypes, depths=depths, widths=widths,
                     activations=activations, batch_norms=batch_norms, input_sizes=input_sizes,
                     batch_sizes=batch_sizes)


def convolutional(size: str = "small", n: int | None = N, seed: int = SEED,
                  phases: Sequence[str] = PHASES, dtypes: Sequence[str] = DTYPES, *,
                  depths: Sequence[int] | None = None, filters: Sequence[int] | None = None,
                  kernels: Sequence[int] | None = None, depthwise: Sequence[bool] | None = None,
                  normalizations: Sequence[str] | None = None,
                  poolings: Sequence[str] | None = None,
                  activations: Sequence[str] | None = None,
                  image_sizes: Sequence[int] | None = None,
                  batch_sizes: Sequence[int] | None = None) -> pd.DataFrame:
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

    Returns and raises as `feed_forward`.

    Examples
    --------
    >>> len(convolutional("large", n=8))
    8
    """
    return model_set("convolutional", size, n, seed, phases, dtypes, depths=depths,
                     filters=filters, kernels=kernels, depthwise=depthwise,
                     normalizations=normalizations, poolings=poolings, activations=activations,
                     image_sizes=image_sizes, batch_sizes=batch_sizes)


def transformer(size: str = "small", n: int | None = N, seed: int = SEED,
                phases: Sequence[str] = PHASES, dtypes: Sequence[str] = DTYPES, *,
                blocks: Sequence[int] | None = None, widths: Sequence[int] | None = None,
                heads: Sequence[int] | None = None, sequences: Sequence[int] | None = None,
                normalizations: Sequence[str] | None = None,
                activations: Sequence[str] | None = None,
                batch_sizes: Sequence[int] | None = None,
                vocabulary: int | None = None) -> pd.DataFrame:
    """Return a set of transformer encoders: `n` configurations drawn from the grid of the factors.

    The MACs of a token grow with the width squared, the exponentials of its attention with heads x
    sequence, those of its network with the width: heads and sequence part the two.

    Parameters
    ----------
    size, n, seed, phases, dtypes, batch_sizes, activations
        As in `feed_forward`; the activation is that of the network in each block.
    blocks, widths, heads, sequences : sequence of int, optional
        As `builders.encoder` has them; combinations in which heads do not divide the width are
        left out.
    normalizations : sequence of {"none", "layer", "rms"}, optional
    vocabulary : int, optional
        Tokens known; 1000 for small, 32000 for large sets.

    Returns and raises as `feed_forward`; a ValueError also for heads none of which divides a width.

    Examples
    --------
    >>> transformer(n=2).family.tolist()
    ['transformer', 'transformer']
    """
    return model_set("transformer", size, n, seed, phases, dtypes, blocks=blocks, widths=widths,
                     heads=heads, sequences=sequences, normalizations=normalizations,
                     activations=activations, batch_sizes=batch_sizes,
                     vocabulary=None if vocabulary is None else (vocabulary,))


def model_set(family: str, size: str = "small", n: int | None = N, seed: int = SEED,
              phases: Sequence[str] = PHASES, dtypes: Sequence[str] = DTYPES, *,
              families: Mapping[str, Family] = FAMILIES, afresh: bool = False,
              **levels: Sequence | None) -> pd.DataFrame:
    """Return a model set of any family: `n` configurations drawn from the grid of its factors.

    Parameters
    ----------
    family : str
        One of `families`.
    size : str
        One of the sizes of the family's record, whose levels those factors have that are not given.
        Where none is given, configurations are within its bounds.
    n, seed, phases, dtypes
        As in `feed_forward`.
    families : mapping of str to Family
        ``FAMILIES | {"mine": Family(...)}`` adds one of your own.
    afresh : bool
        Draw a default set of the package's own families too, which is else read from its file.
    **levels : sequence
        By factor, or the argument that the family's record names for it.

    Returns
    -------
    pandas.DataFrame
        ``configuration``, the factors, ``phase``, ``dtype``, ``family``.

    Raises
    ------
    TypeError
        A factor that the family does not have.
    ValueError
        As `feed_forward`; an unknown family.

    Examples
    --------
    >>> import keras
    >>> def build(row):
    ...     return keras.Sequential([keras.Input((row["inputs"],)), keras.layers.Dense(4)])
    >>> mine = {"single": Family(build, {"small": {"inputs": (8, 16), "batch_size": (1, 2)}})}
    >>> rows = model_set("single", n=None, phases=("inference",), dtypes=("float32",),
    ...                  inputs=(8, 16, 32), families=FAMILIES | mine)
    >>> rows.columns.tolist()
    ['configuration', 'inputs', 'batch_size', 'phase', 'dtype', 'family']
    >>> count_models(rows, families=mine)["mac float32"].tolist()
    [32, 64, 64, 128, 128, 256]
    """
    record = find_family(family, families)
    if size not in record.levels:
        raise ValueError(f"size: {size!r} is unknown; use one of {', '.join(record.levels)}"
                         if record.levels else f"family: the record of {family!r} has no levels to "
                         "draw from; give it some: Family(build, {'small': {factor: levels}})")
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
        raise ValueError(f"n: {n!r} configurations cannot be drawn; give at least 1, or None")
    asked = _levels(family, record, levels)
    grid_levels = {**record.levels[size], **asked, "phase": tuple(phases), "dtype": tuple(dtypes)}
    for factor, values in grid_levels.items():
        _check_levels(factor, values, record)
    whole = not asked and (n, seed, grid_levels["phase"], grid_levels["dtype"]) == (
        N, SEED, PHASES, DTYPES)
    if whole and not afresh and size in record.shipped and record is FAMILIES.get(family):
        return default_set(family, size, grid_levels, n)
    rng = np.random.default_rng(seed)
    grid = candidates(grid_levels, rng, everything=n is None)
    if record.possible:
        grid = grid[record.possible(grid)].reset_index(drop=True)
    if n is not None and n < len(grid):
        work, within = _measures(family, record, None if asked else record.bounds.get(size))
        grid = draw(grid, work, n, rng, record.pairs, within)
    varied = [name for name, values in grid_levels.items() if len(values) > 1]
    grid.insert(0, "configuration", label(grid, varied or list(grid_levels)[:1]))
    return grid.assign(family=family)


def _levels(family, record, given):
    """Return factor -> levels of those given, in the order of the record."""
    arguments = {record.arguments.get(factor, factor): factor
                 for levels in record.levels.values() for factor in levels}
    unknown = given.keys() - arguments
    if unknown:
        raise TypeError(f"model_set: {family} takes no {', '.join(sorted(unknown))}; it takes "
                        f"{', '.join(arguments)}")
    return {factor: tuple(given[argument]) for argument, factor in arguments.items()
            if given.get(argument) is not None}


def _check_levels(factor, values, record):
    argument = {"phase": "phases", "dtype": "dtypes"}.get(
        factor, record.arguments.get(factor, factor))
    words = {"phase": PHASES, "dtype": POLICIES, **record.words}.get(factor)
    ours = [level for levels in record.levels.values() for level in levels.get(factor, ())]
    integers = bool(ours) and all(type(level) is int for level in ours)
    if not values:
        raise ValueError(f"{argument}: no value given; pass at least one")
    for value in values:
        if words is not None and value not in words:
            raise ValueError(f"{argument}: {value!r} is unknown; use {', '.join(words)}")
        if integers and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"{argument}: {value!r} is not an integer of at least 1")


def _measures(family, record, bounds):
    """Return what `draw` asks of a row, which is counted once: its work; if it is in the bounds."""
    @cache
    def counted(items):
        row = pd.DataFrame([{"configuration": "", **dict(items), "family": family}])
        return count_models(row, families={family: record})

    def values(row, *names):
        return [predictor_values(counted(tuple(row.items())), name).item() for name in names]

    def work(row):
        return values(row, "macs", "tos_linear", "tos_elementary", "tos_comparison")

    def within(row):
        forward = row | {"phase": "inference", "dtype": "float32"}
        macs, elementwise = values(forward, "macs", "ops_elementwise")
        return (bounds.least_macs <= macs <= bounds.most_macs
                and elementwise <= bounds.most_elementwise)

    return work, within if bounds else None
