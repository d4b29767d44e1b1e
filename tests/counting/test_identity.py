"""What borrows a Keras name does not borrow its rule: in inference, in training, in bytes.

The oracle is the traced graph, op by op; where it says little, closed forms.
"""

from functools import partial

import keras
import numpy as np
import pytest
from keras import layers
from models import Cell
from traced import trace_ops

import tostoolkit as tos
from tostoolkit.counting.count import count
from tostoolkit.counting.rows import count_row
from tostoolkit.counting.trace import TraceError

F = "float32"
STEP = {"phase": "training", "loss": "mse", "optimizer": "sgd"}


def relu(x):
    return keras.ops.exp(x)


class ReLU(layers.ReLU):
    def call(self, x):
        return keras.ops.sin(x)


class Dense(layers.Layer):
    """Unlike Keras': no bias, always tanh, four units."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 4))

    def call(self, x):
        return keras.ops.tanh(keras.ops.matmul(x, self.kernel))

    def compute_output_shape(self, shape):
        return (*shape[:-1], 4)


#: A subclass that keeps the name and its weights, and computes something else.
Squared = type("Dense", (layers.Dense,), {
    "call": lambda self, x: keras.ops.square(layers.Dense.call(self, x))})


@keras.saving.register_keras_serializable()
class LSTMCell(Cell):
    """Under the name of one of Keras' cells."""


class Dropout(layers.Dropout):
    def call(self, x, training=False):
        return x * 2.0


class Reshape(layers.Layer):
    def call(self, x):
        return x + x


class Embedding(layers.Layer):
    def build(self, shape):
        self.table = self.add_weight(shape=(shape[-1], 4))

    def call(self, x):
        return keras.ops.matmul(x, self.table)


class Exp(keras.Operation):
    def call(self, x):
        return keras.ops.tanh(x)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


def chain(shape, *stack):
    return keras.Sequential([keras.Input(shape), *stack])


def nonzero(table):
    return {key: int(n) for key, n in table.sum().items() if n}


BORROWED = {
    "activation of Dense": lambda: chain((3,), layers.Dense(4, activation=relu)),
    "activation of Conv2D": lambda: chain((5, 5, 2), layers.Conv2D(3, 2, activation=relu)),
    "activation of EinsumDense": lambda: chain(
        (5, 6), layers.EinsumDense("abc,cd->abd", (None, 4), activation=relu)),
    "Activation": lambda: chain((3,), layers.Activation(relu)),
    "activation of LSTM": lambda: chain((4, 3), layers.LSTM(3, recurrent_activation=relu)),
    "activation of GRU": lambda: chain((4, 3), layers.GRU(3, activation=relu)),
    "activation of ConvLSTM1D": lambda: chain((4, 6, 2), layers.ConvLSTM1D(3, 2, activation=relu)),
    "an activation layer's name": lambda: chain((3,), layers.Dense(4, activation=ReLU())),
    "Dense in TimeDistributed": lambda: chain((3, 5), layers.TimeDistributed(Dense())),
    "Dense in SpectralNormalization": lambda: chain((5,), layers.SpectralNormalization(Dense())),
    "subclass of Dense": lambda: chain((5,), Squared(4)),
    "subclass of Dense in TimeDistributed": lambda: chain((3, 5), layers.TimeDistributed(
        Squared(4))),
    "LSTMCell in RNN": lambda: chain((3, 5), layers.RNN(LSTMCell(4))),
    "LSTMCell in Bidirectional": lambda: chain((3, 5), layers.Bidirectional(
        layers.RNN(LSTMCell(4)))),
    "LSTMCell in a stack": lambda: chain((3, 5), layers.RNN(layers.StackedRNNCells(
        [layers.LSTMCell(3), LSTMCell(4)]))),
    "operator Exp": lambda: (lambda x: keras.Model(x, Exp()(x)))(keras.Input((4,))),
    # a function of Keras', and not the one of keras.activations: the tanh form by default
    "keras.ops.gelu": lambda: chain((3,), layers.Dense(4, activation=keras.ops.gelu)),
    "an option given": lambda: chain((3,), layers.Dense(4, activation=partial(
        keras.activations.gelu, approximate=True))),
}


@pytest.mark.parametrize("name", BORROWED)
def test_a_borrowed_name_is_traced_in_inference(name):
    model = BORROWED[name]()
    counted = count(model, 2)
    assert counted.coverage == {"trace": 1}
    assert nonzero(counted.counts) == nonzero(trace_ops(model, 2))


@pytest.mark.parametrize("stack", [
    lambda: [layers.Dense(4, activation=relu), layers.Dense(2)],
    lambda: [layers.Dense(4), layers.Activation(relu)],
    lambda: [layers.Dense(4, activation=keras.ops.gelu), layers.Dense(2)],
    lambda: [layers.Dense(4), ReLU()], lambda: [Squared(4), layers.Dense(2)],
    lambda: [layers.Dense(4), Dense()], lambda: [layers.Dense(4), Dropout(0.5), layers.Dense(2)],
])
def test_a_borrowed_name_is_traced_in_training(stack):
    model = chain((3,), *stack())
    counted = count(model, 2, **STEP)
    assert set(counted.coverage) == {"trace"}
    assert nonzero(counted.counts) == nonzero(trace_ops(model, 2, **STEP))


def test_what_keras_ships_keeps_its_rule():
    """The check of identity does not send everything to the trace."""
    for name in ("relu", "swish", "hard_swish"):
        model = chain((3,), layers.Dense(4, activation=getattr(keras.activations, name)))
        assert count(model).coverage == {"rule": 1}
    for layer in (layers.MaxPool2D(), layers.Convolution2D(2, 3)):
        assert count(chain((6, 6, 2), layer)).coverage == {"rule": 1}
    x = keras.Input((5, 6))
    attention = layers.GroupQueryAttention(3, 4, 2)
    assert count(keras.Model(x, attention(x, x))).coverage == {"rule": 1}


def test_bytes_of_a_borrowed_name_are_those_of_what_it_does():
    b = 2 * 3 * 4  # bytes of a batch of two rows of three
    assert tos.count_bytes(chain((3,), Dropout(0.5)), 2).to_numpy().tolist() == [[0, b, b]]
    assert tos.count_bytes(chain((3,), Reshape()), 2).to_numpy().tolist() == [[0, b, b]]
    # the whole table is read, not the rows looked up
    assert tos.count_bytes(chain((3,), Embedding()), 2).to_numpy().tolist() == [
        [4 * 3 * 4, b, 2 * 4 * 4]]


def test_macs_of_a_borrowed_name_are_of_another_class():
    assert count_row(chain((3,), Dense()))["mac other"] == 12
    assert "mac dense" not in count_row(chain((3,), Dense()))
    assert count_row(chain((3,), layers.Dense(4)))["mac dense"] == 12


# --- losses

def mean_squared_error(y, p):
    return keras.ops.mean(keras.ops.exp(y - p), axis=-1)


def sparse_distance(y, p):
    """Its name says labels, and it takes targets like the outputs."""
    return keras.ops.mean(keras.ops.abs(y - p), axis=-1)


def of_labels(y, p):
    """Its name does not say labels."""
    return keras.losses.sparse_categorical_crossentropy(y, p)


def loss_ops(loss, head=None):
    counted = count(chain((3,), layers.Dense(4, activation=head)), 2,
                    **STEP | {"loss": loss})
    forward = counted.counts.loc[("loss", "forward")]
    return {op: int(n) for (dtype, op), n in forward.items() if n and dtype == F}, counted.notes


def test_a_loss_that_borrows_a_name_is_counted_as_it_is():
    n, rows = 8, 2
    ops, _ = loss_ops(mean_squared_error)
    # y - p, exp, the mean of a row, the mean of the batch
    assert ops == {"add": n + (n - rows) + (rows - 1), "exp": n, "div": rows + 1}


def test_what_a_loss_compares_with_is_not_told_by_its_name():
    n, rows = 8, 2
    ops, notes = loss_ops(sparse_distance)
    assert ops == {"add": n + (n - rows) + (rows - 1), "abs": n, "div": rows + 1}
    assert notes == ()
    ops, notes = loss_ops(of_labels, "softmax")
    # the labels become float32, as all that a loss of Keras' is handed, and integers again
    assert ops == loss_ops("sparse_categorical_crossentropy", "softmax")[0]
    assert ops["convert"] == rows
    assert notes == ("loss: its targets were taken to be integer labels",)


def test_keras_losses_on_labels_are_known_as_objects_and_as_subclasses():
    class Mine(keras.losses.SparseCategoricalCrossentropy):
        pass

    shipped = loss_ops(keras.losses.SparseCategoricalCrossentropy(name="labels"))
    assert loss_ops(Mine(name="mine")) == shipped
    assert shipped[1] == ()


def test_an_optimizer_that_borrows_a_name_is_traced():
    class SGD(keras.optimizers.SGD):
        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, keras.ops.tanh(gradient) * learning_rate)

    update = count(chain((3,), layers.Dense(4)), **STEP | {"optimizer": SGD()}).counts.loc[
        ("optimizer", "update")]
    assert update[F, "tanh"] == 3 * 4 + 4


def test_an_optimizer_with_a_replaced_method_is_an_error():
    optimizer = keras.optimizers.SGD()
    optimizer.update_step = lambda gradient, variable, rate: None
    for of in (tos.count_ops, tos.count_bytes):
        with pytest.raises(ValueError, match="optimizer: 'update_step' of this SGD was replaced"):
            of(chain((3,), layers.Dense(4)), **STEP | {"optimizer": optimizer})


def test_layers_named_like_the_parts_of_a_step_keep_their_rows():
    names = ("loss", "backward", "update", "optimizer")
    model = chain((3,), *(layers.Dense(3, name=name) for name in names))
    ruled, traced = count(model, 2, **STEP).counts, trace_ops(model, 2, **STEP)
    assert nonzero(ruled) == nonzero(traced)
    macs = ruled[F, "mac"]
    for name in names:
        assert macs[name, "forward"] == 2 * 9
        assert traced[F, "mac"]["forward", name] == 2 * 9
        assert macs[name, "backward"] == (18 if name == "loss" else 36)
        assert traced[F, "mac"]["backward", name] == macs[name, "backward"]


# --- layers that were changed, and what is handed to them

def changed(layer, name, function, shape=(3,)):
    model = chain(shape, layer)
    object.__setattr__(layer, name, function)
    return model


def with_lora(layer, shape):
    model = chain(shape, layer)
    getattr(layer, "layer", layer).enable_lora(2)
    return model


def attention(change):
    x, layer = keras.Input((4, 8)), layers.MultiHeadAttention(2, 4)
    model = keras.Model(x, layer(x, x))
    change(layer)
    return model


def changed_model():
    x = keras.Input((3,))
    inner = keras.Model(x, layers.Dense(3)(x))
    model = chain((3,), inner)
    inner.call = lambda x, training=None, mask=None: keras.ops.sin(x)
    return model


def with_masks(layer, shape, *masks):
    x, given = keras.Input(shape), [keras.Input(m, dtype="bool") for m in masks]
    return keras.Model([x, *given], layer(x, *given))


def set_when_built(layer, **attributes):
    model = chain((6,), layer)
    for name, value in attributes.items():
        setattr(layer, name, value)
    return model


def changed_cell():
    layer = layers.LSTM(4)
    model = chain((3, 5), layer)
    layer.cell.call = lambda x, states, training=False: (keras.ops.sin(states[0]), states)
    return model


CHANGED = {
    "call of Dense": lambda: changed(
        layers.Dense(4), "call", lambda x, training=False: keras.ops.sin(x)),
    "call of ReLU, by another of Keras": lambda: changed(
        layers.ReLU(), "call", layers.Softmax().call),
    "call of Dropout": lambda: changed(
        layers.Dropout(0.5), "call", lambda x, training=False: keras.ops.sin(x)),
    "convolution of Conv1D": lambda: changed(
        layers.Conv1D(2, 2), "convolution_op", lambda x, kernel: x[:, 1:, :2], (4, 3)),
    "call of an activation": lambda: changed(
        layers.Dense(4, activation=changed(layers.ReLU(), "call", lambda x: keras.ops.sin(x)
                                           ).layers[0]), "name", "dense"),
    "call of a cell": changed_cell,
    "call of a nested model": changed_model,
    "LoRA of Dense": lambda: with_lora(layers.Dense(8), (6,)),
    "LoRA of EinsumDense": lambda: with_lora(
        layers.EinsumDense("abc,cd->abd", (None, 8)), (5, 6)),
    "LoRA of Conv2D": lambda: with_lora(layers.Conv2D(8, 3), (6, 6, 3)),
    "LoRA of Embedding": lambda: with_lora(layers.Embedding(10, 8), (6,)),
    "LoRA in TimeDistributed": lambda: with_lora(
        layers.TimeDistributed(layers.Dense(8)), (4, 6)),
    "LoRA in SpectralNormalization": lambda: with_lora(
        layers.SpectralNormalization(layers.Dense(8)), (6,)),
    "LoRA in attention": lambda: attention(lambda layer: layer.query_dense.enable_lora(2)),
    "an activation in attention": lambda: attention(
        lambda layer: setattr(layer.query_dense, "activation", keras.activations.tanh)),
    "quantised attention": lambda: attention(lambda layer: layer.value_dense.quantize("int8")),
    # Keras runs the bare call of what is distributed, neither quantised nor cast
    "use_bias of a built Dense": lambda: set_when_built(layers.Dense(8), use_bias=False),
    "center of a built normalisation": lambda: set_when_built(
        layers.LayerNormalization(), center=False),
    "scale of a built normalisation": lambda: set_when_built(
        layers.LayerNormalization(), scale=False),
    "another format in TimeDistributed": lambda: chain((4, 6), layers.TimeDistributed(
        layers.Dense(3, dtype="mixed_bfloat16"))),
    "mask of Softmax": lambda: with_masks(layers.Softmax(), (5,), (5,)),
    "mask of LSTM": lambda: with_masks(
        lambda x, m: layers.LSTM(4)(x, mask=m), (5, 6), (5,)),
    "mask of pooling": lambda: with_masks(
        lambda x, m: layers.GlobalAveragePooling1D()(x, mask=m), (5, 6), (5,)),
    "mask of attention": lambda: with_masks(
        lambda x, m: layers.MultiHeadAttention(2, 3)(x, x, attention_mask=m), (5, 6), (5, 5)),
    "masks of Attention": lambda: with_masks(
        lambda x, m: layers.Attention()([x, x], mask=[m, m]), (5, 6), (5,)),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_layer_that_was_changed_or_is_masked_is_traced_as_it_is_called(name):
    model = CHANGED[name]()
    counted = count(model, 2)
    assert counted.coverage == {"trace": 1}
    assert nonzero(counted.counts) == nonzero(trace_ops(model, 2))


def test_a_method_of_keras_that_somebody_replaced_is_traced(monkeypatch):
    monkeypatch.setattr(layers.ReLU, "call", lambda self, x: keras.ops.sin(x))
    assert nonzero(tos.count_ops(chain((3,), layers.ReLU()), 2)) == {(F, "sin"): 6}
    monkeypatch.setattr(layers, "Dense", Dense)
    assert (F, "tanh") in tos.count_ops(chain((3,), layers.Dense()), 2)


def test_a_model_whose_class_overrides_how_it_is_called_is_no_graph_of_layers():
    class Sines(keras.Sequential):
        def __call__(self, x, *args, **kwargs):
            return keras.ops.sin(super().__call__(x, *args, **kwargs))

    model = Sines([keras.Input((3,)), layers.Dense(3)])
    assert tos.count_ops(model, 2, input_shape=(3,)).sum()[F, "sin"] == 6


def test_changed_layers_are_traced_in_training():
    model = chain((3,), layers.Dense(4), layers.ReLU())
    object.__setattr__(model.layers[1], "call", keras.ops.sin)
    counted = count(model, 2, **STEP)
    assert set(counted.coverage) == {"trace"}
    assert nonzero(counted.counts) == nonzero(trace_ops(model, 2, **STEP))


def test_nothing_is_differentiated_where_nothing_is_trained():
    model = chain((3,), layers.ReLU())
    assert nonzero(count(model, 2, **STEP).counts) == nonzero(trace_ops(model, 2, **STEP))


# --- what a rule does not know is traced, and what it knows keeps its rule

def built(layer, shape, change):
    model = chain(shape, layer)
    change(layer)
    return model


def of_int(layer, shape):
    x = keras.Input(shape, dtype="int32")
    return keras.Model(x, layer(x))


def merged(layer, *shapes, dtypes=(None, None, None)):
    inputs = [keras.Input(shape, dtype=dtype) for shape, dtype in zip(shapes, dtypes, strict=False)]
    return keras.Model(inputs, layer(inputs))


def attended():
    q, v, k = keras.Input((4, 6)), keras.Input((5, 6)), keras.Input((5, 8))
    return keras.Model([q, v, k], layers.MultiHeadAttention(2, 3)(q, value=v, key=k))


def with_constant():
    x = keras.Input((4, 3))
    return keras.Model(x, layers.Add()([x, np.ones((1, 4, 3), "float32")]))


def with_part_in(dtype):
    x, layer = keras.Input((4, 8)), layers.MultiHeadAttention(2, 4)
    model = keras.Model(x, layer(x, x))
    layer.value_dense.dtype_policy = dtype
    return model


UNKNOWN = {
    "build replaced": lambda: built(layers.Dense(4), (3,), lambda d: object.__setattr__(
        d, "build", lambda shape: None)),
    "quantize replaced": lambda: built(layers.Dense(4), (3,), lambda d: object.__setattr__(
        d, "quantize", lambda *args: None)),
    "a weight taken off": lambda: built(layers.LayerNormalization(), (3,), lambda layer: setattr(
        layer, "gamma", None)),
    "integers into Dense": lambda: of_int(layers.Dense(4), (3,)),
    "integers into Rescaling": lambda: of_int(layers.Rescaling(2.0), (3,)),
    "integers into ReLU": lambda: of_int(layers.ReLU(), (3,)),
    "integers added": lambda: merged(layers.Add(), (3,), (3,), dtypes=("int32", "int32")),
    "indices that are floats": lambda: chain((3,), layers.Embedding(5, 2)),
    "shapes that broadcast": lambda: merged(layers.Add(), (1, 3), (4, 3), (4, 1)),
    "dtypes that mix": lambda: merged(layers.Concatenate(), (3,), (3,), dtypes=("int32", None)),
    "keywords out of order": attended,
    "a constant among the inputs": with_constant,
    "a part in another format": lambda: with_part_in("bfloat16"),
    "a gate": lambda: attention_of(use_gate=True),
    "an axis": lambda: attention_of(attention_axes=(2,)),
    "half precision of a norm": lambda: half(layers.LayerNormalization(), (4, 6)),
    "half precision of global pooling": lambda: half(layers.GlobalAveragePooling1D(), (4, 6)),
    "a cell of another format": lambda: chain((3, 5), layers.RNN(
        layers.LSTMCell(3, dtype="float64"))),
    "an inner layer of another format": lambda: chain((3, 5), layers.Bidirectional(
        layers.LSTM(3, dtype="float64"))),
    "states given": lambda: stateful(),
    "stacked cells with a gate": lambda: chain((3, 5), layers.RNN(layers.StackedRNNCells(
        [layers.LSTMCell(3, activation=relu), layers.GRUCell(2)]))),
}


def attention_of(**kwargs):
    x = keras.Input((4, 6))
    return keras.Model(x, layers.MultiHeadAttention(2, 3, **kwargs)(x, x))


def half(layer, shape):
    layer.dtype_policy = "bfloat16"
    x = keras.Input(shape, dtype="bfloat16")
    return keras.Model(x, layer(x))


def stateful():
    x, h, c = keras.Input((4, 3)), keras.Input((2,)), keras.Input((2,))
    return keras.Model([x, h, c], layers.LSTM(2)(x, initial_state=[h, c]))


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_no_rule_knows_is_traced(name):
    model = UNKNOWN[name]()
    counted = count(model, 2)
    assert set(counted.coverage) == {"trace"}
    assert nonzero(counted.counts) == nonzero(trace_ops(model, 2))


def test_a_weight_that_no_rule_knows_is_noticed():
    model = chain((3,), layers.Dense(4))
    (dense,) = model.layers
    assert count(model).coverage == {"rule": 1}
    dense._tracker.unlock()
    dense.more = dense.add_weight(shape=(4,), name="more")
    assert count(model).coverage == {"trace": 1}


def test_half_precision_of_products_keeps_its_rule():
    for layer, shape in ((layers.Dense(4, activation="gelu"), (3,)), (layers.Conv1D(2, 2), (5, 3)),
                         (layers.MaxPooling1D(), (6, 3)), (layers.ReLU(), (4,))):
        model = half(layer, shape)
        counted = count(model, 2)
        assert counted.coverage == {"rule": 1}
        assert nonzero(counted.counts) == nonzero(trace_ops(model, 2))


def test_branches_that_no_output_needs_are_not_counted():
    """Of two outputs of a nested model one is used: 8 x 160 products, not 8 x 161."""
    x, i = keras.Input((8,)), keras.Input((8,))
    inner = keras.Model(x, [layers.Dense(160)(x), layers.Dense(1)(x)])
    model = keras.Model(i, inner(i)[0])
    counted = count(model)
    assert counted.counts.sum()[F, "mac"] == 1280
    assert trace_ops(model).sum()[F, "mac"] == 1280
    assert len(tos.layer_calls(model)) == 1
    # a subclassed model around it is traced, and says the same
    assert count(chain((8,), Around(model))).counts.sum()[F, "mac"] == 1280


class Three(layers.Layer):
    def call(self, x):
        return {"a": keras.ops.tanh(x), "b": (keras.ops.exp(x), x * 2.0)}


@pytest.mark.parametrize(("used", "right"), [
    (lambda made: made["a"], {"tanh": 4}),
    (lambda made: made["b"][1] + made["a"], {"tanh": 4, "mul": 4, "add": 4}),
    (lambda made: [made["b"][0], made["a"]], {"exp": 4, "tanh": 4})])
def test_of_what_a_layer_returns_that_which_is_used_is_counted(used, right):
    """Each of three outputs takes one op for each of 4 elements."""
    x = keras.Input((4,))
    model = keras.Model(x, used(Three()(x)))
    right = {(F, op): n for op, n in right.items()}
    assert nonzero(count(model).counts) == nonzero(trace_ops(model)) == right


class Around(layers.Layer):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x)


def set_later(layer, shape, holder=None, **settings):
    x = keras.Input(shape)
    model = keras.Model(x, layer(x))
    for name, value in settings.items():
        setattr(holder(layer) if holder else layer, name, value)
    return model


IMAGE = (8, 9, 6)
#: Settings that no longer say what the weights are -> model.
UNFIT = {
    "taps of Conv2D": lambda: set_later(
        layers.Conv2D(4, 3, padding="same"), IMAGE, kernel_size=(5, 5)),
    "groups of Conv2D": lambda: set_later(layers.Conv2D(4, 3), IMAGE, groups=2),
    "no groups of Conv2D": lambda: set_later(layers.Conv2D(4, 3, groups=2), IMAGE, groups=1),
    "filters of Conv2D": lambda: set_later(layers.Conv2D(4, 3), IMAGE, filters=8),
    "taps of Conv1D": lambda: set_later(
        layers.Conv1D(4, 3, padding="same"), (9, 6), kernel_size=(2,)),
    "taps of Conv2DTranspose": lambda: set_later(
        layers.Conv2DTranspose(4, 3, padding="same"), IMAGE, kernel_size=(5, 5)),
    "taps of DepthwiseConv2D": lambda: set_later(
        layers.DepthwiseConv2D(3, padding="same"), IMAGE, kernel_size=(5, 5)),
    "filters of DepthwiseConv1D": lambda: set_later(
        layers.DepthwiseConv1D(3), (9, 6), depth_multiplier=2),
    "taps of SeparableConv2D": lambda: set_later(
        layers.SeparableConv2D(4, 3, padding="same"), IMAGE, kernel_size=(5, 5)),
    "middle of SeparableConv1D": lambda: set_later(
        layers.SeparableConv1D(4, 3), (9, 6), depth_multiplier=2),
    "units of LSTM's cell": lambda: set_later(
        layers.LSTM(4), (5, 6), lambda layer: layer.cell, units=8),
    "units of GRU's cell": lambda: set_later(
        layers.GRU(4), (5, 6), lambda layer: layer.cell, units=8),
    "taps of ConvLSTM1D's cell": lambda: set_later(
        layers.ConvLSTM1D(4, 3, padding="same"), (5, 8, 6), lambda layer: layer.cell,
        kernel_size=(5,)),
    "bias of EinsumDense": lambda: set_later(
        layers.EinsumDense("ab,bc->ac", 4, bias_axes="c"), (6,), bias_axes=None),
    "equation of EinsumDense": lambda: set_later(
        layers.EinsumDense("ab,bc->ac", 4), (6,), equation="ab,cb->ac"),
    "axis of BatchNormalization": lambda: set_later(layers.BatchNormalization(), (4, 6), axis=1),
    "axis of LayerNormalization": lambda: set_later(layers.LayerNormalization(), (4, 6), axis=[1]),
    "an axis of LayerNormalization twice": lambda: set_later(
        layers.LayerNormalization(), (4, 6), axis=(-1, 2)),
    "axis of GroupNormalization": lambda: set_later(
        layers.GroupNormalization(2), (4, 6), axis=1),
    "axes of RMSNormalization": lambda: set_later(
        layers.RMSNormalization(axis=(-1, 1)), (4, 6)),
    "an axis of UnitNormalization twice": lambda: set_later(
        layers.UnitNormalization(), (4, 6), axis=[-1, -1]),
    "axis of Normalization": lambda: set_later(layers.Normalization(), (4, 6), axis=(1,)),
    "heads": lambda: attention(lambda layer: setattr(layer, "_num_heads", 4)),
    "width of keys": lambda: attention(lambda layer: setattr(layer, "_key_dim", 8)),
    "width of values": lambda: attention(lambda layer: setattr(layer, "_value_dim", 8)),
    "bias of attention": lambda: attention(lambda layer: setattr(layer, "_use_bias", False)),
}


@pytest.mark.parametrize("make", UNFIT.values(), ids=UNFIT)
def test_settings_that_do_not_fit_the_weights_are_no_rules_matter(make):
    """Keras runs the weights: it counts what that takes, or cannot run and neither counts."""
    model = make()
    try:
        expected = nonzero(trace_ops(model, 2))
    except TraceError:
        with pytest.raises(TraceError, match="cannot be traced"):
            count(model, 2)
        return
    found = count(model, 2)
    assert found.coverage == {"trace": 1}
    assert nonzero(found.counts) == expected


@pytest.mark.parametrize(("layer", "shape", "settings"), [
    (lambda: layers.Conv2D(4, 3, padding="same"), IMAGE, {"kernel_size": (5, 5)}),
    (lambda: layers.Conv2D(4, 3), IMAGE, {"groups": 2}),
    (lambda: layers.Conv1D(4, 3), (9, 6), {"use_bias": False}),
    (lambda: layers.DepthwiseConv2D(3, padding="same"), IMAGE, {"kernel_size": (5, 5)}),
    (lambda: layers.Dense(4), (6,), {"use_bias": False}),
    (layers.BatchNormalization, (6,), {"scale": False}),
    (layers.BatchNormalization, (4, 6), {"center": False}),
])
def test_nor_are_they_in_training(layer, shape, settings):
    def model():
        x = keras.Input(shape)
        changed = layer()
        y = changed(layers.Dense(6)(x))
        made = keras.Model(x, layers.Dense(2)(layers.Flatten()(y)))
        for name, value in settings.items():
            setattr(changed, name, value)
        return made

    step = {"phase": "training", "loss": "mse", "optimizer": "sgd"}
    assert nonzero(tos.count_ops(model(), 2, **step)) == nonzero(trace_ops(model(), 2, **step))
