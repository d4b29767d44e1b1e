"""Families of models: one record each, which all that takes a family asks.

A family of one's own is a record beside these: ``families=FAMILIES | {"mine": Family(...)}`` goes
into `model_set`, `count_models`, `design_report` and `run_sweep`, and it is drawn, counted and
measured as the others are. Which family a row is of stands in its column ``family``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from .builders import (
    NORMALIZATIONS,
    OF_A_TOKEN,
    POOLINGS,
    convolutional_model,
    feed_forward_model,
    transformer_model,
)

if TYPE_CHECKING:
    import keras
    import pandas as pd

#: Those that the rules for training know (`rules.training.ACTIVATION_GRADIENTS`), but for relu6,
#: which is relu to a meter, and exponential, which in a deep network overflows.
ACTIVATIONS = ("relu", "linear", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "softmax", "elu",
               "selu", "softplus", "softsign", "mish", "hard_sigmoid")
PHASES = ("inference", "training")
#: Keras dtype policies: those that a set has where no others are asked for, and all that it may.
DTYPES = ("float32", "mixed_bfloat16")
POLICIES = (*DTYPES, "bfloat16", "mixed_float16")
#: Factors of the step, which any family's rows may have.
STEP_FACTORS = ("phase", "dtype", "optimizer")


class Bounds(NamedTuple):
    """What a row of a drawn set keeps to, by the counts of its forward pass in float32.

    The element-wise ops bound what the pass holds in memory: an element takes one or more.
    """

    least_macs: float
    most_macs: float
    most_elementwise: float


class Pairs(NamedTuple):
    """The matched pairs of a factor that moves no MACs: a row, and its twin at the baseline."""

    baseline: Any
    one_in: int = 10  # one row of a drawn set in so many has a twin


@dataclass(frozen=True)
class Family:
    """What is known of a family of models.

    Attributes
    ----------
    build : function
        Row of factors -> its Keras model.
    levels : mapping of str to mapping
        Size of a set, ``small`` say -> factor -> levels that a set is drawn from. Its keys are the
        family's factors, ``batch_size`` among them. A factor all of whose levels are integers takes
        integers of at least 1.
    bounds : mapping of str to Bounds, optional
        By size; a size without bounds has none.
    pairs : mapping of str to Pairs, optional
        Factor -> baseline of its matched pairs.
    words : mapping of str to sequence, optional
        Factor -> all the levels that `build` knows; of a factor left out, any goes.
    arguments : mapping of str to str, optional
        Factor -> keyword by which `model_set` takes its levels; its own name, when left out.
    shipped : sequence of str, optional
        Sizes whose default set is a file of ``default_sets/``; of the others it is drawn.
    possible : function, optional
        Grid of factors -> mask of the rows that are models; ValueError where none is.

    Examples
    --------
    >>> import keras
    >>> def build(row):
    ...     return keras.Sequential([keras.Input((row["sequence"], 4)), keras.layers.LSTM(8)])
    >>> recurrent = Family(build, {"small": {"sequence": (5, 10), "batch_size": (2,)}})
    >>> recurrent.factors
    ('sequence', 'batch_size', 'phase', 'dtype', 'optimizer')
    """

    build: Callable[[Mapping[str, Any]], "keras.Model"]
    levels: Mapping[str, Mapping[str, Sequence]] = field(default_factory=dict)
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    pairs: Mapping[str, Pairs] = field(default_factory=dict)
    words: Mapping[str, Iterable[str]] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    shipped: Sequence[str] = ()
    possible: Callable[["pd.DataFrame"], "pd.Series"] | None = None

    @property
    def factors(self) -> tuple[str, ...]:
        """The columns that may differ between the rows of a set, those of the step at the end."""
        named = [factor for levels in self.levels.values() for factor in levels]
        return tuple(dict.fromkeys([*named, *STEP_FACTORS]))


def _heads_divide_width(grid):
    fits = grid.width % grid.heads == 0
    if not fits.any():
        raise ValueError(f"heads: none of {tuple(grid.heads.unique().tolist())} divides any of the "
                         f"widths {tuple(grid.width.unique().tolist())}")
    return fits


#: Family -> its record. ``small``: forward passes of about 0.2 to 60 ms on a CPU of a few cores.
#: ``large``: up to what fills a data-centre GPU (80 GB; 10^12 MACs are tens of ms at the
#: tensor-float-32 rate that dense models reach there).
FAMILIES: Mapping[str, Family] = {
    "feed_forward": Family(
        feed_forward_model,
        levels={
            "small": {"depth": (1, 2, 4, 8), "width": (64, 128, 256, 512, 1024, 2048),
                      "activation": ACTIVATIONS, "batch_norm": (False, True),
                      "input_size": (16, 128, 1024, 8192), "batch_size": (64, 256, 1024)},
            "large": {"depth": (1, 2, 4, 8), "width": (512, 1024, 2048, 4096, 8192, 16384),
                      "activation": ACTIVATIONS, "batch_norm": (False, True),
                      "input_size": (64, 512, 4096, 32768), "batch_size": (1024, 4096, 16384)}},
        bounds={"small": Bounds(1e6, 1.5e9, 1e8), "large": Bounds(1e9, 1e12, 6e9)},
        pairs={"activation": Pairs("relu", one_in=6), "batch_norm": Pairs(False)},
        shipped=("small", "large"),
        arguments={"depth": "depths", "width": "widths", "activation": "activations",
                   "batch_norm": "batch_norms", "input_size": "input_sizes",
                   "batch_size": "batch_sizes"}),
    "convolutional": Family(
        convolutional_model,
        levels={
            "small": {"depth": (2, 3, 4), "filters": (8, 16, 32, 64), "kernel": (1, 3, 5),
                      "depthwise": (False, True),
                      "normalization": ("none", "batch", "layer", "group"),
                      "pooling": ("none", "max", "average"), "activation": ACTIVATIONS,
                      "image_size": (16, 32, 64), "batch_size": (8, 32)},
            "large": {"depth": (2, 3, 4), "filters": (32, 64, 128, 256), "kernel": (1, 3, 5),
                      "depthwise": (False, True),
                      "normalization": ("none", "batch", "layer", "group"),
                      "pooling": ("none", "max", "average"), "activation": ACTIVATIONS,
                      "image_size": (32, 64, 128), "batch_size": (64, 256, 512)}},
        bounds={"small": Bounds(1e6, 1e9, 1e8), "large": Bounds(1e8, 1e12, 4e9)},
        pairs={"activation": Pairs("relu", one_in=6), "normalization": Pairs("none")},
        words={"normalization": NORMALIZATIONS, "pooling": POOLINGS},
        shipped=("small", "large"),
        arguments={"depth": "depths", "kernel": "kernels", "normalization": "normalizations",
                   "pooling": "poolings", "activation": "activations",
                   "image_size": "image_sizes", "batch_size": "batch_sizes"}),
    "transformer": Family(
        transformer_model,
        levels={
            "small": {"blocks": (1, 2, 4), "width": (32, 64, 128, 256), "heads": (1, 2, 4, 8, 16),
                      "sequence": (16, 64, 256), "normalization": ("none", "layer", "rms"),
                      "activation": ACTIVATIONS, "batch_size": (1, 4, 16), "vocabulary": (1000,)},
            "large": {"blocks": (1, 2, 4, 8), "width": (256, 512, 1024, 2048),
                      "heads": (2, 4, 8, 16, 32), "sequence": (64, 256, 1024, 2048),
                      "normalization": ("none", "layer", "rms"),
                      "activation": ACTIVATIONS, "batch_size": (4, 16, 64),
                      "vocabulary": (32000,)}},
        bounds={"small": Bounds(1e6, 1.5e9, 1e8), "large": Bounds(1e9, 1e12, 6e9)},
        pairs={"activation": Pairs("relu", one_in=6), "normalization": Pairs("none")},
        words={"normalization": OF_A_TOKEN}, shipped=("small", "large"),
        arguments={"width": "widths", "sequence": "sequences", "normalization": "normalizations",
                   "activation": "activations", "batch_size": "batch_sizes"},
        possible=_heads_divide_width),
}


def find_family(name: Any, families: Mapping[str, Family] = FAMILIES) -> Family:
    """Return the record of a family."""
    if not isinstance(name, str) or name not in families:
        raise ValueError(f"family: {name!r} is unknown; there are {', '.join(families)}, and "
                         "families=FAMILIES | {'mine': Family(...)} adds one")
    return families[name]


def build(row: Mapping[str, Any], families: Mapping[str, Family] = FAMILIES) -> "keras.Model":
    """Return the Keras model of one row of a model set, under the row's dtype policy.

    Parameters
    ----------
    row : pandas.Series or dict
        ``family`` and the factors; ``dtype``, a Keras dtype policy, is float32 where there is none.
    families : mapping of str to Family

    Raises
    ------
    ValueError
        The row names no family, or one that is not of `families`; Keras knows no such policy.

    Examples
    --------
    >>> row = {"family": "feed_forward", "depth": 1, "width": 8, "activation": "relu",
    ...        "batch_norm": False, "input_size": 4}
    >>> build(row).count_params()
    130
    """
    import keras

    if "family" not in row:
        raise ValueError("row: it does not say which family it is of; name it in 'family'")
    family = find_family(row["family"], families)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(row.get("dtype", "float32"))
    try:
        return family.build(row)
    finally:
        keras.config.set_dtype_policy(before)
