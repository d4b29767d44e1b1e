"""Transformers against their published sizes and a closed form."""

import pytest
from traced import trace_ops

import tostoolkit as tos
from tostoolkit.models.builders import feed_forward_model


def test_gpt2_and_gpt3_have_their_published_parameters():
    with tos.abstract():
        small = tos.models.decoder(12, 768, 12, 50257, 1024)
        large = tos.models.decoder(96, 12288, 96, 50257, 2048)
    # GPT-2 ties the logits to the embedding, which saves one matrix: 124,439,808 parameters
    assert small.count_params() == 124_439_808 + 50257 * 768
    assert abs(large.count_params() / 175e9 - 1) < 0.005


def test_macs_by_closed_form():
    """12 width^2 a token and block, 2 context width for the scores and the mixture, the logits."""
    blocks, d, v, t = 3, 32, 100, 10
    with tos.abstract():
        model = tos.models.decoder(blocks, d, 4, v, t)
    macs = tos.count_ops(model, 2)["float32", "mac"].sum()
    assert macs == 2 * t * (blocks * (12 * d * d + 2 * t * d) + d * v)


@pytest.mark.parametrize("build", [tos.models.decoder, tos.models.encoder])
def test_rule_equals_trace_in_floating_point(build):
    """Index arithmetic differs: the positions are constants, which a layer's rule cannot know."""
    with tos.abstract():
        model = build(2, 16, 2, 50, 6)
    rule, trace = tos.count_ops(model, 2).sum(), trace_ops(model, 2).sum()
    rule, trace = (c[c > 0].loc[["float32"]].to_dict() for c in (rule, trace))
    assert rule == trace


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="heads: a width of 10 does not divide into 4"):
        tos.models.encoder(1, 10, 4, 10, 10)


def test_the_encoder_of_before_is_the_default():
    with tos.abstract():
        plain = tos.models.encoder(1, 8, 2, 10, 4)
        given = tos.models.encoder(1, 8, 2, 10, 4, activation="gelu", normalization="layer")
    assert [type(layer) for layer in plain.layers] == [type(layer) for layer in given.layers]
    assert (tos.count_ops(plain).to_numpy() == tos.count_ops(given).to_numpy()).all()


@pytest.mark.parametrize(("normalization", "per_vector"), [("layer", 16), ("rms", 8), ("none", 0)])
def test_normalization_of_an_encoder(normalization, per_vector):
    with tos.abstract():
        model, bare = (tos.models.encoder(1, 8, 2, 10, 4, activation="tanh", normalization=kind)
                       for kind in (normalization, "none"))
    assert model.count_params() - bare.count_params() == 3 * per_vector
    counts = tos.count_ops(model, 2)["float32"].sum()
    assert counts["tanh"] == 2 * 4 * 4 * 8
    assert counts["mac"] == tos.count_ops(bare, 2)["float32"].sum()["mac"]


def test_unknown_normalization_is_named():
    with pytest.raises(ValueError, match="normalization: 'batch' is unknown; use one of none"):
        tos.models.encoder(1, 8, 2, 10, 4, normalization="batch")


@pytest.mark.parametrize(("written", "parameters"), [
    (False, 130), ("False", 130), (0, 130), (True, 162), ("True", 162)])
def test_a_factor_that_is_true_or_false_may_come_from_a_csv(written, parameters):
    row = {"depth": 1, "width": 8, "activation": "relu", "input_size": 4}
    assert feed_forward_model(row | {"batch_norm": written}).count_params() == parameters
    with pytest.raises(ValueError, match="batch_norm: nan is neither True nor False"):
        feed_forward_model(row | {"batch_norm": float("nan")})
