"""The inputs of a model, however somebody says them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import tostoolkit as tos

IMAGE = (32, 16, 3)
MACS = 2 * 30 * 14 * 4 * 9 * 3  # of two samples


def open_image():
    x = keras.Input((None, None, 3))
    return keras.Model(x, layers.Conv2D(4, 3)(x), name="open")


def macs(model, input_shape=None, batch_size=2):
    return tos.count_ops(model, batch_size, input_shape=input_shape)["float32", "mac"].sum()


@pytest.mark.parametrize("shape", [
    IMAGE, list(IMAGE), [IMAGE], np.array(IMAGE), np.array(IMAGE, "int32"), tf.TensorShape(IMAGE),
    (np.int64(32), np.int16(16), 3), np.zeros((1, *IMAGE)), np.zeros((7, *IMAGE), "float32"),
    keras.Input(IMAGE), tf.TensorSpec((None, *IMAGE)), keras.KerasTensor((1, *IMAGE)),
    tf.zeros((1, *IMAGE)),
], ids=lambda shape: type(shape).__name__)
def test_shapes_however_they_are_said(shape):
    assert macs(open_image(), shape) == MACS
    assert macs(open_image(), shape, np.int64(2)) == MACS


@pytest.mark.parametrize(("shape", "elements"), [
    (6, 6), (np.int64(6), 6), (np.array(6), 6), ((), 1), ([()], 1), ((np.array(6), 2), 12),
    (np.array([6, 2], object), 12), ([np.array([6, 2])], 12),
])
def test_sizes_of_any_kind(shape, elements):
    assert tos.count_ops(layers.ReLU(), 2, input_shape=shape)["float32", "max"].sum() == (
        2 * elements)


def test_a_sample_without_axes():
    x = keras.Input(())
    model = keras.Model(x, keras.ops.exp(x))
    for shape in (None, ()):
        assert tos.count_ops(model, 3, input_shape=shape)["float32", "exp"].sum() == 3


@pytest.mark.parametrize("shape", [
    5.0, np.float64(6), True, (5, True), [], {}, np.array(0.5), np.zeros(()), "6"])
def test_what_is_no_shape_is_an_error(shape):
    with pytest.raises(TypeError, match=r"input_shape: .* is no shape; give one sample's"):
        tos.count_ops(layers.ReLU(), input_shape=shape)


@pytest.mark.parametrize("batch_size", [np.array([5]), np.array([[5]]), np.float32(3), "3", True])
def test_what_is_no_batch_size_is_an_error(batch_size):
    with pytest.raises(TypeError, match=r"batch_size: .* is not an integer; try batch_size=32"):
        tos.count_ops(layers.ReLU(), batch_size, input_shape=(3,))


def test_numpy_integers_do_not_wrap():
    macs_of_one = MACS // 2
    for shape in (np.array(IMAGE), tuple(map(np.int32, IMAGE))):
        for batch_size in (np.int64(10**15), np.uint64(10**15)):
            assert macs(open_image(), shape, batch_size) == 10**15 * macs_of_one
    calls = tos.layer_calls(open_image(), np.int64(2), np.array(IMAGE))
    assert {type(d) for t in (*calls[0].inputs, *calls[0].outputs) for d in t.shape} == {int}


@pytest.mark.parametrize(("shape", "error", "says"), [
    ("abc", TypeError, "'abc' is no shape"),
    ((32.0, 16, 3), TypeError, "32.0 is no shape"),
    ((32, 16), ValueError, r"\(32, 16\) does not fit"),
    (32, ValueError, r"\(32,\) does not fit"),
    ((32, 16, 4), ValueError, "does not fit"),
    ((-1, 16, 3), ValueError, "a dimension below 1"),
    ((0, 16, 3), ValueError, "a dimension below 1"),
    ((None, 16, 3), ValueError, r"open.*input_shape=\(100, 16, 3\)"),
    ([IMAGE, IMAGE], ValueError, "2 shapes for 1 inputs"),
    ({"picture": IMAGE}, ValueError, r"\['picture'\]; name each input once"),
], ids=str)
def test_what_is_no_shape_of_the_model_is_refused(shape, error, says):
    with pytest.raises(error, match=f"input_shape: .*{says}"):
        macs(open_image(), shape)


NAMED = {"left": (8,), "right": (3,)}


@pytest.mark.parametrize("shape", [
    None, NAMED, {"right": 3, "left": 8}, [(8,), (3,)],
    {"left": np.zeros((1, 8)), "right": keras.Input((3,))},
    {name: keras.Input(shape) for name, shape in NAMED.items()},
], ids=str)
def test_inputs_by_name(shape):
    x = {name: keras.Input((None,) if name == "left" and shape else size, name=name)
         for name, size in NAMED.items()}
    left = layers.GlobalMaxPooling1D()(ops.expand_dims(x["left"], 2))
    model = keras.Model(x, layers.Dense(2)(layers.Concatenate()([left, x["right"]])))
    assert macs(model, shape) == 2 * 4 * 2


def test_a_dict_of_one_input_stays_a_dict():
    class Reads(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2, use_bias=False)

        def call(self, inputs):
            return self.dense(inputs["x"])

    model = Reads()
    model({"x": np.zeros((1, 4), "float32")})
    assert tos.count_ops(model, 3)["float32", "mac"].sum() == 3 * 4 * 2


def test_integers_are_said_by_a_dtype():
    for ids in (keras.Input((6,), dtype="int32"), tf.TensorSpec((None, 6), "int32"),
                np.zeros((1, 6), "int32")):
        counts = tos.count_ops(layers.Embedding(10, 3), 2, input_shape=ids)
        assert set(counts.columns.get_level_values("dtype")) == {"int32"}
    # an array of float64 is taken in the model's own dtype, as Keras does
    counts = tos.count_ops(layers.ReLU(), 2, input_shape=np.zeros((1, 6)))
    assert counts.sum().to_dict() == {("float32", "max"): 12}


class Network(keras.Model):
    def __init__(self):
        super().__init__(name="network")
        self.hidden, self.out = layers.Dense(4), layers.Dense(2)

    def call(self, x):
        return self.out(ops.tanh(self.hidden(x)))


def test_a_subclassed_model_called_once_counts_at_any_batch_size_and_shape():
    model = Network()
    model(np.zeros((1, 8)))
    assert macs(model) == 2 * (8 * 4 + 4 * 2)
    assert macs(model, batch_size=5) == 5 * (8 * 4 + 4 * 2)
    step = tos.count_ops(model, 2, "training", loss="mse", optimizer="sgd")
    assert step["float32", "mac"].sum() == 2 * (2 * 8 * 4 + 3 * 4 * 2)

    class Filter(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.mean = layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()

        def call(self, x):
            return self.mean(self.first(x))

    model = Filter()
    model(np.zeros((1, 8, 8, 3)))
    assert macs(model) == 2 * 6 * 6 * 4 * 27
    assert macs(model, IMAGE) == MACS


def test_a_model_without_weights_says_the_call_that_makes_them():
    with pytest.raises(ValueError, match=r"'network' has not been called.*model\(numpy.zeros\("):
        tos.count_ops(Network(), 2)
    for shape, code in (((8,), r"model\(numpy.zeros\(\(1, 8\)\)\)"),
                        (keras.Input((8,), dtype="int32"), r"zeros\(\(1, 8\), 'int32'\)")):
        with pytest.raises(ValueError, match=f"no weights yet.*call it once: .*{code}"):
            tos.count_ops(Network(), 2, input_shape=shape)

    class Sum(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(4)

        def call(self, first, second=None):
            return self.dense(first) + self.dense(second)

    shapes = {"first": (8,), "second": (8,)}
    with pytest.raises(ValueError, match=r"first=numpy.zeros\(\(1, 8\)\), second=numpy") as raised:
        macs(Sum(), shapes)
    model = Sum()
    eval(str(raised.value).partition("call it once: ")[2], {"model": model, "numpy": np})
    assert macs(model, shapes) == 2 * 2 * 8 * 4


class Says(layers.Layer):
    """Takes exponentials, and says that its size is not known."""

    def __init__(self, shape):
        super().__init__()
        self.says = shape

    def call(self, x):
        return ops.exp(x)

    def compute_output_shape(self, shape):
        return self.says


def dense_of(layer, shape):
    x = keras.Input(shape)
    return keras.Model(x, layers.Dense(2)(layers.Reshape((12,))(layer(x))))


@pytest.mark.parametrize("layer", [
    lambda: Says((None, None)), lambda: Says((None, None, 6)), lambda: Says((None, 2, None)),
    lambda: layers.Lambda(ops.exp, output_shape=(None,)),
    lambda: layers.Lambda(ops.exp, output_shape=(None, None)),
    lambda: layers.Lambda(lambda x: ops.exp(x), output_shape=lambda shape: (shape[0], None)),
], ids=lambda layer: type(layer()).__name__)
def test_what_a_layer_leaves_open_the_trace_knows(layer):
    counts = tos.count_ops(dense_of(layer(), (2, 6)), 3).sum()
    assert counts.to_dict() == {("float32", "mac"): 3 * 12 * 2, ("float32", "add"): 3 * 2,
                                ("float32", "exp"): 3 * 12}
    step = tos.count_ops(dense_of(layer(), (2, 6)), 3, "training", loss="mse", optimizer="sgd")
    assert step["float32", "mac"].sum() == 2 * 3 * 12 * 2


@pytest.mark.parametrize(("equation", "shape", "bias"), [
    ("abc,cd->abd", (None, 4), None), ("abc,cd->adb", (4, None), None),
    ("abc,cd->abd", (None, 4), "d"), ("abc,cde->abde", (None, 4, 1), "de"),
])
def test_dense_einsums_whose_output_is_open(equation, shape, bias):
    for given in ((5, 8), (None, 8)):
        x = keras.Input(given)
        model = keras.Model(x, layers.EinsumDense(equation, shape, bias_axes=bias)(x))
        assert macs(model, (5, 8)) == 2 * 5 * 8 * 4
        step = tos.count_ops(model, 2, "training", input_shape=(5, 8), loss="mse", optimizer="sgd")
        assert step["float32", "mac"].sum() == 2 * 2 * 5 * 8 * 4


@pytest.mark.parametrize(("layer", "size"), [
    (lambda: layers.Resizing(16, 12), 14 * 10), (lambda: layers.UpSampling2D(2), 62 * 30),
    (lambda: layers.ZeroPadding2D(1), 32 * 16), (lambda: layers.CenterCrop(8, 8), 36),
    (lambda: layers.MaxPooling2D(), 14 * 6), (lambda: layers.Cropping2D(2), 26 * 10),
    (lambda: layers.Lambda(lambda x: x[:, :10, :10]), 64),
    (lambda: layers.Permute((2, 1, 3)), 30 * 14),
], ids=lambda value: type(value()).__name__ if callable(value) else str(value))
def test_images_of_open_size_after_layers_that_change_it(layer, size):
    x = keras.Input((None, None, 3))
    model = keras.Model(x, layers.Conv2D(4, 3, name="conv")(layer()(x)))
    counts = tos.count_ops(model, 2, input_shape=IMAGE).loc["conv"]
    assert counts["float32", "mac"].sum() == 2 * size * 4 * 27


def test_what_depends_on_the_data_is_refused():
    x = keras.Input((8,))
    some = layers.Lambda(lambda x: tf.boolean_mask(x, x > 0), output_shape=(None,), name="some")
    with pytest.raises(ValueError, match=r"the output shape \(None,\) of 'some' depends on the"):
        tos.count_ops(keras.Model(x, some(x)), 2)


@pytest.mark.parametrize("mode", ["int8", "float8", "int4"])
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
def test_quantised_models_count(mode):
    """The multiplications stay as many: int8 in int8, float8 and int4 in the layer's dtype."""
    def dense():
        x = keras.Input((8,))
        return keras.Model(x, layers.Dense(4)(layers.Dense(16, activation="relu")(x)))

    def subclassed():
        model = Network()
        model(np.zeros((1, 8)))
        return model

    for make, right in ((dense, 8 * 16 + 16 * 4), (subclassed, 8 * 4 + 4 * 2)):
        model = make()
        assert macs(model, batch_size=3) == 3 * right
        model.quantize(mode)
        counts = tos.count_ops(model, 3).sum()
        assert counts[:, "mac"].to_dict() == {"int8" if mode == "int8" else "float32": 3 * right}


# --- a call that takes several arguments

class Both(keras.Model):
    def __init__(self):
        super().__init__()
        self.of_a, self.of_b = layers.Dense(3), layers.Dense(2)

    def call(self, a, b):
        return self.of_a(a) + keras.ops.sum(self.of_b(b), -1, keepdims=True)


class BothInOne(Both):
    def call(self, pair):
        return super().call(*pair)


class OfAnyNumber(Both):
    def call(self, *both):
        return super().call(*both)


class ByKeyword(Both):
    def call(self, a, *, b):
        return super().call(a, b)


class InStructures(Both):
    def call(self, a, b):
        return super().call(a[0] + a[1], b["x"])


SHAPES = {
    "a list": (Both, [(4,), (5,)]), "names": (Both, {"b": (5,), "a": (4,)}),
    "one argument": (BothInOne, [(4,), (5,)]), "any number": (OfAnyNumber, [(4,), (5,)]),
    "a keyword": (ByKeyword, {"a": (4,), "b": (5,)}),
    "structures": (InStructures, [[(4,), (4,)], {"x": (5,)}]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_are_those_of_the_arguments_of_a_call(name):
    """A sample: 4 x 3 MACs of a and 5 x 2 of b."""
    cls, shapes = SHAPES[name]
    model = cls()
    model.of_a.build((None, 4))
    model.of_b.build((None, 5))
    model.built = True
    assert macs(model, shapes) == 2 * (4 * 3 + 5 * 2)


@pytest.mark.parametrize("cls", [Both, ByKeyword])
@pytest.mark.parametrize("shapes", [(4,), [(4,)], [(4,), (5,), (6,)]])
def test_arguments_of_a_call_without_a_shape_are_named(cls, shapes):
    with pytest.raises(ValueError, match=(
            r"input_shape: `call` of .* takes 'a' and 'b', and the shape of \d is known.*"
            r"input_shape=\{'a': \(784,\), 'b': \(784,\)\}")):
        tos.count_ops(cls(), input_shape=shapes)
