import numpy as np
import pandas as pd
import pytest

import tostoolkit as tos


def synthetic(n=60, repeats=3, noise=0.02, seed=0, c=(2.0, 3e-9, 8e-8), exponent=None):
    """Runs of a known law: c0 + c1 linear + c2 nonlinear, or c0 linear^exponent."""
    rng = np.random.default_rng(seed)
    configuration = np.repeat(np.arange(n), repeats)
    linear = 10 ** rng.uniform(8, 11, n)[configuration]
    nonlinear = 10 ** rng.uniform(7, 9.5, n)[configuration]
    law = c[0] + c[1] * linear + c[2] * nonlinear if exponent is None else c[0] * linear**exponent
    runs = pd.DataFrame({
        "configuration": configuration, "linear": linear, "nonlinear": nonlinear,
        "activation": np.array(["relu", "tanh", "gelu"])[configuration % 3], "device": "d"})
    runs["energy_j"] = law * (1 + noise * rng.standard_normal(len(runs)))
    return runs


def test_exact_law_is_recovered_exactly():
    law = tos.fit_scaling_law(synthetic(noise=0), ["linear", "nonlinear"])
    assert law.coefficients.estimate.to_numpy() == pytest.approx([2.0, 3e-9, 8e-8], rel=1e-6)
    assert law.metrics.precision == pytest.approx(1)


@pytest.mark.parametrize(("form", "predictors", "truth", "exponent"), [
    ("relative", ["linear", "nonlinear"], {"constant": 2.0, "linear": 3e-9, "nonlinear": 8e-8},
     None),
    ("power", ["linear"], {"constant": 2.0, "linear": 0.7}, 0.7),
])
def test_intervals_hold_the_truth_as_often_as_they_say(form, predictors, truth, exponent):
    held = {name: 0 for name in truth}
    for seed in range(100):
        runs = synthetic(seed=seed, exponent=exponent)
        coefficients = tos.fit_scaling_law(runs, predictors, form=form).coefficients
        for name, value in truth.items():
            held[name] += coefficients.lower[name] <= value <= coefficients.upper[name]
    # of 100 draws at 95 %, fewer than 88 happen once in 400
    assert min(held.values()) >= 88, held


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


def test_metrics_by_hand():
    metrics = tos.precision_metrics([1.0, 2.0, 4.0], [1.5, 2.0, 3.0])
    assert metrics.mean_relative_error == pytest.approx((0.5 + 0 + 0.25) / 3)
    assert metrics.median_relative_error == pytest.approx(0.25)
    assert metrics.precision == pytest.approx(1 - 0.25)
    assert metrics.r2 == pytest.approx(1 - (0.25 + 1) / (4 / 3 + 1 / 9 + 25 / 9 + 4 / 9))
    assert np.isnan(tos.precision_metrics([1.0, 2.0], [-1.0, 2.0]).log_r2)


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
    (changed(), {"predictors": "tos"}, ["'tos'", "linear"]),
    (changed(), {"response": "joules"}, ["'joules'"]),
    (changed(), {"predictors": "linear", "form": "quadratic"}, ["'quadratic'", "power"]),
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
