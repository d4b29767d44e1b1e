"""Layer calls -> bytes moved: the first rival of arithmetic as a predictor of energy.

Convention: each call reads its weights (of an embedding, the rows looked up) and its inputs once
and writes its outputs once, in the dtypes in which they are stored, whatever caches do. Reshapes
are views and move nothing. This is the compulsory traffic of a layer-by-layer execution (Williams,
Waterman, Patterson, "Roofline", CACM 52(4), 2009, section 3), a lower bound without fusion.

A training step is three such passes. Forward: as above, dropout being no view. Backward, of each
call that trained weights are in or stand before: reads its weights, its inputs and the gradients
of its outputs, writes the gradients of its trained weights and of those inputs that trained
weights stand before. Update: reads each trained weight, its gradient and the optimizer's slots of
it (momentum: one, Adam: two), writes the weight and the slots. A gradient takes what its tensor
takes; an embedding's gradient and update touch the rows looked up. The loss, activations that are
computed anew, statistics of normalisation and the copies of mixed precision are left out: a lower
bound.
"""

import pandas as pd

from .introspection import Tensor, call_graph, layer_calls

#: Kinds that hand their input on without touching it, in inference.
VIEWS = frozenset({
    "ActivityRegularization", "AlphaDropout", "Dropout", "Flatten", "GaussianDropout",
    "GaussianNoise", "Identity", "InputLayer", "Reshape", "SpatialDropout1D", "SpatialDropout2D",
    "SpatialDropout3D", "ops.ExpandDims", "ops.Ravel", "ops.Reshape", "ops.Squeeze",
    "ops.StopGradient",
})

#: Those of them that are none in training.
NOISE = frozenset({
    "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout1D",
    "SpatialDropout2D", "SpatialDropout3D",
})

#: Kinds that read only those rows of their weights that are looked up.
LOOK_UPS = frozenset({"Embedding", "ReversibleEmbedding"})

COLUMNS = ["weight_bytes", "read_bytes", "written_bytes"]


def call_bytes(call, views=VIEWS) -> tuple[int, int, int]:
    """Return the bytes of weights, of activations read and of activations written by one call.

    Examples
    --------
    >>> from tostoolkit.counting.introspection import LayerCall
    >>> call_bytes(LayerCall("r", "ops.Relu", None, (Tensor((2, 3)),), (Tensor((2, 3)),)))
    (0, 24, 24)
    """
    if call.kind in views:
        return 0, 0, 0
    return (
        sum(w.nbytes for w in _weights(call)),
        sum(t.nbytes for t in call.inputs),
        sum(t.nbytes for t in call.outputs),
    )


def _weights(call, name="weights"):
    """Return the weights of a call as Tensors; of an embedding, the rows looked up."""
    weights = getattr(call.layer, name, ())
    if call.kind in LOOK_UPS and not call.kwargs.get("reverse"):
        return call.outputs if weights else ()
    return [Tensor(tuple(w.shape), w.dtype) for w in weights]


def count_bytes(model, batch_size=1, input_shape=None, phase="inference",
                optimizer=None) -> pd.DataFrame:
    """Return the bytes that each layer call moves.

    Parameters
    ----------
    model, batch_size, input_shape
        As for `layer_calls`, with its errors.
    phase : {"inference", "training"}
    optimizer : str or keras.Optimizer, optional
        For training; that of the compiled model, when left out.

    Returns
    -------
    pandas.DataFrame
        Index ``(layer, kind)``, for training ``kind`` being the part of the step, ``forward``,
        ``backward`` or ``update``; integer columns ``weight_bytes`` (weights read),
        ``read_bytes`` and ``written_bytes`` (all else).

    Raises
    ------
    ValueError
        An unknown phase; training without an optimizer.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="out")])
    >>> count_bytes(model, batch_size=2).loc["out"].to_numpy().tolist()
    [[144, 64, 32]]
    >>> count_bytes(model, batch_size=2, phase="training", optimizer="sgd").loc["out"]
              weight_bytes  read_bytes  written_bytes
    kind                                             
    forward            144          64             32
    backward           144          96            144
    update             144         144            144
    """
    if phase == "inference":
        return movement_table(layer_calls(model, batch_size, input_shape))
    if phase != "training":
        raise ValueError(f"phase: {phase!r} is unknown; use phase='inference' or 'training'")
    calls, _ = call_graph(model, batch_size, input_shape)
    calls = layer_calls(model, batch_size, input_shape) if calls is None else calls
    slots = _slots(model, optimizer)
    parts, trained, updated = {}, set(), set()
    for call in calls:
        weights, read, written = parts[call.path, "forward"] = call_bytes(call, VIEWS - NOISE)
        own = sum(w.nbytes for w in _weights(call, "trainable_weights"))
        wanted = [n in trained for n in call.reads]
        if not own and not any(wanted):
            continue
        trained.update(call.writes)
        if call.kind in VIEWS - NOISE:
            continue
        inputs = sum(t.nbytes for t, w in zip(call.inputs, wanted, strict=False) if w)
        parts[call.path, "backward"] = weights, read + written, inputs + own
        if own and id(call.layer) not in updated:  # a shared layer is updated once
            updated.add(id(call.layer))
            parts[call.path, "update"] = own, own * (1 + slots), own * (1 + slots)
    return _table(parts)


def _slots(model, optimizer):
    """Return how many tensors of a weight's size an optimizer keeps for each weight."""
    import keras

    optimizer = optimizer if optimizer is not None else getattr(model, "optimizer", None)
    if optimizer is None:
        raise ValueError(f"optimizer: {model.name!r} is not compiled, so none is known; pass it, "
                         "for example optimizer='adam'")
    if isinstance(optimizer, str):
        optimizer = keras.optimizers.get(optimizer)
    optimizer = type(optimizer).from_config(optimizer.get_config())
    optimizer.build([keras.Variable(initializer="zeros", shape=(7, 11), dtype="float32")])
    return sum(tuple(v.shape) == (7, 11) for v in optimizer.variables)


def movement_table(calls) -> pd.DataFrame:
    """Return the DataFrame of `call_bytes` for a list of layer calls."""
    return _table({(call.path, call.kind): call_bytes(call) for call in calls})


def _table(parts):
    return pd.DataFrame(
        list(parts.values()), columns=COLUMNS, dtype="int64",
        index=pd.MultiIndex.from_tuples(parts, names=["layer", "kind"]))
