"""The paper's style: sizes, colours, and how figures are made and saved in it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from importlib.resources import files
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.style import context

from ..counting.rules.activations import ACTIVATIONS
from ..op_kinds import COMPARISON, ELEMENTARY, LINEAR

ONE_COLUMN, TWO_COLUMNS = 3.5, 7.16  # inches, IEEE Transactions

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
#: Class of work -> colour.
WORK_COLOURS = {LINEAR: "#0072B2", ELEMENTARY: "#D55E00", COMPARISON: "#E69F00"}
#: Pairs of colour and marker, no two alike.
_LOOKS = tuple((colour, marker) for marker in "osD^vPX*" for colour in OKABE_ITO)
#: Every activation keeps its colour and marker in every figure.
ACTIVATION_LOOKS = dict(zip(ACTIVATIONS, _LOOKS, strict=False))

_STYLES = ContextVar("styles", default=(str(files(__package__) / "paper.mplstyle"),))


@contextmanager
def styled(*styles: str | dict) -> Iterator[None]:
    """Draw and save in styles of yours, over the paper's: names, files or dicts of ``rcParams``.

    Examples
    --------
    >>> with styled({"font.size": 12}):
    ...     figure, axes = new_figure(3, 2)
    """
    token = _STYLES.set((*_STYLES.get(), *styles))
    try:
        yield
    finally:
        _STYLES.reset(token)


def in_style(function):
    """Decorate a function that draws or saves, so that it does in the paper's style."""
    @wraps(function)
    def in_context(*args, **kwargs):
        with context(list(_STYLES.get())):
            return function(*args, **kwargs)
    return in_context


def looks(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the colour and marker of each name: an activation's own, others' of what is left.

    Examples
    --------
    >>> looks(["relu", "mine"])
    {'relu': ('#E69F00', 'o'), 'mine': ('#0072B2', 'o')}
    """
    names = list(dict.fromkeys(names))
    known = {name: ACTIVATION_LOOKS[name] for name in names if name in ACTIVATION_LOOKS}
    others = cycle(look for look in _LOOKS if look not in known.values())
    return {name: known[name] if name in known else next(others) for name in names}


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1,
               **kwargs) -> tuple[Figure, np.ndarray]:
    """Return a figure of that many inches, and its axes as an array of two dimensions."""
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, squeeze=False, **kwargs)


def caption(function: Callable, table: pd.DataFrame | None = None, data: str = "dataset") -> str:
    """Return a figure's caption: the first line of its function, and what of it is carried over.

    Parameters
    ----------
    function : callable
        Of `figures`.
    table : pandas.DataFrame, optional
        What is drawn; where it has a column ``carried``, the rows that are True are an earlier
        run's (`tostoolkit.laws.results.carried_over`).
    data : str
        Column that names the data of a row.

    Examples
    --------
    >>> from tostoolkit.figures.paper import heldout_error
    >>> caption(heldout_error)
    'Mean relative error on data held out, by predictor and protocol.'
    """
    text = function.__doc__.splitlines()[0]
    carried = [] if table is None or "carried" not in table else table[data][table.carried].unique()
    said = f" Carried over from an earlier run: {', '.join(carried)}." if len(carried) else ""
    return text + said


@in_style
def save(figure: Figure, stem: str | Path) -> list[Path]:
    """Write `figure` as ``<stem>.pdf`` and ``<stem>.png`` and return the two paths.

    Neither holds a date, so that on one machine the same data give the same bytes.

    Raises
    ------
    FileNotFoundError
        The folder does not exist.
    """
    stem = Path(stem)
    if not stem.parent.is_dir():
        raise FileNotFoundError(f"stem: folder {str(stem.parent)!r} does not exist; create it")
    paths = [stem.with_suffix(".pdf"), stem.with_suffix(".png")]
    figure.savefig(paths[0], metadata={"CreationDate": None})
    figure.savefig(paths[1], metadata={"Software": None})
    return paths
