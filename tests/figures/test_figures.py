"""Figures: each function has its files and conversely; notebook 04's test compares the pictures."""

import inspect
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from tostoolkit import figures
from tostoolkit.figures import paper

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
