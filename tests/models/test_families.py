"""Families: models that have the factors of their rows; a family from outside works everywhere."""

from collections import Counter

import keras
import pandas as pd
import pytest

import tostoolkit as tos
from tostoolkit.counting.rules.activations import ACTIVATIONS
from tostoolkit.measuring.steps import step
from tostoolkit.models import families
from tostoolkit.models.families import FAMILIES, Bounds, Family, Pairs, build


def recurrent(row):
    return keras.Sequential([
        keras.Input((int(row["sequence"]), 4)),
        keras.layers.SimpleRNN(int(row["units"]), activation=row["activation"]),
        keras.layers.Dense(1)])


RECURRENT = Family(
    recurrent,
    {"small": {"sequence": (2, 4, 8), "units": (2, 4, 8, 16),
               "activation": ("relu", "tanh", "exponential"), "batch_size": (1, 2)}},
    bounds={"small": Bounds(0, 4000, 1e4)}, pairs={"activation": Pairs("relu", one_in=4)},
    words={"activation": ("relu", "tanh", "exponential")})
WITH_MINE = FAMILIES | {"recurrent": RECURRENT}


def macs_of(row):
    """Sequence steps of input and state into units, and one output; the closed form of the RNN."""
    return row.batch_size * (row.sequence * row.units * (4 + row.units) + row.units)


def test_a_family_of_ones_own_is_one_record(tmp_path):
    models = tos.models.model_set("recurrent", n=24, phases=("inference",), families=WITH_MINE)
    assert models.columns.tolist() == ["configuration", "sequence", "units", "activation",
                                       "batch_size", "phase", "dtype", "family"]
    assert len(models) == 24
    assert set(models.family) == {"recurrent"}
    assert (models.apply(macs_of, axis=1) <= 4000).all()
    assert tos.models.factors_of(models, WITH_MINE) == models.columns[1:-1].tolist()
    counted = tos.count_models(models, families=WITH_MINE)
    macs = counted.filter(regex="^mac (b?float)").sum(axis=1)
    assert macs.tolist() == models.apply(macs_of, axis=1).tolist()
    report = tos.design_report(counted, families=WITH_MINE)
    assert report.pairs.baseline.to_dict() == {"activation": "relu"}
    assert report.pairs.pairs.item() >= 24 // 4
    assert step(models.iloc[0], families=WITH_MINE)().shape == (models.batch_size[0], 1)
    tos.models.write_model_set(models, tmp_path / "set.csv", "a test")
    pd.testing.assert_frame_equal(tos.models.read_model_set(tmp_path / "set.csv"), models)


@pytest.mark.parametrize(("kwargs", "word"), [
    ({"activation": ("gelu",)}, "activation: 'gelu' is unknown; use relu, tanh, exponential"),
    ({"units": (2.5,)}, "units: 2.5 is not an integer"), ({"size": "large"}, "use one of small"),
])
def test_levels_of_ones_own_are_checked_by_the_record(kwargs, word):
    with pytest.raises(ValueError, match=word):
        tos.models.model_set("recurrent", families=WITH_MINE, **kwargs)


def test_what_a_family_does_not_know_is_named():
    with pytest.raises(TypeError, match="recurrent takes no depths; it takes sequence, units, act"):
        tos.models.model_set("recurrent", depths=(1,), families=WITH_MINE)
    with pytest.raises(ValueError, match="family: 'recurrent' is unknown; there are feed_forward"):
        tos.models.model_set("recurrent")
    with pytest.raises(ValueError, match="'bare' has no levels to draw from"):
        tos.models.model_set("bare", families={"bare": Family(recurrent)})


def test_a_record_of_ones_own_under_a_name_of_ours_is_drawn_and_not_read():
    """The file of the default set is of our family, whatever another one is called."""
    other = Family(recurrent, {"small": {"sequence": (2,), "units": (2,), "activation": ("tanh",),
                                         "batch_size": (1,)}})
    drawn = tos.models.model_set("feed_forward", families={"feed_forward": other})
    assert len(drawn) == 2 * 2  # phases, dtypes
    assert "units" in drawn


def test_activations_are_those_that_training_has_rules_for():
    assert len(families.ACTIVATIONS) >= 12
    assert set(families.ACTIVATIONS) <= {
        name for name, a in ACTIVATIONS.items() if a.gradient is not None}


def test_feed_forward_model_has_the_factors_of_its_row():
    row = {"family": "feed_forward", "depth": 3, "width": 32, "activation": "gelu",
           "batch_norm": True, "input_size": 20}
    model = build(row)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["Dense", "BatchNormalization", "Activation"] * 3 + ["Dense"]
    assert model.input_shape == (None, 20)
    assert model.output_shape == (None, 10)
    dense = 20 * 32 + 32 + 2 * (32 * 32 + 32) + 32 * 10 + 10
    assert model.count_params() == dense + 3 * 4 * 32


def test_convolutional_model_has_the_factors_of_its_row():
    row = {"family": "convolutional", "depth": 3, "filters": 8, "kernel": 3, "depthwise": True,
           "activation": "silu", "normalization": "layer", "pooling": "max", "image_size": 8}
    model = build(row)
    kinds = [type(layer).__name__ for layer in model.layers]
    block = ["LayerNormalization", "Activation", "MaxPooling2D"]
    assert kinds == ["Conv2D", *block, "DepthwiseConv2D", *block, "DepthwiseConv2D", *block[:2],
                     "GlobalAveragePooling2D", "Dense"]  # a side of 2 is pooled no further
    assert model.count_params() == 27 * 8 + 8 + 2 * (9 * 8 + 8) + 3 * 16 + 80 + 10


@pytest.mark.parametrize(("level", "kind"), [
    ("none", None), ("batch", "BatchNormalization"), ("group", "GroupNormalization")])
def test_convolutional_normalizations(level, kind):
    row = {"family": "convolutional", "depth": 1, "filters": 16, "kernel": 1, "depthwise": False,
           "activation": "relu", "normalization": level, "pooling": "average", "image_size": 4}
    kinds = [type(layer).__name__ for layer in build(row).layers]
    assert kinds == ["Conv2D", *([kind] if kind else []), "Activation", "AveragePooling2D",
                     "GlobalAveragePooling2D", "Dense"]


def test_transformer_model_has_the_factors_of_its_row():
    row = {"family": "transformer", "blocks": 2, "width": 16, "heads": 4, "sequence": 6,
           "normalization": "rms", "activation": "tanh", "vocabulary": 50}
    model = build(row)
    kinds = Counter(type(layer).__name__ for layer in model.layers)
    assert kinds["RMSNormalization"] == 2 * 2 + 1
    assert kinds["MultiHeadAttention"] == 2
    assert model.input_shape == (None, 6)
    assert {layer.num_heads for layer in model.layers if hasattr(layer, "num_heads")} == {4}
    counts = tos.count_ops(model, 3)
    assert counts["float32", "tanh"].sum() == 2 * 3 * 6 * 4 * 16


def test_unknown_family_is_named():
    with pytest.raises(ValueError, match="family: 'resnets' is unknown; there are feed_forward"):
        build({"family": "resnets"})
    with pytest.raises(ValueError, match="row: it does not say which family"):
        build({"depth": 1})
    with pytest.raises(ValueError, match="rows: they do not say which family"):
        tos.count_models(pd.DataFrame({"configuration": ["a"]}))
