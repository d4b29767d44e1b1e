"""Matched pairs: what one factor costs, all else equal.

Two configurations that differ in one factor alone, an activation at the same MACs, are the contrast
that tells non-linear work from all that grows with it.
"""

import warnings

import numpy as np
import pandas as pd

from .diagnostics import factor_columns
from .fit import fit_scaling_law
from .law import ScalingLaw
from .run_checks import check_response, need_columns


def matched_pair_effects(runs, factor, baseline, response="energy_j", factors=None,
                         configuration="configuration", predicted=None) -> pd.DataFrame:
    """Return the relative effect of each level of a factor, pair by pair.

    The effect is level / baseline - 1, of the geometric means over repeats; its interval is
    Student's t of the log ratios of like repeats (of the same walk through the set, so that drift
    cancels). Where repeats are not numbered alike they are compared as two samples (Welch).

    Parameters
    ----------
    runs : pandas.DataFrame
    factor : str
        Column whose levels are compared: ``activation``.
    baseline : object
        Its level that the others are compared to: ``"relu"``.
    response : str
    factors : sequence of str, optional
        Columns in which a pair is equal; `diagnostics.factor_columns`, ``device``, ``phase`` and
        ``dtype`` if not given.
    configuration : str
    predicted : ScalingLaw, str or array of float, shape (n,), optional
        A law, whose predicted effect is put beside the measured; or predictions, or their column.

    Returns
    -------
    pandas.DataFrame
        One row a pair: the equal factors, ``level``, ``effect``, ``lower``, ``upper`` (95 %;
        missing where there is one repeat), ``log_ratio``, ``n_repeats``, ``predicted_effect``.

    Raises
    ------
    ValueError
        No such column or level; no pair; as `fit_scaling_law` of the response.

    Warns
    -----
    UserWarning
        Pairs with a single repeat, whose intervals are missing.

    Examples
    --------
    >>> runs = pd.DataFrame({"configuration": list("abab"), "width": 8, "activation":
    ...     ["relu", "tanh"] * 2, "family": "f", "repeat": [0, 0, 1, 1],
    ...     "energy_j": [1.0, 1.1, 2.0, 2.2]})
    >>> float(matched_pair_effects(runs, "activation", "relu").effect.round(4)[0])
    0.1
    """
    need_columns(runs, [factor])
    check_response(runs.drop(columns="device", errors="ignore"), response, configuration)
    if factors is None:
        factors = dict.fromkeys([*factor_columns(runs, configuration), *(
            c for c in ("device", "phase", "dtype") if c in runs)])
    need_columns(runs, factors)
    others = [f for f in factors if f != factor]
    levels = list(dict.fromkeys(runs[factor]))
    if baseline not in levels:
        raise ValueError(f"baseline: {factor} is never {baseline!r}; it is one of "
                         f"{', '.join(map(repr, levels))}")
    if isinstance(predicted, ScalingLaw):
        predicted = predicted.predict(runs)
    elif isinstance(predicted, str):
        need_columns(runs, [predicted])
        predicted = runs[predicted]
    table = pd.DataFrame({
        "level": runs[factor].to_numpy(), "y": np.log(runs[response].to_numpy(float)),
        "repeat": runs["repeat"].to_numpy() if "repeat" in runs else 0,
        "p": np.nan if predicted is None else np.asarray(predicted, float)})
    rows = []
    keys = [runs[c].to_numpy() for c in others] or [np.zeros(len(runs))]
    for equal, part in table.groupby(keys, sort=False, dropna=False):
        base = part[part.level == baseline]
        for level, own in part[part.level != baseline].groupby("level", sort=False):
            if len(base):
                rows.append(dict(zip(others, equal, strict=False)) | _effect(own, base, level))
    if not rows:
        raise ValueError(f"factors: no two configurations differ in {factor!r} alone and are equal "
                         f"in {', '.join(others)}; name fewer columns by factors=, or add twins to "
                         "the model set")
    effects = pd.DataFrame(rows)
    single = int(effects.lower.isna().sum())
    if single:
        warnings.warn(f"repeat: {single} of {len(effects)} pairs have a single repeat, so their "
                      "intervals are missing; the summary over pairs needs none", stacklevel=2)
    effects.attrs |= {"factor": factor, "baseline": baseline, "response": response}
    return effects


def _effect(own, base, level):
    from scipy.stats import t

    y, z = own.y.to_numpy(), base.y.to_numpy()
    both, i, j = np.intersect1d(own["repeat"], base["repeat"], return_indices=True)
    n = min(len(y), len(z))
    if len(both) == len(y) == len(z):  # the same repeats, each once
        gap = y[i] - z[j]
        ratio, freedom = gap.mean(), n - 1
        error = gap.std(ddof=1) / n**0.5 if n > 1 else np.nan
    else:
        ratio = y.mean() - z.mean()
        a, b = (v.var(ddof=1) / len(v) if n > 1 else np.nan for v in (y, z))
        error = (a + b) ** 0.5
        freedom = error**4 / (a**2 / (len(y) - 1) + b**2 / (len(z) - 1)) if n > 1 else 0
    half = t.ppf(0.975, freedom) * error if n > 1 else np.nan
    return {"level": level, "effect": np.expm1(ratio), "lower": np.expm1(ratio - half),
            "upper": np.expm1(ratio + half), "log_ratio": ratio, "n_repeats": n,
            "predicted_effect": own.p.mean() / base.p.mean() - 1}


def matched_pair_summary(effects) -> pd.DataFrame:
    """Return the mean effect of each level over its pairs, with what chance would give.

    Parameters
    ----------
    effects : pandas.DataFrame
        As `matched_pair_effects` returns it.

    Returns
    -------
    pandas.DataFrame
        Indexed by ``level``: ``effect`` (geometric mean), ``lower``, ``upper`` (95 %, Student's t
        of the log ratios over pairs), ``n_pairs``, ``n_positive``, ``sign_p`` (of the two-sided
        sign test), ``predicted_effect``, its geometric mean.

    Raises
    ------
    ValueError
        A table that is no such.

    Warns
    -----
    UserWarning
        Levels with a single pair, whose intervals are missing.

    Examples
    --------
    >>> effects = pd.DataFrame({"level": ["tanh"] * 3, "log_ratio": np.log([1.02, 1.03, 1.04]),
    ...                         "predicted_effect": 0.0})
    >>> matched_pair_summary(effects)[["effect", "n_positive"]].round(3).to_numpy().tolist()
    [[0.03, 3.0]]
    """
    from scipy.stats import binomtest, t

    need_columns(effects, ["level", "log_ratio", "predicted_effect"])
    rows = []
    for level, part in effects.groupby("level", sort=False):
        ratio, n = part.log_ratio, len(part)
        half = t.ppf(0.975, n - 1) * ratio.std() / n**0.5 if n > 1 else np.nan
        positive = int((ratio > 0).sum())
        rows.append({
            "level": level, "effect": np.expm1(ratio.mean()),
            "lower": np.expm1(ratio.mean() - half), "upper": np.expm1(ratio.mean() + half),
            "n_pairs": n, "n_positive": positive,
            "sign_p": binomtest(positive, n).pvalue,
            "predicted_effect": np.expm1(np.log1p(part.predicted_effect.clip(lower=-1)).mean())})
    table = pd.DataFrame(rows).set_index("level")
    single = table.index[table.n_pairs == 1]
    if len(single):
        warnings.warn(f"level: {', '.join(map(str, single))} stand in a single pair, so their "
                      "intervals are missing; measure more pairs", stacklevel=2)
    return table


def predicted_pair_effects(runs, laws, factor, baseline, response="energy_j", form="relative",
                           **options) -> pd.DataFrame:
    """Return the measured effect of each level of a factor, and what laws predict it to be.

    Each law is fitted to all the runs, the pairs among them: what it predicts is what its terms can
    say of the factor at all.

    Parameters
    ----------
    runs : pandas.DataFrame
    laws : dict of str to str or list of str
        Name -> terms or formula, as for `compare_predictors`.
    factor, baseline, response, options
        As for `matched_pair_effects`.
    form : str
        As for `fit_scaling_law`.

    Returns
    -------
    pandas.DataFrame
        One row a law and level, and one a law for ``all others`` than the baseline: ``law``,
        ``level``, and the columns of `matched_pair_summary`.

    Raises
    ------
    ValueError
        As `matched_pair_effects` and `fit_scaling_law`.

    Examples
    --------
    >>> runs = pd.DataFrame({"configuration": list("abcd"), "width": [8, 8, 9, 9], "activation":
    ...     ["relu", "tanh"] * 2, "family": "f", "repeat": 0, "energy_j": [1.0, 1.1, 2.0, 2.2],
    ...     "tos": [10.0, 11.0, 20.0, 22.0]})
    >>> with warnings.catch_warnings(action="ignore"):  # each pair is measured once
    ...     table = predicted_pair_effects(runs, {"TOs": "tos"}, "activation", "relu")
    >>> table[["level", "effect", "predicted_effect"]].round(3).to_numpy().tolist()
    [['tanh', 0.1, 0.1], ['all others', 0.1, 0.1]]
    """
    parts = {}
    for name, terms in laws.items():
        law = fit_scaling_law(runs, terms, response, form)
        effects = matched_pair_effects(runs, factor, baseline, response, predicted=law, **options)
        with warnings.catch_warnings():  # levels of one pair have no interval, as the table shows
            warnings.filterwarnings("ignore", message="level: .* single pair")
            parts[name] = pd.concat([matched_pair_summary(part) for part in (
                effects, effects.assign(level="all others"))])
    return pd.concat(parts, names=["law"]).reset_index()


def pairs_needed(runs, effect=0.03, response="energy_j", power=0.95,
                 configuration="configuration") -> int:
    """Return how many matched pairs tell an effect from none, at the noise that repeats show.

    n = 2 s^2 / r ((z(0.975) + z(power)) / log(1 + effect))^2, for a scatter s of the logs of
    repeats within configurations, r repeats of each, and the normal distribution's quantiles z
    (sample size of a paired comparison; Cohen, "Statistical Power Analysis", 1988, section 2.4).

    Parameters
    ----------
    runs : pandas.DataFrame
        With repeats.
    effect : float
        Relative: 0.03 is 3 %.
    response, configuration : str
    power : float
        Probability that the effect, if it is there, is told from 0 at 95 %.

    Raises
    ------
    ValueError
        No repeats; an effect of 0 or at most -1; a power not between 0 and 1.

    Examples
    --------
    >>> runs = pd.DataFrame({"configuration": list("aabb"), "energy_j": [1.0, 1.1, 2.0, 2.2]})
    >>> pairs_needed(runs, effect=0.1)
    7
    """
    from scipy.stats import norm

    if not (effect > -1 and effect):
        raise ValueError(f"effect: {effect!r} is none to be told from 0; give 0.03 for 3 %")
    if not 0 < power < 1:
        raise ValueError(f"power: {power!r} is no probability between 0 and 1")
    check_response(runs.drop(columns="device", errors="ignore"), response, configuration)
    logs = np.log(runs[response].astype(float))
    groups = logs.groupby(runs[configuration].to_numpy())
    freedom = len(logs) - groups.ngroups
    if not freedom:
        raise ValueError(f"{configuration}: a single repeat of each, so their noise is unknown; "
                         "measure again with repeats=3")
    variance = ((logs - groups.transform("mean")) ** 2).sum() / freedom
    z = (norm.ppf(0.975) + norm.ppf(power)) / np.log1p(effect)
    return int(np.ceil(2 * variance * groups.ngroups / len(logs) * z**2))
