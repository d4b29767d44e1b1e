"""The notebooks run from top to bottom, and are committed as one clean run."""

import sys
from pathlib import Path

import nbformat
import pytest

import tostoolkit as tos

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "notebooks"))
import run  # noqa: E402

NAMES = ["01_op_costing", "02_energy_scaling_sweep", "03_statistical_fitting", "04_paper_figures",
         "05_any_keras_model"]

#: Parameters that make a run short, and that send what it writes to the test's own folder.
SMOKE = {
    "01_op_costing": "MODELS = ['VGG16', 'ResNet50']",
    "02_energy_scaling_sweep": "N_LIVE = 2\nSECONDS = 0.2\nFAMILIES = ['feed_forward']",
    "03_statistical_fitting": "BOOTSTRAP = 20\nPERMUTATIONS = 20",
}


def skip_without_published_data():
    try:
        for dataset in tos.datasets.DATASETS.values():
            dataset.load()
    except FileNotFoundError as error:  # neither a local copy nor a network
        pytest.skip(str(error))


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
    for word in ("Question", "Reads", "Writes", "Takes"):
        assert f"**{word}**" in opening
    assert "What we learnt" in "".join(c.source for c in cells if c.cell_type == "markdown")


@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs(name, tmp_path):
    if name.startswith("03"):
        skip_without_published_data()
    parameters = f"OUT = {str(tmp_path)!r}\n{SMOKE.get(name, '')}".strip()
    notebook = run.execute(ROOT / "notebooks" / f"{name}.ipynb", parameters)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)


def test_parameter_that_a_notebook_does_not_have_is_an_error():
    with pytest.raises(ValueError, match="no parameter 'NONE_SUCH'"):
        run.execute(ROOT / "notebooks" / "01_op_costing.ipynb", "NONE_SUCH = 1")
