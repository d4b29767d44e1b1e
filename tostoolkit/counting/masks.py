"""The masks that Keras hands from layer to layer, past the nodes of a functional graph.

A layer that makes a mask (``Embedding(mask_zero=True)``, ``Masking``) leaves it on what it returns;
each layer finds the masks of its inputs there, as it is called, and hands one on where it supports
that. None of it need be shown by a node. Where a mask was made when a graph was built, or a layer
in it makes one, the graph is run once on shapes, layer by layer as Keras does, and what stands on
the tensors is written down.

A mask is computed where a layer makes it, and only where a later one looks at it (`reach`).
"""

from warnings import catch_warnings, simplefilter

from .calls import Tensor
from .layer_state import makes_masks, run_on_shapes
from .running_state import mask_of, put_mask
from .shapes import there_of


def find_masks(inspected, inputs) -> list[tuple]:
    """Return for each call of a model's graph, nested ones opened in place, the masks it finds."""
    graph = inspected.graph
    if not any(node.masked for node in graph.nodes) and not any(
            makes_masks(layer) for _, layer in inspected.layers):
        return []
    found = []

    def run(*tensors):
        found.clear()
        _run(graph, tensors, found)

    with catch_warnings():
        simplefilter("ignore")  # of masks that a layer does not support
        run_on_shapes(run, inputs)
    return found


def _run(graph, tensors, found):
    """Run a graph as Keras does, and write down the masks that each call finds."""
    import keras

    known = dict(zip(map(id, graph.inputs), tensors, strict=True))
    for node in graph.nodes:
        args, kwargs = node.arguments.fill_in(known)
        if node.graph is None:
            found.append(tuple(_spec(mask_of(known[id(t)]))
                               for t in there_of(node.inputs, known)))
            outputs = node.operation(*args, **kwargs)
        else:
            inside = keras.tree.flatten(args[0] if args else kwargs["inputs"])
            if kwargs.get("mask") is not None:
                for tensor, mask in zip(inside, keras.tree.flatten(kwargs["mask"]), strict=True):
                    put_mask(tensor, mask)
            outputs = _run(node.graph, inside, found)
        known.update(dict.fromkeys(map(id, node.outputs)))  # None where it makes fewer than it said
        known.update(zip(map(id, node.outputs), keras.tree.flatten(outputs), strict=False))
    return [known[id(t)] for t in graph.outputs]


def _spec(mask):
    import keras

    if mask is None:
        return None
    return Tensor(tuple(mask.shape), keras.backend.standardize_dtype(mask.dtype))
