"""Any call of a layer, and any training step -> op counts, from what the backend would run.

What runs is traced on shapes alone: no weight is allocated and nothing is computed. Which ops a
trace consists of depends on the backend that Keras runs on (`backends`); what is counted of them
does not. What the outputs do not need is not counted, and neither is what no input reaches:
constants and the arithmetic of shapes and loop counters.
"""

import re
from collections.abc import Callable
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from pathlib import Path
from traceback import walk_tb

from .calls import CallCount, product
from .introspection import inspect


class TraceError(ValueError):
    """A call that cannot be counted from its trace; the message says what stands in the way."""


class CodeError(TraceError):
    """What the code of a model raised; the message says what to do about it already."""


def trace_call(call, by_user: Callable) -> CallCount:
    """Return the op counts of one call of a Keras layer or operator, from its trace.

    `by_user` gives the counter that the user has for (layer, kind), or None: a layer inside this
    one that has one is counted by it, as often as it is called. TraceError says what of an op, a
    size or a number of steps that depends on the data, or the layer's code stands in the way.

    >>> import keras
    >>> from tostoolkit.counting.walk import layer_calls
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, activation="tanh")])
    >>> sorted(trace_call(layer_calls(model)[0], lambda layer, kind: None).counts.items())
    [(('float32', 'add'), 4), (('float32', 'mac'), 32), (('float32', 'tanh'), 4)]
    """
    check_sizes(call.path, (t.shape for t in (*call.inputs, *call.outputs)))
    return _backend().trace_call(call, by_user)


def trace_step(read, step, by_user: Callable) -> dict[tuple[str, str], CallCount]:
    """Return (layer, part) -> CallCount of a training step, from its trace.

    It takes what `read_calls` and `compiled` return. `by_user` is as for `trace_call`: a counter
    of the user's gives a layer's forward pass, and the trace its gradient.
    """
    check_sizes(read.model.name, (t.shape for call in read.calls for t in call.inputs))
    return _backend().trace_step(read, step, by_user)


def check_sizes(path, shapes):
    """Raise TraceError at a tensor of more elements than a trace can number: it would wrap."""
    for shape in shapes:
        if None not in shape and product(shape) > _MOST_ELEMENTS:
            raise TraceError(
                f"batch_size: {shape[0] if shape else 1} makes a tensor of shape {tuple(shape)} in "
                f"{path!r}, which has no rule, and a trace cannot number its elements (2^63 and "
                "more); count at a smaller batch_size, batch_size=1 say, and multiply")


_MOST_ELEMENTS = 2**63 - 1


def of_many_samples(function):
    """Return a function of a model and a batch size that says where the batch may be at fault.

    Backends number elements in int32 here and there, and code flattens tensors.
    """
    @wraps(function)
    def said(model, batch_size=1, *args, **kwargs):
        try:
            return function(model, batch_size, *args, **kwargs)
        except CodeError as error:
            elements = int(batch_size) * inspect(model).elements
            if elements < 2**31:
                raise
            raise CodeError(
                f"batch_size: {batch_size} may be the reason, with tensors of {elements:,} "
                "elements, since backends count in int32 here and there; count at a smaller one, "
                f"batch_size=1 say, and multiply. {error}") from error.__cause__

    return said


def _backend():
    """Return the module of the backend that Keras runs on."""
    import keras

    name = keras.backend.backend()
    try:
        return import_module(f".backends.{name}", __package__)
    except ModuleNotFoundError as error:
        if error.name != f"{__package__}.backends.{name}":
            raise
        raise TraceError(
            f"what has no rule is traced, which is not known of Keras on {name}; set "
            "KERAS_BACKEND=tensorflow before Keras is imported") from None


@contextmanager
def says_how_to_count(path, kind, step=False):
    """Turn what stands in a trace's way into an error that says what to do about it."""
    try:
        yield
    except CodeError:
        raise
    except TraceError as error:
        remedy = _BY_LAYER if step else _by_hand(kind)
        raise TraceError(f"{path!r} ({kind}) cannot be traced: {error}. {remedy}") from None


@contextmanager
def python_errors(path, step=False, kind=None, masks=False):
    """Turn what Python code of a model raises under tracing into a `TraceError`.

    It names the layer in which the error arose, at any depth, and the error itself, which Keras
    hides behind one of its own unless it is asked not to. `kind` is that of the layer at `path`,
    for which a counter can stand; it cannot where a `step`, or the `masks` of a model, need its
    code.
    """
    import keras

    hides = keras.config.is_traceback_filtering_enabled()
    keras.config.disable_traceback_filtering()
    try:
        yield
    except (TraceError, KeyboardInterrupt):
        raise
    except Exception as error:
        where, what = _place(error, path), cause_of(error)
        remedy = ("mend it with keras.ops on tensors, since of a training step each layer must be "
                  "traced (counters= gives a layer's forward pass alone)" if step else
                  "mend it with keras.ops on tensors: which masks a model hands on shows as its "
                  "layers run, so that no counter can stand for one" if masks else
                  "mend it with keras.ops on tensors, or give it a counter of its own. "
                  + _by_hand(kind or "MyLayer"))
        raise CodeError(
            f"{where!r} cannot be traced: its code raised {what}. A trace knows shapes and no "
            f"values, so code that looks at values cannot be traced; {remedy}") from error
    finally:
        if hides:
            keras.config.enable_traceback_filtering()


def not_built(call) -> TraceError:
    """Return the error of a call of a layer that has no weights yet; it says what makes them.

    >>> import keras
    >>> from types import SimpleNamespace
    >>> from tostoolkit.counting.calls import LayerCall, Tensor
    >>> print(not_built(LayerCall("mine", "Mine", keras.layers.Dense(4), (Tensor((32, 8)),), ())))
    'mine' (Mine) has no weights yet, so it cannot be traced; call it once: \
layer(numpy.zeros((1, 8)))
    """
    args, kwargs = call.arguments([_Code(
        f"numpy.zeros({(1, *t.shape[1:])}{'' if t.dtype == 'float32' else f', {t.dtype!r}'})")
        for t in call.inputs])
    given = ", ".join([*map(repr, args), *(f"{name}={x!r}" for name, x in kwargs.items())])
    name = "model" if hasattr(call.layer, "layers") else "layer"
    return TraceError(f"{call.path!r} ({call.kind}) has no weights yet, so it cannot be traced; "
                      f"call it once: {name}({given})")


class _Code(str):
    """What stands in a message as code, not as text."""

    __slots__ = ()
    __repr__ = str.__str__


_BY_LAYER = ("Mend that layer, or count its forward pass by hand: counters=tos.OP_COUNTERS | "
             "{'MyLayer': f}; its gradient must be traced")
#: What an error of Keras' own begins with that hides another's.
_HIDING = ("Exception encountered when calling", "Could not automatically infer the output")


def _by_hand(kind):
    return (f"Count it by hand: tos.count_ops(model, counters=tos.OP_COUNTERS | {{{kind!r}: lambda "
            "call: Counter({(call.dtype, 'add'): call.outputs[0].size})}), with "
            "collections.Counter")


def cause_of(error) -> str:
    """Return type and text of what went wrong, the innermost of errors that hide one another.

    With each stands the line that raised it, in the file of whoever wrote the model.
    """
    while str(error).lstrip("\"'").startswith(_HIDING) and error.__context__ is not None:
        error = error.__context__
    said = [_said(error)]
    while error.__cause__ is not None:
        error = error.__cause__
        said.append(_said(error))
    return ", from ".join(said)


def _said(error):
    text = " ".join(re.sub(r"\x1b\[\d*m", "", str(error)).split()).rstrip(".")
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    lines = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)
             if not _LIBRARIES.search(frame.f_code.co_filename)]
    where = f" ({Path(lines[-1][0]).name}, line {lines[-1][1]})" if lines else ""
    return f"{type(error).__name__}{': ' + text if text else ''}{where}"


_LONGEST = 400
#: Files in which nobody looks for the fault of a layer.
_LIBRARIES = re.compile(
    r"[/\\](site-packages|dist-packages|tostoolkit|lib[/\\]python3[^/\\]*)[/\\]|^<")


def _place(error, path):
    """Return the path of the layer whose code raised an error: `path` and the layers inside it."""
    import keras

    layers = []
    for frame, _ in walk_tb(error.__traceback__):
        thing = frame.f_locals.get("self")
        if (not isinstance(thing, keras.Layer) or not hasattr(thing, "name")  # half made
                or any(thing is layer for layer in layers)):
            continue
        if not (layers and isinstance(layers[-1], keras.Sequential)
                and isinstance(thing, keras.Model) and thing not in layers[-1].layers):
            layers.append(thing)  # any but the graph by which a Sequential runs
    return "/".join([path, *(layer.name for layer in layers[1:])])
