import numpy as np
import pandas as pd
import pytest
from test_law import synthetic

import tostoolkit as tos


def test_ceiling_is_that_of_the_planted_noise():
    """|mean of 2 others / y - 1| of noise s: s sqrt(1 + 1/2), times sqrt(2 / pi) on average."""
    ceiling = tos.noise_ceiling(synthetic(n=400, noise=0.04))
    expected = 0.04 * 1.5**0.5 * (2 / np.pi) ** 0.5
    assert ceiling.mean_relative_error == pytest.approx(expected, rel=0.06)
    assert ceiling.lower < expected < ceiling.upper
    assert (ceiling.n_runs, ceiling.n_configurations, ceiling.n_single) == (1200, 400, 0)


def test_ceiling_by_hand_with_one_that_has_no_repeat():
    runs = pd.DataFrame({"configuration": list("aaab"), "energy_j": [1.0, 2.0, 4.0, 5.0]})
    ceiling = tos.noise_ceiling(runs)
    assert ceiling.mean_relative_error == pytest.approx((2 + 0.25 + 0.625) / 3)
    assert (ceiling.n_runs, ceiling.n_configurations, ceiling.n_single) == (3, 1, 1)


def test_repeats_on_two_devices_are_no_repeats():
    runs = synthetic(noise=0)
    both = pd.concat([runs, runs.assign(device="e", energy_j=9 * runs.energy_j)])
    assert tos.noise_ceiling(both).mean_relative_error == pytest.approx(0, abs=1e-12)


def test_a_law_that_is_true_reaches_the_ceiling_and_not_more():
    runs = synthetic(noise=0.04, n=200)
    held = tos.compare_predictors(runs, {"true": ["linear", "nonlinear"]}, ["k-fold"])
    ceiling = tos.noise_ceiling(runs).mean_relative_error
    assert held.mean_relative_error[0] == pytest.approx(ceiling * (2 / 3) ** 0.5, rel=0.08)


@pytest.mark.parametrize(("runs", "words"), [
    (synthetic(repeats=1), ["single repeat", "repeats=3"]),
    (synthetic().assign(energy_j=-1.0), ["energy_j", "not positive"]),
    (synthetic().drop(columns="energy_j"), ["'energy_j'"]),
])
def test_bad_runs_are_an_error(runs, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        tos.noise_ceiling(runs)
    for word in words:
        assert word in str(caught.value)
