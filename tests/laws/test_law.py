import json
import warnings

import numpy as np
import pandas as pd
import pytest
from runs import fleet, synthetic

import tostoolkit as tos
from tostoolkit.counting.rows import count_row
from tostoolkit.laws.fits import FITS
from tostoolkit.laws.law_files import VERSION


def test_exact_law_is_recovered_exactly():
    law = tos.fit_scaling_law(synthetic(noise=0), ["linear", "nonlinear"])
    assert law.coefficients.estimate.to_numpy() == pytest.approx([2.0, 3e-9, 8e-8], rel=1e-6)
    assert law.metrics.precision == pytest.approx(1)


CLASSES = {"constant": 2.0, "linear": 3e-9, "nonlinear": 8e-8}


@pytest.mark.parametrize(("form", "predictors", "truth", "exponent", "noise"), [
    ("relative", ["linear", "nonlinear"], CLASSES, None, 0.02),
    ("relative", ["linear", "nonlinear"], CLASSES, None, 0.05),
    ("gamma", ["linear", "nonlinear"], CLASSES, None, 0.05),
    ("power", ["linear"], {"constant": 2.0, "linear": 0.7}, 0.7, 0.05),
])
def test_intervals_hold_the_truth_as_often_as_they_say(form, predictors, truth, exponent, noise):
    draws, held = 300, {name: 0 for name in truth}
    for seed in range(draws):
        runs = synthetic(seed=seed, exponent=exponent, noise=noise)
        coefficients = tos.fit_scaling_law(runs, predictors, form=form).coefficients
        for name, value in truth.items():
            held[name] += coefficients.lower[name] <= value <= coefficients.upper[name]
    assert min(held.values()) >= 0.93 * draws, held


@pytest.mark.parametrize("form", ["relative", "power"])
def test_new_runs_lie_in_their_interval(form):
    inside = []
    for seed in range(30):
        exponent = 0.7 if form == "power" else None
        runs, new = (synthetic(seed=s, exponent=exponent, noise=0.04) for s in (seed, 900 + seed))
        terms = ["linear"] if form == "power" else ["linear", "nonlinear"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some of the new lie beyond
            band = tos.fit_scaling_law(runs, terms, form=form).predict(new, interval=True)
        inside.append(((band.run_lower <= new.energy_j) & (new.energy_j <= band.run_upper)).mean())
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)


def test_predictions_are_those_of_the_equation():
    runs = synthetic()
    law = tos.fit_scaling_law(runs, ["linear", "nonlinear"])
    c = law.coefficients.estimate
    by_hand = c.constant + c.linear * runs.linear + c.nonlinear * runs.nonlinear
    assert law.predict(runs).to_numpy() == pytest.approx(by_hand.to_numpy())
    band = law.predict(runs, interval=True)
    assert ((band.lower < band["mean"]) & (band["mean"] < band.upper)).all()
    assert law.equation().startswith("energy_j = ")
    assert "precision" in str(law)


def test_power_law_predicts_by_its_equation():
    runs = synthetic(exponent=0.7)
    law = tos.fit_scaling_law(runs, "linear", form="power")
    c = law.coefficients.estimate
    assert law.predict(runs).to_numpy() == pytest.approx(
        (c.constant * runs.linear**c.linear).to_numpy())


def test_forms_weigh_errors_as_they_say():
    runs = synthetic(noise=0)
    runs.loc[runs.energy_j.idxmax(), "energy_j"] *= 3  # one dear run is wrong
    relative = tos.fit_scaling_law(runs, ["linear", "nonlinear"], form="relative")
    absolute = tos.fit_scaling_law(runs, ["linear", "nonlinear"], form="linear")
    assert relative.metrics.median_relative_error < absolute.metrics.median_relative_error
    assert relative.metrics.r2 < absolute.metrics.r2


def test_repeats_do_not_narrow_the_interval_as_new_runs_would():
    few, many = synthetic(repeats=1, noise=0.05), None
    many = pd.concat([few] * 9, ignore_index=True)  # the same runs again: nothing new
    widths = [
        tos.fit_scaling_law(r, "linear").coefficients.eval("upper - lower").linear
        for r in (few, many)]
    assert widths[1] > 0.9 * widths[0]


def test_negative_and_unidentified_coefficients_are_noted():
    runs = synthetic(c=(2.0, 3e-9, -1e-10), noise=0.001)
    assert "nonlinear is negative" in " ".join(
        tos.fit_scaling_law(runs, ["linear", "nonlinear"]).notes)
    runs = synthetic(c=(2.0, 3e-9, 1e-12), noise=0.05)
    assert "nonlinear" in " ".join(tos.fit_scaling_law(runs, ["linear", "nonlinear"]).notes)


def test_collinear_predictors_are_warned_of():
    runs = synthetic()
    runs["twin"] = runs.linear * (1 + 1e-6 * np.random.default_rng(0).standard_normal(len(runs)))
    with pytest.warns(UserWarning, match="variance inflation"):
        tos.fit_scaling_law(runs, ["linear", "twin"])


def changed(**columns):
    return synthetic(n=10).assign(**columns)


@pytest.mark.parametrize(("runs", "kwargs", "words"), [
    (changed(), {"response": "joules"}, ["'joules'"]),
    (changed()[:0], {"predictors": "linear"}, ["runs", "none"]),
    (changed(configuration=[*range(14), None] * 2), {"predictors": "linear"},
     ["configuration", "missing in 2 of 30"]),
    (changed(energy_j="1.5"), {"predictors": "linear"}, ["energy_j", "not of numbers"]),
    (changed(), {"predictors": "activation"}, ["activation", "'relu'", "number"]),
    (changed(), {"predictors": "linear", "form": "quadratic"}, ["'quadratic'", "power"]),
    (changed(), {"predictors": []}, ["none given"]),
    (changed(energy_j=0.0), {"predictors": "linear"}, ["30 of 30", "not positive"]),
    (changed(), {"predictors": "energy_j ~ linear * nonlinear"}, ["linear * nonlinear", ":"]),
    (changed(), {"predictors": "energy_j ~ linear + linear"}, ["'linear'", "twice"]),
    (changed(), {"predictors": "linear", "slope": "linear"}, ["slope", "mixed"]),
    (changed(), {"predictors": "linear", "form": "mixed"}, ["device", "one value"]),
    (changed(), {"predictors": "tos"}, ["'tos'", "counts"]),
    (changed(), {"predictors": "linaer"}, ["'linaer'", "no such predictor"]),
    (changed(energy_j=[1.0, np.nan] * 15, energy_mj=[np.nan, 1.0] * 15),
     {"predictors": "linear"}, ["energy_mj", "15 runs", "convert"]),
    (changed(energy_j=np.inf), {"predictors": "linear"}, ["energy_j", "not"]),
    (changed(energy_j=np.nan), {"predictors": "linear"}, ["missing in 30", "time_s"]),
    (changed(energy_j=-1.0), {"predictors": "linear"}, ["30 of 30", "not positive"]),
    (changed(linear=5.0), {"predictors": "linear"}, ["linear", "constant at 5"]),
    (changed(linear=np.inf), {"predictors": "linear"}, ["linear", "missing"]),
    (changed(linear=np.arange(30)), {"predictors": "linear", "form": "power"}, ["power law"]),
    (changed(device=["a", "b"] * 15), {"predictors": "linear"}, ["2 devices", "'a', 'b'"]),
    (changed(configuration=0), {"predictors": "linear"}, ["1 configurations"]),
])
def test_bad_runs_are_an_error_that_names_them(runs, kwargs, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        tos.fit_scaling_law(runs, **kwargs)
    for word in words:
        assert word in str(caught.value)


def test_a_unit_beside_the_response_is_warned_of():
    runs = changed(energy_mj=1.0)
    with pytest.warns(UserWarning, match="energy_mj: stands beside energy_j"):
        tos.fit_scaling_law(runs, "linear")


def test_perfectly_collinear_terms_are_warned_of_and_noted():
    runs = changed()
    runs["twice"] = 2 * runs.linear
    with pytest.warns(UserWarning, match="leave one out"):
        law = tos.fit_scaling_law(runs, ["linear", "twice"])
    assert sum("not identified" in note for note in law.notes) == 2


def test_formula_is_the_list_of_its_terms():
    runs = synthetic().rename(columns={"nonlinear": "mac conv3x3"})
    a = tos.fit_scaling_law(runs, "energy_j ~ linear + sqrt(`mac conv3x3`)")
    runs["root"] = np.sqrt(runs["mac conv3x3"])
    b = tos.fit_scaling_law(runs, ["linear", "root"])
    assert a.coefficients.to_numpy() == pytest.approx(b.coefficients.to_numpy())
    product = tos.fit_scaling_law(runs, "energy_j ~ linear:root")
    runs["p"] = runs.linear * runs.root
    assert product.predict(runs).to_numpy() == pytest.approx(
        tos.fit_scaling_law(runs, "p").predict(runs).to_numpy())


def test_gamma_is_where_its_score_is_zero():
    """sum (y - mu) / mu^2 x = 0: McCullagh and Nelder, Generalized Linear Models, 1989, 2.2.2."""
    runs = synthetic(noise=0.3)
    law = tos.fit_scaling_law(runs, ["linear", "nonlinear"], form="gamma")
    mu = law.predict(runs)
    for x in (1.0, runs.linear, runs.nonlinear):
        score = (runs.energy_j - mu) / mu**2 * x
        assert abs(score.sum()) < 1e-5 * score.abs().sum()


@pytest.mark.parametrize("form", ["linear", "relative", "power"])
def test_jackknife_is_that_of_leaving_out(form):
    runs = synthetic(n=12, noise=0.1).sample(frac=0.8, random_state=0)  # unlike repeats
    law = tos.fit_scaling_law(runs, ["linear", "nonlinear"], form=form)
    left = np.array([
        tos.fit_scaling_law(runs[runs.configuration != c], ["linear", "nonlinear"], form=form)
        .coefficients.estimate for c in range(12)])
    full, error = (law.coefficients[c].to_numpy(copy=True) for c in ("estimate", "std_error"))
    if form == "power":  # the constant's error is that of its log, times the constant
        left[:, 0], full[0], error[0] = np.log(left[:, 0]), np.log(full[0]), error[0] / full[0]
    assert error == pytest.approx(np.sqrt(11 / 12 * ((left - full) ** 2).sum(0)))


def test_jackknife_is_that_of_statsmodels():
    """CRV3 by a cluster jackknife, centred on the coefficients of all runs."""
    import statsmodels.api as sm

    runs = synthetic(n=15, noise=0.1).sample(frac=0.8, random_state=1)
    law = tos.fit_scaling_law(runs, ["linear", "nonlinear"], form="linear")
    fit = sm.OLS(runs.energy_j, sm.add_constant(runs[["linear", "nonlinear"]] / 1e9)).fit(
        cov_type="cluster-crv3", cov_kwds={"groups": runs.configuration.to_numpy()})
    assert law.coefficients.std_error.to_numpy() * [1, 1e9, 1e9] == pytest.approx(
        fit.bse.to_numpy())


def test_nonnegative_holds_at_zero_what_would_be_negative():
    runs = synthetic(c=(2.0, 3e-9, -1e-10), noise=0.001)
    free, held = (tos.fit_scaling_law(runs, ["linear", "nonlinear"], form=form)
                  for form in ("relative", "nonnegative"))
    assert free.coefficients.estimate.nonlinear < 0
    assert held.coefficients.estimate.nonlinear == 0
    assert (held.coefficients.lower >= 0).all()
    assert "held at 0" in " ".join(held.notes)
    inside = synthetic()
    a, b = (tos.fit_scaling_law(inside, ["linear", "nonlinear"], form=form).coefficients.estimate
            for form in ("relative", "nonnegative"))
    assert a.to_numpy() == pytest.approx(b.to_numpy())


@pytest.mark.parametrize("seed", range(8))
def test_mixed_law_of_few_models_on_few_devices(seed):
    """Five networks on three devices that are alike: gradients of the likelihood are singular."""
    rng = np.random.default_rng(seed)
    macs = np.tile([2e7, 9e7, 8e8, 4e9, 1.5e10], 3)
    runs = pd.DataFrame({"linear": macs, "configuration": list("abcde") * 3,
                         "device": np.repeat(["p", "q", "r"], 5)}).drop(index=[12, 13, 14])
    runs["energy_j"] = 1e-3 * runs.linear**0.4 * np.exp(0.05 * rng.standard_normal(len(runs)))
    law = tos.fit_scaling_law(runs, "linear", form="mixed")
    assert law.coefficients.estimate.linear == pytest.approx(0.4, abs=0.05)


def test_mixed_finds_the_exponent_and_the_devices():
    held = 0
    for seed in range(40):
        c = tos.fit_scaling_law(fleet(seed=seed), "linear", form="mixed").coefficients.loc["linear"]
        held += c.lower < 0.7 < c.upper
    assert held >= 35  # of 40 draws at 95 %, fewer happen once in 200
    assert c.upper - c.lower < 0.01
    runs = fleet()
    law = tos.fit_scaling_law(runs, "linear", form="mixed")
    assert law.metrics.mean_relative_error < 0.05
    one = tos.fit_scaling_law(runs[runs.device == "d3"], "linear", form="power")
    own = runs[runs.device == "d3"]
    assert law.predict(own).to_numpy() == pytest.approx(one.predict(own).to_numpy(), rel=0.05)
    with pytest.raises(ValueError, match="not on d99"):
        law.predict(own.assign(device="d99"))
    with pytest.raises(ValueError, match="say which"):
        law.predict(own.drop(columns="device"))


def test_random_slope_widens_the_exponent():
    runs = fleet(slope=0.1)
    plain, random = (tos.fit_scaling_law(runs, "linear", form="mixed", slope=s)
                     for s in (None, "linear"))
    assert random.metrics.mean_relative_error < 0.5 * plain.metrics.mean_relative_error
    width = [law.coefficients.upper.linear - law.coefficients.lower.linear
             for law in (plain, random)]
    assert width[1] > 2 * width[0]


def test_bootstrap_agrees_with_the_jackknife():
    law = tos.fit_scaling_law(synthetic(noise=0.1), ["linear", "nonlinear"])
    table = law.bootstrap(300, seed=1)
    assert (table.draws == 300).all()
    assert table.std_error.to_numpy() == pytest.approx(
        law.coefficients.std_error.to_numpy(), rel=0.35)
    assert table.estimate.to_numpy() == pytest.approx(law.coefficients.estimate, rel=1e-9)
    pd.testing.assert_frame_equal(table, law.bootstrap(300, seed=1))


@pytest.mark.parametrize("form", list(FITS))
def test_saved_law_predicts_as_the_fitted(form, tmp_path):
    runs = fleet(2) if form == "mixed" else synthetic(noise=0.05)
    law = tos.fit_scaling_law(runs, ["linear", "nonlinear"], form=form, costs="cmos")
    law.save(tmp_path / "law.json")
    law.save(tmp_path / "law.json")  # over itself
    read = tos.load_scaling_law(tmp_path / "law.json")
    pd.testing.assert_frame_equal(
        read.predict(runs, interval=True), law.predict(runs, interval=True), rtol=1e-12)
    # what is in the file is as it was written, digit by digit
    pd.testing.assert_frame_equal(read.coefficients, law.coefficients, check_exact=True)
    pd.testing.assert_series_equal(read.metrics, law.metrics, check_exact=True)
    assert str(read) == str(law)
    assert (read.devices, read.phases, read.costs) == (law.devices, law.phases, "cmos")
    with pytest.raises(ValueError, match="pass the runs"):
        read.bootstrap()
    assert len(read.diagnostics(runs).influence) == law.n_configurations
    assert [p.name for p in tmp_path.iterdir()] == ["law.json"]


def test_only_laws_are_overwritten_and_loaded(tmp_path):
    law = tos.fit_scaling_law(synthetic(), "linear")
    for name, text in {"notes.txt": "mine", "other.json": "{}", "list.json": "[1]"}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(FileExistsError, match="left as it is"):
            law.save(tmp_path / name)
        assert (tmp_path / name).read_text() == text
        with pytest.raises(ValueError, match=name):
            tos.load_scaling_law(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"law\.save"):
        tos.load_scaling_law(tmp_path / "none.json")
    law.save(tmp_path / "law.json")
    record = json.loads((tmp_path / "law.json").read_text())
    for change in ({"solution": [1.0]}, {"form": "cubic"}, {"ranges": None}):
        (tmp_path / "law.json").write_text(json.dumps(record | change))
        with pytest.raises(ValueError, match="damaged"):
            tos.load_scaling_law(tmp_path / "law.json")


def model_runs():
    """Counted small networks with an energy of 1 J + 2 nJ/MAC + 1e-13 J/TO of other work."""
    rows = tos.price(tos.count_models(
        tos.feed_forward(n=12, phases=("inference",), dtypes=("float32",))))
    energy = 1 + 2e-9 * rows.macs + 1e-13 * rows.tos_elementwise
    return rows.assign(energy_j=energy, device="gpu", phase="inference")


def test_law_prices_a_model_on_its_device_only():
    import keras

    runs = model_runs()
    law = tos.fit_scaling_law(runs, "energy_j ~ macs + tos_elementwise")
    assert law.costs == "cmos"
    model = keras.Sequential(
        [keras.Input((256,)), *(keras.layers.Dense(256, "tanh") for _ in range(2))])
    report = tos.transistor_ops(model, batch_size=256)
    elementwise = report.total - report.macs * tos.load_cost_table("cmos").costs["float32", "mac"]
    expected = 1 + 2e-9 * report.macs + 1e-13 * elementwise
    assert law.predict(model, batch_size=256) == pytest.approx(expected, rel=1e-6)
    band = law.predict(model, batch_size=256, device="gpu", interval=True)
    assert band["lower"] <= expected * (1 + 1e-9)
    assert band.name == "energy_j"
    with pytest.raises(ValueError, match="fitted on gpu, not on cpu"):
        law.predict(model, device="cpu")
    with pytest.raises(ValueError, match="fitted on gpu, not on cpu"):
        law.predict(runs.assign(device="cpu"))
    with pytest.raises(ValueError, match="fitted on inference, not on training"):
        law.predict(model, phase="training")
    with pytest.raises(ValueError, match="fitted on inference, not on training"):
        law.predict(runs.assign(phase="training"))
    with pytest.warns(UserWarning, match="lie beyond") as caught:
        law.predict(model, batch_size=100_000)
    assert {str(w.message).split(":")[0] for w in caught} == {"macs", "tos_elementwise"}


def test_law_of_tos_asks_for_its_table():
    import keras

    runs = model_runs()
    unsaid = runs.drop(columns="costs")
    law = tos.fit_scaling_law(unsaid, "tos")
    model = keras.Sequential([keras.Input((256,)), keras.layers.Dense(256, "tanh")])
    with pytest.raises(ValueError, match="costs='cmos'"):
        law.predict(model, batch_size=256)
    assert tos.fit_scaling_law(unsaid, "tos", costs="cmos").predict(model, batch_size=256) > 1
    other = tos.price(runs, "gpu-ieee")
    with pytest.raises(ValueError, match="priced by 'gpu-ieee'"):
        tos.fit_scaling_law(other, "tos", costs="cmos")
    with pytest.raises(ValueError, match="priced by 'gpu-ieee'"):
        tos.fit_scaling_law(runs, "tos", costs="cmos").predict(other)
    timed = runs.assign(time_s=runs.energy_j / 100)
    law = tos.fit_scaling_law(timed, "time_s ~ macs")
    assert law.unit == "s"
    assert "law of time" in str(law)
    with pytest.raises(ValueError, match="needs it measured"):
        tos.fit_scaling_law(timed, "energy_j ~ time_s").predict(model)


def test_equation_carries_units():
    runs = model_runs()
    text = tos.fit_scaling_law(runs, "energy_j ~ macs + tos_elementwise").equation()
    assert text == "energy_j = 1 J + 2e-09 J/MAC macs + 1e-13 J/TO tos_elementwise"
    assert "(macs / MAC)^" in tos.fit_scaling_law(runs, "macs", form="power").equation()


def test_gamma_without_a_positive_law_is_an_error():
    """Energies unrelated to two predictors, over four decades: the line ends below zero."""
    rng = np.random.default_rng(26)
    runs = pd.DataFrame({"a": 10 ** rng.uniform(0, 3, 12), "b": 10 ** rng.uniform(0, 3, 12),
                         "configuration": range(12), "energy_j": 10 ** rng.uniform(0, 4, 12)})
    with pytest.raises(ValueError, match=r"positive law .*nonnegative"):
        tos.fit_scaling_law(runs, ["a", "b"], form="gamma")


def test_law_of_a_table_of_ones_own():
    runs = model_runs()
    table = tos.load_cost_table("cmos")
    mine = type(table)("mine", "twice cmos", "TO", table.rows.assign(cost=2 * table.costs))
    bare = runs.drop(columns="tos")
    law = tos.fit_scaling_law(bare, "tos", costs=mine)
    assert law.costs == "mine"
    assert law.coefficients.estimate.tos == pytest.approx(
        tos.fit_scaling_law(runs, "tos").coefficients.estimate.tos / 2)
    assert len(law.bootstrap(20)) == 2


def test_law_of_training_prices_a_training_step():
    import keras

    runs = model_runs()
    training = runs.assign(phase="training", configuration=runs.configuration + " training",
                           energy_j=3 * runs.energy_j, macs=3 * runs.macs)
    law = tos.fit_scaling_law(training, "macs")
    model = keras.Sequential([keras.Input((256,)), keras.layers.Dense(1024, "relu"),
                              keras.layers.Dense(512)])
    step = count_row(model, 256, phase="training", loss="mse", optimizer="sgd")
    macs = step["mac float32"]
    c = law.coefficients.estimate
    assert law.predict(model, batch_size=256, loss="mse", optimizer="sgd") == pytest.approx(
        c.constant + c.macs * macs)
    both = tos.fit_scaling_law(pd.concat([runs, training], ignore_index=True), "macs")
    assert set(both.phases) == {"inference", "training"}
    with pytest.raises(ValueError, match="phase: the law is of inference, training; say which"):
        both.predict(model)


def test_a_column_unit_says_nothing_and_the_argument_does():
    """Runs on two GPUs of one kind: their column ``unit`` once named the device."""
    runs = synthetic(n=10).assign(unit=["gpu-0", "gpu-1"] * 15)
    law = tos.fit_scaling_law(runs, "linear")
    plain = tos.fit_scaling_law(runs.drop(columns="unit"), "linear")
    pd.testing.assert_frame_equal(law.coefficients, plain.coefficients)
    assert law.unit == "J"
    named = runs.rename(columns={"energy_j": "consumption"})
    assert tos.fit_scaling_law(named, "linear", "consumption").unit == ""
    law = tos.fit_scaling_law(named, "linear", "consumption", unit="J")
    assert law.unit == "J"
    assert " J + " in law.equation()
    with pytest.raises(ValueError, match="unit: 'mJ', but 'energy_j' is in J by its name"):
        tos.fit_scaling_law(runs, "linear", unit="mJ")


@pytest.mark.parametrize(("response", "unit", "quantity"), [
    ("energy_kwh", None, "energy"), ("time_ms", None, "time"), ("time_h", None, "time"),
    ("E", "J", "energy"), ("t", "s", "time"), ("power", "W", "power"), ("loss", None, "loss")])
def test_a_law_says_what_it_is_of_by_its_unit_or_its_name(response, unit, quantity, tmp_path):
    runs = synthetic(n=10).rename(columns={"energy_j": response})
    law = tos.fit_scaling_law(runs, "linear", response, unit=unit)
    law.save(tmp_path / "law.json")
    for one in (law, tos.load_scaling_law(tmp_path / "law.json")):
        assert f"[law of {quantity}, " in str(one)


def test_runs_priced_by_two_tables_are_not_mixed_even_after_a_file(tmp_path):
    runs = model_runs()
    other = tos.price(runs, "gpu-ieee").assign(configuration=runs.configuration + " again")
    both = pd.concat([runs, other], ignore_index=True)
    both.to_csv(tmp_path / "both.csv", index=False)
    for table in (both, both.sample(frac=1, random_state=0), pd.read_csv(tmp_path / "both.csv")):
        with pytest.raises(ValueError, match=r"priced by .*; price all of them by one"):
            tos.fit_scaling_law(table, "tos")
        assert tos.fit_scaling_law(table, "macs").n_runs == 2 * len(runs)
        assert tos.fit_scaling_law(tos.price(table, "cmos"), "tos").costs == "cmos"
    runs.to_csv(tmp_path / "runs.csv", index=False)
    assert tos.fit_scaling_law(pd.read_csv(tmp_path / "runs.csv"), "tos").costs == "cmos"


@pytest.mark.parametrize("table", ["mine", "cmos"])
def test_a_column_of_prices_is_trusted_under_the_table_that_the_runs_name(table, tmp_path):
    """Also where that table is not at hand: its units are then unknown, and nothing else."""
    runs = synthetic(n=10).rename(columns={"linear": "tos"}).assign(costs=table)
    law = tos.fit_scaling_law(runs, "tos")
    assert law.costs == table
    assert ("/TO tos" in str(law)) == (table == "cmos")
    law.save(tmp_path / "law.json")
    read = tos.load_scaling_law(tmp_path / "law.json")
    assert str(read) == str(law)
    assert read.predict(runs).to_numpy() == pytest.approx(law.predict(runs).to_numpy())
    with pytest.raises(ValueError, match=f"{table!r}, but 'tos' of the runs was priced by 'flops'"):
        read.predict(runs.assign(costs="flops"))
    with pytest.raises(ValueError, match=r"priced by .*; price all of them by one"):
        read.predict(runs.assign(costs=[table, None, "flops"] * 10))
    with pytest.raises(ValueError, match="costs: this column names the cost table"):
        tos.fit_scaling_law(runs.assign(costs=3.5), "tos")


def test_a_law_of_another_version_is_not_read_with_another_meaning(tmp_path):
    law = tos.fit_scaling_law(synthetic(), "linear")
    law.save(tmp_path / "law.json")
    record = json.loads((tmp_path / "law.json").read_text())
    assert record["tostoolkit scaling law"] == VERSION
    (tmp_path / "law.json").write_text(json.dumps(record | {"tostoolkit scaling law": 1}))
    with pytest.raises(ValueError, match="version 1, whose predictors had other meanings"):
        tos.load_scaling_law(tmp_path / "law.json")
    with pytest.raises(FileExistsError, match=r"version 1.*left as it is"):
        law.save(tmp_path / "law.json")


@pytest.mark.parametrize(("change", "message"), [
    (lambda runs: pd.concat([runs, runs[["linear"]]], axis=1), "two columns are called 'linear'"),
    (lambda runs: runs.astype({"energy_j": object}), "energy_j: its column is of object"),
    (lambda runs: runs.assign(configuration=[None, *runs.configuration[1:]]),
     "configuration: missing in 1 of"),
    (lambda runs: runs.assign(device=["a", None] * (len(runs) // 2)), "device: runs of 2 devices"),
    (lambda runs: runs.assign(device=["a", 1] * (len(runs) // 2)), "device: runs of 2 devices"),
])
def test_columns_that_are_not_what_they_are_taken_for_are_named(change, message):
    runs = synthetic()
    with pytest.raises(ValueError, match=message):
        tos.fit_scaling_law(change(runs.iloc[:len(runs) // 2 * 2]), "linear")


def test_what_is_of_a_model_is_not_ignored_with_rows():
    law = tos.fit_scaling_law(synthetic(), "linear")
    for options in ({"counters": {}}, {"phase": "training"}, {"input_shape": (3,)}):
        with pytest.raises(ValueError, match=f"{next(iter(options))}: it is of a model"):
            law.predict(synthetic(), **options)
