"""What is no Keras layer -> op counts: a function of JAX arrays, or a module of PyTorch's.

Such a model does not say what it is called with, so ``input_shape`` does: the shape of one sample;
a list of what its arguments are, or a dict of them by name; and what an argument is, is a shape, an
array or anything else with a shape and a dtype (``jax.ShapeDtypeStruct``), a list, tuple or dict of
such, or any other value. A shape is of one sample, in float32, and gets the batch in front; what
has a shape and a dtype is taken whole, as it is.

A function is traced by JAX, on shapes alone; its rows are its named scopes (``jax.named_scope``),
and the gradients taken in it have their own. A module is traced by PyTorch; its rows are the
modules in it. Neither has a training step of its own: a function that takes the gradient is
counted as it is. Counters of one's own are of Keras layers and do not hold here.

Bytes are those of one row, the whole: arguments are read and results written once; parameters,
which only a module tells apart, are its weights. Results of a module are not known, and left out.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from inspect import signature
from numbers import Integral
from typing import Any

from .calls import Tensor
from .trace import TraceError
from .walk import check_batch_size


def is_function(model) -> bool:
    """Whether a model is a function or module that is no Keras layer.

    >>> is_function(len), is_function("resnet")
    (True, False)
    """
    keras = sys.modules.get("keras")
    is_layer = keras is not None and isinstance(model, keras.Layer)
    return callable(model) and not isinstance(model, type) and not is_layer


def name_of(model) -> str:
    """Return the name of a model, or of a function or module.

    >>> from functools import partial
    >>> name_of(len), name_of(partial(sorted, reverse=True))
    ('len', 'sorted')
    """
    if is_function(model):
        model = getattr(model, "func", model)
        return getattr(model, "__name__", type(model).__name__)
    return model.name


def function_parts(model: Callable, batch_size: int, phase: str, input_shape: Any) -> tuple:
    """Return the name, the rows of op counts and the bytes of a function or module.

    The arguments are those of `count_ops`; rows are (path, kind) -> CallCount, bytes as
    `function_bytes` returns them.

    Raises
    ------
    TypeError
        `batch_size` is not an integer.
    ValueError
        No `input_shape`; `phase` is not inference; the function cannot be traced.

    Examples
    --------
    ``tos.count_ops(jax.numpy.tanh, batch_size=2, input_shape=(8,))``
    """
    arguments = _arguments(model, batch_size, phase, input_shape)
    made = []
    known = () if _is_of_torch(model) else (made,)
    traced = _backend(model).trace_function(model, arguments, *known)
    rows = {(path, kind): counted for path, (kind, counted) in traced.items()}
    return name_of(model), rows, _bytes(model, arguments, made)


def function_bytes(model: Callable, batch_size: int, phase: str, input_shape: Any) -> dict:
    """Return (name, kind) -> bytes of weights, read and written; arguments as `function_parts`."""
    arguments = _arguments(model, batch_size, phase, input_shape)
    made = [] if _is_of_torch(model) else _backend(model).results(model, arguments)
    return _bytes(model, arguments, made)


def _bytes(model, arguments, made):
    if _is_of_torch(model):
        kind = type(model).__name__
        weights = sum(p.numel() * p.element_size() for p in model.parameters())
    else:
        kind, weights = "function", 0
    read = _tensors(arguments)
    return {(name_of(model), kind): (
        weights, sum(t.nbytes for t in read), sum(t.nbytes for t in made))}


def _is_of_torch(model):
    """Whether it is a module of PyTorch's, which is not imported for that."""
    return any(c.__module__ == "torch.nn.modules.module" and c.__name__ == "Module"
               for c in type(model).__mro__)


def _backend(model):
    """Return the module that traces a function or module."""
    name = "torch" if _is_of_torch(model) else "jax"
    try:
        import_module(name)
        return import_module(f".backends.{name}", __package__)
    except ModuleNotFoundError as error:
        raise TraceError(f"model: {name_of(model)!r} is traced by {name}, and {error.name} is not "
                         f"installed: pip install {name}") from None


def _arguments(model, batch_size, phase, input_shape):
    """Return what a model is called with: a tuple, or a dict by the names of its parameters."""
    batch_size = check_batch_size(batch_size)
    if phase != "inference":
        raise ValueError(
            f"phase: {name_of(model)!r} is not a Keras model, so it has no training step of its "
            "own; count a function that takes the gradient, jax.value_and_grad(loss) say")
    if input_shape is None:
        raise ValueError(
            f"input_shape: {name_of(model)!r} is not a Keras model, so what it is called with is "
            "unknown; pass the shape of one sample, input_shape=(784,), or a list of what its "
            "arguments are: shapes, arrays, or what has a shape and a dtype")
    given = _read((int(input_shape),) if _is_size(input_shape) else input_shape, batch_size)
    if isinstance(given, dict):
        return given if given.keys() <= _parameters(model) else (given,)
    whole = isinstance(given, Tensor) or _is_array(given) or not isinstance(given, (list, tuple))
    return (given,) if whole else tuple(given)


def _parameters(model):
    try:
        return signature(getattr(model, "forward", model)).parameters.keys()
    except (TypeError, ValueError):  # written in C
        return ()


def _read(value, batch_size):
    """Return what an argument is, with Tensors in the place of shapes."""
    if _is_array(value):
        shape = tuple(value.shape)
        return Tensor((batch_size, *shape[1:]), str(value.dtype)) if None in shape[:1] else value
    if isinstance(value, dict):
        return {key: _read(v, batch_size) for key, v in value.items()}
    if isinstance(value, int) and not isinstance(value, bool):
        return _read((value,), batch_size)
    if isinstance(value, (list, tuple)):
        if all(map(_is_size, value)) and (value or isinstance(value, tuple)):
            if min(value, default=0) < 0:
                raise ValueError(f"input_shape: {tuple(value)} has a dimension below 0; give the "
                                 "shape of one sample, without the batch")
            return Tensor((batch_size, *map(int, value)))
        read = [_read(v, batch_size) for v in value]
        return type(value)(*read) if hasattr(value, "_fields") else type(value)(read)
    return value


def _is_size(value):
    """Whether a value is one size of a shape: an integer, of NumPy's too, and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_array(value):
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _tensors(value):
    """Return the Tensors of what has a shape and a dtype in a structure."""
    if _is_array(value):
        return [Tensor(tuple(value.shape), str(value.dtype).removeprefix("torch."))]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return []
    return [t for v in value for t in _tensors(v)]
