"""What Keras computes by other formulas on TensorFlow than on its other backends, by theirs.

Both are the same functions. A trace runs these, so that what is counted of a model does not depend
on the backend: a lookup along an axis brings each index that it is given into range, once. Keras'
TensorFlow backend copies the indices first, one for each value that is looked up, and brings each
copy into range.
"""

import tensorflow as tf


def take_along_axis(x, indices, axis=None):
    """Return the values at indices along an axis, as ``keras.ops.take_along_axis``."""
    import keras

    x, indices = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(indices, "int64")
    if axis is None:
        x, axis = tf.reshape(x, [-1]), 0
    axis = axis % x.ndim
    length = tf.cast(_length(x, axis), indices.dtype)
    indices = tf.where(indices < 0, indices + length, indices)
    around = [1 if i == axis else _common(x, indices, i) for i in range(x.ndim)]
    x = tf.broadcast_to(x, _with(around, axis, _length(x, axis)))
    indices = tf.broadcast_to(indices, _with(around, axis, _length(indices, axis)))
    to_rows = [*(i for i in range(x.ndim) if i != axis), axis]
    x, indices = tf.transpose(x, to_rows), tf.transpose(indices, to_rows)
    rows = tf.reshape(indices, [-1, _length(indices, -1)])
    row = tf.range(tf.shape(rows, out_type=rows.dtype)[0])[:, None]
    # by row and place, whose gradient goes there; that of a gather computes the addresses of rows
    found = tf.gather_nd(tf.reshape(x, [-1, _length(x, -1)]),
                         tf.stack([tf.broadcast_to(row, tf.shape(rows)), rows], -1))
    found = tf.reshape(found, tf.shape(indices))
    return tf.transpose(found, [*range(axis), x.ndim - 1, *range(axis, x.ndim - 1)])


def _length(tensor, axis):
    """Return the length of an axis, as a number where it is known."""
    known = tensor.shape[axis]
    return tf.shape(tensor)[axis] if known is None else known


def _common(x, indices, axis):
    """Return the length to which an axis of both is broadcast."""
    lengths = _length(x, axis), _length(indices, axis)
    if any(tf.is_tensor(length) for length in lengths):
        return tf.maximum(*lengths)
    return lengths[1] if lengths[0] == 1 else lengths[0]


def _with(shape, axis, length):
    return [length if i == axis else n for i, n in enumerate(shape)]


#: Name of a function of Keras' backend -> its definition.
DEFINITIONS = {"take_along_axis": take_along_axis}
