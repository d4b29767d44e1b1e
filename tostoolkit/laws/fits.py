"""Kinds of fit: how a law's coefficients are found, and how sure they are.

Each entry of `FITS` solves for the coefficients b of y = X b with statsmodels (SciPy for the
non-negative one) and gives the weights w with which it weighed the residuals. Intervals come from
the jackknife over configurations: with A = X'WX,

    b_(-g) = b - (A - X_g'W_g X_g)^-1 X_g'W_g (y_g - X_g b),   V = (G-1)/G sum_g (b_(-g) - b)(...)'

and Student's t with the degrees of freedom that V has if the weighted residuals are independent
and alike (Satterthwaite's: twice the squared mean of V over its variance). It is exact for least
squares, one step for gamma, allows for any dependence among a configuration's repeats and any
unlike scatter, and errs on the wide side (Bell and McCaffrey, Survey Methodology 28(2), 2002;
Cameron and Miller, J. Human Resources 50(2), 2015, sections VI.B and VI.D: CV3).
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..statistics import ENDS

#: Draws for the intervals of those fits that have no other, and where they begin.
BOOTSTRAP, SEED = 500, 0
#: Steps of the gamma fit: it takes about ten where it converges at all.
MOST_STEPS = 200


class Solution(NamedTuple):
    """Coefficients of the design's columns, the weights used, and what only mixed effects have:
    covariance, group -> coefficients to add, residual standard deviation."""

    coefficients: np.ndarray
    weights: np.ndarray
    covariance: np.ndarray | None = None
    effects: dict | None = None
    sigma: float | None = None


@dataclass(frozen=True)
class Fit:
    """A kind of fit.

    Attributes
    ----------
    description : str
    solve : callable
        design (n, k), response (n,), configuration codes (n,), groups (n,), random columns ->
        Solution. Design and response are logarithms where `scale` is ``log``.
    scale : {"absolute", "relative", "log"}
        On which the scatter of runs is alike, so on which a new run's interval is built.
    intervals : {"jackknife", "bootstrap", "model"}
    grouped : bool
        It has an effect of each group, so it takes the runs of several devices.
    nonnegative : bool
        It holds coefficients at 0 that would be below.
    """

    description: str
    solve: Callable
    scale: str
    intervals: str = "jackknife"
    grouped: bool = False
    nonnegative: bool = False


def _wls(x, y, weights):
    import statsmodels.api as sm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a singular design, which `fit` tells by its terms
        return Solution(sm.WLS(y, x, weights=weights).fit().params, weights)


def _linear(x, y, codes, *_):
    return _wls(x, y, np.ones_like(y))


def _relative(x, y, codes, *_):
    # the weights are those of the configuration's mean: with each run's own, runs that were low by
    # chance would weigh more, which biases the law down by twice the squared scatter
    return _wls(x, y, (y.mean() / group_means(y, codes)) ** 2)


def _gamma(x, y, codes, *_):
    import statsmodels.api as sm

    start = _relative(x, y, codes).coefficients
    family = sm.families.Gamma(sm.families.links.Identity())
    fitted = x @ start
    if (fitted <= 0).any():  # not a mean of a gamma; a constant law always is
        start = np.r_[y.mean(), np.zeros(x.shape[1] - 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the link's domain, which is checked below
        try:
            params = sm.GLM(y, x, family=family).fit(start_params=start, maxiter=MOST_STEPS).params
        except ValueError:
            params = np.full(x.shape[1], np.nan)
    fitted = x @ params
    if not (fitted > 0).all():
        raise ValueError("form: 'gamma' needs a positive law over all runs and finds none here; "
                         "use form='nonnegative', 'relative' or 'power'")
    return Solution(params, (y.mean() / fitted) ** 2)


def _nonnegative(x, y, codes, *_):
    from scipy.optimize import nnls

    weights = (y.mean() / group_means(y, codes)) ** 2
    root = np.sqrt(weights)
    return Solution(nnls(x * root[:, None], y * root)[0], weights)


def _mixed(x, y, codes, groups, random=(0,)):
    """log y = X b + Z u_group, u normal; on the means of the log over repeats."""
    import statsmodels.api as sm

    first = np.unique(codes, return_index=True)[1]
    mean, design = group_means(y, codes)[first], x[first]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a variance at 0 is told by the law's notes
        model = sm.MixedLM(mean, design, groups[first], exog_re=design[:, list(random)])
        try:  # without derivatives, which are singular where a variance is all or nothing
            fit = model.fit(reml=True, method=["powell", "lbfgs"])
        except np.linalg.LinAlgError:
            raise ValueError("form: 'mixed' finds no solution for these runs; fit one group at a "
                             "time, or measure more groups") from None
    effects = {}
    for group, values in fit.random_effects.items():
        effects[group] = np.zeros(x.shape[1])
        effects[group][list(random)] = values
    k = x.shape[1]
    covariance = np.asarray(fit.cov_params())[:k, :k]
    return Solution(np.asarray(fit.fe_params), np.ones_like(y), covariance, effects,
                    float(np.sqrt(fit.scale)))


#: Name -> kind of fit.
FITS = MappingProxyType({
    "linear": Fit("least squares of the absolute error", _linear, "absolute"),
    "relative": Fit("least squares of the relative error, weights 1 / mean of repeats squared",
                    _relative, "relative"),
    "power": Fit("least squares of the log error", _linear, "log"),
    "gamma": Fit("generalised linear model, gamma with identity link", _gamma, "relative"),
    "nonnegative": Fit("least squares of the relative error, no coefficient below 0", _nonnegative,
                       "relative", "bootstrap", nonnegative=True),
    "mixed": Fit("linear mixed model of the logs, random intercept (and slope) by group", _mixed,
                 "log", "model", grouped=True),
})


def group_means(values, codes):
    """Return, for each value, the mean of the values with its code."""
    return (np.bincount(codes, values) / np.maximum(np.bincount(codes), 1))[codes]


def mean_response(design, coefficients, effects=None, groups=None):
    """Return the mean response of each row, on the scale of the fit.

    A group without an effect of its own is taken at the mean of all groups.
    """
    mean = design @ coefficients
    if effects:
        none = np.zeros(design.shape[1])
        mean = mean + np.einsum("ij,ij->i", design, np.array(
            [effects.get(group, none) for group in groups]))
    return mean


def positions(codes: np.ndarray) -> list[np.ndarray]:
    """Return the positions of each code, 0 to the largest.

    >>> [members.tolist() for members in positions(np.array([0, 1, 0]))]
    [[0, 2], [1]]
    """
    ends = np.cumsum(np.bincount(codes))
    return np.split(np.argsort(codes, kind="stable"), ends[:-1])


def _parts(x, codes, weights):
    """Return X_g'W_g X_g of each configuration, shape (G, k, k)."""
    k = x.shape[1]
    parts = np.zeros((codes.max() + 1, k, k))
    np.add.at(parts, codes, (x * weights[:, None])[:, :, None] * x[:, None, :])
    return parts


def left_out(x, y, codes, solution):
    """Return the coefficients without each configuration in turn, shape (G, k)."""
    b, w = solution.coefficients, solution.weights
    parts = _parts(x, codes, w)
    scores = np.zeros((len(parts), x.shape[1]))
    np.add.at(scores, codes, x * (w * (y - x @ b))[:, None])
    rest = np.linalg.pinv(parts.sum(0) - parts, hermitian=True)
    return b - np.einsum("gij,gj->gi", rest, scores)


def jackknife(x, y, codes, solution):
    """Return the coefficients' covariance by the jackknife over configurations, and its degrees
    of freedom for each coefficient.

    For coefficient j, V_jj is a sum of squares (a_g'e_g)^2 with a_g = W_g^(1/2) X_g (A - A_g)^-1
    e_j. Over independent e of one variance its terms covary as M_gh = d_g [g = h] - u_g'A^-1 u_h,
    u_g = A_g (A - A_g)^-1 e_j, d_g = u_g'(A - A_g)^-1 e_j, so it has tr(M)^2 / tr(M^2) degrees.
    """
    gap = left_out(x, y, codes, solution) - solution.coefficients
    parts = _parts(x, codes, solution.weights)
    total = parts.sum(0)
    rest = np.linalg.pinv(total - parts, hermitian=True)
    u = parts @ rest  # (G, k, j)
    d = np.einsum("gkj,gkj->gj", rest, u)
    inverse = np.linalg.pinv(total, hermitian=True)
    q = np.einsum("gkj,kl,glj->gj", u, inverse, u)
    low_rank = np.einsum("kl,glj,gmj->jkm", inverse, u, u)
    square = (d**2 - 2 * d * q).sum(0) + np.einsum("jkm,jmk->j", low_rank, low_rank)
    freedom = (d - q).sum(0) ** 2 / square
    return (len(gap) - 1) / len(gap) * gap.T @ gap, freedom


def resamples(solve, x, y, codes, groups, random, n, seed):
    """Yield the coefficients of `n` draws of the configurations, with replacement.

    A draw that cannot be fitted, as one without two values of a predictor, is left out.
    """
    members = positions(codes)
    rng = np.random.default_rng(seed)
    for _ in range(n):
        drawn = [members[i] for i in rng.integers(0, len(members), len(members))]
        rows = np.concatenate(drawn)
        new = np.repeat(np.arange(len(drawn)), [len(d) for d in drawn])
        if np.linalg.matrix_rank(x[rows]) < x.shape[1]:
            continue
        try:
            yield solve(x[rows], y[rows], new, groups[rows], random).coefficients
        except (ValueError, np.linalg.LinAlgError):
            continue


class Fitted(NamedTuple):
    """A solution, and how sure it is: of the coefficients of the scaled design.

    ``freedom`` is the degrees of freedom of t for the least sure of them; on the scale of the fit,
    ``sigma`` is the standard deviation of runs about the law, and ``mean`` what it says of each.
    """

    coefficients: np.ndarray
    weights: np.ndarray
    effects: dict | None
    covariance: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    freedom: float
    sigma: float
    mean: np.ndarray


def fitted(form, design, y, codes, groups, random=(0,)) -> Fitted:
    """Return the solution of a kind of fit, one of `FITS`, with its uncertainty."""
    solution = FITS[form].solve(design, y, codes, groups, random)
    covariance, freedom, lower, upper = _uncertainty(
        form, design, y, codes, groups, solution, random)
    return Fitted(solution.coefficients, solution.weights, solution.effects, covariance, lower,
                  upper, float(freedom.min()), _scatter(form, design, y, codes, solution),
                  mean_response(design, solution.coefficients, solution.effects, groups))


def _uncertainty(form, design, y, codes, groups, solution, random):
    """Return the coefficients' covariance, degrees of freedom, and ends of their 95 % intervals.

    Percentiles of the bootstrap are narrow where few configurations decide a coefficient
    (Hesterberg, American Statistician 69(4), 2015, section 3.3), so coefficients that no bound
    holds get the jackknife's interval where that is wider.
    """
    from scipy.stats import t

    kind = FITS[form].intervals
    n, k = int(codes.max()) + 1, design.shape[1]
    freedom = np.full(k, float(n - k))
    if kind == "bootstrap":
        draws = np.array(list(resamples(
            FITS[form].solve, design, y, codes, groups, random, BOOTSTRAP, SEED)))
        lower, upper = np.quantile(draws, ENDS, axis=0)
        free = (solution.coefficients > 0) | (not FITS[form].nonnegative)
        inner = Solution(solution.coefficients[free], solution.weights)
        covariance, freedom[free] = jackknife(design[:, free], y, codes, inner)
        half = t.ppf(ENDS[1], freedom[free]) * np.sqrt(np.diag(covariance))
        least = 0 if FITS[form].nonnegative else -np.inf
        lower[free] = np.minimum(lower[free], (inner.coefficients - half).clip(least))
        upper[free] = np.maximum(upper[free], inner.coefficients + half)
        return np.atleast_2d(np.cov(draws.T)), freedom, lower, upper
    if kind == "model":
        covariance = solution.covariance
    else:
        covariance, freedom = jackknife(design, y, codes, solution)
    half = t.ppf(ENDS[1], freedom) * np.sqrt(np.diag(covariance))
    return covariance, freedom, solution.coefficients - half, solution.coefficients + half


def _scatter(form, design, y, codes, solution) -> float:
    """Return the standard deviation of runs about the law, on the scale of the fit."""
    if solution.sigma is not None:  # of a mean of repeats; a run scatters by the repeats more
        within = y - group_means(y, codes)
        loose = len(y) - int(codes.max()) - 1
        repeats = np.sqrt((within**2).sum() / loose) if loose else 0.0
        return float(np.hypot(solution.sigma, repeats))
    residual = y - design @ solution.coefficients
    if FITS[form].scale == "relative":
        residual = residual / group_means(y, codes)
    return float(np.sqrt((residual**2).sum() / (len(residual) - design.shape[1])))


def response_intervals(form, mean, error, spread, freedom, loose) -> pd.DataFrame:
    """Return the mean response of rows and its 95 % interval, and that of a new run, in its unit.

    Mean, its standard error and the scatter of runs about it are on the scale of the fit;
    `freedom` and `loose` are the degrees of freedom of the error and of the scatter.
    """
    from scipy.stats import t

    half = t.ppf(ENDS[1], freedom) * error
    run = np.hypot(half, t.ppf(ENDS[1], loose) * spread)
    frame = pd.DataFrame({"mean": mean, "lower": mean - half, "upper": mean + half,
                          "run_lower": mean - run, "run_upper": mean + run})
    if FITS[form].nonnegative:
        frame = frame.clip(lower=0)
    return np.exp(frame) if FITS[form].scale == "log" else frame
