"""Predictors side by side: the same runs, the same folds, the same rule of fitting."""

import numpy as np
import pandas as pd

from .prepare import precision_metrics
from .run_checks import check_response
from .terms import known_terms, parse_formula
from .validation import checked_terms, folds, held_out

_INTERVALS = ("lower", "upper", "difference", "difference_lower", "difference_upper")


def compare_predictors(runs, predictors, protocols=("in-sample", "k-fold"), response="energy_j",
                       form="relative", configuration="configuration", k=10, seed=0,
                       bootstrap=1000, costs=None, group="device") -> pd.DataFrame:
    """Return the error of each predictor under each protocol, as one tidy table.

    Parameters
    ----------
    runs : pandas.DataFrame or dict of str to DataFrame
        Measured runs; or several data sets by their names, each with runs of one device or
        several, which are then fitted one by one (all at once by ``form="mixed"``).
    predictors : dict of str to str or list of str
        Name of a law -> its term, terms or formula: ``{"MACs": "macs", "two": ["a", "b"]}``.
    protocols : sequence of str
        As for `folds`.
    response, form, configuration, k, seed, costs, group
        As for `fit_scaling_law` and `folds`.
    bootstrap : int
        Resamples of the configurations for the interval of the mean relative error, and of its
        difference to the first predictor's.

    Returns
    -------
    pandas.DataFrame
        ``dataset`` and ``device`` where several were given, ``predictor``, ``protocol``, the
        columns of `precision_metrics`, ``lower`` and ``upper`` (95 % of the mean relative error),
        ``difference``, ``difference_lower``, ``difference_upper`` (to the first predictor),
        ``n_tested``, ``reason``: why the row is missing, where a predictor could not be fitted.

    Raises
    ------
    ValueError
        As `fit_scaling_law` of the response; a predictor that is neither a column nor in
        `predictors.PREDICTORS`; a protocol that can be used in no data set, or with no predictor;
        an empty `predictors`, `runs` or `protocols`.

    Examples
    --------
    >>> runs = pd.DataFrame({"macs": range(1, 21), "configuration": range(20)})
    >>> runs["energy_j"] = 5.0 + 3 * runs.macs
    >>> table = compare_predictors({"a": runs}, {"MACs": "macs"}, ["k-fold"], bootstrap=10)
    >>> table[["dataset", "predictor"]].to_numpy().tolist()
    [['a', 'MACs']]
    """
    for name, value in (("predictors", predictors), ("protocols", protocols)):
        if not len(value):
            raise ValueError(f"{name}: none given; pass "
                             + ("{'MACs': 'macs'}" if name == "predictors" else "['k-fold']"))
    several = isinstance(runs, dict)
    if several and not runs:
        raise ValueError("runs: no data set given; pass {'ours': runs}")
    terms = {name: parse_formula(columns, response) for name, columns in predictors.items()}
    others = {own for own, _ in terms.values()} - {response}
    if others:
        raise ValueError(f"predictors: a formula is of {sorted(others)[0]!r} and the comparison of "
                         f"{response!r}; compare laws of one response")
    tables = []
    for dataset, one in (runs.items() if several else [("", runs)]):
        for device, part in _by_device(one, several, form):
            try:
                check_response(part, response, configuration, form, group)
            except ValueError as error:
                raise ValueError(f"{dataset}: {error}" if several else str(error)) from None
            table = _compare(part, {name: own for name, (_, own) in terms.items()}, protocols,
                             response, form, configuration, k, seed, bootstrap, costs, group)
            tables.append(table.assign(dataset=dataset, device=device))
    table = pd.concat(tables, ignore_index=True)
    frames = list(runs.values()) if several else [runs]
    for name, rows in table.groupby("predictor", sort=False):
        if not any(known_terms(frame, terms[name][1]) for frame in frames):
            raise ValueError(rows.reason.iloc[0])  # a slip of the pen, not a gap in the data
    for _, rows in table.groupby("protocol", sort=False):
        if (rows.reason != "").all():
            raise ValueError(rows.reason.iloc[0])
    return table[[*(["dataset", "device"] if several else []), *tables[0].columns[:-2]]]


def _by_device(runs, several, form):
    """Return (device, its runs) pairs; one pair where devices are not to be split."""
    if not several or "device" not in runs:
        return [("", runs)]
    if form == "mixed" or runs.device.nunique() == 1:
        names = runs.device.astype(str).unique()
        return [(", ".join(names) if len(names) <= 3 else f"{len(names)} devices", runs)]
    return list(runs.groupby("device", sort=False))


def _compare(runs, laws, protocols, response, form, configuration, k, seed, bootstrap, costs,
             group):
    runs = runs.reset_index(drop=True)  # labels may repeat where files were joined
    values, reasons = {}, {}
    for name, terms in laws.items():
        try:
            values[name] = checked_terms(runs, terms, form, configuration, costs)
        except ValueError as error:
            reasons[name] = str(error)
    y = runs[response]
    code = pd.Series(pd.factorize(runs[configuration])[0], runs.index)
    rows = []
    for protocol in protocols:
        predicted, errors, failed = {}, {}, dict(reasons)
        try:
            parts = folds(runs, protocol, configuration, k, seed)
        except ValueError as error:
            parts, failed = [], dict.fromkeys(laws, str(error))
        for name in laws:
            if name in failed:
                continue
            try:
                predicted[name] = held_out(
                    runs, values[name], parts, response, form, configuration, group)
            except ValueError as error:
                failed[name] = str(error)
                continue
            own = predicted[name].index
            error = (predicted[name] / y.loc[own] - 1).abs()
            errors[name] = error.groupby(code.loc[own].to_numpy()).agg(["sum", "size"]).to_numpy()
        means = _resampled_means(errors, bootstrap, seed)
        first = next(iter(laws))
        for name in laws:
            row = {"predictor": name, "protocol": protocol}
            if name in failed:
                empty = dict.fromkeys((*precision_metrics([1.0, 2], [1.0, 2]).index, *_INTERVALS))
                rows.append(row | dict.fromkeys(empty, np.nan)
                            | {"n_tested": 0, "reason": failed[name]})
                continue
            p = predicted[name]
            own, base = (e[:, 0].sum() / e[:, 1].sum() if e is not None else np.nan
                         for e in (errors[name], errors.get(first)))
            gap = means[name] - means[first] if first in means else np.array([np.nan])
            ends = [*np.quantile(means[name], [0.025, 0.975]), own - base,
                    *np.quantile(gap, [0.025, 0.975])]
            rows.append(row | {**precision_metrics(y.loc[p.index], p),
                               **dict(zip(_INTERVALS, ends, strict=True)),
                               "n_tested": len(p), "reason": ""})
    return pd.DataFrame(rows)


def _resampled_means(errors, bootstrap, seed):
    """Return predictor -> mean relative error in each resample; the same draws for all."""
    if not errors:
        return {}
    n = len(next(iter(errors.values())))
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), bootstrap)
    sums = {name: times @ table for name, table in errors.items()}
    return {name: total[:, 0] / total[:, 1] for name, total in sums.items()}
