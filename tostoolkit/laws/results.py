"""Tables of results: rounded to what is known, carried over where data lack, put in words."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from .fit import fit_scaling_law

#: Response of a law -> what it is a law of.
QUANTITIES = {"energy_j": "energy", "time_s": "time"}
#: Protocols whose errors are those on runs that a law has not seen, of like size.
HELD_OUT = ("k-fold", "leave-one-architecture-out", "leave-one-benchmark-out")


def response_of(*tables: pd.DataFrame) -> str:
    """Return what laws of some tables of runs can be of: ``energy_j`` where every run has it.

    A law of energy needs joules of all its runs; where one has none, time stands in for all.

    Examples
    --------
    >>> runs = pd.DataFrame({"energy_j": [1.0, 2.0], "time_s": [0.1, 0.2]})
    >>> response_of(runs), response_of(runs, runs.assign(energy_j=[1.0, None]))
    ('energy_j', 'time_s')
    """
    return "energy_j" if all(table["energy_j"].notna().all() for table in tables) else "time_s"


def at_hand(tables: Mapping[str, pd.DataFrame], *names: str) -> dict[str, pd.DataFrame]:
    """Return the tables of those names that are there, in the order of the names.

    >>> at_hand({"b": 2, "a": 1, "c": 3}, "a", "b", "none such")
    {'a': 1, 'b': 2}
    """
    return {name: tables[name] for name in names if name in tables}


def held_out_runs(runs: pd.DataFrame, laws: Mapping[str, str | Sequence[str]],
                  response: str = "energy_j", protocol: str = "k-fold",
                  seed: int = 0) -> pd.DataFrame:
    """Return each tested run with its prediction by each law, fitted without the run's fold.

    Parameters
    ----------
    runs : pandas.DataFrame
    laws : dict of str to str or list of str
        Name of a law -> its terms or formula.
    response, protocol, seed
        As for `compare_predictors`.

    Returns
    -------
    pandas.DataFrame
        ``predictor``, the runs' ``configuration`` and, where they have them, ``repeat`` and
        ``activation``; ``measured``, ``response``, ``predicted``.

    Raises
    ------
    ValueError
        As `fit_scaling_law` and `compare_predictors`.

    Examples
    --------
    >>> runs = pd.DataFrame({"macs": range(1, 21), "configuration": range(20)})
    >>> runs["energy_j"] = 5.0 + 3 * runs.macs
    >>> held_out_runs(runs, {"MACs": "macs"}).predicted.round(6).tolist()[:2]
    [8.0, 11.0]
    """
    runs = runs.reset_index(drop=True)  # labels may repeat where files were joined
    rows = runs[[c for c in ("configuration", "repeat", "activation") if c in runs]]
    tables = {}
    for name, terms in laws.items():
        predicted = fit_scaling_law(runs, terms, response).held_out(protocol, seed=seed)
        tables[name] = rows.assign(measured=runs[response], response=response,
                                   predicted=predicted).dropna(subset="predicted")
    return pd.concat(tables, names=["predictor"]).reset_index("predictor").reset_index(drop=True)


def labelled(errors: pd.DataFrame) -> pd.DataFrame:
    """Return a table of errors with ``data``: data set, device where several, and what is measured.

    Parameters
    ----------
    errors : pandas.DataFrame
        As `compare_predictors` returns it for several data sets, with ``response``.

    Examples
    --------
    >>> errors = pd.DataFrame({"dataset": ["a", "b", "b"], "device": ["x", "x", "y"],
    ...                        "response": ["time_s", "energy_j", "energy_j"]})
    >>> labelled(errors).data.tolist()
    ['a (time)', 'b, x (energy)', 'b, y (energy)']
    """
    several = errors.groupby("dataset").device.transform("nunique") > 1
    device = (", " + errors.device.astype(str)).where(several, "")
    return errors.assign(
        data=errors.dataset + device + " (" + errors.response.map(QUANTITIES) + ")")


def significant(table: pd.DataFrame, digits: int = 4) -> pd.DataFrame:
    """Return a table with its floats rounded to significant digits; integers stay as they are.

    An error of 1,000 runs is known to two or three digits. More would differ between processors,
    which round the last digits differently.

    Parameters
    ----------
    table : pandas.DataFrame
    digits : int

    Examples
    --------
    >>> significant(pd.DataFrame({"n": [123456], "error": [0.1234567]})).iloc[0].tolist()
    [123456.0, 0.1235]
    """
    table = table.infer_objects()  # a table that was turned holds its numbers as objects
    floats = table.select_dtypes("float").columns
    return table.assign(**{name: table[name].map(lambda x: float(f"{x:.{digits}g}"),
                                                 na_action="ignore") for name in floats})


def write_numbers(path: str | Path, tables: Mapping[str, pd.DataFrame]) -> None:
    """Write tables into one JSON file, each a list of rows, rounded by `significant`.

    Parameters
    ----------
    path : str or Path
    tables : mapping of str to DataFrame

    Examples
    --------
    ``tos.results.write_numbers("numbers.json", {"errors": errors})``
    """
    rows = {name: json.loads(significant(table).to_json(orient="records", double_precision=15))
            for name, table in tables.items()}
    Path(path).write_text(json.dumps(rows, indent=1), encoding="utf-8")


def read_numbers(path: str | Path) -> dict[str, pd.DataFrame]:
    """Return name -> table of what `write_numbers` wrote.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    """
    rows = json.loads(Path(path).read_text(encoding="utf-8"))
    return {name: pd.DataFrame(table) for name, table in rows.items()}


def mean_of_repeats(runs: pd.DataFrame, columns: Sequence[str] = ("energy_j", "time_s"),
                    configuration: str = "configuration") -> pd.DataFrame:
    """Return one row a configuration: its first run, with the means of its runs in `columns`.

    Examples
    --------
    >>> runs = pd.DataFrame({"configuration": list("aab"), "energy_j": [1.0, 3, 5], "time_s": 1})
    >>> mean_of_repeats(runs).energy_j.tolist()
    [2.0, 5.0]
    """
    means = runs.groupby(configuration)[list(columns)].transform("mean")
    return runs.assign(**means).drop_duplicates(configuration, ignore_index=True)


def carried_over(table: pd.DataFrame, before: pd.DataFrame, lacking: Iterable[str],
                 column: str = "dataset") -> pd.DataFrame:
    """Return a table of results in which the rows of what is lacking are those of an earlier one.

    Nothing is computed: a carried row is the earlier row, and says so. Rows come in the order in
    which the earlier table names their data, so that a figure of them looks the same.

    Parameters
    ----------
    table : pandas.DataFrame
        What was computed now; `column` names the data of a row.
    before : pandas.DataFrame
        The same table as it was written when the data were at hand.
    lacking : sequence of str
        Values of `column` whose data are not at hand.
    column : str

    Returns
    -------
    pandas.DataFrame
        With the column ``carried``: True where a row is an earlier one.

    Raises
    ------
    ValueError
        `before` has no row of what is lacking, or `table` has one.

    Examples
    --------
    >>> now = pd.DataFrame({"dataset": ["ours"], "error": [0.2]})
    >>> before = pd.DataFrame({"dataset": ["theirs", "ours"], "error": [0.1, 0.3]})
    >>> carried_over(now, before, ["theirs"]).to_numpy().tolist()
    [['theirs', 0.1, True], ['ours', 0.2, False]]
    """
    lacking = list(lacking)
    if column not in table:
        raise ValueError(f"column: the table has no {column!r}; name the column that says of which "
                         f"data a row is, of {', '.join(map(str, table))}")
    for name in lacking:
        if name in set(table[column]):
            raise ValueError(f"lacking: {name!r} has rows in the table, so it is at hand")
        if column not in before or name not in set(before[column]):
            raise ValueError(f"lacking: {name!r} has no rows in the earlier table, so there is "
                             "nothing to carry over; fetch its data: python -m tostoolkit data")
    old = before[before[column].isin(lacking)].reindex(columns=table.columns)
    if "carried" not in table:  # else what was carried before still is
        table = table.assign(carried=False)
    parts = [part for part in (table, old.assign(carried=True)) if len(part)]
    every = pd.concat(parts, ignore_index=True) if parts else table
    order = {name: i for i, name in enumerate(dict.fromkeys([*before[column], *table[column]]))}
    return every.sort_values(column, key=lambda c: c.map(order), kind="stable",
                             ignore_index=True) if lacking else every


def verdicts(errors: pd.DataFrame) -> list[str]:
    """Return a sentence for each data set and device: is one TO number better than MACs?

    Better, or worse, is said where the 95 % interval of the difference leaves 0 out; and the same
    to half a point, where the difference is less than that.

    Parameters
    ----------
    errors : pandas.DataFrame
        As `compare_predictors` returns it for several data sets, MACs first, with the laws
        ``MACs`` and ``TOs``, one protocol each; ``response``; and, where it is known, ``carried``.

    Examples
    --------
    >>> errors = pd.DataFrame({
    ...     "dataset": "ours", "device": "CPU", "response": "time_s", "predictor": ["MACs", "TOs"],
    ...     "mean_relative_error": [0.3, 0.2], "difference": [0.0, -0.1],
    ...     "difference_lower": [0.0, -0.15], "difference_upper": [0.0, -0.05]})
    >>> verdicts(errors)[0]
    'ours, CPU (time_s): held-out error of MACs 30.0%, of one TO number 20.0%, better \
(-10.00 points [-15.00, -5.00]); best: TOs, 20.0%.'
    """
    sentences = []
    for (dataset, device), table in errors.groupby(["dataset", "device"], sort=False,
                                                    dropna=False):
        table = table.set_index("predictor").dropna(subset="mean_relative_error")
        if not {"MACs", "TOs"} <= set(table.index):
            sentences.append(f"{dataset}, {device}: no law of MACs, or of TOs, could be fitted.")
            continue
        tos, best = table.loc["TOs"], table.mean_relative_error.idxmin()
        gap, low, high = 100 * tos[["difference", "difference_lower", "difference_upper"]]
        verdict = ("the same to half a point" if abs(gap) < 0.5 else "better" if high < 0
                   else "worse" if low > 0 else "neither better nor worse")
        carried = ", carried over" if tos.get("carried", False) else ""
        sentences.append(
            f"{dataset}, {device} ({tos.response}{carried}): held-out error of MACs "
            f"{table.mean_relative_error['MACs']:.1%}, of one TO number "
            f"{tos.mean_relative_error:.1%}, {verdict} ({gap:+.2f} points [{low:+.2f}, "
            f"{high:+.2f}]); best: {best}, {table.mean_relative_error[best]:.1%}.")
    return sentences


def pair_verdicts(effects: pd.DataFrame, quantity: str) -> list[str]:
    """Return a sentence for each row of effects of matched pairs.

    Parameters
    ----------
    effects : pandas.DataFrame
        As `pair_effects` returns it for several data sets; the levels that are wanted.
    quantity : str
        What was measured, ``energy`` or ``time``.

    Examples
    --------
    >>> effects = pd.DataFrame({
    ...     "dataset": ["ours"], "factor": ["activation"], "baseline": ["relu"], "effect": [0.08],
    ...     "lower": [0.05], "upper": [0.11], "n_pairs": [16], "n_positive": [14],
    ...     "predicted_effect": [0.001], "law": ["TOs"]})
    >>> pair_verdicts(effects, "time")[0]
    'ours: another activation than relu at equal MACs changes the time by +8.0% [+5.0%, +11.0%], \
up in 14 of 16 pairs; the law of TOs predicts +0.1%.'
    """
    sentences = []
    for row in effects.itertuples():
        where = ", ".join([row.dataset, *([row.phase] if hasattr(row, "phase") else [])])
        said = (f"; the law of {row.law} predicts {row.predicted_effect:+.1%}"
                if hasattr(row, "law") else "")
        sentences.append(
            f"{where}: another {row.factor} than {row.baseline} at equal MACs changes the "
            f"{quantity} by {row.effect:+.1%} [{row.lower:+.1%}, {row.upper:+.1%}], up in "
            f"{row.n_positive} of {row.n_pairs} pairs{said}.")
    return sentences


def weight_verdicts(weights: pd.DataFrame) -> list[str]:
    """Return a sentence for each best weight: how far from that of any cost table it lies.

    Parameters
    ----------
    weights : pandas.DataFrame
        The rows of `cost_sensitivity` of several data sets that are ``best``.

    Examples
    --------
    >>> weights = pd.DataFrame({
    ...     "dataset": ["ours"], "part": ["elementary"], "macs_per_op": [53.9],
    ...     "mean_relative_error": [0.206], "table_low": [1.3], "table_high": [38.0]})
    >>> weight_verdicts(weights)[0]
    'ours: one TO number does best with elementary ops at 53.9 MACs (20.6%); tables say 1.3 to 38.'
    """
    return [f"{row.dataset}: one TO number does best with {row.part} ops at {row.macs_per_op:.3g} "
            f"MACs ({row.mean_relative_error:.1%}); tables say {row.table_low:.2g} to "
            f"{row.table_high:.2g}." for row in weights.itertuples()]
