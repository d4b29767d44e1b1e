"""Published data where the tests began to look for them: they are not part of the repository."""

import os
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from tostoolkit.datasets import ec_nas, files, mlperf

NAMED = os.environ.get(files.VARIABLE) and Path(os.environ[files.VARIABLE]).absolute()


@contextmanager
def as_the_tests_began():
    """Look for data where they were looked for when the tests began; skip where there are none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(Path(__file__).parents[1])
        if NAMED:
            patch.setenv(files.VARIABLE, str(NAMED))
        try:
            yield
        except files.NotAtHandError as error:
            pytest.skip(str(error))


def published():
    """Return the archive of EC-NAS-Bench; skip the test where it is not at hand."""
    with as_the_tests_began():
        return ec_nas.ec_nas_archive()


def put(folder, name, text="x"):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def copies(name, dataset):
    """Return path -> content of a set's files, of which there is a copy where the tests began."""
    with as_the_tests_began():
        if name == "ec_nas_bench":
            return dict.fromkeys(dataset.files, ec_nas.ec_nas_archive().read_bytes())
        if name == "mlperf_tiny":
            table = pd.read_csv(files.find_local(None, mlperf.FILE)).set_index(["round", "path"])
            return {file: result_text(table.loc[tuple(file.split("/", 2)[1:])])
                    for file in dataset.files}
        return {file: files.find_local(None, file.split("/", 1)[1]).read_bytes()
                for file in dataset.files}


def result_text(row):
    return (f"0 ulp-ml: Median energy cost is {row.energy_uj_per_inf:.3f} uJ/inf.\n"
            f"0 ulp-ml: Median throughput is {row.throughput_inf_per_s_in_energy_mode:.3f} "
            "inf./sec.\n").encode()
