"""Energy scaling laws: energy ~ predictors, fitted with statsmodels.

Three forms, for a response y and predictors x_i (indices such as transistor operations):

* ``linear``: y = c_0 + sum_i c_i x_i, least squares of the absolute error;
* ``relative``: the same law, least squares of the relative error (weights 1 / y^2);
* ``power``: log y = log c_0 + sum_i c_i log x_i, least squares of the log error.

R^2 alone proves nothing where energies span decades, so every fit reports relative error too.
"""

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

FORMS = ("linear", "relative", "power")
UNITS = {"energy_j": "J", "time_s": "s"}


@dataclass(frozen=True)
class ScalingLaw:
    """A fitted law, with what is needed to judge it.

    Attributes
    ----------
    form : str
        ``linear``, ``relative`` or ``power``.
    response : str
        Column that it predicts, with the unit in its name: ``energy_j``.
    predictors : tuple of str
    coefficients : pandas.DataFrame
        Index: ``constant`` and the predictors; ``estimate``, ``std_error``, ``lower``, ``upper``
        (95 %). In units of the response per unit of the predictor; exponents for ``power``.
    metrics : pandas.Series
        In-sample, as `precision_metrics` returns them.
    n_runs, n_configurations : int
    device : str
        Where the runs were measured.
    notes : tuple of str
        What a reader must know: coefficients that are negative or not identified.
    """

    form: str
    response: str
    predictors: tuple[str, ...]
    coefficients: pd.DataFrame
    metrics: pd.Series
    n_runs: int
    n_configurations: int
    device: str
    notes: tuple[str, ...]
    _fit: Any = field(repr=False, compare=False)
    _scales: np.ndarray = field(repr=False, compare=False)

    def predict(self, runs, interval=False):
        """Return the predicted response for each row of `runs`.

        Parameters
        ----------
        runs : pandas.DataFrame
            Holds the predictors' columns.
        interval : bool
            Also the 95 % confidence interval of the law (of the mean, not of a new run).

        Returns
        -------
        pandas.Series, or DataFrame with ``mean``, ``lower``, ``upper``.

        Raises
        ------
        ValueError
            A predictor's column is missing.
        """
        _need(runs, self.predictors)
        design = _design(runs, self.predictors, self.form, self._scales)
        frame = self._fit.get_prediction(design).summary_frame(alpha=0.05)
        frame = frame[["mean", "mean_ci_lower", "mean_ci_upper"]].set_axis(
            ["mean", "lower", "upper"], axis=1).set_axis(runs.index)
        frame = np.exp(frame) if self.form == "power" else frame
        return frame if interval else frame["mean"]

    def equation(self) -> str:
        """Return the law as text, with its numbers.

        Examples
        --------
        ``energy_j = 0.0123 + 4.56e-15 tos``
        """
        c = self.coefficients["estimate"]
        if self.form == "power":
            terms = " ".join(f"{name}^{c[name]:.3g}" for name in self.predictors)
            return f"{self.response} = {c['constant']:.3g} {terms}"
        terms = "".join(f" {'-' if c[n] < 0 else '+'} {abs(c[n]):.3g} {n}" for n in self.predictors)
        return f"{self.response} = {c['constant']:.3g}{terms}"

    def __str__(self):
        m = self.metrics
        lines = [
            f"{self.equation()}   [{UNITS.get(self.response, '')}; {self.form} fit; "
            f"{self.n_runs} runs of {self.n_configurations} configurations; {self.device}]",
            f"R2 {m.r2:.4f}, log-space R2 {m.log_r2:.4f}; relative error: mean "
            f"{m.mean_relative_error:.2%}, median {m.median_relative_error:.2%}; precision "
            f"{m.precision:.2%} (1 - mean relative error), {100 * m.r2:.2f} (R2 x 100)",
            *(f"note: {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def fit_scaling_law(runs, predictors=("tos",), response="energy_j", form="relative",
                    configuration="configuration") -> ScalingLaw:
    """Return the law that explains `response` by `predictors` over measured runs.

    Intervals are cluster-robust over configurations, since repeats of one configuration are not
    independent (Cameron and Miller, J. Human Resources 50(2), 2015, section II).

    Parameters
    ----------
    runs : pandas.DataFrame
        One row a measured run; the columns named here, and ``device`` if there are several.
    predictors : sequence of str
        One column, or several for classes of work with a coefficient each.
    response : str
        ``energy_j``; ``time_s`` where no energy was measured, and then it is a law of time.
    form : {"relative", "linear", "power"}
    configuration : str
        Column that tells which runs repeat one another.

    Raises
    ------
    ValueError
        A missing column, a missing or non-positive response, runs of several devices, a constant
        predictor, a predictor of 0 in a power law, fewer configurations than coefficients.

    Examples
    --------
    >>> runs = pd.DataFrame({"tos": [1e9, 2e9, 4e9, 8e9], "configuration": list("abcd")})
    >>> runs["energy_j"] = 2.0 + 3e-9 * runs.tos
    >>> law = fit_scaling_law(runs)
    >>> law.coefficients.estimate.round(12).tolist()
    [2.0, 3e-09]
    """
    import statsmodels.api as sm

    predictors = (predictors,) if isinstance(predictors, str) else tuple(predictors)
    check_runs(runs, predictors, response, form, configuration)
    y = runs[response].to_numpy(float)
    scales = runs[list(predictors)].abs().mean().to_numpy(float)
    design = _design(runs, predictors, form, scales)
    groups = pd.factorize(runs[configuration])[0]
    weights = np.ones_like(y) if form != "relative" else (y.mean() / y) ** 2
    model = sm.WLS(np.log(y) if form == "power" else y, design, weights=weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an exact fit has no variance to report on
        fit = model.fit(cov_type="cluster", cov_kwds={"groups": groups})
        table = np.column_stack([fit.params, fit.bse, fit.conf_int(0.05)])
    if form == "power":
        table[0] = [np.exp(table[0, 0]), np.exp(table[0, 0]) * table[0, 1], *np.exp(table[0, 2:])]
    else:
        table = table / np.array([1.0, *scales])[:, None]
    coefficients = pd.DataFrame(
        table, index=["constant", *predictors], columns=["estimate", "std_error", "lower", "upper"])
    law = ScalingLaw(
        form, response, predictors, coefficients, pd.Series(dtype=float), len(runs),
        runs[configuration].nunique(), _device(runs), _notes(coefficients, form), fit, scales)
    metrics = precision_metrics(y, law.predict(runs).to_numpy())
    return ScalingLaw(**{**law.__dict__, "metrics": metrics})


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
    log_r2 = np.nan if (p <= 0).any() else _r2(np.log(y), np.log(p))
    return pd.Series({
        "r2": _r2(y, p), "log_r2": log_r2,
        "mean_relative_error": error.mean(), "median_relative_error": np.median(error),
        "precision": 1 - error.mean(),
    })


def _r2(y, p):
    total = ((y - y.mean()) ** 2).sum()
    return 1 - ((y - p) ** 2).sum() / total if total else np.nan


def _design(runs, predictors, form, scales):
    """Return the design matrix: a constant, then the predictors scaled to order 1."""
    x = runs[list(predictors)].to_numpy(float)
    x = np.log(x) if form == "power" else x / scales
    return np.column_stack([np.ones(len(x)), x])


def _device(runs):
    return runs["device"].iloc[0] if "device" in runs else "unknown device"


def _need(runs, columns):
    missing = [c for c in columns if c not in runs]
    if missing:
        raise ValueError(
            f"runs: no column {', '.join(map(repr, missing))}; there are {', '.join(runs.columns)}")


def check_runs(runs, predictors, response, form, configuration):
    """Raise ValueError, or warn, where `runs` cannot support the fit that is asked for."""
    if form not in FORMS:
        raise ValueError(f"form: {form!r} is unknown; use one of {', '.join(FORMS)}")
    _need(runs, [*predictors, response, configuration])
    y = runs[response]
    if y.isna().any():
        other = "; fit response='time_s' instead, a law of time" if response == "energy_j" else ""
        raise ValueError(
            f"{response}: missing in {int(y.isna().sum())} of {len(runs)} runs; drop them{other}")
    if (y <= 0).any():
        raise ValueError(f"{response}: {int((y <= 0).sum())} of {len(runs)} values are not "
                         "positive (a counter that wrapped or failed); drop those runs")
    if "device" in runs and runs["device"].nunique() > 1:
        raise ValueError(f"device: runs of {runs['device'].nunique()} devices, "
                         f"{sorted(runs['device'].unique())}; fit one device at a time")
    for name in predictors:
        x = runs[name]
        if not np.isfinite(x).all():
            raise ValueError(f"{name}: {int((~np.isfinite(x)).sum())} values are missing")
        if x.nunique() < 2:
            raise ValueError(f"{name}: constant at {x.iloc[0]:g}, so it explains nothing; leave "
                             "it out or vary it")
        if form == "power" and (x <= 0).any():
            raise ValueError(f"{name}: has values that are not positive, which a power law "
                             "cannot take; use form='relative'")
    n = runs[configuration].nunique()
    if n < len(predictors) + 2:
        raise ValueError(f"{configuration}: {n} configurations cannot determine "
                         f"{len(predictors) + 1} coefficients; measure more, or use fewer terms")
    for name, value in variance_inflation(runs, predictors).items():
        if value > 10:
            warnings.warn(
                f"{name}: variance inflation {value:.0f}; the other predictors nearly determine "
                "it, so its coefficient is not identified", stacklevel=3)


def variance_inflation(runs, predictors) -> dict:
    """Return the variance inflation factor of each predictor given the others; 1 is none.

    Belsley, Kuh, Welsch, Regression Diagnostics, 1980, section 3.2; above 5 is a warning sign.
    """
    predictors = list(predictors)
    if len(predictors) < 2:
        return dict.fromkeys(predictors, 1.0)
    inverse = np.linalg.pinv(np.corrcoef(runs[predictors].to_numpy(float).T))
    return dict(zip(predictors, np.diag(inverse), strict=True))


def _notes(coefficients, form):
    notes = []
    for name, c in coefficients.drop("constant").iterrows():
        if c.estimate < 0:
            notes.append(f"the coefficient of {name} is negative, {c.estimate:.3g} "
                         f"[{c.lower:.3g}, {c.upper:.3g}]: no physical cost of that work")
        elif c.lower <= 0:
            notes.append(f"the coefficient of {name} is not told from 0: "
                         f"[{c.lower:.3g}, {c.upper:.3g}]")
    return tuple(notes)
