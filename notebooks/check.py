"""Say whether the figures and numbers are those that are committed, or which moved, and by how much.

``python notebooks/check.py keep build/committed`` before the notebooks run keeps a copy of what is
committed; ``python notebooks/check.py compare build/committed`` afterwards compares. Pictures are
compared as pictures, and a PDF through the PNG beside it; numbers to four significant digits. No
byte counts: processors round the last digits differently.
"""

import argparse
import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.testing.compare import calculate_rms
from matplotlib.testing.exceptions import ImageComparisonFailure
from PIL import Image

ROOT = Path(__file__).parent.parent
FOLDERS = ("data/derived", "figures")
#: Numbers are written to four digits, the last of which a processor's rounding may change by one.
RELATIVE = 2e-3
#: A difference of two numbers has the error of the numbers: of the largest in its column.
OF_LARGEST = 2e-5
#: Root mean square of the difference of two pictures, of 255. Numbers rounded to four digits
#: instead of six, which moves edges by a pixel and turns a label's last digit, give up to 3; one
#: mark of 450 at 1.3 times its place gives 4.5, a series in another colour 7, a legend gone 38.
PICTURE = 4.0
#: Column that says whether a row is an earlier run's (`tostoolkit.laws.results.carried_over`).
CARRIED = "carried"
#: File in a folder that `keep` made: no other folder is ever replaced.
MARK = "kept-by-check"


def keep(folder):
    """Copy the committed figures and derived data into a folder; without git, those that are here."""
    mark = folder / MARK
    if folder.exists() and not mark.exists():
        sys.exit(f"{folder}: it is there and holds no whole earlier copy; move it away, or name "
                 "another folder")
    git = shutil.which("git") and subprocess.run(
        ["git", "archive", "HEAD", *FOLDERS], cwd=ROOT, capture_output=True)
    if git and git.returncode == 0:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        mark.touch()  # first: what is interrupted here is made again by the next run
        with tarfile.open(fileobj=io.BytesIO(git.stdout)) as tar:
            tar.extractall(folder, filter="data")
    elif not mark.exists():  # an unpacked release: the first run finds it as it was published
        for part in FOLDERS:
            shutil.copytree(ROOT / part, folder / part)
        mark.touch()


def compare(old, new):
    """Return a line for each file of the folders that is gone, new, or not as it was."""
    lines = []
    for part in FOLDERS:
        names = sorted({p.name for root in (old, new) for p in (root / part).glob("[!.]*.*")})
        for name in names:
            before, now = old / part / name, new / part / name
            lines += [f"{part}/{name}: {line}" for line in (
                ["it is not written any more"] if not now.exists() else
                ["it is new"] if not before.exists() else _said(before, now))]
    return lines


def _said(old, new):
    try:
        return moved(old, new)
    except (OSError, ValueError) as error:  # a file cut off, or of a kind that is none of ours
        return [f"it cannot be compared ({str(error).splitlines()[0]})"]


def moved(old, new):
    """Return what differs between two files of one name: figures or tables of numbers.

    Raises
    ------
    ValueError
        A kind of file that is none of .csv, .json, .png, .pdf.
    """
    if old.suffix not in KINDS:
        raise ValueError(f"{old.name}: it cannot be compared; there are {', '.join(KINDS)}")
    return KINDS[old.suffix](old, new)


def _tables(old, new):
    return _frames(*(pd.read_csv(path) for path in (old, new)))


def _frames(old, new):
    if len(old) != len(new):
        return [f"its {len(old)} rows are {len(new)} now"]
    lines = [f"column {name}: it is {'new' if name in new else 'gone'}"
             for name in old.columns.symmetric_difference(new.columns, sort=False)]
    return lines + [line for name in old.columns.intersection(new.columns, sort=False)
                    if name != CARRIED for line in _columns(name, old[name], new[name])]


def _columns(name, old, new):
    """Return what differs of a column; words and integers are compared exactly."""
    same = ((old == new) | (old.isna() & new.isna())).to_numpy()
    far = np.where(same, -1.0, 0.0)
    measured = [pd.api.types.is_float_dtype(c) for c in (old, new)]
    numbers = [pd.api.types.is_numeric_dtype(c) and not pd.api.types.is_bool_dtype(c)
               for c in (old, new)]
    if any(measured) and all(numbers):
        a, b = old.to_numpy(float), new.to_numpy(float)
        finite = np.isfinite(a) & np.isfinite(b)
        largest = np.max(np.abs(a), initial=0, where=np.isfinite(a))
        with np.errstate(divide="ignore", invalid="ignore"):
            near = np.abs(a - b) <= RELATIVE * np.abs(a) + OF_LARGEST * largest
            same = same | (finite & near)
            far = np.where(same, -1, np.where(finite, np.abs(b / a - 1), np.inf))
    if same.all():
        return []
    i = int(np.argmax(far))
    by = f" ({new[i] / old[i] - 1:+.2%})" if all(numbers) and 0 < far[i] < np.inf else ""
    shown = [f"{c[i]:.6g}" if kind else str(c[i]) for c, kind in zip(
        (old, new), measured, strict=True)]
    return [f"{name}, row {i + 1}: {shown[0]} is now {shown[1]}{by}, and {(~same).sum() - 1} more"]


def _records(old, new):
    old, new = (json.loads(path.read_text(encoding="utf-8")) for path in (old, new))
    if list(old) != list(new):
        return [f"{', '.join(old)} were {', '.join(new)}"]
    return [f"{name}, {line}" for name in old
            for line in _frames(pd.DataFrame(old[name]), pd.DataFrame(new[name]))]


def _pictures(old, new):
    pixels = [np.asarray(Image.open(path).convert("RGB"), np.int16) for path in (old, new)]
    try:
        rms = calculate_rms(*pixels)
    except ImageComparisonFailure:
        return ["its size was {1} x {0} pixels, and is {3} x {2}".format(
            *pixels[0].shape[:2], *pixels[1].shape[:2])]
    return [] if rms <= PICTURE else [f"the picture differs by {rms:.2f} of 255, root mean square"]


def _through_its_png(old, new):
    """The two are written from one figure, so the PNG tells of the PDF; but it must be a whole one."""
    data = new.read_bytes()
    whole = data.startswith(b"%PDF") and data.rstrip().endswith(b"%%EOF")
    return [] if whole and new.with_suffix(".png").exists() else ["it is no whole PDF with a PNG beside"]


KINDS = {".csv": _tables, ".json": _records, ".png": _pictures, ".pdf": _through_its_png}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["keep", "compare"])
    parser.add_argument("folder", type=Path, help="of the copy of what is committed")
    parser.add_argument("--strict", action="store_true", help="fail where anything moved")
    args = parser.parse_args()
    if args.command == "keep":
        keep(args.folder)
        return
    if not (args.folder / MARK).exists():
        sys.exit(f"{args.folder}: there is no copy to compare with; keep one first")
    lines = compare(args.folder, ROOT)
    numbers = [len(list((args.folder / part).glob("*.*"))) for part in FOLDERS]
    print("\n".join(["not as committed:", *lines]) if lines else "same as committed: " + ", ".join(
        f"{n} files in {part}" for n, part in zip(numbers, FOLDERS, strict=True)))
    results = ROOT / "data" / "derived" / "03_errors.csv"
    errors = pd.read_csv(results) if results.exists() else pd.DataFrame({CARRIED: []})
    if carried := list(errors[errors[CARRIED].astype(bool)].get("dataset", pd.Series()).unique()):
        print(f"carried over, since their data are not at hand: {', '.join(carried)}; make data "
              "fetches them")
    sys.exit(bool(lines and args.strict))


if __name__ == "__main__":
    main()
