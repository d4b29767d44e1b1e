"""The package as a user installs it: from its wheel, used outside the repository."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent

#: What a user does first; the argument is where the package must lie.
USE = """
import sys
from pathlib import Path

import keras
import tostoolkit as tos

assert Path(tos.__file__).is_relative_to(sys.argv[1]), tos.__file__
assert len(tos.cost_tables()) > 8
for name in tos.cost_tables().index:
    assert len(tos.load_cost_table(name).costs), name
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, activation="tanh", name="one")])
assert tos.transistor_ops(model, costs="macs").total == 32
model.save("model.keras")
"""
#: The same for what `study` brings.
DRAW = """
from tostoolkit import figures
with figures.styled({"font.size": 9}):
    figure, axes = figures.new_figure(3, 2)
    figures.save(figure, "empty")
"""
#: The circuits' command, cut to the quickest of its tables.
TABLES = """
from tostoolkit.circuits import tables
from tostoolkit.__main__ import main
tables.CIRCUIT_TABLES = {"cmos-fused": tables.CIRCUIT_TABLES["cmos-fused"]}
tables._INSTRUCTIONS = {}
main(["tables", "--out", "."])
"""


def tracked(*folders):
    """Return the files that git tracks or would, relative to the repository."""
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--", *folders],
                           cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in names.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Build the wheel from a copy of what git tracks: a build leaves its files in the source."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        if not name.startswith(("data/", "figures/", "notebooks/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    [file] = out.glob("*.whl")
    return file


@pytest.fixture(scope="session")
def target(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("target")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
                    "--no-compile", "--target", folder, wheel], check=True)
    return folder


def bare():
    """Return this environment without what leads Python to the repository."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


class Installed:
    """Runs Python in a folder of its own, where what was installed is found and no repository."""

    def __init__(self, python, cwd, path=()):
        self.python, self.cwd = python, cwd
        self.environment = bare() | {
            "PYTHONDONTWRITEBYTECODE": "1", "KERAS_BACKEND": "tensorflow",
            **({"PYTHONPATH": str(path)} if path else {})}

    def __call__(self, *arguments, fails=False):
        run = subprocess.run([self.python, *map(str, arguments)], cwd=self.cwd, text=True,
                             env=self.environment, capture_output=True, check=False)
        assert bool(run.returncode) == fails, run.stdout + run.stderr
        return run.stderr if fails else run.stdout


def listing(folder):
    return {p: p.stat().st_mtime_ns for p in Path(folder).rglob("*") if p.is_file()}


def test_all_but_code_is_in_the_wheel_and_nothing_else_is(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    package = set(tracked("tostoolkit"))
    data = {name for name in package if not name.endswith(".py")}
    assert len(data) > 10
    assert data <= names
    assert {name for name in names if ".dist-info/" not in name} == package


def test_what_a_user_does_first(target, tmp_path):
    run = Installed(sys.executable, tmp_path, target)
    before = listing(target)
    run("-c", USE, target)
    assert "32 MACs" in run("-m", "tostoolkit", "count", "model.keras")
    run("-c", DRAW + TABLES)
    assert {p.name for p in tmp_path.iterdir()} == {
        "model.keras", "empty.pdf", "empty.png", "cmos-fused.csv"}
    assert (tmp_path / "cmos-fused.csv").read_bytes() == (
        target / "tostoolkit" / "costs" / "tables" / "cmos-fused.csv").read_bytes()
    assert listing(target) == before


@pytest.mark.parametrize(("arguments", "message"), [
    (["tables"], "the following arguments are required: --out"),
    (["tables", "--out", "none"], "out: folder 'none' does not exist; create it"),
])
def test_circuits_write_only_where_they_are_told(target, tmp_path, arguments, message):
    run = Installed(sys.executable, tmp_path, target)
    assert message in run("-m", "tostoolkit", *arguments, fails=True)


# Clean environments ---------------------------------------------------------------------------

def clean(folder):
    """Return the Python of a new environment, and a function that installs into it."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"

    def install(what):
        subprocess.run([python, "-m", "pip", "install", "--quiet", what], check=True, cwd=folder,
                       env=bare())
    return python, install


@pytest.mark.install
def test_with_tensorflow_in_a_clean_environment(wheel, tmp_path):
    python, install = clean(tmp_path / "environment")
    install(f"{wheel}[tensorflow]")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    run = Installed(python, folder)
    run("-c", USE, tmp_path / "environment")
    assert "32 MACs" in run("-m", "tostoolkit", "count", "model.keras")
    assert "--batch-size" in run("-m", "tostoolkit", "count", "--help")
    assert "tos.figures needs matplotlib: pip install 'tostoolkit[study]'" in run(
        "-c", "import tostoolkit as tos; tos.figures.design", fails=True)
    before = listing(tmp_path / "environment")
    assert run("-m", "tostoolkit", "tables", "--out", ".").count("wrote") == 8
    assert listing(tmp_path / "environment") == before
    install(f"{wheel}[study]")
    run("-c", DRAW)
    assert "rapl" in run("-m", "tostoolkit", "meters")


@pytest.mark.install
def test_the_core_alone(wheel, tmp_path):
    python, install = clean(tmp_path / "environment")
    install(str(wheel))
    run = Installed(python, tmp_path)
    tables = ("import tostoolkit as tos; assert all(len(tos.load_cost_table(name).costs) "
              "for name in tos.cost_tables().index); print(tos.circuits.unit('add', 'int8'))")
    assert "Netlist" in run("-c", tables)
    installed = {canonicalize_name(p.name.split("-")[0])
                 for p in (tmp_path / "environment").rglob("*.dist-info")}
    assert {"keras", "numpy", "pandas"} <= installed
    assert not installed & {"tensorflow", "jupyterlab", "matplotlib", "scipy", "requests"}
    for statement, message in {
        "tos.count_models(tos.feed_forward().head(1))":
            "tos.count_models needs a backend of Keras, and tensorflow is not installed: "
            "pip install 'tostoolkit[tensorflow]'",
        "tos.figures.design": "tos.figures needs matplotlib: pip install 'tostoolkit[study]'",
        "tos.meters()": "tos.meters needs nvidia-ml-py: pip install 'tostoolkit[study]'",
        "import pandas as pd; x = pd.Series(range(1, 31)); tos.fit_scaling_law(pd.DataFrame("
        "{'configuration': x.map(str), 'x': x, 'energy_j': 2.0 * x}), 'energy_j ~ x')":
            "tos.fit_scaling_law needs statsmodels: pip install 'tostoolkit[study]'",
    }.items():
        assert message in run("-c", f"import tostoolkit as tos; {statement}", fails=True)
    count = ("-m", "tostoolkit", "count", "model.keras")
    assert "there is no file or folder 'model.keras'" in run(*count, fails=True)
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    assert run(*count, fails=True).startswith("python -m tostoolkit needs a backend of Keras")
