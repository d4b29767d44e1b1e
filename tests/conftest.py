"""Each test worker has a folder for temporary files of its own.

The locks of devices lie there, so that tests that measure do not wait for another worker's. What a
test starts, a notebook's kernel say, inherits the folder.
"""

import os
import shutil
import tempfile


def pytest_configure(config):
    if "PYTEST_XDIST_WORKER" in os.environ:
        config.of_worker = tempfile.mkdtemp(prefix=f"{os.environ['PYTEST_XDIST_WORKER']}-")
        os.chmod(config.of_worker, 0o1777)  # as the system's: some tests are run by nobody
        os.environ["TMPDIR"] = tempfile.tempdir = config.of_worker


def pytest_unconfigure(config):
    if hasattr(config, "of_worker"):
        shutil.rmtree(config.of_worker, ignore_errors=True)
