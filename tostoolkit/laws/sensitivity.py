"""How conclusions depend on the cost table: which weight would non-linear work need?"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..costs.cost_table import CostTable, cost_tables, load_cost_table
from ..costs.pricing import predictor_values
from ..statistics import ENDS, percentiles, resampled_means
from .comparison import by_device, error_sums
from .prepare import check_response, prepare
from .validation import folds, held_out

#: Part of the work whose weight is varied -> (its predictor, the number of its ops).
PARTS = {"elementary": ("tos_elementary", "ops_elementary"),
         "elementwise": ("tos_elementwise", "ops_elementwise")}
_COLUMNS = [
    "part", "multiplier", "mean_relative_error", "lower", "upper", "difference",
    "difference_lower", "difference_upper", "difference_macs", "difference_macs_lower",
    "difference_macs_upper", "macs_per_op", "table_low", "table_high", "physical", "best",
    "best_lower", "best_upper"]
MULTIPLIERS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4)


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
            cost_sensitivity(part, response, protocol, form, costs, **options).assign(
                dataset=dataset, device=device)[["dataset", "device", *_COLUMNS]]
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
    return pd.DataFrame(rows, columns=_COLUMNS)


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
