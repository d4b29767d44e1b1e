"""The Python blocks of docs/*.md run as tests, each page in a folder of its own."""

import os
import tempfile
from importlib.util import find_spec

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser


def _enter(namespace):
    namespace["folder"] = tempfile.TemporaryDirectory()
    namespace["home"] = os.getcwd()
    os.chdir(namespace["folder"].name)


def _leave(namespace):
    os.chdir(namespace["home"])
    namespace["folder"].cleanup()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()], patterns=["docs/*.md"],
    setup=_enter, teardown=_leave,
).pytest()

#: Modules that trace what runs on PyTorch import it; where it is not, they are not looked at.
collect_ignore_glob = [] if find_spec("torch") else ["tostoolkit/counting/backends/torch*.py"]


def pytest_collection_modifyitems(items):
    """Put the pages first: a worker's first tests stay with it, so that a page's blocks do."""
    items.sort(key=lambda item: item.path.suffix != ".md")
