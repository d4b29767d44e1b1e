"""Statistics that several floors need, each once: collinearity, intervals, prediction errors."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

#: Probability of every interval.
LEVEL = 0.95
#: Ends of such an interval among draws.
ENDS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
#: Variance inflation above which a coefficient is not identified (Belsley, Kuh, Welsch, Regression
#: Diagnostics, 1980, section 3.2).
IDENTIFIED = 10.0
#: Logarithms whose column is shorter than this vary by rounding alone.
SHORT = 1e-9
#: Added to the diagonal before it is inverted: collinear columns then get 1 / RIDGE, not an error.
RIDGE = 1e-12
#: Variance inflation above which rounding decides it, so that the columns are collinear outright.
UNBOUNDED = 1e10


# Collinearity -------------------------------------------------------------------------------

def correlation(x: pd.DataFrame, weights: np.ndarray | None = None) -> pd.DataFrame:
    """Return the correlation of the columns of `x`, weighted by row.

    >>> correlation(pd.DataFrame({"a": [1, 2, 3], "b": [2, 4, 6]})).loc["a", "b"].round(9)
    np.float64(1.0)
    """
    covariance = np.atleast_2d(np.cov(x.to_numpy(float).T, aweights=weights))
    scale = np.sqrt(np.diag(covariance))
    return pd.DataFrame(covariance / np.outer(scale, scale), index=x.columns, columns=x.columns)


def variance_inflation(x: pd.DataFrame, weights: np.ndarray | None = None) -> dict[str, float]:
    """Return the variance inflation factor of each column given the others; 1 is none.

    1 / (1 - R^2) of the column explained by the others and a constant, by least squares with
    `weights`: those of the fit, as what looks unrelated in joules may coincide in relative error
    (Belsley, Kuh, Welsch, Regression Diagnostics, 1980, section 3.2); above 5 is a warning sign.
    Infinite for columns that are collinear outright, NaN for one that does not vary.

    >>> variance_inflation(pd.DataFrame({"a": [1, 2, 3, 4], "b": [1, -1, -1, 1]}))
    {'a': 1.0, 'b': 1.0}
    """
    columns = x.to_numpy(float)
    columns = columns - np.average(columns, axis=0, weights=weights)
    columns[:, np.ptp(x.to_numpy(float), axis=0) == 0] = 0  # what is left of a mean's rounding
    root = 1.0 if weights is None else np.sqrt(np.asarray(weights, float))[:, None]
    inflation = _inflation(columns * root)
    inflation[inflation > UNBOUNDED] = np.inf
    return dict(zip(x.columns, inflation.tolist(), strict=True))


def inflation_relative(work: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return the variance inflation of each column on the scale of the relative-error fit.

    That fit minimises the relative error of y = c_0 + sum_i c_i x_i, y the `total`, so that its
    columns are 1 / y and the shares x_i / y, and it has no constant beside them: the factor is
    1 / (1 - R^2) of a column on the others, R^2 not centred (Belsley, Kuh, Welsch, "Regression
    Diagnostics", 1980, section 3.2). 1 is none; a column that is always 0 has NaN.

    >>> work = np.array([[1.0, 0.0], [0.0, 2.0], [9.0, 1.0]])
    >>> inflation_relative(work, work.sum(axis=1)).round(1).tolist()
    [2.5, 1.5]
    """
    columns = np.column_stack([work, np.ones(len(work))]) / np.asarray(total, float)[:, None]
    return _inflation(columns)[:-1]


def inflation_log(work: np.ndarray) -> np.ndarray:
    """Return the variance inflation of log(1 + x) of each column, a constant beside them.

    The scale of the power law. A column that does not vary has NaN.

    >>> inflation_log(np.array([[1, 9], [9, 0], [99, 9], [999, 0]])).round(2).tolist()
    [1.21, 1.21]
    """
    logs = np.log1p(np.asarray(work, float))
    return _inflation(logs - logs.mean(axis=0), SHORT)


def _inflation(columns, shortest=0.0):
    """Return the diagonal of the inverse of the products of the columns, once of length 1."""
    lengths = np.sqrt((columns**2).sum(axis=0))
    varies = lengths > shortest
    unit = columns[:, varies] / lengths[varies]
    inflation = np.full(len(varies), np.nan)
    inflation[varies] = np.diag(np.linalg.inv(unit.T @ unit + RIDGE * np.eye(unit.shape[1])))
    return np.maximum(inflation, 1.0)  # the ridge takes 10^-12 of it


# Intervals ----------------------------------------------------------------------------------

def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of a sample and its 95 % interval by Student's t; NaN ends for one value.

    >>> [round(end, 3) for end in mean_interval([1.0, 2.0, 3.0])]
    [2.0, -0.484, 4.484]
    """
    values = np.asarray(values, float)
    error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
    return t_interval(values.mean(), error, len(values) - 1)


def t_interval(estimate: float, error: float, freedom: float) -> tuple[float, float, float]:
    """Return an estimate and its 95 % interval, by its standard error and degrees of freedom."""
    from scipy.stats import t

    half = t.ppf(ENDS[1], freedom) * error if freedom > 0 else np.nan
    return float(estimate), float(estimate - half), float(estimate + half)


def welch_interval(first: Sequence[float], second: Sequence[float]
                   ) -> tuple[float, float, float]:
    """Return the difference of two samples' means and its 95 % interval (Welch's).

    Degrees of freedom are Satterthwaite's (Welch, Biometrika 34(1-2), 1947). NaN ends where a
    sample has one value.

    >>> [round(end, 3) for end in welch_interval([3.0, 4.0, 5.0], [1.0, 2.0, 3.0])]
    [2.0, -0.267, 4.267]
    """
    samples = [np.asarray(values, float) for values in (first, second)]
    gap, sizes = samples[0].mean() - samples[1].mean(), np.array([len(v) for v in samples])
    if sizes.min() < 2:
        return t_interval(gap, np.nan, 0)
    parts = np.array([v.var(ddof=1) for v in samples]) / sizes
    total = parts.sum()
    freedom = total**2 / (parts**2 / (sizes - 1)).sum() if total else 1.0
    return t_interval(gap, total**0.5, freedom)


def percentiles(draws: np.ndarray) -> tuple[float, float]:
    """Return the ends of the 95 % interval that draws give."""
    low, high = np.quantile(draws, ENDS)
    return float(low), float(high)


def resampled_means(sums: Mapping, draws: int, seed: int) -> dict:
    """Return key -> mean in each of `draws` resamples of the groups, the same for all keys.

    Groups (configurations) are drawn with replacement, each with all its values (Davison and
    Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8). `sums` holds of each
    group the sum and the number of its values, as `group_sums` returns them.

    >>> resampled_means({"a": np.array([[2.0, 2], [3.0, 3]])}, draws=2, seed=0)
    {'a': array([1., 1.])}
    """
    if draws < 1:
        raise ValueError(f"bootstrap: {draws} resamples give no interval; give 1000")
    if not sums:
        return {}
    n = len(next(iter(sums.values())))
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), draws)
    totals = {key: times @ table for key, table in sums.items()}
    return {key: total[:, 0] / total[:, 1] for key, total in totals.items()}


def group_sums(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the sum and the number of the values of each group, in sorted order, shape (G, 2).

    >>> group_sums(np.array([1.0, 2, 4]), np.array(["a", "b", "a"])).tolist()
    [[5.0, 2.0], [2.0, 1.0]]
    """
    return pd.Series(np.asarray(values, float)).groupby(np.asarray(groups)).agg(
        ["sum", "size"]).to_numpy(float)


# Errors -------------------------------------------------------------------------------------

def precision_metrics(measured: Sequence[float], predicted: Sequence[float]) -> pd.Series:
    """Return how well predictions fit measurements.

    ``r2`` and ``log_r2`` (1 - residual / total sum of squares, of the values and of their logs;
    missing where a prediction is not positive), ``mean_relative_error``,
    ``median_relative_error`` (of abs(predicted / measured - 1)), and ``precision``, 1 - mean
    relative error.

    >>> metrics = precision_metrics([1.0, 2.0, 4.0], [1.1, 2.0, 4.0])
    >>> round(float(metrics.mean_relative_error), 4)
    0.0333
    """
    y, p = np.asarray(measured, float), np.asarray(predicted, float)
    error = np.abs(p / y - 1)
    return pd.Series({
        "r2": _r2(y, p), "log_r2": _r2(np.log(y), np.log(p)) if (p > 0).all() else np.nan,
        "mean_relative_error": error.mean(), "median_relative_error": np.median(error),
        "precision": 1 - error.mean(),
    })


def _r2(y, p):
    total = ((y - y.mean()) ** 2).sum()
    return 1 - ((y - p) ** 2).sum() / total if total else np.nan
