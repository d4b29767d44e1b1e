"""Loaders of published measurements. The data are not part of the repository."""

import io
import tarfile

import pytest

import tostoolkit as tos
from tostoolkit import datasets

ROOT = f"EC-NAS-Bench-{datasets.EC_NAS_COMMIT}/{datasets._EC_NAS_DATA}"


def published():
    """Return the archive of EC-NAS-Bench; skip the test where there is no copy and no network."""
    try:
        return datasets.ec_nas_archive()
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture
def offline(monkeypatch):
    """No local copy, and a network that fails."""
    import pooch
    import requests

    def fail(*args, **kwargs):
        raise requests.exceptions.ConnectionError("no network")

    monkeypatch.setattr(datasets, "_local_folders", list)
    monkeypatch.setattr(pooch, "retrieve", fail)


def archive_with(tmp_path, files):
    path = tmp_path / "EC-NAS-Bench-x.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    return path


def test_ec_nas_bench_as_published():
    runs = tos.datasets.ec_nas_bench(published())
    assert len(runs) == 2805
    assert len(runs.drop_duplicates(["architecture", "space"])) == 2623
    assert set(runs.device) == {"Quadro RTX 6000"}
    assert (runs.energy_j > 0).all()
    # the total holds GPU and CPU and a power-usage-effectiveness of 1.59, so it is no measurement
    factor = runs.reported_energy_kwh * 3.6e6 / (runs.energy_j + runs.cpu_energy_j)
    assert factor.between(1.5, 1.7).mean() > 0.99


def test_folder_environment_and_neighbours_are_searched(tmp_path, monkeypatch):
    archive = published()
    assert datasets._locate(archive.parent, archive.name, "x", "u") == archive
    monkeypatch.setenv("TOSTOOLKIT_DATA", str(archive.parent))
    monkeypatch.chdir(tmp_path)
    assert datasets._locate(None, "EC-NAS-Bench-*.tar.gz", "x", "u") == archive


def test_no_network_and_no_copy_says_what_to_do(offline):
    with pytest.raises(FileNotFoundError) as caught:
        tos.datasets.ec_nas_bench()
    for word in ("ec_nas_bench(path=", "TOSTOOLKIT_DATA", "https://", datasets.EC_NAS_COMMIT):
        assert word in str(caught.value)


def test_empty_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no EC-NAS-Bench-\*\.tar\.gz"):
        tos.datasets.ec_nas_bench(tmp_path)


def test_other_archive_is_an_error(tmp_path):
    name = f"{ROOT}/train_model_results/energy/4V9E/4_epochs/00/a/repeat_1/results.json"
    path = archive_with(tmp_path, {name: b"{}"})
    with pytest.raises(ValueError, match="1 files are not those published"):
        tos.datasets.ec_nas_bench(path)


def test_truncated_archive_is_an_error(tmp_path):
    whole = published().read_bytes()
    path = tmp_path / "EC-NAS-Bench-cut.tar.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="damaged"):
        tos.datasets.ec_nas_bench(path)
