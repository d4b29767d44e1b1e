"""Saved models: the file counts as the model that was saved, or says why it cannot."""

import json
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import tostoolkit as tos
from tostoolkit.__main__ import main
from tostoolkit.counting.saved import load_saved

STEP = {"phase": "training"}


def perceptron(loss="mse", optimizer="adam", metrics=()):
    model = keras.Sequential([keras.Input((32,)), layers.Dense(1, use_bias=False)], name="small")
    model.compile(optimizer, loss, metrics=list(metrics))
    return model


def network():
    x = keras.Input((8, 8, 3))
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="gelu")(x))
    y = layers.MaxPooling2D()(layers.DepthwiseConv2D(3, padding="same")(y))
    y = layers.Dense(5, activation="softmax")(layers.Flatten()(y))
    return keras.Model(x, y, name="network")


def attention():
    x = keras.Input((6, 16))
    y = layers.LayerNormalization()(layers.Add()([layers.MultiHeadAttention(2, 8)(x, x), x]))
    return keras.Model(x, layers.Dense(4)(y), name="attention")


def recurrent():
    return keras.Sequential([keras.Input((6, 3)), layers.LSTM(5), layers.Dense(2)], name="loop")


def two_inputs():
    x = {"left": keras.Input((8,), name="left"), "right": keras.Input((6,), name="right")}
    return keras.Model(x, layers.Dense(3)(layers.Concatenate()(list(x.values()))), name="two")


MODELS = (perceptron, network, attention, recurrent, two_inputs)


def run(capsys, *arguments):
    main(["count", *map(str, arguments), "--format", "json"])
    return json.loads(capsys.readouterr().out)


def refuse(*arguments):
    with pytest.raises(SystemExit) as raised:
        main(["count", *map(str, arguments)])
    said = str(raised.value)
    assert "\n" not in said
    return said


def nonzero(counts):
    total = counts.sum()
    return total[total > 0].to_dict()


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".hdf5"])
@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_a_file_counts_as_the_model_that_was_saved(tmp_path, capsys, make, suffix):
    model, path = make(), tmp_path / f"model{suffix}"
    model.save(path)
    assert nonzero(tos.count_ops(load_saved(path), 3)) == nonzero(tos.count_ops(model, 3))
    rows = run(capsys, path, "--batch-size", 3)
    assert sum(row["macs"] for row in rows) == tos.transistor_ops(model, batch_size=3).macs


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(("loss", "optimizer", "metrics"), [
    ("mse", "adam", ["mae"]), ("mae", "sgd", ["accuracy", "mse"]),
    ("mean_squared_error", "sgd", []),
    (keras.losses.MeanSquaredError, "rmsprop", ["mse"]), ("kld", "adamw", []),
    (keras.losses.mean_squared_error, "adagrad", []), ("bce", "sgd", ["mse"]),
    (["mse"], "adam", []), (keras.losses.Huber, "sgd", ["mape"]),
], ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_compiled_file_counts_and_trains_as_it_was_compiled(
        tmp_path, capsys, loss, optimizer, metrics, suffix):
    loss = loss() if isinstance(loss, type) else loss
    model, path = perceptron(loss, optimizer, metrics), tmp_path / f"model{suffix}"
    model.save(path)
    assert [row["macs"] for row in run(capsys, path)] == [32]
    step = tos.transistor_ops(model, phase="training")
    rows = run(capsys, path, "--phase", "training")
    assert sum(row["cost"] for row in rows) == pytest.approx(step.total)
    asked = run(capsys, path, "--phase", "training", "--loss", "mse", "--optimizer", "sgd")
    own = tos.transistor_ops(model, phase="training", loss="mse", optimizer="sgd")
    assert sum(row["cost"] for row in asked) == pytest.approx(own.total)


def keras_2(path):
    """Change an .h5 file into what Keras 2 wrote: arguments that Keras 3 does not have."""
    def older(part):
        if isinstance(part, list):
            return [older(x) for x in part]
        if not isinstance(part, dict):
            return part
        part = {name: older(x) for name, x in part.items()}
        own = part.get("config")
        if part.get("class_name") in ("DepthwiseConv2D", "Conv2DTranspose", "SeparableConv2D"):
            own["groups"] = 1
        if part.get("class_name") in ("LSTM", "GRU", "SimpleRNN"):
            own |= {"time_major": False, "implementation": 2}
        if part.get("class_name") == "MultiHeadAttention":
            own |= {"query_shape": [None, 6, 16], "key_shape": [None, 6, 16],
                    "value_shape": [None, 6, 16], "softmax_robust_masking": False}
        return part

    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = "2.15.0"
        file.attrs["model_config"] = json.dumps(older(json.loads(file.attrs["model_config"])))
        said = json.loads(file.attrs.get("training_config", "{}"))
        if said:
            optimizer = said["optimizer_config"]
            optimizer["class_name"] = f"Custom>{optimizer['class_name']}"
            optimizer["config"] |= {
                "jit_compile": True, "is_legacy_optimizer": False, "ema_overwrite_frequency": 100}
            file.attrs["training_config"] = json.dumps(said)


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_a_file_of_keras_2_counts(tmp_path, capsys, make):
    model, path = make(), tmp_path / "model.h5"
    model.save(path)
    keras_2(path)
    before = path.read_bytes()
    rows = run(capsys, path, "--batch-size", 3)
    assert sum(row["macs"] for row in rows) == tos.transistor_ops(model, batch_size=3).macs
    if model.compiled:
        rows = run(capsys, path, "--phase", "training")
        step = tos.transistor_ops(model, phase="training")
        assert sum(row["cost"] for row in rows) == pytest.approx(step.total)
    assert path.read_bytes() == before


def test_what_keras_2_said_that_means_something_is_not_dropped(tmp_path):
    path = tmp_path / "model.h5"
    network().save(path)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = file.attrs["model_config"].replace(
            '"class_name": "DepthwiseConv2D", "config": {',
            '"class_name": "DepthwiseConv2D", "config": {"groups": 2, ')
    assert "'groups': 2" in refuse(path)


# --- exported graphs


@pytest.mark.parametrize("make", [perceptron, network, attention, two_inputs],
                         ids=lambda make: make.__name__)
def test_an_exported_graph_counts_as_its_model(tmp_path, capsys, make):
    """The ops are those of the model; weights and bytes are there too."""
    model = make()
    model.export(tmp_path / "served", verbose=False)
    served = load_saved(tmp_path / "served")
    ours, right = (nonzero(tos.count_ops(m, 3)) for m in (served, model))
    assert ours == right  # a weight is no constant, whatever its value
    assert served.count_params() == model.count_params()
    assert tos.count_bytes(served, 3).weight_bytes.sum() == 4 * model.count_params()
    (row,) = run(capsys, tmp_path / "served", "--batch-size", 3)
    assert (row["kind"], row["macs"]) == ("SavedModel", right["float32", "mac"])


class Runs(keras.layers.Layer):
    """A function of Keras ops, of which the output is like the input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)

    def compute_output_shape(self, shape):
        return shape


def scanned(x):
    ops = keras.ops
    steps = ops.scan(lambda c, y: (ops.tanh(c * y), c * 2.0), x[:, 1], ops.transpose(x, (1, 0, 2)))
    return ops.transpose(steps[1], (1, 0, 2))


def in_two_loops(x):
    ops = keras.ops
    return ops.fori_loop(
        0, 3, lambda i, y: ops.fori_loop(0, 4, lambda j, z: ops.tanh(z) + x, y), x)


def of_ids():
    ids = keras.Input((6,), dtype="int32")
    return keras.Model(ids, keras.layers.LSTM(3)(
        keras.layers.Embedding(9, 4, mask_zero=True)(ids)))


def with_states():
    x = keras.Input((6, 8))
    y, h, c = keras.layers.LSTM(4, return_state=True, return_sequences=True)(x)
    z = keras.layers.LSTM(4, return_sequences=True)(x, initial_state=[h, c])
    return keras.Model(x, keras.layers.Dense(2)(y * z))


def steps(*stack):
    return keras.Sequential([keras.Input((6, 8)), *stack, keras.layers.Dense(2)])


LOOPS = {
    "LSTM": recurrent, "masked": of_ids, "states": with_states,
    "all steps": lambda: steps(
        keras.layers.LSTM(4, return_sequences=True), keras.layers.GRU(3, return_sequences=True),
        keras.layers.SimpleRNN(2, go_backwards=True)),
    "both ways": lambda: steps(keras.layers.Bidirectional(
        keras.layers.GRU(4, return_sequences=True))),
    "Masking": lambda: steps(keras.layers.Masking(), keras.layers.LSTM(4, return_sequences=True)),
    "scan": lambda: steps(Runs(scanned)), "two loops": lambda: steps(Runs(in_two_loops)),
    "map": lambda: steps(Runs(lambda x: keras.ops.transpose(keras.ops.map(
        lambda y: keras.ops.exp(y) * 2.0, keras.ops.transpose(x, (1, 0, 2))), (1, 0, 2)))),
    "while": lambda: steps(Runs(lambda x: keras.ops.while_loop(
        lambda i, y: i < 4, lambda i, y: (i + 1, keras.ops.tanh(y)), (0, x))[1])),
}


@pytest.mark.parametrize("name", LOOPS)
def test_exported_graphs_with_loops_and_an_open_batch_count_as_their_models(tmp_path, name):
    model = LOOPS[name]()
    model.export(tmp_path / "open", verbose=False)
    served = load_saved(tmp_path / "open")
    for batch_size in (1, 3):
        assert nonzero(tos.count_ops(served, batch_size)) == nonzero(
            tos.count_ops(model, batch_size))


def test_exported_graphs_of_one_batch_count_at_that(tmp_path):
    model, folder = recurrent(), tmp_path / "served"
    model.export(folder, verbose=False, input_signature=[
        keras.InputSpec(shape=(2, 6, 3), dtype="float32")])
    assert nonzero(tos.count_ops(load_saved(folder), 2)) == nonzero(tos.count_ops(model, 2))
    assert "call with batch_size=2" in refuse(folder)


def test_an_exported_loop_that_the_data_end_is_an_error(tmp_path):
    ops = keras.ops
    model = steps(Runs(lambda x: ops.while_loop(
        lambda y: ops.sum(y) < 4.0, lambda y: (ops.exp(y),), (x,))[0]))
    model.export(tmp_path / "open", verbose=False)
    assert "runs until the data end it" in refuse(tmp_path / "open")


def test_exported_graphs_of_no_keras_model_count(tmp_path, capsys):
    class Doubled(tf.Module):
        def __init__(self):
            super().__init__()
            self.w = tf.Variable(tf.ones((8, 4)))

        @tf.function(input_signature=[tf.TensorSpec((None, 8), tf.float32, name="x"),
                                      tf.TensorSpec((None, 4), tf.float32, name="y")])
        def run(self, x, y):
            return {"z": tf.tanh(tf.matmul(x, self.w)) + y}

    module = Doubled()
    tf.saved_model.save(module, tmp_path / "raw", signatures={"mine": module.run})
    counts = nonzero(tos.count_ops(load_saved(tmp_path / "raw"), 5))
    assert counts == {
        ("float32", "mac"): 5 * 8 * 4, ("float32", "tanh"): 20, ("float32", "add"): 20}
    tf.saved_model.save(tf.Module(), tmp_path / "none")
    assert "it has no signature" in refuse(tmp_path / "none")


def test_exported_graphs_of_open_size_take_an_input_shape(tmp_path, capsys):
    x = keras.Input((None, None, 3))
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x))
    keras.Model(x, y).export(tmp_path / "served", verbose=False)
    (row,) = run(capsys, tmp_path / "served", "--input-shape", "16,12,3")
    assert row["macs"] == 14 * 10 * 4 * 27
    assert "leaves a dimension of its input open" in refuse(tmp_path / "served")
    said = refuse(tmp_path / "served", "--phase", "training", "--loss", "mse", "--optimizer", "sgd")
    assert "is a forward pass" in said


# --- shapes on the command line


@pytest.mark.parametrize("shape", ["16,12,3", "16x12x3", "(16, 12, 3)", "16 12 3", "[16,12,3]"])
def test_an_input_shape_however_it_is_typed(tmp_path, capsys, shape):
    x = keras.Input((None, None, 3), name="image")
    keras.Model(x, layers.Conv2D(4, 3)(x)).save(tmp_path / "model.keras")
    for given in (shape, f"image={shape}"):
        (row,) = run(capsys, tmp_path / "model.keras", "--input-shape", given)
        assert row["macs"] == 14 * 10 * 4 * 27


def test_several_inputs_take_several_shapes(tmp_path, capsys):
    two_inputs().save(tmp_path / "two.keras")
    for shapes in (["left=8", "right=6"], ["right=6", "left=8"], ["8", "6"]):
        given = [part for shape in shapes for part in ("--input-shape", shape)]
        assert sum(row["macs"] for row in run(capsys, tmp_path / "two.keras", *given)) == 14 * 3
    for shapes, said in ((["left=8", "6"], "name each input once"), (["left=8"], "name each input"),
                         (["left=8", "left=8"], "name each input once"), (["8"], "1 shapes for 2")):
        given = [part for shape in shapes for part in ("--input-shape", shape)]
        assert said in refuse(tmp_path / "two.keras", *given)


@pytest.mark.parametrize("shape", ["abc", "", "8,", "8,-1", "8;9", "a=b", "8.5", "8,,9", "None,8"])
def test_what_is_no_shape_is_refused(tmp_path, capsys, shape):
    if shape == "8,":  # a tuple of one
        perceptron().save(tmp_path / "model.keras")
        assert "does not fit" in refuse(tmp_path / "model.keras", "--input-shape", shape)
        return
    with pytest.raises(SystemExit):
        main(["count", "model.keras", f"--input-shape={shape}"])
    assert "is no shape of one sample" in capsys.readouterr().err


# --- what is no model


@keras.saving.register_keras_serializable("mine")
class Known(layers.Layer):
    def call(self, x):
        return ops.exp(x)


class Unknown(layers.Layer):
    def call(self, x):
        return ops.exp(x)


def mine(y_true, y_pred):
    return ops.mean(y_true - y_pred)


def functional(layer):
    x = keras.Input((8,))
    return keras.Model(x, layer(x))


def test_layers_of_ones_own_count_where_they_are_known(tmp_path, capsys):
    functional(Known()).save(tmp_path / "known.keras")
    assert len(run(capsys, tmp_path / "known.keras")) == 1
    for name in ("unknown.keras", "unknown.h5"):
        functional(Unknown()).save(tmp_path / name)
        said = refuse(tmp_path / name)
        assert f"{name}: it holds 'Unknown', which Keras does not ship" in said
        code = said.partition("where that is known: ")[2]
        scope = {"keras": keras, "tos": tos, "Unknown": Unknown}
        exec(code.replace("tos.transistor_ops", "report = tos.transistor_ops"), scope)
        assert scope["report"].counts["float32", "exp"].sum() == 8


def test_losses_of_ones_own_can_be_given_anew(tmp_path, capsys):
    for name in ("model.keras", "model.h5"):
        perceptron(mine, "sgd").save(tmp_path / name)
        assert [row["macs"] for row in run(capsys, tmp_path / name)] == [32]
        said = refuse(tmp_path / name, "--phase", "training")
        assert "--loss mse --optimizer adam" in said
        assert "'mine'" in said or "mine;" in said
        rows = run(capsys, tmp_path / name, "--phase", "training", "--loss", "mse", "--optimizer",
                   "adam")
        assert sum(row["macs"] for row in rows) == 64


@pytest.mark.parametrize(("name", "content", "said"), [
    ("none.keras", None, "there is no file or folder"),
    ("empty.keras", b"", "the file is empty"), ("empty.h5", b"", "the file is empty"),
    ("text.keras", b"hello there", "it begins with b'hello th'"),
    ("text.h5", b"hello there", "no model that Keras saved"),
    ("text.pt", b"\x80\x02ab", "no model that Keras saved"),
    ("picture.png", b"\x89PNG\r\n\x1a\n....", "no model that Keras saved"),
    ("short.keras", b"P", "no model that Keras saved"),
    ("half.keras", b"PK\x03\x04" + b"\0" * 40, "no model that Keras saved"),
    ("half.h5", b"\x89HDF\r\n\x1a\n", "cannot be read"),
])
def test_files_that_hold_no_model(tmp_path, name, content, said):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    message = refuse(path)
    assert said in message
    assert str(path) in message


def test_other_archives_and_folders(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "without Keras' config.json" in refuse(tmp_path / "other.keras")
    assert "holds no exported SavedModel" in refuse(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "saved_model.pb").write_bytes(b"nothing")
    assert "TensorFlow cannot read it" in refuse(tmp_path / "broken")
    model = perceptron()
    model.save_weights(tmp_path / "model.weights.h5")
    shutil.copy(tmp_path / "model.weights.h5", tmp_path / "weights.h5")
    for name in ("model.weights.h5", "weights.h5"):
        assert "it holds weights and no layers" in refuse(tmp_path / name)
    model.save(tmp_path / "model.keras")
    model.save(tmp_path / "model.h5")
    shutil.copy(tmp_path / "model.keras", tmp_path / "wrong.h5")
    shutil.copy(tmp_path / "model.h5", tmp_path / "wrong.keras")
    shutil.copy(tmp_path / "model.keras", tmp_path / "model.zip")
    assert "rename it to wrong.keras" in refuse(tmp_path / "wrong.h5")
    assert "rename it to wrong.h5" in refuse(tmp_path / "wrong.keras")
    assert "rename it to model.keras" in refuse(tmp_path / "model.zip")


def test_files_of_another_keras_and_of_code_say_what_to_do(tmp_path):
    path = tmp_path / "old.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.13.1"}))
        archive.writestr("config.json", json.dumps({
            "module": "keras.src.engine.functional", "class_name": "Functional", "config": {}}))
        archive.writestr("model.weights.h5", b"")
    assert "it was written by Keras 2.13.1" in refuse(path)
    for name in ("code.keras", "code.h5"):
        functional(layers.Lambda(lambda x: x * 2.0)).save(tmp_path / name)
        said = refuse(tmp_path / name)
        assert "it holds a Lambda layer, which is code of whoever wrote it" in said


def test_subclassed_models_count_once_they_are_known(tmp_path):
    @keras.saving.register_keras_serializable("mine")
    class Net(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = layers.Dense(4)

        def call(self, x):
            return self.dense(x)

    model = Net()
    model(np.zeros((1, 8)))
    model.save(tmp_path / "net.keras")
    counts = tos.count_ops(load_saved(tmp_path / "net.keras"), 3)
    assert counts["float32", "mac"].sum() == 3 * 32
