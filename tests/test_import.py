"""``import tostoolkit`` is light: it loads neither Keras nor TensorFlow."""

import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import nbformat

import tostoolkit

ROOT = Path(__file__).parent.parent

CHECK = "import sys; {}; print(sorted({{'keras', 'tensorflow', 'pandas'}} & set(sys.modules)))"


def loaded(statement):
    run = subprocess.run(
        [sys.executable, "-c", CHECK.format(statement)], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_import_loads_nothing_heavy():
    assert loaded("import tostoolkit") == "[]"


def test_tables_and_reports_load_neither_keras_nor_tensorflow():
    assert loaded("import tostoolkit as tos; tos.load_cost_table('cmos'); tos.transistor_ops") == (
        "['pandas']")


def test_the_check_can_fail():
    assert loaded("import keras") != "[]"


def test_every_public_name_exists_and_stands_in_a_notebook_or_how_to():
    cells = [cell.source for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
             for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    pages = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))]
    assert len(cells) > 50
    assert len(pages) >= 7
    shown = "\n".join([*cells, *pages])
    assert len(tostoolkit.__all__) <= 36
    for name in tostoolkit.__all__:
        assert getattr(tostoolkit, name) is not None
        assert re.search(rf"\btos\.{name}\b|from tostoolkit import .*\b{name}\b", shown), name


def test_no_module_hides_a_public_name():
    functions = {name for names in tostoolkit._NAMES.values() for name in names}
    modules = {m.name for m in pkgutil.iter_modules(tostoolkit.__path__)}
    assert not functions & modules
