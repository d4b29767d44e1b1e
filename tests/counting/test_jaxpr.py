"""Rule, TensorFlow trace and jaxpr of the same model say the same, op by op.

The jaxpr is counted by ``support/jaxpr.py``, which shares no code with the package, in a process of
its own. A few models are tried always, where JAX and KerasHub are installed; all of
keras.applications and of ``support/kerashub_models.py`` by ``make prove``. In inference and in
training all kinds of op agree, but where a list below says why they do not: the jaxpr of a step is
that of TensorFlow's derivatives (``support/derivatives.py``).
"""

import json
import os
import subprocess
import sys
from collections import Counter
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import keras
import pytest
from kerashub_models import MODELS, build
from traced import trace_ops

import tostoolkit as tos
from tostoolkit.counting.backends.tensorflow_ops import TRACE_COUNTERS

MISSING = [name for name in ("jax", "keras_hub") if not find_spec(name)]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"{' and '.join(MISSING)}: not installed, pip install '.[oracle]'")
ORACLE = Path(__file__).parents[1] / "support" / "jaxpr.py"
APPLICATIONS = sorted(name for name, value in vars(keras.applications).items()
                      if callable(value) and name[0].isupper())
FEW = ["MobileNet", "MobileNetV2", "MobileNetV3Small", "ResNet50", "VGG16",
       "BertBackbone", "DistilBertTextClassifier", "GemmaCausalLM", "LlamaBackbone",
       "ResNetBackbone, basic", "BartSeq2SeqLM"]

VALUES = ("its scheduler looks at a value that it is called with, the number of steps, so that no "
          "backend can trace it on shapes alone: jax.jit and tf.function refuse it as well")
ONES = ("a choice by a mask of ones: that a tensor is a constant is known from "
        "one layer to the next, its values are not, so count_ops counts 40,960 choices that the "
        "trace of the whole model, and its jaxpr, know to be none")

#: Why counts in inference differ -> models. What agrees must leave this list.
WHY_DIFFERENT = {
    ONES: ["DFineBackbone", "DFineBackbone, its first", "DFineBackbone, its second"],
    VALUES: ["StableDiffusion3Backbone", "StableDiffusion3TextToImage",
             "StableDiffusion3ImageToImage", "StableDiffusion3Inpaint"],
}
DIFFERENT = {name: why for why, names in WHY_DIFFERENT.items() for name in names}
BOXES = ("its loss is of boxes and labels that it is given as a dictionary: it has no step by a "
         "mean squared error, on any backend")
#: Model -> why its counts in training differ. What agrees must leave this list.
DIFFERENT_IN_TRAINING = dict.fromkeys(WHY_DIFFERENT[VALUES], VALUES) | dict.fromkeys(
    ["DFineObjectDetector", "RetinaNetObjectDetector"], BOXES)
RESIZED = ("JAX's own gradient of a resizing from n x n values of c channels to N x N multiplies "
           "with two matrices of weights, N n c (N + n) MACs: 128 channels from 5 to 9, 18, 36 and "
           "72, and 64 from 72 to 126, are 155911680; BASNet's twelve 129766912; SegFormer's 256 "
           "from 4 to 8 are 98304, and its 2 classes from 8 to 32 20480; DeepLab's 256 from 6 to "
           "24 to 96 71884800, and from 1 to 6, where the two are joined to one, N N c, 9216")
AGAIN = ("JAX derives by the moving statistics too that the first of two calls leaves to the "
         "second, as test_compiled.py and test_jax.py say by hand, and resizes by its own gradient")
LOOP = ("JAX's own loop derives by the state before its first step as well, 64 MACs in each of two "
        "layers; TensorFlow's steps stand one by one, and that state is a constant")
#: Model -> why the MACs of a step are others by JAX's own derivatives.
DIFFERENT_BY_JAX = {
    **dict.fromkeys(["BASNetBackbone", "DeepLabV3Backbone", "DeepLabV3ImageSegmenter",
                     "DepthAnythingBackbone", "DepthAnythingDepthEstimator", "SegFormerBackbone",
                     "SegFormerImageSegmenter"], RESIZED),
    **dict.fromkeys(["RWKV7Backbone", "RWKV7CausalLM"], LOOP),
    "BASNetImageSegmenter": AGAIN,
}


@pytest.fixture(autouse=True)
def _integers_have_one_width(monkeypatch):
    """JAX has integers of 32 bits alone, so what TensorFlow's backend makes longer is not counted.

    ``ops.one_hot(i, n)`` of int32 does so: on TensorFlow it converts each index to int64.
    """
    counted = TRACE_COUNTERS["Cast"]

    def cast(op):
        lengths = {t.dtype.base_dtype.name for t in (*op.inputs, *op.outputs)}
        return Counter() if lengths == {"int32", "int64"} else counted(op)

    monkeypatch.setitem(TRACE_COUNTERS, "Cast", cast)


@cache
def oracle(phase, names):
    """Return name -> counts of models by their jaxprs, or what stood in the way."""
    run = subprocess.run(
        [sys.executable, ORACLE, phase, *names], check=True, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"KERAS_BACKEND": "jax"})
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    return {line["name"]: line.get("error") or _merged(
        ((dtype, op), n) for dtype, op, n in line["counts"]) for line in lines}


def jaxpr(phase, name):
    """Return the counts of a model by its jaxpr; the few have a process, the others another."""
    names = FEW if name in FEW else [n for n in [*APPLICATIONS, *MODELS] if n not in FEW]
    counts = oracle(phase, tuple(names))[name]
    assert isinstance(counts, Counter), counts
    return counts


def of(table):
    return _merged(table.sum().items())


def _merged(items):
    """Return counts; integers of 32 and of 64 bits are one: JAX has the former alone."""
    counts = Counter()
    for (dtype, op), n in items:
        counts["int32" if dtype == "int64" else dtype, op] += int(n)
    return +counts


def strictly(name, different, compare):
    """Run a comparison; where the model is listed it must fail, with an error or a difference."""
    if name not in different:
        compare()
        return
    with pytest.raises((AssertionError, ValueError, TypeError)):  # agrees now: leave the list
        compare()


def few_and_all(names):
    return [name if name in FEW else pytest.param(name, marks=pytest.mark.prove)
            for name in names]


def test_the_oracle_by_hand():
    """Closed forms: the oracle's docstrings are its tests."""
    beside = os.pathsep.join([str(ORACLE.parent), os.environ.get("PYTHONPATH", "")])
    for path in (ORACLE, ORACLE.with_name("derivatives.py")):
        subprocess.run([sys.executable, "-m", "doctest", path], check=True,
                       env=os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": beside})


def test_lists_are_of_what_there_is():
    assert len(MODELS) - len(DIFFERENT) >= 150
    assert {*FEW, *DIFFERENT, *DIFFERENT_IN_TRAINING, *DIFFERENT_BY_JAX} <= {
        *APPLICATIONS, *MODELS}
    assert not {*FEW} & {*DIFFERENT, *DIFFERENT_IN_TRAINING}


@pytest.mark.parametrize("name", few_and_all([*APPLICATIONS, *MODELS]))
def test_inference_by_rule_by_trace_and_by_jaxpr(name):
    def compare():
        model, inputs = build(name)
        want = jaxpr("inference", name)
        assert of(tos.count_ops(model, input_shape=inputs)) == want
        assert of(trace_ops(model, input_shape=inputs)) == want

    strictly(name, DIFFERENT, compare)


@pytest.mark.parametrize("name", few_and_all([*APPLICATIONS, *MODELS]))
def test_training_by_rule_by_trace_and_by_jaxpr(name):
    def compare():
        model, inputs = build(name)
        want = jaxpr("training", name)
        step = {"phase": "training", "loss": "mse", "optimizer": "adam", "input_shape": inputs}
        by_rule, by_trace = of(tos.count_ops(model, **step)), of(trace_ops(model, **step))
        assert by_rule == by_trace == want

    strictly(name, DIFFERENT_IN_TRAINING, compare)


@pytest.mark.prove
@pytest.mark.parametrize("name", [*APPLICATIONS, *MODELS])
def test_macs_of_a_step_are_those_of_jax_own_derivatives(name):
    if name in DIFFERENT_IN_TRAINING:
        pytest.skip(DIFFERENT_IN_TRAINING[name])

    def compare():
        own, ours = jaxpr("training by JAX", name), jaxpr("training", name)
        assert [n for key, n in own.items() if key[1] == "mac"] == [
            n for key, n in ours.items() if key[1] == "mac"]

    strictly(name, DIFFERENT_BY_JAX, compare)
