"""The design of a model set: how far its classes of work tell apart, and its matched pairs.

A coefficient of a scaling law is identified as far as its predictor varies on its own.
"""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from ..costs.predictors import price

#: Factor -> the level that its matched pairs compare with, where a set has it.
PAIR_BASELINES = MappingProxyType({
    "activation": "relu", "batch_norm": False, "normalization": "none"})

#: What a design must keep to: correlation, in absolute value, and variance inflation.
MAX_CORRELATION, MAX_INFLATION = 0.3, 5.0

_CLASSES = ("tos_linear", "tos_elementary", "tos_comparison")
_SPLIT = ("tos_mac", "tos_elementwise")


def label(table, factors) -> pd.Series:
    """Return a name for each row: ``depth=1 width=64``.

    >>> label(pd.DataFrame({"depth": [1], "width": [64]}), ["depth", "width"]).tolist()
    ['depth=1 width=64']
    """
    return pd.Series(
        [" ".join(f"{f}={v}" for f, v in zip(factors, row, strict=True))
         for row in table[list(factors)].itertuples(index=False)], index=table.index, dtype=object)


def inflation_relative(work, total) -> np.ndarray:
    """Return the variance inflation of each column on the scale of the relative-error fit.

    That fit minimises the relative error of y = c_0 + sum_i c_i x_i, so that its columns are 1 / y
    and the shares x_i / y, and it has no constant beside them: the factor is 1 / (1 - R^2) of a
    column on the others, R^2 not centred (Belsley, Kuh, Welsch, "Regression Diagnostics", 1980,
    section 3.2). 1 is none; a column that is always 0 has NaN.

    Parameters
    ----------
    work : array
        Rows x predictors.
    total : array
        y, of the length of `work`.

    Examples
    --------
    >>> work = np.array([[1.0, 0.0], [0.0, 2.0], [9.0, 1.0]])
    >>> inflation_relative(work, work.sum(axis=1)).round(1).tolist()
    [2.5, 1.5]
    """
    columns = np.column_stack([work, np.ones(len(work))]) / np.asarray(total, float)[:, None]
    lengths = np.sqrt((columns**2).sum(axis=0))
    return _inflation(columns[:, lengths > 0] / lengths[lengths > 0], lengths > 0)[:-1]


def inflation_log(work) -> np.ndarray:
    """Return the variance inflation of log(1 + x) of each column, a constant beside them.

    The scale of the power law. A column that does not vary has NaN.

    >>> inflation_log(np.array([[1, 9], [9, 0], [99, 9], [999, 0]])).round(2).tolist()
    [1.21, 1.21]
    """
    logs = np.log1p(np.asarray(work, float))
    logs = logs - logs.mean(axis=0)
    lengths = np.sqrt((logs**2).sum(axis=0))
    return _inflation(logs[:, lengths > 1e-9] / lengths[lengths > 1e-9], lengths > 1e-9)


def _inflation(unit, varies):
    """Return the diagonal of the inverse of the columns' products; NaN where none varies.

    The ridge keeps columns that are collinear outright from being no number: they get 10^12.
    """
    inflation = np.full(len(varies), np.nan)
    inflation[varies] = np.diag(np.linalg.inv(unit.T @ unit + 1e-12 * np.eye(unit.shape[1])))
    return inflation


def correlations(macs, elementary):
    """Return Pearson's (of the logs) and Spearman's correlation over rows with elementary work."""
    some = np.asarray(elementary) > 0
    x, y = np.log(np.asarray(macs, float)[some]), np.log(np.asarray(elementary, float)[some])
    if some.sum() < 3 or not (np.ptp(x) and np.ptp(y)):
        return np.nan, np.nan
    return _correlation(x, y), _correlation(_ranks(x), _ranks(y))


def _ranks(x):
    """Return ranks, ties at their mean, up to a constant."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - counts / 2)[inverse]


def _correlation(x, y):
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def design_correlation(rows) -> float:
    """Return the correlation of log MACs and log elementary TOs over the rows of a counted set.

    Rows need ``macs`` and ``tos_elementary`` (`price`); those with no elementary work have
    no logarithm and are left out.

    Raises
    ------
    ValueError
        Fewer than three rows with elementary work.

    Examples
    --------
    >>> rows = pd.DataFrame({"macs": [1, 10, 100], "tos_elementary": [5, 50, 500]})
    >>> round(design_correlation(rows), 6)
    1.0
    """
    some = int((rows.tos_elementary > 0).sum())
    if some < 3:
        raise ValueError(f"rows: {some} have elementary work; a correlation needs 3")
    return correlations(rows.macs, rows.tos_elementary)[0]


# Pairs --------------------------------------------------------------------------------------

def factors_of(table) -> list:
    """Return the factor columns of a model set, counted or measured: all before ``family``."""
    columns = table.columns[table.columns != "configuration"]
    ends = [columns.get_loc(c) for c in ("family", "parameters") if c in columns]
    return list(columns[:min(ends, default=len(columns))])


def matched_pairs(model_set, factor="activation", baseline=None, n=None, seed=0) -> pd.DataFrame:
    """Return a model set with twins of `n` rows, which differ in the level of one factor alone.

    A row and its twin have the same MACs, so that their contrast is the work which MACs do not
    see. Pairs are not marked: two rows are one where all other factors are equal.

    Parameters
    ----------
    model_set : pandas.DataFrame
        As `feed_forward` and its like return.
    factor : str
        Column; one that moves no MACs: activation or normalisation.
    baseline : object, optional
        Level that the twins have; ``relu``, or no normalisation, when left out.
    n : int, optional
        Rows to pair of those without a twin; all of them, when left out.
    seed : int
        Of the choice.

    Raises
    ------
    ValueError
        No such factor, no baseline known of it, or fewer than `n` rows to pair.

    Examples
    --------
    >>> table = pd.DataFrame({"configuration": ["activation=tanh"], "activation": ["tanh"]})
    >>> matched_pairs(table).configuration.tolist()
    ['activation=tanh', 'activation=relu']
    """
    factors = factors_of(model_set)
    if factor not in factors:
        raise ValueError(f"factor: {factor!r} is no factor of the model set; its factors are "
                         f"{', '.join(factors)}")
    if baseline is None and factor not in PAIR_BASELINES:
        raise ValueError(f"baseline: none is known of {factor!r}; give one of its levels")
    baseline = PAIR_BASELINES[factor] if baseline is None else baseline
    twins = model_set[model_set[factor] != baseline].assign(**{factor: baseline})
    twins = twins[~keys(twins, factors).isin(keys(model_set, factors))]
    twins = twins.drop_duplicates(factors)
    if n is not None and not 0 <= n <= len(twins):
        raise ValueError(f"n: {n!r} pairs cannot be made; {len(twins)} rows have another level of "
                         f"{factor!r} than {baseline!r} and no twin")
    if n is not None:
        twins = twins.iloc[np.sort(np.random.default_rng(seed).permutation(len(twins))[:n])]
    named = [part.partition("=")[0] for part in model_set.configuration.iloc[0].split()]
    named = [f for f in factors if f in {*named, factor}]
    pairs = pd.concat([model_set, twins], ignore_index=True)
    pairs["configuration"] = label(pairs, named)
    pairs.attrs = dict(model_set.attrs)
    return pairs


def keys(table, factors):
    """Return the rows' levels of `factors` as one index, equal where all of them are."""
    return pd.MultiIndex.from_frame(table[factors].astype(str))


def count_pairs(table, factor, baseline) -> int:
    """Return how many rows of another level have a row of the baseline that is else equal."""
    others = [f for f in factors_of(table) if f != factor]
    table = table.drop_duplicates([*others, factor])
    level = table[factor] == baseline
    return int(keys(table[~level], others).isin(keys(table[level], others)).sum())


# Report -------------------------------------------------------------------------------------

@dataclass(frozen=True)
class DesignReport:
    """What a model set can tell apart.

    Attributes
    ----------
    criteria : pandas.DataFrame
        Index ``(phase, criterion, scale)``; ``value``, its ``limit`` (NaN: none) and ``met``.
    levels : pandas.DataFrame
        Index ``(factor, level)``; ``rows`` of that level.
    pairs : pandas.DataFrame
        Index ``factor``; the ``baseline`` and the number of matched ``pairs``.
    costs : str
        Name of the cost table.
    """

    criteria: pd.DataFrame
    levels: pd.DataFrame
    pairs: pd.DataFrame
    costs: str

    @property
    def met(self) -> bool:
        """Whether every criterion is."""
        return bool(self.criteria.met.all())

    def __str__(self):
        return "\n\n".join([
            f"Design of a model set, costs {self.costs}: "
            + ("every criterion is met" if self.met else "not every criterion is met"),
            self.criteria.to_string(float_format="{:.3g}".format), self.pairs.to_string(),
            self.levels.to_string()])

    def _repr_html_(self):
        return "".join(table.to_html(float_format="{:.3g}".format)
                       for table in (self.criteria, self.pairs, self.levels))


def design_report(counted, costs="cmos", response=None) -> DesignReport:
    """Return what a counted model set can tell apart, phase by phase.

    * ``correlation`` of log MACs and log elementary TOs, and of their ranks, over rows that do
      elementary work: at most 0.3 in absolute value.
    * ``variance inflation`` under 5 of each class of work among the three, and of MACs and
      element-wise work between the two; on two scales: ``relative``, the columns of the fit of the
      relative error (`inflation_relative`), and ``log``, log(1 + TOs).
    * ``span`` of MACs: largest over smallest; no limit.

    Parameters
    ----------
    counted : pandas.DataFrame
        Model set from `count_models`; rows of a configuration after the first are left out.
    costs : str or CostTable
    response : str, optional
        Measured column, ``energy_j``, that is y in the relative scale; all TOs, when left out.

    Raises
    ------
    ValueError
        Fewer than eight configurations in a phase; rows that are not counted; an unknown response.

    Examples
    --------
    ``tos.design_report(tos.count_models(tos.feed_forward()))``
    """
    if not any(c.startswith("mac ") for c in counted):
        raise ValueError("counted: there are no counts in it; pass tos.count_models(model_set)")
    if response is not None and response not in counted:
        raise ValueError(f"response: there is no column {response!r}; give a measured one, or none")
    rows = price(counted.drop_duplicates("configuration"), costs,
                 ["macs", "tos", *_CLASSES, *_SPLIT])
    phases = rows["phase"] if "phase" in rows else pd.Series("inference", rows.index)
    criteria = []
    for phase, part in rows.groupby(phases, sort=True):
        if len(part) < 8:
            raise ValueError(f"counted: {len(part)} configurations in {phase}; a design of three "
                             "classes of work needs 8")
        total = part[response] if response else part.tos
        values = zip(("logs", "ranks"), correlations(part.macs, part.tos_elementary), strict=True)
        criteria += [(phase, "correlation of MACs and elementary TOs", scale, value,
                      MAX_CORRELATION) for scale, value in values]
        for names in (_CLASSES, _SPLIT):
            work = part[list(names)].to_numpy(float)
            for scale, found in (("relative", inflation_relative(work, total)),
                                 ("log", inflation_log(work))):
                criteria += [(phase, f"variance inflation of {name}", scale, value, MAX_INFLATION)
                             for name, value in zip(names, found, strict=True)]
        criteria.append((phase, "span of MACs", "ratio", part.macs.max() / part.macs.min(), np.nan))
    table = pd.DataFrame(criteria, columns=["phase", "criterion", "scale", "value", "limit"])
    table["met"] = ~(table.value.abs() > table.limit)
    factors = [f for f in factors_of(counted) if rows[f].nunique() > 1]
    levels = pd.concat({f: rows[f].astype(str).value_counts(sort=False) for f in factors},
                       names=["factor", "level"]).rename("rows").to_frame()
    pairs = pd.DataFrame(
        [(f, b, count_pairs(rows, f, b)) for f, b in PAIR_BASELINES.items() if f in factors],
        columns=["factor", "baseline", "pairs"]).set_index("factor")
    return DesignReport(table.set_index(["phase", "criterion", "scale"]), levels, pairs,
                        costs if isinstance(costs, str) else costs.name)
