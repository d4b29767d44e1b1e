"""Predictors of energy: one row of numbers for a counted model, one column a predictor.

`count_row` holds what is counted, whatever it may cost; `add_indices` prices it. The first is slow
(a model must be built), the second is one matrix product, so a table of counts outlives any change
of cost table.
"""

from collections import Counter
from math import prod

import pandas as pd

from .cost_table import load_cost_table
from .data_movement import count_bytes, movement_table
from .introspection import layer_calls
from .op_count import OP_COUNTERS, count_calls, count_ops
from .op_kinds import DTYPES, LINEAR, OP_KINDS

#: Which contraction a layer's MACs are: kind of layer -> name of the class of MACs.
CONTRACTIONS = {
    "Dense": "dense", "EinsumDense": "dense",
    **{f"Conv{n}D": "conv" for n in (1, 2, 3)},
    **{f"DepthwiseConv{n}D": "depthwise" for n in (1, 2)},
    **{f"SeparableConv{n}D": "separable" for n in (1, 2)},
    **dict.fromkeys(
        ("MultiHeadAttention", "GroupedQueryAttention", "Attention", "AdditiveAttention"),
        "attention"),
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN"), "recurrent"),
}


def contraction(call) -> str:
    """Return the class of a call's MACs; a convolution's kernel is part of it: ``conv3x3``."""
    name = CONTRACTIONS.get(call.kind, "other")
    if name == "conv":
        return name + "x".join(map(str, call.layer.kernel_size))
    return name


def count_row(model, batch_size=1, input_shape=None, counters=OP_COUNTERS, phase="inference",
              loss=None, optimizer=None) -> dict:
    """Return all that is counted of a model, as one flat row.

    Parameters
    ----------
    model, batch_size, input_shape, counters, phase, loss, optimizer
        As for `count_ops`, with its errors.

    Returns
    -------
    dict
        ``parameters`` (trainable), ``layers`` (calls that do arithmetic), ``elements`` (outputs
        of those), ``bytes`` (weights and activations moved), ``mac <class>`` (MACs by
        `contraction`), and ``<op> <dtype>`` for every op kind: ``"exp float32"``. All per step of
        one batch; of a training step ``layers`` and ``elements`` are those of its forward pass,
        MACs those of all of it, ``bytes`` as `count_bytes` defines them.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    >>> count_row(model)
    {'parameters': 36, 'layers': 1, 'elements': 4, 'bytes': 192, \
'mac dense': 32, 'mac float32': 32, 'add float32': 4}
    """
    calls = layer_calls(model, batch_size, input_shape)
    if phase == "inference":
        counts, movement = count_calls(calls, counters), movement_table(calls)
    else:
        counts = count_ops(model, batch_size, phase, input_shape=input_shape, counters=counters,
                           loss=loss, optimizer=optimizer)
        movement = count_bytes(model, batch_size, input_shape, phase, optimizer)
    forward = counts[counts.index.get_level_values("kind") == "forward"] if (
        phase == "training") else counts
    working = set(forward.index[forward.to_numpy().any(axis=1)].get_level_values("layer"))
    class_of = {call.path: f"mac {contraction(call)}" for call in calls}
    macs = counts.loc[:, [op == "mac" for _, op in counts.columns]].sum(axis=1)
    by_class = Counter()
    for (layer, _), n in macs.items():
        if n:  # a trace tells the parts of a layer apart: "attention/query"
            while layer not in class_of and "/" in layer:
                layer = layer.rpartition("/")[0]
            by_class[class_of.get(layer, "mac other")] += int(n)
    return {
        "parameters": sum(prod(w.shape) for w in model.trainable_weights),
        "layers": sum(call.path in working for call in calls),
        "elements": sum(t.size for call in calls if call.path in working for t in call.outputs),
        "bytes": int(movement.to_numpy().sum()),
        **by_class,
        **{f"{op} {dtype}": int(n) for (dtype, op), n in counts.sum().items()},
    }


def add_indices(rows, costs="cmos") -> pd.DataFrame:
    """Return `rows` with the indices that count as predictors added.

    ``macs``, ``flops``, and under the cost table `costs`: ``tos``, and its parts by the class of
    the op (`op_kinds.OP_KINDS`), ``tos_linear``, ``tos_nonlinear`` and ``tos_comparison``; and
    by whether MACs see it, ``tos_mac`` and ``tos_elementwise``, all that is no MAC.

    Parameters
    ----------
    rows : pandas.DataFrame
        Columns as `count_row` gives them, missing counts being 0.
    costs : str or CostTable
        Ops that it does not price are an error.

    Raises
    ------
    ValueError
        A table that lacks an op of the rows.

    Examples
    --------
    >>> rows = pd.DataFrame([{"mac float32": 10, "add float32": 2}])
    >>> add_indices(rows, "flops")[["macs", "flops", "tos"]].to_numpy().tolist()
    [[10.0, 22.0, 22.0]]
    """
    ops = {column: tuple(column.split()) for column in rows.columns if _is_op(column)}
    counts = rows[list(ops)].fillna(0)
    keys = pd.MultiIndex.from_tuples([(dtype, op) for op, dtype in ops.values()])
    table = load_cost_table(costs)
    gaps = keys.difference(table.costs.index)
    if len(gaps):
        raise ValueError(f"costs: table {table.name!r} has no cost for "
                         + ", ".join(f"{op} in {dtype}" for dtype, op in gaps))
    work = pd.Series({column: OP_KINDS[op] for column, (op, _) in ops.items()})
    price = pd.Series(table.costs.reindex(keys).to_numpy(), index=list(ops))
    indices = {
        name: counts @ load_cost_table(name).costs.reindex(keys).to_numpy()
        for name in ("macs", "flops")
    }
    parts = {f"tos_{w}": counts @ price.where(work == w, 0.0)
             for w in (LINEAR, "nonlinear", "comparison")}
    tos = sum(parts.values())
    mac = counts @ price.where([op == "mac" for op, _ in ops.values()], 0.0)
    return rows.assign(**indices, tos=tos, **parts, tos_mac=mac, tos_elementwise=tos - mac)


def _is_op(column):
    op, _, dtype = column.partition(" ")
    return op in OP_KINDS and dtype in DTYPES
