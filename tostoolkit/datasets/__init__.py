"""Published and one's own measured-energy data, as tidy runs joined with what is counted.

Each data set is one module and one entry of `DATASETS`: how it is loaded, how its models are
rebuilt, how many batches of which work make its energy, and where its files were published. A new
one is a module and an entry. Loading reads local copies alone (`files` says where they are looked
for); `fetch` gets them.

BUTTER-E (Tripp et al. 2024, 63,527 runs of feed-forward networks on watt-meters) has no loader,
since its files are not at hand to test one. Bring it with `read_runs`: its
``runs_with_standardized_energy.csv`` (https://data.openei.org/submissions/5991) holds a row a run
with ``dataset``, ``shape``, ``size``, ``depth``, ``batch_size``, ``optimizer``, ``is_gpu``,
``node``, ``energy`` (its readme gives no unit; watts integrated over seconds are joules),
``run_time`` in seconds, and ``filter``, true where a run is to be left out. The widths of a network
follow from ``shape``, ``size`` and ``depth``; ``widths`` in its ``summary_by_epoch`` lists them.
"""

from contextlib import suppress
from pathlib import Path

from .counting import Dataset, count_dataset, join_counts, measured, read_counts
from .cunningham import DATASET as _CUNNINGHAM
from .cunningham import cunningham2025
from .ec_nas import DATASET as _EC_NAS
from .ec_nas import ec_nas_bench, ec_nas_model
from .files import NotAtHandError
from .files import fetch as _fetch
from .gaissa import DATASET as _GAISSA
from .gaissa import gaissa_model, gaissa_seaa2023
from .mlperf import DATASET as _MLPERF
from .mlperf import as_int8, mlperf_tiny, mlperf_tiny_model
from .own_runs import read_runs

__all__ = [
    "DATASETS", "Dataset", "as_int8", "count", "counted", "counted_at_hand", "cunningham2025",
    "ec_nas_bench", "ec_nas_model", "fetch", "gaissa_model", "gaissa_seaa2023", "mlperf_tiny",
    "mlperf_tiny_model", "read_runs",
]

DATASETS = {
    "ec_nas_bench": _EC_NAS,
    "cunningham2025": _CUNNINGHAM,
    "gaissa_seaa2023": _GAISSA,
    "mlperf_tiny": _MLPERF,
}


def counted(name, path=None, counts=None, workers=None, client=None):
    """Return a data set's measured runs with everything that is counted of what was measured.

    Parameters
    ----------
    name : str or Dataset
        A key of `DATASETS`, or a data set of your own.
    path : str or Path, optional
        Where the data are; as for the loaders.
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
        The loader's columns, and `count_row`'s, for what ``energy_j`` is the energy of, which
        ``attrs['unit']`` says. Rows with a ``defect`` are left out with a warning;
        ``attrs['left_out']`` holds reason -> number.

    Raises
    ------
    ValueError
        An unknown data set; stale counts.
    FileNotFoundError
        As the loaders.

    Examples
    --------
    ``runs = tos.datasets.counted("gaissa_seaa2023")``
    """
    dataset = _dataset(name)
    runs = measured(dataset.load(path), name if isinstance(name, str) else "runs")
    counts = (count_dataset(dataset, runs, workers, client) if counts is None
              else read_counts(dataset, runs, counts))
    joined = join_counts(dataset, runs, counts)
    joined.attrs |= runs.attrs | {"unit": dataset.unit}
    return joined


def count(name, path=None, workers=None, client=None):
    """Return what is counted of each model of a data set, to be stored with ``to_csv``.

    The parameters are those of `counted`, and so are the errors.

    Returns
    -------
    pandas.DataFrame
        One row a model and part of its work, per batch.

    Examples
    --------
    ``tos.datasets.count("cunningham2025").to_csv("counts.csv")``
    """
    dataset = _dataset(name)
    runs = dataset.load(path)
    return count_dataset(dataset, runs[runs.defect == ""], workers, client)


def fetch(name, folder) -> int:
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


def counted_at_hand(counts) -> dict:
    """Return name -> counted runs of those data sets of which there is a local copy.

    Parameters
    ----------
    counts : mapping of str to (str, Path, pandas.DataFrame or None)
        Data set -> its stored counts, as for `counted`.

    Raises
    ------
    ValueError
        As `counted`; of a damaged copy too, which is no reason to go on without the set.
    NotADirectoryError
        ``TOSTOOLKIT_DATA`` names no folder.

    Examples
    --------
    ``read = tos.datasets.counted_at_hand({"mlperf_tiny": None})``
    """
    read = {}
    for name, stored in counts.items():
        with suppress(NotAtHandError):
            read[name] = counted(name, counts=stored)
    return read


def _dataset(name):
    if isinstance(name, Dataset):
        return name
    if name not in DATASETS:
        raise ValueError(f"name: no data set {name!r}; there are {', '.join(DATASETS)}, or pass a "
                         "Dataset of your own")
    return DATASETS[name]
