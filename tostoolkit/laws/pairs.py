"""Matched pairs: what one factor costs, all else equal.

Two configurations that differ in one factor alone, an activation at the same MACs, are the contrast
that tells non-linear work from all that grows with it.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..costs.cost_table import CostTable
from ..models.design import factors_of
from ..models.families import FAMILIES, Family
from ..statistics import mean_interval, welch_interval
from .fit import fit_scaling_law
from .fits import positions
from .law import ScalingLaw
from .prepare import check_response, need_columns

#: Level that stands for all levels of a factor but its baseline.
OTHERS = "all others"
#: Columns beside the factors in which the two of a pair are equal.
CONDITIONS = ("device", "phase", "dtype")
#: And where the runs are of several: two devices of a host, two families with like factors.
SOURCES = ("device_id", "family")


def pair_effects(runs: pd.DataFrame | Mapping[str, pd.DataFrame], factor: str | None = None,
                 baseline: Any = None, response: str = "energy_j", form: str = "relative",
                 costs: str | CostTable | None = None, *,
                 laws: Mapping[str, ScalingLaw | str | Sequence[str]] | None = None,
                 by: str | None = None, factors: Sequence[str] | None = None,
                 families: Mapping[str, Family] = FAMILIES,
                 configuration: str = "configuration", per_pair: bool = False) -> pd.DataFrame:
    """Return the relative effect of each level of a factor at equal levels of all others.

    The effect of a pair is level / baseline - 1, of the geometric means over repeats; its interval
    is Student's t of the log ratios of like repeats (of the same walk through the set, so that
    drift cancels). Where repeats are not numbered alike they are compared as two samples (Welch).
    That of a level is the geometric mean over its pairs, its interval Student's t over pairs.

    Parameters
    ----------
    runs : pandas.DataFrame or dict of str to DataFrame
        Measured runs; or several data sets by their names.
    factor : str, optional
        Column whose levels are compared, ``activation``; each factor that the runs' family has
        matched pairs of, if not given.
    baseline : object, optional
        Its level that the others are compared to; that of the family's record, if not given.
    response, form, costs, configuration
        As for `fit_scaling_law`.
    laws : dict of str to ScalingLaw, str or list of str, optional
        Name -> law, or the terms or formula of one that is fitted to all the runs, the pairs among
        them: what it predicts is what its terms can say of the factor at all.
    by : str, optional
        Column by whose values the pairs are told apart: ``phase``.
    factors : sequence of str, optional
        Columns in which a pair is equal; those of the runs' family, if not given. It is always
        equal in ``device``, ``phase`` and ``dtype``, and of runs of several in ``device_id`` and
        ``family``.
    families : mapping of str to Family
    per_pair : bool
        One row a pair instead.

    Returns
    -------
    pandas.DataFrame
        ``dataset`` where several were given, ``law`` where `laws` were, ``factor``, ``baseline``,
        ``level`` and, for all levels together, ``all others``, the column `by`, ``effect``,
        ``lower``, ``upper`` (95 %; missing of a single pair), ``n_pairs``, ``n_positive``,
        ``sign_p`` (of the two-sided sign test) and ``predicted_effect``. Of each pair the equal
        factors, ``level``, ``effect``, ``lower``, ``upper`` (missing of a single repeat),
        ``log_ratio``, ``n_repeats`` and ``predicted_effect``.

    Raises
    ------
    ValueError
        No such column or level; no baseline known of a factor; no pair; runs that name no family,
        without `factors`; as `fit_scaling_law` of the response.

    Warns
    -----
    UserWarning
        With `per_pair`, pairs with a single repeat, whose intervals are missing.

    Examples
    --------
    >>> runs = pd.DataFrame({"configuration": list("abab"), "width": 8, "activation":
    ...     ["relu", "tanh"] * 2, "repeat": [0, 0, 1, 1], "energy_j": [1.0, 1.1, 2.0, 2.2]})
    >>> table = pair_effects(runs, "activation", "relu", factors=["width"])
    >>> table[["level", "effect", "n_pairs"]].round(3).to_numpy().tolist()
    [['tanh', 0.1, 1], ['all others', 0.1, 1]]
    """
    if isinstance(runs, dict):
        options = {"laws": laws, "by": by, "factors": factors, "families": families,
                   "configuration": configuration, "per_pair": per_pair}
        tables = {name: pair_effects(part, factor, baseline, response, form, costs, **options)
                  for name, part in runs.items()}
        if not tables:
            raise ValueError("runs: no data set given; pass {'ours': runs}")
        return pd.concat(tables, names=["dataset"]).reset_index("dataset").reset_index(drop=True)
    check_response(runs.drop(columns="device", errors="ignore"), response,
                   configuration=configuration)
    if factors is None:
        factors = factors_of(runs, families)
    factors = [factors] if isinstance(factors, str) else factors
    equal = list(dict.fromkeys([
        *factors, *(c for c in CONDITIONS if c in runs),
        *(c for c in SOURCES if c in runs and runs[c].nunique(dropna=False) > 1),
        *([by] if by else [])]))
    need_columns(runs, [*equal, *([factor] if factor else []), *([by] if by else [])])
    predictions = _predictions(runs, laws or {}, response, form, costs, configuration)
    tables, problems = [], []
    for name, reference in _contrasts(runs, equal, factor, baseline, families):
        try:
            pairs, predicted = _pairs(runs, name, reference, response,
                                      [f for f in equal if f != name], predictions)
        except ValueError as error:
            if factor is not None:
                raise
            problems.append(error)
            continue
        if per_pair:
            _warn_of_single(pairs)
        for law in predicted:
            table = pairs.assign(predicted_effect=predicted[law])
            table = table if per_pair else _summary(table, by)
            heading = {"law": law} if laws else {}
            for i, (column, value) in enumerate((heading | {
                    "factor": name, "baseline": reference}).items()):
                table.insert(i, column, value)
            tables.append(table)
    if not tables:
        raise problems[0]
    return pd.concat(tables, ignore_index=True)


def _contrasts(runs, equal, factor, baseline, families):
    """Return (factor, baseline) of each contrast that is asked for."""
    names = runs["family"].unique() if "family" in runs else ()
    known = {f: pairs.baseline for name in names if name in families
             for f, pairs in families[name].pairs.items()}
    if factor is None:
        contrasts = {f: _level(runs, f, b) for f, b in known.items()
                     if f in equal and _level(runs, f, b) in set(runs[f])}
        if not contrasts:
            raise ValueError("factor: no matched pairs are known of these runs' family; name a "
                             "factor and its baseline, 'activation' and 'relu' say")
        return list(contrasts.items())
    if baseline is None:
        if factor not in known:
            raise ValueError(f"baseline: none is known of {factor!r}; give one of its levels")
        baseline = known[factor]
    baseline, levels = _level(runs, factor, baseline), list(dict.fromkeys(runs[factor]))
    if baseline not in levels:
        raise ValueError(f"baseline: {factor} is never {baseline!r}; it is one of "
                         f"{', '.join(map(repr, levels))}")
    return [(factor, baseline)]


def _level(runs, factor, level):
    """Return a level as the runs write it: a CSV may turn False into its text."""
    return next((x for x in runs[factor].unique() if str(x) == str(level)), level)


def _predictions(runs, laws, response, form, costs, configuration):
    """Return law -> predictions of the runs; NaN under the empty name where there is no law."""
    if not laws:
        return {"": np.full(len(runs), np.nan)}
    fitted = {name: law if isinstance(law, ScalingLaw) else fit_scaling_law(
        runs, law, response, form, costs, configuration=configuration)
        for name, law in laws.items()}
    return {name: law.predict(runs).to_numpy(float) for name, law in fitted.items()}


def _pairs(runs, factor, baseline, response, equal, predictions):
    """Return the effect of each pair, and law -> the effects that it predicts."""
    y = np.log(runs[response].to_numpy(float))
    repeat = runs["repeat"].to_numpy() if "repeat" in runs else np.zeros(len(runs), int)
    codes, levels = pd.factorize(runs[factor])  # -1: no level, which has no pair
    base_code = levels.tolist().index(baseline)
    columns = {name: runs[name].to_numpy() for name in equal}
    alike = (runs.groupby(equal, sort=False, dropna=False).ngroup().to_numpy() if equal
             else np.zeros(len(runs), int))
    predictions = pd.DataFrame(predictions)
    values = predictions.to_numpy()
    rows, predicted = [], []
    for members in positions(alike):
        base = members[codes[members] == base_code]
        if not len(base):
            continue
        for code in dict.fromkeys(codes[members]):
            if code in (-1, base_code):
                continue
            twins = members[codes[members] == code]
            rows.append({name: column[members[0]] for name, column in columns.items()}
                        | {"level": levels[code]}
                        | _effect(y[twins], y[base], repeat[twins], repeat[base]))
            predicted.append(values[twins].mean(axis=0) / values[base].mean(axis=0) - 1)
    if not rows:
        raise ValueError(f"factors: no two configurations differ in {factor!r} alone and are equal "
                         f"in {', '.join(equal)}; name fewer columns by factors=, or add twins to "
                         "the model set")
    return pd.DataFrame(rows), pd.DataFrame(predicted, columns=predictions.columns)


def _effect(y, z, repeat_y, repeat_z):
    """Return the effect of one pair, whose logs are y and z, with its interval over repeats."""
    alike, i, j = np.intersect1d(repeat_y, repeat_z, return_indices=True)
    n = min(len(y), len(z))
    if len(alike) == len(y) == len(z):  # the same repeats, each once
        ratio, low, high = mean_interval(y[i] - z[j])
    else:
        ratio, low, high = welch_interval(y, z)
    return {"effect": np.expm1(ratio), "lower": np.expm1(low), "upper": np.expm1(high),
            "log_ratio": ratio, "n_repeats": n}


def _warn_of_single(pairs):
    single = int(pairs.lower.isna().sum())
    if single:
        warnings.warn(f"repeat: {single} of {len(pairs)} pairs have a single repeat, so their "
                      "intervals are missing; the summary over pairs needs none", stacklevel=3)


def _summary(pairs, by=None):
    """Return the mean effect of each level over its pairs, and of all levels together."""
    from scipy.stats import binomtest

    keys = ["level", *([by] if by else [])]
    rows = []
    for table in (pairs, pairs.assign(level=OTHERS)):
        for values, part in table.groupby(keys, sort=False):
            ratio, low, high = mean_interval(part.log_ratio)
            positive = int((part.log_ratio > 0).sum())
            predicted = np.log1p(part.predicted_effect.clip(lower=-1)).mean()
            rows.append(dict(zip(keys, values, strict=True)) | {
                "effect": np.expm1(ratio), "lower": np.expm1(low), "upper": np.expm1(high),
                "n_pairs": len(part), "n_positive": positive,
                "sign_p": binomtest(positive, len(part)).pvalue,
                "predicted_effect": np.expm1(predicted)})
    return pd.DataFrame(rows)
