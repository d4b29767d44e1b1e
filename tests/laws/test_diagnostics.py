from pathlib import Path

import numpy as np
import pytest
from runs import fleet, synthetic

import tostoolkit as tos

RAW = Path(__file__).parents[2] / "data" / "raw"


def test_collinear_terms_are_not_identified():
    runs = synthetic()
    rng = np.random.default_rng(0)
    runs["twin"] = runs.linear * np.exp(0.01 * rng.standard_normal(60))[runs.configuration]
    with pytest.warns(UserWarning, match="variance inflation"):
        law = tos.fit_scaling_law(runs, ["linear", "twin", "nonlinear"], form="power")
    report = law.diagnostics()
    assert report.terms.identified.to_dict() == {"linear": False, "twin": False, "nonlinear": True}
    assert report.terms.variance_inflation["twin"] > 100
    assert report.correlation.loc["linear", "twin"] > 0.99
    assert report.condition_number > 100
    plain = tos.fit_scaling_law(runs, ["linear", "nonlinear"]).diagnostics()
    assert plain.terms.identified.all()
    assert plain.condition_number < 10


def test_cooks_distance_by_hand():
    """The distance that the fit moves when a configuration is left out."""
    runs = synthetic(n=15, repeats=2, noise=0.1)
    terms = ["linear", "nonlinear"]
    law = tos.fit_scaling_law(runs, terms, form="linear")
    influence = law.diagnostics().influence.set_index("configuration").cooks_distance
    for c in (0, 7):
        other = tos.fit_scaling_law(runs[runs.configuration != c], terms, form="linear")
        x = np.column_stack([np.ones(30), runs[terms]])
        moved = x @ (law.coefficients.estimate - other.coefficients.estimate).to_numpy()
        residual = runs.energy_j - x @ law.coefficients.estimate.to_numpy()
        assert influence[c] == pytest.approx(
            (moved**2).sum() / (3 * (residual**2).sum() / 27), rel=1e-5)


@pytest.mark.parametrize("form", ["relative", "gamma", "power"])
def test_a_wrong_configuration_is_the_most_influential(form):
    runs = synthetic(exponent=1.0)
    runs.loc[runs.configuration == 11, "energy_j"] /= 5
    worst = tos.fit_scaling_law(runs, "linear", form=form).diagnostics().influence.iloc[0]
    assert worst.configuration == 11
    assert worst.residual < -0.3
    assert worst.n_runs == 3


def test_a_factor_that_the_law_misses_is_seen():
    runs = synthetic()
    runs.loc[runs.activation == "gelu", "energy_j"] *= 1.2
    law = tos.fit_scaling_law(runs, ["linear", "nonlinear"])
    residuals = law.diagnostics(factors=["activation"]).residuals
    gelu = residuals[(residuals.factor == "activation") & (residuals.level == "gelu")].iloc[0]
    assert gelu.lower > 0.05
    assert gelu.n_configurations == 20
    from scipy.stats import ttest_1samp

    ratio = runs.energy_j / law.predict(runs) - 1
    means = ratio[runs.activation == "gelu"].groupby(runs.configuration).mean()
    interval = ttest_1samp(means, 0).confidence_interval()
    assert [gelu.residual, gelu.lower, gelu.upper] == pytest.approx(
        [means.mean(), interval.low, interval.high])


def test_mixed_law_has_diagnostics_too():
    law = tos.fit_scaling_law(fleet(3), "linear", form="mixed")
    assert len(law.diagnostics().influence) == 60
    assert "condition number" in str(law.diagnostics())


def test_factors_are_those_of_the_family_in_any_order_of_columns():
    runs = tos.load_runs(RAW / "cpu_feed_forward.csv")
    runs = tos.price(tos.count_models(runs[runs.configuration.isin(runs.configuration[:8])]))
    for columns in (list(runs), list(reversed(runs.columns)), sorted(runs)):
        residuals = tos.fit_scaling_law(runs[columns], "macs", "time_s").diagnostics().residuals
        assert set(residuals.factor) == {"depth", "width", "activation", "batch_norm", "input_size",
                                         "batch_size", "phase", "dtype"}


def test_runs_of_no_family_have_no_factors_and_that_is_said():
    law = tos.fit_scaling_law(synthetic(), "linear")
    assert law.diagnostics().residuals.empty
    assert "law.diagnostics(factors=[...])" in str(law.diagnostics())
    with pytest.raises(ValueError, match="no column 'colour'"):
        law.diagnostics(factors=["colour"])
