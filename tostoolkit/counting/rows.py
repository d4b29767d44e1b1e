"""A counted model as one flat row: what a predictor of energy is computed from.

The row holds what is counted, whatever it may cost: a table of rows outlives any change of cost
table (`costs.predictors` prices it).
"""

from collections import Counter
from math import prod

from .count import OP_COUNTERS, count

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

#: Columns of the MACs of a convolution, by its kernel.
KERNEL = r"mac conv\d+(x\d+)*"


def contraction(call) -> str:
    """Return the class of a call's MACs; a convolution's kernel is part of it: ``conv3x3``."""
    name = CONTRACTIONS.get(call.kind, "other")
    if name == "conv":
        return name + "x".join(map(str, call.layer.kernel_size))
    return name


def count_row(model, batch_size=1, phase="inference", *, input_shape=None, counters=OP_COUNTERS,
              loss=None, optimizer=None) -> dict:
    """Return all that is counted of a model, as one flat row.

    Parameters
    ----------
    model, batch_size, phase, input_shape, counters, loss, optimizer
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
    counted = count(model, batch_size, phase, input_shape=input_shape, counters=counters,
                    loss=loss, optimizer=optimizer)
    counts, calls = counted.counts, counted.calls
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
        "bytes": int(counted.bytes.to_numpy().sum()),
        **by_class,
        **{f"{op} {dtype}": int(n) for (dtype, op), n in counts.sum().items()},
    }
