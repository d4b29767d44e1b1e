"""Model sets: balanced, and not collinear by design."""

import keras
import pandas as pd
import pytest

import tostoolkit as tos
from tostoolkit import model_sets


def counted(models):
    return tos.add_indices(tos.count_models(models))


def test_feed_forward_set_is_balanced_and_not_collinear():
    models = tos.feed_forward()
    assert len(models) == 72
    assert models.configuration.is_unique
    for factor in ("depth", "width", "activation", "batch_norm", "input_size"):
        counts = models[factor].value_counts()
        assert counts.max() - counts.min() <= 2, factor
    assert abs(tos.design_correlation(counted(models))) < 0.5


def test_plain_grid_of_depth_and_width_is_collinear():
    """What the design avoids: the same measure finds it where it is."""
    models = tos.feed_forward(activations=("tanh",), batch_norms=(False,), input_sizes=(256,),
                              n=None)
    assert tos.design_correlation(counted(models)) > 0.9


def test_feed_forward_model_has_the_factors_of_its_row():
    row = {"depth": 3, "width": 32, "activation": "gelu", "batch_norm": True, "input_size": 20}
    model = model_sets.build(row)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["Dense", "BatchNormalization", "Activation"] * 3 + ["Dense"]
    assert model.input_shape == (None, 20)
    assert model.output_shape == (None, 10)
    dense = 20 * 32 + 32 + 2 * (32 * 32 + 32) + 32 * 10 + 10
    assert model.count_params() == dense + 3 * 4 * 32


def test_convolutional_model_has_the_factors_of_its_row():
    row = {"depth": 2, "filters": 8, "kernel": 3, "depthwise": True, "activation": "silu",
           "batch_norm": False, "image_size": 16}
    model = model_sets.build(row, "convolutional")
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["Conv2D", "Activation", "DepthwiseConv2D", "Activation",
                     "GlobalAveragePooling2D", "Dense"]
    assert model.count_params() == 27 * 8 + 8 + 9 * 8 + 8 + 80 + 10


def test_sets_draw_the_same_rows_again_and_build_every_row():
    models = tos.convolutional(n=12)
    pd.testing.assert_frame_equal(models, tos.convolutional(n=12))
    with tos.abstract():
        for _, row in models.iterrows():
            assert isinstance(model_sets.build(row, models.attrs["family"]), keras.Model)


@pytest.mark.parametrize(("kwargs", "word"), [
    ({"depths": ()}, "depths: no value"), ({"widths": (0,)}, "widths: 0"),
    ({"input_sizes": ("16",)}, "input_sizes: '16'"), ({"batch_size": True}, "batch_size: True"),
    ({"n": 0}, "n: 0"),
])
def test_bad_factor_is_named(kwargs, word):
    with pytest.raises(ValueError, match=word):
        tos.feed_forward(**kwargs)


def test_unknown_family_is_named():
    with pytest.raises(ValueError, match="family: 'resnets' is unknown; there are feed_forward"):
        model_sets.build({}, "resnets")


def test_correlation_needs_rows():
    with pytest.raises(ValueError, match="0 have non-linear work"):
        tos.design_correlation(pd.DataFrame({"macs": [1], "tos_nonlinear": [0]}))
