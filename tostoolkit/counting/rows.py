"""All that is counted of a model as one flat row: what a table of models is made of."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .calls import LayerCall, product
from .count import count
from .rules import OP_COUNTERS

if TYPE_CHECKING:
    import keras

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


def count_row(
    model: "keras.Layer", batch_size: int = 1, phase: str = "inference", *,
    input_shape: tuple[int, ...] | None = None, counters: Mapping = OP_COUNTERS,
    loss: "str | keras.Loss | None" = None, optimizer: "str | keras.Optimizer | None" = None,
    targets: Any = None,
) -> dict:
    """Return all that is counted of a model, as one flat row; parameters and errors as `count_ops`.

    ``parameters`` (trainable), ``layers`` (calls that do arithmetic), ``elements`` (outputs of
    those), ``bytes`` (weights and activations moved), ``mac <class>`` (MACs by `contraction`), and
    ``<op> <dtype>`` for every op kind: ``"exp float32"``. All per step of one batch; of a training
    step ``layers`` and ``elements`` are those of its forward pass, MACs those of all of it,
    ``bytes`` as `count_bytes` defines them.

    >>> import keras
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    >>> count_row(model)
    {'parameters': 36, 'layers': 1, 'elements': 4, 'bytes': 192, \
'mac dense': 32, 'mac float32': 32, 'add float32': 4}
    """
    counted = count(model, batch_size, phase, input_shape=input_shape, counters=counters,
                    loss=loss, optimizer=optimizer, targets=targets)
    counts, calls = counted.counts, counted.calls
    forward = counts if phase == "inference" else counts.xs("forward", level="part")
    working = set(forward[forward.any(axis=1)].index.get_level_values("layer"))
    class_of = {call.path: f"mac {contraction(call)}" for call in calls}
    macs = counts.loc[:, [op == "mac" for _, op in counts.columns]].sum(axis=1)
    by_class = Counter()
    for (layer, _), n in macs.items():
        if n:  # a trace tells the parts of a layer apart: "attention/query"
            while layer not in class_of and "/" in layer:
                layer = layer.rpartition("/")[0]
            by_class[class_of.get(layer, "mac other")] += int(n)
    return {
        "parameters": sum(product(w.shape) for w in getattr(model, "trainable_weights", ())),
        "layers": sum(call.path in working for call in calls),
        "elements": sum(t.size for call in calls if call.path in working for t in call.outputs),
        "bytes": int(counted.bytes.to_numpy().sum()),
        **by_class,
        **{f"{op} {dtype}": int(n) for (dtype, op), n in counts.sum().items()},
    }


def contraction(call: LayerCall) -> str:
    """Return the class of a call's MACs; a convolution's kernel is part of it: ``conv3x3``."""
    name = CONTRACTIONS.get(call.kind, "other")
    if name == "conv":
        return name + "x".join(map(str, call.layer.kernel_size))
    return name
