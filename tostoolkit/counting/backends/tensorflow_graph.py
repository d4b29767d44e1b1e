"""A traced TensorFlow graph -> op counts, by the name scopes of the ops.

What the outputs do not need is not counted, and neither is what no input reaches: constants and the
arithmetic of shapes, loop counters and seeds, of which each draw is one ``random``. A loop counts
as often as it runs, where that is known when it is traced; of a conditional's branches the dearer
one counts, with a note that says so.

A layer that has a counter of the user's is marked in the graph (`mark`): its forward pass is what
that counter says, as often as it runs, and its gradient what the graph says.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from ..calls import BACKWARD_SCOPE, UPDATE_SCOPE
from ..rules.layers import NoRule
from ..trace import TraceError
from .shared import rows
from .tensorflow_constants import Frame
from .tensorflow_functions import body_of, function_of, graph_of
from .tensorflow_kernels import ALGORITHMS, CONSTANT_COUNTERS, DRAWS

#: What reaches a tensor: data, the state of a generator of random numbers alone, or neither.
_DATA, _SEED, _NOTHING = 2, 1, 0
_LOOPS = ("While", "StatelessWhile")
_BRANCHES = ("If", "StatelessIf", "Case", "StatelessCase")
_OF_SHAPES = ("Shape", "ShapeN", "Size", "Rank", "TensorListLength")
#: What runs for what it may raise, not for what it computes.
_CHECKS = ("Assert", "CheckNumerics", "CheckNumericsV2")
_SEEDS = "tos_seeds"
_MARK = re.compile(r"(?<![^/])counted_by_hand_(\d+)/(input)?")


def mark_seeds(graph, seeds):
    """Say in a graph which of its inputs are states of generators: those of the Keras variables."""
    handles = {id(seed.value.handle) for seed in seeds}
    for outside, inside in graph.captures:
        if id(outside) in handles:
            graph.add_to_collection(_SEEDS, inside)


class _UnknownLoop(TraceError):
    """A loop whose number of steps is not known when it is traced."""


def mark(number) -> tuple[str, str]:
    """Return the scope of the ops of a layer counted by hand, and the name of its inputs' ops."""
    return f"counted_by_hand_{number}", "input"


@dataclass
class OpCounts:
    """The op counts of graphs, by the names of their ops.

    `counters` holds a function of an op by the op's type; `by_hand`, by the number of a mark, one
    that returns the op counts of one run of what is marked, or raises NoRule: then the graph
    counts. `counted_by_hand` are those of the names that are marks; `reached` the references of
    those of a graph's outputs that data reach.
    """

    counters: dict
    by_hand: dict = field(default_factory=dict)
    counts: dict = field(default_factory=lambda: defaultdict(Counter))
    counted_by_hand: set = field(default_factory=set)
    notes: list = field(default_factory=list)
    reached: set = field(default_factory=set)

    def add_graph(self, graph, are_data=()):
        """Count a graph whose inputs are all data, or the first of them as said; return self.

        What it takes from outside is data where it is a variable that is no seed, else a constant.
        """
        others = {t.ref(): _NOTHING for outside, t in getattr(graph, "captures", ())
                  if outside.dtype.name not in ("resource", "variant")}
        others |= {t.ref(): _SEED for t in graph.get_collection(_SEEDS)}
        others |= {t.ref(): _NOTHING for t, is_data in zip(graph.inputs, are_data, strict=False)
                   if not is_data}
        outputs = self._add(Frame(graph), [others.get(t.ref(), _DATA) for t in graph.inputs], 1)
        self.reached = {t.ref() for t, reach in zip(graph.outputs, outputs, strict=True)
                        if reach == _DATA}
        return self

    def ops(self):
        """Return the ops of all names together."""
        return sum(self.counts.values(), Counter())

    def by_layer(self, read) -> dict:
        """Return (layer, part of the step) -> CallCount, as read from the ops' name scopes.

        `read` holds the model and its layers, as `read_calls` returns it.
        """
        return rows(self.counts, self.counted_by_hand, self.notes, read)

    def _add(self, frame, reached, times, wanted=None):
        """Add the counts of a graph; return what reaches each of its outputs.

        `frame` holds the graph and what is known in it; `reached` says what reaches each of its
        inputs; `wanted` which of its outputs are used, all when left out.
        """
        graph = frame.graph
        reach = {t.ref(): r for t, r in zip(graph.inputs, reached, strict=False)}
        needed, marks = _needed(graph, wanted), set()
        for op in graph.get_operations():
            flow = [reach.get(t.ref(), _NOTHING) for t in op.inputs]
            if op not in needed or not (any(flow) or _draws_anew(op)):
                continue
            if op.type in _OF_SHAPES:
                continue  # known when traced: what follows is arithmetic of shapes
            if self._is_by_hand(op, times, marks):
                outputs = [_DATA] * len(op.outputs)
            else:
                used = [t.ref() in needed for t in op.outputs]
                outputs = self._add_op(op, flow, times, frame, used)
            reach.update((t.ref(), r) for t, r in zip(op.outputs, outputs, strict=False))
        return [reach.get(t.ref(), _NOTHING) for t in graph.outputs]

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

    def _add_op(self, op, flow, times, frame, used):
        """Add the counts of one op, of whose outputs some are `used`; return what reaches each."""
        name = function_of(op)
        if name is not None:
            body = self._inside(op)
            inner = graph_of(op.graph, name, op.inputs)
            outputs = body._add(frame.inside(inner, op.inputs), flow, times, used)
            self._merge(body, op)
            return outputs
        if op.type in _LOOPS:
            return self._add_loop(op, flow, times, frame, used)
        if op.type in _BRANCHES:
            return self._add_branches(op, flow, times, frame, used)
        if _DATA not in flow and op.type not in DRAWS:
            return [_SEED] * len(op.outputs)
        if op.type not in self.counters:
            raise TraceError(f"the op {op.type} at {op.name!r} has no counter; it is an entry of "
                             "TRACE_COUNTERS of tostoolkit.counting.backends.tensorflow_ops")
        try:
            counts = self._counted(op, flow, frame)
        except ValueError as error:
            raise TraceError(f"the op {op.type} at {op.name!r}: {error}") from None
        self._add_ops(op.name, counts, times)
        if op.type in ALGORITHMS and counts:
            self.notes.append(f"{op.name}: counted by its standard algorithm "
                              f"({ALGORITHMS[op.type]}), a library chooses")
        return [_DATA] * len(op.outputs)

    def _counted(self, op, flow, frame):
        """Return the counts of an op; what is constant of its inputs may change them."""
        if op.type in CONSTANT_COUNTERS:
            known, notes = frame.operands(op, flow)
            self.notes += notes
            counts = CONSTANT_COUNTERS[op.type](op, known, flow)
            if counts is not None:
                return counts
        return self.counters[op.type](op)

    def _add_ops(self, name, ops, times):
        for key, n in ops.items():
            self.counts[name][key] += n * times

    def _add_loop(self, op, flow, times, frame, used):
        wanted = _carried(op, used)
        steps, earlier = frame.steps(op)
        if steps is None:
            raise _UnknownLoop(f"the loop at {op.name!r} runs until the data end it, so its work "
                               "is unknown")
        if earlier:
            self.notes.append(f"{op.name}: all steps are counted of a loop that the data may end")
        trial, flow = self._steps(op, flow, wanted,
                                  [(frame.in_loop(op), times * steps)])
        states = frame.states(op) if trial is None else None
        if states:  # what a step does depends on its number: each is counted alone
            trial, flow = self._steps(op, flow, wanted, [
                (frame.at_step(op, state), times) for state in states[:-1]])
        if trial is None:
            raise _UnknownLoop(f"the loop at {op.name!r} holds one that runs until the data end "
                               "it, so its work is unknown")
        self._merge(trial, op)
        return flow

    def _steps(self, op, flow, wanted, steps):
        """Return the counts of a loop's steps and what reaches it, None where one is unknown."""
        while True:  # until no further loop variable turns out to carry data
            trial, merged = self._inside(op), flow
            for frame, times in steps:
                try:
                    out = trial._add(frame, flow, times, wanted)
                except _UnknownLoop:
                    return None, flow
                merged = [max(pair) for pair in zip(merged, out, strict=True)]
            if merged == flow:
                return trial, flow
            flow = merged

    def _add_branches(self, op, flow, times, frame, used):
        bodies = _bodies(op)
        chosen = None if flow[0] else frame.value(op.inputs[0])
        if chosen is not None:  # known when traced: no choice
            chosen = (0 if chosen else 1) if "If" in op.type else min(
                max(int(chosen), 0), len(bodies) - 1)
            bodies = [bodies[chosen]]
        trials, reached = [], []
        for body in bodies:
            trial = self._inside(op)
            reached.append(trial._add(frame.inside(body, op.inputs[1:]), flow[1:], times,
                                      used))
            trials.append(trial)
        ops = [trial.ops() for trial in trials]
        if any(each != ops[0] for each in ops):
            self.notes.append(f"{op.name}: the dearer branch of a conditional is counted")
        self._merge(max(trials, key=lambda trial: trial.ops().total()), op)
        return [max(flow[0], *outputs) for outputs in zip(*reached, strict=True)]

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


def _draws_anew(op):
    """Whether an op draws random numbers of no seed, which are others each time."""
    return op.type in DRAWS and op.op_def.is_stateful


def _is_backward(name):
    return name.split("/")[0] in (BACKWARD_SCOPE, UPDATE_SCOPE, "gradient_tape")


def needed_ops(graph, wanted=None) -> set:
    """Return the ops that outputs of a graph, and the variables that it writes, depend on.

    `wanted` says of each output whether it is; all are, when left out.
    """
    return {found for found in _needed(graph, wanted) if hasattr(found, "type")}


def _needed(graph, wanted=None):
    """Return the ops, and the references of the tensors, that are needed, as `needed_ops`."""
    tensors = [t for i, t in enumerate(graph.outputs) if wanted is None or wanted[i]]
    others = [op for op in graph.control_outputs if op.type not in _CHECKS]
    needed = set()
    while tensors or others:
        if not tensors:
            op = others.pop()
            reads = [] if op in needed else op.inputs
        else:
            tensor = tensors.pop()
            if tensor.ref() in needed:
                continue
            needed.add(tensor.ref())
            op = tensor.op
            reads = _reads(op, tensor.value_index)
        if op not in needed:
            needed.add(op)
            others.extend(op.control_inputs)
        tensors.extend(reads)
    return needed


def _reads(op, place):
    """Return the inputs that an output of an op is made of."""
    if op.type == "IdentityN":  # hands on each of its inputs by itself
        return [op.inputs[place]]
    used = [i == place for i in range(len(op.outputs))]
    if op.type in _LOOPS:
        return [t for t, wanted in zip(op.inputs, _carried(op, used), strict=False) if wanted]
    if op.type in _BRANCHES:
        inside = [_taken(body, op.inputs[1:], used) for body in _bodies(op)]
        return [op.inputs[0], *(t for taken in inside for t in taken)]
    name = function_of(op)
    return op.inputs if name is None else _taken(
        graph_of(op.graph, name, op.inputs), op.inputs, used)


def _taken(graph, inputs, used):
    """Return the inputs of a function that those of its outputs which are `used` are made of."""
    needed = _needed(graph, used)
    return [t for t, inside in zip(inputs, graph.inputs, strict=False) if inside.ref() in needed]


def _carried(loop, used):
    """Return which of a loop's variables are needed, where those of its results are `used`.

    What a step makes of one is needed where a later step, the loop's end or a user needs it.
    """
    cond, body = body_of(loop, "cond"), body_of(loop, "body")
    for_end = _needed(cond)
    wanted = [use or t.ref() in for_end for use, t in zip(used, cond.inputs, strict=True)]
    while True:
        needed = _needed(body, wanted)
        more = [w or t.ref() in needed for w, t in zip(wanted, body.inputs, strict=True)]
        if more == wanted:
            return wanted
        wanted = more


def _bodies(op):
    """Return the graphs of a conditional's branches."""
    if "If" in op.type:
        return [body_of(op, "then_branch"), body_of(op, "else_branch")]
    return [graph_of(op.graph, f.name, op.inputs[1:]) for f in op.get_attr("branches")]
