"""Held-out validation: what a law is worth on data that it has not seen.

A fold never splits the repeats of one configuration.
"""

import warnings

import numpy as np
import pandas as pd

from ..costs.predictors import PREDICTORS, predictor_values, priced_by
from .fits import FITS
from .prepare import design_matrix, precision_metrics, prepare
from .run_checks import check_response, check_size, check_terms
from .terms import by_table, columns_of, parse_formula, term_values


def folds(runs, protocol, configuration="configuration", k=10, seed=0):
    """Return the (train, test) row positions of a validation protocol.

    Parameters
    ----------
    runs : pandas.DataFrame
    protocol : str
        ``in-sample`` (train and test on all); ``k-fold`` (over configurations);
        ``leave-one-<column>-out`` (each value of the column in turn);
        ``top-quartile-<column>`` (train on the lower three quarters, test on the top one; the
        column may be a predictor that the runs' counts tell).
    configuration : str
        Column that tells which runs repeat one another.
    k : int
        Number of folds of ``k-fold``.
    seed : int
        Of the order in which configurations are dealt to folds.

    Raises
    ------
    ValueError
        An unknown protocol or column; fewer groups than folds.

    Examples
    --------
    >>> runs = pd.DataFrame({"configuration": list("aabbcc")})
    >>> [test.tolist() for _, test in folds(runs, "k-fold", k=3)]
    [[0, 1], [2, 3], [4, 5]]
    """
    rows = np.arange(len(runs))
    if protocol == "in-sample":
        return [(rows, rows)]
    if protocol == "k-fold":
        code, names = pd.factorize(runs[configuration])
        if len(names) < k:
            raise ValueError(f"k: {k} folds of {len(names)} configurations; use k={len(names)} "
                             "or measure more")
        dealt = np.random.default_rng(seed).permutation(len(names)) % k
        group = dealt[code]
        order = list(dict.fromkeys(group))
    elif protocol.startswith("leave-one-") and protocol.endswith("-out"):
        column = protocol.removeprefix("leave-one-").removesuffix("-out")
        group = _column(runs, column, protocol).to_numpy()
        order = list(dict.fromkeys(group))
        if len(order) < 2:
            raise ValueError(f"protocol: {column!r} has one value, {order[0]!r}, so none can be "
                             "left out; use 'k-fold'")
    elif protocol.startswith("top-quartile-"):
        column = protocol.removeprefix("top-quartile-")
        try:
            x = term_values(runs, [column])[column]
        except ValueError:
            x = _column(runs, column, protocol)
        group = (x > x.quantile(0.75)).to_numpy()
        order = [True]
        if not group.any():
            raise ValueError(f"protocol: {protocol!r}: no run lies above the quartile of "
                             f"{column}, {x.max():g}, for ties; use 'k-fold'")
    else:
        raise ValueError(
            f"protocol: {protocol!r} is unknown; use 'in-sample', 'k-fold', "
            "'leave-one-<column>-out' or 'top-quartile-<column>'")
    return [(rows[group != g], rows[group == g]) for g in order]


def _column(runs, column, protocol):
    if column not in runs:
        raise ValueError(f"protocol: {protocol!r} needs a column {column!r}; there are "
                         f"{', '.join(runs.columns)}")
    return runs[column]


def held_out_predictions(runs, predictors, protocol, response="energy_j", form="relative",
                         configuration="configuration", k=10, seed=0, costs=None,
                         group="device") -> pd.Series:
    """Return the prediction of each tested run by a law fitted without its fold.

    The other parameters are those of `fit_scaling_law` and `folds`. Only coefficients are fitted;
    a group of a mixed law that was not fitted is predicted at the mean of all groups.

    Returns
    -------
    pandas.Series
        Indexed like the rows of `runs` that were tested.

    Raises
    ------
    ValueError
        As `fit_scaling_law` and `folds`; a fold whose training runs cannot be fitted.
    """
    response, terms = parse_formula(predictors, response)
    check_response(runs, response, configuration, form, group)
    parts = folds(runs, protocol, configuration, k, seed)
    x = checked_terms(runs, terms, form, configuration, costs)
    return held_out(runs, x, parts, response, form, configuration, group)


def checked_terms(runs, terms, form, configuration, costs):
    """Return the terms' values, or raise the reason why they cannot be fitted."""
    reasons = runs.attrs.get("reasons", {})
    for name in terms:
        if name in reasons and name in runs and runs[name].isna().all():
            raise ValueError(reasons[name])
    costs = costs or (priced_by(runs) if by_table(terms) else None)
    for name in columns_of(terms):  # a price that is missing says why when it is asked for by name
        if name in PREDICTORS and name in runs and runs[name].isna().any():
            predictor_values(runs, name, costs or "cmos")
    x = term_values(runs, terms, costs)
    check_terms(x, form)
    check_size(runs, x, configuration)
    return x


def held_out(runs, x, parts, response, form, configuration, group="device"):
    """Return the held-out predictions of laws of the terms `x`, over the folds `parts`."""
    rows, values = [], []
    used = runs[[response, configuration, *([group] if form == "mixed" else [])]]
    index, runs = runs.index, used.assign(**{configuration: pd.factorize(used[configuration])[0]})
    for train, test in parts:
        fitted = x.iloc[train]
        try:
            check_terms(fitted, form)
            check_size(runs.iloc[train], fitted, configuration)
            if form == "mixed" and runs[group].iloc[train].nunique() < 2:
                raise ValueError(f"{group}: one value has no random effect")
        except ValueError as error:
            raise ValueError(f"{error} (in the runs that train a fold)") from None
        data = prepare(runs.iloc[train], x.columns, response, form, configuration, group=group,
                       x=fitted)
        found = FITS[form].solve(*data.arrays(), (0,))
        design = design_matrix(x.iloc[test], form, data.scales)
        mean = design @ found.coefficients
        if found.effects:
            none = np.zeros(design.shape[1])
            mean += np.einsum("ij,ij->i", design, np.array(
                [found.effects.get(g, none) for g in runs[group].iloc[test]]))
        rows.append(test)
        values.append(np.exp(mean) if FITS[form].scale == "log" else mean)
    rows, values = np.concatenate(rows), np.concatenate(values)
    return pd.Series(values, index=index[rows], name=response)


def permutation_check(runs, predictors, protocol="k-fold", n=200, response="energy_j",
                      form="linear", configuration="configuration", k=10, seed=0,
                      costs=None) -> pd.DataFrame:
    """Return what a protocol finds where there is nothing to find: it must be nothing.

    The responses are dealt at random to the configurations, repeats staying together, `n` times;
    a predictor that still explains held-out runs has seen them. An in-sample fit does.

    Parameters
    ----------
    runs, predictors, response, form, configuration, k, costs
        As for `compare_predictors`, of one data set. In the form ``linear`` R^2 is what is
        minimised, so there a leak shows most.
    protocol : str
        As for `folds`.
    n : int
        Permutations.
    seed : int
        Of the permutations; and of the folds, which differ between permutations.

    Returns
    -------
    pandas.DataFrame
        ``predictor``, ``r2`` (of the runs as they are), ``shuffled_mean``, ``shuffled_lower``,
        ``shuffled_upper`` (R^2 of the permutations, mean and 95 % range), ``p_value`` (share of
        permutations, the runs themselves included, that reach ``r2``), ``leaks`` (the mean lies
        above 0 by more than 3 standard errors).

    Raises
    ------
    ValueError
        As `held_out_predictions`; fewer than 20 permutations.

    Examples
    --------
    >>> runs = pd.DataFrame({"macs": range(1, 21), "configuration": range(20)})
    >>> runs["energy_j"] = 5.0 + 3 * runs.macs
    >>> bool(permutation_check(runs, {"MACs": "macs"}, n=20).leaks[0])
    False
    """
    if n < 20:
        raise ValueError(f"n: {n} permutations tell nothing; give at least 20")
    check_response(runs, response, configuration, form)
    rng = np.random.default_rng(seed)
    code = pd.factorize(runs[configuration])[0]
    members = [np.flatnonzero(code == c) for c in range(code.max() + 1)]
    y = runs[response].to_numpy(float)
    terms = {name: parse_formula(columns, response)[1] for name, columns in predictors.items()}
    values = {name: checked_terms(runs, own, form, configuration, costs)
              for name, own in terms.items()}
    scores = {name: [] for name in terms}
    for draw in range(n + 1):
        shuffled = y.copy()
        if draw:  # a configuration with more repeats than it is dealt takes them in turn
            for own, other in zip(members, rng.permutation(len(members)), strict=True):
                shuffled[own] = np.resize(y[members[other]], len(own))
        dealt = runs.assign(**{response: shuffled})
        parts = folds(dealt, protocol, configuration, k, seed + draw)
        for name, x in values.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                p = held_out(dealt, x, parts, response, form, configuration)
            scores[name].append(precision_metrics(dealt.loc[p.index, response], p).r2)
    rows = []
    for name, (honest, *shuffled) in scores.items():
        shuffled = np.array(shuffled)
        mean, error = shuffled.mean(), shuffled.std(ddof=1) / n**0.5
        low, high = np.quantile(shuffled, [0.025, 0.975])
        rows.append({"predictor": name, "r2": honest, "shuffled_mean": mean, "shuffled_lower": low,
                     "shuffled_upper": high, "p_value": (1 + (shuffled >= honest).sum()) / (n + 1),
                     "leaks": bool(mean > 3 * error)})
    return pd.DataFrame(rows)
