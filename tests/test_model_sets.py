"""Model sets: factors that vary on their own, models that have the factors of their rows."""

from collections import Counter

import keras
import pandas as pd
import pytest
from dask.distributed import Client, LocalCluster

import tostoolkit as tos
from tostoolkit import drawing, model_sets
from tostoolkit.model_builders import BUILDERS, build
from tostoolkit.training_counters import ACTIVATION_GRADIENTS
from tostoolkit.work_estimates import WORK

SETS = [(family, size) for family in BUILDERS for size in ("small", "large")]


class _Drawn(dict):
    def __missing__(self, key):
        return self.setdefault(key, getattr(tos, key[0])(key[1]))


@pytest.fixture(scope="module")
def drawn():
    return _Drawn()


@pytest.fixture(scope="module")
def client():
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, \
            Client(cluster) as client:
        yield client


def check_design(counted):
    report = tos.design_report(counted)
    assert report.met, str(report)
    limits = report.criteria.limit.groupby("phase").value_counts()
    assert limits.to_dict() == {("inference", 5.0): 10, ("training", 5.0): 10,
                                ("inference", 0.3): 2, ("training", 0.3): 2}
    pairs = report.pairs.pairs
    assert pairs["activation"] >= 12
    assert pairs.drop("activation").item() >= 8
    assert (report.criteria.xs("span of MACs", level="criterion").value > 100).all()


@pytest.mark.parametrize("family", BUILDERS)
def test_design_of_the_small_sets_by_their_counts(drawn, client, family):
    models = drawn[family, "small"]
    counted = tos.count_models(models, client)
    check_design(counted)
    some = models.iloc[::24]  # the workers' rows, each in its place
    own, found = tos.count_models(some), counted.loc[some.index]
    pd.testing.assert_frame_equal(own, found[own.columns])
    assert not found[found.columns.difference(own.columns)].to_numpy().any()


@pytest.mark.prove
@pytest.mark.parametrize("family", BUILDERS)
def test_design_of_the_large_sets_by_their_counts(drawn, client, family):
    models = drawn[family, "large"]
    check_design(tos.count_models(models, client))


@pytest.mark.parametrize(("family", "size"), SETS)
def test_sets_are_balanced_and_within_bounds(drawn, family, size):
    models = drawn[family, size]
    assert len(models) == 96
    assert models.configuration.is_unique
    assert models.attrs == {"family": family}
    cells = models.groupby(["phase", "dtype"]).size()
    assert set(cells.index) == {(p, d) for p in model_sets.PHASES for d in model_sets.DTYPES}
    assert cells.min() >= 18
    for factor, levels in model_sets.LEVELS[family][size].items():
        counts = models[factor].value_counts()
        assert set(counts.index) == set(levels), factor
        if factor not in ("activation", "normalization", "batch_norm"):  # baselines have twins
            assert counts.max() <= 2 * counts.min(), (factor, counts)
    assert models.activation.value_counts().min() >= 3
    low, high, _ = model_sets.BOUNDS[family][size]
    work = WORK[family](models)
    assert work.forward_macs.between(low, high).all()


def test_activations_are_those_that_training_has_rules_for():
    assert len(model_sets.ACTIVATIONS) >= 12
    assert set(model_sets.ACTIVATIONS) <= {*ACTIVATION_GRADIENTS, "softmax"}


@pytest.mark.parametrize("family", BUILDERS)
def test_estimates_of_work_are_near_the_counts(drawn, family):
    """In float32, which they are made for; MACs exactly, the classes to a third."""
    models = drawn[family, "small"]
    rows = models[(models.dtype == "float32") & models.activation.isin(["tanh", "gelu", "softmax"])]
    rows = rows.groupby("phase").head(3)
    counted = tos.add_indices(tos.count_models(rows))
    work = WORK[family](rows)
    assert set(rows.phase) == {"inference", "training"}
    assert (work.macs / counted.macs).between(0.99, 1.01).all()
    for name in ("linear", "nonlinear"):
        assert (work[name] / counted[f"tos_{name}"]).between(0.67, 1.5).all(), name


def test_plain_grid_of_depth_and_width_is_collinear():
    """What the design avoids: the same measure finds it where it is."""
    models = tos.feed_forward(
        activations=("tanh",), batch_norms=(False,), input_sizes=(256,), batch_sizes=(256,),
        phases=("inference",), dtypes=("float32",), n=None)
    counted = tos.add_indices(tos.count_models(models))
    assert len(models) == 24
    assert tos.design_correlation(counted) > 0.9
    assert not tos.design_report(counted).met


def test_sets_draw_the_same_rows_again_and_others_from_another_seed():
    first = tos.convolutional(n=12)
    pd.testing.assert_frame_equal(first, tos.convolutional(n=12))
    assert set(first.configuration) != set(tos.convolutional(n=12, seed=1).configuration)


def test_whole_grid_is_every_combination_once():
    models = tos.transformer(blocks=(1,), widths=(8, 12), heads=(2, 8), sequences=(4,),
                             activations=("relu", "gelu"), batch_sizes=(1,), vocabulary=9, n=None)
    assert len(models) == 3 * 3 * 2 * 2 * 2  # 8 heads do not divide a width of 12
    assert not models.duplicated().any()
    assert (models.vocabulary == 9).all()


def test_a_large_grid_is_sampled_without_repeats():
    levels = {"a": tuple(range(300)), "b": tuple(range(300)), "c": (True, False)}
    table = drawing.candidates(levels, drawing.np.random.default_rng(0), False, 5000)
    assert len(table) == len(table.drop_duplicates()) == 5000
    assert table.a.nunique() == 300
    assert set(table.c) == {True, False}


def test_feed_forward_model_has_the_factors_of_its_row():
    row = {"depth": 3, "width": 32, "activation": "gelu", "batch_norm": True, "input_size": 20}
    model = build(row)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["Dense", "BatchNormalization", "Activation"] * 3 + ["Dense"]
    assert model.input_shape == (None, 20)
    assert model.output_shape == (None, 10)
    dense = 20 * 32 + 32 + 2 * (32 * 32 + 32) + 32 * 10 + 10
    assert model.count_params() == dense + 3 * 4 * 32


def test_convolutional_model_has_the_factors_of_its_row():
    row = {"depth": 3, "filters": 8, "kernel": 3, "depthwise": True, "activation": "silu",
           "normalization": "layer", "pooling": "max", "image_size": 8}
    model = build(row, "convolutional")
    kinds = [type(layer).__name__ for layer in model.layers]
    block = ["LayerNormalization", "Activation", "MaxPooling2D"]
    assert kinds == ["Conv2D", *block, "DepthwiseConv2D", *block, "DepthwiseConv2D", *block[:2],
                     "GlobalAveragePooling2D", "Dense"]  # a side of 2 is pooled no further
    assert model.count_params() == 27 * 8 + 8 + 2 * (9 * 8 + 8) + 3 * 16 + 80 + 10


@pytest.mark.parametrize(("level", "kind"), [
    ("none", None), ("batch", "BatchNormalization"), ("group", "GroupNormalization")])
def test_convolutional_normalizations(level, kind):
    row = {"depth": 1, "filters": 16, "kernel": 1, "depthwise": False, "activation": "relu",
           "normalization": level, "pooling": "average", "image_size": 4}
    kinds = [type(layer).__name__ for layer in build(row, "convolutional").layers]
    assert kinds == ["Conv2D", *([kind] if kind else []), "Activation", "AveragePooling2D",
                     "GlobalAveragePooling2D", "Dense"]


def test_transformer_model_has_the_factors_of_its_row():
    row = {"blocks": 2, "width": 16, "heads": 4, "sequence": 6, "normalization": "rms",
           "activation": "tanh", "vocabulary": 50}
    model = build(row, "transformer")
    kinds = Counter(type(layer).__name__ for layer in model.layers)
    assert kinds["RMSNormalization"] == 2 * 2 + 1
    assert kinds["MultiHeadAttention"] == 2
    assert model.input_shape == (None, 6)
    assert {layer.num_heads for layer in model.layers if hasattr(layer, "num_heads")} == {4}
    counts = tos.count_ops(model, 3)
    assert counts["float32", "tanh"].sum() == 2 * 3 * 6 * 4 * 16


def test_every_row_of_every_set_builds_under_its_dtype(drawn):
    for family, size in SETS:
        for _, row in drawn[family, size].iloc[::8].iterrows():
            with tos.abstract():
                model = build(row, family)
            assert isinstance(model, keras.Model)
            assert model.layers[-1].dtype_policy.name == row["dtype"]


def test_counts_are_of_the_phase_and_the_dtype_of_the_row():
    models = tos.feed_forward(depths=(1,), widths=(8,), activations=("relu",), batch_norms=(False,),
                              input_sizes=(4,), batch_sizes=(2,), n=None)
    counted = tos.count_models(models).set_index(["phase", "dtype"])
    hidden, out = 2 * 4 * 8, 2 * 8 * 10
    macs = {"inference": hidden + out, "training": 2 * hidden + 3 * out}  # no input gradient
    for (phase, dtype), row in counted.iterrows():
        own, other = ("float32", "bfloat16")[:: 1 if dtype == "float32" else -1]
        assert row[f"mac {own}"] == row["mac dense"] == macs[phase]
        assert row[f"mac {other}"] == 0
        assert row["parameters"] == 4 * 8 + 8 + 80 + 10
        assert (row["layers"], row["elements"]) == (3, 2 * (8 + 8 + 10))
    assert counted.loc[("training", "float32"), "bytes"] > 2 * counted.loc[
        ("inference", "float32"), "bytes"]


def test_rows_of_several_families_are_counted_together():
    sets = [tos.feed_forward(n=2, dtypes=("float32",)), tos.transformer(n=2, dtypes=("float32",))]
    rows = pd.concat([s.assign(family=s.attrs["family"]) for s in sets], ignore_index=True)
    counted = tos.count_models(rows)
    for models in sets:
        own = tos.count_models(models)
        found = counted[counted.configuration.isin(own.configuration)]
        for column in ("bytes", "mac float32", "layers"):
            assert found[column].tolist() == own[column].tolist()


def test_runs_of_before_there_were_phases_are_counted():
    rows = pd.DataFrame([{"configuration": "a", "depth": 1, "width": 8, "activation": "relu",
                          "batch_norm": False, "input_size": 4, "batch_size": 2,
                          "family": "feed_forward"}] * 2)
    assert tos.count_models(rows)["mac float32"].tolist() == [2 * (32 + 80)] * 2


@pytest.mark.parametrize(("kwargs", "word"), [
    ({"depths": ()}, "depths: no value"), ({"widths": (0,)}, "widths: 0"),
    ({"input_sizes": ("16",)}, "input_sizes: '16'"),
    ({"batch_sizes": (True,)}, "batch_sizes: True"),
    ({"n": 0}, "n: 0"), ({"size": "huge"}, "size: 'huge' is unknown; use one of small, large"),
    ({"phases": ("test",)}, "phases: 'test'"), ({"dtypes": ("float8",)}, "dtypes: 'float8'"),
    ({"phases": ()}, "phases: no value"),
])
def test_bad_factor_is_named(kwargs, word):
    with pytest.raises(ValueError, match=word):
        tos.feed_forward(**kwargs)


def test_heads_that_divide_no_width_are_named():
    with pytest.raises(ValueError, match=r"heads: none of \(3,\) divides"):
        tos.transformer(widths=(8,), heads=(3,))


def test_unknown_family_is_named():
    with pytest.raises(ValueError, match="family: 'resnets' is unknown; there are feed_forward"):
        build({}, "resnets")
    with pytest.raises(ValueError, match="which family"):
        tos.count_models(pd.DataFrame({"configuration": ["a"]}))
