"""Sweeps where files are as on Windows, which is put on: nothing here runs there."""

import ast
import math
import os
from errno import ENOSPC
from pathlib import Path

import pytest
from models import some

import tostoolkit as tos
from tostoolkit.measuring import run as one_run
from tostoolkit.measuring import runs as runs_file
from tostoolkit.measuring import sweep
from tostoolkit.measuring.measure import Measurement

BINARY = 0x8000  # Windows' O_BINARY
PACKAGE = Path(tos.__file__).parent


@pytest.fixture
def windows(monkeypatch, tmp_path):
    """Open no folder, write text with its line ends, remove no open file, know no user's number."""
    real = {name: getattr(os, name) for name in ("open", "write", "close", "unlink")}
    opened, text = {}, set()

    def open_(path, flags, *args, **kwargs):
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied", str(path))
        file = real["open"](path, flags & ~BINARY, *args, **kwargs)
        if str(path).endswith(".csv"):
            opened[file] = str(path)
            if not flags & BINARY:
                text.add(file)
        return file

    def write(file, data):
        real["write"](file, bytes(data).replace(b"\n", b"\r\n") if file in text else data)
        return len(data)

    def close(file):
        opened.pop(file, None)
        text.discard(file)
        real["close"](file)

    def unlink(path, *args, **kwargs):
        if str(path) in opened.values():
            raise PermissionError(13, "it is in use by another process", str(path))
        real["unlink"](path, *args, **kwargs)

    for name, function in (("open", open_), ("write", write), ("close", close), ("unlink", unlink)):
        monkeypatch.setattr(os, name, function)
    monkeypatch.setattr(os, "O_BINARY", BINARY, raising=False)
    for name in ("O_DIRECTORY", "sched_getaffinity", "getuid", "pread"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setenv("USERNAME", "a user")


@pytest.fixture
def instant(monkeypatch):
    measured = Measurement(
        energy_j=math.nan, time_s=0.25, missing="no meter", steps=3, window_s=2.0, time_spread=0.1,
        warmup_steps=5, counter_updates=0, meter="none", device="a device", driver="",
        temperature_c=math.nan)
    monkeypatch.setattr(one_run, "measure", lambda *args, **kwargs: measured)
    monkeypatch.setattr(one_run, "_step", lambda row, *rest: row["configuration"])


def swept(out, **kwargs):
    return tos.run_sweep(some(2), out, progress=False, meter=None, **kwargs)


def test_a_sweep_writes_bytes_and_resumes(windows, instant, tmp_path):
    out = tmp_path / "runs.csv"
    assert len(swept(out, repeats=1)) == 2
    assert len(swept(out, repeats=3)) == 6
    assert b"\r" not in out.read_bytes()
    assert out.read_bytes().endswith(b"\n")


def test_a_file_that_cannot_be_begun_is_removed_once_it_is_closed(windows, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(runs_file, "_write_all", full)
    with pytest.raises(OSError, match="could not be written"):
        runs_file.RunsFile(tmp_path / "runs.csv", ["configuration", "repeat", "energy_j", "time_s"])
    assert not (tmp_path / "runs.csv").exists()


def test_a_cut_off_line_is_moved_aside(windows, instant, tmp_path):
    out = tmp_path / "runs.csv"
    swept(out, repeats=1)
    whole = out.read_bytes()
    out.write_bytes(whole[:-20])
    assert len(swept(out, repeats=1)) == 2
    assert out.with_name("runs.csv.torn").is_file()


def test_the_disguise_is_windows(windows, tmp_path):
    out = tmp_path / "a.csv"
    with pytest.raises(PermissionError):
        os.open(tmp_path, os.O_RDONLY)
    file = os.open(out, os.O_WRONLY | os.O_CREAT)
    os.write(file, b"a\n")
    with pytest.raises(PermissionError):
        out.unlink()
    os.close(file)
    assert out.read_bytes() == b"a\r\n"


def test_runs_that_fail_within_a_tick_of_the_clock_leave_a_budget(
        instant, tmp_path, monkeypatch):
    """Until Python 3.13 `time.monotonic` advances every 16 ms on Windows."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(sweep.time, "monotonic", lambda: next(ticks) // 50 * 0.016)
    monkeypatch.setattr(one_run, "_step", lambda row, *rest: 1 / 0)
    monkeypatch.setattr(one_run, "_free", lambda: None)  # slow, and there is nothing to free
    with pytest.raises(RuntimeError, match="ZeroDivisionError: division by zero"):
        tos.run_sweep(some(8), tmp_path / "runs.csv", progress=False, meter=None,
                      minutes=60)


def silent(code):
    """Return the lines that open a text file and do not say its encoding, and how many open one."""
    lines, seen = [], 0
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        owner = getattr(getattr(node.func, "value", None), "id", "")
        if name in ("open", "read_text", "write_text") and owner not in ("os", "tarfile"):
            seen += 1
            binary = name == "open" and any(
                isinstance(a, ast.Constant) and "b" in a.value for a in node.args[1:])
            if not binary and all(keyword.arg != "encoding" for keyword in node.keywords):
                lines.append(node.lineno)
    return lines, seen


def test_every_text_file_is_opened_in_an_encoding_that_is_said():
    """What is not said is the machine's code page on Windows."""
    opened = {path.name: silent(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}
    assert {name: lines for name, (lines, _) in opened.items() if lines} == {}
    assert sum(seen for _, seen in opened.values()) > 8
    assert silent('open(p)\np.read_text()\nopen(p, "rb")\np.open("r", encoding="utf-8")')[0] == [
        1, 2]
