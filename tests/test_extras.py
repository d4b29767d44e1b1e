"""A library that is missing is an error that says who needs it and how to install it."""

import json
import os
import subprocess
import sys

import pytest

from tostoolkit import extras

#: Has Python find none of some libraries, runs a statement, and says what it raised.
PROBE = """
import json, sys
from importlib.machinery import PathFinder
find, missing = PathFinder.find_spec, {missing}
PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name in missing else find(name, *rest))
import pandas as pd
import tostoolkit as tos
runs = pd.DataFrame({{"configuration": [f"c{{i}}" for i in range(20)], "x": range(1, 21)}})
runs["energy_j"] = 2.0 * runs.x
try:
    {statement}
except Exception as error:
    print(json.dumps([type(error).__name__, str(error), getattr(error, "name", None)]))
else:
    print(json.dumps(None))
"""


def raised(statement, *missing, backend="tensorflow"):
    run = subprocess.run(
        [sys.executable, "-c", PROBE.format(statement=statement, missing=missing)], check=True,
        capture_output=True, text=True, env=os.environ | {"KERAS_BACKEND": backend})
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize(("statement", "missing", "message"), [
    ("tos.fit_scaling_law(runs, 'energy_j ~ x')", "statsmodels",
     "tos.fit_scaling_law needs statsmodels: pip install 'tostoolkit[study]'"),
    ("tos.figures.design", "matplotlib",
     "tos.figures needs matplotlib: pip install 'tostoolkit[study]'"),
    ("from tostoolkit.figures import explore", "matplotlib",
     "tos.figures needs matplotlib: pip install 'tostoolkit[study]'"),
    ("tos.meters()", "pynvml", "tos.meters needs nvidia-ml-py: pip install 'tostoolkit[study]'"),
    ("tos.run_sweep(tos.feed_forward(n=1), 'runs.csv')", "filelock",
     "tos.run_sweep needs filelock: pip install 'tostoolkit[study]'"),
    ("from tostoolkit.models import counting; list(counting._in_processes([1], 1))", "tqdm", None),
    ("tos.count_models(tos.feed_forward().head(1))", "tensorflow",
     "tos.count_models needs a backend of Keras, and tensorflow is not installed: "
     "pip install 'tostoolkit[tensorflow]'"),
])
def test_the_error_names_who_asks_the_library_and_the_extra(statement, missing, message):
    kind, text, name = raised(statement, missing)
    if message is None:  # of the core: Python's own error
        assert (kind, text) == ("ModuleNotFoundError", f"No module named {missing!r}")
    else:
        assert kind == "MissingLibrary"
        assert text.startswith(message)
        assert name == missing


def test_a_backend_that_is_installed_is_offered_and_another_is_installed_by_its_name():
    text = raised("tos.abstract().__enter__()", "jax", "torch", backend="jax")[1]
    assert text == ("tos.abstract needs a backend of Keras, and jax is not installed: pip install "
                    "jax; or set KERAS_BACKEND=tensorflow, which is installed, before Keras is "
                    "imported")


@pytest.mark.parametrize("before", [
    "", "from importlib.util import find_spec; assert find_spec('statsmodels') is None; "])
def test_imports_of_others_fail_as_ever(before):
    kind, text, _ = raised(f"{before}import statsmodels", "statsmodels")
    assert (kind, text) == ("ModuleNotFoundError", "No module named 'statsmodels'")


def test_nothing_is_raised_where_nothing_is_missing():
    assert raised("tos.fit_scaling_law(runs, 'energy_j ~ x', costs='cmos')") is None


def test_the_finder_is_there_once():
    extras.install()
    assert sys.meta_path.count(extras.Finder) == 1
