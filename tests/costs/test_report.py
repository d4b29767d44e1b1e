
import keras
import numpy as np
import pytest
from models import shared_and_nested, small_classifier

import tostoolkit as tos
from tostoolkit.costs.report import si

MODEL = small_classifier()


def test_macs_and_flops_tables_agree_with_the_counts():
    report = tos.transistor_ops(MODEL, costs="macs", batch_size=3)
    assert report.total == report.macs == 3 * (8 * 8 * 4 * 27 + 64 * 5)
    assert tos.transistor_ops(MODEL, costs="flops").total == report_flops_by_hand()


def report_flops_by_hand():
    macs = 8 * 8 * 4 * 27 + 64 * 5
    adds = 256 + 264 + 5 + 4 + 5
    return 2 * macs + adds + 264 + 4 + 5 + 5  # + multiplications, roots, exponentials, divisions


def test_total_is_counts_times_costs():
    report = tos.transistor_ops(MODEL)
    costs = tos.load_cost_table("cmos").costs
    by_hand = sum(n * costs[key] for key, n in tos.count_ops(MODEL).sum().items())
    assert report.total == pytest.approx(by_hand, rel=1e-12)


def test_views_add_up_to_the_total():
    report = tos.transistor_ops(MODEL)
    assert report.per_layer["cost"].sum() == pytest.approx(report.total)
    assert report.by_op["cost"].sum() == pytest.approx(report.total)
    assert report.per_layer["macs"].sum() == report.macs
    assert report.by_op["cost"].is_monotonic_decreasing
    linear = report.by_op[report.by_op.work == "linear"]["share"].sum()
    assert report.nonlinear_share == pytest.approx(1 - linear)
    assert 0 < report.nonlinear_share < 1


def test_share_of_a_model_without_arithmetic_is_zero():
    report = tos.transistor_ops(keras.Sequential([keras.Input((2,)), keras.layers.Flatten()]))
    assert (report.total, report.macs, report.flops, report.nonlinear_share) == (0, 0, 0, 0)
    assert "flatten" in str(report)


def test_text_names_model_table_and_dearest_layer():
    text = str(tos.transistor_ops(MODEL))
    assert text.startswith("small: ")
    assert "cmos" in text
    dearest = tos.transistor_ops(MODEL).per_layer["cost"].idxmax()[0]
    assert dearest in text


def test_html_lists_every_layer():
    html = tos.transistor_ops(MODEL)._repr_html_()
    for layer in MODEL.layers:
        assert layer.name in html


def test_plot_draws_ops_and_layers():
    figure = tos.transistor_ops(MODEL).plot()
    assert len(figure.axes) == 2
    assert figure.axes[0].patches


def test_missing_cost_is_an_error_that_names_op_and_table():
    with pytest.raises(ValueError, match="'horowitz45'") as caught:
        tos.transistor_ops(MODEL, costs="horowitz45")
    for word in ("exp in float32", "rsqrt in float32", "missing='skip'"):
        assert word in str(caught.value)


def test_skipped_ops_are_listed_and_left_out():
    report = tos.transistor_ops(MODEL, costs="horowitz45", missing="skip")
    assert report.unpriced["float32", "exp"] == 5
    priced = tos.count_ops(MODEL).sum()
    expected = (priced["float32", "mac"] * 4.6 + priced["float32", "add"] * 0.9
                + priced["float32", "mul"] * 3.7)
    assert report.total == pytest.approx(expected)
    assert "not priced by horowitz45: " in str(report)


def test_unknown_missing_is_an_error():
    with pytest.raises(ValueError, match="'ignore'"):
        tos.transistor_ops(MODEL, missing="ignore")


def test_bytes_and_intensity_by_hand():
    report = tos.transistor_ops(MODEL, batch_size=2)
    out = report.per_layer.loc["out"].iloc[0]
    # 64 inputs and 5 outputs of 2 samples, 64 x 5 weights and 5 biases, 4 bytes each
    assert (out.weight_bytes, out.read_bytes, out.written_bytes) == (1300, 512, 40)
    flops = 2 * (2 * 320 + 5 + 4 + 5 + 5 + 5)
    assert out.flops_per_byte == pytest.approx(flops / (1300 + 512 + 40))
    assert report.per_layer.loc["flat"].iloc[0][["read_bytes", "written_bytes"]].sum() == 0
    columns = ["weight_bytes", "read_bytes", "written_bytes"]
    assert report.bytes_moved == report.per_layer[columns].to_numpy().sum()
    assert (report.movement == tos.count_bytes(MODEL, 2)).all(axis=None)


def test_compare_is_relative_to_the_first():
    table = tos.compare([MODEL, tos.transistor_ops(shared_and_nested())])
    assert list(table.index) == ["small", "shared_and_nested"]
    assert table.relative_macs.tolist() == [1.0, 180 / 7232]
    assert table.cost["small"] == tos.transistor_ops(MODEL).total


def test_compare_refuses_what_cannot_be_compared():
    with pytest.raises(ValueError, match="empty"):
        tos.compare([])
    reports = [tos.transistor_ops(MODEL, costs) for costs in ("cmos", "macs")]
    with pytest.raises(ValueError, match="different settings"):
        tos.compare(reports)


def test_abstract_models_report_like_real_ones():
    with tos.abstract():
        model = small_classifier()
    assert all(v._value is None for v in model.variables)
    report = tos.transistor_ops(model)
    assert report.total == tos.transistor_ops(MODEL).total
    assert report.bytes_moved == tos.transistor_ops(MODEL).bytes_moved


def test_si():
    assert [si(v) for v in (0, 999, 1e3, 3857973248, 1.5e15)] == [
        "0", "999", "1 k", "3.86 G", "1.5 P"]
    assert np.isfinite(tos.transistor_ops(MODEL).total)


def test_nested_models_fold_in_html():
    with tos.abstract():
        html = tos.transistor_ops(shared_and_nested())._repr_html_()
    assert "<summary>nested: 2 layer calls" in html
    assert "<summary>nested/core: 2 layer calls" in html
    assert html.count("<details>") == 3 == html.count("</details>")


def test_interactive_table_holds_every_layer_with_its_dtype(capsys):
    report = tos.transistor_ops(small_classifier())
    html = report.interactive()._repr_html_()
    for call, _ in report.counts.index:
        assert call in html
    assert "float32" in html
    assert '"desc"' in html


def test_training_report_has_its_parts_and_their_bytes():
    report = tos.transistor_ops(
        small_classifier(), phase="training", loss="sparse_categorical_crossentropy",
        optimizer="adam")
    parts = report.table.sum(axis=1).groupby("kind").sum()
    assert set(parts.index) == {"forward", "backward", "update"}
    assert parts["backward"] > parts["forward"] > 0
    moved = tos.count_bytes(small_classifier(), phase="training", optimizer="adam")
    assert report.bytes_moved == moved.to_numpy().sum() > 0
    assert report.movement.equals(moved)
    assert "counted by rule" in str(report)
    inference = tos.transistor_ops(small_classifier())
    assert report.macs > 2 * inference.macs


@pytest.mark.parametrize("stack", [
    [keras.layers.Dense(4, name="a")],  # by rule
    [keras.layers.Dense(4, name="a"), keras.layers.MultiHeadAttention(2, 3, name="mha")],
])
def test_training_bytes_stand_on_the_rows_of_the_ops_and_none_is_lost(stack):
    x = y = keras.Input((5, 8))
    for layer in stack:
        y = layer(y, y) if layer.name == "mha" else layer(y)
    report = tos.transistor_ops(keras.Model(x, y), phase="training", loss="mse", optimizer="adam")
    layers = report.per_layer
    moved = layers[["weight_bytes", "read_bytes", "written_bytes"]]
    assert moved.to_numpy().sum() == report.bytes_moved
    assert layers.cost.sum() == pytest.approx(report.total)
    assert layers.macs.sum() == report.macs
    # the update reads a weight, its gradient and two slots, and writes the weight and the slots
    weights = 4 * report.counts.loc[("optimizer", "update"), ("float32", "sqrt")] - 4 * len(
        keras.Model(x, y).trainable_weights)
    assert moved.loc[("optimizer", "update")].tolist() == [weights, 3 * weights, 3 * weights]
    assert "update" in str(report)


def test_coverage_adds_up():
    report = tos.transistor_ops(small_classifier())
    assert report.coverage == {"rule": 5, "zero": 1}
    assert "by rule 5, as zero 1" in str(report)


def test_comparison_is_drawn():
    table = tos.compare([small_classifier(), shared_and_nested()])
    figure = tos.figures.comparison(table)
    assert len(figure.axes[0].patches) == 6


def test_embedding_reads_the_rows_that_it_looks_up():
    model = keras.Sequential([keras.Input((5,), dtype="int32"), keras.layers.Embedding(1000, 8)])
    moved = tos.count_bytes(model, batch_size=2).iloc[0]
    assert moved.tolist() == [2 * 5 * 8 * 4, 2 * 5 * 4, 2 * 5 * 8 * 4]
