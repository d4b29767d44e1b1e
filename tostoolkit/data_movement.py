"""Layer calls -> bytes moved: the first rival of arithmetic as a predictor of energy.

Convention: each call reads its weights (of an embedding, the rows looked up) and its inputs once
and writes its outputs once, in the dtypes in which they are stored, whatever caches do. Reshapes
are views and move nothing. This is the compulsory traffic of a layer-by-layer execution (Williams,
Waterman, Patterson, "Roofline", CACM 52(4), 2009, section 3), a lower bound without fusion.
"""

import pandas as pd

from .introspection import Tensor, layer_calls

#: Kinds that hand their input on without touching it, in inference.
VIEWS = frozenset({
    "ActivityRegularization", "AlphaDropout", "Dropout", "Flatten", "GaussianDropout",
    "GaussianNoise", "Identity", "InputLayer", "Reshape", "SpatialDropout1D", "SpatialDropout2D",
    "SpatialDropout3D", "ops.ExpandDims", "ops.Ravel", "ops.Reshape", "ops.Squeeze",
    "ops.StopGradient",
})

#: Kinds that read only those rows of their weights that are looked up.
LOOK_UPS = frozenset({"Embedding", "ReversibleEmbedding"})

COLUMNS = ["weight_bytes", "read_bytes", "written_bytes"]


def call_bytes(call) -> tuple[int, int, int]:
    """Return the bytes of weights, of activations read and of activations written by one call.

    Examples
    --------
    >>> from tostoolkit.introspection import LayerCall
    >>> call_bytes(LayerCall("r", "ops.Relu", None, (Tensor((2, 3)),), (Tensor((2, 3)),)))
    (0, 24, 24)
    """
    if call.kind in VIEWS:
        return 0, 0, 0
    if call.kind in LOOK_UPS and not call.kwargs.get("reverse"):
        weights = call.outputs
    else:
        weights = [Tensor(tuple(w.shape), w.dtype) for w in getattr(call.layer, "weights", ())]
    return (
        sum(w.nbytes for w in weights),
        sum(t.nbytes for t in call.inputs),
        sum(t.nbytes for t in call.outputs),
    )


def count_bytes(model, batch_size=1, input_shape=None) -> pd.DataFrame:
    """Return the bytes that each layer call moves.

    Parameters
    ----------
    model, batch_size, input_shape
        As for `layer_calls`, with its errors.

    Returns
    -------
    pandas.DataFrame
        Index ``(layer, kind)``; integer columns ``weight_bytes``, ``read_bytes``,
        ``written_bytes``.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="out")])
    >>> count_bytes(model, batch_size=2).loc["out"].to_numpy().tolist()
    [[144, 64, 32]]
    """
    return movement_table(layer_calls(model, batch_size, input_shape))


def movement_table(calls) -> pd.DataFrame:
    """Return the DataFrame of `call_bytes` for a list of layer calls."""
    return pd.DataFrame(
        [call_bytes(call) for call in calls], columns=COLUMNS, dtype="int64",
        index=pd.MultiIndex.from_tuples(
            [(call.path, call.kind) for call in calls], names=["layer", "kind"]))
