"""What must hold of runs before a law is fitted to them; each failure says what to do."""

import re
import warnings

import numpy as np
import pandas as pd

from .fits import FITS

#: Last part of a measured column's name -> unit.
UNITS = {"j": "J", "mj": "mJ", "uj": "µJ", "kj": "kJ", "wh": "Wh", "kwh": "kWh",
         "s": "s", "ms": "ms", "us": "µs", "ns": "ns", "h": "h"}


def response_unit(response) -> str:
    """Return the unit that ends a measured column's name; empty where it ends with none.

    Examples
    --------
    >>> response_unit("energy_j"), response_unit("loss")
    ('J', '')
    """
    stem, _, last = response.rpartition("_")
    return UNITS.get(last, "") if stem else ""


def need_columns(runs, columns):
    """Raise ValueError unless `runs` has the columns."""
    missing = [c for c in columns if c not in runs]
    if missing:
        raise ValueError(f"runs: no column {', '.join(map(repr, missing))}; there are "
                         f"{', '.join(map(str, runs.columns))}")


def check_response(runs, response, configuration, form="relative", group="device"):
    """Raise ValueError where the measured values, their units or devices do not allow a law."""
    if form not in FITS:
        raise ValueError(f"form: {form!r} is unknown; use one of {', '.join(FITS)}")
    need_columns(runs, [response, configuration])
    check_units(runs, response)
    y = runs[response]
    if y.isna().any():
        other = "; fit response='time_s' instead, a law of time" if response == "energy_j" else ""
        raise ValueError(
            f"{response}: missing in {int(y.isna().sum())} of {len(runs)} runs; drop them{other}")
    if not ((y > 0) & np.isfinite(y)).all():
        raise ValueError(f"{response}: {int((~(y > 0)).sum())} of {len(runs)} values are not "
                         "positive (a counter that wrapped or failed); drop those runs")
    if form == "mixed":
        need_columns(runs, [group])
        if runs[group].nunique() < 2:
            raise ValueError(f"{group}: one value, {runs[group].iloc[0]!r}, has no random effect; "
                             "use form='power', or name another column by group=")
    elif "device" in runs and runs["device"].nunique() > 1:
        raise ValueError(f"device: runs of {runs['device'].nunique()} devices, "
                         f"{sorted(runs['device'].unique())}; fit one device at a time, or all "
                         "with form='mixed'")


def check_units(runs, response):
    """Raise ValueError, or warn, where the response may be in several units."""
    if "unit" in runs and runs["unit"].nunique() > 1:
        raise ValueError(f"unit: {', '.join(sorted(map(repr, runs['unit'].unique())))} are mixed "
                         f"in {response}; convert all to one and drop the column")
    stem = response.rpartition("_")[0]
    if not response_unit(response):
        return
    for other in runs.columns:
        if other == response or not re.fullmatch(f"{re.escape(stem)}_({'|'.join(UNITS)})",
                                                 str(other)):
            continue
        only = runs[response].isna() & runs[other].notna()
        if only.any():
            raise ValueError(f"{other}: {int(only.sum())} runs have it and no {response}, so "
                             f"units are mixed; convert {other} into {response} and drop it")
        warnings.warn(f"{other}: stands beside {response}; the law is of {response} alone, in "
                      f"{response_unit(response)}; drop {other}, or name it as the response",
                      stacklevel=4)


def check_terms(x, form):
    """Raise ValueError where a term is missing, constant or, for a log, not positive."""
    for name in x:
        values = x[name].to_numpy()
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: {int((~np.isfinite(values)).sum())} values are missing or "
                             "not finite; drop those runs, or leave the term out")
        if np.ptp(values) <= 1e-12 * np.abs(values).max():
            raise ValueError(f"{name}: constant at {values[0]:g}, so it explains nothing; leave "
                             "it out or vary it")
        if FITS[form].scale == "log" and (values <= 0).any():
            raise ValueError(f"{name}: has values that are not positive, which a power law "
                             "cannot take; use form='relative'")


def check_size(runs, x, configuration):
    """Raise ValueError where there are fewer configurations than coefficients and one more."""
    n = runs[configuration].nunique()
    if n < x.shape[1] + 2:
        raise ValueError(f"{configuration}: {n} configurations cannot determine "
                         f"{x.shape[1] + 1} coefficients; measure more, or use fewer terms")


def variance_inflation(runs, predictors=None, weights=None) -> dict:
    """Return the variance inflation factor of each predictor given the others; 1 is none.

    1 / (1 - R^2) of the predictor explained by the others and a constant, by least squares with
    `weights`: those of the fit, as what looks unrelated in joules may coincide in relative error.

    Belsley, Kuh, Welsch, Regression Diagnostics, 1980, section 3.2; above 5 is a warning sign.

    Parameters
    ----------
    runs : pandas.DataFrame
    predictors : sequence of str, optional
        Columns; all if not given.
    weights : array of float, shape (n,), optional

    Examples
    --------
    >>> variance_inflation(pd.DataFrame({"a": [1, 2, 3, 4], "b": [1, -1, -1, 1]}))
    {'a': 1.0, 'b': 1.0}
    """
    predictors = list(runs.columns if predictors is None else predictors)
    if len(predictors) < 2:
        return dict.fromkeys(predictors, 1.0)
    inverse = np.linalg.pinv(correlation(runs[predictors], weights).to_numpy(), rcond=1e-13)
    # perfectly collinear terms have no inverse, and a pseudo-inverse would call them harmless
    singular = np.linalg.matrix_rank(inverse, tol=1e-9) < len(predictors)
    values = [float("inf")] * len(predictors) if singular else np.diag(inverse).tolist()
    return dict(zip(predictors, values, strict=True))


def correlation(x, weights=None) -> pd.DataFrame:
    """Return the correlation of columns, weighted."""
    cov = np.cov(x.to_numpy(float).T, aweights=weights)
    scale = np.sqrt(np.diag(cov))
    return pd.DataFrame(cov / np.outer(scale, scale), index=x.columns, columns=x.columns)
