"""The package with one record more, as `CONTRIBUTING.md` says where it goes: a copy, imported."""

import re
import shutil
import sys
from contextlib import contextmanager
from importlib import import_module
from itertools import count
from pathlib import Path

import tostoolkit

PACKAGE = Path(tostoolkit.__file__).parent
CONTRIBUTING = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
#: What is to be added -> where, in the words of the table.
ROWS = dict(re.findall(r"^\| (an? .+?) \| (.+) \|$", CONTRIBUTING, re.M))
_NUMBERS = count()


def quoted(text):
    """Return what stands between backquotes."""
    return re.findall("`([^`]+)`", text)


def place(thing):
    """Return the registry that the table names for a thing, and its file."""
    words = quoted(ROWS[thing])
    registry = next(word for word in words if word.isupper())
    return registry, next(word for word in words[words.index(registry):] if word.endswith(".py"))


@contextmanager
def package_with(folder, files):
    """Import a copy of the package in which some files are others.

    Parameters
    ----------
    folder : Path
    files : dict of str to (str or function)
        Path in the package -> text of a new file, or function of the text that is there.
    """
    name = f"extended_{next(_NUMBERS)}"
    shutil.copytree(PACKAGE, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in files.items():
        file = folder / name / path
        file.write_text(text(file.read_text(encoding="utf-8")) if callable(text) else text,
                        encoding="utf-8")
    sys.path.insert(0, str(folder))
    finders = list(sys.meta_path)
    try:
        yield import_module(name)
    finally:
        sys.path.remove(str(folder))
        sys.meta_path[:] = finders
        for module in [m for m in sys.modules if m.partition(".")[0] == name]:
            del sys.modules[module]


def with_record(thing, record):
    """Return the one change that adds a record to the registry of a thing, for `package_with`."""
    registry, path = place(thing)
    opening = re.compile(rf"^{registry}(?:: [^=]+)? = (?:MappingProxyType\()?[({{]", re.M)

    def added(text):
        assert len(opening.findall(text)) == 1
        return opening.sub(lambda match: f"{match[0]}{record}", text)

    return {path: added}
