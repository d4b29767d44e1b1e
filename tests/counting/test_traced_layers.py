"""Layers without a rule: each is counted from its trace, or an error says why and what to write."""

import keras
import pytest
from keras import layers
from layer_cases import CASES

import tostoolkit as tos
from tostoolkit.counting.count import count
from tostoolkit.counting.rules import TRACED_LAYERS, VOCABULARIES
from tostoolkit.counting.trace import TraceError

IMAGE = (8, 8, 3)

#: Layer -> constructor arguments and the shape of a sample, where `CASES` has none.
OTHERS = {
    **{name: ({}, IMAGE) for name in (
        "AugMix", "AutoContrast", "ContrastLimitedAdaptiveHistogramEqualization", "CutMix",
        "MixUp", "RandAugment", "RandomElasticTransform", "RandomErasing", "RandomGaussianBlur",
        "RandomGrayscale", "RandomInvert", "RandomPerspective", "Solarization", "Equalization")},
    **{name: ({"factor": 0.2}, IMAGE) for name in (
        "RandomColorDegeneration", "RandomHue", "RandomSaturation", "RandomSharpness")},
    "Discretization": ({"bin_boundaries": [0.0, 1.0, 2.0]}, (4,)),
    "Lambda": ({"function": keras.ops.tanh}, (4,)),
    "MaxNumBoundingBoxes": ({"max_number": 3}, IMAGE),
    "Pipeline": ({"layers": [layers.Rescaling(0.5), layers.RandomFlip()]}, IMAGE),
    "RandomColorJitter": ({"brightness_factor": 0.2, "hue_factor": 0.2}, IMAGE),
    "RandomCrop": ({"height": 4, "width": 4}, IMAGE),
    "RandomPosterization": ({"factor": 4}, IMAGE), "RandomShear": ({"x_factor": 0.2}, IMAGE),
    "STFTSpectrogram": ({}, (2000, 1)), "MelSpectrogram": ({}, (16000,)),
    "CategoryEncoding": ({"num_tokens": 5}, (4,)),
    "Hashing": ({"num_bins": 3}, (4,)), "HashedCrossing": ({"num_bins": 5}, (1,)),
}

#: Layer -> dtype of its inputs, where that is not its own.
DTYPES = {"CategoryEncoding": "int32", "Hashing": "int32", "HashedCrossing": "string"}

#: Layers of which the error, or the count of a backend that knows the op, is right -> what it says.
MAY_REFUSE = {
    "CategoryEncoding": "Bincount", "Hashing": "AsString", "HashedCrossing": "SparseCross",
    "MelSpectrogram": "RFFT",
}

#: What holds another framework's code, or nothing: not to be made here.
BASES = {"FlaxLayer", "JaxLayer", "TorchModuleWrapper", "Layer", "Wrapper", "TFSMLayer"}


def model_of(kind):
    kwargs, shape = OTHERS.get(kind) or (CASES[kind][0][0], CASES[kind][0][1][0])
    layer = getattr(layers, kind)(**kwargs)
    inputs = [keras.Input(shape, dtype=DTYPES.get(kind))
              for _ in range(2 if kind == "HashedCrossing" else 1)]
    try:
        return keras.Model(inputs, layer(inputs[0] if len(inputs) == 1 else tuple(inputs))), None
    except ValueError:  # its code does not run on what stands for a tensor
        layer.build((None, *shape)) if not layer.built else None
        return layer, shape


KINDS = [kind for kind in TRACED_LAYERS if kind not in BASES and hasattr(layers, kind)]


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_traced_or_says_why_not(kind):
    model, shape = model_of(kind)
    said = None
    try:
        assert count(model, 2, input_shape=shape).coverage == {"trace": 1}
    except TraceError as error:
        said = str(error)
    if said:
        assert kind in MAY_REFUSE, said
        for words in (MAY_REFUSE[kind], repr(kind), "tos.OP_COUNTERS | {"):
            assert words in said


def test_nothing_is_left_out():
    assert {kind for kind in TRACED_LAYERS if hasattr(layers, kind)} == {*KINDS, *BASES}


def test_what_is_random_is_nothing_in_inference():
    for kind in ("RandomFlip", "RandomCrop", "RandomErasing", "RandAugment", "RandomGaussianBlur"):
        assert count(model_of(kind)[0], 2).counts.to_numpy().sum() == 0


def test_a_pipeline_is_what_stands_in_it():
    assert tos.count_ops(model_of("Pipeline")[0], 2).sum().to_dict() == {
        ("float32", "mul"): 2 * 8 * 8 * 3}


@pytest.mark.parametrize(("kind", "kwargs", "dtype"), [
    ("StringLookup", {"vocabulary": ["a", "b"]}, "string"),
    ("IntegerLookup", {"vocabulary": [1, 2, 3], "num_oov_indices": 2}, "int64"),
    ("TextVectorization", {"vocabulary": ["a", "b"], "output_sequence_length": 4}, "string"),
])
def test_a_look_up_is_no_arithmetic(kind, kwargs, dtype):
    assert kind in VOCABULARIES
    x = keras.Input((1,), dtype=dtype)
    ids = getattr(layers, kind)(**kwargs)(x)
    model = keras.Model(x, layers.Embedding(7, 3)(ids))
    counted = count(model, 2)
    assert counted.coverage["zero"] == 1
    assert not counted.counts.xs(kind, level="kind").any(axis=None)


def test_a_look_up_that_returns_anything_else_is_traced():
    x = keras.Input((3,), dtype="int64")
    model = keras.Model(x, layers.IntegerLookup(vocabulary=[1, 2], output_mode="multi_hot")(x))
    with pytest.raises(TraceError, match="'IntegerLookup'"):
        count(model, 2)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a model, and the folder that it is exported to, its batch open."""
    model = keras.Sequential([
        keras.Input((8,)), layers.Dense(8, activation="tanh"), layers.BatchNormalization()])
    folder = tmp_path_factory.mktemp("saved")
    model.export(folder, verbose=0)
    return model, folder


class Holds(layers.Layer):
    def __init__(self, held):
        super().__init__()
        self.held = held

    def call(self, x):
        return self.held(x) * 2.0


def between(layer):
    x = keras.Input((8,))
    return keras.Model(x, layers.Dense(3)(layer(layers.Dense(8)(x))))


def shared(layer):
    x = keras.Input((8,))
    return keras.Model(x, layer(x) + layer(layer(x)))


def inside(layer):
    return keras.Sequential([keras.Input((8,)), Holds(layer), layers.Dense(2)])


def nested(layer):
    return between(keras.Sequential([keras.Input((8,)), layer, layers.Dense(8)]))


@pytest.mark.parametrize("around", [between, shared, inside, nested])
def test_a_saved_model_in_a_model_counts_as_what_was_saved(saved, around):
    """Its variables are no constants, whatever they hold: a mean of 0, a scale of 1."""
    model, folder = saved
    layer = layers.TFSMLayer(folder)
    counted, right = count(around(layer), 3).counts.sum(), count(around(model), 3).counts.sum()
    assert counted[counted > 0].to_dict() == right[right > 0].to_dict()


def test_a_saved_model_takes_structures(tmp_path):
    def use(layer):
        x, y = keras.Input((4,)), keras.Input((5,))
        return keras.Model([x, y], layer({"a": x, "b": y})["sum"])

    a, b = keras.Input((4,), name="a"), keras.Input((5,), name="b")
    model = keras.Model({"a": a, "b": b}, {
        "sum": layers.Dense(3)(a) + layers.Dense(3)(b), "idle": keras.ops.exp(a)})
    model.export(tmp_path, verbose=0)
    counted = count(use(layers.TFSMLayer(tmp_path)), 2).counts.sum()
    # two of Dense(3), the bias of each, and the sum
    assert counted[counted > 0].to_dict() == {
        ("float32", "mac"): 2 * 3 * (4 + 5), ("float32", "add"): 2 * 3 * 3}


def test_of_a_saved_model_in_training_the_error_says_what_can_be_done(saved):
    model = keras.Sequential([keras.Input((8,)), layers.TFSMLayer(saved[1]), layers.Dense(2)])
    with pytest.raises(TraceError, match=r"TFSMLayer.*batch open.*input_signature=\[keras"):
        count(model, 3, "training", loss="mse", optimizer="sgd")


# --- parts that are built when a layer is first called

class Lazy(layers.Layer):
    def __init__(self):
        super().__init__()
        self.part = layers.Dense(3)

    def call(self, x):
        return self.part(x)

    def compute_output_shape(self, shape):
        return (*shape[:-1], 3)


LAZY = {
    "an activation layer": (lambda: [layers.Dense(3), layers.Activation(layers.PReLU())],
                            {"mac": 30, "add": 12, "max": 12, "neg": 9, "mul": 6}),
    "a layer of the user's": (lambda: [Lazy()], {"mac": 30, "add": 6}),
    "in a closure": (lambda: [layers.Lambda(layers.Dense(3), output_shape=(3,))],
                     {"mac": 30, "add": 6}),
}


@pytest.mark.parametrize("name", LAZY)
def test_parts_are_built_as_the_first_call_builds_them(name):
    make, expected = LAZY[name]
    model = keras.Sequential([keras.Input((5,)), *make()])
    for _ in range(2):
        assert tos.count_ops(model, 2).sum().to_dict() == {
            ("float32", op): n for op, n in expected.items()}
    x = keras.ops.ones((2, 5))
    assert (keras.ops.convert_to_numpy(model(x)) == keras.ops.convert_to_numpy(model(x))).all()


def test_parts_of_an_abstract_model_stay_without_values():
    from tostoolkit.counting.running_state import with_places

    with tos.abstract():
        model = keras.Sequential([keras.Input((5,)), *LAZY["an activation layer"][0](), Lazy()])
    tos.count_ops(model)
    tos.count_ops(model, phase="training", loss="mse", optimizer="adam")
    placed = []
    with with_places(model.variables, lambda shape, dtype, trainable: placed.append(shape)):
        pass
    assert sorted(placed) == sorted(tuple(v.shape) for v in model.variables)
    assert len(placed) == 5


def test_a_step_trains_parts_that_were_not_built():
    model = keras.Sequential([keras.Input((5,)), *LAZY["an activation layer"][0]()])
    step = tos.count_ops(model, 2, "training", loss="mse", optimizer="sgd").groupby("part").sum()
    # each of 15 + 3 + 3 weights: rate x gradient, and the difference
    assert step.loc["update"]["float32", "mul"] == 21


def test_a_layer_that_a_lambda_only_closes_over_is_counted():
    for make in (lambda: layers.Dense(3), lambda: Lazy()):
        inner = make()
        inner.build((None, 5))
        model = keras.Sequential([keras.Input((5,)), layers.Lambda(lambda x, f=inner: f(x))])
        assert tos.count_ops(model, 2).sum()["float32", "mac"] == 30


def test_a_layer_that_takes_no_training_is_traced_in_inference():
    """Resizing's `training` is True when nobody says, and it would be handed on to what follows."""
    class Head(layers.Layer):
        def __init__(self):
            super().__init__()
            self.norm = layers.BatchNormalization()

        def build(self, shape):
            self.norm.build(shape)

        def call(self, x):
            return self.norm(layers.Resizing(4, 4, interpolation="nearest")(x))

    counts = tos.count_ops(keras.Sequential([keras.Input((8, 8, 3)), Head()])).sum()
    assert counts.to_dict() == {  # x * inv + (beta - mean * inv), inv = gamma * rsqrt(var + eps)
        ("float32", "mul"): 4 * 4 * 3 + 2 * 3, ("float32", "add"): 4 * 4 * 3 + 2 * 3,
        ("float32", "rsqrt"): 3}
