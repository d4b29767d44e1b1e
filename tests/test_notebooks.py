"""The notebooks run from top to bottom, once, and write what is committed."""

import json
import shutil
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

import tostoolkit as tos

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "notebooks"))
import check  # noqa: E402
import readme  # noqa: E402
import run  # noqa: E402

NAMES = ["01_op_costing", "02_energy_scaling_sweep", "03_statistical_fitting", "04_paper_figures",
         "05_any_keras_model"]

#: Parameters of the run that is compared with what is committed: only what is measured live, which
#: is not compared, is made short.
SHORT = {"02_energy_scaling_sweep": "N_LIVE = 3\nSECONDS = 0.2"}


def read(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def test_all_notebooks_are_known_here():
    assert [path.stem for path in run.notebooks()] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_committed_outputs_are_one_clean_run(name):
    code = [cell for cell in read(name).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    errors = [o for cell in code for o in cell.outputs if o.output_type == "error"]
    assert not errors


@pytest.mark.parametrize("name", NAMES)
def test_notebook_is_thin(name):
    cells = read(name).cells
    code = [cell.source.splitlines() for cell in cells if cell.cell_type == "code"]
    assert max(map(len, code)) <= 15
    assert sum(map(len, code)) <= 150
    assert not [line for cell in code for line in cell if line.startswith(("def ", "class "))]
    opening = cells[0].source
    for word in ("For", "Question", "Reads", "Writes", "Takes"):
        assert f"**{word}**" in opening
    assert "What we learnt" in "".join(c.source for c in cells if c.cell_type == "markdown")


def run_into(folder, name, parameters=""):
    """Execute a notebook that writes into a folder of the test's own."""
    folder.mkdir(exist_ok=True)
    return run.execute(ROOT / "notebooks" / f"{name}.ipynb", "\n".join(
        line for line in (f"OUT = {str(folder)!r}", parameters) if line))


def printed(notebook):
    return "".join(o.text for cell in notebook.cells if cell.cell_type == "code"
                   for o in cell.outputs if o.output_type == "stream")


@pytest.mark.parametrize("name", NAMES)
def test_notebook_writes_what_is_committed(name, tmp_path):
    """With all that is at hand; what is not is carried over, and so is what is committed."""
    notebook = run_into(tmp_path / "out", name, SHORT.get(name, ""))
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    committed = ROOT / ("figures" if name.startswith("04") else "data/derived")
    mine = [path for path in sorted(committed.iterdir())
            if name.startswith("04") or path.name.startswith(name[:2])]
    # the counts that stand beside are stored by tos.datasets.count
    mine = [path for path in mine if not path.stem.endswith("_counts")]
    assert mine
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [p.name for p in mine]
    lines = [f"{path.name}: {line}" for path in mine
             for line in check.moved(path, tmp_path / "out" / path.name)]
    assert not lines, "\n".join(lines)


def test_without_published_data_their_results_are_carried_over(tmp_path):
    derived = tmp_path / "derived"
    shutil.copytree(ROOT / "data" / "derived", derived)
    before = pd.read_csv(derived / "03_errors.csv")
    notebook = run_into(derived, "03_statistical_fitting", (
        f"DERIVED = {str(derived)!r}\nPUBLISHED = []\nBOOTSTRAP = 20"))
    theirs = ["EC-NAS-Bench", "CPU layers, backward", "CPU layers, inference", "GAISSA SEAA 2023",
              "MLPerf Tiny"]
    assert f"Not at hand, so carried over: {', '.join(theirs)}." in printed(notebook)
    now = pd.read_csv(derived / "03_errors.csv")
    assert set(now.dataset[now.carried]) == set(theirs)
    assert now.dataset.tolist() == before.dataset.tolist()
    pd.testing.assert_frame_equal(now[now.carried].drop(columns="carried"),
                                  before[now.carried].drop(columns="carried"))
    numbers = tos.results.read_numbers(derived / "03_numbers.json")
    assert numbers["held_out"].carried.any()
    assert not numbers["held_out"].carried.all()
    for name in ("weights", "noise"):
        carried = numbers[name].set_index("dataset").carried
        assert carried["EC-NAS-Bench"].all()
        assert not carried.drop("EC-NAS-Bench").any()
    assert "| EC-NAS-Bench (carried over) | joules | 16.2 |" in readme.table(
        json.loads((derived / "03_numbers.json").read_text()))

    figures = run_into(tmp_path / "figures", "04_paper_figures", f"DERIVED = {str(derived)!r}")
    names = {path.name for path in (ROOT / "figures").iterdir()}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == names
    captions = [line for line in printed(figures).splitlines() if "Carried over" in line]
    assert [caption.split(" Carried over from an earlier run: ")[1] for caption in captions] == [
        "EC-NAS-Bench (energy).", "EC-NAS-Bench, CPU layers, backward, CPU layers, inference, "
        "GAISSA SEAA 2023, MLPerf Tiny.", "EC-NAS-Bench."]


def test_parameter_that_a_notebook_does_not_have_is_an_error():
    with pytest.raises(ValueError, match="no parameter 'NONE_SUCH'"):
        run.execute(ROOT / "notebooks" / "01_op_costing.ipynb", "NONE_SUCH = 1")
