"""The models that several tests share."""

import keras

import tostoolkit as tos


def without_weights(build):
    """Return ``build()`` with its variables left unallocated, for counting only."""
    with tos.abstract():
        return build()


def application(name, **kwargs):
    """Return a keras.applications model without weights."""
    return without_weights(lambda: getattr(keras.applications, name)(weights=None, **kwargs))


def small_classifier():
    """Return a convolutional classifier that uses most of what a classifier uses."""
    return keras.Sequential([
        keras.Input((8, 8, 3)),
        keras.layers.Conv2D(4, 3, padding="same", name="conv"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.ReLU(name="relu"),
        keras.layers.MaxPooling2D(name="pool"),
        keras.layers.Flatten(name="flat"),
        keras.layers.Dense(5, activation="softmax", name="out"),
    ], name="small")


def shared_and_nested():
    """Return a model that calls one layer three times and one nested model twice."""
    shared = keras.layers.Dense(6, name="shared")
    nested = keras.Sequential(
        [keras.Input((6,)), keras.Sequential([keras.layers.Dense(6, name="deep")], name="core")],
        name="nested")
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    x = shared(shared(a)) + shared(b)
    x = nested(nested(x))
    return keras.Model([a, b], [x, keras.ops.exp(x) * 2.0], name="shared_and_nested")


def some(n, family="feed_forward"):
    """Return `n` rows from all over a default set: to draw a set takes seconds."""
    table = getattr(tos, family)()
    return table.iloc[[i * len(table) // n for i in range(n)]].reset_index(drop=True)


@keras.saving.register_keras_serializable()
class Cell(keras.layers.Layer):
    """A recurrent cell of one's own."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def get_config(self):
        return {"units": self.units}

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units))

    def call(self, x, states):
        y = keras.ops.exp(keras.ops.matmul(x, self.kernel)) + states[0]
        return y, [y]
