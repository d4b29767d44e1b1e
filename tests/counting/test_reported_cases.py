"""Cases that people reported of programs that count models, one a row, with its right value.

Each has its derivation beside it: K products for each of M outputs are K M `mac`. Batch of one.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from traced import trace_ops

import tostoolkit as tos

F = "float32"


def chain(shape, *stack, **dtype):
    return keras.Sequential([keras.Input(shape, **dtype), *stack])


def bare(function, *shapes, dtype=F):
    inputs = [keras.Input(shape, dtype=dtype) for shape in shapes]
    return keras.Model(inputs, function(*inputs))


def adapted(inputs, units, rank, **options):
    model = chain((inputs,), layers.Dense(units, **options))
    model.layers[0].enable_lora(rank)
    return model


def attention(heads, dim, shape, *, mask=None, **options):
    i = keras.Input(shape)
    layer = layers.MultiHeadAttention(heads, dim, **options)
    if mask is None:
        return keras.Model(i, layer(i, i))
    k = keras.Input(mask, dtype="bool")
    return keras.Model([i, k], layer(i, i, attention_mask=k))


def quantised(model, mode="int8"):
    model.quantize(mode)
    return model


class Scaled(layers.Layer):
    def call(self, x, scales=None):
        return x if scales is None else sum(ops.tanh(x) * s for s in scales)


class Looking(layers.Layer):
    def __init__(self):
        super().__init__()
        self.own, self.other = layers.Dense(4), layers.Dense(4)

    def build(self, x_shape, context_shape=None):
        self.own.build((None, 3, 4))
        self.other.build((None, 9, 6))

    def call(self, x, context=None):
        x = self.own(x)
        if context is None:
            return x
        return x + ops.sum(self.other(context), axis=1, keepdims=True)


class Branches(layers.Layer):
    def call(self, x, y, a=None, b=None):
        if a is not None:
            return ops.exp(x) + a
        return ops.tanh(x) * y if b is None else ops.sin(x) + b


class Scanning(layers.Layer):
    def call(self, x):
        def step(state, _):
            state = ops.tanh(state * 0.5 + 1.0)
            return state, state

        return ops.scan(step, x, length=10)[0]


class Weighted(layers.Layer):
    def call(self, x, w=None):
        return ops.matmul(x, ops.tanh(w))


def weighted():
    x, w = keras.Input((4,)), keras.Variable(np.ones((4, 5), F))
    return keras.Model(x, Weighted()(x, w=w))


def looking():
    x, context = keras.Input((3, 4)), keras.Input((9, 6))
    return keras.Model([x, context], Looking()(x, context=context))


def scaled():
    x = keras.Input((4,))
    return keras.Model(x, Scaled()(x, scales=[2.0, 3.0, 4.0]))


def branching():
    x, y, t = (keras.Input((4,)) for _ in range(3))
    return keras.Model([x, y, t], Branches()(x, y, b=t))


def masked_lstm():
    return chain((6,), layers.Embedding(10, 3, mask_zero=True), layers.LSTM(4), dtype="int32")


def unused_branch():
    i = keras.Input((8,))
    layers.Dense(1)(i)  # 8, of which nobody asks
    return keras.Model(i, layers.Dense(128)(layers.Dense(1, use_bias=False)(i)))


GAINS = np.arange(2, 8, dtype=F)
KERNEL = np.ones((3, 2, 5), F)
MATRIX = np.ones((6, 5), F)
IDS = np.array([0, 0, 1, 2])

#: Case -> what makes the model, {op or (dtype, op): how many}.
CASES = {
    # x (W + A B): A B is 32 x 16 of 4 products, which is added to W
    "LoRA of rank 4": (lambda: adapted(32, 16, 4, use_bias=False),
                       {"mac": 32 * 16 + 32 * 4 * 16, "add": 32 * 16}),
    "LoRA of rank 2": (lambda: adapted(8, 4, 2), {"mac": 8 * 4 + 8 * 2 * 4, "add": 8 * 4 + 4}),
    # four projections of 24 positions by 8 x 8; 24 x 24 scores of 8, and as many for the values
    "attention over both axes": (
        lambda: attention(2, 4, (4, 6, 8), attention_axes=(1, 2)),
        {"mac": 4 * 24 * 64 + 2 * 24 * 24 * 8}),
    # over the second: 4 rows of 6 x 6 scores
    "attention over the second axis": (
        lambda: attention(2, 4, (4, 6, 8), attention_axes=(2,)),
        {"mac": 4 * 24 * 64 + 2 * 4 * 6 * 6 * 8}),
    # the mask chooses between each of 2 x 5 x 5 scores and a large negative number
    "attention with a mask": (lambda: attention(2, 4, (5, 8), mask=(5, 5)),
                              {"mac": 4 * 5 * 64 + 2 * 25 * 8, "select": 50}),
    # projections multiply in int8, scores are products of what they return
    "attention in int8": (lambda: quantised(attention(4, 8, (6, 32))),
                          {("int8", "mac"): 4 * 6 * 32 * 32, (F, "mac"): 2 * 6 * 6 * 32}),
    "small attention in int8": (lambda: quantised(attention(2, 8, (5, 8))),
                                {("int8", "mac"): 4 * 5 * 8 * 16, (F, "mac"): 2 * 5 * 5 * 16}),
    # three of each; Python's sum starts at 0, and 0 + x is nothing
    "scales in a list": (scaled, {"tanh": 12, "mul": 12, "add": 8}),
    # biases 3 x 4 and 9 x 4, a sum of 9 for each of 4, and that to 3 x 4
    "a context by keyword": (looking, {"mac": 3 * 4 * 4 + 9 * 6 * 4,
                                       "add": 3 * 4 + 9 * 4 + 8 * 4 + 3 * 4}),
    "a variable by keyword": (weighted, {"mac": 4 * 5, "tanh": 4 * 5}),  # weights are data
    "b and not a": (branching, {"sin": 4, "add": 4, "exp": 0, "tanh": 0}),
    "x // 2": (lambda: bare(lambda x: x // 2.0, (4,)), {"div": 4, "round": 4}),
    "convolution by a constant": (lambda: bare(lambda x: ops.conv(x, KERNEL), (8, 2)),
                                  {"mac": 6 * 5 * 3 * 2}),
    "tensordot with a constant": (
        lambda: bare(lambda x: ops.tensordot(x, MATRIX, 1), (3, 6)), {"mac": 3 * 6 * 5}),
    "einsum with a constant": (
        lambda: bare(lambda x: ops.einsum("bij,jk->bik", x, MATRIX), (3, 6)), {"mac": 3 * 6 * 5}),
    "an einsum of three": (  # the cheaper order: jk,kl->jl of 3 x 4, then ij,jl->il of 2 x 3
        lambda: bare(lambda a, b, c: ops.einsum("zij,zjk,zkl->zil", a, b, c), (2, 3), (3, 4),
                     (4, 1)), {"mac": 3 * 4 + 2 * 3}),
    # 6 squares, x / root, x gain; 5 additions and epsilon, the mean's division
    "rms_normalization with a gain": (
        lambda: bare(lambda x: ops.rms_normalization(x, GAINS), (6,)),
        {"mul": 3 * 6, "add": 6, "div": 1, "rsqrt": 1}),
    # a choice is made in the dtype of what is chosen, a comparison in that of its operands
    "where": (lambda: bare(lambda x: ops.where(x > 0, x, x * 2.0), (1000,)),
              {(F, "select"): 1000, (F, "max"): 1000, (F, "mul"): 1000, ("bool", "select"): 0}),
    # at each of 6 steps the mask chooses output, h and c, of 4 each
    "a masked LSTM": (masked_lstm, {(F, "select"): 6 * 3 * 4}),
    "a scan": (lambda: chain((4,), Scanning()), {"tanh": 40, "mul": 40, "add": 40}),
    "a branch that nobody needs": (unused_branch, {"mac": 8 + 128, "add": 128}),
    # of 256 elements, 8 are added to
    "a scattered addition": (
        lambda: chain((1,), layers.Lambda(lambda x: tf.tensor_scatter_nd_add(
            tf.zeros((256,)), [[k] for k in range(8)], tf.repeat(x[0], 8)), output_shape=(1,))),
        {"add": 8}),
    "x + 0 and x * 1": (lambda: bare(lambda x: (x + 0.0) * 1.0, (6,)), {"add": 0, "mul": 0}),
    "a square": (lambda: bare(lambda x: ops.power(x, 2), (6,)), {"mul": 6, "pow": 0}),
    "trapezoid": (lambda: bare(lambda x: ops.trapezoid(x), (6,)), {"add": 5 + 4}),
    "digitize": (lambda: bare(lambda x: ops.digitize(x, np.arange(7, dtype=F)), (4,)),
                 {(F, "max"): 4 * 3}),  # 3 comparisons find one of 8 places
    # 5 comparisons; before them Keras looks for zeros, 6, of which it puts -0 below 0
    "argmax": (lambda: bare(lambda x: ops.argmax(x, axis=-1), (6,)), {(F, "max"): 5 + 6}),
    # Keras raises an integer to float32 before it takes its exponential
    "exp of integers": (lambda: bare(ops.exp, (4,), dtype="int32"),
                        {(F, "exp"): 4, ("int32", "convert"): 4}),
    "division of integers": (lambda: bare(ops.divide, (4,), (4,), dtype="int32"),
                             {(F, "div"): 4, ("int32", "convert"): 8}),
    # 13 - 2 x 2 outputs of 3 taps of 8 x 8
    "a dilated convolution": (
        lambda: chain((13, 8), layers.Conv1D(8, 3, dilation_rate=2)), {"mac": 9 * 3 * 8 * 8}),
    "normalisation by the root of a mean square": (
        lambda: chain((6,), layers.RMSNormalization()),
        {"mul": 3 * 6, "add": 6, "div": 1, "rsqrt": 1}),
}


@pytest.mark.parametrize("name", CASES)
def test_inference(name):
    make, right = CASES[name]
    model = make()
    for counts in (tos.count_ops(model).sum(), trace_ops(model).sum()):
        for key, value in right.items():
            if isinstance(key, tuple):
                assert counts.get(key, 0) == value, key
            else:
                assert sum(n for (_, op), n in counts.items() if op == key) == value, key


class Forward(keras.Model):
    """A model whose call takes no `training`."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x):
        return self.dense(x)


class Distilled(keras.Model):
    """A student, whose loss asks a teacher that learns nothing."""

    def __init__(self):
        super().__init__()
        self.student = layers.Dense(4)
        self.teacher = chain((8,), layers.Dense(64), layers.Dense(4))

    def call(self, x):
        return self.student(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(ops.square(y_pred - ops.stop_gradient(self.teacher(x))))


def by_name():
    a, b = keras.Input((5,), name="a"), keras.Input((3,), name="b")
    joined = layers.Concatenate()([layers.Dense(4)(a), b])
    return keras.Model({"a": a, "b": b}, layers.Dense(2)(joined))


def called(model, shape):
    model(np.zeros((1, *shape), F))
    return model


#: Case -> what makes the model, `mac` of a step.
STEPS = {
    # forward 5 x 4 + 7 x 2; backward both kernels, and that before the last one: 4 of its 7 inputs
    # need a gradient, and Keras makes it for all
    "inputs by name": (by_name, (20 + 14) + (20 + 14 + 14)),
    # student 8 x 4, forward and for its kernel; teacher 8 x 64 + 64 x 4, forward alone
    "a teacher": (lambda: called(Distilled(), (8,)), 2 * 32 + 768),
    # 4 x 3, forward and for its kernel
    "no training in call": (lambda: called(Forward(), (4,)), 24),
    # the kernel is 4 x 6, 3 rows: forward and for the kernel
    "an einsum with an open output": (lambda: chain(
        (3, 4), layers.EinsumDense("abc,cd->abd", (None, 6), bias_axes="d")), 2 * 3 * 4 * 6),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step(name):
    make, right = STEPS[name]
    counts = tos.count_ops(make(), phase="training", loss="mse", optimizer="sgd")
    assert counts[F, "mac"].sum() == right


@pytest.mark.parametrize("optimizer", ["nadam", "adafactor", keras.optimizers.Lamb()])
def test_optimizers_that_crashed(optimizer):
    """Every one computes at least one product for each of 8 x 4 + 4 weights."""
    counts = tos.count_ops(chain((8,), layers.Dense(4)), phase="training", loss="mse",
                           optimizer=optimizer)
    assert counts.xs("update", level="part")[F, "mul"].sum() >= 36
    assert counts[F, "mac"].sum() == 2 * 32


@pytest.mark.parametrize("policy", ["bfloat16", "float16"])
@pytest.mark.parametrize(("layer", "shape", "op"), [
    (lambda: layers.LayerNormalization(), (4, 6), "rsqrt"),
    (lambda: layers.GlobalAveragePooling1D(), (4, 6), "div"),
    (lambda: layers.Softmax(), (4, 6), "exp"),
])
def test_formats_of_16_bits_as_keras_computes_them(policy, layer, shape, op):
    """Norms and means are in float32 where Keras casts to it; a softmax is where it is told."""
    keras.config.set_dtype_policy(policy)
    try:
        model = chain(shape, layer())
        counts, traced = tos.count_ops(model).sum(), trace_ops(model).sum()
    finally:
        keras.config.set_dtype_policy(F)
    assert counts[counts > 0].to_dict() == traced[traced > 0].to_dict()
    assert [dtype for dtype, kind in counts[counts > 0].index if kind == op] == [
        F if op != "exp" else policy]
