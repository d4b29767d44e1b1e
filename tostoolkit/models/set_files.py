"""Model sets as CSV files, among them the default sets, which ship.

A comment line says where the rows come from (``# origin:``); the columns are ``configuration``, the
factors and the ``family``, which in the files that ship is a comment too (``# family:``). Those
ship because to draw a set takes up to minutes, and because ``small`` ones were measured: they stay,
however sets are drawn.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from io import StringIO
from itertools import takewhile
from pathlib import Path

import pandas as pd

from .design import label


def write_model_set(models: pd.DataFrame, path: str | Path, origin: str,
                    force: bool = False) -> None:
    """Write a model set into a CSV file.

    Parameters
    ----------
    models : pandas.DataFrame
    path : str or Path
    origin : str
        Where the rows come from, in one line.
    force : bool
        Write over a file that is there.

    Raises
    ------
    FileExistsError
        There is such a file, and `force` is not given.
    ValueError
        `models` do not say which family they are of.

    Examples
    --------
    ``write_model_set(tos.feed_forward(n=12), "models.csv", "12 by hand")``
    """
    if "family" not in models:
        raise ValueError("models: they do not say which family they are of; name it in a column "
                         "'family', as models.assign(family='feed_forward')")
    text = f"# origin: {' '.join(origin.split())}\n" + models.to_csv(
        index=False, lineterminator="\n")
    with Path(path).open("w" if force else "x", encoding="utf-8", newline="") as file:
        file.write(text)


def read_model_set(path: str | Path) -> pd.DataFrame:
    """Return the model set of a file that `write_model_set` wrote, equal to what was written.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file does not hold a model set, or is damaged; the message names it.

    Examples
    --------
    >>> read_model_set(default_path("transformer", "small")).family.unique().tolist()
    ['transformer']
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path: there is no model set {str(path)!r}")
    try:
        text = path.read_text(encoding="utf-8")
        head = [*takewhile(lambda line: line.startswith("# "), text.splitlines(keepends=True))]
        about = dict(line[2:].strip().partition(": ")[::2] for line in head)
        models = "origin" in about and pd.read_csv(
            StringIO(text[len("".join(head)):]), keep_default_na=False)
    except ValueError as error:  # pandas' parser errors, and bytes that are not UTF-8
        raise _damaged(path, str(error).splitlines()[0]) from None
    if models is False:
        raise _damaged(path, "it does not begin with '# origin: ...'")
    if models.columns[0] != "configuration" or not len(models):
        raise _damaged(path, "it holds no configurations")
    if "family" not in models:
        if "family" not in about:
            raise _damaged(path, "it has no column 'family'")
        models["family"] = about["family"]
    models = models.astype({"configuration": object})
    named = [part.partition("=")[0] for part in str(models.configuration[0]).split()]
    if not {*named} <= {*models} or not models.configuration.is_unique or list(
            models.configuration) != list(label(models, named)):
        raise _damaged(path, "its configurations are not what its factors say")
    return models


def default_path(family: str, size: str) -> Path:
    """Return the place of the file of a default set."""
    return Path(str(files(__package__) / "default_sets" / f"{family}_{size}.csv"))


def default_set(family: str, size: str, levels: Mapping[str, Sequence], n: int
                ) -> pd.DataFrame:
    """Return a default set from its file, which must keep to the `levels` and have `n` rows."""
    path = default_path(family, size)
    models = read_model_set(path)
    if [*models] != ["configuration", *levels, "family"] or {*models.family} != {family}:
        raise _damaged(path, f"it is not a set of {family} models by {', '.join(levels)}")
    for name, values in levels.items():
        known = models[name].isin(values)
        if not known.all():
            raise _damaged(path, f"{name} is {models[name][~known].iloc[0]!r}")
    if len(models) != n:
        raise _damaged(path, f"it holds {len(models)} configurations instead of {n}")
    return models


def _damaged(path, what):
    return ValueError(f"{path.name}: the file is damaged: {what}; restore it from a copy, or draw "
                      "it again with python -m tostoolkit draw")
