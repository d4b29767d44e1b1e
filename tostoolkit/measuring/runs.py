"""Runs files: measured runs in CSV, one row a run, on disk as each run ends; only appended to."""

import csv
import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd

IDLE = "idle"  # configuration of the rows that hold a device's idle baseline
LIBRARIES = ("tostoolkit", "keras", "tensorflow", "jax", "torch", "numpy")
#: What must be equal for runs to be of one block.
CONDITIONS = ("device", "meter", "driver", "backend", "python", "keras", "cores")
SHOWN = 60  # characters of a line that was cut off which a warning shows
_TEXT = ("configuration", "missing", "device", "meter", "driver", "flags", "counters", "error",
         "backend", "host", "device_id", "python", *LIBRARIES)  # "3.10" is a version, not a number


def load_runs(path: str | Path, baselines: bool = False, failed: bool = False) -> pd.DataFrame:
    """Return the runs of a file, one row a run, as they were measured.

    Where energy was measured, two columns are added: ``idle_w``, the power of the idle baselines
    just before and just after the run, on the same device in the same block, interpolated linearly
    between their mid-times (the nearest one where there is only one side, NaN where there is
    none); and ``net_energy_j = energy_j - idle_w * time_s``.

    Parameters
    ----------
    path : str or Path
    baselines : bool
        Also the rows of the idle baseline, whose ``configuration`` is ``idle``.
    failed : bool
        Also the runs that failed, whose ``error`` says why and whose ``time_s`` and ``energy_j``
        are NaN. Otherwise they are left out with a warning that says how many.

    Returns
    -------
    pandas.DataFrame
        ``device_id``, the device of the host, is called ``unit`` in files from before 0.3.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is empty, is not a runs file, or is damaged; the message says at which line. A last
        line that was cut off as it was written is left out instead, with a warning.

    Examples
    --------
    ``runs = tos.load_runs("data/raw/feed_forward_cpu.csv")``
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"path: there is no runs file {str(path)!r}; tos.run_sweep(model_set, {str(path)!r}) "
            "makes one")
    text, torn = complete_lines(path)
    header, rows = _rows(path, text)
    if torn:
        warnings.warn(f"{path.name}: its last line was cut off and is left out: "
                      f"{torn[:SHOWN].decode(errors='replace')!r}", stacklevel=2)
    failures = [row for row in rows if row.get("error")]
    if failures and not failed:
        warnings.warn(
            f"{path.name}: {len(failures)} failed runs are left out, the last of "
            f"{failures[-1]['configuration']!r} ({failures[-1]['error']}); failed=True shows them, "
            "and tos.run_sweep(..., retry_failed=True) measures them again", stacklevel=2)
    # Before they are a table, where the empty factors of a baseline make floats of integers
    runs = _table(header, [row for row in rows if (baselines or row["configuration"] != IDLE)
                           and (failed or not row.get("error"))])
    if runs.energy_j.notna().any() and {"device_id", "block", "ended"} <= set(header):
        idle = _table(header, [row for row in rows if row["configuration"] == IDLE])
        runs["idle_w"] = _idle_power(runs, idle)
        runs["net_energy_j"] = runs.energy_j - runs.idle_w * runs.time_s
    return runs


def _table(header, rows):
    text = [name for name in _TEXT if name in header]
    lines = pd.DataFrame(rows, columns=header).to_csv(index=False)
    table = pd.read_csv(io.StringIO(lines), dtype=dict.fromkeys(text, str), keep_default_na=False,
                        na_values=["", "nan"])
    table[text] = table[text].astype(object).fillna("")
    return table.astype({"energy_j": float, "time_s": float})


def _rows(path, text):
    """Return the header, and a dict for each line; raise unless each has what the header names."""
    if "\0" in text:
        raise _damaged(path, text[:text.index("\0")].count("\n") + 1, "it holds null characters")
    lines = csv.reader(io.StringIO(text))
    header = next(lines, [])
    missing = [c for c in ("configuration", "repeat", "energy_j", "time_s") if c not in header]
    if missing:
        raise ValueError(f"{path.name}: it is not a runs file: its header lacks "
                         f"{', '.join(missing)}; tos.run_sweep writes runs files")
    header, rows = _names_of_today(header), []
    for line in lines:
        if len(line) != len(header):
            raise _damaged(
                path, lines.line_num, f"it has {len(line)} fields instead of {len(header)}")
        row = dict(zip(header, line, strict=True))
        for name in ("energy_j", "time_s"):
            try:
                float(row[name] or "nan")
            except ValueError:
                raise _damaged(path, lines.line_num,
                               f"{name} is {row[name]!r}, not a number") from None
        rows.append(row)
    return header, rows


def _names_of_today(header):
    """Return a header with the name that a column has had since 0.3.

    Files that name the host have always named its device, and a factor could not take that name.
    """
    if "host" not in header or "device_id" in header:
        return header
    return ["device_id" if name == "unit" else name for name in header]


def conditions_of(row: dict) -> dict[str, str]:
    """Return what must be equal of a run's row for it to be of one block, as text."""
    return {name: str(row[name]) for name in (*CONDITIONS, row["backend"])}


def _damaged(path, line, what):
    return ValueError(f"{path.name}: line {line} is damaged: {what}; restore the file from a copy, "
                      "or delete that line and let tos.run_sweep measure the run again")


def _idle_power(runs, baselines):
    """Return the idle power at the time of each run, in watts, between its nearest baselines."""
    place = ["block", "host", "device_id"]
    power = np.full(len(runs), np.nan)
    baselines = baselines[baselines.power_w.notna()]
    baselines = baselines.assign(mid_time=_mid_times(baselines)).sort_values("mid_time")
    at_place = baselines.groupby(place).indices
    for key, members in runs.groupby(place).indices.items():
        if key in at_place:
            idle = baselines.iloc[at_place[key]]
            power[members] = np.interp(_mid_times(runs.iloc[members]), idle.mid_time, idle.power_w)
    return power


def _mid_times(rows):
    """Return the middle of each run, in seconds since 1970."""
    start, end = (pd.to_datetime(rows[name], utc=True, format="ISO8601")
                  for name in ("started", "ended"))
    return ((start - pd.Timestamp(0, tz="UTC") + (end - start) / 2).dt.total_seconds()).to_numpy()


def complete_lines(path: str | Path) -> tuple[str, bytes]:
    """Return the file's complete lines as text, and the bytes that follow the last of them.

    A run is on disk once its line is; a machine that loses power may leave its last line cut off,
    or as long as it was to be but filled with zeros.
    """
    data = Path(path).read_bytes()
    zero = data.find(b"\0")
    if zero >= 0 and b"\n" not in data[zero:].rstrip(b"\0\n"):
        end = data.rfind(b"\n", 0, zero) + 1
    else:
        end = data.rfind(b"\n") + 1
    try:
        return data[:end].decode(), data[end:]
    except UnicodeDecodeError as error:
        raise ValueError(f"{Path(path).name}: it is not a text file (byte {error.start}); restore "
                         "it from a copy") from None


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Hold the lock of a runs file, which the kernel gives back however this process ends."""
    from filelock import FileLock, Timeout

    try:
        lock = FileLock(f"{path}.lock", timeout=0).acquire()
    except Timeout:
        raise BlockingIOError(
            f"out: another sweep is writing {str(path)!r}; wait for it to end or stop it, or give "
            "another file") from None
    except OSError as error:
        raise _unwritable(path, error) from error
    with lock:
        yield


def _unwritable(path, error):
    return OSError(
        error.errno, f"the run could not be written ({error.strerror or error}); the runs before "
        "it are as they were: make room or give the right to write, run the same sweep again, and "
        "it resumes", str(path))


class RunsFile:
    """A runs file to append to; its lock must be held.

    It is made if it is not there; a last line that was cut off is moved to a file ``.torn`` beside.
    A file from before 0.3 keeps its header, with ``unit`` for ``device_id``. `runs` is what the
    file held, baselines and failed runs included.
    """

    def __init__(self, path: Path, columns: list[str]):
        self.path, self.columns = path, columns
        header = _line(columns)
        text, torn = complete_lines(path) if path.exists() else ("", b"")
        if text:
            header_there = _names_of_today(next(csv.reader(io.StringIO(text))))
            if header_there != columns and {"configuration", "time_s"} <= set(header_there):
                other = sorted(set(header_there) ^ set(columns)) or "their order"
                raise ValueError(f"out: {path.name} has other columns ({other}); give another file")
        elif torn.strip(b"\0") and not header.startswith(torn.strip(b"\0")):
            raise ValueError(f"out: {path.name} is not a runs file; give another file")
        self.runs = _table(*_rows(path, text or header.decode()))
        if torn:
            self._drop(text, torn)
        self._size = len(text.encode())
        if not text:
            self._write(header)

    def append(self, row: dict) -> None:
        """Write one row and have it on disk on return; a row that cannot be leaves no trace."""
        values = [str(row.get(name, "")).replace("\0", " ") for name in self.columns]
        self._write(_line(" ".join(value.splitlines()) for value in values))  # a row is a line

    def _write(self, line):
        is_new = not self.path.exists()
        # Windows gives text other line ends, and the file another size than was written
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        try:
            file = os.open(self.path, flags, 0o666)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        remove = False
        try:
            if os.fstat(file).st_size != self._size:
                raise OSError(f"{str(self.path)!r} was changed by another program; run the same "
                              "sweep again, and it resumes from what the file holds now")
            try:
                _write_all(file, line)
                os.fsync(file)
                if is_new:
                    _sync_folder(self.path.parent)
            except BaseException as error:  # also an interrupt between two pieces of a line
                remove = is_new
                with suppress(OSError):
                    os.ftruncate(file, self._size)
                    os.fsync(file)
                if isinstance(error, OSError):
                    raise _unwritable(self.path, error) from error
                raise
            self._size += len(line)
        finally:
            os.close(file)
            if remove:  # once it is closed: Windows removes no file that is open
                self.path.unlink(missing_ok=True)

    def _drop(self, text, torn):
        """Keep the cut-off line beside, then cut it off, so that the next starts a line."""
        try:
            with open(f"{self.path}.torn", "ab") as file:
                file.write(torn.replace(b"\0", b"") + b"\n")
            with open(self.path, "r+b") as file:
                file.truncate(len(text.encode()))
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritable(self.path, error) from error


def _line(values):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(list(values))
    return out.getvalue().encode()


def _write_all(file, data):
    while data:
        data = data[os.write(file, data):]


def _sync_folder(folder):
    """Have the folder's new entry on disk; Windows opens no folder, and NTFS logs its entries."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
