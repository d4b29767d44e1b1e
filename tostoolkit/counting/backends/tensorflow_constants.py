"""What is known of a TensorFlow graph when it is traced: constants, and how often a loop runs."""

from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from .tensorflow_folding import (
    FOLDED,
    FOLDED_PARTS,
    LARGEST,
    OF_SHAPES,
    core,
    in_dtype,
    literal,
    settled,
)
from .tensorflow_functions import body_of, function_of, graph_of, source_of

#: Loops whose counters do not go up or down evenly are run through, up to this many steps.
_LONGEST = 5000
_LOOPS = ("While", "StatelessWhile")


@dataclass(frozen=True)
class _Changes:
    """A variable of a loop that its steps change: the place among the loop's inputs."""

    place: int


@dataclass
class Frame:
    """What is known inside a graph of what it is given.

    `given` holds, for an input of the graph, its value, or a tensor and the frame that it is in.
    """

    graph: object
    given: dict = field(default_factory=dict, repr=False)
    values: dict = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, value):
        """Return the array that a tensor of a graph, or a value, is known to be, or None."""
        import tensorflow as tf

        if not tf.is_tensor(value) or hasattr(value, "numpy"):
            return np.asarray(value)
        return cls(value.graph).value(value)

    def inside(self, graph, inputs):
        """Return the frame of a function's graph that is called on `inputs`, of this one."""
        return Frame(graph, {inner.ref(): (outer, self)
                             for inner, outer in zip(graph.inputs, inputs, strict=False)})

    def in_loop(self, op):
        """Return the frame of a loop's body: what no step changes is known there."""
        body = body_of(op, "body")
        return Frame(body, {inner.ref(): (outer, self) for inner, outer, same in zip(
            body.inputs, op.inputs, _kept(op), strict=False) if same})

    def at_step(self, op, state):
        """Return the frame of a loop's body at a step before which its variables are `state`."""
        frame = self.in_loop(op)
        frame.given |= {t.ref(): x for t, x in zip(frame.graph.inputs, state, strict=False)
                        if x is not None}
        return frame

    def value(self, tensor):
        """Return the array that a tensor is known to be, or None."""
        ref = tensor.ref()
        if ref not in self.values:
            self.values[ref] = None
            # what NumPy does not make either, or what is too deep
            with suppress(TypeError, ValueError, IndexError, RuntimeError, ArithmeticError):
                self.values[ref] = settled(self._value(tensor))
        return self.values[ref]

    def operands(self, op, flow):
        """Return the values of an op's inputs that nothing reaches, and what to note of them."""
        known = [None if carries else self.value(t)
                 for carries, t in zip(flow, op.inputs, strict=True)]
        unknown = any(value is None and not carries and _is_large(t)
                      for value, carries, t in zip(known, flow, op.inputs, strict=True))
        return known, [f"{op.name}: a constant of more than {LARGEST} elements is not looked into, "
                       "and counts as one that changes something"] if unknown else []

    def _value(self, tensor):
        if tensor.ref() in self.given:
            given = self.given[tensor.ref()]
            if isinstance(given, tuple):
                return given[1].value(given[0])
            return None if isinstance(given, _Changes) else given
        if not tensor.dtype.is_bool and not tensor.dtype.is_numeric:
            return None
        op = tensor.op
        if op.type == "Const":
            return literal(op)
        if op.type in OF_SHAPES and op.inputs[0].shape.is_fully_defined():
            return OF_SHAPES[op.type](op, op.inputs[0].shape.as_list())
        if op.type in _LOOPS:  # the final value of a counter, which bounds the gradient's loop
            return self._after(op, tensor.value_index)
        name = function_of(op)
        if name is not None:
            inner = graph_of(op.graph, name, op.inputs)
            return self.inside(inner, op.inputs).value(inner.outputs[tensor.value_index])
        if op.type not in FOLDED and op.type not in FOLDED_PARTS:
            return None if any(map(_is_large, (tensor, *op.inputs))) else _static(tensor)
        inputs = []
        for given in op.inputs:
            inputs.append(self.value(given))
            if inputs[-1] is None:
                return None
        if op.type in FOLDED:
            return np.asarray(FOLDED[op.type](op, *inputs))
        return np.asarray(FOLDED_PARTS[op.type](op, *inputs)[tensor.value_index])

    def _after(self, op, place):
        steps, start = self.steps(op)[0], self.value(op.inputs[place])
        if steps is None or start is None:
            return None
        pace = _pace(self, op, place)
        if pace is not None:
            first = core(start).astype(np.int64 if start.dtype.kind == "i" else start.dtype)
            return np.broadcast_to(in_dtype(first + int(steps * pace), start.dtype), start.shape)
        states = self.states(op)
        return None if states is None else states[-1][place]

    def steps(self, op):
        """Return how often a loop runs, None where it is not known, and whether data may end it.

        Its condition is one or several comparisons that must all hold, of a counter that goes up
        or down evenly; the first that fails ends it. Any other loop whose condition depends on
        what is known is run through.
        """
        tests, others = [], False
        condition = body_of(op, "cond")
        frame = Frame(condition, {
            inner.ref(): (outer, self) if same else _Changes(place)
            for place, (inner, outer, same) in enumerate(
                zip(condition.inputs, op.inputs, _kept(op), strict=False))})
        for test, within in _tests(condition.outputs[0], frame):
            steps = _until(self, op, test, within)
            if steps is None:
                others = True
            else:
                tests.append(steps)
        if others:
            states = self.states(op)
            if states is not None:
                return len(states) - 1, False
        return min(tests, default=None), others

    def states(self, op):
        """Return what is known of a loop's variables before each step and after the last."""
        condition, body = body_of(op, "cond"), body_of(op, "body")
        kept = _kept(op)
        state, states = [self.value(t) for t in op.inputs], []
        while len(states) < _LONGEST:
            states.append(state)
            runs = Frame(condition, _known(condition, state)).value(condition.outputs[0])
            if runs is None:
                return None
            if not runs:
                return states
            frame = Frame(body, _known(body, state))
            state = [x if same else None if x is None else frame.value(out)
                     for x, same, out in zip(state, kept, body.outputs, strict=False)]
        return None


def _is_large(tensor):
    return (tensor.shape.num_elements() or 0) > LARGEST if tensor.shape.rank is not None else False


def _static(tensor):
    """Return what TensorFlow knows of a tensor by itself, or None."""
    import tensorflow as tf

    value = tf.get_static_value(tensor)
    return None if value is None else np.asarray(value)


def _kept(loop):
    """Return which of a loop's variables no step changes."""
    body = body_of(loop, "body")
    return [source_of(out) is inner
            for inner, out in zip(body.inputs, body.outputs, strict=False)]


def _known(graph, state):
    return {t.ref(): x for t, x in zip(graph.inputs, state, strict=False) if x is not None}


def _tests(tensor, frame):
    """Yield the comparisons that must all hold, each with the frame that it is in."""
    op = tensor.op
    name = function_of(op)
    if name is not None:
        inner = graph_of(op.graph, name, op.inputs)
        yield from _tests(inner.outputs[tensor.value_index], frame.inside(inner, op.inputs))
    elif op.type in ("LogicalAnd", "Identity"):
        for t in op.inputs:
            yield from _tests(t, frame)
    else:
        yield op, frame


def _until(frame, loop, test, within):
    """Return the first step at which a comparison of counters fails, or None."""
    if test.type not in ("Less", "LessEqual", "Greater", "GreaterEqual", "NotEqual"):
        return None
    left, right = (_course(frame, loop, t, within) for t in test.inputs)
    if left is None or right is None:
        return None
    # the loop goes on while  ahead + pace * step  is above 0, or not below it
    ahead, pace = (b - a for a, b in zip(left, right, strict=True))
    if test.type.startswith("Greater"):
        ahead, pace = -ahead, -pace
    if test.type == "NotEqual":
        if ahead == 0:
            return 0
        steps = -ahead / pace if pace else -1
        return int(steps) if steps > 0 and steps == int(steps) else None
    if ahead < 0 or (ahead == 0 and not test.type.endswith("Equal")):
        return 0
    if pace >= 0:
        return None
    steps = ahead / -pace
    return int(steps) + 1 if test.type.endswith("Equal") else -(-steps.numerator
                                                                // steps.denominator)


def _course(frame, loop, tensor, within):
    """Return (start, change a step) of a scalar in a loop's condition, or None."""
    value = _number(within.value(tensor))
    if value is not None:
        return value, Fraction(0)
    given = within.given.get(tensor.ref())
    if isinstance(given, tuple):
        return None if given[1] is frame else _course(frame, loop, *given)
    if isinstance(given, _Changes):
        start = _number(frame.value(loop.inputs[given.place]))
        pace = _pace(frame, loop, given.place)
        return None if start is None or pace is None else (start, pace)
    if tensor.op.type in ("Identity", "Cast") and not tensor.dtype.is_bool:
        return _course(frame, loop, tensor.op.inputs[0], within)
    if tensor.op.type in ("Add", "AddV2", "Sub"):
        courses = [_course(frame, loop, t, within) for t in tensor.op.inputs]
        if None in courses:
            return None
        sign = -1 if tensor.op.type == "Sub" else 1
        return tuple(a + sign * b for a, b in zip(*courses, strict=True))
    return None


def _number(value):
    """Return a scalar that is a whole number, as a fraction, or None."""
    if value is None or value.ndim or not np.isfinite(value) or int(value) != value:
        return None
    return Fraction(int(value))


def _pace(frame, loop, place):
    """Return the constant that the body adds to a loop variable, or None."""
    body = body_of(loop, "body")
    return _added(frame.in_loop(loop), body.outputs[place], body.inputs[place])


def _added(frame, tensor, counter):
    if tensor is counter:
        return Fraction(0)
    op = tensor.op
    name = function_of(op)
    if name is not None:
        inner = graph_of(op.graph, name, op.inputs)
        inside = [i for i, t in enumerate(op.inputs) if source_of(t) is counter]
        if len(inside) != 1:
            return None
        return _added(frame.inside(inner, op.inputs), inner.outputs[tensor.value_index],
                      inner.inputs[inside[0]])
    if op.type == "Identity":
        return _added(frame, op.inputs[0], counter)
    if op.type not in ("Add", "AddV2", "Sub"):
        return None
    for i, (base, more) in enumerate((op.inputs, op.inputs[::-1])):
        before, step = _added(frame, base, counter), _number(frame.value(more))
        if before is not None and step is not None and not (i and op.type == "Sub"):
            return before + (-step if op.type == "Sub" else step)
    return None
