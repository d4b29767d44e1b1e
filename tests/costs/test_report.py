import re

import keras
import pandas as pd
import pytest
from models import shared_and_nested, small_classifier

import tostoolkit as tos
from tostoolkit.costs.report_views import si
from tostoolkit.op_kinds import OP_KINDS

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


def test_text_and_plot_of_what_computes_nothing():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Flatten()], name="idle")
    report = tos.transistor_ops(model)
    assert "by op\nnothing is computed\n" in str(report)
    assert ", 1 layer call;" in str(report)
    left, right = report.plot().axes
    assert [tick.get_text() for tick in left.get_yticklabels()] == []
    assert right.get_title() == "1 layer"


def test_text_says_how_many_rows_it_shows_of_how_many():
    """Bytes of a layer that op counts do not tell apart have a row of their own."""
    report = tos.transistor_ops(MODEL)
    rows = len(report.per_layer)
    assert f"dearest layers ({min(rows, 10)} of {rows})" in str(report)


def test_html_lists_every_layer():
    html = tos.transistor_ops(MODEL)._repr_html_()
    for layer in MODEL.layers:
        assert layer.name in html


def test_plot_draws_ops_and_layers():
    figure = tos.transistor_ops(MODEL).plot()
    ops, layers = figure.axes
    assert next(t.get_text() for t in ops.get_yticklabels()) == "mac float32"
    assert [t.get_text() for t in layers.get_legend().get_texts()] == [
        "linear", "elementary", "comparison"]
    assert sum(bar.get_width() for bar in layers.patches) == pytest.approx(
        tos.transistor_ops(MODEL).total)


def test_plot_of_a_training_step_has_a_bar_for_each_part_of_a_layer():
    """A bar each: forward and backward of one layer do not lie over one another."""
    report = training_report()
    layers = report.plot(n_layers=6).axes[1]
    dearest = report.per_layer.nlargest(6, "cost")
    labels = [t.get_text() for t in layers.get_yticklabels()]
    assert labels == [f"{layer} ({part})" for layer, _, part in dearest.index]
    assert {"conv (forward)", "conv (backward)"} <= set(labels)
    ends = {}
    for bar in layers.patches:
        place = round(bar.get_y() + bar.get_height() / 2)
        ends[place] = max(ends.get(place, 0.0), bar.get_x() + bar.get_width())
    assert [ends[i] for i in range(6)] == pytest.approx(dearest.cost.tolist())


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
    assert [si(v) for v in (0, 999, 1e3, 3857973248, 1.5e15, -2e6)] == [
        "0", "999", "1 k", "3.86 G", "1.5 P", "-2 M"]


def test_nested_models_fold_in_html():
    with tos.abstract():
        html = tos.transistor_ops(shared_and_nested())._repr_html_()
    assert "<summary>nested: 2 layer calls" in html
    assert "<summary>nested/core: 2 layer calls" in html
    assert html.count("<details>") == 3 == html.count("</details>")


def test_interactive_table_holds_every_layer_with_its_dtype(capsys):
    report = tos.transistor_ops(small_classifier())
    html = report.interactive()._repr_html_()
    head, *body = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)
                   for row in re.findall(r"<tr.*?</tr>", html[html.index("_fallback"):], re.S)]
    columns = [re.sub(r"<.*>", "", name) for name in head]
    assert columns[:6] == ["layer", "kind", "dtype", "phase", "macs (k)", "cost (MTO)"]
    assert {row[0]: row[2] for row in body[:len(MODEL.layers)]} == {
        **dict.fromkeys(("conv", "norm", "relu", "pool", "out"), "float32"), "flat": ""}
    (column,) = re.findall(r'"order": ?\[\[(\d+), "desc"\]\]', html)
    assert columns[int(column)] == "cost (MTO)"  # the dearest first


def training_report():
    return tos.transistor_ops(
        small_classifier(), phase="training", loss="sparse_categorical_crossentropy",
        optimizer="adam")


def test_training_report_has_its_parts_and_their_bytes():
    report = training_report()
    parts = report.table.sum(axis=1).groupby("part").sum()
    assert set(parts.index) == {"forward", "backward", "update"}
    assert parts["backward"] > parts["forward"] > 0
    moved = tos.count_bytes(small_classifier(), phase="training", optimizer="adam")
    assert report.bytes_moved == moved.to_numpy().sum() > 0
    assert report.movement.equals(moved)
    assert "counted by rule" in str(report)
    inference = tos.transistor_ops(small_classifier())
    assert report.macs > 2 * inference.macs


def shares_of(report, by):
    part = report.shares[report.shares.by == by]
    return part.set_index("kind").share


def test_shares_by_hand():
    """Under MACs all is one op of one kind of layer; under FLOPs comparisons are free."""
    report = tos.transistor_ops(shared_and_nested(), "macs")
    assert report.shares.model.unique().tolist() == ["shared_and_nested"]
    assert shares_of(report, "op")[lambda s: s > 0].to_dict() == {"mac": 1.0}
    assert shares_of(report, "layer")[lambda s: s > 0].to_dict() == {"Dense": 1.0}
    report = tos.transistor_ops(MODEL, "flops")
    conv, norm, relu, pool, out = (
        256 * (2 * 27 + 1), 256 * 2 + 4 * 5, 256, 16 * 4 * 3, 2 * 320 + 5 + 4 + 5 + 5 + 5)
    total = conv + norm + out
    assert shares_of(report, "layer").to_dict() == pytest.approx({
        "Conv2D": conv / total, "BatchNormalization": norm / total, "Dense": out / total,
        "ReLU": 0, "MaxPooling2D": 0, "Flatten": 0})
    assert relu + pool == tos.count_ops(MODEL).loc[["relu", "pool"]].to_numpy().sum()


@pytest.mark.parametrize("by", ["op", "layer", "part"])
@pytest.mark.parametrize("costs", ["cmos", "flops", "gpu-fast"])
def test_shares_of_a_training_step_sum_to_one(by, costs):
    report = tos.transistor_ops(
        small_classifier(), costs, 4, "training", loss="sparse_categorical_crossentropy",
        optimizer="adam")
    assert shares_of(report, by).sum() == pytest.approx(1.0)


def test_layers_and_parts_of_a_training_step_are_told_apart():
    """The kinds of layer are those of inference; forward, backward and update are parts."""
    report = training_report()
    kinds, parts = shares_of(report, "layer"), shares_of(report, "part")
    assert set(kinds.index) == {*(type(layer).__name__ for layer in MODEL.layers),
                                "loss", "optimizer"}
    by_part = report.table.sum(axis=1).groupby(level=1).sum()
    assert parts.to_dict() == pytest.approx((by_part / by_part.sum()).to_dict())
    assert kinds["optimizer"] == pytest.approx(parts["update"])
    conv = report.table.loc["conv"].to_numpy().sum()  # forward and backward
    assert kinds["Conv2D"] == pytest.approx(conv / report.total)
    assert "part" not in set(tos.transistor_ops(MODEL).shares.by)


def test_the_update_is_the_optimizers_whatever_a_layer_is_called():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4),
                              keras.layers.Dense(2, name="optimizer")])
    report = tos.transistor_ops(model, phase="training", loss="mse", optimizer="adam")
    assert shares_of(report, "layer")["optimizer"] == shares_of(report, "part")["update"] > 0


def test_per_layer_of_a_training_step_names_kind_and_part():
    layers = training_report().per_layer
    assert layers.index.names == ["layer", "kind", "part"]
    assert ("conv", "Conv2D", "backward") in layers.index
    assert ("optimizer", "optimizer", "update") in layers.index
    assert layers.share.sum() == pytest.approx(1.0)
    text = str(training_report())
    assert "Conv2D" in text
    assert "backward" in text


def test_parts_of_a_traced_layer_are_of_its_kind():
    """Attention's projections, which a trace tells apart, and operators between layers."""
    model = tos.models.encoder(1, 8, 2, 20, 4)
    report = tos.transistor_ops(model, phase="training", loss="mse", optimizer="sgd")
    assert any(layer.endswith("/query") for layer, _ in report.counts.index)
    kinds = shares_of(report, "layer")
    assert set(kinds[kinds > 0].index) <= {type(layer).__name__ for layer in model.layers} | {
        "loss", "optimizer", "operators"}
    attention = [n for n, _ in report.counts.index if n.startswith("block_0_attention")]
    assert kinds["MultiHeadAttention"] == pytest.approx(
        report.table.loc[list(dict.fromkeys(attention))].to_numpy().sum() / report.total)


def test_non_linear_is_elementary_and_comparison():
    report = tos.transistor_ops(MODEL)
    by_class = {work: sum(report.by_op.cost[key] for key in report.by_op.index
                          if OP_KINDS[key[1]] == work) for work in set(OP_KINDS.values())}
    assert report.nonlinear_share == pytest.approx(
        (by_class["elementary"] + by_class["comparison"]) / report.total)
    assert by_class["comparison"] > 0 < by_class["elementary"]
    assert (f"{report.nonlinear_share:.2%} of the cost is non-linear work, "
            f"{by_class['elementary'] / report.total:.2%} elementary functions and "
            f"{by_class['comparison'] / report.total:.2%} comparisons") in str(report)
    relu = tos.transistor_ops(keras.Sequential([keras.Input((4,)), keras.layers.ReLU()]))
    assert relu.nonlinear_share == 1.0  # comparisons are part of it
    assert relu.per_layer.nonlinear_share.tolist() == [1.0]
    assert tos.compare([relu]).nonlinear_share.tolist() == [1.0]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_activation_costs_by_hand(dtype):
    table = tos.activation_costs(dtype=dtype)
    cost = tos.load_cost_table("cmos").costs[dtype]
    assert table.cost["linear"] == 0
    assert table.cost["relu"] == cost["max"]
    assert table.cost["silu"] == cost["sigmoid"] + cost["mul"]
    assert table.cost["gelu"] == 3 * cost["mul"] + cost["neg"] + cost["erf"]
    assert table.ops["mish"] == {"exp": 1, "log": 1, "tanh": 1, "mul": 1}
    assert table.macs["tanh"] == pytest.approx(cost["tanh"] / cost["mac"])
    with pytest.raises(ValueError, match="no cost for max in float32, which 'relu'"):
        tos.activation_costs("horowitz45")


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
    update = moved.loc[("optimizer", "optimizer", "update")]
    assert update.tolist() == [weights, 3 * weights, 3 * weights]
    assert "update" in str(report)


def test_several_tables_are_each_by_itself_and_gaps_are_missing():
    models = [small_classifier(), shared_and_nested()]
    tables = ["cmos", "flops", "horowitz45"]
    table = tos.compare(models, tables)
    assert table.index.names == ["costs", "model"]
    for name in ("cmos", "flops"):
        pd.testing.assert_frame_equal(table.loc[name], tos.compare(models, name))
    reports = [tos.transistor_ops(model, "flops") for model in models]
    pd.testing.assert_frame_equal(tos.compare(reports, tables), table)
    gap = table.loc["horowitz45"]
    with pytest.raises(ValueError, match="no cost for"):
        tos.transistor_ops(models[0], "horowitz45")
    assert gap[["cost", "nonlinear_share", "relative_cost"]].isna().all(axis=None)
    assert (gap.macs == table.loc["cmos"].macs).all()
    with pytest.raises(ValueError, match="costs: the list is empty"):
        tos.compare(models, [])


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


def test_a_report_says_what_its_trace_took_for_granted():
    class Either(keras.layers.Layer):
        def call(self, x):
            return keras.ops.cond(
                keras.ops.max(x) > 0, lambda: keras.ops.exp(keras.ops.exp(x)), lambda: x + 1)

    plain = tos.transistor_ops(keras.Sequential([keras.Input((3,)), keras.layers.ReLU()]))
    either = tos.transistor_ops(keras.Sequential([keras.Input((3,)), Either(name="either")]))
    assert either.counts["float32", "exp"].sum() == 6
    assert plain.notes == ()
    assert "note:" not in str(plain)
    (note,) = either.notes
    assert "dearer branch" in note
    for report in (either, either.under("flops", "skip")):
        assert f"note: {note}" in str(report)
        assert f"note: {note}" in report._repr_html_()
