"""Model sets: factors that vary on their own, models that have the factors of their rows."""

from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from dask.distributed import Client, LocalCluster

import tostoolkit as tos
from tostoolkit.__main__ import main
from tostoolkit.costs.predictors import predictor_values
from tostoolkit.counting.rules.activations import ACTIVATIONS
from tostoolkit.models import design, model_sets, set_files, set_levels
from tostoolkit.models import optimal_design as drawing
from tostoolkit.models.builders import BUILDERS, build
from tostoolkit.models.set_files import default_path, read_model_set, write_model_set

DERIVED = Path(__file__).parents[2] / "data" / "derived"
SETS = [(family, size) for family in BUILDERS for size in ("small", "large")]


@pytest.fixture(scope="module")
def sets():
    return {(family, size): getattr(tos, family)(size) for family, size in SETS}


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
def test_design_of_the_small_sets_by_their_counts(sets, family):
    """By the counts that notebook 02 wrote, of which some are counted again here."""
    counted = pd.read_csv(DERIVED / f"02_{family}.csv").drop_duplicates("configuration")
    models = sets[family, "small"]
    assert set(counted.configuration) == set(models.configuration)
    columns = counted.columns[counted.columns.get_loc("parameters"):]
    check_design(counted[[*models, "family", *columns]])
    some = models.groupby("phase").head(2)
    found = counted.set_index("configuration").loc[some.configuration]
    own = tos.count_models(some).set_index("configuration")
    pd.testing.assert_frame_equal(own[own.columns.intersection(columns)], found[
        own.columns.intersection(columns)], check_exact=True, check_index_type=False)
    assert not found[columns.difference(own.columns)].to_numpy().any()


@pytest.mark.prove
@pytest.mark.parametrize(("family", "size"), SETS)
def test_design_of_every_set_by_all_its_counts(sets, client, family, size):
    check_design(tos.count_models(sets[family, size], client))


@pytest.mark.prove
@pytest.mark.parametrize("family", BUILDERS)
def test_large_sets_are_what_the_command_draws(sets, family, tmp_path):
    main(["draw", family, "--size", "large", "--out", str(tmp_path / "set.csv")])
    pd.testing.assert_frame_equal(read_model_set(tmp_path / "set.csv"), sets[family, "large"],
                                  check_exact=True)


@pytest.mark.parametrize(("family", "size"), SETS)
def test_sets_are_balanced(sets, family, size):
    models = sets[family, size]
    assert len(models) == 96
    assert models.configuration.is_unique
    assert models.attrs == {"family": family}
    cells = models.groupby(["phase", "dtype"]).size()
    assert set(cells.index) == {(p, d) for p in set_levels.PHASES for d in set_levels.DTYPES}
    assert cells.min() >= 18
    for factor, levels in set_levels.LEVELS[family][size].items():
        counts = models[factor].value_counts()
        assert set(counts.index) == set(levels), factor
        if factor not in ("activation", "normalization", "batch_norm"):  # baselines have twins
            assert counts.max() <= 2 * counts.min(), (factor, counts)
    assert models.activation.value_counts().min() >= 3
    (other,) = design.PAIR_BASELINES.keys() & set(models) - {"activation"}
    assert design.count_pairs(models, "activation", "relu") >= 12
    assert design.count_pairs(models, other, design.PAIR_BASELINES[other]) >= 8


@pytest.mark.parametrize(("family", "size"), SETS)
def test_forward_passes_are_within_bounds(sets, family, size):
    low, high, _ = set_levels.BOUNDS[family][size]
    rows = sets[family, size].assign(phase="inference", dtype="float32")
    rows = rows.iloc[::1 if family == "feed_forward" else 8]
    macs = tos.count_models(rows)["mac float32"]
    assert macs.between(low, high).all()


def test_activations_are_those_that_training_has_rules_for():
    assert len(set_levels.ACTIVATIONS) >= 12
    assert set(set_levels.ACTIVATIONS) <= {
        *(name for name, a in ACTIVATIONS.items() if a.gradient is not None), "softmax"}


# Drawing

def test_default_sets_are_read_and_any_other_is_drawn(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("drawn")

    monkeypatch.setattr(model_sets, "draw", fail)
    for family in BUILDERS:
        make = getattr(tos, family)
        assert make().equals(read_model_set(default_path(family, "small")))
        assert make("large", 96, 0, list(set_levels.PHASES)).attrs == {"family": family}
        for other in ({"n": 95}, {"seed": 1}, {"phases": ("training",)}, {"dtypes": ("float32",)},
                      {"activations": ("relu", "tanh")}):
            with pytest.raises(AssertionError, match="drawn"):
                make(**other)


def test_a_draw_counts_what_it_looks_at_and_keeps_to_bounds(monkeypatch):
    counted = []
    count = model_sets._count
    monkeypatch.setattr(model_sets, "_count", lambda tasks, builders: (
        counted.extend(tasks), count(tasks, builders))[1])
    models = tos.feed_forward(n=24, seed=3)
    assert len(models) == 24
    assert len(models) < len(counted) < 400  # of a grid of 20,000
    low, high, most = set_levels.BOUNDS["feed_forward"]["small"]
    rows = tos.price(tos.count_models(models.assign(phase="inference", dtype="float32")))
    assert rows.macs.between(low, high).all()
    assert predictor_values(rows, "ops_elementwise").max() <= most
    assert design.count_pairs(models, "activation", "relu") >= 24 // 6


def test_exchanges_part_macs_and_nonlinear_work():
    """Balance alone leaves them tied where heads grow with the width; exchanges part them."""
    def work(row):
        nonlinear = row["a"] * (row["b"] if row["c"] else 1.0)
        return row["a"] ** 2.0, row["a"] ** 2.0, nonlinear, 0.0

    levels = {"a": tuple(2**i for i in range(10)), "b": (1, 4, 16, 1024), "c": (False, True),
              "phase": ("inference",)}
    grid = drawing.candidates(levels, np.random.default_rng(0), True)
    found = []
    for rounds in (0, 96):
        rows = drawing.draw(grid, work, 24, np.random.default_rng(1), {}, rounds=rounds)
        assert len(rows) == len(rows.drop_duplicates()) == 24
        load = np.array([work(row) for row in rows.to_dict("records")])
        found.append(abs(design.correlations(load[:, 0], load[:, 2])[0]))
    assert found[1] <= design.MAX_CORRELATION / 2 + 0.05 < found[0] - 0.1


@pytest.mark.parametrize("n", [1, 12, 18, 22, 23, 24, 30])
def test_a_grid_hardly_larger_than_the_set_gives_as_many_rows(n):
    models = tos.feed_forward(
        n=n, depths=(1,), widths=(8, 16), activations=("relu", "tanh", "gelu"), input_sizes=(4,),
        batch_norms=(False, True), batch_sizes=(2,), dtypes=("float32",))
    assert len(models) == len(models.drop_duplicates()) == min(n, 24)


def test_models_without_a_family_leave_a_file_as_it_was(tmp_path):
    file = tmp_path / "set.csv"
    file.write_text("mine")
    with pytest.raises(ValueError, match="which family"):
        write_model_set(pd.DataFrame({"configuration": ["a"]}), file, "x", force=True)
    assert file.read_text() == "mine"


def test_bounds_that_too_few_rows_keep_are_an_error():
    grid = drawing.candidates({"a": tuple(range(50)), "phase": ("inference",)},
                              np.random.default_rng(0), True)
    with pytest.raises(ValueError, match="n: 12 configurations cannot be drawn; 7 of the combin"):
        drawing.draw(grid, lambda row: (1, 1, 1, 1), 12, np.random.default_rng(0), {},
                     lambda row: row["a"] < 7)


# Files

def test_a_set_comes_back_from_its_file_as_it_was(tmp_path):
    for models in (tos.convolutional(n=8), tos.transformer(n=2)):
        write_model_set(models, tmp_path / "set.csv", "by hand", force=True)
        again = read_model_set(tmp_path / "set.csv")
        pd.testing.assert_frame_equal(again, models, check_exact=True)
        assert again.attrs == models.attrs
    with pytest.raises(FileExistsError):
        write_model_set(models, tmp_path / "set.csv", "again")
    assert read_model_set(tmp_path / "set.csv").equals(again)


@pytest.mark.parametrize(("damage", "word"), [
    (lambda text: text.replace("# origin", "origin"), "does not begin with"),
    (lambda text: text[: len(text) // 2], "the file is damaged"),
    (lambda text: text.replace(",relu,", ",tanh,", 1), "not what its factors say"),
    (lambda text: "\n".join(text.splitlines()[:-1]) + "\n", "95 configurations instead of 96"),
    (lambda text: text.replace("=selu", "=swish").replace(",selu,", ",swish,"),
     "activation is 'swish'"),
    (lambda text: "\n".join(text.splitlines()[:3]) + "\n", "no configurations"),
    (lambda text: text.replace("# family: feed_forward", "# family: transformer"), "no set of"),
])
def test_a_damaged_default_set_is_an_error(tmp_path, monkeypatch, damage, word):
    whole = default_path("feed_forward", "small").read_text()
    file = tmp_path / "feed_forward_small.csv"
    file.write_text(damage(whole))
    monkeypatch.setattr(set_files, "default_path", lambda family, size: file)
    with pytest.raises(ValueError, match=rf"feed_forward_small\.csv: the file is damaged.*{word}|"
                       rf"feed_forward_small\.csv: {word}"):
        tos.feed_forward()
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"no model set .*feed_forward_small\.csv"):
        tos.feed_forward()


def test_the_command_draws_into_a_file_and_over_none(tmp_path, capsys):
    out = str(tmp_path / "set.csv")
    main(["draw", "feed_forward", "--n", "6", "--dtype", "float32", "--seed", "2", "--out", out])
    assert "6 configurations" in capsys.readouterr().out
    drawn = tos.feed_forward(n=6, seed=2, dtypes=("float32",))
    pd.testing.assert_frame_equal(read_model_set(out), drawn, check_exact=True)
    with pytest.raises(SystemExit, match="is there; give another file, or --force"):
        main(["draw", "feed_forward", "--n", "5", "--out", out])
    assert len(read_model_set(out)) == 6


def test_plain_grid_of_depth_and_width_is_collinear():
    """What the design avoids: the same measure finds it where it is."""
    models = tos.feed_forward(
        activations=("tanh",), batch_norms=(False,), input_sizes=(256,), batch_sizes=(256,),
        phases=("inference",), dtypes=("float32",), n=None)
    counted = tos.price(tos.count_models(models))
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
    table = drawing.candidates(levels, np.random.default_rng(0), False, 5000)
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


def test_every_row_of_every_set_builds_under_its_dtype(sets):
    for family, size in SETS:
        for _, row in sets[family, size].iloc[::8].iterrows():
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
