"""The masks that Keras hands from layer to layer, past the nodes of a functional graph.

A layer that makes a mask (``Embedding(mask_zero=True)``, ``Masking``) leaves it on what it returns;
each layer finds the masks of its inputs there, as it is called, and hands one on where it supports
that. None of it need be shown by a node. Where a mask was made when a graph was built, or a layer
in it makes one, the graph is run once on shapes, layer by layer as Keras does, and what stands on
the tensors is written down.

A mask is computed where a layer makes it, and only where a later one looks at it (`reach`).
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from warnings import catch_warnings, simplefilter

from .calls import Tensor
from .running_state import in_place_of_graph, mask_of, run_on_shapes
from .shapes import taken_inside
from .trace import python_errors


def with_masks(inspected, inputs, calls) -> list:
    """Return the calls of a model's graph, nested ones opened in place, with the masks they find.

    The calls' numbers of the model's inputs are their places among `inputs`.
    """
    if not inspected.may_mask:
        return calls
    run = _Run(calls)

    def run_graph(*tensors):
        run.begin(tensors)
        run.graph(inspected.graph, tensors)

    with python_errors("the model", masks=True), catch_warnings():
        simplefilter("ignore")  # of masks that a layer does not support
        run_on_shapes(run_graph, inputs)
    return [*run.found, *calls[len(run.found):]]


@dataclass
class _Run:
    """A run of a graph as Keras does it, which writes down the masks that each call finds.

    A mask that a call of the graph returned as a tensor is known by the number of that; `tensors`
    holds these by identity.
    """

    calls: list
    found: list = field(default_factory=list)
    tensors: dict[int, tuple[Any, int]] = field(default_factory=dict)

    def begin(self, inputs):
        self.found.clear()
        self.tensors.clear()
        self._number(inputs, range(len(inputs)))

    def graph(self, graph, inputs):
        """Run a graph, and return its outputs."""
        import keras

        known = dict(zip(map(id, graph.inputs), inputs, strict=True))
        for node in graph.nodes:
            args, kwargs = node.arguments.fill_in(known)
            if node.graph is None:
                call = self._found([known[id(t)] for t in node.there(known)])
                with python_errors(call.path, masks=True):
                    outputs = node.operation(*args, **kwargs)
                self._number(keras.tree.flatten(outputs), call.writes)
            else:
                run = partial(self._nested, node, [known[id(t)] for t in node.inputs])
                with in_place_of_graph(node.operation, run):
                    outputs = node.operation(*args, **kwargs)
            known.update(dict.fromkeys(map(id, node.outputs)))  # None where it makes fewer
            known.update(zip(map(id, node.outputs), keras.tree.flatten(outputs), strict=False))
        return [known[id(t)] for t in graph.outputs]

    def _nested(self, node, given, inputs):
        """Run the graph of a nested model, which has made `inputs` of what it is given."""
        for (place, taken), tensor in zip(taken_inside(node, given), inputs, strict=True):
            if taken.dtype != _spec(given[place]).dtype:
                self._number([tensor], self._found([given[place]]).writes)
        return self.graph(node.graph, inputs)

    def _found(self, inputs):
        """Write down the masks of the next call, and return it."""
        call = self.calls[len(self.found)]
        masks = [mask_of(t) for t in inputs]
        if any(mask is not None for mask in masks):
            call = replace(call, masks=tuple(map(_spec, masks)), mask_reads=tuple(
                self.tensors.get(id(mask), (None, None))[1] for mask in masks))
        self.found.append(call)
        return call

    def _number(self, tensors, numbers):
        """Know tensors by number; the first number, where a layer returns what it was given."""
        for tensor, number in zip(tensors, numbers, strict=False):
            self.tensors.setdefault(id(tensor), (tensor, number))


def _spec(tensor):
    import keras

    if tensor is None:
        return None
    return Tensor(tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype))
