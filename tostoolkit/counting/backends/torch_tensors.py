"""What fake tensors, and ops of PyTorch, say of themselves."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import prod

import torch

from ..trace import TraceError


@dataclass(frozen=True)
class TorchOp:
    """One op that runs: its arguments by name, its tensors.

    `constant` gives the number that an operand is, None where it is none or varies, and `is_data`
    says whether data reach a tensor.
    """

    name: str
    arguments: dict
    inputs: list
    outputs: list
    constant: Callable
    is_data: Callable

    def get(self, name, default=None):
        """Return an argument, or what it is where it is left out."""
        value = self.arguments.get(name)
        return default if value is None else value


def dtype_of(tensor):
    """Return the name of a tensor's dtype, without its sign."""
    name = str(tensor.dtype).removeprefix("torch.")
    if name.startswith("complex"):
        raise ValueError("its numbers are complex, whose arithmetic has no kinds of op")
    return name.removeprefix("u")


def parts_of(tensor):
    """Return the name of the dtype of a number's parts, and how many these are: of a complex two.

    >>> parts_of(torch.zeros(3, dtype=torch.complex64)), parts_of(torch.zeros(3))
    (('float32', 2), ('float32', 1))
    """
    if tensor.is_complex():
        return str(tensor.dtype.to_real()).removeprefix("torch."), 2
    return dtype_of(tensor), 1


def torch_dtype(dtype):
    """Return a PyTorch dtype, of which some of Keras' are wider than they say."""
    if isinstance(dtype, torch.dtype):
        return dtype
    name = str(getattr(dtype, "name", getattr(dtype, "__name__", dtype))).rpartition(".")[2]
    return getattr(torch, {"uint16": "int32", "uint32": "int64"}.get(name, name))


def fake_tensor(tensor):
    """Return a tensor without memory, like one, or like what has its shape and dtype."""
    shape, dtype = tuple(tensor.shape), torch_dtype(tensor.dtype)
    if prod(shape) * dtype.itemsize >= 2**63:
        raise too_large(f"a tensor of shape {shape}")
    return torch.empty(shape, dtype=dtype)


class Endless(TraceError):
    """A loop that the data end, whichever way its condition is taken."""


def too_large(what) -> TraceError:
    """Return the error of a tensor that is larger than PyTorch can say.

    >>> print(too_large("a tensor of shape (9, 9)"))
    batch_size: a tensor of shape (9, 9) has more bytes than PyTorch can number (2^63); count at a \
smaller batch_size, batch_size=1 say, and multiply
    """
    return TraceError(f"batch_size: {what} has more bytes than PyTorch can number (2^63); count at "
                      "a smaller batch_size, batch_size=1 say, and multiply")


def tensors_in(structure):
    """Yield the tensors in an op's arguments or results."""
    if isinstance(structure, torch.Tensor):
        yield structure
    elif isinstance(structure, (list, tuple)):
        for value in structure:
            yield from tensors_in(value)
    elif isinstance(structure, dict):
        yield from tensors_in(tuple(structure.values()))


@cache
def writes(func):
    """Return (place, name) of the arguments that an op writes."""
    return tuple((i, a.name) for i, a in enumerate(func._schema.arguments)
                 if a.alias_info is not None and a.alias_info.is_write)


@cache
def is_view(func):
    """Whether an op's results are its argument, looked at otherwise."""
    returns = func._schema.returns
    return not writes(func) and bool(returns) and all(r.alias_info is not None for r in returns)


def written_by(func, args, kwargs):
    """Return the tensors that an op writes."""
    return list(tensors_in([args[i] if i < len(args) else kwargs.get(name)
                            for i, name in writes(func)]))


def is_whole(tensor):
    """Whether a tensor is all of its storage, so that what is written to it leaves nothing."""
    return tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()


def fill_of(name, args, kwargs):
    """Return the number that an op makes a tensor of, None where it makes another."""
    if name.split("_")[-1 if name.startswith("new") else 0] in ("ones", "zeros"):
        return 1 if "ones" in name else 0
    if name in ("full", "full_like", "scalar_tensor"):
        value = kwargs.get("fill_value", args[name != "scalar_tensor"])
        return value if isinstance(value, (int, float)) else None
    return None
