"""Training steps traced on JAX and PyTorch against TensorFlow's: losses, optimizers, targets."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "support" / "step_cases.py"

pytestmark = pytest.mark.skipif(find_spec("tensorflow") is None,
                                reason="TensorFlow is not installed")


def f32(text):
    return {f"float32 {op}" for op in text.split()}


def each(names, columns):
    return dict.fromkeys(names.split(", "), columns)


#: TensorFlow takes the logits behind a softmax or a sigmoid, in one kernel; the others normalise
#: and clip probabilities, and take their logarithm.
OF_PROBABILITIES = ("CategoricalCrossentropy, SparseCategoricalCrossentropy, list, dict, "
                    "list by name, dict and targets, wide labels")
#: Backend -> case -> the kinds of op of the forward and backward passes that differ.
PASSES = {
    "torch": {
        **each(OF_PROBABILITIES, f32("add div log max mul neg select") | {"bool logic"}),
        "BinaryCrossentropy": f32("add exp log max mul neg select sigmoid") | {"bool logic"},
        "BinaryFocalCrossentropy": f32("add exp log max neg select") | {"bool logic"},
        # PyTorch's gradient of a clip tests both bounds and joins the tests
        **each("CategoricalFocalCrossentropy, KLDivergence",
               f32("div max mul") | {"bool logic"}),
        # its log-softmax is taken once more for the gradient, which TensorFlow's kernel returns
        "labels of logits": f32("add div exp neg"),
        # Keras on PyTorch tests labels for negatives and converts what one-hot makes
        "CategoricalGeneralizedCrossEntropy": {
            "bool convert", "float32 mul", "int convert", "int max", "int select"},
        "own of labels": {"bool convert", "int convert", "int max", "int select"},
        # the gradient of a maximum: TensorFlow gives ties to one side, PyTorch a half to each
        "Hinge": f32("max select"), **each("SquaredHinge, CosineSimilarity", f32("div max select")),
        "MeanSquaredLogarithmicError": f32("div max mul select"),
        "CategoricalHinge": f32("add div max select") | {"bool convert", "int add", "int convert"},
        "Circle": f32("add div exp max mul select"),
        # g / x where TensorFlow has g (1 / x); a power's gradient in another order
        **each("Poisson, own, add_loss", f32("mul")), **each("Dice, Tversky", f32("neg")),
    },
    "jax": {
        # beside what is said of PyTorch: quotients and roots that are guarded, |x| by a choice
        **each(OF_PROBABILITIES, f32("add div log max mul neg select")),
        "BinaryCrossentropy": f32("add div exp log max mul select sigmoid"),
        "BinaryFocalCrossentropy": f32("add div exp log max mul select"),
        **each("CategoricalFocalCrossentropy, KLDivergence, CategoricalHinge",
               f32("div max mul neg select")),
        "labels of logits": f32("add div mul neg"),
        "CategoricalGeneralizedCrossEntropy": f32("div mul neg pow rsqrt"),
        "own of labels": {"float32 convert"},
        **each("Hinge, SquaredHinge, CosineSimilarity", f32("div max mul select")),
        "MeanSquaredLogarithmicError": f32("div max select"),
        "Circle": f32("abs add convert div exp log max mul neg select sigmoid"),
        "LogCosh": f32("abs add exp log max mul neg select sigmoid"),
        # the gradient of |x| chooses between g and -g, where TensorFlow multiplies by a sign
        **each("MeanAbsoluteError, MeanAbsolutePercentageError, Huber, penalties, subclassed",
               f32("add mul neg select")), "own": f32("add neg select"),
        "weighted": f32("add div mul neg select"), "one for two": f32("div mul neg"),
        **each("Poisson, add_loss", f32("mul")), **each("Dice, Tversky", f32("div mul")),
        "scaled": f32("div"),  # a mean's gradient is divided before it is spread
    },
}
#: The update: PyTorch counts steps in another format and negates the learning rate.
OF_UPDATE = {"torch": {"int add", "int convert", "float32 neg"}, "jax": {"int convert"}}
UPDATES = {
    # Keras on PyTorch updates all variables at once by code of its own
    "torch": {**each("Adam, AdamW", f32("add div mul pow sqrt")),
              **each("Adamax, Nadam", f32("add mul pow")),
              **each("Adadelta, Ftrl", f32("mul")), "clipped, averaged": f32("add mul"),
              "scaled": f32("abs max") | {"bool logic"},  # |g| is compared with infinity
              "accumulated": f32("mul")},  # sums are cleared by a product with zero
    # variables without a gradient are updated by zeros; steps are counted in both branches
    "jax": {"none for one": f32("add mul"), "scaled": {"float32 mul", "int add", "int max"},
            "accumulated": {"int add", "int max", "int rem"}},
}
#: Cases that are compared in every run; the others by make prove.
FEW = ("MeanSquaredError", "Hinge", "Adam", "Lion", "dict and targets", "list", "one for two",
       "subclassed", "own of targets", "accumulated")


def printed(backend, names):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *names], check=True, capture_output=True, text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": backend})
    return json.loads(done.stdout.splitlines()[-1])


def unlike(a, b):
    return {key for key in {*a, *b} if a.get(key, 0) != b.get(key, 0)}


@pytest.mark.parametrize("names", [FEW, pytest.param((), marks=pytest.mark.prove)],
                         ids=["few", "all"])
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_steps_count_as_on_tensorflow_but_for_named_reasons(backend, names):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    ours, theirs = printed(backend, names), printed("tensorflow", names)
    assert ours.keys() == theirs.keys()
    assert len(ours) >= (len(FEW) if names else 22 + 16)
    if "CTC" in ours and backend == "torch":  # its kernel's result has a size that data decide
        assert "aten._ctc_loss" in ours.pop("CTC")["error"]
    elif "CTC" in ours:  # Keras on JAX looks up labels by products with ones and zeros
        passes = ours.pop("CTC")["passes"]
        # two products of 3 x 6 x 8 x 4 of the layer: forward, and the kernel's gradient
        assert passes["float32 mac"] > theirs["CTC"]["passes"]["float32 mac"] == 2 * 576
    for name, parts in ours.items():
        other = theirs[name]
        assert "error" not in {*parts, *other}, (name, parts, other)
        assert unlike(parts["passes"], other["passes"]) == PASSES[backend].get(name, set()), name
        assert parts["passes"]["float32 mac"] == other["passes"]["float32 mac"] > 0
        extra = unlike(parts["update"], other["update"]) - OF_UPDATE[backend]
        assert extra == UPDATES[backend].get(name, set()), name
