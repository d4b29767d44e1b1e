"""The paper's style: sizes, colours, and how figures are made and saved in it."""

from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from importlib.resources import files
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.style import context

ONE_COLUMN, TWO_COLUMNS = 3.5, 7.16  # inches, IEEE Transactions

#: Every activation keeps its colour and marker in every figure (Okabe-Ito colours repeated over
#: marker shapes, so that no two share both).
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
_ACTIVATIONS = (
    "linear", "relu", "tanh", "sigmoid", "gelu", "silu", "softmax", "elu", "selu", "softplus",
    "softsign", "exponential", "mish", "leaky_relu", "hard_sigmoid", "relu6", "hard_silu",
    "log_softmax", "celu", "squareplus",
)
ACTIVATION_STYLE = {
    name: (OKABE_ITO[i % 7], "osD^vPX*"[i // 7]) for i, name in enumerate(_ACTIVATIONS)}
WORK_COLOURS = {"linear": "#0072B2", "elementary": "#D55E00", "comparison": "#E69F00"}

_STYLES = ContextVar("styles", default=(str(files(__package__) / "paper.mplstyle"),))


@contextmanager
def styled(*styles):
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


def new_figure(width, height, rows=1, columns=1, **kwargs):
    """Return a figure of that many inches, and its axes as an array of two dimensions."""
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, squeeze=False, **kwargs)


def caption(function, table=None, data="dataset") -> str:
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
def save(figure, stem) -> list[Path]:
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
