"""What the backends share: how a call runs, layers that the user counts by hand, a step's rows."""

import re
from collections import Counter, defaultdict
from contextlib import ExitStack, contextmanager
from functools import partial, wraps

from ..calls import (
    BACKWARD,
    BACKWARD_SCOPE,
    FORWARD,
    LOSS,
    LOSS_SCOPE,
    UPDATE,
    UPDATE_SCOPE,
    CallCount,
    LayerCall,
    Tensor,
)
from ..introspection import is_operator, optimizers_of
from ..running_state import mask_of, put_mask
from ..trace import TraceError, cause_of


def run_call(call, tensors, masks, arguments=None):
    """Run a call in inference, on tensors with the masks that Keras finds on them, None without.

    Returns those of its outputs that are wanted, flat, and the masks of those that a later call
    looks at. `arguments` are those of the call, where they are not as it says.
    """
    import keras

    for tensor, mask in zip(tensors, masks, strict=False):
        if mask is not None:
            put_mask(tensor, mask)
    args, kwargs = call.arguments(tensors) if arguments is None else arguments
    flat = keras.tree.flatten(call.layer(*args, **kwargs | in_inference(call.layer)))
    return call.returned(flat), [mask_of(flat[place]) for place in call.masks_wanted]


def masked(call):
    """Return (place of an input, its mask) of those inputs of a call that have one."""
    return [(i, mask) for i, mask in enumerate(call.masks) if mask is not None]


def given_to(call) -> list:
    """Return the places of what a trace of a call is given: its inputs, then their masks."""
    return [*range(len(call.inputs)), *(("mask", i) for i, _ in masked(call))]


def are_data(call) -> list[bool]:
    """Return of each of the inputs of a call, then of their masks, whether data reach it."""
    return [place not in call.constants for place in given_to(call)]


def needed_of(call, needed) -> frozenset:
    """Return what a CallCount says in `needs`; `needed` is of each input, then of each mask."""
    return frozenset(
        place for place, is_needed in zip(given_to(call), needed, strict=True) if is_needed)


def reached_of(call, outputs, reached) -> frozenset:
    """Return what a CallCount says in `reached`.

    `outputs` is what `run_call` returns, of which `reached` says of a tensor whether data reach it.
    """
    made, masks = outputs
    places = range(len(made)) if call.wanted is None else call.wanted
    both = [*zip(places, made, strict=True),
            *((("mask", place), mask) for place, mask in
              zip(call.masks_wanted, masks, strict=True))]
    return frozenset(place for place, tensor in both if reached(tensor))


def variables_of(model, step) -> list:
    """Return the variables of a model and of the optimizers of its step."""
    optimizers = [*optimizers_of(model), *([step.optimizer] if step.optimizer else [])]
    return [*model.variables, *(v for optimizer in optimizers for v in optimizer.variables)]


def learnt(layers) -> list:
    """Return (layer, attribute, Tensor) of what normalisation layers have learnt.

    It is a weight, which Keras keeps as a constant.
    """
    import keras

    return [(layer, name, Tensor(tuple(held.shape), keras.backend.standardize_dtype(held.dtype)))
            for layer in layers if isinstance(layer, keras.layers.Normalization) and layer.variables
            for name, held in (("mean", layer.mean), ("variance", layer.variance))]


def put_learnt(known, values):
    """Put values in the place of what `learnt` has found."""
    for (layer, name, _), value in zip(known, values, strict=True):
        object.__setattr__(layer, name, value)


def in_inference(layer) -> dict:
    """Return the keyword that a layer is called with in inference, as a model calls it.

    Each layer is told, whether or not its ``call`` takes `training`: else what is in it takes the
    default of whichever layer was called before, and one of ``Resizing`` is True.

    >>> import keras
    >>> in_inference(keras.layers.Dense(3)), in_inference(keras.layers.Lambda(abs))
    ({'training': False}, {'training': False})
    """
    return {} if is_operator(layer) else {"training": False}


@contextmanager
def code_of(what_holds):
    """Turn what a function or module raises under tracing into a `TraceError`.

    It says what a layer's does: the innermost error, and the line of the user's that raised it.
    """
    try:
        yield
    except TraceError:
        raise
    except Exception as error:
        raise TraceError(f"its code raised {cause_of(error)}; {what_holds}") from error


@contextmanager
def titled(title):
    """Put the name of a function or module before what a `TraceError` says."""
    try:
        yield
    except TraceError as error:
        raise TraceError(f"{title!r} cannot be traced: {error}") from error.__cause__


def variables_in(call) -> list:
    """Return the variables of a call: those of its layer, and those that it is handed."""
    import keras

    held = list(getattr(call.layer, "variables", ()))
    given = [v for v in keras.tree.flatten(call.arguments(call.inputs))
             if isinstance(v, keras.Variable)]
    return list({id(v): v for v in held + given}.values())


@contextmanager
def counted_by_hand(layers, by_user, put_mark, is_tensor):
    """Return a context in which the user's counters stand for those of the layers that have one.

    A call of such a layer puts a mark in the trace: `put_mark` takes its number and returns a
    context for the call and a function that marks a tensor. What is yielded says what the marks
    stand for: number -> function that returns the op counts of that call.
    """
    by_hand = {}
    with ExitStack() as stack:
        for kind, layer in layers:
            counter = by_user(layer, kind)
            names = ("call", *(() if is_operator(layer) else ("quantized_call",)))
            for name in names if counter else ():
                marked = _marked(layer, kind, getattr(layer, name), counter, by_hand, put_mark,
                                 is_tensor)
                object.__setattr__(layer, name, marked)  # Keras would track it as state
                stack.callback(object.__delattr__, layer, name)
        yield by_hand


def _marked(layer, kind, call, counter, by_hand, put_mark, is_tensor):
    """Return the layer's `call` with a mark around it in the trace."""
    import keras

    def tensors(structure):
        return tuple(Tensor(tuple(t.shape), keras.backend.standardize_dtype(t.dtype))
                     for t in keras.tree.flatten(structure) if is_tensor(t))

    @wraps(call)
    def marked(*args, **kwargs):
        number = len(by_hand)
        by_hand[number] = None  # calls inside this one come after it
        scope, mark = put_mark(number)
        with scope:
            args, tensor_kwargs = keras.tree.map_structure(
                lambda t: mark(t) if is_tensor(t) else t, (args, kwargs))
            outputs = call(*args, **tensor_kwargs)
        written = tensors(outputs)
        by_hand[number] = partial(counter, LayerCall(
            layer.name, kind, layer, tensors((args, kwargs)), written,
            written[0].dtype if is_operator(layer) else layer.compute_dtype,
            {k: v for k, v in kwargs.items() if not tensors(v)}))
        return outputs

    return marked


def rows(counts, by_hand, notes, read) -> dict:
    """Return (layer, part of the step) -> CallCount, as read from the names of the ops.

    `counts` are by name, `by_hand` the names of those that the user counted; `read` holds the
    model and its layers, as `read_calls` returns it.
    """
    layers = {layer.name for _, layer in read.layers if not is_operator(layer)}
    place = partial(_place, names=layers, model=read.model.name)
    found = defaultdict(Counter)
    for name, ops in counts.items():
        found[place(name)] += ops
    by_hand, notes = set(map(place, by_hand)), tuple(dict.fromkeys(notes))
    return {key: CallCount(ops, "rule" if key in by_hand else "trace", notes)
            for key, ops in found.items()}


def _place(name, names, model):
    """Return (layer, part) of an op's name; the layer is its path through nested models."""
    scopes = name.split("/")
    part = FORWARD
    if scopes[0] == UPDATE_SCOPE:
        return "optimizer", UPDATE
    while scopes and scopes[0] in (BACKWARD_SCOPE, "gradient_tape"):
        part = BACKWARD
        scopes.pop(0)
    path = []
    if scopes and re.sub(r"_\d+$", "", scopes[0]) in (model, re.sub(r"_\d+$", "", model)):
        scopes.pop(0)  # the model's own
    for scope in scopes[:-1]:
        bare = re.sub(r"_\d+$", "", scope)  # TensorFlow numbers a scope that is opened again
        layer = bare if bare in names and bare != scope else scope if scope in names else None
        if layer is None:
            if scope == LOSS_SCOPE and not path:
                path.append(LOSS)
            break
        if not path or path[-1] != layer:
            path.append(layer)
    return "/".join(path) or "(operators)", part
