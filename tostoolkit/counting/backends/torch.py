"""What Keras runs on PyTorch, or a module of PyTorch's, traced: a call, or a training step.

It runs on fake tensors, which have a shape and no memory, under a mode that sees each op
(`torch_graph`). Nothing of the model is touched: fake tensors stand in the place of its variables.

Keras does not run the same arithmetic on PyTorch as on TensorFlow everywhere, and a trace says
what is run. It differs in these:

* cross-entropy of integer labels is a log-softmax and a choice on PyTorch, one kernel on
  TensorFlow, which computes its gradient in the forward pass;
* a gradient of a difference is negated before it is summed, on TensorFlow after;
* x^2 and x^3 are products on PyTorch, powers on TensorFlow;
* TensorFlow's uniform random numbers are scaled by their range, and the state of its generators
  counts; here a draw is one ``random``.
"""

from collections import Counter, defaultdict
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from inspect import signature

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules import module as hooks

from ..calls import (
    BACKWARD,
    FORWARD,
    LOSS,
    LOSS_SCOPE,
    UPDATE,
    UPDATE_SCOPE,
    CallCount,
    LayerCall,
    Tensor,
)
from ..compiled import as_compiled
from ..introspection import (
    current_scope,
    is_operator,
    sublayers,
    with_functions,
    with_places,
)
from ..trace import TraceError, python_errors, says_how_to_count
from .torch_definitions import DEFINITIONS
from .torch_graph import Endless, Recorder

#: Where ops stand that no layer ran.
OPERATORS = "(operators)"


def trace_call(call, by_user) -> CallCount:
    """Return the op counts of one call, from its trace; arguments and errors as `trace`."""
    layer = call.layer
    if not getattr(layer, "built", True):
        raise TraceError(f"{call.path!r} is not built, so it cannot be traced; call it on its "
                         "inputs, or layer.build(shape), first")
    training = {"training": False} if "training" in signature(layer.call).parameters else {}
    variables = getattr(layer, "variables", ())

    def run(recorder, fake):
        with (python_errors(call.path), with_functions(**DEFINITIONS),
              with_places(variables, partial(_place, fake), every=True),
              _by_hand(sublayers(layer), by_user, recorder), torch.no_grad(), fake):
            args, kwargs = call.arguments(map(_fake, call.inputs))
            with recorder.of(variables):
                return layer(*args, **kwargs | training)

    with says_how_to_count(call.path, call.kind):
        counts, _, notes = _dearer(run)
    return CallCount(sum(counts.values(), Counter()), "trace", notes)


def trace_step(read, step, by_user) -> dict:
    """Return (layer, part) -> CallCount of a training step; arguments and errors as `trace`."""
    import keras

    model, notes = read.model, []

    def run(recorder, fake):
        with (python_errors(model.name, step=True), with_functions(**DEFINITIONS),
              with_places(model.variables, partial(_place, fake), every=True),
              as_compiled(model, step) as train_step,
              with_places(model.optimizer.variables, partial(_place, fake), every=True),
              _by_hand(read.layers, by_user, recorder), ExitStack() as stack):
            _forget_gradients(model)
            candidates, errors = list(step.targets_of(read.output_tensors())), []
            stack.enter_context(fake)
            for targets, said in candidates:
                x = read.structure([_fake(t) for t in read.inputs])
                y = keras.tree.map_structure(_fake, targets)
                try:
                    with recorder.of((*model.variables, *model.optimizer.variables)):
                        outputs = train_step((x, y))
                    notes[:] = said
                    return outputs
                except Endless:
                    raise
                except Exception as error:
                    errors.append(error)
                    recorder.clear()
            raise errors[0]

    with says_how_to_count(model.name, type(model).__name__):
        counts, by_hand, found = _dearer(run)
    return _by_layer(read, counts, by_hand, (*notes, *found))


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
    >>> rows["1"]
    ('Tanh', CallCount(counts=Counter({('float32', 'tanh'): 8}), method='trace', notes=()))
    """
    kind = type(module).__name__
    names = {id(m): name for name, m in module.named_modules()}
    trained = [m for m in module.modules() if m.training]
    called = {}
    given, named = ((), arguments) if isinstance(arguments, dict) else (arguments, {})

    def run(recorder, fake):
        with python_errors(kind), torch.no_grad(), _unfused(), fake:
            state = {name: _fake(t) for name, t in (*module.named_parameters(),
                                                    *module.named_buffers())}
            args = [_argument(value) for value in given]
            kwargs = {key: _argument(value) for key, value in named.items()}
            with _paths(names, called) as recorder.scope, recorder:
                return torch.func.functional_call(module, state, tuple(args), kwargs)

    try:
        module.eval()
        counts, _, notes = _dearer(run)
    finally:
        for part in trained:
            part.training = True
    counts = {path: ops for (path, _), ops in counts.items()}
    holders = {path[:i] for path in called for i, letter in enumerate(path) if letter == "."}
    paths = [path for path in called if path not in holders or counts.get(path)]
    return {path or OPERATORS: (called.get(path, kind),
                                CallCount(counts.get(path, Counter()), "trace", notes))
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
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.backends.mkldnn.flags(enabled=False):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _dearer(run):
    """Return the counts of what runs, (scope, is backward) -> Counter, and what to know of them.

    Where it looks at a condition on the data it runs a second time, with all of them false, and
    the dearer run counts.
    """
    found, errors, notes = [], [], ()
    for choice in (True, False):
        recorder = Recorder(current_scope, choice)
        try:
            outputs = run(recorder, FakeTensorMode(allow_non_fake_inputs=True))
            found.append(recorder.counts(outputs))
        except Endless:
            raise
        except TraceError as error:
            errors.append(error)
        if not recorder.choices:
            break
        notes = ("the dearer of the ways that a condition on the data leads to is counted",)
    if not found:
        raise errors[0]
    counts, by_hand = max(found, key=lambda f: sum(sum(ops.values()) for ops in f[0].values()))
    return counts, by_hand, notes


def _torch_dtype(dtype):
    """Return a PyTorch dtype, of which some of Keras' are wider than they say."""
    if isinstance(dtype, torch.dtype):
        return dtype
    name = str(getattr(dtype, "name", getattr(dtype, "__name__", dtype))).rpartition(".")[2]
    return getattr(torch, {"uint16": "int32", "uint32": "int64"}.get(name, name))


def _fake(tensor):
    """Return a tensor without memory, like one, or like what has its shape and dtype."""
    return torch.empty(tuple(tensor.shape), dtype=_torch_dtype(tensor.dtype))


def _argument(value):
    return _fake(value) if hasattr(value, "shape") and hasattr(value, "dtype") else value


def _place(fake, shape, dtype, trainable):
    """Return what stands in the place of a variable's value."""
    with fake:
        value = torch.empty(shape, dtype=_torch_dtype(dtype))
        return torch.nn.Parameter(value, requires_grad=trainable and value.is_floating_point())


def _forget_gradients(model):
    """Have the model forget the gradients of what stands in its variables' places, not its own."""
    def zero_grad(set_to_none=True):
        for variable in model.trainable_variables:
            variable.value.grad = None

    object.__setattr__(model, "zero_grad", zero_grad)


@contextmanager
def _by_hand(layers, by_user, recorder):
    """Return a context in which the user's counters stand for those of the layers that have one."""
    with ExitStack() as stack:
        for kind, layer in layers:
            counter = by_user(layer, kind)
            names = ("call", *(() if is_operator(layer) else ("quantized_call",)))
            for name in names if counter else ():
                marked = _marked(layer, kind, getattr(layer, name), counter, recorder)
                object.__setattr__(layer, name, marked)  # Keras would track it as state
                stack.callback(object.__delattr__, layer, name)
        yield


def _marked(layer, kind, call, counter, recorder):
    """Return the layer's `call`, which tells the recorder where it begins and ends."""
    import keras

    def tensors(structure):
        return [t for t in keras.tree.flatten(structure) if isinstance(t, torch.Tensor)]

    def specs(structure):
        return tuple(Tensor(tuple(t.shape), keras.backend.standardize_dtype(t.dtype))
                     for t in tensors(structure))

    @wraps(call)
    def marked(*args, **kwargs):
        number = recorder.begin()
        outputs = call(*args, **kwargs)
        written = specs(outputs)
        recorder.end(number, tensors((args, kwargs)), tensors(outputs), partial(
            counter, LayerCall(
                layer.name, kind, layer, specs((args, kwargs)), written,
                written[0].dtype if is_operator(layer) else layer.compute_dtype,
                {k: v for k, v in kwargs.items() if not tensors(v)})))
        return outputs

    return marked


def _by_layer(read, counts, by_hand, notes):
    """Return (layer, part of the step) -> CallCount; the layer is its path through the model."""
    layers = {layer.name for _, layer in read.layers if not is_operator(layer)}
    rows, place = defaultdict(Counter), partial(_row, names=layers, model=read.model.name)
    for scope, ops in counts.items():
        rows[place(scope)] += ops
    given, notes = set(map(place, by_hand)), tuple(dict.fromkeys(notes))
    return {key: CallCount(ops, "rule" if key in given else "trace", notes)
            for key, ops in rows.items() if ops}


def _row(scope, names, model):
    """Return (layer, part) of where an op ran."""
    scopes, part = scope[0].split("/"), BACKWARD if scope[1] else FORWARD
    if UPDATE_SCOPE in scopes:
        return "optimizer", UPDATE
    if scopes[0] == model:
        scopes.pop(0)
    path = []
    for name in scopes:
        if name in names:
            path.append(name)
        elif name == LOSS_SCOPE and not path:
            path.append(LOSS)
            break
        elif path:
            break
    return "/".join(path) or OPERATORS, part
