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

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from .calls import LEVELS, Tensor
from .compiled import compiled_optimizer
from .functions import function_bytes, is_function
from .integers import integer_table, keyed_index
from .introspection import inspect, weights_of
from .rules import NOISE, OP_COUNTERS
from .running_state import allocating, unchanged
from .trace import of_many_samples
from .walk import check_phase, read_calls

if TYPE_CHECKING:
    import keras

#: Kinds that hand their input on without touching it, in training too.
VIEWS = frozenset({
    "ActivityRegularization", "Flatten", "Identity", "InputLayer", "Reshape", "ops.ExpandDims",
    "ops.Ravel", "ops.Reshape", "ops.Squeeze", "ops.StopGradient",
})

#: Kinds that read only those rows of their weights that are looked up.
LOOK_UPS = frozenset({"Embedding", "ReversibleEmbedding"})


@of_many_samples
def count_bytes(
    model: "keras.Layer", batch_size: int = 1, phase: str = "inference", *,
    input_shape: tuple[int, ...] | None = None, counters: Mapping = OP_COUNTERS,
    loss: "str | keras.Loss | None" = None, optimizer: "str | keras.Optimizer | None" = None,
    targets: Any = None,
) -> pd.DataFrame:
    """Return the bytes that each layer call moves.

    Parameters
    ----------
    model, batch_size, phase, input_shape, optimizer
        As for `count_ops`, with its errors.
    counters, loss, targets
        Taken so that one set of arguments serves both; bytes do not depend on them.

    Returns
    -------
    pandas.DataFrame
        Index as that of `count_ops`; integer columns ``weight_bytes`` (weights read),
        ``read_bytes`` and ``written_bytes`` (all else).

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="out")])
    >>> count_bytes(model, batch_size=2).loc["out"].to_numpy().tolist()
    [[144, 64, 32]]
    >>> count_bytes(model, batch_size=2, phase="training", optimizer="sgd").loc["out"]
              weight_bytes  read_bytes  written_bytes
    part                                             
    forward            144          64             32
    backward           144          96            144
    update             144         144            144
    """
    check_phase(phase)
    if is_function(model):
        return bytes_table(function_bytes(model, batch_size, phase, input_shape))
    inspected = inspect(model)
    read = read_calls(inspected, batch_size, input_shape)
    trained = phase == "training"
    return movement_table(read.calls, compiled_optimizer(inspected, optimizer) if trained else None)


def call_bytes(call, training=False) -> tuple[int, int, int]:
    """Return the bytes of weights, of activations read and of activations written by one call.

    >>> from tostoolkit.counting.calls import LayerCall
    >>> call_bytes(LayerCall("r", "ops.Relu", None, (Tensor((2, 3)),), (Tensor((2, 3)),)))
    (0, 24, 24)
    """
    if call.kind in VIEWS or (call.kind in NOISE and not training):
        return 0, 0, 0
    return (
        sum(w.nbytes for w in _weights(call)),
        sum(t.nbytes for t in call.inputs),
        sum(t.nbytes for t in call.outputs),
    )


def _weights(call, trainable=False):
    """Return the weights of a call as Tensors; of an embedding, the rows looked up."""
    weights = weights_of(call.layer, trainable)
    if call.kind in LOOK_UPS and not call.kwargs.get("reverse"):
        return call.outputs if weights else ()
    return [Tensor(*weight) for weight in weights]


def movement_table(calls, optimizer=None) -> pd.DataFrame:
    """Return what `count_bytes` does, of calls; with an optimizer, that of a training step."""
    if optimizer is None:
        return bytes_table({(call.path, call.kind): call_bytes(call) for call in calls})
    slots = _slots(optimizer)
    parts, trained, updated = {}, set(), set()
    for call in calls:
        weights, read, written = parts[call.path, "forward"] = call_bytes(call, training=True)
        gradients = sum(w.nbytes for w in _weights(call, trainable=True))
        wanted = [n in trained for n in call.reads]
        if not gradients and not any(wanted):
            continue
        trained.update(call.writes)
        if call.kind in VIEWS:
            continue
        inputs = sum(t.nbytes for t, w in zip(call.inputs, wanted, strict=False) if w)
        parts[call.path, "backward"] = weights, read + written, inputs + gradients
        if gradients and id(call.layer) not in updated:  # a shared layer is updated once
            updated.add(id(call.layer))
            state = gradients * (1 + slots)
            parts[call.path, "update"] = gradients, state, state
    return bytes_table(parts, "training")


def movement_on_rows(movement: pd.DataFrame, rows: pd.MultiIndex) -> pd.DataFrame:
    """Return bytes moved on the rows of op counts, and on rows of their own after them.

    Op counts of a training step have one row for the update of all weights, ``optimizer``; the
    bytes of each layer's update come together there. Where the step was traced, a layer's parts
    have rows of op counts that bytes do not tell apart, and conversely: what has no row among
    `rows` gets its own. The sum stays the same.

    >>> import keras
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="out")])
    >>> from tostoolkit.counting.count import count
    >>> step = count(model, 2, "training", loss="mse", optimizer="sgd")
    >>> movement_on_rows(step.bytes, step.counts.index).loc["optimizer"].to_numpy()
    array([[144, 144, 144]])
    """
    update = ("optimizer", "update")
    if update in rows:
        keys = [update if part == "update" else (layer, part) for layer, part in movement.index]
        movement = movement.groupby(pd.MultiIndex.from_tuples(keys, names=rows.names)).sum()
    extra = [key for key in movement.index if key not in rows]
    every = rows.append(pd.MultiIndex.from_tuples(extra, names=rows.names)) if extra else rows
    return movement.reindex(every, fill_value=0)


def _slots(optimizer):
    """Return how many tensors of a weight's size an optimizer keeps for each weight."""
    import keras

    with unchanged(optimizer), allocating():
        if optimizer.built:
            optimizer = type(optimizer).from_config(optimizer.get_config())
        probe = (7, 11)  # a shape that no state has by chance
        optimizer.build([keras.Variable(initializer="zeros", shape=probe, dtype="float32")])
        return sum(tuple(v.shape) == probe for v in optimizer.variables)


def bytes_table(parts, phase="inference") -> pd.DataFrame:
    """Return the DataFrame of a dict of row -> bytes of weights, read and written."""
    return integer_table(list(parts.values()), keyed_index(parts, LEVELS[phase]),
                         ["weight_bytes", "read_bytes", "written_bytes"])
