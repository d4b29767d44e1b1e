"""Files of published data: where they are looked for, and how they are fetched and checked.

What is fetched in these tests comes from a server on this machine.
"""

import dataclasses
import hashlib
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pandas as pd
import pytest
from published import copies, put

import tostoolkit as tos
from tostoolkit.datasets import Dataset, cunningham, ec_nas, files, gaissa, mlperf


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
        tos.datasets.load_at_hand({"mlperf_tiny": None})


@pytest.mark.parametrize(("name", "commit"), [
    ("ec_nas_bench", ec_nas.COMMIT), ("cunningham2025", cunningham.COMMIT),
    ("gaissa_seaa2023", gaissa.COMMIT), ("mlperf_tiny", mlperf.COMMITS["v0.7"])])
def test_no_copy_says_what_to_do(project, name, commit):
    with pytest.raises(files.NotAtHandError) as caught:
        tos.datasets.load(name)
    for word in (f"tos.datasets.load({name!r}, path=", "TOSTOOLKIT_DATA (not set)", "https://",
                 commit, f"python -m tostoolkit data {name} --to data/external"):
        assert word in str(caught.value)
    assert tos.datasets.load_at_hand({name: None}) == {}


@pytest.mark.parametrize(("name", "file"), [
    ("ec_nas_bench", r"EC-NAS-Bench-\*\.tar\.gz"), ("cunningham2025", "conv.csv"),
    ("gaissa_seaa2023", gaissa.FILE), ("mlperf_tiny", r"v0\.7/closed/.*results\.txt")])
def test_empty_folder_is_an_error(tmp_path, name, file):
    with pytest.raises(FileNotFoundError, match=f"no .*{file}"):
        tos.datasets.load(name, tmp_path)


@pytest.mark.parametrize(("name", "file"), [
    ("cunningham2025", "broadwell-ep-2025-05-05T11-01-26/conv.csv"),
    ("gaissa_seaa2023", gaissa.FILE), ("mlperf_tiny", mlperf.FILE)])
def test_damaged_file_is_an_error(tmp_path, name, file):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("batch_size\n1\n")
    with pytest.raises(ValueError, match=r"SHA-256 .* damaged, fetched in part.*move .* away"):
        tos.datasets.load(name, tmp_path)


def test_a_damaged_copy_is_no_reason_to_go_on_without_it(project):
    put(project, f"data/external/{mlperf.FILE}", "round,path\n")
    with pytest.raises(ValueError, match="damaged"):
        tos.datasets.load_at_hand({"mlperf_tiny": None})


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

    return Dataset(load, None, "line", {}, None, "", sources)


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
