"""Traces of calls, each made once: equal layers called on equal shapes run the same ops.

Two layers are equal if they are of the same class and all that they hold is equal: numbers,
strings and dtypes by value, variables by shape and dtype, layers and containers by what they hold,
functions and anything else by identity. Names do not matter.
"""

from types import MethodType

from .calls import CallCount
from .layer_state import held_by, is_held_by_value
from .trace import trace_call

_VALUES = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), slice)


class OfEqualCalls:
    """A function of a call, and of what goes with it, that is run once for equal calls."""

    def __init__(self, function):
        self.function, self.made = function, {}

    def __call__(self, call, *others):
        """Return what the function makes of a call, or made of one that is equal."""
        key = call_key(call)
        if key not in self.made:
            self.made[key] = self.function(call, *others)
        return self.made[key]


class Traces(OfEqualCalls):
    """A `trace_call` that traces equal calls once, for one set of counters of the user's.

    >>> import keras
    >>> from tostoolkit.counting.walk import layer_calls
    >>> equal = [keras.layers.Lambda(keras.ops.tanh) for _ in range(3)]
    >>> model = keras.Sequential([keras.Input((4,)), *equal, keras.layers.Lambda(keras.ops.exp)])
    >>> trace = Traces()
    >>> rows = [trace(call, lambda layer, kind: None) for call in layer_calls(model)]
    >>> len(rows), len(trace.made)
    (4, 2)
    """

    def __init__(self):
        super().__init__(trace_call)

    def __call__(self, call, by_user):
        """Return the count of a call; arguments and errors as `trace_call`."""
        row = super().__call__(call, by_user)
        return CallCount(row.counts.copy(), *row[1:])


class _Place(int):
    """The place of a tensor among the inputs of a call."""


def call_key(call) -> tuple:
    """Return what two calls have in common where they run the same ops."""
    arguments = call.arguments([_Place(i) for i in range(len(call.inputs))])
    seen = {}
    return (call.kind, call.inputs, call.masks, call.masks_wanted, call.wanted, call.constants,
            _key(call.layer, seen), _key(arguments, seen))


def _key(value, seen):
    cls = type(value)
    if cls in _VALUES:
        return cls, repr(value)
    if cls is _Place:
        return "input", int(value)
    if id(value) in seen:
        return "again", seen[id(value)]
    seen[id(value)] = len(seen)
    if isinstance(value, dict):
        return cls, tuple((_key(k, seen), _key(v, seen)) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return cls, tuple(_key(v, seen) for v in value)
    if isinstance(value, MethodType):
        return "method", id(value.__func__), _key(value.__self__, seen)
    if is_held_by_value(value):
        return cls, tuple((name, _key(held, seen)) for name, held in held_by(value))
    return "is", id(value)
