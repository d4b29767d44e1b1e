"""Held-out validation: what a law is worth on data that it has not seen.

All predictors get the same folds and the same fitting rule. A fold never splits the repeats of one
configuration.
"""

import numpy as np
import pandas as pd

from .scaling_law import fit_scaling_law, precision_metrics


def folds(runs, protocol, configuration="configuration", k=10, seed=0):
    """Return the (train, test) row positions of a validation protocol.

    Parameters
    ----------
    runs : pandas.DataFrame
    protocol : str
        ``in-sample`` (train and test on all); ``k-fold`` (over configurations);
        ``leave-one-<column>-out`` (each value of the column in turn);
        ``top-quartile-<column>`` (train on the lower three quarters, test on the top one).
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
        x = _column(runs, protocol.removeprefix("top-quartile-"), protocol)
        group = (x > x.quantile(0.75)).to_numpy()
        order = [True]
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
                         configuration="configuration", k=10, seed=0) -> pd.Series:
    """Return the prediction of each tested run by a law fitted without its fold.

    The other parameters are those of `fit_scaling_law` and `folds`.

    Returns
    -------
    pandas.Series
        Indexed like the rows of `runs` that were tested.
    """
    parts = []
    for train, test in folds(runs, protocol, configuration, k, seed):
        law = fit_scaling_law(runs.iloc[train], predictors, response, form, configuration)
        parts.append(law.predict(runs.iloc[test]))
    return pd.concat(parts)


def compare_predictors(runs, predictors, protocols=("in-sample", "k-fold"), response="energy_j",
                       form="relative", configuration="configuration", k=10, seed=0,
                       bootstrap=1000) -> pd.DataFrame:
    """Return the error of each predictor under each protocol, as one tidy table.

    Parameters
    ----------
    runs : pandas.DataFrame
    predictors : dict of str to str or list of str
        Name of a law -> its column or columns: ``{"MACs": "macs", "two classes": ["a", "b"]}``.
    protocols : sequence of str
        As for `folds`.
    bootstrap : int
        Resamples of the configurations for the interval of the mean relative error, and of its
        difference to the first predictor's.

    Returns
    -------
    pandas.DataFrame
        ``predictor``, ``protocol``, the columns of `precision_metrics`, ``lower`` and ``upper``
        (95 % of the mean relative error), ``difference``, ``difference_lower``,
        ``difference_upper`` (to the first predictor), ``n_tested``.

    Raises
    ------
    ValueError
        As `fit_scaling_law` and `folds`; an empty `predictors`.
    """
    if not predictors:
        raise ValueError("predictors: none given; pass {'MACs': 'macs'}")
    rows = []
    for protocol in protocols:
        errors, tested = {}, {}
        for name, columns in predictors.items():
            predicted = held_out_predictions(
                runs, columns, protocol, response, form, configuration, k, seed)
            measured = runs.loc[predicted.index, response]
            tested[name] = (measured, predicted)
            error = (predicted / measured - 1).abs()
            errors[name] = error.groupby(runs.loc[predicted.index, configuration]).agg(
                ["sum", "size"])
        means = _resampled_means(errors, bootstrap, seed)
        first = next(iter(predictors))
        for name, (measured, predicted) in tested.items():
            gap = means[name] - means[first]
            metrics = precision_metrics(measured, predicted)
            own = errors[name]["sum"].sum() / errors[name]["size"].sum()
            base = errors[first]["sum"].sum() / errors[first]["size"].sum()
            rows.append({
                "predictor": name, "protocol": protocol, **metrics,
                "lower": np.quantile(means[name], 0.025), "upper": np.quantile(means[name], 0.975),
                "difference": own - base, "difference_lower": np.quantile(gap, 0.025),
                "difference_upper": np.quantile(gap, 0.975), "n_tested": len(measured),
            })
    return pd.DataFrame(rows)


def _resampled_means(errors, bootstrap, seed):
    """Return predictor -> mean relative error in each resample; the same draws for all."""
    some = next(iter(errors.values()))
    draws = np.random.default_rng(seed).integers(0, len(some), (bootstrap, len(some)))
    return {
        name: table["sum"].to_numpy()[draws].sum(1) / table["size"].to_numpy()[draws].sum(1)
        for name, table in errors.items()
    }
