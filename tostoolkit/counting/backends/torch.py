"""What Keras runs on PyTorch, or a module of PyTorch's, traced: a call, or a training step.

It runs on fake tensors, which have a shape and no memory, under a mode that sees each op
(`torch_graph`). Nothing of the model is touched: fake tensors stand in the place of its variables.

Keras does not run the same arithmetic on PyTorch as on TensorFlow everywhere, and a trace says
what is run. It differs in these; `torch_definitions` holds what is counted alike all the same:

* dropout is x keep / (1 - rate) on PyTorch and a choice on TensorFlow, where the states of
  generators count too; here a draw is one ``random``;
* cross-entropy of integer labels is a log-softmax and a choice on PyTorch, one kernel on
  TensorFlow, which computes its gradient in the forward pass;
* a recurrent layer is a loop on TensorFlow, whose steps are all alike; on PyTorch the first needs
  no gradient of its states, the last no state that nobody reads, and the gradients of the slices
  that gates are add up as whole tensors;
* the gradient of an embedding is a table on PyTorch; indices are brought into range as int64;
* attention whose values are not of the size of its keys scales both queries and keys;
* the kernel's gradient of a batch of matrices is one product, on TensorFlow one a sample, and sums;
* on a CPU, products of float16 are in float32, and those of small int8 matrices in int32.
"""

from collections import Counter, defaultdict
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from inspect import signature

import torch

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
from ..compiled import as_compiled, optimizers_of
from ..introspection import is_operator, sublayers
from ..running_state import mask_of, put_mask, unchanged, with_functions, with_places
from ..targets import trials
from ..trace import not_built, python_errors, says_how_to_count
from .shared import variables_of
from .torch_definitions import DEFINITIONS
from .torch_graph import dearer
from .torch_module import OPERATORS, trace_function
from .torch_tensors import fake_tensor, torch_dtype

#: ``trace_call`` and ``trace_step`` as every backend has them; ``trace_function`` of a module.
__all__ = ["trace_call", "trace_function", "trace_step"]


def trace_call(call, by_user) -> CallCount:
    """Return the op counts of one call, from its trace; arguments and errors as `trace`."""
    import keras

    layer = call.layer
    if not getattr(layer, "built", True):
        raise not_built(call)
    training = {"training": False} if "training" in signature(layer.call).parameters else {}
    variables = variables_of(call)

    def run(recorder, fake):
        with (python_errors(call.path, kind=call.kind), unchanged(layer),
              with_functions(**DEFINITIONS),
              with_places(variables, partial(_place, fake), every=True),
              _by_hand(sublayers(layer), by_user, recorder), torch.no_grad(), fake):
            tensors = list(map(fake_tensor, call.inputs))
            for tensor, mask in zip(tensors, call.masks, strict=False):
                if mask is not None:
                    put_mask(tensor, fake_tensor(mask))
            args, kwargs = call.arguments(tensors)
            with recorder.of(variables):
                outputs = layer(*args, **kwargs | training)
                flat = keras.tree.flatten(outputs)
                masks = [mask_of(flat[place]) for place in call.masks_wanted]
                return call.returned(flat), masks

    with says_how_to_count(call.path, call.kind):
        counts, _, notes = dearer(run)
    return CallCount(sum(counts.values(), Counter()), "trace", notes)


def trace_step(read, step, by_user) -> dict:
    """Return (layer, part) -> CallCount of a training step; arguments and errors as `trace`."""
    model, notes = read.model, []

    def run(recorder, fake):
        worst = None
        with python_errors(model.name, step=True), with_functions(**DEFINITIONS):
            for tensors, data, said in trials(step, read, (read.output_tensors,)):
                recorder.clear()
                variables = _variables(model, step)
                with (with_places(variables, partial(_place, fake), every=True),
                      as_compiled(model, step) as train_step,
                      _by_hand(read.layers, by_user, recorder), fake):
                    _forget_gradients(train_step.model)
                    given = data(list(map(fake_tensor, tensors)))
                    try:
                        with recorder.of(_variables(train_step.model, step)):
                            outputs = train_step(given)
                    except Exception as error:
                        if recorder.refused:
                            raise
                        if worst is None or len(tensors) > len(read.inputs):
                            worst = error  # what goes wrong with targets says more
                        continue
                    notes[:] = said
                    return outputs
            raise worst

    with says_how_to_count(model.name, type(model).__name__, step=True):
        counts, by_hand, found = dearer(run)
    return _by_layer(read, counts, by_hand, (*notes, *found))


def _variables(model, step):
    """Return the variables of a model and of the optimizers of its step."""
    optimizers = [*optimizers_of(model), *([step.optimizer] if step.optimizer else [])]
    return [*model.variables, *(v for optimizer in optimizers for v in optimizer.variables)]


def _place(fake, shape, dtype, trainable):
    """Return what stands in the place of a variable's value."""
    with fake:
        value = torch.empty(shape, dtype=torch_dtype(dtype))
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
