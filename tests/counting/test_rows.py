"""A counted model as one row, by hand."""

import keras
import pytest
from models import shared_and_nested, small_classifier

import tostoolkit as tos
from tostoolkit.counting.count import count
from tostoolkit.counting.rows import contraction, count_row

STEP = {"phase": "training", "loss": "mse", "optimizer": "adam"}


def test_a_step_of_a_dense_layer_by_hand():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    x, w, y = 4 * 2 * 8, 4 * (8 * 4 + 4), 4 * 2 * 4
    row = count_row(model, 2, **STEP)
    assert row["mac dense"] == row["mac float32"] == 2 * 2 * 8 * 4  # forward, and dW
    assert (row["parameters"], row["layers"], row["elements"]) == (36, 1, 8)
    forward, backward = w + x + y, w + (x + y) + w
    assert row["bytes"] == forward + backward + w + 3 * w + 3 * w  # two slots beside the gradient


@pytest.mark.parametrize("phase", [{}, STEP])
@pytest.mark.parametrize("build", [small_classifier, shared_and_nested])
def test_a_row_adds_up_to_the_tables(build, phase):
    model = build()
    if phase and build is shared_and_nested:
        model = keras.Model(model.inputs, model.outputs[0])
    row, counted = count_row(model, 3, **phase), count(model, 3, **phase)
    assert row["bytes"] == counted.bytes.to_numpy().sum()
    for (dtype, op), n in counted.counts.sum().items():
        assert row[f"{op} {dtype}"] == n
    assert sum(n for name, n in row.items() if name.startswith("mac ") and name != "mac float32"
               ) == row["mac float32"]


def test_contractions_are_told_apart():
    x = keras.Input((8, 8, 3))
    y = keras.layers.Conv2D(4, (3, 2))(x)
    y = keras.layers.DepthwiseConv2D(3)(y)
    y = keras.layers.Dense(2)(keras.layers.Flatten()(y))
    assert [contraction(call) for call in tos.layer_calls(keras.Model(x, y))] == [
        "conv3x2", "depthwise", "other", "dense"]
