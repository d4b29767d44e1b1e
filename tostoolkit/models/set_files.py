"""Model sets as CSV files, among them the default sets, which ship.

Two comment lines say what a file holds (``# family:``, ``# origin:``); the columns are
``configuration`` and the factors. The default sets ship because to draw one takes up to minutes,
and because ``small`` ones were measured: they stay, however sets are drawn.
"""

from importlib.resources import files
from pathlib import Path

import pandas as pd

from .design import factors_of, label


def write_model_set(models, path, origin, force=False):
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
        `models` have lost their family.

    Examples
    --------
    ``write_model_set(tos.feed_forward(n=12), "models.csv", "12 by hand")``
    """
    if "family" not in models.attrs:
        raise ValueError("models: they do not say which family they are of; name it in "
                         "models.attrs['family']")
    head = f"# family: {models.attrs['family']}\n# origin: {' '.join(origin.split())}\n"
    text = head + models.to_csv(index=False, lineterminator="\n")
    with Path(path).open("w" if force else "x", encoding="utf-8", newline="") as file:
        file.write(text)


def read_model_set(path) -> pd.DataFrame:
    """Return the model set of a file that `write_model_set` wrote, equal to what was written.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is no model set, or is damaged; the message names it.

    Examples
    --------
    >>> read_model_set(default_path("transformer", "small")).attrs["family"]
    'transformer'
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path: there is no model set {str(path)!r}")
    try:
        with path.open(encoding="utf-8") as file:
            about = [file.readline().partition(": ") for _ in range(2)]
            models = pd.read_csv(file, keep_default_na=False)
    except ValueError as error:  # pandas' parser errors, and bytes that are no UTF-8
        raise _damaged(path, str(error).splitlines()[0]) from None
    if [name for name, _, _ in about] != ["# family", "# origin"]:
        raise _damaged(path, "it does not begin with '# family: ...' and '# origin: ...'")
    if models.columns[0] != "configuration" or not len(models):
        raise _damaged(path, "it holds no configurations")
    models = models.astype({"configuration": object})
    models.attrs["family"] = about[0][2].strip()
    named = [part.partition("=")[0] for part in str(models.configuration[0]).split()]
    if not {*named} <= {*factors_of(models)} or not models.configuration.is_unique or list(
            models.configuration) != list(label(models, named)):
        raise _damaged(path, "its configurations are not what its factors say")
    return models


def default_path(family, size) -> Path:
    """Return the place of the file of a default set."""
    return Path(str(files(__package__) / "default_sets" / f"{family}_{size}.csv"))


def default_set(family, size, levels, n) -> pd.DataFrame:
    """Return a default set from its file.

    Parameters
    ----------
    family, size : str
    levels : mapping
        Factor -> levels, those that the file must keep to.
    n : int
        Rows that the file must have.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_model_set`; also a row with another level.
    """
    path = default_path(family, size)
    models = read_model_set(path)
    if models.attrs["family"] != family or factors_of(models) != list(levels):
        raise _damaged(path, f"it is no set of {family} models by {', '.join(levels)}")
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
