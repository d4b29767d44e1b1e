"""Constants that change nothing do not count, whatever the size of the model and its batch."""

import keras
import numpy as np
import pytest
from keras import ops
from keras.layers import Lambda

import tostoolkit as tos
from tostoolkit.counting.count import count

#: From a few to more than memory holds, and on both sides of each power of two that was a limit.
BATCHES = (1, 3, 10**4, 2**15 + 1, 10**5, 2**22 + 1, 10**12)
N = 32


def counted(function, batch_size, shape=(N,)):
    model = keras.Sequential([keras.Input(shape), Lambda(function, output_shape=shape)])
    counts = tos.count_ops(model, batch_size).sum()
    return {op: int(n) for (_, op), n in counts.items() if n}


@pytest.mark.parametrize("function", [
    lambda x: x * ops.ones_like(x), lambda x: x + ops.zeros_like(x),
    lambda x: x - ops.zeros_like(x),
    lambda x: x / ops.full(x.shape, 1.0), lambda x: x * (2 * ops.ones_like(x) - 1),
    lambda x: x * ops.cast(ops.ones_like(x, "int32"), "float32"),
    lambda x: x * ops.cast(ops.zeros_like(x) < 1, "float32"),
    lambda x: ops.where(ops.ones_like(x, "bool"), x, 0.0),
    lambda x: ops.power(x, ops.ones_like(x)), lambda x: ops.divide_no_nan(x, ops.ones_like(x)),
    # moved
    lambda x: x * ops.broadcast_to(1.0, x.shape),
    lambda x: x * ops.broadcast_to(np.ones(N, "float32"), x.shape),
    lambda x: x * ops.reshape(ops.ones((x.shape[0] * N,)), x.shape),
    lambda x: x * ops.transpose(ops.ones((N, x.shape[0]))),
    lambda x: x * ops.tile(ops.ones((1, N)), (x.shape[0], 1)),
    lambda x: x * ops.stack([ops.ones((x.shape[0],))] * N, 1),
    lambda x: x * ops.concatenate([ops.ones_like(x[:, :9]), ops.ones_like(x[:, 9:])], 1),
    lambda x: x * ops.ones((x.shape[0], 2 * N))[:, ::2],
    lambda x: x * ops.take(ops.ones((x.shape[0], N + 1)), np.arange(N), axis=1),
    lambda x: x * ops.split(ops.ones((x.shape[0], 2 * N)), 2, axis=1)[1],
    # what is not the same everywhere, but is looked at where it is, or where it once was not
    lambda x: x * ops.concatenate([ops.zeros_like(x), ops.ones_like(x)], 1)[:, N:],
    lambda x: x + 0.0 * ops.broadcast_to(np.arange(N, dtype="float32"), x.shape),
    lambda x: x * ops.cast(ops.broadcast_to(np.arange(N), x.shape) >= 0, "float32"),
    lambda x: x * ops.max(ops.broadcast_to(np.arange(2.0, dtype="float32"), (x.shape[0], 2)), 1,
                          keepdims=True),
])
def test_constants_that_change_nothing_are_nothing_at_any_batch(function):
    assert [counted(function, b) for b in BATCHES] == [{}] * len(BATCHES)


@pytest.mark.parametrize(("function", "once"), [
    (lambda x: x + ops.ones_like(x), {"add": N}), (lambda x: ops.zeros_like(x) - x, {"add": N}),
    (lambda x: x * ops.full(x.shape, 2.0), {"mul": N}),
    (lambda x: ops.ones_like(x) / x, {"div": N}),
    (lambda x: ops.power(x, 2 * ops.ones_like(x)), {"mul": N}),
    (lambda x: x * ops.concatenate([ops.ones_like(x[:, :9]), ops.zeros_like(x[:, 9:])], 1),
     {"mul": N}),
    (lambda x: x * ops.broadcast_to(np.arange(N, dtype="float32"), x.shape), {"mul": N}),
    (lambda x: x * ops.tile(ops.concatenate([ops.ones((1, 1)), ops.zeros((1, N - 1))], 1),
                            (x.shape[0], 1)), {"mul": N}),
    (lambda x: x * ops.sum(ops.ones_like(x), axis=1, keepdims=True), {"mul": N}),
])
def test_constants_that_change_something_count_in_proportion_to_the_batch(function, once):
    assert [counted(function, b) for b in BATCHES] == [
        {op: b * n for op, n in once.items()} for b in BATCHES]


@pytest.mark.parametrize("n", [64, 1024, 2048])
def test_square_constants_of_any_size(n):
    """2048 x 2048 is 2^22; the array is written out in the graph, the ones of Keras are not."""
    for ones in (ops.ones, lambda shape: np.ones(shape, "float32")):
        assert counted(lambda x, ones=ones: x * ones((n, n)), 1, (n, n)) == {}
    written = np.ones((n, n), "float32")
    written[-1, -1] = 2
    assert counted(lambda x: x * written, 1, (n, n)) == {"mul": n * n}


def test_a_constant_that_is_too_large_to_look_into_is_told_of():
    """A note where no repetition says that 2^22 and more values are all zeros."""
    model = keras.Sequential([keras.Input((1,)), Lambda(lambda x: x + 0.0 * ops.cast(
        ops.arange(x.shape[0])[:, None], "float32"))])
    small, large = (count(model, b) for b in (2**22, 2**22 + 2))
    assert small.counts.to_numpy().sum() == 0
    assert small.notes == ()
    assert large.counts.to_numpy().sum() == 2**22 + 2
    assert "more than 4194304 elements is not looked into" in large.notes[0]
