"""Operators on mixed dtypes and odd shapes, and loops: by hand, on TensorFlow and on JAX.

On JAX the jaxpr is counted beside, by ``support/jaxpr.py``, which shares no code with the package.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from mixed_cases import CASES, OTHERWISE_ON_JAX
from operator_models import counted, expected, model_of

import tostoolkit as tos

ON_JAX = Path(__file__).parents[1] / "support" / "mixed_on_jax.py"
OTHERWISE = {name for names in OTHERWISE_ON_JAX.values() for name in names}


@pytest.mark.parametrize("place", ["bare", "layer"])
@pytest.mark.parametrize("name", CASES)
def test_counts_its_closed_form(name, place):
    function, shapes, counts = CASES[name]
    assert counted(model_of(function, shapes, place)) == expected(counts)


@pytest.fixture(scope="module")
def on_jax():
    run = subprocess.run([sys.executable, ON_JAX], check=True, stdout=subprocess.PIPE, text=True,
                         env=os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": str(
                             Path(tos.__file__).parents[1])})
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.skipif(not find_spec("jax"), reason="JAX is not installed")
def test_counts_its_closed_form_on_jax_and_so_does_its_jaxpr(on_jax):
    """But for the cases that are listed, in which one of the two says otherwise."""
    unlike = set()
    for name, (_, _, counts) in CASES.items():
        want = {f"{dtype} {op}": n for (dtype, op), n in expected(counts).items()}
        if any(on_jax[name][by] != want for by in ("bare", "layer", "jaxpr")):
            unlike.add(name)
    assert unlike == OTHERWISE
