"""The check that `make figures` ends with: what moved, by how much; last digits do not count."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tostoolkit import figures

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "notebooks"))
import check  # noqa: E402


@pytest.fixture
def written(tmp_path):
    """Return a function: two tables -> the lines of the check."""
    def lines(old, new):
        for name, table in (("old.csv", old), ("new.csv", new)):
            table.to_csv(tmp_path / name, index=False)
        return check.moved(tmp_path / "old.csv", tmp_path / "new.csv")
    return lines


TABLE = pd.DataFrame({"name": list("abc"), "n": [10, 20, 30], "error": [0.1234, 12.0, np.nan],
                      "difference": [0.25, -1e-7, 0.0], "best": [True, False, False]})


def test_last_digits_are_no_change(written):
    assert written(TABLE, TABLE) == []
    last = TABLE.assign(error=[0.1235, 12.01, np.nan], difference=[0.25, 2e-7, 1e-9])
    assert written(TABLE, last) == []


@pytest.mark.parametrize(("change", "word"), [
    ({"error": [0.1240, 12.0, np.nan]},
     r"error, row 1: 0.1234 is now 0.124 \(\+0.49%\), and 0 more"),
    ({"error": [0.1234, 11.0, 3.0]}, r"error, row 3: nan is now 3, and 1 more"),
    ({"error": [np.inf, 12.0, np.nan]}, "error, row 1: 0.1234 is now inf, and 0 more"),
    ({"error": [0.1234, np.nan, np.nan]}, "error, row 2: 12 is now nan"),
    ({"error": [0.1234, np.inf, np.nan]}, "error, row 2: 12 is now inf"),
    ({"n": [10, 20, 31]}, "n, row 3: 30 is now 31"),
    ({"difference": [0.25, -1e-3, 0.0]}, "difference, row 2: -1e-07 is now -0.001"),
    ({"name": list("abd")}, "name, row 3: c is now d, and 0 more"),
    ({"best": [True, True, False]}, "best, row 2"),
    ({"more": 1}, "column more: it is new"),
])
def test_what_moved_is_said(written, change, word):
    line, = written(TABLE, TABLE.assign(**change))
    assert re.search(word, line), line


def test_an_infinity_hides_no_other_number(written):
    table = pd.DataFrame({"x": [np.inf, 1.0, 3.0]})
    assert written(table, table) == []
    assert written(table, pd.DataFrame({"x": [np.inf, 1.0, 5.0]})) == [
        "x, row 3: 3 is now 5 (+66.67%), and 0 more"]


def test_integers_are_exact(written):
    table = pd.DataFrame({"macs": [2**60, 1000]})
    assert written(table, table) == []
    assert written(table, pd.DataFrame({"macs": [2**60 + 1, 1001]})) == [
        f"macs, row 1: {2**60} is now {2**60 + 1}, and 1 more"]


@pytest.mark.parametrize(("old", "new", "line"), [
    (["x", "1"], [1, 1], "a, row 1: x is now 1, and 1 more"),  # words are no numbers
    ([True, None], [True, False], "a, row 2: nan is now False, and 0 more"),
    ([None, None], [1.0, None], "a, row 1: nan is now 1, and 0 more"),
    ([0.0, 1.0], [0.5, 1.0], "a, row 1: 0 is now 0.5, and 0 more"),
])
def test_kinds_that_change(written, old, new, line):
    assert written(pd.DataFrame({"a": old}), pd.DataFrame({"a": new})) == [line]
    assert written(pd.DataFrame({"a": old}), pd.DataFrame({"a": old})) == []


def test_tables_without_rows(written):
    assert written(TABLE.head(0), TABLE.head(0)) == []


def test_rows_and_columns_that_are_gone_are_said(written):
    assert written(TABLE, TABLE.head(2)) == ["its 3 rows are 2 now"]
    assert written(TABLE, TABLE.drop(columns="n")) == ["column n: it is gone"]


def test_what_is_carried_over_is_no_change(written):
    assert written(TABLE.assign(carried=False), TABLE.assign(carried=True)) == []


def test_numbers_in_json(tmp_path):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps({"held": [{"error": 0.5, "by": "a"}], "n": [{"k": 1}]}))
    new.write_text(json.dumps({"held": [{"error": 0.5004, "by": "a"}], "n": [{"k": 1}]}))
    assert check.moved(old, new) == []
    new.write_text(json.dumps({"held": [{"error": 0.6, "by": "a"}], "n": [{"k": 1}]}))
    assert check.moved(old, new) == ["held, error, row 1: 0.5 is now 0.6 (+20.00%), and 0 more"]
    new.write_text(json.dumps({"held": [{"error": 0.5, "by": "a"}]}))
    assert check.moved(old, new) == ["held, n were held"]


def predictions():
    table = pd.read_csv(ROOT / "data" / "derived" / "03_predictions.csv")
    return table.rename(columns={"activation": "group"})


def drawn(table, folder, change=lambda figure: None):
    figure = figures.predicted_against_measured(table, "time (s)")
    change(figure)
    return figures.save(figure, folder / "picture")[1]


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    return drawn(predictions(), tmp_path_factory.mktemp("picture"))


def test_a_picture_with_other_last_digits_is_the_same(picture, tmp_path):
    table = predictions()
    turned = np.random.default_rng(0).choice([1 - 5e-4, 1.0, 1 + 5e-4], len(table), p=[.1, .8, .1])
    table["predicted"] *= turned
    assert check.moved(picture, drawn(table, tmp_path)) == []


@pytest.mark.parametrize("fault", ["points", "mark", "colours", "legend", "label", "size"])
def test_a_picture_drawn_otherwise_is_not(picture, tmp_path, fault):
    table = predictions()
    if fault == "points":
        table["predicted"] *= 1.02
    if fault == "mark":  # one of 450; it pins the tolerance
        table.loc[5, "predicted"] *= 1.3
    if fault == "colours":
        table["group"] = table.group.replace({"relu": "tanh", "tanh": "relu"})
    change = {"legend": lambda figure: figure.legends[0].remove(),
              "label": lambda figure: figure.axes[0].set_ylabel("measured"),
              "size": lambda figure: figure.set_size_inches(7, 2)}.get(fault, lambda figure: None)
    line, = check.moved(picture, drawn(table, tmp_path, change))
    assert ("its size was" if fault == "size" else "the picture differs by") in line


def test_a_pdf_is_whole_and_has_its_png(picture, tmp_path):
    pdf = picture.with_suffix(".pdf")
    assert check.moved(pdf, pdf) == []
    half = tmp_path / "picture.pdf"
    half.write_bytes(pdf.read_bytes()[:1000])
    (tmp_path / "picture.png").write_bytes(picture.read_bytes())
    assert check.moved(pdf, half) == ["it is no whole PDF with a PNG beside"]
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(pdf, alone)
    assert check.moved(pdf, alone / pdf.name) == ["it is no whole PDF with a PNG beside"]


def test_a_kind_of_file_that_cannot_be_compared_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"notes\.txt: it cannot be compared; there are \.csv"):
        check.moved(tmp_path / "notes.txt", tmp_path / "notes.txt")


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Return a small project of its own, in which the check works."""
    for folder in check.FOLDERS:
        (tmp_path / "tree" / folder).mkdir(parents=True)
    shutil.copy(ROOT / "figures" / "design.png", tmp_path / "tree" / "figures")
    TABLE.assign(dataset="ours", carried=False).to_csv(
        tmp_path / "tree" / "data/derived/03_errors.csv", index=False)
    monkeypatch.setattr(check, "ROOT", tmp_path / "tree")
    return tmp_path / "tree"


def run_check(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["check.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        check.main()
    return capsys.readouterr().out, ended.value.code


@pytest.mark.parametrize("git", ["a checkout", "no checkout", "no git"])
def test_committed_is_what_git_has_or_what_was_there_first(
        tree, tmp_path, monkeypatch, capsys, git):
    if git == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    if git == "a checkout":
        for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b",
                                                       "commit", "-qm", "a"]):
            subprocess.run(["git", *command], cwd=tree, check=True)
    kept, errors = tmp_path / "kept", tree / "data/derived/03_errors.csv"
    check.keep(kept)
    out, code = run_check(monkeypatch, capsys, "compare", kept, "--strict")
    assert out.strip() == "same as committed: 1 files in data/derived, 1 files in figures"
    assert code == 0
    TABLE.assign(dataset="ours", carried=False, n=7).to_csv(errors, index=False)
    check.keep(kept)  # a second run: what is compared with is still what was committed
    out, code = run_check(monkeypatch, capsys, "compare", kept)
    assert out.splitlines()[0] == "not as committed:"
    assert "data/derived/03_errors.csv: n, row 1: 10 is now 7, and 2 more" in out
    assert code == 0
    assert run_check(monkeypatch, capsys, "compare", kept, "--strict")[1] == 1


def test_no_folder_but_a_kept_one_is_replaced(tree, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("x")
    with pytest.raises(SystemExit, match="holds no whole earlier copy; move it"):
        check.keep(mine)
    assert (mine / "thesis.tex").read_text() == "x"
    check.keep(tmp_path / "kept")
    check.keep(tmp_path / "kept")


def test_files_that_cannot_be_read_are_a_line_and_hidden_ones_none(
        tree, tmp_path, monkeypatch, capsys):
    check.keep(tmp_path / "kept")
    (tree / "figures" / "design.png").write_bytes(b"")
    (tree / "data/derived/.ipynb_checkpoints").mkdir()
    (tree / "data/derived/03_errors.csv").unlink()
    out, _ = run_check(monkeypatch, capsys, "compare", tmp_path / "kept")
    assert "figures/design.png: it cannot be compared (" in out
    assert "03_errors.csv: it is not written any more" in out
    assert "ipynb" not in out
    out, code = run_check(monkeypatch, capsys, "compare", tmp_path / "mistyped")
    assert "keep one first" in code


def test_files_that_come_or_go_and_rows_carried_over_are_said(tree, tmp_path, monkeypatch, capsys):
    check.keep(tmp_path / "kept")
    TABLE.assign(dataset=["ours", "nets", "nets"], carried=[False, True, True]).to_csv(
        tree / "data/derived/03_errors.csv", index=False)
    (tree / "figures" / "design.png").rename(tree / "figures" / "other.png")
    out, _ = run_check(monkeypatch, capsys, "compare", tmp_path / "kept")
    assert "figures/design.png: it is not written any more" in out
    assert "figures/other.png: it is new" in out
    assert "carried over, since their data are not at hand: nets; make data fetches them" in out
