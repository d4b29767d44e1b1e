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

POSITIONS = ("count_ops takes what a layer makes of shapes alone (positions) for data of the next; "
             "the trace of the whole model, and its jaxpr, do not")
INDICES = ("TensorFlow's backend wraps each index of take_along_axis that it has broadcast, JAX's "
           "before it does")
KERNEL = "each backend has a formula of its own (resizing by matrices, sampling, masks)"
FFT = "a transform's ops are those of an algorithm, which a jaxpr does not say"
ON_JAX = "KerasHub 0.32 hands JAX 0.10 a variable where it takes an array"
UNBUILT = "KerasHub 0.32 does not build it from these arguments, or its code looks at values"

#: Why counts in inference differ -> models. What agrees must leave this list.
WHY_DIFFERENT = {
    POSITIONS: ["MoonshineBackbone", "MoonshineBackbone, gated", "XLNetBackbone"],
    INDICES: ["CLIPBackbone", "MetaCLIP2Backbone", "AlbertMaskedLM", "BertMaskedLM",
              "DebertaV3MaskedLM", "DistilBertMaskedLM", "ESMMaskedPLM", "RobertaMaskedLM",
              "RoformerV2MaskedLM", "XLMRobertaMaskedLM"],
    KERNEL: ["DFineBackbone", "DFineBackbone, its first", "DFineBackbone, its second",
             "DepthAnythingBackbone", "DepthAnythingDepthEstimator", "PaliGemmaBackbone",
             "PaliGemmaCausalLM"],
    FFT: ["FNetBackbone", "FNetMaskedLM", "FNetTextClassifier"],
    ON_JAX: ["VideoPrismBackbone with text"],
    UNBUILT: ["SAMBackbone", "SAMImageSegmenter", "StableDiffusion3Backbone",
              "StableDiffusion3TextToImage", "StableDiffusion3ImageToImage",
              "StableDiffusion3Inpaint", "VGGImageClassifier"],
}
DIFFERENT = {name: why for why, names in WHY_DIFFERENT.items() for name in names}
#: Model -> why its counts in training differ: positions do not, a step is traced as a whole.
DIFFERENT_IN_TRAINING = {name: why for name, why in DIFFERENT.items()
                         if why != POSITIONS} | {}


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
    """Return counts; integers of 32 and of 64 bits are one: JAX has the former alone.

    So is logic of any format: the kernel of ReLU6's gradient, which joins two bools, is counted in
    the format of its values on TensorFlow.
    """
    counts = Counter()
    for (dtype, op), n in items:
        dtype = "int32" if dtype == "int64" else "bool" if op == "logic" else dtype
        counts[dtype, op] += int(n)
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
    for path in (ORACLE, ORACLE.with_name("derivatives.py")):
        subprocess.run([sys.executable, "-m", "doctest", path], check=True,
                       env=os.environ | {"KERAS_BACKEND": "jax"})


def test_lists_are_of_what_there_is():
    assert len(MODELS) >= 150
    assert {*FEW, *DIFFERENT, *DIFFERENT_IN_TRAINING} <= {*APPLICATIONS, *MODELS}
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
        assert by_trace == want
        casts = ("int32", "convert")  # of a seed of 64 bits, which the trace leaves out here
        assert {**by_rule, casts: 0} == {**by_trace, casts: 0}

    strictly(name, DIFFERENT_IN_TRAINING, compare)


@pytest.mark.parametrize("name", few_and_all([*APPLICATIONS, *MODELS]))
def test_macs_of_a_step_are_those_of_jax_own_derivatives(name):
    if name in DIFFERENT_IN_TRAINING:
        pytest.skip(DIFFERENT_IN_TRAINING[name])
    own, ours = jaxpr("training by JAX", name), jaxpr("training", name)
    assert [n for key, n in own.items() if key[1] == "mac"] == [
        n for key, n in ours.items() if key[1] == "mac"]
