"""The records of a forward pass: tensors, and calls of layers on them."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from inspect import Signature, signature
from math import prod
from types import MappingProxyType
from typing import Any, NamedTuple

#: Phase -> what the rows of a model's tables are told by.
LEVELS = MappingProxyType({"inference": ("layer", "kind"), "training": ("layer", "part")})
#: Parts of a training step, and the row of its loss.
FORWARD, BACKWARD, UPDATE, LOSS = "forward", "backward", "update", "loss"
#: Scopes of the parts of a traced step, which no layer of a user's is named like.
BACKWARD_SCOPE, UPDATE_SCOPE, LOSS_SCOPE = "tos_backward", "tos_update", "tos_loss"


def product(sizes) -> int:
    """Return the product of sizes, as a Python integer, which does not wrap as NumPy's do.

    >>> import numpy as np
    >>> product((np.int32(2**30), 2**30, 2**30)) == 2**90
    True
    """
    return prod(map(int, sizes))


@dataclass(frozen=True)
class Tensor:
    """Shape and dtype of one tensor; no values. A shape is of Python integers."""

    shape: tuple[int, ...]
    dtype: str = "float32"

    @property
    def size(self) -> int:
        """Number of elements."""
        return product(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in memory; sub-byte formats are packed."""
        return -(-self.size * _bits(self.dtype) // 8)


@cache
def _bits(dtype):
    """Bits of one element: the number in the dtype's name; a bool takes a byte."""
    digits = re.search(r"\d+", dtype)
    return int(digits.group()) if digits else 8


@dataclass(slots=True)
class LayerCall:
    """One call of one layer (or bare operator) in a model's forward pass.

    Attributes
    ----------
    path : str
        Where it stands: ``"encoder/block_1/conv"``, nested models joined by ``/``. The second
        call of a shared layer is ``"conv#2"``.
    kind : str
        Class name: ``"Conv2D"``; with ``ops.`` before it for a bare operator: ``"ops.Exp"``.
    layer : object
        The Keras layer or operator, or any object with its public attributes.
    inputs, outputs : tuple of Tensor
        Shapes with the batch dimension filled in.
    dtype : str
        The dtype in which it computes.
    kwargs : mapping
        The other arguments of the call: ``{"use_causal_mask": True}``.
    reads, writes : tuple of int
        Numbers of the inputs and outputs: those of two calls are equal where the one reads what
        the other writes. Empty for a call that is not part of a graph.
    bind : function, or None
        Tensors, one for each of the inputs -> positional and keyword arguments of the call, as
        the model makes it; None of a call that was made by hand.
    masks : tuple of Tensor or None
        The mask that Keras finds on each of the inputs; empty where there is none.
    mask_reads : tuple of int or None
        The number of each of these masks that another call returns, or the model takes, as a
        tensor; None of those that a layer leaves on what it returns.
    masks_wanted : tuple of int
        Places of the outputs whose masks a later call looks at.
    wanted : tuple of int, or None
        Places of the outputs that a later call reads or the model returns; None of all of them.
    constants : tuple
        Places of the inputs that no data reach, ``("mask", i)`` for the mask of one: what an
        earlier call made of shapes alone.

    Examples
    --------
    A call can be made by hand, which is how the formulas are tested:

    >>> from types import SimpleNamespace
    >>> dense = SimpleNamespace(units=4, use_bias=True, activation=None)
    >>> LayerCall("d", "Dense", dense, (Tensor((1, 3)),), (Tensor((1, 4)),)).outputs[0].size
    4
    """

    path: str
    kind: str
    layer: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    dtype: str = "float32"
    kwargs: Mapping = field(default_factory=dict)
    reads: tuple[int, ...] = ()
    writes: tuple[int, ...] = ()
    bind: Callable | None = field(default=None, compare=False, repr=False)
    masks: tuple[Tensor | None, ...] = ()
    mask_reads: tuple[int | None, ...] = ()
    masks_wanted: tuple[int, ...] = ()
    wanted: tuple[int, ...] | None = None
    constants: tuple = ()

    @property
    def signature(self) -> Signature:
        """The signature of the layer's or operator's ``call``, read once a function.

        >>> import keras
        >>> str(LayerCall("a", "Add", keras.layers.Add(), (), ()).signature)
        '(inputs)'
        """
        call = self.layer.call
        function = getattr(call, "__func__", None)  # a layer's own replaces its class's
        return signature(call) if function is None else _without_self(function)

    def returned(self, outputs) -> list:
        """Return of what a call returns, in a flat list, what somebody wants."""
        return outputs if self.wanted is None else [outputs[place] for place in self.wanted]

    def arguments(self, tensors) -> tuple[tuple, dict]:
        """Return the positional and keyword arguments of the call, on these tensors."""
        tensors = tuple(tensors)
        if self.bind is not None:
            return self.bind(tensors)
        # an operator takes its tensors one by one, and so does a layer with several of them
        required = [p for p in self.signature.parameters.values() if p.default is
                    p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        spread = len(required) > 1 or len(tensors) == 1 or not hasattr(self.layer, "weights")
        return tensors if spread else (list(tensors),), dict(self.kwargs)


@lru_cache(maxsize=1024)
def _without_self(function):
    whole = signature(function)
    first, *others = whole.parameters.values()
    if first.kind is first.VAR_POSITIONAL:
        return whole
    return whole.replace(parameters=others)


class CallCount(NamedTuple):
    """Op counts of a call, or of a part of a training step, and how they were found.

    `method` is ``rule``, ``trace`` or ``zero``; `notes` say what a reader should know of a trace.
    `needs` are the places of the inputs that the outputs depend on, ``("mask", i)`` for the mask of
    one; `reached` are the places of the outputs that data reach, likewise; None for all of them.
    """

    counts: Counter
    method: str
    notes: tuple[str, ...] = ()
    needs: frozenset | None = None
    reached: frozenset | None = None
