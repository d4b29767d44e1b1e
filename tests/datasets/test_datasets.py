"""Loaders of published measurements, and the models that they measured rebuilt.

The data are not part of the repository: tests that need them skip where they are not at hand. What
is fetched in these tests comes from a server on this machine.
"""

import dataclasses
import hashlib
import io
import os
import re
import tarfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pandas as pd
import pytest

import tostoolkit as tos
from tostoolkit.datasets import counting, cunningham, ec_nas, files, gaissa, mlperf

ROOT = f"EC-NAS-Bench-{ec_nas.COMMIT}/{ec_nas.DATA}"
DERIVED = Path(__file__).parents[2] / "data/derived"
NAMED = os.environ.get(files.VARIABLE) and Path(os.environ[files.VARIABLE]).absolute()
COUNTED = {"parameters", "layers", "elements", "bytes"}


@contextmanager
def as_the_tests_began():
    """Look for data where they were looked for when the tests began; skip where there are none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(Path(__file__).parent)
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


@pytest.fixture(scope="module")
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


def put(folder, name, text="x"):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def archive_with(tmp_path, members):
    path = tmp_path / "EC-NAS-Bench-x.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    return path


# Files

def test_the_folder_that_is_named_goes_before_data_external(project, tmp_path, monkeypatch):
    near = put(project, "data/external/set/runs.csv")
    (project / "notebooks").mkdir()
    for folder in (project, project / "notebooks"):  # notebooks run in a folder of their own
        monkeypatch.chdir(folder)
        assert files.locate(None, "runs.csv", "x", "u").samefile(near)
    named = put(tmp_path, "named/deep/er/runs.csv")
    monkeypatch.setenv(files.VARIABLE, str(tmp_path / "named"))
    assert files.locate(None, "runs.csv", "x", "u") == named
    given = put(tmp_path, "given/runs.csv")
    assert files.locate(given.parent, "runs.csv", "x", "u") == given
    named.unlink()  # a set that the named folder lacks may still be near
    monkeypatch.chdir(project)
    assert files.locate(None, "runs.csv", "x", "u").samefile(near)


def test_no_other_folder_is_searched(project):
    for place in ("shared/energy-data", "../shared/energy-data", "external", "../../data/external",
                  "data"):
        put(project, f"{place}/runs.csv")
    with pytest.raises(files.NotAtHandError):
        files.locate(None, "runs.csv", "x", "u")


@pytest.mark.parametrize("named", ["none", "file"])
def test_variable_that_names_no_folder_is_an_error(project, monkeypatch, named):
    put(project, "data/external/runs.csv")
    put(project, "file")
    monkeypatch.setenv(files.VARIABLE, named)
    with pytest.raises(NotADirectoryError, match=f"TOSTOOLKIT_DATA: '{named}' is not a folder"):
        files.locate(None, "runs.csv", "x", "u")
    with pytest.raises(NotADirectoryError):
        tos.datasets.counted_at_hand({"mlperf_tiny": None})


@pytest.mark.parametrize(("name", "commit"), [
    ("ec_nas_bench", ec_nas.COMMIT), ("cunningham2025", cunningham.COMMIT),
    ("gaissa_seaa2023", gaissa.COMMIT), ("mlperf_tiny", mlperf.COMMITS["v0.7"])])
def test_no_copy_says_what_to_do(project, name, commit):
    with pytest.raises(files.NotAtHandError) as caught:
        getattr(tos.datasets, name)()
    for word in (f"{name}(path=", "TOSTOOLKIT_DATA (not set)", "https://", commit,
                 f"python -m tostoolkit data {name} --to data/external"):
        assert word in str(caught.value)
    assert tos.datasets.counted_at_hand({name: None}) == {}


@pytest.mark.parametrize(("name", "file"), [
    ("ec_nas_bench", r"EC-NAS-Bench-\*\.tar\.gz"), ("cunningham2025", "conv.csv"),
    ("gaissa_seaa2023", gaissa.FILE), ("mlperf_tiny", r"v0\.7/closed/.*results\.txt")])
def test_empty_folder_is_an_error(tmp_path, name, file):
    with pytest.raises(FileNotFoundError, match=f"no .*{file}"):
        getattr(tos.datasets, name)(tmp_path)


@pytest.mark.parametrize(("name", "file"), [
    ("cunningham2025", "broadwell-ep-2025-05-05T11-01-26/conv.csv"),
    ("gaissa_seaa2023", gaissa.FILE), ("mlperf_tiny", mlperf.FILE)])
def test_damaged_file_is_an_error(tmp_path, name, file):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("batch_size\n1\n")
    with pytest.raises(ValueError, match=r"SHA-256 .* damaged, fetched in part.*move .* away"):
        getattr(tos.datasets, name)(tmp_path)


def test_a_damaged_copy_is_no_reason_to_go_on_without_it(project):
    put(project, f"data/external/{mlperf.FILE}", "round,path\n")
    with pytest.raises(ValueError, match="damaged"):
        tos.datasets.counted_at_hand({"mlperf_tiny": None})


class Server(ThreadingHTTPServer):
    """Serves ``contents``, path -> bytes, on this machine; ``asked`` holds the paths asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.contents, self.asked, self.cut = {}, [], False

    def url(self, path, content=None):
        if content is not None:
            self.contents[f"/{path}"] = content
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        content = self.server.contents.get(self.path)
        self.send_response(404 if content is None else 200)
        content = content or b""
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.server.cut else content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def a_set(server, contents):
    """Return a data set of files that a server has, whose runs are the lines of the files."""
    sources = {name: (server.url(name, text), hashlib.sha256(text).hexdigest())
               for name, text in contents.items()}

    def load(path=None):
        return pd.DataFrame({"line": [line for name, (url, sha256) in sources.items() for line in
                                      files.locate(path, name, "a_set", url, sha256)
                                      .read_text().splitlines()]})

    return counting.Dataset(load, None, "line", {}, None, "", sources)


def test_fetched_once_into_its_folder_and_checked(server, project):
    dataset = a_set(server, {"set/a.csv": b"1\n2\n", "set/host/b.csv": b"3\n"})
    assert tos.datasets.fetch(dataset, "data/external") == 3
    assert (project / "data/external/set/host/b.csv").read_bytes() == b"3\n"
    assert sorted(server.asked) == ["/set/a.csv", "/set/host/b.csv"]
    assert tos.datasets.fetch(dataset, "data/external") == 3
    (project / "data/external/set/a.csv").unlink()  # one alone is lacking
    assert tos.datasets.fetch(dataset, "data/external") == 3
    assert sorted(server.asked) == ["/set/a.csv", "/set/a.csv", "/set/host/b.csv"]


@pytest.mark.parametrize("fault", ["other content", "cut off", "no such file", "no server"])
def test_what_cannot_be_fetched_leaves_no_file(server, project, fault):
    dataset = a_set(server, {"set/a.csv": b"1\n2\n"})
    server.cut = fault == "cut off"
    if fault == "other content":
        server.url("set/a.csv", b"<html>moved</html>")
    elif fault == "no such file":
        server.contents.clear()
    elif fault == "no server":
        server.shutdown()
        server.server_close()
    error, word = ((ValueError, "is not what was published") if fault == "other content" else
                   (ConnectionError, "could not be fetched into 'data/external' .*try again later"))
    with pytest.raises(error, match=word) as caught:
        tos.datasets.fetch(dataset, "data/external")
    assert "/set/a.csv" in str(caught.value)
    assert not [path for path in (project / "data").rglob("*") if path.is_file()]


def test_a_half_fetched_file_is_an_error_and_stays(server, project):
    dataset = a_set(server, {"set/a.csv": b"1\n2\n"})
    half = put(project, "data/external/set/a.csv", "1\n")
    with pytest.raises(ValueError, match=r"a\.csv: SHA-256 .*move '.*a\.csv' away and fetch"):
        tos.datasets.fetch(dataset, "data/external")
    assert half.read_text() == "1\n"
    assert not server.asked


def test_a_file_that_is_there_stays_where_another_is_fetched(server, project):
    dataset = a_set(server, {"set/a.csv": b"1\n", "set/b.csv": b"2\n"})
    damaged = put(project, "data/external/set/b.csv", "half")
    with pytest.raises(ValueError, match=r"b\.csv: SHA-256"):
        tos.datasets.fetch(dataset, "data/external")
    assert damaged.read_text() == "half"
    assert server.asked == ["/set/a.csv"]


def test_a_folder_that_cannot_be_written_is_no_trouble_of_the_network(server, project):
    put(project, "external/set")  # a file where a folder is to be
    with pytest.raises((NotADirectoryError, FileExistsError), match=r"folder: .*cannot be written"):
        tos.datasets.fetch(a_set(server, {"set/a.csv": b"1\n"}), "external")


def test_a_file_is_no_folder_to_fetch_into(project):
    with pytest.raises(NotADirectoryError, match="folder: 'file' is a file"):
        tos.datasets.fetch("mlperf_tiny", put(project, "file").name)
    assert (project / "file").read_text() == "x"


def test_a_damaged_result_names_its_file(project):
    first = next(iter(tos.datasets.DATASETS["mlperf_tiny"].files))
    file = put(project, f"data/external/{first}")
    with pytest.raises(ValueError, match=rf"{file.name}: it is damaged.*move '.*{first}' away"):
        tos.datasets.mlperf_tiny()


@pytest.mark.parametrize("name", tos.datasets.DATASETS)
def test_each_set_is_fetched_as_it_was_published(load, server, project, monkeypatch, name):
    """The real sets, from copies: where they land is where their loaders find them."""
    local, dataset = load(name), tos.datasets.DATASETS[name]
    contents = copies(name, dataset)
    sources = {file: (server.url(url.split("//")[1], contents[file]), sha256)
               for file, (url, sha256) in dataset.files.items()}
    fetched = dataclasses.replace(dataset, files=sources)
    assert tos.datasets.fetch(fetched, "data/external") == len(local)
    pd.testing.assert_frame_equal(dataset.load(), local)  # from data/external
    assert len(server.asked) == len(sources)
    for url, _ in dataset.files.values():
        assert re.match(r"https://(raw\.githubusercontent|github)\.com/[\w./*-]*[0-9a-f]{40}", url)


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


def test_other_results_of_mlperf_tiny_are_refused(load, project):
    load("mlperf_tiny")
    contents = copies("mlperf_tiny", tos.datasets.DATASETS["mlperf_tiny"])
    contents[next(iter(contents))] = contents[list(contents)[7]]
    for file, content in contents.items():
        put(project, f"data/external/{file}", content.decode())
    with pytest.raises(ValueError, match="not those published"):
        tos.datasets.mlperf_tiny()


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


# What was measured

@pytest.mark.parametrize("name", tos.datasets.DATASETS)
def test_runs_are_tidy(load, name):
    runs = load(name)
    assert set(runs.dataset) == {name}
    for column in ("configuration", "device", "phase", "batch_size", "time_s", "defect"):
        assert runs[column].notna().all(), column
    assert runs.index.is_unique
    assert (runs.time_s > 0).all()
    good = runs[runs.defect != "the counter wrapped"]
    good = good[good.defect != "the counter did not advance"]
    assert (good.energy_j > 0).all()
    assert runs.energy_j.isna().sum() == len(runs) - len(good)
    assert {c for c in runs if c.endswith("_j")} <= {"energy_j", "cpu_energy_j"}
    # joules, seconds: from microcontrollers to data-centre GPUs, power lies in between
    power = (good.energy_j / good.time_s).median()
    low, high = {"mlperf_tiny": (1e-3, 1), "cunningham2025": (5, 200)}.get(name, (20, 400))
    assert low < power < high


def test_ec_nas_bench_as_published(load):
    runs = load("ec_nas_bench")
    assert len(runs) == 2805
    assert len(runs.drop_duplicates(["architecture", "space"])) == 2623
    assert set(runs.device) == {"Quadro RTX 6000"}
    # the total holds GPU and CPU and a power-usage-effectiveness of 1.59, so it is no measurement
    factor = runs.reported_energy_kwh * 3.6e6 / (runs.energy_j + runs.cpu_energy_j)
    assert factor.between(1.5, 1.7).mean() > 0.99


def test_cunningham_keeps_failed_counters_out(load):
    runs = load("cunningham2025")
    assert len(runs) == 10_000  # 6,000 forward, and backward all but the 2,000 poolings
    assert runs.groupby("phase").size().to_dict() == {"inference": 6000, "backward": 4000}
    assert set(runs.device) == {"broadwell-ep", "raptorlake"}
    first = runs.iloc[0]  # 396,645.16 microjoules and 17,666.69994 microseconds in conv.csv
    assert (first.energy_j, first.time_s) == pytest.approx((0.39664516, 0.01766669994))
    assert set(runs[runs.layer_kind == "MaxPooling2D"].phase) == {"inference"}
    failed = runs[runs.defect != ""]
    assert failed.groupby("phase").size().to_dict() == {"inference": 12, "backward": 1}
    assert failed.energy_j.isna().all()
    with pytest.warns(UserWarning, match="13 of 10000 rows left out"):
        kept = counting.measured(runs, "cunningham2025")
    assert len(kept) == 9987
    assert kept.attrs["left_out"] == {"the counter did not advance": 8, "the counter wrapped": 5}


def test_gaissa_is_in_megajoules_whatever_its_card_says(load):
    runs = load("gaissa_seaa2023")
    assert len(runs) == 369
    assert runs.groupby("device").architecture.nunique().to_dict() == {
        "GeForce GTX 750 Ti": 2, "GeForce RTX 3070": 5, "GeForce RTX 3090": 5}
    power = runs.energy_j / runs.time_s  # of a board between idle and its limit, 350 W the highest
    assert power.between(20, 350).all()
    seen = runs.epochs * 32 * (runs.train_batches + runs.validation_batches)
    assert (seen == runs.images).all()
    assert (runs.epochs > gaissa.HEAD_EPOCHS).all()


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


# The models

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
        assert tos.count_row(model)["mac float32"] == pytest.approx(macs, abs=500)
    assert not any(type(layer).__name__ == "BatchNormalization" for layer in deployed.layers)


def test_int8_counts_rename_what_is_quantised():
    with tos.abstract():
        row = tos.count_row(tos.datasets.mlperf_tiny_model("kws"))
    int8 = tos.datasets.as_int8(pd.DataFrame([row])).iloc[0]
    assert int8["mac int8"] == row["mac float32"]
    assert int8["exp float32"] == 12
    assert "mac float32" not in int8
    assert 4 * int8["bytes"] == row["bytes"]
    assert tos.price(int8.to_frame().T).tos.iloc[0] < tos.price(
        pd.DataFrame([row])).tos.iloc[0]


@pytest.mark.parametrize("architecture", gaissa.ARCHITECTURES)
def test_gaissa_models_have_the_published_flops(load, architecture):
    """Twice the MACs, within what TensorFlow's profiler adds for biases and normalisation."""
    runs = load("gaissa_seaa2023")
    gflops, = runs[runs.architecture == architecture].published_gflops.unique()
    with tos.abstract():
        model = tos.datasets.gaissa_model(architecture)
        frozen = tos.datasets.gaissa_model(architecture, frozen=True)
    assert 2e-9 * tos.count_row(model)["mac float32"] == pytest.approx(gflops, rel=0.01)
    assert len(frozen.trainable_weights) == 2 * (1 + len(gaissa.ARCHITECTURES[architecture][2]))


def test_unknown_models_are_errors():
    with pytest.raises(ValueError, match="'lenet' is not one of mobilenet_v2"):
        tos.datasets.gaissa_model("lenet")
    with pytest.raises(ValueError, match="'asr' is not one of ad"):
        tos.datasets.mlperf_tiny_model("asr")


# Counts

def closed_form(run):
    """Return the MACs and the bias additions of a forward pass of a layer, by hand."""
    if run.layer_kind == "Dense":
        outputs, fan_in = run.outputs, run.inputs
    else:
        side = (run.side - run.kernel) // run.stride + 1
        outputs, fan_in = side**2 * run.outputs, run.kernel**2 * run.inputs
    return run.batch_size * outputs * fan_in, run.batch_size * outputs


def test_cunningham_counts_agree_with_the_closed_form(load, monkeypatch):
    runs = load("cunningham2025")
    some = runs[runs.defect == ""].groupby(["device", "layer_kind"]).sample(4, random_state=0)
    some = runs[runs.layer.isin(some.layer)]
    dataset = dataclasses.replace(cunningham.DATASET, load=lambda path=None: some)
    counted = tos.datasets.counted(dataset)
    assert set(counted.phase) == {"inference", "backward"}
    for run in counted[counted.layer_kind != "MaxPooling2D"].itertuples():
        macs, outputs = closed_form(run)
        # backward: the weights' gradient takes as many MACs; the input needs none
        assert counted.loc[run.Index, "mac float32"] == macs
        if run.phase == "inference":
            assert counted.loc[run.Index, "add float32"] == outputs
        assert run.parameters == run.outputs * (macs // outputs + 1)
    for run in counted[counted.layer_kind == "MaxPooling2D"].itertuples():
        side = (run.side - run.kernel) // run.stride + 1
        comparisons = run.batch_size * run.inputs * side**2 * (run.kernel**2 - 1)
        assert counted.loc[run.Index, "max float32"] == comparisons


def test_gaissa_counts_are_the_mean_over_the_images_seen(load):
    """VGG16: forward for every image, twice more in the fine tuning of all but the first layer."""
    runs = load("gaissa_seaa2023")
    some = runs[runs.architecture == "vgg16"].head(3)
    dataset = dataclasses.replace(gaissa.DATASET, load=lambda path=None: some)
    counted = tos.datasets.counted(dataset)
    assert "per image seen" in counted.attrs["unit"]
    forward, first, head = 5_011_145_216, 128 * 128 * 27 * 64, 512
    tuned = (some.epochs - 10) * some.train_batches * 32 / some.images
    head_only = 10 * some.train_batches * 32 / some.images
    expected = forward + tuned * (2 * forward - first) + head_only * head
    assert counted["mac float32"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-12)


@pytest.fixture
def two_models():
    """A data set of one's own: three runs of two dense layers, forward."""
    import keras

    def build(run, part):
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(int(run.units))])

    def runs(path=None):
        return pd.DataFrame({"units": [2, 3, 3], "configuration": ["a", "b", "b"], "batch_size": 5,
                             "energy_j": [1.0, 2.0, 2.1], "defect": ""})

    return counting.Dataset(runs, build, "units", {"inference": counting.forward},
                            counting.one_forward, "one step")


def test_own_data_set_is_a_value(two_models):
    counted = tos.datasets.counted(two_models)
    assert counted["mac dense"].tolist() == [40, 60, 60]
    assert counted["mac dense"].dtype == "int64"
    assert counted.attrs["unit"] == "one step"


def test_stored_counts_are_the_same_and_stale_ones_are_refused(two_models, tmp_path):
    file = tmp_path / "counts.csv"
    counts = tos.datasets.count(two_models)
    counts.to_csv(file)
    pd.testing.assert_frame_equal(tos.datasets.counted(two_models, counts=file),
                                  tos.datasets.counted(two_models))
    pd.testing.assert_frame_equal(tos.datasets.counted(two_models, counts=counts),
                                  tos.datasets.counted(two_models))
    for wrong, word in [
        (counts.assign(**{"mac dense": 7}), "stale: 'mac dense' of 2 is 7.*now it is 40"),
        (counts.drop(columns="bytes"), "stale: 'bytes'"),
        (counts.assign(exp=1), "stale: 'exp'"),
        (counts.drop(index=2), "no counts of 2"),
        (counts.drop(index=3), "no counts of the inference of 3 and of 1 more"),
        (counts.reset_index(drop=True), "no column 'units'"),
    ]:
        wrong.to_csv(file, index=wrong.index.name == "units")
        with pytest.raises(ValueError, match=word) as caught:
            tos.datasets.counted(two_models, counts=file)
        assert "tos.datasets.count(name).to_csv(file)" in str(caught.value)


@pytest.mark.filterwarnings("ignore:cunningham2025. 13 of 10000 rows left out")
@pytest.mark.filterwarnings("ignore:mlperf_tiny. 12 of 114 rows left out")
@pytest.mark.parametrize(("name", "rows"), [
    ("ec_nas_bench", 2805), ("cunningham2025", 9987), ("gaissa_seaa2023", 369),
    ("mlperf_tiny", 102)])
def test_stored_counts_are_those_counted_now(load, name, rows):
    """Refused by `counted` if they were not."""
    load(name)
    counted = tos.datasets.counted(name, counts=DERIVED / f"03_{name}_counts.csv")
    assert len(counted) == rows
    assert counted.columns.is_unique
    assert set(counted) >= COUNTED
    assert counted[list(COUNTED)].notna().all(axis=None)
    assert (counted[[*COUNTED - {"parameters"}]] > 0).all(axis=None)
    if name == "ec_nas_bench":
        assert (counted.parameters == counted.trainable_params).all()


def test_dask_client_counts_the_same(two_models):
    distributed = pytest.importorskip("distributed")
    with distributed.Client(processes=False, n_workers=1, threads_per_worker=1,
                            dashboard_address=None) as client:
        table = tos.datasets.count(two_models, client=client)
    pd.testing.assert_frame_equal(table, tos.datasets.count(two_models))


def test_unknown_data_set_is_an_error():
    with pytest.raises(ValueError, match="no data set 'butter_e'; there are ec_nas_bench"):
        tos.datasets.counted("butter_e")


def test_law_of_a_data_set(load):
    """MLPerf Tiny within one device: from loader to law in three lines."""
    load("mlperf_tiny")
    with pytest.warns(UserWarning, match="12 of 114"):
        runs = tos.price(tos.datasets.counted("mlperf_tiny"))
    law = tos.fit_scaling_law(runs[runs.device == "STMicroelectronics NUCLEO-L4R5ZI"], ["macs"])
    assert law.n_configurations == 4
    assert np.isfinite(law.metrics.mean_relative_error)
