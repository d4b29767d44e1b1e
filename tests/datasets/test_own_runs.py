"""A user's own measurements: what comes back, and what each kind of bad input says."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

import tostoolkit as tos
from tostoolkit.datasets import from_csv


def dense(units):
    import keras

    return keras.Sequential([keras.Input((8,)), keras.layers.Dense(units, activation="tanh")])


@pytest.fixture(scope="module")
def models():
    return {"small": dense(4), "large": lambda: dense(40)}


@pytest.fixture
def table():
    return pd.DataFrame({
        "model": ["small", "large", "small", "large"], "device": "A", "note": list("abcd"),
        "energy_j": [1.0, 2.0, 1.1, 2.1], "seconds": [0.1, 0.2, 0.1, 0.2],
    })


def test_runs_come_back_counted(table, models, tmp_path):
    table.to_csv(tmp_path / "runs.csv", index=False)
    runs = from_csv(tmp_path / "runs.csv", models, time="seconds", batch_size=16)
    assert runs["mac float32"].tolist() == [16 * 8 * 4, 16 * 8 * 40] * 2
    assert runs["tanh float32"].tolist() == [64, 640] * 2
    assert runs.configuration.tolist() == ["small batch=16 inference",
                                           "large batch=16 inference"] * 2
    assert runs.energy_j.tolist() == table.energy_j.tolist()
    assert runs.time_s.tolist() == table.seconds.tolist()
    assert runs.note.tolist() == list("abcd")


def test_saved_models_and_training_are_counted(table, models, tmp_path):
    dense(4).save(tmp_path / "small.keras")
    table["step"] = ["inference", "training"] * 2
    table["samples"] = [1, 2, 1, 2]
    given = {"small": str(tmp_path / "small.keras"), "large": models["large"]}
    runs = from_csv(table, given, phase="step", batch_size="samples", loss="mse",
                     optimizer="sgd")
    step = tos.count_ops(dense(40), 2, "training", loss="mse", optimizer="sgd")
    assert runs["mac float32"].tolist()[:2] == [32, step["float32", "mac"].sum()]
    assert runs["mac dense"].tolist() == runs["mac float32"].tolist()
    assert runs.phase.tolist() == ["inference", "training"] * 2


def test_a_counter_of_ones_own_holds(table, models):
    own = tos.OP_COUNTERS | {"Dense": lambda call: Counter(
        {("float32", "sqrt"): call.outputs[0].size})}
    runs = from_csv(table, models, batch_size=2, counters=own)
    assert runs["sqrt float32"].tolist() == [8, 80, 8, 80]
    assert "mac float32" not in runs


def test_law_recovered_from_own_runs(tmp_path):
    """From a CSV to a law: 2 J and 3 nJ a MAC, in millijoules, come back."""
    sizes = [1, 2, 4, 8, 16, 32]
    macs = np.array([64 * 8 * n for n in sizes])
    table = pd.DataFrame({"model": [str(n) for n in sizes], "energy": 1e3 * (2 + 3e-6 * macs)})
    runs = tos.price(from_csv(table, {str(n): dense(n) for n in sizes}, energy="energy",
                                     unit="mJ", device="one GPU", batch_size=64))
    law = tos.fit_scaling_law(runs, ["macs"])
    assert law.coefficients.estimate.tolist() == pytest.approx([2, 3e-6])
    assert law.device == "one GPU"


@pytest.mark.parametrize(("unit", "joules"), [
    ("J", 1), ("kJ", 1e3), ("MJ", 1e6), ("mJ", 1e-3), ("µJ", 1e-6), ("uJ", 1e-6), ("Wh", 3600),
    ("kWh", 3.6e6)])
def test_units(table, models, unit, joules):
    runs = from_csv(table.rename(columns={"energy_j": "e"}), models, energy="e", unit=unit)
    assert runs.energy_j.tolist() == pytest.approx([joules * e for e in table.energy_j])
    per_row = from_csv(table.rename(columns={"energy_j": "e"}).assign(u=unit), models, energy="e",
                        unit="u")
    assert per_row.energy_j.tolist() == runs.energy_j.tolist()


def test_a_column_that_no_argument_names_is_not_a_unit(table, models):
    """Not even one called ``unit`` (the device, in old runs files), or as the unit is."""
    runs = from_csv(table.assign(unit="gpu-0", J="x"), models)
    assert runs.energy_j.tolist() == table.energy_j.tolist()
    assert set(runs.unit) == {"gpu-0"}


def test_time_alone_leaves_energy_missing(table, models):
    runs = from_csv(table.drop(columns="energy_j"), models, energy=None, time="seconds")
    assert runs.energy_j.isna().all()
    assert runs.time_s.notna().all()


@pytest.mark.parametrize(("change", "arguments", "words"), [
    (lambda t: t.drop(columns="model"), {}, ["model: no column 'model'", "model='<column>'"]),
    (lambda t: t.drop(columns="energy_j"), {}, ["energy: no column 'energy_j'", "seconds"]),
    (lambda t: t, {"time": "t"}, ["time: no column 't'"]),
    (lambda t: t, {"batch_size": "n"}, ["batch_size: no column 'n'"]),
    (lambda t: t, {"configuration": "c"}, ["configuration: no column 'c'"]),
    (lambda t: t.drop(columns="device"), {}, ["device: no column 'device'", "of one"]),
    (lambda t: t.assign(device=["A", None, "A", "A"]), {}, ["device: line 3", "fill it in"]),
    (lambda t: t.assign(model=["small", "huge", "small", "huge"]), {},
     ["model: lines 3, 5", "no model 'huge'", "small, large", "add it"]),
    (lambda t: t.assign(energy_j=[1, 0, 2, 3]), {}, ["energy_j: line 3: 0 is not pos", "drop"]),
    (lambda t: t.assign(energy_j=[1, 2, -5, 3]), {}, ["energy_j: line 4: -5 is not positive"]),
    (lambda t: t.assign(energy_j=[1, 2, None, 3]), {}, ["energy_j: line 4: no value", "drop rows"]),
    (lambda t: t.assign(energy_j=["1", "2", "2,5", "3"]), {}, ["energy_j: line 4: '2,5' is not"]),
    (lambda t: t.assign(note="a").iloc[[0, 1, 0, 1]], {}, ["lines 4, 5", "copy", "drop_dup"]),
    (lambda t: t, {"unit": "BTU"}, ["unit: 'BTU'", "kWh"]),
    (lambda t: t, {"unit": "kWh"}, ["unit: 'kWh'", "'energy_j', says 'J'", "unit='J'"]),
    (lambda t: t.assign(u=["J", "kJ", "J", "J"]), {"unit": "u"}, ["u: line 3: 'kJ' beside 'J'"]),
    (lambda t: t, {"phase": "test"}, ["phase: lines 2, 3, 4, 5: 'test' is neither"]),
    (lambda t: t, {"batch_size": 0}, ["batch_size: lines 2, 3, 4, 5: 0 is not a number of"]),
    (lambda t: t.assign(elements=1), {}, ["column 'elements' has the name of a count; rename it"]),
])
def test_bad_input_names_column_row_and_fix(table, models, change, arguments, words):
    with pytest.raises(ValueError, match=r".") as caught:
        from_csv(change(table), models, **arguments)
    for word in words:
        assert word in str(caught.value)


def test_missing_files_are_errors(table, tmp_path):
    with pytest.raises(FileNotFoundError, match="csv: there is no file"):
        from_csv(tmp_path / "none.csv", {})
    with pytest.raises(FileNotFoundError, match="models: 'small': there is no file"):
        from_csv(table.iloc[[0]], {"small": tmp_path / "none.keras"})
    with pytest.raises(TypeError, match="models: 'small' is a int; give a Keras model"):
        from_csv(table.iloc[[0]], {"small": 3})
