"""What the backends share: layers that the user counts by hand, and the rows of a training step."""

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
from ..introspection import is_operator


def variables_of(call) -> list:
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
