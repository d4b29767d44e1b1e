"""The design of a model set: how far its classes of work tell apart, and its matched pairs.

A coefficient of a scaling law is identified as far as its predictor varies on its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..costs.pricing import price
from ..statistics import inflation_log, inflation_relative
from .families import FAMILIES, Family, find_family

if TYPE_CHECKING:
    from ..costs.cost_table import CostTable

#: What a design must keep to: correlation, in absolute value, and variance inflation.
MAX_CORRELATION, MAX_INFLATION = 0.3, 5.0
#: Configurations of a phase: three classes of work and a constant take twice as many as their
#: coefficients, before collinearity says something.
FEWEST = 8

_CLASSES = ("tos_linear", "tos_elementary", "tos_comparison")
_SPLIT = ("tos_mac", "tos_elementwise")


def label(table: pd.DataFrame, factors: Sequence[str]) -> pd.Series:
    """Return a name for each row: ``depth=1 width=64``.

    >>> label(pd.DataFrame({"depth": [1], "width": [64]}), ["depth", "width"]).tolist()
    ['depth=1 width=64']
    """
    return pd.Series(
        [" ".join(f"{f}={v}" for f, v in zip(factors, row, strict=True))
         for row in table[list(factors)].itertuples(index=False)], index=table.index, dtype=object)


def correlations(macs: Sequence[float], elementary: Sequence[float]) -> tuple[float, float]:
    """Return Pearson's (of the logs) and Spearman's correlation over rows with elementary work."""
    some = np.asarray(elementary) > 0
    x, y = np.log(np.asarray(macs, float)[some]), np.log(np.asarray(elementary, float)[some])
    if some.sum() < 3 or not (np.ptp(x) and np.ptp(y)):
        return np.nan, np.nan
    return tuple(float(np.corrcoef(a, b)[0, 1]) for a, b in ((x, y), (_ranks(x), _ranks(y))))


def _ranks(x):
    """Return ranks, ties at their mean, up to a constant."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - counts / 2)[inverse]


# Pairs --------------------------------------------------------------------------------------

def factors_of(rows: pd.DataFrame, families: Mapping[str, Family] = FAMILIES) -> list[str]:
    """Return the factor columns of a model set, counted or measured, as its families name them.

    The order is that of the families' records, whatever that of the columns.

    Raises
    ------
    ValueError
        The rows name no family, or one that is not of `families`.

    Examples
    --------
    >>> run = {"width": 8, "time_s": 1.0, "depth": 2, "family": "feed_forward"}
    >>> factors_of(pd.DataFrame([run]))
    ['depth', 'width']
    """
    if "family" not in rows:
        raise ValueError("rows: they have no column 'family', which tells factors from other "
                         "columns; add it, or name the factors: factors=[...]")
    try:
        records = [find_family(name, families) for name in rows["family"].unique()]
    except ValueError as error:
        raise ValueError(f"{error}; or name the factors: factors=[...]") from None
    known = dict.fromkeys(factor for record in records for factor in record.factors)
    return [factor for factor in known if factor in rows]


def matched_pairs(model_set: pd.DataFrame, factor: str = "activation", baseline: Any = None,
                  n: int | None = None, seed: int = 0,
                  families: Mapping[str, Family] = FAMILIES) -> pd.DataFrame:
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
        Level that the twins have; that of the family's record, when left out.
    n : int, optional
        Rows to pair of those without a twin; all of them, when left out.
    seed : int
        Of the choice.
    families : mapping of str to Family

    Returns
    -------
    pandas.DataFrame
        The rows as they were, then their twins, named after them.

    Raises
    ------
    ValueError
        No such factor, no baseline known of it, or fewer than `n` rows to pair.

    Examples
    --------
    >>> table = pd.DataFrame({"configuration": ["activation=tanh"], "activation": ["tanh"],
    ...                       "family": "feed_forward"})
    >>> matched_pairs(table).configuration.tolist()
    ['activation=tanh', 'activation=relu']
    """
    factors = factors_of(model_set, families)
    if factor not in factors:
        raise ValueError(f"factor: {factor!r} is not a factor of the model set; its factors are "
                         f"{', '.join(factors)}")
    if baseline is None:
        known = {record.pairs[factor].baseline for record in map(
            families.get, model_set.family.unique()) if factor in record.pairs}
        if len(known) != 1:
            raise ValueError(f"baseline: {'several are' if known else 'none is'} known of "
                             f"{factor!r}; give one of its levels")
        baseline, = known
    others = model_set[model_set[factor].notna() & (model_set[factor] != baseline)]
    twins = others.assign(**{factor: baseline}, configuration=[
        _renamed(name, factor, level, baseline)
        for name, level in zip(others.configuration, others[factor], strict=True)])
    same = ["family", *factors]
    twins = twins[~keys(twins, same).isin(keys(model_set, same))].drop_duplicates(same)
    if n is not None and not 0 <= n <= len(twins):
        raise ValueError(f"n: {n!r} pairs cannot be made; {len(twins)} rows have another level of "
                         f"{factor!r} than {baseline!r} and no twin")
    if n is not None:
        twins = twins.iloc[np.sort(np.random.default_rng(seed).permutation(len(twins))[:n])]
    return pd.concat([model_set, twins], ignore_index=True)


def _renamed(name, factor, level, baseline):
    """Return the name of a twin: that of its row, with the level of the factor in its place."""
    parts = str(name).split()
    before, after = f"{factor}={level}", f"{factor}={baseline}"
    return " ".join([after if part == before else part for part in parts]
                    if before in parts else [*parts, after])


def keys(table: pd.DataFrame, factors: Sequence[str]) -> pd.MultiIndex:
    """Return the rows' levels of `factors` as one index, equal where all of them are."""
    return pd.MultiIndex.from_frame(table[list(factors)].astype(str))


def _count_pairs(table, factor, baseline, families):
    """Return how many rows of another level have a row of the baseline that is else equal."""
    others = ["family", *(f for f in factors_of(table, families) if f != factor)]
    table = table.drop_duplicates([*others, factor])
    level = table[factor].astype(str) == str(baseline)  # a CSV may hold False as text
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


def design_report(counted: pd.DataFrame, costs: "str | CostTable" = "cmos",
                  response: str | None = None, factors: Sequence[str] | None = None,
                  families: Mapping[str, Family] = FAMILIES) -> DesignReport:
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
    factors : sequence of str, optional
        Factor columns; those of the rows' families, when left out.
    families : mapping of str to Family

    Raises
    ------
    ValueError
        Fewer than eight configurations in a phase; rows that are not counted, or of no family that
        is known where no `factors` are given; an unknown response.

    Examples
    --------
    >>> from tostoolkit.models import count_models, feed_forward
    >>> models = feed_forward(depths=(1,), widths=(8, 16), activations=("relu", "tanh"),
    ...     batch_norms=(False,), input_sizes=(4, 8), batch_sizes=(2,), phases=("inference",),
    ...     dtypes=("float32",), n=None)
    >>> design_report(count_models(models)).pairs
               baseline  pairs
    factor                    
    activation     relu      4
    """
    if not any(c.startswith("mac ") for c in counted):
        raise ValueError("counted: there are no counts in it; pass tos.count_models(model_set)")
    if response is not None and response not in counted:
        raise ValueError(f"response: there is no column {response!r}; give a measured one, or none")
    factors = factors_of(counted, families) if factors is None else list(factors)
    rows = counted.drop_duplicates(
        ["configuration", "family"] if "family" in counted else "configuration")
    priced = price(rows, costs, ["macs", "tos", *_CLASSES, *_SPLIT])
    phases = rows["phase"] if "phase" in rows else pd.Series("inference", rows.index)
    criteria = pd.DataFrame(
        [(phase, *row) for phase, part in priced.groupby(phases, sort=True)
         for row in _criteria(part, phase, response)],
        columns=["phase", "criterion", "scale", "value", "limit"])
    criteria["met"] = ~(criteria.value.abs() > criteria.limit)
    varied = [f for f in factors if rows[f].nunique() > 1]
    levels = pd.concat({f: rows[f].astype(str).value_counts(sort=False) for f in varied} or {
        "": pd.Series(dtype="int64")}, names=["factor", "level"]).rename("rows").to_frame()
    return DesignReport(criteria.set_index(["phase", "criterion", "scale"]), levels,
                        _pairs(rows, varied, families),
                        costs if isinstance(costs, str) else costs.name)


def _criteria(priced, phase, response):
    """Yield (criterion, scale, value, limit) of the configurations of a phase."""
    if len(priced) < FEWEST:
        raise ValueError(f"counted: {len(priced)} configurations in {phase}; a design of three "
                         f"classes of work needs {FEWEST}")
    total = priced[response] if response else priced.tos
    for scale, value in zip(("logs", "ranks"), correlations(priced.macs, priced.tos_elementary),
                            strict=True):
        yield "correlation of MACs and elementary TOs", scale, value, MAX_CORRELATION
    for names in (_CLASSES, _SPLIT):
        work = priced[list(names)].to_numpy(float)
        for scale, inflation in (("relative", inflation_relative(work, total)),
                                 ("log", inflation_log(work))):
            for name, value in zip(names, inflation, strict=True):
                yield f"variance inflation of {name}", scale, value, MAX_INFLATION
    yield "span of MACs", "ratio", priced.macs.max() / priced.macs.min(), np.nan


def _pairs(rows, varied, families):
    """Return the number of matched pairs of each factor that the rows' families pair."""
    parts = rows.groupby("family", sort=False) if "family" in rows else ()
    table = pd.DataFrame(
        [(factor, pairs.baseline, _count_pairs(part, factor, pairs.baseline, families))
         for name, part in parts if name in families
         for factor, pairs in families[name].pairs.items() if factor in varied],
        columns=["factor", "baseline", "pairs"])
    return table.groupby(["factor", "baseline"], sort=False).sum().reset_index("baseline")
