"""How conclusions depend on the cost table: which weight of elementary functions would be needed?"""

import numpy as np
import pandas as pd

from ..costs.cost_table import cost_tables, load_cost_table
from ..costs.predictors import predictor_values
from .comparison import compare_predictors
from .validation import held_out_predictions

#: Part of the work whose weight is varied -> (its predictor, the number of its ops).
PARTS = {"elementary": ("tos_elementary", "ops_elementary"),
         "elementwise": ("tos_elementwise", "ops_elementwise")}
MULTIPLIERS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4)


def cost_sensitivity(runs, response="energy_j", protocol="k-fold", multipliers=MULTIPLIERS,
                     costs="cmos", form="relative", configuration="configuration", k=10, seed=0,
                     bootstrap=1000) -> pd.DataFrame:
    """Return the held-out error of one TO number whose elementary or element-wise work weighs more, or less.

    The predictor is TOs with the part multiplied: (tos - part) + multiplier x part. Multiplier 1
    is the cost table's own weight; 0 leaves the part out.

    Parameters
    ----------
    runs : pandas.DataFrame
        Counted runs: op counts as `count_row` names them.
    response, protocol, form, configuration, k, seed
        As for `held_out_predictions`.
    multipliers : sequence of float
    costs : str or CostTable
    bootstrap : int
        Resamples of the configurations.

    Returns
    -------
    pandas.DataFrame
        For each ``part`` (`PARTS`) and ``multiplier``: ``mean_relative_error``, ``lower``,
        ``upper`` (95 %), ``difference`` to multiplier 1 with its ends, and to the MACs-only law
        ``difference_macs`` with its ends; ``macs_per_op``, the weight that the multiplier gives an
        op of the part on average, in MACs; ``table_low``, ``table_high``, the least and the most
        that any cost table that ships gives it, and ``physical``, whether it lies between;
        ``best``, and the same for all rows of a part, ``best_lower``, ``best_upper``, the 95 %
        range of the best multiplier over the resamples.

    Raises
    ------
    ValueError
        A multiplier below 0, or none; runs without op counts, or without work of a part; as
        `held_out_predictions`.

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
        raise ValueError(f"multipliers: {multipliers[0]:g} to {multipliers[-1]:g} are no weights; "
                         "give finite numbers of at least 0")
    keep = dict(response=response, form=form, configuration=configuration, k=k, seed=seed)
    tos = predictor_values(runs, "tos", costs)
    errors = {"macs": _errors(runs, predictor_values(runs, "macs"), protocol, keep)}
    for part, (column, _) in PARTS.items():
        own = predictor_values(runs, column, costs)
        if not (own > 0).any():
            raise ValueError(f"runs: they hold no {part} work under {costs!r}, so its weight "
                             "changes nothing")
        for m in multipliers:
            errors[part, m] = _errors(runs, tos + (m - 1) * own, protocol, keep)
    n = len(next(iter(errors.values())))
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), bootstrap)
    draws = {key: (times @ e[:, 0]) / (times @ e[:, 1]) for key, e in errors.items()}
    mean = {key: e[:, 0].sum() / e[:, 1].sum() for key, e in errors.items()}
    rows = []
    for part in PARTS:
        weight = _macs_per_op(runs, part, costs)
        shipped = _shipped_weights(runs, part) or [np.nan]
        best = min(multipliers, key=lambda m: mean[part, m])
        chosen = np.array(multipliers)[np.argmin([draws[part, m] for m in multipliers], axis=0)]
        low, high = np.quantile(chosen, [0.025, 0.975], method="nearest")
        for m in multipliers:
            own = draws[part, m]
            row = {"part": part, "multiplier": m, "mean_relative_error": mean[part, m],
                   **_ends("", own)}
            for suffix, other in (("", (part, 1.0)), ("_macs", "macs")):
                row |= {f"difference{suffix}": mean[part, m] - mean[other],
                        **_ends(f"difference{suffix}_", own - draws[other])}
            rows.append(row | {
                "macs_per_op": m * weight, "table_low": min(shipped), "table_high": max(shipped),
                "physical": min(shipped) <= m * weight <= max(shipped), "best": m == best,
                "best_lower": low, "best_upper": high})
    return pd.DataFrame(rows)


def _ends(prefix, draws):
    low, high = np.quantile(draws, [0.025, 0.975])
    return {f"{prefix}lower": low, f"{prefix}upper": high}


def _errors(runs, values, protocol, keep):
    """Return (sum, number) of the relative errors of each configuration held out, shape (G, 2)."""
    runs = runs.reset_index(drop=True).assign(index_varied=values.to_numpy())
    predicted = held_out_predictions(runs, "index_varied", protocol, **keep)
    error = (predicted / runs.loc[predicted.index, keep["response"]] - 1).abs()
    return error.groupby(runs.loc[predicted.index, keep["configuration"]].to_numpy()).agg(
        ["sum", "size"]).to_numpy()


def _macs_per_op(runs, part, costs):
    """Return the mean cost of an op of a part, in MACs of the runs' own formats."""
    column, number = PARTS[part]
    per_op = predictor_values(runs, column, costs).sum() / predictor_values(runs, number).sum()
    mac = predictor_values(runs, "tos_mac", costs).sum() / predictor_values(runs, "macs").sum()
    return float(per_op / mac)


def _shipped_weights(runs, part):
    """Return that cost under each shipped table that prices all the runs' ops one by one."""
    weights = []
    for name in cost_tables().index.difference(["macs", "flops"]):
        try:
            weights.append(_macs_per_op(runs, part, name))
        except ValueError:
            continue
    return weights


def table_sensitivity(runs, protocols=("k-fold",), tables=None, classes=False, **options):
    """Return the held-out error of the TO law under every cost table, MACs first.

    Parameters
    ----------
    runs : pandas.DataFrame or dict of str to DataFrame
        Counted runs, as for `compare_predictors`, which takes the `options`.
    protocols : sequence of str
    tables : sequence of str, optional
        Names of cost tables; all that ship if not given.
    classes : bool
        A coefficient each for linear and all other work, instead of one number.

    Returns
    -------
    pandas.DataFrame
        As `compare_predictors`; ``predictor`` names the table. A table with gaps for the runs' ops
        is a missing row with the ``reason``.

    Raises
    ------
    ValueError
        As `compare_predictors`; an unknown table.

    Examples
    --------
    ``tos.table_sensitivity(runs, ["k-fold", "leave-one-activation-out"], response="time_s")``
    """
    tables = [load_cost_table(name).name for name in (
        cost_tables().index if tables is None else tables)]
    several = isinstance(runs, dict)
    priced = {}
    for dataset, one in (runs.items() if several else [("", runs)]):
        columns, reasons = {}, {}
        for name in tables:
            try:
                total = predictor_values(one, f"tos_{name}")
                columns[f"tos_{name}"] = total
                columns[f"rest_{name}"] = total - predictor_values(one, "tos_linear", name)
            except ValueError as error:
                reasons |= dict.fromkeys((f"tos_{name}", f"rest_{name}"), str(error))
        new = pd.DataFrame(dict.fromkeys(reasons, np.nan) | columns, index=one.index)
        out = pd.concat([one.drop(columns=new.columns.intersection(one.columns)), new], axis=1)
        out.attrs["reasons"] = reasons
        priced[dataset] = out
    laws = {"MACs": "macs", **{
        name: [f"tos_{name}", f"rest_{name}"] if classes else f"tos_{name}" for name in tables}}
    return compare_predictors(priced if several else priced[""], laws, protocols, **options)
