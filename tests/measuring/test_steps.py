"""Steps on every backend that is installed here, each in a process of its own."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import tostoolkit as tos
from tostoolkit.measuring import steps
from tostoolkit.models.families import FAMILIES, Family, build

ROWS = {
    "feed_forward": {"family": "feed_forward", "depth": 2, "width": 32, "activation": "gelu",
                     "batch_norm": True, "input_size": 16, "batch_size": 8},
    "convolutional": {"family": "convolutional", "depth": 2, "filters": 8, "kernel": 3,
                      "depthwise": True, "normalization": "group", "pooling": "max",
                      "activation": "mish", "image_size": 8, "batch_size": 4},
    "transformer": {"family": "transformer", "blocks": 1, "width": 32, "heads": 2, "sequence": 16,
                    "normalization": "rms", "activation": "silu", "batch_size": 2,
                    "vocabulary": 100},
}

RUN = """
import json, sys
import keras, numpy as np
from tostoolkit.measuring.steps import step

def host(x):
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(x, "float32"))).tolist()

found = {}
for family, row in json.loads(sys.argv[1]).items():
    exact, mixed = (step({**row, "dtype": d})() for d in ("float32", "mixed_bfloat16"))
    train = step({**row, "phase": "training"})
    half = step({**row, "phase": "training", "dtype": "mixed_bfloat16"})
    found[family] = {
        "dtypes": [keras.backend.standardize_dtype(v.dtype) for v in (exact, mixed)],
        "outputs": [host(exact), host(mixed)],
        "losses": [host(train()) for _ in range(10)],
        "half": [host(half()) for _ in range(2)]}
print("found", json.dumps({"backend": keras.backend.backend(), "found": found}))
"""


def python(backend, *arguments):
    """Run Python under a Keras backend and return what it printed; skip where it is not there."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True,
        env={**os.environ, "KERAS_BACKEND": backend,
             "PYTHONPATH": str(Path(tos.__file__).parents[1])})
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_a_sweep_on_every_backend(backend, tmp_path):
    out = tmp_path / "runs.csv"
    python(backend, "-m", "tostoolkit", "sweep", "transformer", "--n", "2", "--repeats", "1",
           "--seconds", "0.1", "--out", str(out))
    runs = tos.load_runs(out)
    assert set(runs.backend) == {backend}
    assert (runs.time_s > 0).all()


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_steps_of_every_family(backend):
    done = python(backend, "-c", RUN, json.dumps(ROWS))
    report = json.loads(done.stdout.split("found ", 1)[1])
    assert report["backend"] == backend
    assert set(report["found"]) == set(ROWS)
    for family, found in report["found"].items():
        exact, mixed = map(np.array, found["outputs"])
        assert found["dtypes"] == ["float32", "bfloat16"]
        assert exact.shape == mixed.shape == (ROWS[family]["batch_size"], 10)
        error = np.abs(mixed - exact).max() / np.abs(exact).max()
        assert 2**-24 < error < 0.1, (family, error)  # bfloat16 keeps 8 bits
        assert np.isfinite(found["losses"] + found["half"]).all()
        assert (np.diff(found["losses"]) < 0).all(), family
        assert found["losses"][0] == pytest.approx(found["half"][0], rel=0.05)


def test_a_training_step_moves_the_weights_and_an_inference_step_does_not():
    models = []

    def builder(row):
        models.append(FAMILIES["feed_forward"].build(row))
        return models[-1]

    for phase, moves in (("inference", False), ("training", True)):
        run = steps.step({**ROWS["feed_forward"], "family": "own", "phase": phase},
                         families={"own": Family(builder)})
        before = [np.array(w) for w in models[-1].get_weights()]
        run()
        moved = [not np.array_equal(a, b) for a, b in zip(
            before, models[-1].get_weights(), strict=True)]
        assert any(moved) == moves
        assert not moves or all(m for m, w in zip(
            moved, models[-1].weights, strict=True) if "kernel" in w.path)


def test_the_update_is_that_of_the_loss_by_hand():
    """One weight, one sample: w - rate 2 (w x - y) x, the bias being 0."""
    made = []

    def builder(row):
        made.append(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
        return made[-1]

    run = steps.step({"family": "own", "batch_size": 1, "phase": "training"},
                     families={"own": Family(builder)})
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((1, 1), "float32").item(), rng.standard_normal((1, 1), "float32")
    w = made[0].get_weights()[0].item()
    loss = float(run())
    assert loss == pytest.approx((w * x - y.item()) ** 2, rel=1e-5)
    moved = made[0].get_weights()[0].item() - w
    assert moved == pytest.approx(-steps.LEARNING_RATE * 2 * (w * x - y.item()) * x, rel=0.05)


def test_same_seed_same_step():
    row = {**ROWS["transformer"], "phase": "training"}
    losses = [float(steps.step(row, seed)()) for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


def test_the_dtype_policy_of_the_process_stays():
    before = keras.config.dtype_policy().name
    model = build({**ROWS["feed_forward"], "dtype": "mixed_bfloat16"})
    assert model.layers[0].compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == before


@pytest.mark.parametrize(("change", "word"), [
    ({"phase": "test"}, "phase: 'test' is unknown"),
    ({"dtype": "float12"}, "float12"),
])
def test_bad_rows_are_named(change, word):
    with pytest.raises(ValueError, match=word):
        steps.step({**ROWS["feed_forward"], **change})


def test_tokens_need_a_vocabulary():
    with pytest.raises(ValueError, match="'vocabulary'"):
        steps.step({"family": "own", "batch_size": 2}, families={
            "own": Family(lambda row: tos.models.encoder(1, 8, 2, 10, 4))})


def test_the_backends_of_keras_that_train_have_steps():
    assert set(steps.STEPS) == {"tensorflow", "jax", "torch"}
