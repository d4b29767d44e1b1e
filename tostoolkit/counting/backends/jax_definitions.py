"""What Keras computes by other formulas on JAX than on its other backends, by theirs.

Both are the same functions. A trace runs these, so that what is counted of a model does not depend
on the backend. A lookup brings each index that it is given into range, once, before it is copied
for the values that are looked up. A place among bins is found by one binary search: JAX searches
twice, for bins that go up and for bins that go down, which Keras refuses. A known power of whole
numbers is multiplied out, where JAX tries each bit that its exponent might have.
"""

from .jax_loops import number
from .jax_places import LOOKUP


def take(x, indices, axis=None):
    """Return what stands at indices along an axis, as ``keras.ops.take`` on other backends."""
    from jax import lax, numpy

    x, indices = _tensors(x, indices)
    if not numpy.issubdtype(indices.dtype, numpy.integer):
        return numpy.take(x, indices, axis=axis)
    x, axis = (numpy.ravel(x), 0) if axis is None else (x, axis % x.ndim)
    indices = _in_range(indices, x.shape[axis])
    after = indices.ndim
    layout = lax.GatherDimensionNumbers(
        offset_dims=(*range(axis), *range(axis + after, x.ndim - 1 + after)),
        collapsed_slice_dims=(axis,), start_index_map=(axis,))
    return lax.gather(x, indices[..., None], layout, mode="fill",
                      slice_sizes=(*x.shape[:axis], 1, *x.shape[axis + 1:]))


def take_along_axis(x, indices, axis=None):
    """Return the values at indices along an axis, as ``keras.ops.take_along_axis``."""
    from jax import numpy

    x, indices = _tensors(x, indices)
    x, axis = (numpy.ravel(x), 0) if axis is None else (x, axis)
    return numpy.take_along_axis(x, _in_range(indices, x.shape[axis]), axis=axis)


def digitize(x, bins):
    """Return in which of the bins each value is, as ``keras.ops.digitize``: these go up."""
    from jax import numpy

    x, bins = _tensors(x, bins)
    return numpy.searchsorted(bins, x, side="right")


def power(x1, x2):
    """Return a power, as ``keras.ops.power``."""
    from jax import lax, numpy

    exponent = None if getattr(x2, "shape", ()) else number(x2)
    base, exponents = _tensors(x1, x2)
    dtype = numpy.result_type(base, exponents)
    if exponent is None or exponent < 0 or not numpy.issubdtype(dtype, numpy.integer):
        return numpy.power(base, exponents)
    return lax.integer_pow(base.astype(dtype), int(exponent))


def _tensors(*values):
    import keras

    return [keras.ops.convert_to_tensor(value, sparse=False) for value in values]


def _in_range(indices, length):
    """Return indices of which the negative ones count from the end."""
    from jax import named_scope, numpy

    with named_scope(LOOKUP):
        return numpy.where(indices < 0, indices + length, indices)


#: Name of a function of Keras' backend -> its definition.
DEFINITIONS = {"take": take, "take_along_axis": take_along_axis, "digitize": digitize,
               "power": power}
