"""What runs on PyTorch, recorded op by op on fake tensors -> op counts, by the scopes of the ops.

What the outputs, and what is written in place, do not need is not counted, and neither is what no
input reaches. Data are the fake tensors that stood there before: inputs, variables, buffers. A
constant is made while recording, from nothing or from a shape, or is a tensor that has values.
Values are known by their storage, so that a view and what is written through it are the same value.

Three things are not counted: what a tensor says of itself (its device, its strides), the
arithmetic on the state of a random generator, whose draws are one ``random`` each, and an op on a
constant that changes nothing.
"""

from collections import Counter, defaultdict
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch._decomp import decomposition_table
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from ..calls import UPDATE_SCOPE
from ..rules.layers import NoRule
from ..running_state import global_seed, is_seed
from ..trace import TraceError
from .torch_ops import TORCH_COUNTERS, each
from .torch_tables import FACTORIES, OVERWRITES, RANDOM
from .torch_tensors import (
    Endless,
    TorchOp,
    fill_of,
    is_view,
    is_whole,
    tensors_in,
    too_large,
    written_by,
)

_LIFTS = ("lift", "lift_fresh", "lift_fresh_copy")
#: So many choices by the data end in an error: a loop that runs until the data end it.
_MOST_CHOICES = 1000
DATA, SEED = 1, 2


class Node(NamedTuple):
    """One op that ran: what it needs, what it counts, or raises, and where it ran.

    `needs` are the numbers of the nodes that made what it reads; `marks` are the numbers of the
    layers counted by hand that it ran in, the outermost first.
    """

    needs: tuple[int, ...]
    counts: Any
    scope: Any
    marks: tuple[int, ...]


class Found(NamedTuple):
    """What is counted: (scope, is backward) -> Counter, and which of these a user's counter gave.

    `needed` says of each input whether the outputs need it, `notes` what to know of the counts;
    `reached`, in the structure of what ran returns, of each tensor whether data reach it.
    """

    counts: dict
    by_hand: set
    needed: list
    notes: tuple = ()
    reached: Any = None


class Recorder(TorchDispatchMode):
    """Records what runs, and counts it.

    `scope` is a function that names where it runs; `choice` is what a condition on the data is
    taken to be, and `choices` how many there were. `fixed` are generators of a constant seed.
    """

    def __init__(self, scope, choice=True):
        super().__init__()
        self.scope, self.choices, self._choice, self.fixed = scope, 0, choice, []
        self.clear()

    def clear(self):
        """Forget what was recorded."""
        self.nodes, self.marks, self.inputs = [], [], 0
        self.by_hand, self.refused = {}, None
        self._made_by, self._reach, self._filled, self._kept = {}, {}, {}, {}
        self._made, self._written, self._read = set(), set(), set()
        self._scopes = []
        self._first = torch._C._autograd._get_sequence_nr()

    def of(self, variables, inputs=(), are_data=()):
        """Return the recorder, told which of Keras' variables random numbers come from.

        The `inputs` are those of which `dearer` says whether they are needed; `are_data` says of
        each whether it is data.
        """
        self.inputs = len(inputs)
        for tensor, is_data in zip(inputs, are_data, strict=True):
            self._add(Counter(), ("", False), (), [tensor], DATA if is_data else 0)
        for variable in (*variables, global_seed()):
            if is_seed(variable):
                self._reach[self._key(variable.value)] = SEED
        return self

    # --- recording

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func.namespace == "prim":
            return func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name == "_local_scalar_dense":
            return self._value(func, args[0])
        if not self._is_known(func, name) and any(True for _ in tensors_in((args, kwargs))):
            decomposed = self._decompose(func, args, kwargs)
            if decomposed is not NotImplemented:
                return decomposed
        scope = self._where()
        try:
            result = func(*args, **kwargs)
        except RuntimeError as error:
            if "overflow" in str(error):
                self._refuse(too_large(f"what {func} makes"))
            raise
        self._record(func, name, args, kwargs, result, scope)
        return result

    def _is_known(self, func, name):
        return (name.removesuffix("_") in TORCH_COUNTERS or name in TORCH_COUNTERS
                or name.startswith("_foreach_") or is_view(func))

    def _decompose(self, func, args, kwargs):
        """Run what PyTorch says that an op consists of, where it says so; it is recorded."""
        parts = decomposition_table.get(func)
        with self:
            return parts(*args, **kwargs) if parts else func.decompose(*args, **kwargs)

    def _record(self, func, name, args, kwargs, result, scope):
        inputs, outputs = list(tensors_in((args, kwargs))), list(tensors_in(result))
        read, written = [self._key(t) for t in inputs], written_by(func, args, kwargs)
        new = [t for t in outputs if self._key(t) not in read]
        for tensor, key in zip(inputs, read, strict=True):
            if not isinstance(tensor, FakeTensor):
                self._reach.setdefault(key, 0)
        if name in _LIFTS:  # a constant
            for tensor in outputs:
                self._reach[self._key(tensor)] = 0
            self._made.update(map(self._key, outputs))
            return
        if not written and not new:
            return  # a view: the same value
        if name.removesuffix("_") in OVERWRITES and all(map(is_whole, written)):
            gone = {self._key(t) for t in written}
            read = [self._key(t) for t in inputs[len(written):]] if written else read
            read = [key for key in read if key not in gone]
        if name in FACTORIES and not written:
            read = []  # made like a tensor, whose values are not looked at
        reach = self._reached(name.removesuffix("_"), read, kwargs.get("generator"))
        counts = self._counts(
            func, name, args, kwargs, inputs, outputs) if reach == DATA else Counter()
        self._made.update(key for key in map(self._key, new) if key not in self._reach)
        self._written.update(map(self._key, written))
        self._add(counts, scope, read, (*written, *new), reach)
        fill = None if written else fill_of(name, args, kwargs)
        for key in map(self._key, (*written, *new)):
            self._filled.pop(key, None)
            if fill is not None:
                self._filled[key] = fill

    def _reached(self, name, keys, generator):
        """Return what reaches the result of an op: data, the state of a generator, or nothing."""
        if name in RANDOM and getattr(generator, "_cdata", 0) not in [g._cdata for g in self.fixed]:
            return DATA
        if name in FACTORIES:
            return 0
        kinds = {self._reach.get(key, DATA) for key in keys}
        return DATA if DATA in kinds else SEED if SEED in kinds else 0

    def _counts(self, func, name, args, kwargs, inputs, outputs):
        """Return the op counts of an op, or the error that its counter raises."""
        counter = TORCH_COUNTERS.get(name) or TORCH_COUNTERS.get(name.removesuffix("_"))
        bound = dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | kwargs
        op = TorchOp(name.removesuffix("_"), bound, inputs, outputs or inputs[:1],
                     self._constant, self._is_data)
        if counter is None and name.startswith("_foreach_"):
            counter = each
        if counter is None and is_view(func):
            return Counter()
        try:
            if counter is None:
                raise TraceError(f"the op {func} has no counter; it is an entry of TORCH_COUNTERS "
                                 "of tostoolkit.counting.backends.torch_ops")
            return counter(op)
        except TraceError as error:
            return error
        except ValueError as error:
            return TraceError(f"the op {func}: {error}")

    def _add(self, counts, scope, read, tensors, reach):
        """Add a node that reads values and makes or writes tensors."""
        needs = tuple({self._made_by[key] for key in read if key in self._made_by})
        self.nodes.append(Node(needs, counts, scope, tuple(self.marks)))
        for key in map(self._key, tensors):
            self._made_by[key] = len(self.nodes) - 1
            self._reach[key] = reach

    def _key(self, tensor):
        """Return what a tensor's value is known by; its storage stays, and so does its address."""
        storage = tensor.untyped_storage()
        return self._kept.setdefault(storage._cdata, storage)._cdata

    def _is_data(self, tensor):
        return self._reach.get(self._key(tensor), DATA) == DATA

    def _constant(self, operand):
        """Return the number that an operand of an op is all over, None where it is none."""
        if not isinstance(operand, torch.Tensor):
            return operand if isinstance(operand, (int, float)) else None
        key = self._key(operand)
        if self._reach.get(key, DATA):
            return None
        known = getattr(operand, "constant", None)
        if known is not None and known.numel() == 1:
            return known.item()
        return self._filled.get(key)

    def _where(self):
        """Return where an op runs: a scope, and whether in the backward pass of what ran there."""
        node = torch._C._current_autograd_node()
        if node is not None:
            number = node._sequence_nr()
            return (self._scopes[number - self._first] if 0 <= number - self._first <
                    len(self._scopes) else ""), True
        scope = self.scope()
        if torch.is_grad_enabled():  # the nodes made since the last op are those of this one
            following = torch._C._autograd._get_sequence_nr()
            self._scopes += [scope] * (following - self._first - len(self._scopes))
        return scope, False

    def _value(self, func, tensor):
        """Return the value of one number, where it is known; of a condition, what is chosen."""
        self._read.add(self._key(tensor))
        try:
            return func(tensor)
        except DataDependentOutputException:
            pass
        if tensor.dtype == torch.bool:
            self.choices += 1
            if self.choices > _MOST_CHOICES:
                self._refuse(Endless("a loop runs until the data end it, so its work is unknown"))
            return self._choice
        if self._reach.get(self._key(tensor)) == SEED:
            return 1
        if UPDATE_SCOPE in self.scope().split("/") and tensor.is_floating_point():
            return 0.5  # a learning rate or the like, which is multiplied with
        self._refuse(TraceError("its code reads a value of the data, on which its work may depend"))

    def _refuse(self, error):
        """Raise an error that is kept, since Keras says it in its own words."""
        self.refused = error
        raise error

    # --- layers counted by hand

    @contextmanager
    def inside(self, number):
        """Return a context in which the call of a layer counted by hand runs, of this number."""
        self.marks.append(number)
        yield
        self.marks.pop()

    def _mark_of(self, node):
        """Return the number of the outermost layer counted by hand that an op is in, or None."""
        is_backward = node.scope[1]
        return None if is_backward else next((n for n in node.marks if n in self.by_hand), None)

    def _by_hand(self, number):
        """Return what a counter of the user's says of a call, None where it says NoRule."""
        try:
            return self.by_hand[number]()
        except NoRule:
            del self.by_hand[number]
            return None

    # --- what is counted

    def counts(self, outputs) -> "Found":
        """Return what is counted, and needed for the tensors that what ran returns.

        TraceError where an op that they, or what is written in place, need has no counter.
        """
        counts, by_hand, seen = defaultdict(Counter), set(), set()
        needed = self._needed(outputs)
        for number in sorted(needed):
            node = self.nodes[number]
            while (mark := self._mark_of(node)) is not None:
                ops = Counter() if mark in seen else self._by_hand(mark)
                if ops is not None:
                    counts[node.scope] += ops
                    by_hand.add(node.scope)
                    seen.add(mark)
                    break
            else:
                if isinstance(node.counts, Exception):
                    raise node.counts
                counts[node.scope] += node.counts
        return Found(counts, by_hand, [number in needed for number in range(self.inputs)],
                     reached=tree_map(self._is_reached, outputs))

    def _is_reached(self, thing):
        """Whether data, or the state of a generator, reach what ran returns."""
        return isinstance(thing, torch.Tensor) and bool(
            self._reach.get(self._key(thing), isinstance(thing, FakeTensor)))

    def _needed(self, outputs):
        keys = {self._key(t) for t in tensors_in(outputs)}
        keys |= (self._written - self._made) | self._read
        stack, needed = [self._made_by[key] for key in keys if key in self._made_by], set()
        while stack:
            number = stack.pop()
            if number not in needed:
                needed.add(number)
                stack.extend(self.nodes[number].needs)
        return needed
