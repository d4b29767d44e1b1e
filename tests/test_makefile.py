"""``make`` makes its environment of a Python that does, and says which one is needed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

TOOLS = ("sh", "make", "mkdir", "cp", "rm", "touch")
#: A Python that takes itself for a version, makes environments of itself, and else does nothing.
FAKE = """#!/bin/sh
case "$1" in
-c) exec '{python}' -c 'import sys; sys.version_info = {version}; exec(sys.argv[1])' "$2";;
*) [ "$2" = venv ] && mkdir -p $3/bin && cp "$0" $3/bin/python; echo "ran $*";;
esac
"""
SHIM = "#!/bin/sh\necho 'python3: command not found' >&2; exit 127\n"


@pytest.fixture
def make(tmp_path):
    """Return a function that runs make where these Pythons are, of the versions given, alone."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))

    def run(*arguments, **pythons):
        for name, version in pythons.items():
            fake(tmp_path / "bin" / name.replace("_", "."), version)
        return subprocess.run(
            ["make", *arguments, ".venv/.installed"], cwd=tmp_path, check=False, text=True,
            capture_output=True, env={"PATH": str(tmp_path / "bin")})
    return run


def fake(path, version):
    numbers = tuple(map(int, version.split("."))) if version else None
    path.write_text(FAKE.format(python=sys.executable, version=numbers) if version else SHIM,
                    encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.parametrize(("pythons", "version"), [
    ({"python3": "3.12"}, "3.12"), ({"python3": "3.14", "python3_13": "3.13"}, "3.13"),
    ({"python3": "", "python3_13": "", "python3_11": "3.11"}, "3.11"),
    ({"python3": "2.7", "python3_12": "3.10", "python3_11": "3.11"}, "3.11"),
])
def test_make_takes_the_first_python_that_runs_and_does(make, tmp_path, pythons, version):
    run = make(**pythons)
    assert run.returncode == 0, run.stderr
    chosen = (tmp_path / ".venv" / "bin" / "python").read_text(encoding="utf-8")
    assert f"version_info = ({version.replace('.', ', ')});" in chosen
    assert (tmp_path / ".venv" / ".installed").is_file()


@pytest.mark.parametrize(("arguments", "pythons", "here"), [
    ((), {"python3": "3.14"}, "python3, which is 3.14"),
    ((), {"python3": "3.14", "python3_13": ""}, "python3, which is 3.14"),
    ((), {"python3": ""}, "none that runs"), ((), {}, "none that runs"),
    (("PYTHON=python3.14",), {"python3": "3.12", "python3_14": "3.14"},
     "python3.14, which is 3.14"),
])
def test_make_stops_before_an_environment_of_another_python(
        make, tmp_path, arguments, pythons, here):
    run = make(*arguments, **pythons)
    assert run.returncode
    assert ("tostoolkit needs Python 3.11, 3.12 or 3.13 (no released TensorFlow has a wheel for "
            "Python 3.14 yet)") in run.stderr
    assert f"and here is {here}" in run.stderr
    assert "install one of these, then type: make PYTHON=python3.13" in run.stderr
    assert not (tmp_path / ".venv").exists()


def test_make_keeps_an_environment_that_does_and_stops_at_another(make, tmp_path):
    assert make(python3="3.12").returncode == 0
    (tmp_path / ".venv" / ".installed").unlink()
    run = make(python3="3.13")
    assert run.returncode == 0
    assert "venv" not in run.stdout.replace(".venv", "")
    (tmp_path / ".venv" / ".installed").unlink()
    fake(tmp_path / ".venv" / "bin" / "python", "3.14")
    run = make()
    assert run.returncode
    assert ".venv has 3.14. Type: make clean" in run.stderr
    assert "pip" not in run.stdout


def test_pip_and_conda_are_told_the_same_range():
    project, conda = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "environment.yml"))
    assert re.findall(r'requires-python = "(.*)"', project) == [">=3.11,<3.14"]
    assert re.findall(r"- python(\S+)", conda) == [">=3.11,<3.14"]
