"""Model sets: factors that vary on their own, by closed forms of their work; levels, errors."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from closed_forms import MACS, elementary_tos
from dask.distributed import Client, LocalCluster
from scipy.stats import pearsonr, spearmanr

import tostoolkit as tos
from tostoolkit.__main__ import main
from tostoolkit.models import model_sets
from tostoolkit.models.families import DTYPES, FAMILIES, PHASES, build
from tostoolkit.models.set_files import default_path, read_model_set

DERIVED = Path(__file__).parents[2] / "data" / "derived"
SETS = [(family, size) for family in FAMILIES for size in ("small", "large")]
CORRELATION = ("inference", "correlation of MACs and elementary TOs")


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


@pytest.mark.parametrize("size", ["small", "large"])
def test_macs_and_elementary_work_of_a_set_do_not_correlate(sets, size):
    """By closed forms of both and SciPy's coefficients: nothing here is what the draw looked at."""
    rows = sets["feed_forward", size]
    rows = rows[rows.phase == "inference"]
    macs = np.array([MACS["feed_forward"](row) for row in rows.itertuples()], float)
    work = np.array([elementary_tos(row) for row in rows.itertuples()])
    does = work > 0
    assert does.sum() > 30
    assert abs(pearsonr(np.log(macs[does]), np.log(work[does])).statistic) <= 0.3
    assert abs(spearmanr(macs[does], work[does]).statistic) <= 0.3
    assert macs.max() / macs.min() > 100


def test_the_report_says_what_the_closed_forms_say(sets):
    rows = sets["feed_forward", "small"]
    rows = rows[rows.phase == "inference"]
    counted = pd.read_csv(DERIVED / "02_feed_forward.csv").drop_duplicates("configuration")
    counted = counted[counted.configuration.isin(rows.configuration)]
    macs = np.array([MACS["feed_forward"](row) for row in counted.itertuples()], float)
    work = np.array([elementary_tos(row) for row in counted.itertuples()])
    value = tos.design_report(counted).criteria.value
    assert value["inference", "span of MACs", "ratio"] == pytest.approx(macs.max() / macs.min())
    logs = np.log(macs[work > 0]), np.log(work[work > 0])
    assert value[(*CORRELATION, "logs")] == pytest.approx(pearsonr(*logs).statistic)
    assert value[(*CORRELATION, "ranks")] == pytest.approx(spearmanr(*logs).statistic)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_committed_counts_of_the_small_sets_meet_their_design(sets, family):
    """By the counts that notebook 02 wrote, of which some are counted again here."""
    counted = pd.read_csv(DERIVED / f"02_{family}.csv").drop_duplicates("configuration")
    models = sets[family, "small"]
    assert set(counted.configuration) == set(models.configuration)
    columns = counted.columns[counted.columns.get_loc("parameters"):]
    check_design(counted[[*models, *columns]])
    some = models.groupby("phase").head(2)
    committed = counted.set_index("configuration").loc[some.configuration]
    now = tos.count_models(some).set_index("configuration")
    both = now.columns.intersection(columns)
    pd.testing.assert_frame_equal(now[both], committed[both], check_exact=True,
                                  check_index_type=False)
    assert not committed[columns.difference(now.columns)].to_numpy().any()


@pytest.mark.prove
@pytest.mark.parametrize(("family", "size"), SETS)
def test_design_of_every_set_by_all_its_counts(sets, client, family, size):
    check_design(tos.count_models(sets[family, size], client))


@pytest.mark.prove
@pytest.mark.parametrize("family", FAMILIES)
def test_large_sets_are_what_the_command_draws(sets, family, tmp_path):
    main(["draw", family, "--size", "large", "--out", str(tmp_path / "set.csv")])
    pd.testing.assert_frame_equal(read_model_set(tmp_path / "set.csv"), sets[family, "large"],
                                  check_exact=True)


@pytest.mark.parametrize(("family", "size"), SETS)
def test_sets_are_balanced(sets, family, size):
    models, record = sets[family, size], FAMILIES[family]
    assert len(models) == 96
    assert models.configuration.is_unique
    assert set(models.family) == {family}
    cells = models.groupby(["phase", "dtype"]).size()
    assert set(cells.index) == {(p, d) for p in PHASES for d in DTYPES}
    assert cells.min() >= 18
    for factor, levels in record.levels[size].items():
        counts = models[factor].value_counts()
        assert set(counts.index) == set(levels), factor
        if factor not in record.pairs:  # baselines have twins
            assert counts.max() <= 2 * counts.min(), (factor, counts)
    assert models.activation.value_counts().min() >= 3


@pytest.mark.parametrize(("family", "size"), SETS)
@pytest.mark.parametrize(("kind", "least"), [("activation", 12), ("other", 8)])
def test_twins_are_found_by_a_merge_on_all_other_factors(sets, family, size, kind, least):
    models, pairs = sets[family, size], FAMILIES[family].pairs
    factor = "activation" if kind == "activation" else next(f for f in pairs if f != "activation")
    others = [c for c in models if c not in ("configuration", factor)]
    level = models[factor] == {"activation": "relu", "batch_norm": False,
                               "normalization": "none"}[factor]
    assert len(models[~level].merge(models[level], on=others)) >= least


@pytest.mark.parametrize(("family", "size"), SETS)
def test_forward_passes_are_within_bounds_by_closed_form(sets, family, size):
    bounds = FAMILIES[family].bounds[size]
    macs = pd.Series([MACS[family](row) for row in sets[family, size].itertuples()])
    assert macs.between(bounds.least_macs, bounds.most_macs).all()


def test_default_sets_are_read_and_any_other_is_drawn(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("drawn")

    monkeypatch.setattr(model_sets, "draw", fail)
    for family in FAMILIES:
        make = getattr(tos, family)
        assert make().equals(read_model_set(default_path(family, "small")))
        assert set(make("large", 96, 0, list(PHASES)).family) == {family}
        for other in ({"n": 95}, {"seed": 1}, {"phases": ("training",)}, {"dtypes": ("float32",)},
                      {"activations": ("relu", "tanh")}):
            with pytest.raises(AssertionError, match="drawn"):
                make(**other)


def test_a_draw_counts_what_it_looks_at_and_keeps_to_bounds(monkeypatch):
    counted = []
    count = model_sets.count_models
    monkeypatch.setattr(model_sets, "count_models", lambda rows, **kwargs: (
        counted.append(rows), count(rows, **kwargs))[1])
    models = tos.feed_forward(n=24, seed=3)
    assert len(models) == 24
    assert len(models) < len(counted) < 400  # of a grid of 20,000
    bounds = FAMILIES["feed_forward"].bounds["small"]
    macs = pd.Series([MACS["feed_forward"](row) for row in models.itertuples()])
    assert macs.between(bounds.least_macs, bounds.most_macs).all()
    outputs = models.batch_size * models.depth * models.width  # each takes one op or more
    assert outputs.max() <= bounds.most_elementwise
    others = ["depth", "width", "batch_norm", "input_size", "batch_size", "phase", "dtype"]
    level = models.activation == "relu"
    twins = models[~level].merge(models[level], on=others)
    assert len(twins) >= 24 // 6


@pytest.mark.parametrize("n", [1, 12, 18, 22, 23, 24, 30])
def test_a_grid_hardly_larger_than_the_set_gives_as_many_rows(n):
    models = tos.feed_forward(
        n=n, depths=(1,), widths=(8, 16), activations=("relu", "tanh", "gelu"), input_sizes=(4,),
        batch_norms=(False, True), batch_sizes=(2,), dtypes=("float32",))
    assert len(models) == len(models.drop_duplicates()) == min(n, 24)


def test_plain_grid_of_depth_and_width_is_collinear():
    """What the design avoids: the same measure finds it where it is."""
    models = tos.feed_forward(
        activations=("tanh",), batch_norms=(False,), input_sizes=(256,), batch_sizes=(256,),
        phases=("inference",), dtypes=("float32",), n=None)
    report = tos.design_report(tos.count_models(models))
    assert len(models) == 24
    # MACs per sample: 256 w + (d - 1) w^2 + 10 w; tanh: d w
    macs = np.log(256 * models.width + (models.depth - 1) * models.width**2 + 10 * models.width)
    expected = np.corrcoef(macs, np.log(models.depth * models.width))[0, 1]
    assert expected > 0.9
    assert report.criteria.value[(*CORRELATION, "logs")] == pytest.approx(expected)
    assert not report.met


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


def test_every_row_of_every_set_builds_under_its_dtype(sets):
    for family, size in SETS:
        for _, row in sets[family, size].iloc[::8].iterrows():
            with tos.abstract():
                model = build(row)
            assert isinstance(model, keras.Model)
            assert model.layers[-1].dtype_policy.name == row["dtype"]


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


SAVED = {"depths": (1, 2), "widths": (8,), "activations": ("tanh",), "batch_norms": (False,),
         "input_sizes": (4,), "batch_sizes": (2,), "phases": ("inference",),
         "dtypes": ("float32",), "n": None}


@pytest.fixture
def built(monkeypatch):
    """Have a sweep build the model of each row and measure nothing of it; return the models."""
    models = []

    def no_step(row, *rest):
        models.append(build(row))
        return lambda: None

    monkeypatch.setattr("tostoolkit.measuring.run._step", no_step)
    return models


@pytest.mark.parametrize("lose", ["merge", "csv", "shuffled columns"])
def test_a_set_that_pandas_worked_on_is_still_a_set(tmp_path, built, lose):
    """Its family is a column: what pandas does to attrs does not matter."""
    models = tos.feed_forward(**SAVED)
    if lose == "merge":
        changed = models.merge(pd.DataFrame({"configuration": models.configuration, "lab": "A"}))
    elif lose == "csv":
        models.to_csv(tmp_path / "set.csv", index=False)
        changed = pd.read_csv(tmp_path / "set.csv")
    else:
        changed = models[models.columns[::-1]]
    runs = tos.run_sweep(changed, tmp_path / "runs.csv", repeats=1, seconds=0.01, meter=None,
                         minutes=9, progress=False)
    assert sorted(runs.configuration) == sorted(models.configuration)
    assert set(runs.family) == {"feed_forward"}
    assert len(built) == len(models)
    assert tos.count_models(runs)["mac float32"].sum() == tos.count_models(models)[
        "mac float32"].sum()


def test_a_set_of_two_families_is_swept_row_by_row(tmp_path, built):
    models = pd.concat([tos.feed_forward(**SAVED).iloc[:2], tos.convolutional(
        depths=(2,), filters=(8,), kernels=(1,), depthwise=(False,), normalizations=("none",),
        poolings=("none",), activations=("relu",), image_sizes=(4,), batch_sizes=(1,),
        phases=("inference",), dtypes=("float32",), n=None)], ignore_index=True)
    with pytest.raises(ValueError, match="'depth=2' is there twice; give each"):
        tos.run_sweep(models, tmp_path / "runs.csv", meter=None, progress=False)
    models["configuration"] = models.family + " " + models.configuration
    runs = tos.run_sweep(models, tmp_path / "runs.csv", repeats=2, seconds=0.01, meter=None,
                         minutes=9, progress=False)
    assert runs.family.value_counts().to_dict() == {"feed_forward": 4, "convolutional": 2}
    assert [len(model.input_shape) for model in built] == [
        {"feed_forward": 2, "convolutional": 4}[family] for family in runs.family]
    counted = tos.count_models(runs).groupby("family")["mac float32"].first()
    assert counted["convolutional"] == 4 * 4 * (3 * 8 + 8 * 8) + 80
