"""``import tostoolkit`` is light: it loads neither Keras nor TensorFlow."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import tostoolkit

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


def test_every_public_name_exists_and_no_module_hides_one():
    for name in tostoolkit.__all__:
        assert getattr(tostoolkit, name) is not None
    functions = {name for names in tostoolkit._NAMES.values() for name in names}
    modules = {m.name for m in pkgutil.iter_modules(tostoolkit.__path__)}
    folders = {p.name for p in Path(tostoolkit.__file__).parent.iterdir() if p.is_dir()}
    assert not functions & (modules | folders)
