"""Runs as numbers to fit a law to, and how good and how sure the fit is."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .fits import FITS, Solution, group_means, jackknife, resamples
from .terms import term_values

#: Draws for the intervals of those fits that have no other, and where they begin.
BOOTSTRAP, SEED = 500, 0


@dataclass(frozen=True)
class Prepared:
    """Runs as numbers: terms, design, response and codes; logarithms where the form is of logs."""

    x: pd.DataFrame
    design: np.ndarray
    y: np.ndarray
    codes: np.ndarray
    groups: np.ndarray
    scales: np.ndarray

    def arrays(self):
        return self.design, self.y, self.codes, self.groups


def prepare(runs, terms, response, form, configuration, costs=None, group="device", x=None):
    """Return runs as a `Prepared`; `x` may hold the terms' values already."""
    x = term_values(runs, terms, costs) if x is None else x
    groups = runs[group].to_numpy() if form == "mixed" else np.zeros(len(runs), int)
    labels = runs[configuration]
    if form == "mixed":  # the same network on two devices is no repeat
        labels = pd.MultiIndex.from_arrays([labels, groups])
    y, scales = runs[response].to_numpy(float), x.abs().mean().to_numpy()
    y = np.log(y) if FITS[form].scale == "log" else y
    return Prepared(x, design_matrix(x, form, scales), y, pd.factorize(labels)[0], groups, scales)


def design_matrix(x, form, scales):
    """Return the design: a constant, then the terms scaled to order 1, or their logarithms."""
    x = np.asarray(x, float)
    x = np.log(x) if FITS[form].scale == "log" else x / scales
    return np.column_stack([np.ones(len(x)), x])


def uncertainty(form, data, found: Solution, random):
    """Return the coefficients' covariance, degrees of freedom, and ends of their 95 % intervals.

    Percentiles of the bootstrap are narrow where few configurations decide a coefficient
    (Hesterberg, American Statistician 69(4), 2015, section 3.3), so coefficients that no bound
    holds get the jackknife's interval where that is wider.
    """
    from scipy.stats import t

    kind = FITS[form].intervals
    n, k = int(data.codes.max()) + 1, data.design.shape[1]
    freedom = np.full(k, float(n - k))
    if kind == "bootstrap":
        draws = np.array(list(resamples(
            FITS[form].solve, *data.arrays(), random, BOOTSTRAP, SEED)))
        lower, upper = np.quantile(draws, [0.025, 0.975], axis=0)
        free = found.coefficients > 0
        inner = Solution(found.coefficients[free], found.weights)
        own, freedom[free] = jackknife(data.design[:, free], data.y, data.codes, inner)
        half = t.ppf(0.975, freedom[free]) * np.sqrt(np.diag(own))
        lower[free] = np.minimum(lower[free], (inner.coefficients - half).clip(0))
        upper[free] = np.maximum(upper[free], inner.coefficients + half)
        return np.atleast_2d(np.cov(draws.T)), freedom, lower, upper
    if kind == "model":
        covariance = found.covariance
    else:
        covariance, freedom = jackknife(data.design, data.y, data.codes, found)
    half = t.ppf(0.975, freedom) * np.sqrt(np.diag(covariance))
    return covariance, freedom, found.coefficients - half, found.coefficients + half


def scatter(form, data, found):
    """Return the standard deviation of runs about the law, on the scale of the fit."""
    if found.sigma is not None:  # of a mean of repeats; a run scatters by the repeats more
        within = data.y - group_means(data.y, data.codes)
        loose = len(data.y) - int(data.codes.max()) - 1
        return float(np.hypot(found.sigma, np.sqrt((within**2).sum() / loose) if loose else 0.0))
    residual = data.y - data.design @ found.coefficients
    if FITS[form].scale == "relative":
        residual = residual / group_means(data.y, data.codes)
    return float(np.sqrt((residual**2).sum() / (len(residual) - data.design.shape[1])))


def unscaled(table, scales, form):
    """Return coefficients (estimate, error, ends) in the units of the response and the terms."""
    table = table.copy()
    if FITS[form].scale != "log":
        return table / np.array([1.0, *scales])[:, None]
    table[0] = [np.exp(table[0, 0]), np.exp(table[0, 0]) * table[0, 1], *np.exp(table[0, 2:])]
    return table


def coefficient_table(table, terms):
    return pd.DataFrame(table, index=["constant", *terms],
                        columns=["estimate", "std_error", "lower", "upper"])


def precision_metrics(measured, predicted) -> pd.Series:
    """Return how well predictions fit measurements.

    ``r2`` and ``log_r2`` (1 - residual / total sum of squares, of the values and of their logs;
    missing where a prediction is not positive), ``mean_relative_error``,
    ``median_relative_error`` (of abs(predicted / measured - 1)), and ``precision``, 1 - mean
    relative error.

    Parameters
    ----------
    measured, predicted : array of float, shape (n,)

    Examples
    --------
    >>> metrics = precision_metrics([1.0, 2.0, 4.0], [1.1, 2.0, 4.0])
    >>> round(float(metrics.mean_relative_error), 4)
    0.0333
    """
    y, p = np.asarray(measured, float), np.asarray(predicted, float)
    error = np.abs(p / y - 1)
    log_r2 = np.nan if not (p > 0).all() else _r2(np.log(y), np.log(p))
    return pd.Series({
        "r2": _r2(y, p), "log_r2": log_r2,
        "mean_relative_error": error.mean(), "median_relative_error": np.median(error),
        "precision": 1 - error.mean(),
    })


def _r2(y, p):
    total = ((y - y.mean()) ** 2).sum()
    return 1 - ((y - p) ** 2).sum() / total if total else np.nan
