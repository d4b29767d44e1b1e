import numpy as np
import pandas as pd
import pytest
from test_law import fleet, synthetic

import tostoolkit as tos
from tostoolkit.laws.diagnostics import factor_columns


def test_collinear_terms_are_not_identified():
    runs = synthetic()
    rng = np.random.default_rng(0)
    runs["twin"] = runs.linear * np.exp(0.01 * rng.standard_normal(60))[runs.configuration]
    with pytest.warns(UserWarning, match="variance inflation"):
        law = tos.fit_scaling_law(runs, ["linear", "twin", "nonlinear"], form="power")
    found = law.diagnostics()
    assert found.terms.identified.to_dict() == {"linear": False, "twin": False, "nonlinear": True}
    assert found.terms.variance_inflation["twin"] > 100
    assert found.correlation.loc["linear", "twin"] > 0.99
    assert found.condition_number > 100
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
    residuals = tos.fit_scaling_law(runs, ["linear", "nonlinear"]).diagnostics().residuals
    gelu = residuals[(residuals.factor == "activation") & (residuals.level == "gelu")].iloc[0]
    assert gelu.lower > 0.05
    assert gelu.n_configurations == 20
    assert set(residuals.factor) == {"activation", "device"}


def test_mixed_law_has_diagnostics_too():
    law = tos.fit_scaling_law(fleet(3), "linear", form="mixed")
    assert len(law.diagnostics().influence) == 60
    assert "condition number" in str(law.diagnostics())


def test_factors_are_those_before_family():
    runs = pd.DataFrame(columns=["configuration", "depth", "activation", "family", "repeat", "x"])
    assert factor_columns(runs) == ["depth", "activation"]
    with pytest.raises(ValueError, match="no column 'colour'"):
        tos.fit_scaling_law(synthetic(), "linear").diagnostics(factors=["colour"])
