"""What Keras runs on PyTorch, or a module of PyTorch's, traced: a call, or a training step.

It runs on fake tensors, which have a shape and no memory, under a mode that sees each op
(`torch_graph`). Nothing of the model is touched: fake tensors stand in the place of its variables.

Keras does not run the same arithmetic on PyTorch as on TensorFlow everywhere, and a trace says
what is run. It differs in these; `torch_definitions` holds what is counted alike all the same:

* dropout is x keep / (1 - rate) on PyTorch and a choice on TensorFlow;
* cross-entropy of integer labels is a log-softmax and a choice on PyTorch, one kernel on
  TensorFlow, which computes its gradient in the forward pass;
* a recurrent layer is a loop on TensorFlow, whose steps are all alike; on PyTorch the first needs
  no gradient of its states, the last no state that nobody reads (a masked one chooses none), and
  the gradients of the slices that gates are add up as whole tensors;
* the gradient of an embedding is a table on PyTorch;
* adaptive pooling takes each window's own inputs; Keras on TensorFlow pools all windows of two
  sizes and picks from both; an image is resampled by Keras, there by one kernel;
* several variables are updated at once by code of Keras' own for PyTorch, not one by one;
* attention whose values are not of the size of its keys scales both queries and keys;
* the kernel's gradient of a batch of matrices is one product, on TensorFlow one a sample, and sums;
* on a CPU, products of float16 are in float32, and those of small int8 matrices in int32.
"""

from collections import Counter, defaultdict
from contextlib import contextmanager
from functools import partial

import torch

from ..calls import BACKWARD_SCOPE, UPDATE_SCOPE, CallCount
from ..compiled import as_compiled
from ..introspection import sublayers
from ..running_state import constant_generators, unchanged, with_functions, with_places
from ..targets import trials
from ..trace import not_built, python_errors, says_how_to_count
from .shared import (
    are_data,
    counted_by_hand,
    learnt,
    needed_of,
    put_learnt,
    reached_of,
    rows,
    run_call,
    variables_in,
    variables_of,
)
from .torch_definitions import DEFINITIONS
from .torch_module import trace_function
from .torch_runs import dearer
from .torch_tensors import fake_tensor, torch_dtype

#: ``trace_call`` and ``trace_step`` as every backend has them; ``trace_function`` of a module.
__all__ = ["trace_call", "trace_function", "trace_step"]


def trace_call(call, by_user) -> CallCount:
    """Return the op counts of one call, from its trace; arguments and errors as `trace`."""
    layer = call.layer
    if not getattr(layer, "built", True):
        raise not_built(call)
    variables = variables_in(call)
    known = learnt([layer, *(x for _, x in sublayers(layer))])

    def run(recorder, fake):
        with (python_errors(call.path, kind=call.kind), unchanged(layer),
              with_functions(**DEFINITIONS),
              with_places(variables, partial(_place, fake), every=True),
              _by_hand(sublayers(layer), by_user, recorder), torch.no_grad(), fake):
            put_learnt(known, [fake_tensor(held) for _, _, held in known])
            tensors = list(map(fake_tensor, call.inputs))
            masks = [mask and fake_tensor(mask) for mask in call.masks]
            given = [*tensors, *(m for m in masks if m is not None)]
            with recorder.of(variables, given, are_data(call)):
                return run_call(call, tensors, masks)

    with says_how_to_count(call.path, call.kind):
        found = dearer(run)
    return CallCount(sum(found.counts.values(), Counter()), "trace", found.notes,
                     needed_of(call, found.needed), reached_of(call, found.reached, bool))


def trace_step(read, step, by_user) -> dict:
    """Return (layer, part) -> CallCount of a training step; arguments and errors as `trace`."""
    model, notes = read.model, []
    known = learnt(layer for _, layer in read.layers)

    def run(recorder, fake):
        worst = None
        with python_errors(model.name, step=True), with_functions(**DEFINITIONS):
            for tensors, data, said in trials(step, read, (read.output_tensors,)):
                recorder.clear()
                places = with_places(variables_of(model, step), partial(_place, fake), every=True)
                with (places,
                      as_compiled(model, step) as train_step,
                      _by_hand(read.layers, by_user, recorder), fake):
                    _forget_gradients(train_step.model)
                    put_learnt(known, [fake_tensor(held) for _, _, held in known])
                    given = data(list(map(fake_tensor, tensors)))
                    try:
                        with recorder.of(variables_of(train_step.model, step)):
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
        found = dearer(run)
    counts = defaultdict(Counter)
    for scope, ops in found.counts.items():
        if ops:
            counts[_name(*scope)] += ops
    return rows(counts, [_name(*scope) for scope in found.by_hand], (*notes, *found.notes), read)


def _name(scope, is_backward):
    """Return the name of an op that ran there as a graph of TensorFlow's has it."""
    if UPDATE_SCOPE in scope.split("/"):
        return f"{UPDATE_SCOPE}/op"
    return f"{BACKWARD_SCOPE}/{scope}/op" if is_backward else f"{scope}/op"


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
    """Return a context in which the recorder is told of calls of layers that the user counts.

    And of generators of random numbers that a constant is the seed of.
    """
    def put_mark(number):
        return recorder.inside(number), torch.clone

    def is_tensor(thing):
        return isinstance(thing, torch.Tensor)

    with (counted_by_hand(layers, by_user, put_mark, is_tensor) as found,
          constant_generators() as recorder.fixed):
        recorder.by_hand = found
        yield
