"""What TensorFlow's ops make of constants, by NumPy, of any size.

A constant that repeats itself along an axis is held as an array with a stride of 0 there, as
`numpy.broadcast_to` makes it, and what an op makes of it is made of its `core`, without what only
repeats. So ones of a batch of 10^12 take no memory, and are seen to be ones.
"""

from math import prod

import numpy as np

#: What is computed of constants has at most so many elements, those that only repeat not counted.
LARGEST = 2 ** 22
#: Integers in arrays of so many elements may be sizes, which are computed in full.
_MOST_SIZES = 64


def core(x):
    """Return an array without what it only repeats.

    >>> core(np.broadcast_to(np.arange(3), (10**12, 3)))
    array([[0, 1, 2]])
    """
    return x[tuple(slice(0, 1) if step == 0 else slice(None) for step in x.strides)]


def everywhere(x):
    """Return the value that an array has in every place, None where it has several or no place.

    >>> everywhere(np.broadcast_to(2, (10**12, 3))), everywhere(np.arange(3))
    (np.int64(2), None)
    """
    parts = core(x)
    return parts.flat[0] if x.size and (parts == parts.flat[0]).all() else None


def repeated(value, shape):
    """Return an array that has one value everywhere; it takes the memory of that one.

    >>> repeated(1, (10**12, 3)).strides
    (0, 0)
    """
    return np.broadcast_to(np.asarray(value).reshape(()), tuple(map(int, shape)))


def settled(x):
    """Return an array, one of the same value everywhere as `repeated` makes it."""
    one = None if x is None or core(x).size < 2 else everywhere(x)
    return x if one is None else repeated(one, x.shape)


def in_dtype(x, dtype):
    """Return an array in a dtype; integers beyond it stay as they are, where TensorFlow's wrap.

    >>> in_dtype(np.asarray(2**32), np.int32), in_dtype(np.asarray(2**30), np.int32).dtype
    (array(4294967296), dtype('int32'))
    """
    x, dtype = np.asarray(x), np.dtype(dtype)
    if x.dtype.kind == "f" and dtype.kind == "i":  # a place that was computed of a size, say
        with np.errstate(invalid="ignore"):
            x = np.broadcast_to(core(x).astype(np.int64), x.shape)
    if x.dtype.kind == dtype.kind == "i" and dtype.itemsize < x.dtype.itemsize:
        parts, limits = core(x), np.iinfo(dtype)
        if (parts < limits.min).any() or (parts > limits.max).any():
            return x
    return x if x.dtype == dtype else np.broadcast_to(core(x).astype(dtype), x.shape)


def literal(op):
    """Return the array that is written out in a graph; its memory is there already."""
    import tensorflow as tf

    held = op.get_attr("value")
    shape = [axis.size for axis in held.tensor_shape.dim]
    values = [v for field, v in held.ListFields() if field.name.endswith("_val")]
    if prod(shape) <= LARGEST or held.tensor_content or any(len(v) > 1 for v in values):
        return np.asarray(tf.make_ndarray(held))
    held.tensor_shape.ClearField("dim")  # one number stands for all
    return repeated(tf.make_ndarray(held), shape)


def _dtype(op):
    return op.outputs[0].dtype.as_numpy_dtype


def _small(shape):
    """Return a shape of as many elements as are computed, ValueError of more."""
    if prod(shape) > LARGEST:
        raise ValueError(f"a constant of shape {shape} is not looked into")
    return shape


def by_element(f):
    """Return the function of an op that takes its operands element by element."""
    def folded(op, *x):
        parts = [core(a) for a in x]
        _small(np.broadcast_shapes(*(a.shape for a in parts)))
        sizes = all(a.dtype.kind == "i" and a.size <= _MOST_SIZES for a in parts)
        made = f(op, *(a.astype(np.int64) if sizes else a for a in parts))
        made = in_dtype(made, _dtype(op)) if sizes else np.asarray(made)
        return np.broadcast_to(made, np.broadcast_shapes(*(a.shape for a in x)))
    return folded


def reshaped(op, x, shape=None):
    """Return an array in the shape that an op gives it."""
    known = op.outputs[0].shape
    shape = known.as_list() if known.is_fully_defined() else [int(n) for n in shape]
    if core(x).size == 1 and -1 not in shape:
        return repeated(core(x), shape)
    return np.reshape(x, shape) if x.size <= LARGEST else np.reshape(x, shape, copy=False)


def _reduced(f, times=None):
    """Return the function of a reduction; `times` does it to n equal values."""
    def folded(op, x, axes):
        axes = {int(axis) % x.ndim for axis in np.atleast_1d(axes)} if x.ndim else set()
        parts = core(x)
        _small(parts.shape)
        made = f(parts, tuple(axes), keepdims=True)
        if times is not None:
            made = times(made, prod(x.shape[i] // parts.shape[i] for i in axes if parts.shape[i]))
        if not x.size:
            made = f(x, tuple(axes), keepdims=True)
        shape = [1 if i in axes else n for i, n in enumerate(x.shape)]
        made = np.broadcast_to(made, shape)
        return made if op.get_attr("keep_dims") else made[
            tuple(0 if i in axes else slice(None) for i in range(x.ndim))]
    return folded


def _joined(op, arrays, axis):
    """Return arrays one after another along an axis; along the others all may repeat themselves."""
    axis = int(axis) % arrays[0].ndim
    shape = list(arrays[0].shape)
    shape[axis] = sum(x.shape[axis] for x in arrays)
    values = [everywhere(x) if x.size and core(x).size == 1 else None for x in arrays]
    if None not in values and len(set(map(np.ndarray.item, map(np.asarray, values)))) == 1:
        return repeated(values[0], shape)
    repeats = [i != axis and all(x.strides[i] == 0 for x in arrays) for i in range(len(shape))]
    parts = [x[tuple(slice(0, 1) if r else slice(None) for r in repeats)] for x in arrays]
    _small([1 if r else n for r, n in zip(repeats, shape, strict=True)])
    return np.broadcast_to(np.concatenate(parts, axis), shape)


def _packed(op, *x):
    axis = op.get_attr("axis")
    return _joined(op, [np.expand_dims(a, axis) for a in x], axis)


def _taken(op, x, places, axis):
    """Return what stands at places along an axis; where it only repeats, all are the same."""
    axis = int(axis) % x.ndim
    if op.type == "GatherV2" and op.get_attr("batch_dims") and core(x).size > 1:
        raise ValueError("places of their own for each of a batch")
    shape = (*x.shape[:axis], *places.shape, *x.shape[axis + 1:])
    parts, places = core(x), core(places)
    if x.shape[axis] and parts.shape[axis] == 1:
        places = np.zeros_like(core(places[(slice(0, 1),) * places.ndim]))
    _small((*parts.shape[:axis], *places.shape, *parts.shape[axis + 1:]))
    return np.broadcast_to(np.take(parts, places, axis), shape)


def _tiled(op, x, times):
    """Return copies side by side; along an axis that only repeats, it is one that is longer."""
    shape = [n * int(t) for n, t in zip(x.shape, times, strict=True)]
    parts = core(x)
    real = [1 if n == 1 else int(t) for n, t in zip(parts.shape, times, strict=True)]
    _small([n * t for n, t in zip(parts.shape, real, strict=True)])
    return np.broadcast_to(np.tile(parts, real), shape)


def _range(op, start, limit, step):
    _small([int(np.abs((limit - start) // step))])
    return np.arange(start, limit, step)


def _strided(op, x, begin, end, strides):
    """Return a slice of TensorFlow's, by NumPy's."""
    def masked(name, i):
        return op.get_attr(f"{name}_mask") >> i & 1

    return x[tuple(
        ... if masked("ellipsis", i) else None if masked("new_axis", i) else
        first if masked("shrink_axis", i) else
        slice(None if masked("begin", i) else first, None if masked("end", i) else last, stride)
        for i, (first, last, stride) in enumerate(zip(
            begin.tolist(), end.tolist(), strides.tolist(), strict=True)))]


def _sizes(op, x):
    return in_dtype(np.asarray(x, np.int64), _dtype(op))


#: Type of an op -> function of the op and its inputs' values.
FOLDED = {
    **{name: by_element(lambda op, *x, f=f: f(*x)) for name, f in {
        "Add": np.add, "AddV2": np.add, "Sub": np.subtract, "Mul": np.multiply,
        "RealDiv": np.true_divide, "FloorDiv": np.floor_divide, "FloorMod": np.mod,
        "Maximum": np.maximum, "Minimum": np.minimum, "Neg": np.negative, "Abs": np.abs,
        "Square": np.square, "Sign": np.sign, "Pow": np.power,
        "Equal": np.equal, "NotEqual": np.not_equal, "Less": np.less, "Greater": np.greater,
        "LessEqual": np.less_equal, "GreaterEqual": np.greater_equal, "Select": np.where,
        "LogicalAnd": np.logical_and, "LogicalOr": np.logical_or, "LogicalNot": np.logical_not,
        "SelectV2": np.where, "ZerosLike": np.zeros_like, "OnesLike": np.ones_like,
        "Floor": np.floor, "Ceil": np.ceil,
    }.items()},
    "DivNoNan": by_element(lambda op, x, y: np.where(
        y == 0, np.zeros_like(x), x / np.where(y == 0, 1, y))),
    **dict.fromkeys(("Identity", "StopGradient", "PreventGradient", "EnsureShape"),
                    lambda op, x: x),
    "Cast": lambda op, x: in_dtype(x, _dtype(op)),
    "Reshape": reshaped, "Squeeze": reshaped,
    "ExpandDims": lambda op, x, axis: np.expand_dims(x, int(axis)),
    "Transpose": lambda op, x, order: np.transpose(x, order), "StridedSlice": _strided,
    "Fill": lambda op, shape, x: repeated(x, shape),
    "BroadcastTo": lambda op, x, shape: np.broadcast_to(x, tuple(shape.tolist())),
    "Pack": _packed, "ConcatV2": lambda op, *x: _joined(op, x[:-1], x[-1]),
    "Concat": lambda op, *x: _joined(op, x[1:], x[0]),
    "GatherV2": _taken, "Range": _range, "Tile": _tiled,
    **{name: _reduced(f) for name, f in {
        "Max": np.max, "Min": np.min, "All": np.all, "Any": np.any}.items()},
    "Sum": _reduced(np.sum, np.multiply), "Prod": _reduced(np.prod, np.power),
}
#: The same of ops of several results: all of them.
FOLDED_PARTS = {
    "Unpack": lambda op, x: np.moveaxis(x, op.get_attr("axis"), 0),
    "Split": lambda op, axis, x: np.split(x, op.get_attr("num_split"), int(axis)),
    "SplitV": lambda op, x, sizes, axis: np.split(x, np.cumsum(sizes)[:-1], int(axis)),
}
#: Type of an op that looks at a shape alone -> its value, sizes beyond int32 in full.
OF_SHAPES = {
    "Shape": lambda op, shape: _sizes(op, shape), "Size": lambda op, shape: _sizes(op, prod(shape)),
    "Rank": lambda op, shape: _sizes(op, len(shape)),
}
