"""The Python blocks of docs/*.md run as tests, each page in a folder of its own."""

import os
import tempfile

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
