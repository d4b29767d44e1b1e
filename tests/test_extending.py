"""One of everything that can be added works everywhere, by one record or by a value from outside.

A record goes where CONTRIBUTING.md says, in a copy of the package; nothing else is written.
"""

import inspect
import re
import subprocess
import sys
import time
from collections import Counter
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from extended import PACKAGE, ROWS, package_with, place, quoted, with_record
from keras import layers
from runs import fleet, synthetic
from traced import trace_ops

import tostoolkit as tos
from tostoolkit import extras
from tostoolkit.costs.cost_table import COLUMNS
from tostoolkit.counting.backends.tensorflow_ops import TRACE_COUNTERS
from tostoolkit.counting.trace import TraceError
from tostoolkit.datasets.dataset import Dataset, forward, one_forward
from tostoolkit.measuring import steps
from tostoolkit.models.families import FAMILIES, Family, Pairs

ROOT = Path(__file__).parent.parent
F = "float32"
STEP = {"phase": "training", "loss": "mse", "optimizer": "sgd"}


@pytest.fixture
def extended(tmp_path):
    """Return the function that imports the package with a record more, or with other files."""
    with_it = []

    def make(thing, record=None, **files):
        context = package_with(tmp_path, with_record(thing, record) if record else files)
        with_it.append(context)
        return context.__enter__()

    yield make
    for context in reversed(with_it):
        context.__exit__(None, None, None)


def module_of(package, name):
    return import_module(f"{package.__name__}.{name}")


def count_of(package):
    return module_of(package, "counting.count").count


def totals(table):
    """Return what a table of counts holds in all, without what is not there."""
    return {key: int(n) for key, n in table.sum().items() if n}


def by_part(table):
    """Return the counts of a training step by its part and op."""
    parts = table.groupby(level="part").sum().stack(["dtype", "op"])
    return {key: int(n) for key, n in parts.items() if n}


def sequential(*parts, shape=(4,)):
    return keras.Sequential([keras.Input(shape), *parts])


# The table itself ---------------------------------------------------------------------------

def test_each_row_is_a_test_here_and_conversely():
    rows = {f"test_{re.sub('[^a-z]+', '_', thing.lower())}" for thing in ROWS}
    here = {name for name in globals() if name.startswith(("test_a_", "test_an_"))}
    assert len(ROWS) >= 18
    assert rows == here


@pytest.mark.parametrize("thing", ROWS)
def test_what_a_row_names_is_there(thing):
    words = quoted(ROWS[thing])
    paths = [word for word in words if "/" in word or word.endswith((".py", ".toml"))]
    assert paths
    for path in paths:
        assert (PACKAGE / path).exists() or (ROOT / path).exists(), path
    if any(word.isupper() for word in words):
        registry, path = place(thing)
        text = (PACKAGE / path).read_text(encoding="utf-8")
        assert len(re.findall(rf"^{registry}(?:: .+)? = ", text, re.M)) == 1


def test_the_checks_of_the_table_can_fail(monkeypatch):
    monkeypatch.setitem(ROWS, "a nothing", "an entry in `NOTHING` of `counting/none.py`")
    with pytest.raises(AssertionError):
        test_what_a_row_names_is_there("a nothing")
    with pytest.raises(AssertionError):
        test_each_row_is_a_test_here_and_conversely()


# Counting -----------------------------------------------------------------------------------

def swell(x):
    return keras.ops.tanh(x) * keras.ops.exp(x)


def share(x):
    return x / keras.ops.sum(x, axis=-1, keepdims=True)


#: Name -> function, its record, and its ops for n elements in rows of k.
ACTIVATIONS = {
    "swell": (swell, """
    "swell": Activation({"tanh": 1, "exp": 1, "mul": 1}, {"mul": 5, "add": 2}, "Swell"),""",
              lambda n, k: {"tanh": n, "exp": n, "mul": n}),
    "share": (share, """
    "share": Activation(
        {}, lambda dtype, n, k: ops(dtype, div=3 * n, neg=n, mul=n, add=2 * n - n // k), "Share",
        lambda dtype, n, k: ops(dtype, div=n, add=n - n // k)),""",
              lambda n, k: {"div": n, "add": n - n // k}),
}


@pytest.fixture(params=ACTIVATIONS)
def shipped_activation(request, monkeypatch):
    """An activation that Keras ships as of now, with its operator: name, operator, record, ops."""
    from keras.src import activations
    from keras.src.ops import nn

    name = request.param
    function, record, ops = ACTIVATIONS[name]
    operator = type(name.title(), (keras.Operation,), {
        "__module__": nn.__name__, "call": lambda self, x: function(x),
        "compute_output_spec": lambda self, x: keras.KerasTensor(x.shape, x.dtype)})
    monkeypatch.setattr(keras.activations, name, function, raising=False)
    monkeypatch.setitem(activations.ALL_OBJECTS_DICT, name, function)
    monkeypatch.setattr(nn, name.title(), operator, raising=False)
    return name, operator, record, ops


def test_an_activation(shipped_activation, extended):
    """Where the package as it is traces it, the one with its record has a rule, and they agree."""
    name, operator, record, ops = shipped_activation
    x = extended("an activation", record)
    count = count_of(x)
    inputs = keras.Input((4,))
    bare = keras.Model(inputs, operator()(layers.Dense(6)(inputs)))
    for model, n in ((sequential(layers.Dense(6, activation=name)), 12),
                     (sequential(layers.Dense(6), layers.Activation(name)), 12),
                     (bare, 12),
                     (sequential(layers.LSTM(6, activation=name), shape=(5, 4)), None),
                     (sequential(layers.TimeDistributed(layers.Dense(6, activation=name)),
                                 shape=(3, 4)), 36)):
        counted = count(model, 2)
        assert counted.coverage == {"rule": len(counted.counts)}
        assert totals(counted.counts) == totals(tos.count_ops(model, 2))
        if n:
            of_activation = {(F, op): k for op, k in ops(n, 6).items()}
            bias = Counter({(F, "add"): n, (F, "mac"): 4 * n})
            assert totals(counted.counts) == dict(Counter(of_activation) + bias)
    trained = sequential(layers.Dense(6, activation=name), layers.Dense(3))
    step = count(trained, 2, **STEP)
    assert set(step.coverage) == {"rule"}
    assert by_part(step.counts) == by_part(tos.count_ops(trained, 2, **STEP))
    costs = x.activation_costs("flops")
    assert (name in costs.index) == (name == "swell")  # what works on rows has no cost an element
    if name == "swell":
        assert costs.ops[name] == {"tanh": 1, "exp": 1, "mul": 1}
    look, before = (module_of(p, "figures.style").ACTIVATION_LOOKS for p in (x, tos))
    assert len(set(look.values())) == len(look) == len(before) + 1
    runs = pd.DataFrame({"activation": ["relu", name], "tos": [1, 2], "energy_j": 1.0})
    curve = pd.DataFrame({"tos": [1, 9], "mean": 1.0, "lower": 0.9, "upper": 1.1})
    figure = x.figures.scaling_law(runs, curve, "tos", "energy_j", ("x", "y"))
    assert {line.get_label(): (line.get_color(), line.get_marker())
            for line in figure.axes[0].lines}[name] == look[name]
    models = x.feed_forward(depths=(1,), widths=(8,), activations=("linear", name), n=None,
                            batch_norms=(False,), input_sizes=(4,), batch_sizes=(2,),
                            phases=("inference",), dtypes=(F,))
    linear, added = x.count_models(models).to_dict("records")
    assert {op: added[f"{op} float32"] - linear.get(f"{op} float32", 0)
            for op in ops(16, 8)} == ops(16, 8)


def test_an_activation_layer(extended, monkeypatch):
    class Bump(layers.Layer):
        def call(self, x):
            return keras.ops.exp(-keras.ops.square(x))

        def compute_output_shape(self, shape):
            return shape

    Bump.__module__ = Bump.call.__module__ = "keras.src.layers.bump"  # as if Keras shipped it
    monkeypatch.setattr(layers, "Bump", Bump, raising=False)
    x = extended("an activation layer", """
    "Bump": lambda layer, dtype, shape: ops(
        dtype, exp=product(shape), neg=product(shape), mul=product(shape)),""")
    for model in (sequential(Bump()), sequential(layers.Dense(3, activation=Bump())),
                  sequential(layers.TimeDistributed(Bump()), shape=(2, 4))):
        counted = count_of(x)(model, 2)
        assert counted.coverage == {"rule": 1}
        assert totals(counted.counts) == totals(tos.count_ops(model, 2))


@keras.saving.register_keras_serializable("extending")  # other tests have a Mine too
class Mine(layers.SimpleRNN):
    """A recurrent layer of one's own, since only such go into Bidirectional."""


def sines(call):
    """What nothing else here computes: a thousand a call, and one an output."""
    return Counter({(F, "sin"): 1000 + call.outputs[0].size})


#: Where a layer stands -> (layers, shape of a sample, sines of two samples).
PLACES = {
    "alone": (lambda: [Mine(3)], (5, 4), 1000 + 6),
    "TimeDistributed": (lambda: [layers.TimeDistributed(Mine(3))], (2, 5, 4), 2 * (1000 + 6)),
    "Bidirectional": (lambda: [layers.Bidirectional(Mine(3))], (5, 4), 2 * (1000 + 6)),
}


@pytest.mark.parametrize("where", PLACES)
def test_a_layer(where, extended):
    make, shape, expected = PLACES[where]
    model = sequential(*make(), layers.Flatten(), layers.Dense(2), shape=shape)
    x = extended("a layer", """
    "Mine": lambda call: lc.ops(call.dtype, sin=1000 + call.outputs[0].size),""")
    counters = tos.OP_COUNTERS | {"Mine": sines}
    for counts in (tos.count_ops(model, 2, counters=counters), x.count_ops(model, 2)):
        assert totals(counts)[F, "sin"] == expected
        assert totals(counts)[F, "mac"] == 2 * 2 * model.layers[-1].input.shape[-1]
    report = tos.transistor_ops(model, "flops", 2, counters=counters)
    assert report.by_op.loc[(F, "sin"), "cost"] == expected
    step = by_part(tos.count_ops(model, 2, counters=counters, **STEP))
    assert step["forward", F, "sin"] == expected
    plain = by_part(tos.count_ops(model, 2, **STEP))
    assert {key: n for key, n in step.items() if key[0] != "forward"} == {
        key: n for key, n in plain.items() if key[0] != "forward"}
    assert by_part(x.count_ops(model, 2, **STEP)) == plain  # without a gradient it is traced


def test_a_gradient_of_a_layer(extended):
    x = extended("a gradient of a layer", """
    "Rescaling": Gradient(lambda call, wanted, is_logits: ops(DTYPE, mul=call.outputs[0].size)),""")
    model = sequential(layers.Dense(5), layers.Rescaling(0.5, offset=1.0), layers.Dense(3))
    step = count_of(x)(model, 2, **STEP)
    assert set(step.coverage) == {"rule"}
    assert tos.transistor_ops(model, "flops", 2, **STEP).coverage != step.coverage
    assert by_part(step.counts) == by_part(tos.count_ops(model, 2, **STEP))


def with_operator(operator):
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(2)(operator(layers.Dense(3)(inputs))))


def test_an_operator(extended):
    x = extended("an operator", """
    "Sinh": {"exp": 2, "add": 1, "mul": 1},""")
    model = with_operator(keras.ops.sinh)
    counted = count_of(x)(model, 2)
    assert counted.coverage == {"rule": 3}
    assert totals(counted.counts) == totals(tos.count_ops(model, 2))


def test_operators_take_a_counter_from_outside_wherever_they_stand():
    model = with_operator(keras.ops.sinh)
    counters = tos.OP_COUNTERS | {"ops.Sinh": sines}
    assert totals(tos.count_ops(model, 2, counters=counters))[F, "sin"] == 1000 + 6
    step = tos.count_ops(model, 2, counters=counters, **STEP)
    assert by_part(step)["forward", F, "sin"] == 1000 + 6
    assert ("forward", F, "exp") not in by_part(step)
    inputs = keras.Input((5, 4))
    spread = keras.Model(inputs, layers.TimeDistributed(model)(inputs))
    assert totals(tos.count_ops(spread, 2, counters=counters))[F, "sin"] == 5 * (1000 + 6)
    assert totals(tos.count_ops(spread, 2, counters=counters)).get((F, "exp")) is None


class Gamma(layers.Layer):
    def call(self, x):
        return tf.math.lgamma(x)

    def compute_output_shape(self, shape):
        return shape


def test_a_tensorflow_op(extended):
    model = sequential(layers.Dense(3), Gamma())
    with pytest.raises(TraceError, match="Lgamma"):
        tos.count_ops(model, 2)
    x = extended("a TensorFlow op", """
    "Lgamma": lambda op: ops(dtype_of(op.outputs[0]), log=size(op.outputs[0])),""")
    assert totals(x.count_ops(model, 2)) == {(F, "mac"): 24, (F, "add"): 6, (F, "log"): 6}
    spread = sequential(layers.TimeDistributed(Gamma()), shape=(5, 3))
    assert totals(x.count_ops(spread, 2)) == {(F, "log"): 30}
    given = trace_ops(model, 2, trace_counters=TRACE_COUNTERS | {
        "Lgamma": lambda op: Counter({(F, "log"): int(np.prod(op.outputs[0].shape))})})
    assert totals(given)[F, "log"] == 6


def test_a_primitive_of_jax(extended):
    jax = pytest.importorskip("jax")
    gamma = jax.scipy.special.gammaln
    with pytest.raises(TraceError, match=r"the primitive lgamma at .* is an entry of PRIMITIVES"):
        tos.count_ops(gamma, 2, input_shape=(3,))
    x = extended("a primitive of JAX", """
    "lgamma": _per_output({"log": 1}),""")
    assert totals(x.count_ops(gamma, 2, input_shape=(3,))) == {(F, "log"): 6}
    mapped = jax.jit(jax.vmap(gamma))
    assert totals(x.count_ops(mapped, 2, input_shape=(3,))) == {(F, "log"): 6}


def test_an_op_of_pytorch(extended):
    torch = pytest.importorskip("torch")

    class LogGamma(torch.nn.Module):
        def forward(self, x):
            return torch.lgamma(x)

    module = torch.nn.Sequential(torch.nn.Linear(4, 3), LogGamma())
    with pytest.raises(TraceError, match=r"lgamma.default has no counter; .* of TORCH_COUNTERS"):
        tos.count_ops(module, 2, input_shape=(4,))
    x = extended("an op of PyTorch", """
    "lgamma": per_output({"log": 1}),""")
    assert totals(x.count_ops(module, 2, input_shape=(4,))) == {
        (F, "mac"): 24, (F, "add"): 6, (F, "log"): 6}


# Costs --------------------------------------------------------------------------------------

TABLE = "\n".join([
    "# description: a table of mine", "# unit: zJ", ",".join(COLUMNS),
    *(f"{op},*,{cost},estimated,me,page 1," for op, cost in (
        ("mac", 3), ("add", 1), ("exp", 4e6)))]) + "\n"


def counted_runs():
    """Runs of a known law: 2 J, and 5e-12 J a zJ of the table above."""
    rng = np.random.default_rng(0)
    runs = pd.DataFrame(10 ** rng.uniform(6, 9, (30, 1)), columns=["mac float32"])
    runs["exp float32"] = 10 ** rng.uniform(1, 3, 30)
    runs["energy_j"] = 2 + 5e-12 * (3 * runs["mac float32"] + 4e6 * runs["exp float32"])
    return runs.assign(configuration=range(30))


def model():
    return sequential(layers.Dense(6, activation="exponential"))


#: Of the model above, by hand: 24 MACs, 6 additions and 6 exponentials.
COST = 3 * 24 + 6 + 4e6 * 6


def of_mine(package, tmp_path, term, costs):
    """Fit, save and load a law of a table; it says its unit and predicts the same."""
    runs = counted_runs()
    law = package.fit_scaling_law(runs, term, costs=costs)
    assert law.coefficients.estimate.to_numpy() == pytest.approx([2, 5e-12])
    assert f"5e-12 J/zJ {term}" in law.equation()
    law.save(tmp_path / "law.json")
    loaded = package.load_scaling_law(tmp_path / "law.json")
    assert loaded.equation() == law.equation()
    again = {} if term.startswith("tos_") else {"costs": package.load_cost_table(costs)}
    with pytest.warns(UserWarning, match="extrapolation"):
        assert loaded.predict(model(), **again) == pytest.approx(2 + 5e-12 * COST)


@pytest.mark.parametrize("take", [str, Path, tos.load_cost_table])
def test_costs_from_outside_serve_as_a_path_or_a_table(tmp_path, take):
    (tmp_path / "mine.csv").write_text(TABLE)
    costs = take(str(tmp_path / "mine.csv"))
    assert tos.transistor_ops(model(), costs).total == COST
    of_mine(tos, tmp_path, "tos", costs)
    priced = tos.price(counted_runs(), costs, ["tos"])
    assert set(priced.costs) == {"mine"}
    assert "J/zJ tos" in tos.fit_scaling_law(priced, "tos", costs=costs).equation()
    with pytest.raises(ValueError, match="priced by 'mine'"):
        tos.fit_scaling_law(priced, "tos", costs="cmos")
    table = tos.cost_sensitivity(counted_runs(), costs=costs, bootstrap=5)
    assert table[table.best & (table.part == "elementary")].multiplier.tolist() == [1.0]


def test_a_cost_table(extended, tmp_path):
    convention = TABLE.replace("me,page 1", "definition,counted").replace("4000000.0", "4e9")
    x = extended("a cost table", **{
        "costs/tables/mine.csv": TABLE, "costs/tables/counted.csv": convention})
    assert x.cost_tables().loc["mine", "unit"] == "zJ"
    assert x.transistor_ops(model(), "mine").total == COST
    assert x.compare([model()], ["mine", "macs"]).cost.tolist() == [COST, 24]
    runs = counted_runs()
    expected = 3 * runs["mac float32"] + 4e6 * runs["exp float32"]
    assert x.price(runs)["tos_mine"].to_numpy() == pytest.approx(expected)
    assert x.predictors().loc["tos_mine", "unit"] == "zJ"
    of_mine(x, tmp_path, "tos", "mine")
    of_mine(x, tmp_path, "tos_mine", None)
    widest, before = (package.cost_sensitivity(runs, bootstrap=5).groupby("part").table_high.first()
                      for package in (x, tos))
    assert "4e9" in convention  # what counts by definition says nothing of weights
    assert widest["elementary"] == pytest.approx(4e6 / 3)
    assert before["elementary"] < 1e4


def test_a_predictor(extended, tmp_path):
    x = extended("a predictor", """
    "exponentials": Predictor("number of exponentials", "op", _number(["exp"])),
    "power_w": Predictor("measured power", "W", _column("power_w", measured=True), measured=True),
    """)
    assert x.predictors().loc["exponentials"].tolist() == ["number of exponentials", "op"]
    runs = counted_runs()
    priced = x.price(runs)
    assert priced.exponentials.tolist() == runs["exp float32"].tolist()
    assert "power_w" not in priced  # measured, so no count is missing
    law = x.fit_scaling_law(runs, "energy_j ~ macs + exponentials")
    assert law.coefficients.estimate.to_numpy() == pytest.approx([2, 15e-12, 2e-5])
    assert "2e-05 J/op exponentials" in law.equation()
    law.save(tmp_path / "law.json")
    with pytest.warns(UserWarning, match="extrapolation"):
        assert x.load_scaling_law(tmp_path / "law.json").predict(model()) == pytest.approx(
            2 + 15e-12 * 24 + 2e-5 * 6)
    table = x.compare_predictors(runs, {"exp": "exponentials", "all": ["macs", "exponentials"]})
    assert (table.reason == "").all()
    timed = runs.assign(power_w=runs["mac float32"])
    with pytest.raises(ValueError, match="power_w: this law needs it measured"):
        x.fit_scaling_law(timed, "power_w").predict(model())
    outside = tos.fit_scaling_law(runs.assign(mine=runs["exp float32"]), ["macs", "mine"])
    assert outside.coefficients.estimate.to_numpy() == pytest.approx([2, 15e-12, 2e-5])


# Models -------------------------------------------------------------------------------------

class Centre(layers.Layer):
    def call(self, x):
        return x - keras.ops.mean(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("make", ['"Centre"', "lambda **a: __import__('keras').layers.Centre(**a)"])
def test_a_normalisation(extended, monkeypatch, make):
    monkeypatch.setattr(layers, "Centre", Centre, raising=False)
    x = extended("a normalisation", f"""
    "centre": Normalization({make}, of_a_token=True),""")
    drawn = {"normalizations": ("none", "centre"), "activations": ("linear",), "n": None,
             "dtypes": (F,)}
    images = x.convolutional(depths=(1,), filters=(8,), kernels=(1,), depthwise=(False,),
                             poolings=("none",), image_sizes=(4,), batch_sizes=(2,), **drawn)
    tokens = x.transformer(blocks=(1,), widths=(8,), heads=(2,), sequences=(4,), batch_sizes=(2,),
                           **drawn)
    for models, elements, calls in ((images, 2 * 16 * 8, 1), (tokens, 2 * 4 * 8, 3)):
        counted = x.count_models(models)
        forward = counted[counted.phase == "inference"].set_index("normalization")
        added = forward.loc["centre"].filter(regex="float32") - forward.loc["none"].filter(
            regex="float32")
        rows = elements // 8  # the mean: 7 additions and a division a row; a subtraction each
        assert {op: n for op, n in added.items() if n and not op.startswith("mac")} == {
            "add float32": calls * (2 * elements - rows), "div float32": calls * rows}
        trained = counted[counted.phase == "training"].set_index("normalization")["add float32"]
        assert trained["centre"] > trained["none"]
        run = module_of(x, "measuring.steps").step(models[models.phase == "training"].iloc[-1])
        assert np.isfinite(float(run()))


def build(row):
    return keras.Sequential([keras.Input((int(row["sequence"]), 4)),
                             layers.SimpleRNN(3, activation=row["activation"]), layers.Dense(1)])


LEVELS = {"sequence": (2, 5), "activation": ("relu", "tanh"), "batch_size": (1, 2)}
RECORD = Family(build, {"nano": LEVELS}, pairs={"activation": Pairs("relu", one_in=4)})


def of_family(package, models, families, tmp_path):
    """Count, judge, measure and pair a set of the family above; all by its record."""
    counted = package.count_models(models, **families)
    assert counted["mac float32"].tolist() == [
        row.batch_size * (row.sequence * 3 * (4 + 3) + 3) for row in counted.itertuples()]
    assert package.design_report(counted, **families).pairs.pairs["activation"] == 4
    runs = package.run_sweep(models[models.batch_size == 1], tmp_path / "runs.csv", repeats=1,
                             seconds=0.01, meter=None, minutes=9, progress=False, **families)
    assert set(runs.family) == {"recurrent"}
    runs = package.count_models(runs, **families)
    pairs = package.pair_effects(runs, response="time_s", **families)
    assert pairs.n_pairs.tolist() == [2, 2]
    law = package.fit_scaling_law(runs, "macs", "time_s")
    assert set(law.diagnostics(**families).residuals.factor) >= {"sequence", "activation"}
    package.models.write_model_set(models, tmp_path / "set.csv", "a test")
    pd.testing.assert_frame_equal(package.models.read_model_set(tmp_path / "set.csv"), models)


DRAWN = {"n": None, "phases": ("inference",), "dtypes": (F,)}


def test_families_from_outside_are_values(tmp_path):
    families = {"families": FAMILIES | {"recurrent": RECORD}}
    models = tos.models.model_set("recurrent", "nano", **DRAWN, **families)
    assert len(models) == 2 * 2 * 2
    of_family(tos, models, families, tmp_path)


def test_a_family(extended, tmp_path, monkeypatch, capsys):
    x = extended("a family", f"""
    "recurrent": Family(
        lambda row: __import__("models_of_mine").build(row),
        {{"small": {LEVELS}, "nano": {LEVELS}}},
        pairs={{"activation": Pairs("relu", one_in=4)}}),""")
    monkeypatch.setitem(sys.modules, "models_of_mine", SimpleNamespace(build=build))
    of_family(x, x.models.model_set("recurrent", "nano", **DRAWN), {}, tmp_path)
    # no set of it ships, so a default set is drawn
    assert len(x.models.model_set("recurrent")) == 2 * 2 * 2 * 2 * 2
    main = module_of(x, "__main__").main
    main(["draw", "recurrent", "--size", "nano", "--dtype", F, "--out",
               str(tmp_path / "drawn.csv")])
    assert "16 configurations" in capsys.readouterr().out
    main(["sweep", "recurrent", "--size", "nano", "--n", "1", "--repeats", "1",
               "--seconds", "0.01", "--meter", "none", "--out", str(tmp_path / "by.csv")])
    assert "complete" in capsys.readouterr().out


# Measuring ----------------------------------------------------------------------------------

ROW = {"family": "feed_forward", "configuration": "one", "depth": 1, "width": 4,
       "activation": "relu", "batch_norm": False, "input_size": 4, "batch_size": 2, "dtype": F}


def test_a_backend(monkeypatch, tmp_path):
    made = []

    def traced(kind, of):
        def compiled(*arguments):
            made.append(kind)
            return of(*arguments)
        return compiled

    ours = steps.STEPS["tensorflow"]
    monkeypatch.setitem(steps.STEPS, "tensorflow", steps.Steps(
        traced("forward", ours.forward), traced("train", ours.train)))
    models = pd.DataFrame([ROW | {"phase": "inference"},
                           ROW | {"phase": "training", "configuration": "two"}])
    runs = tos.run_sweep(models, tmp_path / "runs.csv", repeats=1, seconds=0.01, meter=None,
                         progress=False)
    assert len(runs) == 2
    assert sorted(made) == ["forward", "train"]
    monkeypatch.delitem(steps.STEPS, "tensorflow")
    with pytest.raises(ValueError, match="no steps for 'tensorflow'; use one of jax, torch"):
        steps.step(ROW)


def of_meter(package, meter, tmp_path):
    """A meter of 40 W gives 40 W to whatever takes one."""
    measured = package.measure(lambda: sum(range(10_000)), 0.2, 0.01, meter=meter)
    assert measured.power_w == pytest.approx(40, rel=0.05)
    assert (measured.meter, measured.device) == ("plug", "my workstation")
    with package.Window(meter) as window:
        time.sleep(0.2)
    assert window.power_w == pytest.approx(40, rel=0.05)
    runs = package.run_sweep(pd.DataFrame([ROW]), tmp_path / "runs.csv", repeats=1, seconds=0.2,
                             meter=meter, progress=False)
    assert (runs.power_w / 40 - 1).abs().max() < 0.05
    assert runs[["meter", "device"]].to_numpy().tolist() == [["plug", "my workstation"]]


def read_plug():
    return 40 * time.perf_counter()


def test_meters_from_outside_are_values(tmp_path):
    plug = tos.Meter("plug", [("socket-1", read_plug)], device="my workstation")
    assert tos.meters(plug).loc["plug", "device"] == "my workstation"
    of_meter(tos, plug, tmp_path)


def test_a_meter(extended, tmp_path, capsys):
    x = extended("a meter", """
    "plug": MeterKind(lambda: Meter("plug", [(
        "socket-1", lambda: 40 * __import__("time").perf_counter())], "my workstation"),
        of_gpu=False),""")
    assert x.meters().loc["plug"].tolist() == [True, "my workstation", "socket-1", ""]
    of_meter(x, "plug", tmp_path)
    assert x.measure(lambda: None, 0.05, 0.01).meter == "plug"  # the first that is here
    module_of(x, "__main__").main(["meters"])
    assert "my workstation" in capsys.readouterr().out
    with pytest.raises(ValueError, match="'zeus'"):
        x.measure(lambda: None, 0.05, 0.01, meter="volt")


def test_a_condition_of_a_block(extended, tmp_path, monkeypatch):
    x = extended("a condition of a block", '"numpy", ')
    for package, blocks in ((tos, [0]), (x, [0, 1])):
        out = tmp_path / f"{package.__name__}.csv"
        run = module_of(package, "measuring.run")
        for version in ("1", "2"):
            monkeypatch.setattr(run, "_version", {"numpy": version}.get)
            arguments = {"repeats": 1, "seconds": 0.01, "meter": None, "progress": False}
            if package is x and version == "2":
                with pytest.warns(UserWarning, match="numpy '1' -> '2'"):
                    package.run_sweep(pd.DataFrame([ROW]), out, **arguments)
            else:
                package.run_sweep(pd.DataFrame([ROW]), out, **arguments)
        assert package.load_runs(out).block.tolist() == blocks


# Data sets ----------------------------------------------------------------------------------

def loaded(path=None):
    return pd.DataFrame({"units": [2, 3, 3], "configuration": ["a", "b", "b"], "batch_size": 5,
                         "phase": "inference", "device": "d", "time_s": 1.0,
                         "energy_j": [1.0, 2.0, 2.1], "defect": ""})


def dense(run, part):
    return sequential(layers.Dense(int(run.units)))


def test_data_sets_from_outside_are_values(tmp_path):
    mine = Dataset(loaded, dense, "units", {"inference": forward}, one_forward, "one step")
    assert tos.datasets.load(mine)["mac dense"].tolist() == [40, 60, 60]
    assert tos.datasets.count(mine)["mac dense"].tolist() == [40, 60]
    assert tos.datasets.fetch(mine, tmp_path) == 3


def test_a_data_set(extended, tmp_path, capsys):
    module = "\n".join([
        "import pandas as pd", "from .dataset import Dataset, forward, one_forward",
        inspect.getsource(loaded),
        "def dense(run, part):", "    import keras",
        "    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(int(run.units))])",
        "DATASET = Dataset(loaded, dense, 'units', {'inference': forward}, one_forward,",
        "                  'one step', title='Mine')"])
    registry, path = place("a data set")
    (added,) = with_record("a data set", '\n    "mine": _MINE,').values()
    x = extended("a data set", **{
        "datasets/mine.py": module,
        path: lambda text: added(text).replace(
            "from .mlperf import", "from .mine import DATASET as _MINE\nfrom .mlperf import", 1)})
    assert registry == "DATASETS"
    assert x.datasets.load("mine")["mac dense"].tolist() == [40, 60, 60]
    assert x.datasets.count("mine")["mac dense"].tolist() == [40, 60]
    assert [*x.datasets.load_at_hand({"mine": None})] == ["Mine"]
    assert set(x.datasets.titles()) == {*tos.datasets.titles(), "Mine"}
    with pytest.raises(ValueError, match="there are mine, ec_nas_bench"):
        x.datasets.load("none such")
    module_of(x, "__main__").main(
        ["data", "mine", "--to", str(tmp_path)])
    assert capsys.readouterr().out.strip() == "mine: 3 runs"


# Laws ---------------------------------------------------------------------------------------

def test_a_kind_of_fit(extended, tmp_path):
    """A weight of its own, and kinds that are those of the package under another name."""
    x = extended("a kind of fit", """
    "halfway": Fit("least squares weighted by 1 / mean of repeats",
                   lambda x, y, codes, *_: _wls(x, y, y.mean() / group_means(y, codes)),
                   "absolute"),
    "bounded": Fit("as nonnegative", _nonnegative, "relative", "bootstrap", nonnegative=True),
    "resampled": Fit("as relative", _relative, "relative", "bootstrap"),
    "by group": Fit("as mixed", _mixed, "log", "model", grouped=True),""")
    runs = synthetic(noise=0.05)
    terms = ["linear", "nonlinear"]
    law = x.fit_scaling_law(runs, terms, form="halfway")
    mean = runs.groupby("configuration").energy_j.transform("mean")
    root = np.sqrt(1 / mean)
    design = np.column_stack([np.ones(len(runs)), runs[terms]])
    expected = np.linalg.lstsq(design * root.to_numpy()[:, None], runs.energy_j * root)[0]
    assert law.coefficients.estimate.to_numpy() == pytest.approx(expected, rel=1e-6)
    law.save(tmp_path / "law.json")
    assert x.load_scaling_law(tmp_path / "law.json").predict(runs).to_numpy() == pytest.approx(
        design @ expected)
    assert law.held_out("k-fold").notna().all()
    table = x.compare_predictors(runs, {"both": terms, "one": "linear"}, form="halfway")
    assert (table.reason == "").all()
    weighted = (design / np.array([1, *law.scales])) * root.to_numpy()[:, None]
    assert law.diagnostics().condition_number == pytest.approx(np.linalg.cond(
        weighted / np.linalg.norm(weighted, axis=0)))
    negative = runs.assign(nonlinear=1.1 * runs.nonlinear.max() - runs.nonlinear)
    for data in (negative, runs):
        one, other = (x.fit_scaling_law(data, terms, form=f) for f in ("bounded", "nonnegative"))
        pd.testing.assert_frame_equal(one.coefficients, other.coefficients)
        assert one.notes == other.notes
        pd.testing.assert_frame_equal(one.predict(data, interval=True),
                                      other.predict(data, interval=True))
    free = x.fit_scaling_law(negative, terms, form="resampled").coefficients
    assert (free.lower < free.estimate).all()
    assert (free.estimate < free.upper).all()
    assert free.estimate["nonlinear"] < 0  # no bound holds it, and its interval is as wide
    devices = fleet(6)
    one, other = (x.fit_scaling_law(devices, "linear", form=f) for f in ("by group", "mixed"))
    pd.testing.assert_frame_equal(one.coefficients, other.coefficients)
    assert set(one.effects) == set(devices.device)
    table = x.compare_predictors({"fleet": devices}, {"law": "linear"}, form="by group")
    assert table.device.unique().tolist() == ["6 devices"]
    with pytest.raises(ValueError, match="one value, 'd'"):
        x.fit_scaling_law(runs, "linear", form="by group")


def test_a_function_of_a_term(extended, tmp_path):
    x = extended("a function of a term", '"cbrt": np.cbrt, ')
    runs = pd.DataFrame({"bytes": 10 ** np.linspace(3, 9, 20), "configuration": range(20)})
    runs["energy_j"] = 2 + 3e-3 * np.cbrt(runs.bytes)
    law = x.fit_scaling_law(runs, "energy_j ~ cbrt(bytes)")
    assert law.equation() == "energy_j = 2 J + 0.003 J/cbrt(B) cbrt(bytes)"
    law.save(tmp_path / "law.json")
    assert x.load_scaling_law(tmp_path / "law.json").predict(runs).to_numpy() == pytest.approx(
        runs.energy_j)
    table = x.compare_predictors(runs, {"plain": "bytes", "root": "cbrt(bytes)"}, ["k-fold"])
    assert table.mean_relative_error[1] < 1e-9 < table.mean_relative_error[0]


# Figures, libraries, pages ------------------------------------------------------------------

FIGURE = '''

@in_style
def mine(table: pd.DataFrame) -> Figure:
    """Energy of each run of mine, one after the other.

    Parameters
    ----------
    table : pandas.DataFrame
    """
    figure, ((axes,),) = new_figure(ONE_COLUMN, 2)
    axes.plot(table.energy_j)
    return figure
'''


def drawn_by(package):
    """Return the figures of a package: each function of its `figures.paper`."""
    paper = package.figures.paper
    return {name for name, function in inspect.getmembers(paper, inspect.isfunction)
            if function.__module__ == paper.__name__}


def test_a_figure(extended, tmp_path):
    x = extended("a figure", **{"figures/paper.py": lambda text: text + FIGURE})
    figure = x.figures.mine(pd.DataFrame({"energy_j": [1.0, 2.0]}))
    assert figure.get_size_inches().tolist() == [3.5, 2]
    assert x.figures.caption(x.figures.mine) == "Energy of each run of mine, one after the other."
    assert [path.name for path in x.figures.save(figure, tmp_path / "mine")] == [
        "mine.pdf", "mine.png"]
    assert "mine" in dir(x.figures)
    notebook = (ROOT / "notebooks/04_paper_figures.ipynb").read_text(encoding="utf-8")
    saved = set(re.findall(r"figures\.save\(figure, f\\\"\{OUT\}/(\w+)", notebook))
    assert saved == drawn_by(tos)
    assert drawn_by(x) - saved == {"mine"}


def test_a_library(monkeypatch):
    monkeypatch.setitem(extras.LIBRARIES, "no_such_library", "study")
    here = {"__name__": "tostoolkit.laws.mine", "__package__": "tostoolkit.laws"}
    exec("def fit():\n    import no_such_library", here)
    with pytest.raises(extras.MissingLibrary, match=re.escape(
            "needs no_such_library: pip install 'tostoolkit[study]'")):
        here["fit"]()


@pytest.mark.parametrize(("line", "passed"), [("assert 1 + 1 == 2", 1), ("assert 1 + 1 == 3", 0)])
def test_a_how_to(tmp_path, line, passed):
    (tmp_path / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/mine.md").write_text(f"# Mine\n\n```python\n{line}\n```\n")
    command = [sys.executable, "-m", "pytest", "-q", f"--confcutdir={tmp_path}", "docs"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ("1 passed" if passed else "1 failed") in run.stdout
