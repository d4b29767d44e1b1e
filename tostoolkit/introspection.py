"""Keras model -> layer calls. The only module that knows Keras' internals."""

from dataclasses import dataclass
from math import prod
from typing import Any


@dataclass(frozen=True)
class Tensor:
    """Shape and dtype of one tensor; no values."""

    shape: tuple[int, ...]
    dtype: str = "float32"

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)


@dataclass(frozen=True)
class LayerCall:
    """One call of one layer (or bare operator) in a model's forward pass.

    A shared layer called three times gives three of these.
    """

    path: str  # where it stands: "encoder/block_1/conv", nested models joined by "/"
    kind: str  # class name of the layer or operator: "Conv2D", "Add"
    layer: Any  # the Keras layer or operator, or any object with its public attributes
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    dtype: str = "float32"  # in which it computes
