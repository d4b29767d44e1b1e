"""Cost tables: what one op costs, by op kind and number format, with the source of every number.

A table is a CSV file. Two comment lines name it (``# description:``, ``# unit:``); the columns are
``op, dtype, cost, status, source, locator, derivation``. The dtype ``*`` stands for every format.
``status`` is ``derived`` (computed by a stated rule), ``published``, ``estimated`` or
``unverified`` (published, but not re-read by us).
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from os import PathLike
from pathlib import Path

import pandas as pd

from ..op_kinds import DTYPES, OP_KINDS

COLUMNS = ["op", "dtype", "cost", "status", "source", "locator", "derivation"]
STATUSES = ("derived", "published", "estimated", "unverified")


@dataclass(frozen=True)
class CostTable:
    """Costs by ``(dtype, op)`` and where they come from.

    Attributes
    ----------
    name, description, unit : str
    rows : pandas.DataFrame
        Indexed by ``(dtype, op)``: cost, status, source, locator, derivation.
    """

    name: str
    description: str
    unit: str
    rows: pd.DataFrame

    @property
    def costs(self) -> pd.Series:
        """Cost by ``(dtype, op)``, in `unit`."""
        return self.rows["cost"]

    def __repr__(self):
        return (f"CostTable({self.name!r}: {self.description}; unit: {self.unit}; "
                f"{len(self.rows)} costs)")

    def _repr_html_(self):
        wide = self.costs.unstack("dtype").reindex([op for op in OP_KINDS if op in self.ops])
        return f"<p><b>{self.name}</b>: {self.description} ({self.unit})</p>{wide.to_html()}"

    @property
    def ops(self) -> list[str]:
        """The op kinds that the table prices, in any format."""
        return list(dict.fromkeys(self.rows.index.get_level_values("op")))


def cost_tables() -> pd.DataFrame:
    """Return the names of the cost tables that ship, with unit and description.

    Examples
    --------
    >>> cost_tables().loc["macs", "unit"]
    'MACs'
    """
    tables = [_load(path) for path in shipped().values()]
    return pd.DataFrame(
        [(t.name, t.unit, len(t.rows), t.description) for t in tables],
        columns=["name", "unit", "costs", "description"],
    ).set_index("name")


def load_cost_table(name: str | Path | CostTable) -> CostTable:
    """Return a cost table by its name, or from a CSV file of yours.

    Parameters
    ----------
    name : str, Path or CostTable
        A name that `cost_tables` lists, or the path of a CSV file with the columns above. A
        CostTable is returned as it is.

    Raises
    ------
    TypeError
        `name` is none of these.
    ValueError
        An unknown name; a file whose columns, op kinds, dtypes or costs are not valid.

    Examples
    --------
    >>> float(load_cost_table("flops").costs["float32", "mac"])
    2.0
    """
    if isinstance(name, CostTable):
        return name
    if not isinstance(name, (str, PathLike)):
        raise TypeError(f"costs: {name!r} is no cost table; give the name of one, costs='cmos', "
                        "or the path of a CSV file")
    ours = shipped()
    if str(name) in ours:
        return _load(ours[str(name)])
    path = Path(name)
    if path.suffix == ".csv" and path.is_file():
        return _load(path)
    raise ValueError(
        f"costs: no cost table {str(name)!r}{did_you_mean(str(name), ours)}; there are "
        f"{', '.join(ours)}, or give the path of a CSV file with the columns "
        f"{', '.join(COLUMNS)}")


def shipped() -> dict:
    """Return the name of each cost table that ships -> its file, which is not read."""
    folder = files(__package__) / "tables"
    return {f.name[:-4]: f for f in sorted(folder.iterdir(), key=lambda f: f.name)
            if f.name.endswith(".csv")}


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return a hint at the word meant, for an error message; empty where none is close."""
    close = get_close_matches(word, words, 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


@cache
def _load(path):
    try:
        text = path.read_text(encoding="utf-8-sig")  # Excel marks its UTF-8 files
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name}: it is not UTF-8 text (byte {error.start}); save it as CSV "
                         "in UTF-8") from None
    about = dict(line.lstrip("# ").strip().split(": ", 1) for line in text.splitlines()[:2]
                 if line.startswith("#") and ": " in line)
    rows = pd.read_csv(io.StringIO(text), comment="#", keep_default_na=False)
    _check(path.name, about, rows)
    every = rows[rows.dtype == "*"]
    rows = pd.concat([rows[rows.dtype != "*"], *(every.assign(dtype=d) for d in DTYPES)])
    rows = rows.drop_duplicates(["dtype", "op"])  # a format's own row goes before "*"
    rows = rows.astype({"cost": float}).set_index(["dtype", "op"]).sort_index()
    return CostTable(path.name[:-4], about["description"], about["unit"], rows)


def _check(name, about, rows):
    """Raise ValueError for a table that is not valid, naming file, row and fix."""
    if set(about) < {"description", "unit"}:
        raise ValueError(f"{name}: begin it with '# description: ...' and '# unit: ...'")
    if list(rows.columns) != COLUMNS:
        raise ValueError(f"{name}: columns are {list(rows.columns)}; they must be {COLUMNS}")
    for column, known in (("op", OP_KINDS), ("dtype", (*DTYPES, "*")), ("status", STATUSES)):
        for value in rows[column]:
            if value not in known:
                raise ValueError(
                    f"{name}: unknown {column} {value!r}{did_you_mean(str(value), known)}; "
                    f"known are {', '.join(known)}")
    costs = pd.to_numeric(rows.cost, errors="coerce")
    if not (costs >= 0).all():
        bad = rows[~(costs >= 0)].iloc[0]
        raise ValueError(f"{name}: cost of {bad.op} in {bad.dtype} is {bad.cost!r}; "
                         "it must be a number of at least 0")
    if rows.duplicated(["op", "dtype"]).any():
        twice = rows[rows.duplicated(["op", "dtype"])].iloc[0]
        raise ValueError(f"{name}: two rows for {twice.op} in {twice.dtype}; keep one")
