"""Bytes of a training step, by hand."""

import keras
import pytest

import tostoolkit as tos


def bytes_of(model, optimizer, batch=2):
    return tos.count_bytes(model, batch, phase="training", optimizer=optimizer)


def small():
    return keras.Sequential([
        keras.Input((8,)), keras.layers.Dense(4, name="hidden"),
        keras.layers.Activation("tanh", name="tanh"), keras.layers.Dense(3, name="out")])


def test_dense_network_by_hand():
    moved = bytes_of(small(), "sgd")
    x, h, y, w1, w2 = 4 * 2 * 8, 4 * 2 * 4, 4 * 2 * 3, 4 * (8 * 4 + 4), 4 * (4 * 3 + 3)
    assert moved.apply(tuple, axis=1).to_dict() == {
        ("hidden", "forward"): (w1, x, h),
        ("hidden", "backward"): (w1, x + h, w1),  # the data takes no gradient
        ("hidden", "update"): (w1, w1, w1),
        ("tanh", "forward"): (0, h, h),
        ("tanh", "backward"): (0, h + h, h),
        ("out", "forward"): (w2, h, y),
        ("out", "backward"): (w2, h + y, h + w2),
        ("out", "update"): (w2, w2, w2),
    }


@pytest.mark.parametrize(("optimizer", "slots"), [
    ("sgd", 0), (keras.optimizers.SGD(momentum=0.9), 1), ("adam", 2)])
def test_optimizers_read_and_write_their_slots(optimizer, slots):
    w = 4 * (4 * 3 + 3)
    update = bytes_of(small(), optimizer).loc[("out", "update")]
    assert update.tolist() == [w, w * (1 + slots), w * (1 + slots)]


def test_moving_averages_are_weights_that_take_no_gradient():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4),
                              keras.layers.BatchNormalization(name="norm")])
    moved, h = bytes_of(model, "sgd").loc["norm"], 4 * 2 * 4
    assert moved.loc["backward"].tolist() == [4 * 4 * 4, 2 * h, h + 4 * 2 * 4]
    assert moved.loc["update"].tolist() == [4 * 2 * 4] * 3


def test_dropout_is_a_view_in_inference_alone():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4),
                              keras.layers.Dropout(0.5, name="drop")])
    assert tos.count_bytes(model).loc["drop"].to_numpy().sum() == 0
    assert bytes_of(model, "sgd").loc[("drop", "forward")].tolist() == [0, 32, 32]


def test_an_embedding_touches_the_rows_looked_up():
    model = keras.Sequential([keras.Input((5,), dtype="int32"),
                              keras.layers.Embedding(1000, 4, name="look"),
                              keras.layers.Flatten(name="flat"), keras.layers.Dense(1)])
    moved, rows = bytes_of(model, "sgd"), 4 * 2 * 5 * 4
    assert moved.loc[("look", "update")].tolist() == [rows] * 3
    assert moved.loc[("look", "backward"), "written_bytes"] == rows
    assert ("flat", "backward") not in moved.index  # a view


def test_a_shared_layer_is_updated_once_and_a_frozen_one_not():
    shared, frozen = keras.layers.Dense(8, name="shared"), keras.layers.Dense(8, name="frozen")
    x = keras.Input((8,))
    model = keras.Model(x, frozen(shared(shared(x))))
    frozen.trainable = False
    moved = bytes_of(model, "sgd")
    assert moved.index[moved.index.get_level_values("part") == "update"].tolist() == [
        ("shared", "update")]
    assert moved.loc[("frozen", "backward"), "written_bytes"] == 4 * 2 * 8  # its input's alone


def test_bad_phase_and_missing_optimizer_are_named():
    with pytest.raises(ValueError, match="phase: 'test' is unknown"):
        tos.count_bytes(small(), phase="test")
    with pytest.raises(ValueError, match="optimizer='adam'"):
        tos.count_bytes(small(), phase="training")
