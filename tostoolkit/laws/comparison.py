"""Predictors side by side, and one predictor under other weights of its work.

The same runs, the same folds, the same rule of fitting.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..costs.cost_table import CostTable, cost_tables, load_cost_table
from ..costs.pricing import predictor_values
from ..statistics import ENDS, group_sums, percentiles, precision_metrics, resampled_means
from .fits import FITS
from .prepare import check_response, prepare
from .terms import known_terms, parse_formula
from .validation import folds, held_out

_METRICS = tuple(precision_metrics([1.0, 2.0], [1.0, 2.0]).index)
_INTERVALS = ("lower", "upper", "difference", "difference_lower", "difference_upper")

#: Part of the work whose weight `cost_sensitivity` varies -> (its predictor, number of its ops).
PARTS = {"elementary": ("tos_elementary", "ops_elementary"),
         "elementwise": ("tos_elementwise", "ops_elementwise")}
MULTIPLIERS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4)


def compare_predictors(runs: pd.DataFrame | Mapping[str, pd.DataFrame],
                       predictors: Mapping[str, str | Sequence[str]],
                       protocols: Sequence[str] = ("in-sample", "k-fold"),
                       response: str = "energy_j", form: str = "relative",
                       costs: str | CostTable | None = None, *,
                       configuration: str = "configuration", group: str = "device", k: int = 10,
                       seed: int = 0, bootstrap: int = 1000) -> pd.DataFrame:
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
    response, form, costs, configuration, group, k, seed
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
    laws = _terms(predictors, response)
    options = {"response": response, "form": form, "costs": costs, "configuration": configuration,
               "group": group}
    tables = []
    for dataset, device, part in by_device(runs, form):
        try:
            check_response(part, response, form, configuration, group)
        except ValueError as error:
            raise ValueError(f"{dataset}: {error}" if dataset else str(error)) from None
        table = _compare(part, laws, protocols, options, k, seed, bootstrap)
        tables.append(table.assign(dataset=dataset, device=device))
    table = pd.concat(tables, ignore_index=True)
    several = isinstance(runs, dict)
    frames = list(runs.values()) if several else [runs]
    for name, rows in table.groupby("predictor", sort=False):
        if not any(known_terms(frame, laws[name]) for frame in frames):
            raise ValueError(rows.reason.iloc[0])  # a slip of the pen, not a gap in the data
    for _, rows in table.groupby("protocol", sort=False):
        if (rows.reason != "").all():
            raise ValueError(rows.reason.iloc[0])
    return table[[*(["dataset", "device"] if several else []), *tables[0].columns[:-2]]]


def _terms(predictors, response):
    """Return name -> terms of each law, once all are of one response."""
    formulas = {name: parse_formula(terms, response) for name, terms in predictors.items()}
    others = sorted({of for of, _ in formulas.values()} - {response})
    if others:
        raise ValueError(f"predictors: a formula is of {others[0]!r} and the comparison of "
                         f"{response!r}; compare laws of one response")
    return {name: terms for name, (_, terms) in formulas.items()}


def by_device(runs, form="relative"):
    """Yield (data set, device, its runs); one part where devices are not to be split.

    Raises
    ------
    ValueError
        An empty dict of data sets.
    """
    if not isinstance(runs, dict):
        yield "", "", runs
        return
    if not runs:
        raise ValueError("runs: no data set given; pass {'ours': runs}")
    for dataset, table in runs.items():
        if "device" not in table:
            yield dataset, "", table
        elif (form in FITS and FITS[form].grouped) or table.device.nunique() == 1:
            names = table.device.astype(str).unique()
            yield dataset, ", ".join(names) if len(names) <= 3 else f"{len(names)} devices", table
        else:
            for device, part in table.groupby("device", sort=False):
                yield dataset, device, part


def _compare(runs, laws, protocols, options, k, seed, bootstrap):
    runs = runs.reset_index(drop=True)  # labels may repeat where files were joined
    prepared, reasons = {}, {}
    for name, terms in laws.items():
        try:
            prepared[name] = prepare(runs, terms, **options)
        except ValueError as error:
            reasons[name] = str(error)
    rows = []
    for protocol in protocols:
        predicted, failed = {}, dict(reasons)
        try:
            parts = folds(runs, protocol, options["configuration"], k, seed)
        except ValueError as error:
            parts, failed = [], dict.fromkeys(laws, str(error))
        for name in [name for name in laws if name not in failed]:
            try:
                predicted[name] = held_out(prepared[name], parts)
            except ValueError as error:
                failed[name] = str(error)
        rows += _rows(runs, laws, predicted, failed, protocol, options, seed, bootstrap)
    return pd.DataFrame(rows)


def error_sums(predicted, measured, configurations) -> np.ndarray:
    """Return the sum and number of the relative errors of each configuration, shape (G, 2)."""
    error = (predicted / measured.loc[predicted.index] - 1).abs()
    return group_sums(error, configurations.loc[predicted.index])


def _rows(runs, laws, predicted, failed, protocol, options, seed, bootstrap):
    """Return the rows of one protocol: errors, their intervals, and differences to the first."""
    measured, first = runs[options["response"]], next(iter(laws))
    codes = pd.Series(pd.factorize(runs[options["configuration"]])[0], runs.index)
    sums = {name: error_sums(p, measured, codes) for name, p in predicted.items()}
    mean = {name: table[:, 0].sum() / table[:, 1].sum() for name, table in sums.items()}
    draws = resampled_means(sums, bootstrap, seed)
    missing = dict.fromkeys((*_METRICS, *_INTERVALS), np.nan)
    rows = []
    for name in laws:
        row = {"predictor": name, "protocol": protocol, **missing, "n_tested": 0,
               "reason": failed.get(name, "")}
        if name in predicted:
            p = predicted[name]
            row |= {**precision_metrics(measured.loc[p.index], p), "n_tested": len(p)}
            row["lower"], row["upper"] = percentiles(draws[name])
            if first in predicted:
                row["difference"] = mean[name] - mean[first]
                row["difference_lower"], row["difference_upper"] = percentiles(
                    draws[name] - draws[first])
        rows.append(row)
    return rows


def cost_sensitivity(runs: pd.DataFrame | Mapping[str, pd.DataFrame], response: str = "energy_j",
                     protocol: str = "k-fold", form: str = "relative",
                     costs: str | CostTable = "cmos", *,
                     multipliers: Sequence[float] = MULTIPLIERS,
                     configuration: str = "configuration", k: int = 10, seed: int = 0,
                     bootstrap: int = 1000) -> pd.DataFrame:
    """Return the held-out error of one TO number with a part of its work weighed more, or less.

    The predictor is TOs with the part multiplied: (tos - part) + multiplier x part. Multiplier 1
    is the cost table's own weight; 0 leaves the part out.

    Parameters
    ----------
    runs : pandas.DataFrame or dict of str to DataFrame
        Counted runs: op counts as `count_row` names them; or several data sets by their names.
    response, protocol, form, configuration, k, seed
        As for `compare_predictors`, of one protocol.
    costs : str or CostTable
    multipliers : sequence of float
    bootstrap : int
        Resamples of the configurations.

    Returns
    -------
    pandas.DataFrame
        ``dataset`` and ``device`` where several sets were given; for each ``part`` (`PARTS`) and
        ``multiplier``: ``mean_relative_error``, ``lower``, ``upper`` (95 %), ``difference`` to
        multiplier 1 with its ends, and to the MACs-only law
        ``difference_macs`` with its ends; ``macs_per_op``, the weight that the multiplier gives an
        op of the part on average, in MACs; ``table_low``, ``table_high``, the least and the most
        that any cost table that ships gives it, and ``physical``, whether it lies between;
        ``best``, and the same for all rows of a part, ``best_lower``, ``best_upper``, the 95 %
        range of the best multiplier over the resamples.

    Raises
    ------
    ValueError
        A multiplier below 0, or none; runs without op counts, or without work of a part; as
        `compare_predictors`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> runs = pd.DataFrame(10 ** rng.uniform(6, 9, (30, 2)), range(30),
    ...                     columns=["mac float32", "exp float32"])
    >>> runs = runs.assign(configuration=range(30))
    >>> runs["energy_j"] = predictor_values(runs, "tos") * 1e-12
    >>> table = cost_sensitivity(runs, multipliers=[0, 1, 100], bootstrap=10)
    >>> table[table.best & (table.part == "elementary")].multiplier.tolist()
    [1.0]
    """
    multipliers = sorted({1.0, *map(float, multipliers)})
    if multipliers[0] < 0 or not np.isfinite(multipliers).all():
        raise ValueError(f"multipliers: {multipliers[0]:g} to {multipliers[-1]:g} are not weights; "
                         "give finite numbers of at least 0")
    if isinstance(runs, dict):
        options = {"multipliers": multipliers, "configuration": configuration, "k": k,
                   "seed": seed, "bootstrap": bootstrap}
        return pd.concat([
            pd.DataFrame({"dataset": dataset, "device": device,
                          **cost_sensitivity(part, response, protocol, form, costs, **options)})
            for dataset, device, part in by_device(runs)], ignore_index=True)
    runs = runs.reset_index(drop=True)
    total = predictor_values(runs, "tos", costs)
    check_response(runs, response, form, configuration)
    parts = folds(runs, protocol, configuration, k, seed)

    def errors_of(values):
        data = prepare(runs.assign(index_varied=values.to_numpy()), "index_varied", response, form,
                       configuration=configuration)
        return error_sums(held_out(data, parts), runs[response], runs[configuration])

    errors = {"macs": errors_of(predictor_values(runs, "macs"))}
    for part, (column, _) in PARTS.items():
        work = predictor_values(runs, column, costs)
        if not (work > 0).any():
            raise ValueError(f"runs: they hold no {part} work under {costs!r}, so its weight "
                             "changes nothing")
        for m in multipliers:
            errors[part, m] = errors_of(total + (m - 1) * work)
    draws = resampled_means(errors, bootstrap, seed)
    mean = {key: e[:, 0].sum() / e[:, 1].sum() for key, e in errors.items()}
    rows = []
    for part in PARTS:
        weight = _macs_per_op(runs, part, costs)
        shipped = _shipped_weights(runs, part) or [np.nan]
        best = min(multipliers, key=lambda m: mean[part, m])
        chosen = np.array(multipliers)[np.argmin([draws[part, m] for m in multipliers], axis=0)]
        low, high = np.quantile(chosen, ENDS, method="nearest")
        for m in multipliers:
            row = {"part": part, "multiplier": m, "mean_relative_error": mean[part, m],
                   **_ends("", draws[part, m])}
            for suffix, other in (("", (part, 1.0)), ("_macs", "macs")):
                row |= {f"difference{suffix}": mean[part, m] - mean[other],
                        **_ends(f"difference{suffix}_", draws[part, m] - draws[other])}
            rows.append(row | {
                "macs_per_op": m * weight, "table_low": min(shipped), "table_high": max(shipped),
                "physical": min(shipped) <= m * weight <= max(shipped), "best": m == best,
                "best_lower": low, "best_upper": high})
    return pd.DataFrame(rows)


def _ends(prefix, draws):
    low, high = percentiles(draws)
    return {f"{prefix}lower": low, f"{prefix}upper": high}


def _macs_per_op(runs, part, costs):
    """Return the mean cost of an op of a part, in MACs of the runs' own formats."""
    column, number = PARTS[part]
    per_op = predictor_values(runs, column, costs).sum() / predictor_values(runs, number).sum()
    mac = predictor_values(runs, "tos_mac", costs).sum() / predictor_values(runs, "macs").sum()
    return float(per_op / mac)


def _shipped_weights(runs, part):
    """Return that cost under each shipped table that prices all the runs' ops one by one."""
    weights = []
    for name in cost_tables().index:
        if (load_cost_table(name).rows["source"] == "definition").all():
            continue  # MACs and FLOPs say how to count, not what an op costs
        try:
            weights.append(_macs_per_op(runs, part, name))
        except ValueError:
            continue
    return weights
