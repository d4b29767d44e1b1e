"""Counted rows -> columns of predictors: counts times costs, for many models at once."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from .cost_table import CostTable, load_cost_table
from .predictors import PREDICTORS, NoCost, find_predictor, op_counts

#: Cost table of what nobody says the table of.
DEFAULT = "cmos"


def predictor_values(
    rows: pd.DataFrame, name: str, costs: str | Path | CostTable = "cmos"
) -> pd.Series:
    """Return the values of one predictor over counted rows.

    >>> rows = pd.DataFrame([{"mac float32": 10, "exp float32": 3}])
    >>> predictor_values(rows, "ops_elementary").tolist()
    [3]
    """
    return find_predictor(name).values(rows, load_cost_table(costs)).rename(name)


def price(rows: pd.DataFrame, costs: str | Path | CostTable = "cmos",
          names: Sequence[str] | None = None) -> pd.DataFrame:
    """Return counted rows with a column for each predictor, and the cost table's name in ``costs``.

    What the rows hold of an earlier price is computed anew, so that all of it is by one table.

    Parameters
    ----------
    rows : pandas.DataFrame
        Columns as `count_row` gives them, missing counts being 0.
    costs : str, Path or CostTable
        For the predictors that say "the cost table".
    names : sequence of str, optional
        The predictors that are wanted, each an error where it cannot be computed. If not given,
        all of `PREDICTORS`, and one that cannot be computed in a row is missing there (NaN).
        ``time_s`` is measured, and stands where the rows have it.

    Returns
    -------
    pandas.DataFrame
        The rows, with those columns, in the units that `predictors` tells.

    Raises
    ------
    ValueError
        Rows without op counts, or with a column ``costs`` of something else; an unknown cost
        table; a predictor of `names` that is unknown or cannot be computed.

    Warns
    -----
    UserWarning
        Without `names`: `costs` lacks an op of the rows.

    Examples
    --------
    >>> rows = pd.DataFrame([{"mac float32": 10, "exp float32": 3}, {"mac float32": 4}])
    >>> price(rows, "flops", ["macs", "tos"])[["macs", "tos", "costs"]].to_numpy().tolist()
    [[10.0, 23.0, 'flops'], [4.0, 8.0, 'flops']]
    >>> price(rows)["tos_horowitz45"].tolist()
    [nan, 18.4]
    """
    table = load_cost_table(costs)
    if "costs" in rows and not all(isinstance(v, str) for v in rows["costs"].dropna()):
        raise ValueError("rows: their column 'costs' does not name cost tables, and price() writes "
                         "the table's name there; rename it")
    op_counts(rows)  # an error where nothing was counted
    named = PREDICTORS if names is None else dict.fromkeys(names)
    stale = [name for name, p in PREDICTORS.items() if p.by_table and name in rows]
    columns, gap = {}, None
    for name in dict.fromkeys([*named, *stale]):
        try:
            columns[name] = predictor_values(rows, name, table)
        except ValueError as error:
            if names is not None and name in named:
                raise
            if not PREDICTORS[name].measured:
                columns[name] = error.values if isinstance(error, NoCost) else float("nan")
            if gap is None and PREDICTORS[name].by_table:
                gap = error
    if names is None and gap is not None:
        warnings.warn(f"{gap}; rows with such an op have no price", stacklevel=2)
    return rows.assign(**columns, costs=table.name)


def priced_by(rows: pd.DataFrame) -> str | None:
    """Return the name of the cost table that rows were priced by; None where they do not say.

    One table for all rows, else it is an error.

    >>> rows = pd.DataFrame([{"mac float32": 10}])
    >>> priced_by(rows), priced_by(price(rows, "flops"))
    (None, 'flops')
    """
    if "costs" not in rows:
        return None
    tables = rows["costs"].unique()
    if len(tables) != 1:
        raise ValueError("costs: the rows are priced by "
                         + ", ".join("no table" if pd.isna(t) else repr(t) for t in tables)
                         + "; price all of them by one: tos.price(rows, 'cmos')")
    return None if pd.isna(tables[0]) else tables[0]


def named_columns(rows: pd.DataFrame, names: Sequence[str],
                  costs: str | CostTable | None = None) -> tuple[pd.DataFrame, str | None]:
    """Return the columns of those names, as they stand or as the rows' counts tell them.

    And the name of the cost table by which those were priced that depend on one: `costs`, when left
    out that of the rows, as `price` writes it, else ``cmos``; None where columns stand that depend
    on a table and nobody says which. Rows priced by another table than `costs` are an error.

    >>> rows = pd.DataFrame([{"mac float32": 10, "width": 4}])
    >>> columns, costs = named_columns(rows, ["width", "macs", "tos"], "flops")
    >>> columns.iloc[0].tolist(), costs
    ([4.0, 10.0, 20.0], 'flops')
    """
    standing = [name for name in names
                if name in rows and name in PREDICTORS and PREDICTORS[name].by_table]
    table = costs.name if isinstance(costs, CostTable) else str(costs) if costs else None
    said = priced_by(rows) if standing else None
    if said is not None and not isinstance(said, str):
        raise ValueError(f"costs: this column names the cost table of the runs, and {said!r} is "
                         "not the name of one; rename the column")
    if said and table and said not in (table, Path(table).stem):  # of a file, its stem
        raise ValueError(f"costs: {table!r}, but {standing[0]!r} of the runs was priced by "
                         f"{said!r}; use tos.price(runs, {table!r})")
    table = table or said or (None if standing else DEFAULT)
    prices = costs if isinstance(costs, CostTable) else table or DEFAULT
    columns = {}
    for name in names:
        if name in rows:
            columns[name] = _numbers(rows[name])
        if name not in rows or (name in PREDICTORS and columns[name].isna().any()):
            counted = _counted(rows, name, prices)  # a gap of the table is an error that tells it
            columns.setdefault(name, counted)
    return pd.DataFrame(columns, index=rows.index, dtype=float), table


def _numbers(column):
    try:
        return pd.to_numeric(column)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{column.name}: a term is a number, and {error}; take it for a factor, "
                         "or give its numbers") from None


def _counted(rows, name, costs):
    table = load_cost_table(costs)  # what is wrong with it is no matter of the rows
    try:
        return find_predictor(name).values(rows, table)
    except NoCost:
        raise
    except ValueError as error:
        if name in rows:  # it stands there, missing for another reason than its price
            return None
        raise ValueError(f"runs: no column {name!r}, and {error}; the columns are "
                         f"{', '.join(map(str, rows.columns))}") from None
