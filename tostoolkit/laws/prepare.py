"""Runs -> arrays that a law can be fitted to: parsed, priced and checked, in one step.

`prepare` is what a fit, held-out validation, comparison, diagnostics and the bootstrap ask. Each
check that fails says what to do.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..costs.cost_table import CostTable
from ..statistics import precision_metrics, variance_inflation
from .fits import FITS, Fitted
from .terms import parse_formula, term_unit, term_values

#: Last part of a measured column's name -> unit.
UNITS = {"j": "J", "mj": "mJ", "uj": "µJ", "kj": "kJ", "wh": "Wh", "kwh": "kWh",
         "s": "s", "ms": "ms", "us": "µs", "ns": "ns", "h": "h"}
#: Unit -> what is measured in it.
QUANTITIES = {unit: "time" if last in ("s", "ms", "us", "ns", "h") else "energy"
              for last, unit in UNITS.items()}
#: A column that varies by less than this, relative to its largest value, is constant but for
#: rounding.
CONSTANT = 1e-12


@dataclass(frozen=True, eq=False)
class Prepared:
    """Runs as numbers; where the form is of logs, design and response are logarithms.

    Attributes
    ----------
    runs : pandas.DataFrame
        As they were given, n rows.
    response, unit, form, configuration, group, costs : str
        As `prepare` was asked, or found out.
    terms : tuple of str
    prices : str or CostTable
        What priced those terms that depend on a cost table; `costs` is its name.
    x : pandas.DataFrame, shape (n, k)
        Values of the terms.
    scales : array, shape (k,)
        What the terms were divided by.
    design : array, shape (n, k + 1)
        A constant, then the terms scaled to order 1, or their logarithms.
    y : array, shape (n,)
    codes : array of int, shape (n,)
        Which runs repeat one another.
    groups : array, shape (n,)
        Of the random effects; 0 where there are none.
    """

    runs: pd.DataFrame
    response: str
    unit: str
    terms: tuple[str, ...]
    form: str
    configuration: str
    group: str
    costs: str | None
    prices: str | CostTable | None
    x: pd.DataFrame
    scales: np.ndarray
    design: np.ndarray
    y: np.ndarray
    codes: np.ndarray
    groups: np.ndarray

    @property
    def units(self) -> tuple[str, ...]:
        """Units of the terms, empty where one is not known."""
        return tuple(term_unit(term, self.prices) for term in self.terms)

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return design, response, codes and groups, as a kind of fit takes them."""
        return self.design, self.y, self.codes, self.groups

    def judge(self, fitted: Fitted) -> tuple[pd.DataFrame, dict, pd.Series]:
        """Return a fit's coefficients, the variance inflation of its terms, and its metrics.

        Coefficients are in the units of the response and the terms; metrics are in-sample.
        """
        logs = FITS[self.form].scale == "log"
        scaled = np.column_stack([fitted.coefficients, np.sqrt(np.diag(fitted.covariance)),
                                  fitted.lower, fitted.upper])
        coefficients = coefficient_table(scaled, self.terms, self.scales, self.form)
        x = np.log(self.x) if logs else self.x
        mean = np.exp(fitted.mean) if logs else fitted.mean
        metrics = precision_metrics(self.runs[self.response], mean)
        return coefficients, variance_inflation(x, fitted.weights), metrics

    def take(self, rows: np.ndarray) -> "Prepared":
        """Return the runs at some positions, scaled and coded anew; errors as `prepare`."""
        x, runs, groups = self.x.iloc[rows], self.runs.iloc[rows], self.groups[rows]
        _check_terms(x, self.form)
        _check_size(runs[self.configuration], x, self.configuration)
        if FITS[self.form].grouped and len(set(groups)) < 2:
            raise ValueError(f"{self.group}: one value has no random effect")
        scales = x.abs().mean().to_numpy()
        return replace(self, runs=runs, x=x, scales=scales,
                       design=design_matrix(x, self.form, scales), y=self.y[rows],
                       codes=pd.factorize(self.codes[rows])[0], groups=groups)


def prepare(runs: pd.DataFrame, formula: str | Sequence[str], response: str = "energy_j",
            form: str = "relative", costs: str | CostTable | None = None, *,
            configuration: str = "configuration", group: str = "device",
            unit: str | None = None) -> Prepared:
    """Return runs as arrays to fit a law to, once all that a law needs of them holds.

    Parameters and errors are those of `fit_scaling_law`.

    >>> runs = pd.DataFrame({"macs": [1.0, 2, 3, 4], "configuration": list("abcd")})
    >>> data = prepare(runs.assign(energy_j=1.0), "energy_j ~ macs")
    >>> data.design[:, 1].tolist()  # macs / 2.5, their mean
    [0.4, 0.8, 1.2, 1.6]
    """
    response, terms = parse_formula(formula, response)
    check_response(runs, response, form, configuration, group)
    x, table = term_values(runs, terms, costs)
    _check_terms(x, form)
    _check_size(runs[configuration], x, configuration)
    grouped = FITS[form].grouped
    groups = runs[group].to_numpy() if grouped else np.zeros(len(runs), int)
    labels = runs[configuration]
    if grouped:  # the same network on two devices is not a repeat
        labels = pd.MultiIndex.from_arrays([labels, groups])
    y, scales = runs[response].to_numpy(float), x.abs().mean().to_numpy()
    return Prepared(
        runs, response, response_unit(response, unit), terms, form, configuration,
        group, table, table if costs is None else costs, x, scales, design_matrix(x, form, scales),
        np.log(y) if FITS[form].scale == "log" else y, pd.factorize(labels)[0], groups)


def design_matrix(x, form, scales) -> np.ndarray:
    """Return the design: a constant, then the terms scaled to order 1, or their logarithms."""
    x = np.asarray(x, float)
    x = np.log(x) if FITS[form].scale == "log" else x / scales
    return np.column_stack([np.ones(len(x)), x])


def coefficient_table(scaled, terms, scales, form) -> pd.DataFrame:
    """Return coefficients (estimate, error, ends) in the units of the response and the terms."""
    if FITS[form].scale == "log":
        table = scaled.copy()
        constant = np.exp(table[0, 0])
        table[0] = [constant, constant * table[0, 1], *np.exp(table[0, 2:])]
    else:
        table = scaled / np.array([1.0, *scales])[:, None]
    return pd.DataFrame(table, index=["constant", *terms],
                        columns=["estimate", "std_error", "lower", "upper"])


def response_unit(response: str, unit: str | None = None) -> str:
    """Return the unit of a measured column: that which ends its name, or else `unit`.

    It is empty where neither says one, and an error where they say different ones.

    >>> response_unit("energy_j"), response_unit("joules", "J"), response_unit("loss")
    ('J', 'J', '')
    """
    stem, _, last = response.rpartition("_")
    named = UNITS.get(last, "") if stem else ""
    if unit and named and unit != named:
        raise ValueError(f"unit: {unit!r}, but {response!r} is in {named} by its name; rename the "
                         "column, or leave unit out")
    return unit or named


def need_columns(runs, columns):
    """Raise ValueError unless `runs` has the columns."""
    missing = [c for c in columns if c not in runs]
    if missing:
        raise ValueError(f"runs: no column {', '.join(map(repr, missing))}; there are "
                         f"{', '.join(map(str, runs.columns))}")


# Checks -------------------------------------------------------------------------------------

def check_response(runs, response, form="relative", configuration="configuration",
                   group="device"):
    """Raise ValueError where the measured values, their units or devices do not allow a law."""
    if form not in FITS:
        raise ValueError(f"form: {form!r} is unknown; use one of {', '.join(FITS)}")
    need_columns(runs, [response, configuration])
    if not len(runs):
        raise ValueError("runs: there are none; a law is fitted to measured runs")
    _check_columns(runs, response, configuration)
    _check_units(runs, response)
    y = runs[response]
    if y.isna().any():
        other = "; fit response='time_s' instead, a law of time" if response == "energy_j" else ""
        raise ValueError(
            f"{response}: missing in {int(y.isna().sum())} of {len(runs)} runs; drop them{other}")
    positive = (y > 0) & np.isfinite(y)
    if not positive.all():
        raise ValueError(f"{response}: {int((~positive).sum())} of {len(runs)} values are not "
                         "positive (a counter that wrapped or failed); drop those runs")
    if FITS[form].grouped:
        need_columns(runs, [group])
        if runs[group].nunique() < 2:
            raise ValueError(f"{group}: one value, {runs[group].iloc[0]!r}, has no random effect; "
                             "use form='power', or name another column by group=")
    elif "device" in runs and runs["device"].nunique(dropna=False) > 1:
        devices = sorted(map(str, runs["device"].unique()))
        raise ValueError(f"device: runs of {len(devices)} devices, {devices}; fit one "
                         "device at a time, or all with form='mixed'")


def _check_columns(runs, response, configuration):
    """Raise ValueError where columns are not what they are taken for."""
    twice = runs.columns[runs.columns.duplicated()]
    if len(twice):
        raise ValueError(f"runs: two columns are called {twice[0]!r}; drop or rename one, with "
                         "runs.loc[:, ~runs.columns.duplicated()] say")
    if not pd.api.types.is_numeric_dtype(runs[response]):
        raise ValueError(f"{response}: its column is of {runs[response].dtype}, not of numbers; "
                         f"convert it, runs.assign({response}=pandas.to_numeric(...))")
    unknown = int(runs[configuration].isna().sum())
    if unknown:
        raise ValueError(f"{configuration}: missing in {unknown} of {len(runs)} runs, so which "
                         "runs repeat one another is unknown; name them, or drop them")


def _check_units(runs, response):
    """Raise ValueError, or warn, where another column is the response in another unit."""
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
                      stacklevel=5)


def _check_terms(x, form):
    """Raise ValueError where a term is missing, constant or, for a log, not positive."""
    for name in x:
        values = x[name].to_numpy()
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: {int((~np.isfinite(values)).sum())} values are missing or "
                             "not finite; drop those runs, or leave the term out")
        if np.ptp(values) <= CONSTANT * np.abs(values).max():
            raise ValueError(f"{name}: constant at {values[0]:g}, so it explains nothing; leave "
                             "it out or vary it")
        if FITS[form].scale == "log" and (values <= 0).any():
            raise ValueError(f"{name}: has values that are not positive, which a power law "
                             "cannot take; use form='relative'")


def _check_size(labels, x, configuration):
    """Raise ValueError where there are fewer configurations than coefficients and one more."""
    n = labels.nunique()
    if n < x.shape[1] + 2:
        raise ValueError(f"{configuration}: {n} configurations cannot determine "
                         f"{x.shape[1] + 1} coefficients; measure more, or use fewer terms")
