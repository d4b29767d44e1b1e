"""Collinearity and intervals against statsmodels, SciPy and hand numbers."""

import numpy as np
import pandas as pd
import pytest

from tostoolkit import statistics
from tostoolkit.statistics import precision_metrics

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("n", [8, 40])
def test_inflation_is_that_of_statsmodels(n):
    from statsmodels.stats.outliers_influence import variance_inflation_factor

    x = pd.DataFrame(RNG.lognormal(size=(n, 3)), columns=list("abc"))
    x["d"] = x.a + 0.1 * RNG.standard_normal(n)
    design = np.column_stack([np.ones(n), x])
    assert list(statistics.variance_inflation(x).values()) == pytest.approx(
        [variance_inflation_factor(design, i) for i in range(1, 5)])


def test_weighted_inflation_is_that_of_weighted_regressions():
    import statsmodels.api as sm

    x = pd.DataFrame(RNG.lognormal(size=(30, 3)), columns=list("abc"))
    weights = RNG.uniform(0.1, 2, 30)
    expected = [1 / (1 - sm.WLS(x[name], sm.add_constant(x.drop(columns=name)),
                                weights=weights).fit().rsquared) for name in x]
    assert list(statistics.variance_inflation(x, weights).values()) == pytest.approx(expected)


def test_columns_that_are_one_have_no_bound():
    x = pd.DataFrame({"a": [1.0, 2, 3, 5], "b": [2.0, 4, 6, 10]})
    assert statistics.variance_inflation(x) == {"a": np.inf, "b": np.inf}
    assert statistics.variance_inflation(x[["a"]]) == {"a": 1.0}
    x["c"] = [1.0, 0, 0, 1]  # what the two have in common is not its fault
    assert statistics.variance_inflation(x)["c"] < 2
    x["flat"] = 0.1
    assert np.isnan(statistics.variance_inflation(x, weights=[1.0, 2, 3, 4])["flat"])


@pytest.mark.parametrize("seed", range(4))
def test_inflation_on_the_scale_of_a_fit_is_that_of_its_regressions(seed):
    import statsmodels.api as sm

    work = np.random.default_rng(seed).lognormal(size=(30, 3)) * [1, 1e9, 1e-6]
    total = work @ [1, 1e-9, 1e6]
    columns = np.column_stack([work, np.ones(30)]) / total[:, None]
    columns /= columns.max(axis=0)  # statsmodels drops what is small beside the largest column
    alone = [sm.OLS(columns[:, i], np.delete(columns, i, axis=1)).fit()
             for i in range(3)]
    assert statistics.inflation_relative(work, total) == pytest.approx(
        [fit.uncentered_tss / fit.ssr for fit in alone], rel=1e-5)
    logs = sm.add_constant(np.log1p(work / [1, 1e9, 1e-6]))
    beside = [sm.OLS(logs[:, i], np.delete(logs, i, axis=1)).fit() for i in (1, 2, 3)]
    assert statistics.inflation_log(work / [1, 1e9, 1e-6]) == pytest.approx(
        [1 / (1 - fit.rsquared) for fit in beside])


def test_correlation_is_that_of_statsmodels():
    from statsmodels.stats.weightstats import DescrStatsW

    x, weights = pd.DataFrame(RNG.lognormal(size=(30, 3))), RNG.uniform(0.1, 2, 30)
    assert statistics.correlation(x, weights).to_numpy() == pytest.approx(
        DescrStatsW(x.to_numpy(), weights).corrcoef)
    pd.testing.assert_frame_equal(statistics.correlation(x), x.corr())


@pytest.mark.parametrize("n", [2, 3, 17])
def test_interval_of_a_mean_is_scipys(n):
    from scipy.stats import ttest_1samp

    values = RNG.standard_normal(n)
    interval = ttest_1samp(values, 0).confidence_interval(0.95)
    assert statistics.mean_interval(values) == pytest.approx(
        (values.mean(), interval.low, interval.high))


def test_one_value_has_a_mean_and_no_interval():
    mean, low, high = statistics.mean_interval([3.0])
    assert mean == 3
    assert np.isnan([low, high]).all()
    gap, low, high = statistics.welch_interval([3.0], [1.0, 2.0])
    assert gap == 1.5
    assert np.isnan([low, high]).all()


@pytest.mark.parametrize("n", [2, 3, 17])
def test_interval_of_a_difference_is_scipys(n):
    from scipy.stats import ttest_ind

    first, second = RNG.standard_normal(n), 3 * RNG.standard_normal(n + 2)
    interval = ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert statistics.welch_interval(first, second) == pytest.approx(
        (first.mean() - second.mean(), interval.low, interval.high))
    assert statistics.welch_interval([2.0, 2.0, 2.0], [1.0, 1.0]) == (1, 1, 1)


def test_groups_are_drawn_with_all_their_values():
    groups, values = RNG.integers(0, 6, 40), RNG.lognormal(size=40)
    draws = statistics.resampled_means({0: statistics.group_sums(values, groups)}, 5, seed=3)[0]
    times = np.random.default_rng(3).multinomial(6, [1 / 6] * 6, 5)
    assert draws == pytest.approx([np.repeat(values, n[groups]).mean() for n in times])


def test_resampled_means_are_those_of_scipys_bootstrap():
    """Of groups with one value each it is the plain bootstrap."""
    from scipy.stats import bootstrap

    values = RNG.lognormal(size=40)
    sums = statistics.group_sums(values, np.arange(40))
    draws = statistics.resampled_means({"a": sums, "b": sums}, 20_000, seed=1)
    assert (draws["a"] == draws["b"]).all()  # the same draws for all
    interval = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile",
                         rng=np.random.default_rng(2)).confidence_interval
    assert statistics.percentiles(draws["a"]) == pytest.approx(
        (interval.low, interval.high), rel=0.02)


def test_metrics_by_hand():
    metrics = precision_metrics([1.0, 2.0, 4.0], [1.5, 2.0, 3.0])
    assert metrics.mean_relative_error == pytest.approx((0.5 + 0 + 0.25) / 3)
    assert metrics.median_relative_error == pytest.approx(0.25)
    assert metrics.precision == pytest.approx(1 - 0.25)
    assert metrics.r2 == pytest.approx(1 - (0.25 + 1) / (4 / 3 + 1 / 9 + 25 / 9 + 4 / 9))
    assert np.isnan(precision_metrics([1.0, 2.0], [-1.0, 2.0]).log_r2)
