"""MLPerf Tiny: what was published, and the networks that were measured."""

import numpy as np
import pandas as pd
import pytest
from published import copies, put

import tostoolkit as tos
from tostoolkit.counting.rows import count_row
from tostoolkit.datasets import mlperf


def test_a_damaged_result_names_its_file(project):
    first = next(iter(tos.datasets.DATASETS["mlperf_tiny"].files))
    file = put(project, f"data/external/{first}")
    with pytest.raises(ValueError, match=rf"{file.name}: it is damaged.*move '.*{first}' away"):
        tos.datasets.load("mlperf_tiny")


def test_other_results_of_mlperf_tiny_are_refused(load, project):
    load("mlperf_tiny")
    contents = copies("mlperf_tiny", tos.datasets.DATASETS["mlperf_tiny"])
    contents[next(iter(contents))] = contents[list(contents)[7]]
    for file, content in contents.items():
        put(project, f"data/external/{file}", content.decode())
    with pytest.raises(ValueError, match="not those published"):
        tos.datasets.load("mlperf_tiny")


def test_mlperf_tiny_is_in_microjoules_and_names_are_one(load):
    runs = load("mlperf_tiny")
    assert len(runs) == 114
    assert set(runs.benchmark) == {"ad", "ic", "kws", "vww"}
    # GreenWaves' gap9_650_240 in v1.0: 27.711 microjoules an image
    row = runs[(runs.system == "gap9_650_240") & (runs.benchmark == "ic")]
    assert row.energy_j.tolist() == pytest.approx([27.711e-6])
    assert runs.device.str.contains("H7A3ZI").sum() == 22
    assert set(runs.device[runs.organisation == "STMicroelectronics"]) == {
        f"STMicroelectronics NUCLEO-{board}" for board in ("H7A3ZI-Q", "U575ZI-Q", "L4R5ZI")}
    again = runs[runs.defect != ""]
    assert len(again) == 12
    assert set(again.organisation) == {"syntiant"}
    assert set(again["round"]) == {"v1.1", "v1.2"}


def test_log_that_is_no_energy_run_is_an_error():
    with pytest.raises(ValueError, match="no median energy"):
        mlperf.parse_result("Median throughput is 3.0 inf./sec.")


@pytest.mark.parametrize(("benchmark", "parameters", "macs"), [
    # parameters by hand; MACs as SiliconLabs/mltk publishes them, mltk/models/tinyml/*.py,
    # "Total MACs"; 221,794 also in NXP/eiq-model-zoo, visual-wake-word/README.md
    ("ad", 269_992, 264_192), ("ic", 78_666, 12_502e3), ("kws", 24_908, 2_657e3),
    ("vww", 221_794, 7_490e3)])
def test_mlperf_models_have_the_published_size(benchmark, parameters, macs):
    with tos.abstract():
        trained = tos.datasets.mlperf_tiny_model(benchmark, folded=False)
        deployed = tos.datasets.mlperf_tiny_model(benchmark)
    assert trained.count_params() == parameters
    for model in (trained, deployed):
        assert count_row(model)["mac float32"] == pytest.approx(macs, abs=500)
    assert not any(type(layer).__name__ == "BatchNormalization" for layer in deployed.layers)


def test_int8_counts_rename_what_is_quantised():
    with tos.abstract():
        row = count_row(tos.datasets.mlperf_tiny_model("kws"))
    int8 = tos.datasets.as_int8(pd.DataFrame([row])).iloc[0]
    assert int8["mac int8"] == row["mac float32"]
    assert int8["exp float32"] == 12
    assert "mac float32" not in int8
    assert 4 * int8["bytes"] == row["bytes"]
    assert tos.price(int8.to_frame().T).tos.iloc[0] < tos.price(
        pd.DataFrame([row])).tos.iloc[0]


def test_law_of_a_data_set(load):
    """MLPerf Tiny within one device: from loader to law in three lines."""
    load("mlperf_tiny")
    with pytest.warns(UserWarning, match="12 of 114"):
        runs = tos.price(tos.datasets.load("mlperf_tiny"))
    law = tos.fit_scaling_law(runs[runs.device == "STMicroelectronics NUCLEO-L4R5ZI"], ["macs"])
    assert law.n_configurations == 4
    assert np.isfinite(law.metrics.mean_relative_error)


def test_an_unknown_benchmark_is_an_error():
    with pytest.raises(ValueError, match="'asr' is not one of ad"):
        tos.datasets.mlperf_tiny_model("asr")
