"""What may be wrong with a law: collinear terms, runs that decide it, factors it misses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..models.design import factors_of
from ..models.families import FAMILIES, Family
from ..statistics import IDENTIFIED, correlation, mean_interval, variance_inflation
from .fits import FITS, Solution, left_out
from .prepare import Prepared


@dataclass(frozen=True, eq=False)
class Diagnostics:
    """Tables that a reader of a law needs.

    Attributes
    ----------
    correlation : pandas.DataFrame
        Of the terms, weighted as the fit weighs runs; of their logarithms for laws of powers.
    terms : pandas.DataFrame
        Of each term: ``variance_inflation``, ``estimate``, ``lower``, ``upper``, and
        ``identified``: inflation of at most 10 and an interval above 0.
    condition_number : float
        Of the weighted design with columns of length 1; above 30 is a warning sign (Belsley, Kuh,
        Welsch, Regression Diagnostics, 1980, section 3.2).
    influence : pandas.DataFrame
        Of each configuration, the most influential first: ``cooks_distance`` of all its runs
        together (Cook, Technometrics 19(1), 1977; above 4 / configurations is worth a look),
        ``residual`` (mean of measured / predicted - 1), ``n_runs``.
    residuals : pandas.DataFrame
        Of each level of each factor: ``residual``, the mean of measured / predicted - 1 over its
        configurations, with 95 % interval ``lower``, ``upper``, and ``n_configurations``.
    """

    correlation: pd.DataFrame = field(repr=False)
    terms: pd.DataFrame
    condition_number: float
    influence: pd.DataFrame = field(repr=False)
    residuals: pd.DataFrame = field(repr=False)

    def __str__(self):
        return "\n".join([
            f"condition number {self.condition_number:.1f}", self.terms.to_string(), "",
            "most influential:", self.influence.head(5).to_string(index=False), "",
            *self._residual_lines()])

    def _residual_lines(self):
        if self.residuals.empty:
            return ["residuals by factor: none; the runs name no family that is known, so say "
                    "which columns are factors: law.diagnostics(factors=[...])"]
        largest = self.residuals.sort_values("residual", key=abs, ascending=False).head(10)
        return ["residuals by factor, largest first:", largest.to_string(index=False)]


def diagnose(law, data: Prepared, factors: Sequence[str] | None = None,
             families: Mapping[str, Family] = FAMILIES) -> Diagnostics:
    """Return the diagnostics of a law on the runs that it was fitted to.

    Parameters
    ----------
    law : ScalingLaw
    data : Prepared
        The runs, as `prepare` returns them.
    factors : sequence of str, optional
        Columns to sort residuals by. If not given, those of the runs' family (one of `families`),
        and the device where there are several.
    families : mapping of str to Family

    Raises
    ------
    ValueError
        A factor that is not a column.
    """
    runs = data.runs
    factors = _factors(runs, families) if factors is None else factors
    factors = [factors] if isinstance(factors, str) else list(factors)
    missing = [f for f in factors if f not in runs]
    if missing:
        raise ValueError(f"factors: no column {missing[0]!r}; there are "
                         f"{', '.join(map(str, runs.columns))}")
    mean = law.evaluate(data.x, data.groups)[0]
    weights = _weights(law, data)
    root = np.sqrt(weights)
    weighted = data.design * root[:, None]
    x = np.log(data.x) if FITS[law.form].scale == "log" else data.x
    terms = law.coefficients.drop("constant").assign(
        variance_inflation=pd.Series(variance_inflation(x, weights=weights)))
    terms["identified"] = (terms.variance_inflation <= IDENTIFIED) & (terms.lower > 0)
    return Diagnostics(
        correlation(x, weights) if len(x.columns) > 1 else x.corr(),
        terms[["variance_inflation", "estimate", "lower", "upper", "identified"]],
        float(np.linalg.cond(weighted / np.linalg.norm(weighted, axis=0))),
        _influence(law, runs, data, mean, weights), _residuals(law, runs, data, mean, factors))


def _factors(runs, families):
    """Return the factors of the runs' family, where it is known, and the device, if several."""
    known = "family" in runs and set(runs["family"]) <= set(families)
    factors = factors_of(runs, families) if known else []
    several = "device" in runs and runs["device"].nunique() > 1
    return [*factors, *(["device"] if several else [])]


def _weights(law, data):
    """Return the weights of the fit, of order 1."""
    kind = FITS[law.form]  # a device's effect weighs nothing: no term explains it
    return (np.ones(len(data.y)) if kind.grouped
            else kind.solve(*data.arrays(), law.random).weights)


def _ratio(law, data, mean):
    """Return measured / predicted - 1 of each run."""
    return np.exp(data.y - mean) - 1 if FITS[law.form].scale == "log" else data.y / mean - 1


def _influence(law, runs, data, mean, weights):
    y = data.y - (mean - data.design @ law.solution)
    without = left_out(data.design, y, data.codes, Solution(law.solution, weights))
    gap = without - law.solution
    information = (data.design * weights[:, None]).T @ data.design
    n, k = data.design.shape
    scatter = (weights * (data.y - mean) ** 2).sum() / (n - k)
    distance = np.einsum("gi,ij,gj->g", gap, information, gap) / (k * scatter)
    first = np.unique(data.codes, return_index=True)[1]
    size = np.bincount(data.codes)
    groups = {law.group: data.groups[first]} if law.effects else {}
    table = pd.DataFrame({
        law.configuration: runs[law.configuration].to_numpy()[first], **groups,
        "cooks_distance": distance,
        "residual": np.bincount(data.codes, _ratio(law, data, mean)) / size, "n_runs": size})
    return table.sort_values("cooks_distance", ascending=False, ignore_index=True)


def _residuals(law, runs, data, mean, factors):
    columns = ["factor", "level", "residual", "lower", "upper", "n_configurations"]
    ratio = pd.Series(_ratio(law, data, mean), index=runs.index)
    rows = []
    for factor in factors:
        means = ratio.groupby([runs[factor].to_numpy(), data.codes]).mean()
        for level, values in means.groupby(level=0):
            rows.append((factor, level, *mean_interval(values), len(values)))
    return pd.DataFrame(rows, columns=columns)
