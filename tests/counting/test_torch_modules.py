"""Modules of PyTorch's of many kinds, each against its closed form; what they raise."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent.parent / "support"

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")


def run(*arguments, backend="torch"):
    """Run Python under Keras on a backend and return what it prints and what it complains of."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": backend})
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_each_module_counts_by_its_closed_form():
    printed, _ = run(SUPPORT / "torch_modules.py")
    cases = json.loads(printed.splitlines()[-1])
    assert len(cases) > 45
    assert {name: counted for name, (counted, right) in cases.items() if counted != right} == {}


RAISED = """
import json, torch, tostoolkit as tos
class Misfit(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.part = torch.nn.Linear(4, 2)
    def forward(self, x):
        return self.part(x)
class Chained(torch.nn.Module):
    def forward(self, x):
        try:
            return self.missing(x)
        except AttributeError as error:
            raise RuntimeError("no such part") from error
class Reads(torch.nn.Module):
    def forward(self, x):
        return x * x.sum().item()
class Grows(torch.nn.Module):
    def forward(self, x):
        return x[:, :, None] * x[:, None, :]
def told(module, shape=(3,), batch_size=1):
    try:
        tos.count_ops(module, batch_size=batch_size, input_shape=shape)
    except tos.TraceError as error:
        return str(error)
print(json.dumps({
    "misfit": told(Misfit()), "chained": told(Chained()), "reads": told(Reads()),
    "large": told(torch.nn.Linear(3, 4), batch_size=10**20),
    "grows": told(Grows(), (2**20,), 2**30),
    "as large as it may be": told(torch.nn.Tanh(), (2,), 2**60 - 1)}))
"""


def test_an_error_names_the_module_its_innermost_cause_and_the_line(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(RAISED.replace("tos.TraceError", "ValueError"))
    printed, complaints = run(script)
    told = json.loads(printed.splitlines()[-1])
    assert told["misfit"].startswith(
        "'Misfit' cannot be traced: its code raised RuntimeError: a and b must have same reduction "
        "dim, but got [1, 3] X [4, 2] (mine.py, line 8); ")
    assert ("RuntimeError: no such part (mine.py, line 14), from AttributeError: 'Chained' object "
            "has no attribute 'missing' (mine.py, line 12)") in told["chained"]
    assert told["reads"].startswith("'Reads' cannot be traced: its code reads a value of the data")
    assert told["large"] == (
        "'Linear' cannot be traced: batch_size: a tensor of shape (100000000000000000000, 3) has "
        "more bytes than PyTorch can number (2^63); count at a smaller batch_size, batch_size=1 "
        "say, and multiply")
    assert "batch_size: what aten.mul.Tensor makes has more bytes" in told["grows"]
    assert told["as large as it may be"] is None
    assert "Traceback" not in complaints


REPORTED = """
import json, torch, tostoolkit as tos
from torch import nn
net = nn.Sequential(nn.Linear(8, 4), nn.Tanh(), nn.Sequential(nn.Linear(4, 3), nn.Softmax(-1)))
report = tos.transistor_ops(net, "macs", batch_size=2, input_shape=(8,))
shares = report.shares.set_index(["by", "kind"]).share
found = [report.per_layer.macs.reset_index("kind", drop=True).to_dict(),
         shares["op"].to_dict(), shares["layer"].to_dict(), report.bytes_moved,
         report.per_layer.loc["2.0"].index.tolist(), "2.1" in report._repr_html_(), str(report)]
try:
    import matplotlib
    right = report.under("cmos").plot().axes[1]
    found.append([text.get_text() for text in right.get_yticklabels()])
except ModuleNotFoundError:
    found.append(None)
print(json.dumps(found))
"""


def test_views_of_a_report_take_modules():
    """Bytes: the weights (8 + 1) 4 + (4 + 1) 3, and what is read; results are not known."""
    printed, complaints = run("-c", REPORTED)
    macs, ops, kinds, moved, kind, in_html, text, drawn = json.loads(printed.splitlines()[-1])
    assert macs == {"0": 64, "1": 0, "2.0": 24, "2.1": 0, "Sequential": 0}
    assert {op: share for op, share in ops.items() if share} == {"mac": 1.0}
    assert {name: share for name, share in kinds.items() if share} == {"Linear": 1.0}
    assert moved == 4 * (36 + 15 + 16)
    assert (kind, in_html) == (["Linear"], True)
    assert "dearest layers (5 of 5)" in text
    assert drawn is None or sorted(drawn) == ["0", "1", "2.0", "2.1"]
    assert "Warning" not in complaints


OWN_LAYERS = """
import sys
sys.modules["tensorflow"] = sys.modules["OTHER"] = None
import keras, tostoolkit as tos
class Own(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.scale = self.add_weight(shape=(4,), initializer="ones")
    def call(self, x):
        return written_in(x) * self.scale
def written_in(x):
    BODY
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), Own()])
counts = tos.count_ops(model, batch_size=2)
step = tos.count_ops(model, batch_size=2, phase="training", loss="mse", optimizer="sgd")
print(int(counts["float32", "sin"].sum()), int(step["float32", "mac"].sum()),
      int(step["float32", "sin"].sum()),
      any(name.partition(".")[0] in ("tensorflow", "OTHER") and module is not None
          for name, module in sys.modules.items()))
"""


@pytest.mark.parametrize(("backend", "other", "body"), [
    ("torch", "jax", "import torch; return torch.sin(x)"),
    ("jax", "torch", "import jax.numpy; return jax.numpy.sin(x)")])
def test_a_layer_in_a_backends_own_language_needs_no_other_backend(backend, other, body):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    printed, _ = run("-c", OWN_LAYERS.replace("OTHER", other).replace("BODY", body),
                     backend=backend)
    # sines of 2 x 4; the kernel's product and its gradient; sines, and cosines of their gradient
    assert printed.split() == ["8", str(2 * 2 * 8 * 4), "16", "False"]


#: Choices of a masked recurrent layer, by the steps that some later thing looks at.
MASKED = """
import json, keras, tostoolkit as tos
found = {}
for kind in ("LSTM", "GRU"):
    for unroll in (False, True):
        for states in (False, True):
            words = keras.Input((6,), dtype="int32")
            layer = getattr(keras.layers, kind)(4, unroll=unroll, return_state=states)
            made = layer(keras.layers.Embedding(10, 3, mask_zero=True)(words))
            counts = tos.count_ops(keras.Model(words, made))
            found[f"{kind} {unroll} {states}"] = [
                int(counts["float32", "select"].sum()), int(counts["int32", "select"].sum())]
print(json.dumps(found))
"""


@pytest.mark.parametrize("backend", ["torch", "tensorflow", "jax"])
def test_a_masked_recurrent_layer_chooses_what_something_looks_at(backend):
    """Each step chooses 4 outputs and 4 numbers a state; of the last, states that nobody reads.

    A loop of TensorFlow's or JAX's is counted by its body, which makes them in every step; unrolled
    layers, and all of PyTorch's, which has no loops, leave those of the last step out: the output
    of a masked LSTM is 6 (4 + 8) choices in a loop, and 5 (4 + 8) + 4 without. A lookup chooses
    among 6 wrapped indices, and in the dtype in which they are handed in.
    """
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    found = json.loads(run("-c", MASKED, backend=backend)[0].splitlines()[-1])
    right = {}
    for kind, states in (("LSTM", 2), ("GRU", 1)):
        for unroll in (False, True):
            for returned in (False, True):
                whole = 6 * (4 + 4 * states)
                loops = backend != "torch" and not unroll
                right[f"{kind} {unroll} {returned}"] = [
                    whole - (0 if returned or loops else 4 * states), 6]
    assert found == right
