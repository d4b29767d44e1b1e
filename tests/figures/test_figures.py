"""Figures: each function has its files and conversely; notebook 04's test compares the pictures."""

import inspect
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from tostoolkit import figures
from tostoolkit.counting.rules.activations import ACTIVATIONS
from tostoolkit.figures import paper, style

ROOT = Path(__file__).parents[2]


def functions():
    return {name for name, f in inspect.getmembers(paper, inspect.isfunction)
            if f.__module__ == paper.__name__}


def test_each_function_has_its_files_and_conversely():
    files = {path.name for path in (ROOT / "figures").iterdir()}
    paper = functions()
    assert len(paper) >= 5
    assert files == {f"{name}.{kind}" for name in paper for kind in ("pdf", "png")}


@pytest.mark.parametrize("name", sorted(functions()))
def test_the_first_line_of_the_docstring_is_a_caption(name):
    first = getattr(figures, name).__doc__.splitlines()[0]
    assert first.endswith(".")
    assert len(first) > 20


def test_save_needs_its_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="create it"):
        figures.save(Figure(), tmp_path / "none" / "figure")


def test_a_style_of_ones_own_goes_over_the_papers():
    table = pd.DataFrame({"dataset": "d", "protocol": "k-fold", "predictor": ["MACs", "TOs"],
                          "mean_relative_error": [0.2, 0.1]})
    plain = figures.heldout_error(table)
    with figures.styled({"axes.titlesize": 20}):
        own = figures.heldout_error(table)
    sizes = [f.axes[0].title.get_fontsize() for f in (plain, own, figures.heldout_error(table))]
    assert sizes == [8, 20, 8]


def test_a_protocol_looks_the_same_in_every_panel_and_in_the_legend():
    rows = [*(("a", p) for p in ("in-sample", "k-fold", "top")), ("b", "in-sample"), ("b", "top")]
    table = pd.DataFrame(rows, columns=["dataset", "protocol"]).assign(
        predictor="MACs", mean_relative_error=0.2)
    figure = figures.heldout_error(table)
    looks = {}
    for line in [*(line for axes in figure.axes for line in axes.lines),
                 *figure.legends[0].get_lines()]:
        looks.setdefault(line.get_label(), set()).add((line.get_color(), line.get_marker()))
    assert set(looks) == {"in-sample", "k-fold", "top"}
    assert all(len(look) == 1 for look in looks.values())
    assert len(set.union(*looks.values())) == 3


def law_figure(activations):
    runs = pd.DataFrame({"activation": activations, "tos": range(1, len(activations) + 1),
                         "energy_j": 1.0})
    curve = pd.DataFrame({"tos": [1, 9], "mean": 1.0, "lower": 0.9, "upper": 1.1})
    figure = figures.scaling_law(runs, curve, "tos", "energy_j", ("x", "y"))
    return {line.get_label(): (line.get_color(), line.get_marker())
            for line in figure.axes[0].lines if not line.get_label().startswith("_")}


def test_an_activation_keeps_its_colour_whatever_else_is_drawn():
    """As the committed figures have them: blue, orange, green, ... discs, then squares."""
    every = law_figure(["linear", "relu", "tanh", "sigmoid", "gelu", "silu", "softmax", "elu"])
    assert [every[n] for n in ("linear", "relu", "elu")] == [
        ("#0072B2", "o"), ("#E69F00", "o"), ("#0072B2", "s")]
    assert law_figure(["silu", "gelu"]) == {n: every[n] for n in ("silu", "gelu")}


def test_every_activation_that_is_counted_has_a_look_of_its_own():
    looks = style.looks(ACTIVATIONS)
    assert len(ACTIVATIONS) > 20
    assert len(set(looks.values())) == len(looks)
    assert set(style.ACTIVATION_LOOKS) >= set(ACTIVATIONS)


def test_an_activation_of_ones_own_is_drawn_apart_from_the_others():
    drawn = law_figure(["snake", "linear", "my_own", "relu"])
    assert len(set(drawn.values())) == 4
    assert drawn["linear"] == ("#0072B2", "o")
    many = style.looks([f"mine {i}" for i in range(100)])  # more than there are looks
    assert len(many) == 100
    assert len(set(many.values())) == 56


def test_shares_are_stacked_to_the_whole_of_what_is_not_macs():
    table = pd.DataFrame({
        "model": "net", "by": ["op"] * 3 + ["layer"] * 2 + ["part"] * 2,
        "kind": ["mac", "add", "exp", "Dense", "ReLU", "forward", "backward"],
        "share": [0.9, 0.06, 0.04, 0.75, 0.25, 0.3, 0.7]})
    ops, layers = figures.to_shares(table).axes
    assert sum(bar.get_width() for bar in ops.patches) == pytest.approx(10)
    assert {t.get_text() for t in layers.get_legend().get_texts()} == {"Dense", "ReLU"}
    assert sum(bar.get_width() for bar in layers.patches) == pytest.approx(100)
