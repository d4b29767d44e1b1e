"""Any call of a layer, and any training step -> op counts, from what the backend would run.

What runs is traced on shapes alone: no weight is allocated and nothing is computed. Which ops a
trace consists of depends on the backend that Keras runs on (`backends`); what is counted of them
does not. What the outputs do not need is not counted, and neither is what no input reaches:
constants and the arithmetic of shapes and loop counters.
"""

from collections.abc import Callable
from contextlib import contextmanager
from importlib import import_module

from .calls import CallCount


class TraceError(ValueError):
    """A call that cannot be counted from its trace; the message says what stands in the way."""


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
    return _backend().trace_call(call, by_user)


def trace_step(read, step, by_user: Callable) -> dict[tuple[str, str], CallCount]:
    """Return (layer, part) -> CallCount of a training step, from its trace.

    It takes what `read_calls` and `compiled` return. `by_user` is as for `trace_call`: a counter
    of the user's gives a layer's forward pass, and the trace its gradient.
    """
    return _backend().trace_step(read, step, by_user)


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
def says_how_to_count(path, kind):
    """Turn what stands in a trace's way into an error that says what to do about it."""
    try:
        yield
    except TraceError as error:
        raise TraceError(
            f"{path!r} ({kind}) cannot be traced: {error}. Count it by hand: tos.count_ops(model, "
            f"counters=tos.OP_COUNTERS | {{{kind!r}: lambda call: Counter({{(call.dtype, 'add'): "
            "call.outputs[0].size})}), with collections.Counter") from None


@contextmanager
def python_errors(path, step=False):
    """Turn what a layer's Python code raises under tracing into a `TraceError`."""
    try:
        yield
    except (TraceError, KeyboardInterrupt):
        raise
    except Exception as error:
        text = str(error).strip().splitlines()
        remedy = ("counters= gives a layer's forward pass alone, so of a training step each layer "
                  "must be traced" if step else
                  "a layer that looks at values, or at anything but tensors, needs a counter of "
                  "its own in counters=tos.OP_COUNTERS | {...}")
        raise TraceError(f"{path!r} cannot be traced: its code raised {type(error).__name__}"
                         f"{': ' + text[0] if text else ''}; {remedy}") from error
