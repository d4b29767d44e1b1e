"""Published measured-energy data: fetched, checked, and turned into tidy runs.

Each data set is looked for in a folder given as `path`, then in the folder that the environment
variable ``TOSTOOLKIT_DATA`` names, then in ``../shared/energy-data`` and its like beside the
working directory, and fetched from its public repository at a pinned commit otherwise. Nothing is
taken on trust: files are checked by their SHA-256, and what was measured stays as it was
published.
"""

import hashlib
import json
import os
import re
import tarfile
from pathlib import Path

import pandas as pd

EC_NAS_COMMIT = "1a82fdde59bf61cb6a2b9d41bc984c3edbd2b2bf"
_EC_NAS_DATA = "ecnas/vendors/ec_nasbench/nasbench/data"
#: SHA-256 over the sorted (path, SHA-256) of the files that are read.
_EC_NAS_CONTENT = "3350c96da842d4731089c92cee74116a4ac7bf690c0ea06b0c7a346e7c0d1645"


def ec_nas_bench(path=None) -> pd.DataFrame:
    """Return EC-NAS-Bench's 2,805 measured training runs of NAS-Bench-101-style networks.

    Bakhtiarifard, Igel, Selvan, "EC-NAS: Energy Consumption Aware Tabular Benchmarks for Neural
    Architecture Search", ICASSP 2024; MIT licence. Each run trains a network on CIFAR-10 for 4
    epochs (625 steps of 256 images) with evaluations, on a Quadro RTX 6000 (NVML) and a CPU of
    two sockets (RAPL), measured by carbontracker.

    Parameters
    ----------
    path : str or Path, optional
        The repository's source archive (or the part of it that holds the energy results), or a
        folder that contains it.

    Returns
    -------
    pandas.DataFrame
        One row a run: ``architecture`` (hash of the cell), ``space`` (``4V9E``: at most 4
        vertices and 9 edges), ``repeat``, ``trainable_params``, ``matrix``, ``operations`` (as
        `ec_nas_model` takes them), ``time_s``, ``energy_j`` (GPU, as measured), ``cpu_energy_j``,
        ``reported_energy_kwh`` (which includes a power-usage-effectiveness factor of 1.59),
        ``device``.

    Raises
    ------
    FileNotFoundError
        There is no network and no local copy; the message says where to put one.
    ValueError
        The archive is not the published one, or is damaged.

    Examples
    --------
    ``runs = tos.datasets.ec_nas_bench()``
    """
    archive = ec_nas_archive(path)
    files = _read_archive(
        archive, f"EC-NAS-Bench-{EC_NAS_COMMIT}/{_EC_NAS_DATA}/",
        r"train_model_results/energy/.*/results\.json|graphs/generated_graphs_[45]V9E\.json")
    _check_content(files, _EC_NAS_CONTENT, archive)
    cells = {}
    for name, text in files.items():
        if name.startswith("graphs/"):
            cells |= json.loads(text)
    return pd.DataFrame([
        _ec_nas_run(name, json.loads(text), cells)
        for name, text in sorted(files.items()) if name.endswith("results.json")
    ])


def ec_nas_archive(path=None) -> Path:
    """Return the archive that `ec_nas_bench` reads, fetched if need be."""
    return _locate(
        path, "EC-NAS-Bench-*.tar.gz", "ec_nas_bench",
        f"https://github.com/saintslab/EC-NAS-Bench/archive/{EC_NAS_COMMIT}.tar.gz")


def _ec_nas_run(name, record, cells):
    # train_model_results/energy/<space>/4_epochs/<ab>/<hash>/repeat_<n>/results.json
    parts = name.split("/")
    architecture, repeat = parts[-3], parts[-2]
    matrix, operations = cells[architecture]
    power = record["avg_power_usages:"]
    return {
        "architecture": architecture,
        "space": parts[2],
        "repeat": repeat,
        "trainable_params": record["trainable_params"],
        "matrix": matrix,
        "operations": operations,
        "time_s": record["total_time"],
        "energy_j": sum(map(sum, power["gpu"]["avg_energy_usages (J)"])),
        "cpu_energy_j": sum(map(sum, power["cpu"]["avg_energy_usages (J)"])),
        "reported_energy_kwh": record["total_energy (kWh)"],
        "device": ", ".join(d.strip().removeprefix("NVIDIA ") for d in power["gpu"]["devices"]),
    }


def _locate(path, pattern, name, url):
    """Return the local file that matches `pattern`, fetching it where there is none."""
    if path is not None:
        path = Path(path)
        if path.is_file():
            return path
        found = sorted(path.rglob(pattern)) if path.is_dir() else []
        if not found:
            raise FileNotFoundError(
                f"path: no {pattern} in {str(path)!r}; download {url} into it, or leave path out "
                "to have it fetched")
        return found[0]
    for folder in _local_folders():
        for found in sorted(folder.rglob(pattern)):
            return found
    return _fetch(url, name, pattern)


def _local_folders():
    """Folders in which a local copy may lie, the user's own first."""
    own = os.environ.get("TOSTOOLKIT_DATA")
    here = Path.cwd()
    candidates = [Path(own)] if own else []
    candidates += [base / "shared" / "energy-data" for base in (here, *here.parents[:3])]
    return [folder for folder in candidates if folder.is_dir()]


def _fetch(url, name, pattern):
    import pooch
    import requests

    folder = pooch.os_cache("tostoolkit")
    file = pattern.replace("*", hashlib.sha256(url.encode()).hexdigest()[:12])
    try:
        return Path(pooch.retrieve(url, known_hash=None, fname=file, path=folder))
    except (requests.exceptions.RequestException, OSError) as error:
        raise FileNotFoundError(
            f"{name}: no local copy, and it could not be fetched ({type(error).__name__}). "
            f"Download {url} elsewhere and pass its folder: tos.datasets.{name}(path='folder'), "
            "or name the folder in the environment variable TOSTOOLKIT_DATA") from None


def _read_archive(archive, prefix, pattern):
    """Return path -> bytes of the files under `prefix` whose paths match `pattern`."""
    try:
        with tarfile.open(archive) as tar:
            files = {
                member.name.removeprefix(prefix): tar.extractfile(member).read()
                for member in tar
                if member.isfile() and member.name.startswith(prefix)
                and re.fullmatch(pattern, member.name.removeprefix(prefix))
            }
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(
            f"{archive.name}: the archive is damaged ({error}); delete it and fetch it again"
        ) from None
    return files


def _check_content(files, expected, archive):
    """Raise unless the files are those that were published."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{hashlib.sha256(files[name]).hexdigest()}\n".encode())
    if digest.hexdigest() != expected:
        raise ValueError(
            f"{archive.name}: its {len(files)} files are not those published at the pinned commit "
            f"({digest.hexdigest()[:12]} instead of {expected[:12]}); delete it and fetch it again")
