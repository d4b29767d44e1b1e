"""Published and one's own measured-energy data, as tidy runs joined with what is counted.

`load` returns a published set, `from_csv` your own file. Each set is one module and one entry of
`DATASETS`: how it is loaded, how its models are rebuilt, how many batches of which work make its
energy (``energy_of`` says it in words), and where its files were published. A new one is a module
and an entry. Loading reads local copies alone (`files` says where they are looked for); `fetch`
gets them.

BUTTER-E (Tripp et al. 2024, 63,527 runs of feed-forward networks on watt-meters) has no loader,
since its files are not at hand to test one. Bring it with `from_csv`: its
``runs_with_standardized_energy.csv`` (https://data.openei.org/submissions/5991) holds a row a run
with ``dataset``, ``shape``, ``size``, ``depth``, ``batch_size``, ``optimizer``, ``is_gpu``,
``node``, ``energy`` (its readme gives no unit; watts integrated over seconds are joules),
``run_time`` in seconds, and ``filter``, true where a run is to be left out. The widths of a network
follow from ``shape``, ``size`` and ``depth``; ``widths`` in its ``summary_by_epoch`` lists them.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .cunningham import DATASET as _CUNNINGHAM
from .dataset import Dataset, count_dataset, join_counts, measured, read_counts
from .ec_nas import DATASET as _EC_NAS
from .ec_nas import ec_nas_model
from .files import NotAtHandError
from .files import fetch as _fetch
from .gaissa import DATASET as _GAISSA
from .gaissa import gaissa_model
from .mlperf import DATASET as _MLPERF
from .mlperf import as_int8, mlperf_tiny_model
from .own_runs import from_csv

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client

    Counts = str | Path | pd.DataFrame | None

__all__ = [
    "DATASETS", "Dataset", "NotAtHandError", "as_int8", "count", "ec_nas_model", "fetch",
    "from_csv", "gaissa_model", "load", "load_at_hand", "mlperf_tiny_model", "titles",
]

#: Name -> how it is loaded, rebuilt and counted.
DATASETS: Mapping[str, Dataset] = {
    "ec_nas_bench": _EC_NAS,
    "cunningham2025": _CUNNINGHAM,
    "gaissa_seaa2023": _GAISSA,
    "mlperf_tiny": _MLPERF,
}


def load(name: str | Dataset, path: str | Path | None = None, counts: "Counts" = None,
         workers: int | None = None, client: "Client | None" = None) -> "pd.DataFrame":
    """Return a data set's measured runs with everything that is counted of what was measured.

    Parameters
    ----------
    name : str or Dataset
        A key of `DATASETS`, or a data set of your own.
    path : str or Path, optional
        A file, or a folder that holds the set's files at any depth. When left out, the folder that
        ``TOSTOOLKIT_DATA`` names, then ``data/external`` here or in the folder above.
    counts : str, Path or pandas.DataFrame, optional
        What `count` returned, or the CSV file it was written to, which saves the counting. Its
        first model is counted again, and must agree.
    workers : int, optional
        Processes to count in, where there are more than 200 models; 0 counts here.
    client : dask.distributed.Client, optional
        Counts on its workers.

    Returns
    -------
    pandas.DataFrame
        One row a measurement: the columns of the set's own loader (``DATASETS[name].load``), and
        those of `count_row` for what ``energy_j`` is the energy of, which
        ``DATASETS[name].energy_of`` says. Rows with a ``defect`` are left out with a warning that
        says how many and why; the set's own loader returns them too.

    Raises
    ------
    ValueError
        An unknown data set; a file that is not the published one; stale counts.
    NotAtHandError
        A FileNotFoundError: there is no local copy; the message says how to get one.

    Examples
    --------
    ``runs = tos.datasets.load("gaissa_seaa2023")``
    """
    dataset = _dataset(name)
    runs = measured(dataset.load(path), name if isinstance(name, str) else "runs")
    counts = (count_dataset(dataset, runs, workers, client) if counts is None
              else read_counts(dataset, runs, counts))
    return join_counts(dataset, runs, counts)


def load_at_hand(counts: Mapping[str, "Counts"]) -> "dict[str, pd.DataFrame]":
    """Return title -> runs, as `load` has them, of those data sets of which there is a local copy.

    A set whose phases are of different work is several tables: ``CPU layers, backward``.

    Parameters
    ----------
    counts : mapping of str to (str, Path, pandas.DataFrame or None)
        Data set -> its stored counts, as for `load`.

    Raises
    ------
    ValueError
        As `load`; of a damaged copy too, which is no reason to go on without the set.
    NotADirectoryError
        ``TOSTOOLKIT_DATA`` names no folder.

    Examples
    --------
    ``runs = tos.datasets.load_at_hand({"mlperf_tiny": None})``
    """
    runs = {}
    for name, stored in counts.items():
        with suppress(NotAtHandError):
            runs |= DATASETS[name].by_title(load(name, counts=stored))
    return runs


def titles() -> list[str]:
    """Return the titles of all published sets, as `load_at_hand` names them.

    >>> titles()[:2]
    ['EC-NAS-Bench', 'CPU layers, backward']
    """
    return [title for dataset in DATASETS.values() for title in dataset.titles]


def count(name: str | Dataset, path: str | Path | None = None, workers: int | None = None,
          client: "Client | None" = None) -> "pd.DataFrame":
    """Return what is counted of each model of a data set, to be stored with ``to_csv``.

    One row a model and part of its work, per batch. Parameters and errors as for `load`.

    Examples
    --------
    ``tos.datasets.count("cunningham2025").to_csv("counts.csv")``
    """
    dataset = _dataset(name)
    runs = dataset.load(path)
    return count_dataset(dataset, runs[runs.defect == ""], workers, client)


def fetch(name: str | Dataset, folder: str | Path) -> int:
    """Fetch a data set's files into a folder, check them, and return the number of its runs.

    Files that the folder holds already, at any depth, are checked and stay as they are.

    Parameters
    ----------
    name : str or Dataset
        A key of `DATASETS`, or a data set of your own that names its files.
    folder : str or Path
        Made if it is not there. ``data/external`` is looked in by itself; any other folder is when
        ``TOSTOOLKIT_DATA`` names it.

    Raises
    ------
    ConnectionError
        An address cannot be reached.
    NotADirectoryError
        `folder` is a file.
    ValueError
        An unknown data set; a file that is damaged, or is not the published one.

    Examples
    --------
    ``tos.datasets.fetch("gaissa_seaa2023", "data/external")``
    """
    dataset = _dataset(name)
    if Path(folder).is_file():
        raise NotADirectoryError(f"folder: {str(folder)!r} is a file; name a folder")
    try:
        return len(dataset.load(folder))
    except NotAtHandError:
        _fetch(dataset.files, folder, name if isinstance(name, str) else "runs")
    return len(dataset.load(folder))


def _dataset(name):
    if isinstance(name, Dataset):
        return name
    if name not in DATASETS:
        raise ValueError(f"name: no data set {name!r}; there are {', '.join(DATASETS)}, or pass a "
                         "Dataset of your own")
    return DATASETS[name]
