"""A traced TensorFlow graph -> op counts, by the name scopes of the ops.

What the outputs do not need is not counted, and neither is what no input reaches: constants and
the arithmetic of shapes and loop counters. A loop counts as often as it runs, where that is known
when it is traced; of a conditional's branches the dearer one counts, with a note that says so.

A layer that has a counter of the user's is marked in the graph (`mark`): its forward pass is what
that counter says, as often as it runs, and its gradient what the graph says.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import partial

from ..calls import (
    BACKWARD,
    BACKWARD_SCOPE,
    FORWARD,
    LOSS,
    LOSS_SCOPE,
    UPDATE,
    UPDATE_SCOPE,
    CallCount,
)
from ..introspection import is_operator
from ..rules.layers import NoRule
from ..trace import TraceError

_CALLS = ("PartitionedCall", "StatefulPartitionedCall", "SymbolicGradient")
_LOOPS = ("While", "StatelessWhile")
_BRANCHES = ("If", "StatelessIf", "Case", "StatelessCase")
_OF_SHAPES = ("Shape", "ShapeN", "Size", "Rank", "TensorListLength")
#: What runs for what it may raise, not for what it computes.
_CHECKS = ("Assert", "CheckNumerics", "CheckNumericsV2")
#: What tests an operand for zero -> the same op without the test.
_UNTESTED = {"DivNoNan": "RealDiv", "MulNoNan": "Mul"}
_MARK = re.compile(r"(?<![^/])counted_by_hand_(\d+)/(input)?")


def mark(number) -> tuple[str, str]:
    """Return the scope of the ops of a layer counted by hand, and the name of its inputs' ops."""
    return f"counted_by_hand_{number}", "input"


@dataclass
class OpCounts:
    """The op counts of graphs, by the names of their ops.

    `counters` holds a function of an op by the op's type; `by_hand`, by the number of a mark, one
    that returns the op counts of one run of what is marked, or raises NoRule: then the graph
    counts. `counted_by_hand` are those of the names that are marks.
    """

    counters: dict
    by_hand: dict = field(default_factory=dict)
    counts: dict = field(default_factory=lambda: defaultdict(Counter))
    counted_by_hand: set = field(default_factory=set)
    notes: list = field(default_factory=list)

    def add_graph(self, graph):
        """Count a graph whose inputs are all data; return self."""
        self._add(graph, [True] * len(graph.inputs), 1)
        return self

    def total(self):
        """Number of ops of any kind."""
        return sum((sum(c.values()) for c in self.counts.values()), 0)

    def by_layer(self, read) -> dict:
        """Return (layer, part of the step) -> CallCount, as read from the ops' name scopes.

        `read` holds the model and its layers, as `read_calls` returns it.
        """
        layers = {layer.name for _, layer in read.layers if not is_operator(layer)}
        counts, place = defaultdict(Counter), partial(_place, names=layers, model=read.model.name)
        for name, ops in self.counts.items():
            counts[place(name)] += ops
        by_hand = set(map(place, self.counted_by_hand))
        notes = tuple(dict.fromkeys(self.notes))
        return {key: CallCount(ops, "rule" if key in by_hand else "trace", notes)
                for key, ops in counts.items()}

    def _add(self, graph, reached, times):
        """Add the counts of a graph; return which of its outputs data reaches.

        `reached` says which of its inputs carry data, rather than constants.
        """
        reach = {t.ref() for t, r in zip(graph.inputs, reached, strict=False) if r}
        needed, marks = _needed(graph), set()
        for op in graph.get_operations():
            if op not in needed or not any(t.ref() in reach for t in op.inputs):
                continue
            if op.type in _OF_SHAPES:
                continue  # known when traced: what follows is arithmetic of shapes
            if self._is_by_hand(op, times, marks):
                outputs = [True] * len(op.outputs)
            else:
                outputs = self._add_op(op, [t.ref() in reach for t in op.inputs], times)
            reach.update(t.ref() for t, r in zip(op.outputs, outputs, strict=False) if r)
        return [t.ref() in reach for t in graph.outputs]

    def _is_by_hand(self, op, times, seen):
        """Whether an op is inside what is counted by hand; the first of a mark adds its counts."""
        if not self.by_hand or _is_backward(op.name):
            return False
        marks = ((int(m[1]), m[2]) for m in _MARK.finditer(op.name))
        number, is_input = next((m for m in marks if m[0] in self.by_hand), (None, None))
        if number is None:
            return False
        if is_input and number not in seen:
            try:
                counts = self.by_hand[number]()
            except NoRule:
                del self.by_hand[number]
                return self._is_by_hand(op, times, seen)
            seen.add(number)
            self._add_ops(op.name, counts, times)
            self.counted_by_hand.add(op.name)
        return True

    def _add_op(self, op, flow, times):
        """Add the counts of one op; return which of its outputs data reaches."""
        outputs = [True] * len(op.outputs)
        if op.type in _CALLS:
            body = self._inside(op)
            outputs = body._add(_body(op, "f"), flow, times)
            self._merge(body, op)
        elif op.type in _LOOPS:
            outputs = self._add_loop(op, flow, times)
        elif op.type in _BRANCHES:
            self._add_branches(op, flow, times)
        elif op.type not in self.counters:
            raise TraceError(f"the op {op.type} at {op.name!r} has no counter; it is "
                             "an entry of TRACE_COUNTERS of tostoolkit.counting.backends.tensorflow_ops")
        else:
            try:
                self._add_ops(op.name, self._counter(op, flow)(op), times)
            except ValueError as error:
                raise TraceError(f"the op {op.type} at {op.name!r}: {error}") from None
        return outputs

    def _counter(self, op, flow):
        """Return the counter of an op; a divisor that is a constant needs no test for zero."""
        return self.counters[op.type if all(flow) else _UNTESTED.get(op.type, op.type)]

    def _add_ops(self, name, ops, times):
        for key, n in ops.items():
            self.counts[name][key] += n * times

    def _add_loop(self, op, flow, times):
        steps = _steps(op)
        if steps is None:
            raise TraceError(f"the loop at {op.name!r} runs until the data end it, so its work is "
                             "unknown")
        body = _body(op, "body")
        while True:  # until no further loop variable turns out to carry data
            trial = self._inside(op)
            out = trial._add(body, flow, times * steps)
            merged = [a or b for a, b in zip(flow, out, strict=True)]
            if merged == flow:
                break
            flow = merged
        self._merge(trial, op)
        return flow

    def _add_branches(self, op, flow, times):
        bodies = ([_body(op, "then_branch"), _body(op, "else_branch")] if "If" in op.type else
                  [_function_graph(op, f.name) for f in op.get_attr("branches")])
        trials = []
        for body in bodies:
            trial = self._inside(op)
            trial._add(body, flow[1:], times)
            trials.append(trial)
        if len({t.total() for t in trials}) > 1:
            self.notes.append(f"{op.name}: the dearer branch of a conditional is counted")
        self._merge(max(trials, key=OpCounts.total), op)

    def _inside(self, op):
        """Return the empty counts of what an op holds; in the backward pass nothing is marked."""
        return OpCounts(self.counters, {} if _is_backward(op.name) else self.by_hand)

    def _merge(self, inner, op):
        """Add what a function, loop or branch holds; its ops stand where `op` does."""
        self.notes += inner.notes
        for name, counts in inner.counts.items():
            inside = name.startswith(op.name.split("/")[0])
            full = name if inside else f"{op.name}/{name}"
            self.counts[full] += counts
            if name in inner.counted_by_hand:
                self.counted_by_hand.add(full)


def _is_backward(name):
    return name.split("/")[0] in (BACKWARD_SCOPE, UPDATE_SCOPE, "gradient_tape")


def _needed(graph):
    """Return the ops that the graph's outputs, and the variables that it writes, depend on."""
    needed, stack = set(), [t.op for t in graph.outputs]
    stack += [op for op in graph.control_outputs if op.type not in _CHECKS]
    while stack:
        op = stack.pop()
        if op not in needed:
            needed.add(op)
            stack.extend(t.op for t in op.inputs)
            stack.extend(op.control_inputs)
    return needed


def _body(op, attribute):
    return _function_graph(op, op.get_attr(attribute).name)


def _function_graph(op, name):
    """Return the graph of a function that an op calls, on the shapes that it calls it on."""
    function = op.graph._get_function(name)
    if hasattr(function, "graph"):
        return function.graph
    # of an imported graph: a definition, whose shapes are those of the graph that it comes from
    from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

    given = op.inputs[1:] if op.type in _BRANCHES else op.inputs
    with op.graph.as_default():
        return function_def_to_graph(function.cached_definition,
                                     input_shapes=[t.shape for t in given])


def _steps(op):
    """Return how often a loop runs, or None where that is not known when it is traced.

    Its condition is a conjunction of ``counter < bound``, the body adds a constant to the counter.
    """
    condition, body = _body(op, "cond"), _body(op, "body")
    bounds = []
    stack = [condition.outputs[0].op]
    while stack:
        test = stack.pop()
        if test.type in ("LogicalAnd", "Identity"):
            stack.extend(t.op for t in test.inputs)
        elif test.type in ("Less", "LessEqual", "Greater", "GreaterEqual"):
            low, high = test.inputs if test.type.startswith("Less") else test.inputs[::-1]
            bounds.append(_counted(op, condition, body, low, high, test.type.endswith("Equal")))
    return min((steps for steps in bounds if steps is not None), default=None)


def _counted(op, condition, body, low, high, inclusive):
    place = _argument(condition, low)
    limit = _value(high, {t.ref(): x for t, x in zip(condition.inputs, op.inputs, strict=False)})
    if place is None or limit is None:
        return None
    start = _value(op.inputs[place], {})
    stride = _stride(body, place)
    if start is None or not stride or stride < 0:
        return None
    return max(0, -(-(limit + inclusive - start) // stride))


def _argument(graph, tensor):
    tensor = _source(tensor)
    return next((i for i, t in enumerate(graph.inputs) if t is tensor), None)


def _source(tensor):
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor


def _stride(body, place):
    """Return the constant that the body adds to a loop variable, or None."""
    out = _source(body.outputs[place])
    if out.op.type not in ("AddV2", "Add"):
        return None
    a, b = out.op.inputs
    if _argument(body, b) == place:
        a, b = b, a
    return _value(b, {}) if _argument(body, a) == place else None


def _value(tensor, arguments):
    """Return a scalar integer that is known when the graph is traced, or None."""
    import tensorflow as tf

    op = tensor.op
    if tensor.ref() in arguments:
        return _value(arguments[tensor.ref()], {})
    if op.type == "Identity" or (
            op.type in ("Max", "Min", "Squeeze", "Reshape") and op.inputs[0].shape.rank == 0):
        return _value(op.inputs[0], arguments)
    if op.type in ("Minimum", "Maximum", "AddV2", "Sub", "Mul"):
        values = [_value(t, arguments) for t in op.inputs]
        if None in values:
            return None
        a, b = values
        return {"Minimum": min(values), "Maximum": max(values), "AddV2": a + b, "Sub": a - b,
                "Mul": a * b}[op.type]
    if op.type in _LOOPS:  # the final value of a loop's counter, which bounds the gradient's loop
        steps, stride = _steps(op), _stride(_body(op, "body"), tensor.value_index)
        start = _value(op.inputs[tensor.value_index], {})
        return None if None in (steps, stride, start) else start + steps * stride
    value = tf.get_static_value(tensor)
    return int(value) if value is not None and value.ndim == 0 else None


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
