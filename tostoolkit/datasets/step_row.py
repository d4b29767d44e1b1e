"""Stands in until `count_row` counts a training step: then this module goes."""

from collections import Counter

from ..introspection import layer_calls
from ..op_count import count_ops
from ..predictors import contraction, count_row


def count_step_row(model, batch_size=1, phase="training", loss=None, optimizer=None) -> dict:
    """Return all that is counted of one training step of a model, as one flat row."""
    row = count_row(model, batch_size)
    calls = {call.path: call for call in layer_calls(model, batch_size)}
    counts = count_ops(model, batch_size, phase, loss=loss, optimizer=optimizer)
    macs = counts.loc[:, [op == "mac" for _, op in counts.columns]].sum(axis=1)
    by_class = Counter()
    for (path, _), n in macs.items():
        if n:
            by_class[f"mac {contraction(calls[path]) if path in calls else 'other'}"] += int(n)
    trained = sum(w.shape.num_elements() if hasattr(w.shape, "num_elements") else _size(w)
                  for w in model.trainable_weights)
    return {
        **{k: row[k] for k in ("parameters",)},
        "layers": int(counts.to_numpy().any(axis=1).sum()),
        "elements": 2 * row["elements"],
        # backward reads and writes what forward did, as gradients too; update: w, g, m, w, m
        "bytes": 3 * row["bytes"] + 5 * 4 * trained,
        **by_class,
        **{f"{op} {dtype}": int(n) for (dtype, op), n in counts.sum().items()},
    }


def _size(weight):
    size = 1
    for d in weight.shape:
        size *= d
    return size
