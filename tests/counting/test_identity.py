"""What borrows a Keras name does not borrow its rule: in inference, in training, in bytes.

The oracle is the traced graph, op by op; where it says little, closed forms.
"""

from functools import partial

import keras
import pytest
from keras import layers

import tostoolkit as tos
from tostoolkit.counting.count import count, count_row
from tostoolkit.counting.trace import trace_ops

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
class LSTMCell(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = self.output_size = units

    def get_config(self):
        return {"units": self.units}

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units))

    def call(self, x, states):
        y = keras.ops.exp(keras.ops.matmul(x, self.kernel)) + states[0]
        return y, [y]


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
    assert ops == loss_ops("sparse_categorical_crossentropy", "softmax")[0]
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
