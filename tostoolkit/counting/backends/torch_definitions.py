"""What Keras computes by other formulas on PyTorch than on its other backends, by theirs.

Both are the same functions. A trace runs these, so that what is counted of a model does not depend
on the backend: the variance is the mean of (x - mean)^2, a batch is normalised by
x s + (beta - mean s), s = gamma / sqrt(variance + epsilon), and a lookup brings each index that it
is given into range once, in the index's own format.
"""

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor


class SquaredDifference(torch.autograd.Function):
    """(x - mean)^2, whose gradient is 2 g (x - mean), computed anew."""

    @staticmethod
    def forward(ctx, x, mean):
        """Return the square, and keep what it is of."""
        ctx.save_for_backward(x, mean)
        return torch.square(x - mean)

    @staticmethod
    def backward(ctx, gradient):
        """Return the gradient of x; there is none of the mean."""
        x, mean = ctx.saved_tensors
        return gradient * 2 * (x - mean), None


def moments(x, axes, keepdims=False, synchronized=False):
    """Return the mean and variance of a tensor along axes, as ``keras.ops.moments``."""
    given = x.dtype
    x = x.float() if given == torch.float16 else x
    mean = torch.mean(x, dim=axes, keepdim=True)
    variance = torch.mean(SquaredDifference.apply(x, mean.detach()), dim=axes, keepdim=True)
    if not keepdims:
        mean, variance = torch.squeeze(mean, axes), torch.squeeze(variance, axes)
    if x.dtype != given:  # within what the narrower format can hold
        limit = torch.finfo(given)
        mean, variance = (torch.clip(t, limit.min, limit.max).to(given) for t in (mean, variance))
    return mean, variance


def batch_normalization(x, mean, variance, axis, offset=None, scale=None, epsilon=1e-3):
    """Return a normalised tensor, as ``keras.ops.batch_normalization``."""
    shape = [1] * x.dim()
    shape[axis] = mean.shape[0]

    def as_rows(parameter):
        value = getattr(parameter, "value", parameter)
        return None if value is None else torch.reshape(value, shape)

    mean, variance, offset, scale = map(as_rows, (mean, variance, offset, scale))
    inverse = torch.rsqrt(variance + epsilon)
    if scale is not None:
        inverse = inverse * scale
    shift = -mean * inverse if offset is None else offset - mean * inverse
    return x * inverse + shift


def take_along_axis(x, indices, axis=None):
    """Return the values at indices along an axis, as ``keras.ops.take_along_axis``."""
    import keras

    x, indices = map(keras.ops.convert_to_tensor, (x, indices))
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis = axis % x.dim()
    indices = torch.where(indices < 0, indices + x.shape[axis], indices).long()
    around = [1 if i == axis else max(x.shape[i], indices.shape[i]) for i in range(x.dim())]
    x, indices = (t.expand([*around[:axis], t.shape[axis], *around[axis + 1:]])
                  for t in (x, indices))
    return torch.gather(x, axis, indices)


def take(x, indices, axis=None):
    """Return what stands at indices along an axis, as ``keras.ops.take``."""
    import keras

    x, indices = map(keras.ops.convert_to_tensor, (x, indices))
    if axis is None:
        x, axis = torch.reshape(x, (-1,)), 0
    axis %= x.dim()
    indices = torch.where(indices < 0, indices + x.shape[axis], indices)
    if indices.dtype not in (torch.int32, torch.int64):
        indices = indices.long()
    found = torch.index_select(x, axis, torch.ravel(indices))
    return torch.reshape(found, (*x.shape[:axis], *indices.shape, *x.shape[axis + 1:]))


def as_number(x):
    """Return a tensor without memory as it is, which has no value to convert; else its values."""
    if isinstance(x, FakeTensor) or not isinstance(x, torch.Tensor):
        return x if isinstance(x, FakeTensor) else np.array(x)
    x = x.detach().cpu()
    return (x.float() if x.dtype == torch.bfloat16 else x).numpy()


#: Name of a function of Keras' backend -> its definition.
DEFINITIONS = {"moments": moments, "batch_normalization": batch_normalization, "take": take,
               "take_along_axis": take_along_axis, "convert_to_numpy": as_number}
