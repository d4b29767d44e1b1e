"""A run on PyTorch's fake tensors, recorded: twice where a condition on the data decides it."""

import logging
import sys
from collections import Counter
from contextlib import contextmanager

from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_map

from ..running_state import current_scope
from ..trace import TraceError
from .torch_graph import Recorder
from .torch_tensors import Endless


@contextmanager
def _constants():
    """Return a context in which small constants keep their values, and what is made of them."""
    limit = fake_tensor.CONSTANT_NUMEL_LIMIT
    fake_tensor.CONSTANT_NUMEL_LIMIT = 4096
    try:
        yield
    finally:
        fake_tensor.CONSTANT_NUMEL_LIMIT = limit


@contextmanager
def _without_triton():
    """Return a context in which PyTorch does not load Triton where TensorFlow is loaded.

    Both hold an LLVM of their own, and the second of them to be loaded ends the process.
    """
    clash = "tensorflow" in sys.modules and "triton" not in sys.modules
    if clash:
        sys.modules["triton"] = None  # as if it were not installed
    try:
        yield
    finally:
        if clash:
            del sys.modules["triton"]


@contextmanager
def _quiet():
    """Return a context in which PyTorch does not log an error that is raised as well."""
    logger = logging.getLogger(fake_tensor.__name__)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def dearer(run):
    """Return the `Found` of what runs; `run` takes a recorder and a mode of fake tensors.

    Where it looks at a condition on the data it runs a second time, with all of them false, and
    the dearer run counts.
    """
    found, errors, notes = [], [], ()
    for choice in (True, False):
        recorder = Recorder(current_scope, choice)
        try:
            with _constants(), _without_triton(), _quiet():
                outputs = run(recorder, FakeTensorMode(allow_non_fake_inputs=True))
            found.append(recorder.counts(outputs))
        except TraceError as error:
            if isinstance(recorder.refused, Endless):
                raise recorder.refused from None
            errors.append(recorder.refused or error)
        if not recorder.choices:
            break
    if not found:
        raise errors[0]
    ops = [sum(f.counts.values(), Counter()) for f in found]
    if errors or any(each != ops[0] for each in ops):
        notes = ("the dearer of the ways that a condition on the data leads to is counted",)
    dear = found[ops.index(max(ops, key=Counter.total))]
    needed = [any(each) for each in zip(*(f.needed for f in found), strict=True)]
    reached = found[0].reached
    if len(found) > 1:
        reached = tree_map(lambda *each: any(each), *(f.reached for f in found))
    return dear._replace(needed=needed, notes=notes, reached=reached)
