"""The oracle of the counts: all of a model's graph, traced at once, whatever has a rule."""

import pandas as pd

from tostoolkit.counting.backends.tensorflow import trace_step, traced
from tostoolkit.counting.backends.tensorflow_graph import OpCounts
from tostoolkit.counting.backends.tensorflow_ops import TRACE_COUNTERS
from tostoolkit.counting.calls import LayerCall
from tostoolkit.counting.compiled import compiled
from tostoolkit.counting.introspection import inspect
from tostoolkit.counting.trace import says_how_to_count
from tostoolkit.counting.walk import check_phase, read_calls


def no_counter(layer, kind):
    """No counter of the user's."""


def trace_ops(model, batch_size=1, phase="inference", *, input_shape=None, loss=None,
              optimizer=None, trace_counters=TRACE_COUNTERS) -> pd.DataFrame:
    """Return the op counts of a model from its traced graph; arguments and errors as `count_ops`.

    Columns are ``(dtype, op)``, the index is ``layer``, or ``(part, layer)`` for training. Ops of
    the types in `trace_counters` can be counted.

    >>> import keras
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="out")])
    >>> int(trace_ops(model, batch_size=2)["float32", "mac"].sum())
    64
    >>> step = trace_ops(model, phase="training", loss="mse", optimizer="sgd")
    >>> step["float32", "mac"].groupby("part").sum().to_dict()
    {'backward': 32, 'forward': 32, 'update': 0}
    """
    check_phase(phase)
    read = read_calls(inspect(model), batch_size, input_shape)
    if phase == "training":
        rows = trace_step(read, compiled(inspect(model), loss, optimizer), no_counter)
    else:
        graph = traced(LayerCall(model.name, "", model, read.inputs, (),
                                 bind=lambda tensors: ((read.structure(tensors),), {})))
        with says_how_to_count(model.name, type(model).__name__):
            rows = OpCounts(trace_counters).add_graph(graph).by_layer(read)
    table = pd.DataFrame.from_records([row.counts for row in rows.values()])
    table = table.fillna(0).astype("int64").sort_index(axis=1)
    table.columns = pd.MultiIndex.from_tuples(table.columns, names=["dtype", "op"])
    table.index = (pd.MultiIndex.from_tuples([key[::-1] for key in rows], names=["part", "layer"])
                   if phase == "training" else pd.Index([k for k, _ in rows], name="layer"))
    return table
