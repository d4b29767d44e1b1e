"""Op counts of a module of PyTorch's, module by module, from what runs in one call of it."""

from collections import Counter
from contextlib import contextmanager

import torch
from torch.nn.modules import module as hooks

from ..calls import CallCount
from .shared import code_of, titled
from .torch_runs import dearer
from .torch_tensors import fake_tensor

#: Where ops stand that no layer or module inside ran.
OPERATORS = "(operators)"
_SHAPES_ALONE = "PyTorch must be able to run it on shapes alone, as torch.export does"


def trace_function(module, arguments) -> dict:
    """Return path of a module -> (its class' name, CallCount) of one call in inference.

    Parameters
    ----------
    module : torch.nn.Module
        It is counted as if ``module.eval()`` had been called, and stays as it is.
    arguments : tuple or dict
        Of what it is called with; a tensor is anything with a ``shape`` and a ``dtype``.

    Returns
    -------
    dict
        A row for each innermost module that is called, all calls of it together, under its path as
        in ``named_modules``, and one for every other that computes something itself;
        ``(operators)`` is the module's own.

    Raises
    ------
    TraceError
        Its work depends on the data, its code raises, or an op of it has no counter.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> net = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Tanh())
    >>> rows = trace_function(net, (SimpleNamespace(shape=(2, 8), dtype="float32"),))
    >>> rows["0"][0], sorted(rows["0"][1].counts.items())
    ('Linear', [(('float32', 'add'), 8), (('float32', 'mac'), 64)])
    >>> rows["1"][0], rows["1"][1].counts
    ('Tanh', Counter({('float32', 'tanh'): 8}))
    """
    kind = type(module).__name__
    names = {id(m): name for name, m in module.named_modules()}
    trained = [m for m in module.modules() if m.training]
    called = {}
    given, named = ((), arguments) if isinstance(arguments, dict) else (arguments, {})

    def run(recorder, fake):
        with code_of(_SHAPES_ALONE), torch.no_grad(), _unfused(), fake:
            state = {name: fake_tensor(t) for name, t in (*module.named_parameters(),
                                                    *module.named_buffers())}
            args = [_argument(value) for value in given]
            kwargs = {key: _argument(value) for key, value in named.items()}
            with _paths(names, called) as recorder.scope, recorder:
                return torch.func.functional_call(module, state, tuple(args), kwargs)

    try:
        module.eval()
        with titled(kind):
            found = dearer(run)
    finally:
        for part in trained:
            part.training = True
    counts = {path: ops for (path, _), ops in found.counts.items()}
    holders = {path[:i] for path in called for i, letter in enumerate(path) if letter == "."}
    paths = [path for path in called if path not in holders or counts.get(path)]
    return {path or OPERATORS: (called.get(path, kind),
                                CallCount(counts.get(path, Counter()), "trace", found.notes))
            for path in (*paths, *([""] if counts.get("") or not paths else ()))}


@contextmanager
def _paths(names, called):
    """Return a context that yields a function: the path of the module that runs."""
    stack = [""]

    def enter(module, args):
        path = names.get(id(module), stack[-1])
        stack.append(path)
        if path:
            called.setdefault(path, type(module).__name__)

    def leave(module, args, output):
        stack.pop()

    handles = [hooks.register_module_forward_pre_hook(enter),
               hooks.register_module_forward_hook(leave, always_call=True)]
    try:
        yield lambda: stack[-1]
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _unfused():
    """Return a context in which recurrent and attention modules run op by op."""
    fused, onednn = torch.backends.mha.get_fastpath_enabled(), torch._C._get_mkldnn_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        torch._C._set_mkldnn_enabled(onednn)


def _argument(value):
    return fake_tensor(value) if hasattr(value, "shape") and hasattr(value, "dtype") else value
