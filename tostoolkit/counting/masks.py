"""The masks that Keras hands from layer to layer, past the nodes of a functional graph.

A layer that makes a mask (``Embedding(mask_zero=True)``, ``Masking``) leaves it on what it returns;
each layer finds the masks of its inputs there, as it is called, and hands one on where it supports
that. None of it need be shown by a node. Where a mask was made when a graph was built, or a layer
in it makes one, the graph is run once on shapes, layer by layer as Keras does, and what stands on
the tensors is written down.

A mask is computed where a layer makes it, and only where a later one looks at it:
`counted_with_masks` goes from the last call to the first and asks of each what it needs.
"""

from collections import Counter
from dataclasses import replace
from warnings import catch_warnings, simplefilter

from .calls import CallCount, Tensor
from .running_state import mask_of, put_mask, run_on_shapes


def find_masks(inspected, inputs) -> list[tuple]:
    """Return for each call of a model's graph, nested ones opened in place, the masks it finds."""
    if not inspected.may_mask:
        return []
    found = []

    def run(*tensors):
        found.clear()
        _run(inspected.graph, tensors, found)

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
            found.append(tuple(_spec(mask_of(known[id(t)])) for t in node.there(known)))
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


def counted_with_masks(calls, outputs, count_call) -> list[CallCount]:
    """Return the count of each call, where masks are handed on; each mask is counted once, if used.

    `outputs` are the numbers of the tensors that are wanted, `count_call` counts a call.
    """
    wanted, masks_wanted, rows = set(outputs), set(), []
    for call in reversed(calls):
        handed_on = tuple(i for i, n in enumerate(call.writes) if n in masks_wanted)
        if handed_on or not wanted.isdisjoint(call.writes):
            row = count_call(replace(call, masks_wanted=handed_on))
            wanted.update(n for i, n in enumerate(call.reads) if _needs(row.needs, i))
            masks_wanted.update(call.reads[i] for i, mask in enumerate(call.masks)
                                if mask and _needs(row.needs, ("mask", i)))
        else:  # a mask that is handed over, and that nobody looks at
            row = CallCount(Counter(), "zero")
        rows.append(row)
    return rows[::-1]


def _needs(needs, what):
    return needs is None or what in needs
