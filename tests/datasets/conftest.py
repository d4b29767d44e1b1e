"""What the tests of the data sets share; those that need published data skip where they are not."""

import pytest
from published import as_the_tests_began

import tostoolkit as tos
from tostoolkit.datasets import files


@pytest.fixture(scope="session")
def load():
    """Return name -> runs as published; skip where they are not at hand."""
    def runs(name):
        if name not in loaded:
            with as_the_tests_began():
                loaded[name] = tos.datasets.DATASETS[name].load()
        return loaded[name].copy()

    loaded = {}
    return runs


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return an empty folder to work in, with no data named or near."""
    monkeypatch.delenv(files.VARIABLE, raising=False)
    folder = tmp_path / "projects" / "mine"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder
