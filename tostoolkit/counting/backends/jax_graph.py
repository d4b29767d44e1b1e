"""A jaxpr -> op counts, by the named scopes of its equations.

What the outputs do not need is not counted, and neither is what no input reaches: constants, loop
counters and seeds, of which each draw is one ``random``. A scan counts as often as it runs, and so
does a while loop whose bound is known; of a conditional's branches the dearer one counts, with a
note that says so. Integers that are only used as places to look up are data movement, with the
arithmetic that makes them.

A layer that has a counter of the user's is marked in the jaxpr (`mark`): its forward pass is what
that counter says, as often as it runs, and its gradient what the jaxpr says.
"""

import os
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from ..calls import BACKWARD_SCOPE
from ..rules.layers import NoRule
from ..trace import TraceError
from .jax_kernels import ALGORITHMS, size
from .jax_loops import (
    SAME,
    Value,
    data,
    is_variable,
    needed_alone,
    number,
    opened,
    scalar,
    steps_of,
)
from .jax_ops import FUNCTIONS, PRIMITIVES, is_neutral, joinings
from .jax_places import CALLS, of_places

#: Functions of JAX's that take a mean once more, which stands beside them.
_TAKEN_AGAIN, _MEAN = ("_var", "_std"), ("reduce_sum", "div")
_MARK = re.compile(r"(?<![^/])counted_by_hand_(\d+)(?![^/])")


def mark(number) -> str:
    """Return the scope of the equations of a layer that is counted by hand."""
    return f"counted_by_hand_{number}"


class Site(NamedTuple):
    """What a counter may ask of where an equation stands.

    `known` are its operands' values where they are a constant number in every place, else None;
    `reached` says which of them data reach; `backward` whether it is part of a gradient; `maker`
    gives the equation that makes an operand, None where it is handed in; `function` is the name of
    the function of JAX's that it is part of.
    """

    known: list
    reached: list
    backward: bool
    maker: object
    function: str | None


@dataclass
class JaxprCounts:
    """The op counts of jaxprs, by the named scopes of their equations.

    `by_hand` holds, by the number of a mark, a function that returns the op counts of one run of
    what is marked and the number of elements of its first input, or raises NoRule: then the jaxpr
    counts. `counted_by_hand` are those of the names that are marks. `needed` says of each input
    whether the outputs need it, `reached` of each output whether data reach it.
    """

    by_hand: dict = field(default_factory=dict)
    counts: dict = field(default_factory=lambda: defaultdict(Counter))
    counted_by_hand: set = field(default_factory=set)
    taken: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)
    needed: list = field(default_factory=list)
    reached: list = field(default_factory=list)
    choices: dict = field(default_factory=lambda: defaultdict(list))

    def add(self, closed, given=None):
        """Count a closed jaxpr on Values; return self. All inputs are data, if left out."""
        jaxpr, self.needed = needed_alone(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
        given = given or [data() for _ in self.needed]
        inputs = [value for value, n in zip(given, self.needed, strict=True) if n]
        made = self.walk(jaxpr, opened(closed)[1], inputs, 1, "")
        self.reached = [value.reached for value in made]
        self.choose()
        return self

    def total(self):
        """Number of ops of any kind."""
        return sum((sum(c.values()) for c in self.counts.values()), 0)

    def walk(self, jaxpr, constants, inputs, times, scope, function=None):
        """Add the counts of a jaxpr; return the values of its outputs.

        `inputs` are those of its inputs, `scope` is where it is called, `function` the name of the
        function of JAX's that it is part of.
        """
        state = dict(zip(jaxpr.constvars, constants, strict=True))
        state |= dict(zip(jaxpr.invars, inputs, strict=True))
        makers = {v: eqn for eqn in jaxpr.eqns for v in eqn.outvars}
        places, marks = of_places(jaxpr), set()
        for eqn in jaxpr.eqns:
            given = [_read(state, v) for v in eqn.invars]
            name = _joined(scope, eqn)
            site = Site([v.known for v in given], [v.reached for v in given],
                        "transpose(" in name, _maker(makers), function)
            drawn = "random" in eqn.primitive.name and any(v.seeded for v in given)
            if not (drawn or any(site.reached)):
                made = self._without_data(eqn, given, site, times, name)
            elif self._is_by_hand(eqn, name, times, marks):
                made = [data() for _ in eqn.outvars]
            elif id(eqn) in places:
                _, made = self._taken(eqn, given, [data() for _ in eqn.outvars])
            else:
                made = self._add_eqn(eqn, given, site, times, name)
            state.update(zip(eqn.outvars, made, strict=True))
        return [_read(state, v) for v in jaxpr.outvars]

    def _without_data(self, eqn, given, site, times, name):
        """Return the values of what an equation makes of constants and seeds; add its draws."""
        kind, seeded = eqn.primitive.name, any(v.seeded for v in given)
        if kind in CALLS and (seeded or None not in site.known):
            return self.walk(*opened(eqn.params[CALLS[kind]]), given, times, name)
        if kind in ("scan", "while") and seeded:
            return self._add_eqn(eqn, given, site, times, name)
        return [data(False, scalar(eqn, site.known), seeded) for _ in eqn.outvars]

    def _is_by_hand(self, eqn, name, times, seen):
        """Whether an equation is inside what is counted by hand; the first of a mark counts."""
        if not self.by_hand or "transpose(" in name:
            return False
        number = next((n for n in map(int, _MARK.findall(plain(name))) if n in self.by_hand), None)
        if number is None:
            return False
        if eqn.primitive.name == "name" and number not in seen and (
                eqn.params["name"] == mark(number)):
            try:
                counts, first = self.by_hand[number]()
            except NoRule:
                del self.by_hand[number]
                return self._is_by_hand(eqn, name, times, seen)
            seen.add(number)  # a mapped call is on more elements than the layer sees
            self._count(name, counts, times * max(size(eqn.invars[0]) // max(first, 1), 1))
            self.counted_by_hand.add(name)
        return True

    def _add_eqn(self, eqn, given, site, times, name):
        """Add the counts of one equation; return what `walk` does, of its outputs."""
        kind, made = eqn.primitive.name, [data() for _ in eqn.outvars]
        shipped = _function(eqn)
        if shipped in FUNCTIONS and len(eqn.outvars) == 1:
            self._count_as(shipped, FUNCTIONS[shipped], eqn, site, times, name)
        elif kind in CALLS:
            inner, constants = opened(eqn.params[CALLS[kind]])
            return self.walk(inner, constants, given, times, name, (
                site.function if site.function in _TAKEN_AGAIN else shipped))
        elif kind == "custom_linear_solve":
            lengths, solve = eqn.params["const_lengths"], eqn.params["jaxprs"].solve
            first, last = lengths.matvec + lengths.vecmat, sum(lengths)
            inner, constants = opened(solve)
            given = [*given[first:first + lengths.solve], *given[last:]]
            return self.walk(inner, constants, given, times, name)
        elif kind == "scan":
            return self._add_scan(eqn, given, times, name)
        elif kind == "while":
            return self._add_while(eqn, given, times, name)
        elif kind == "cond":
            return self._add_branches(eqn, given, site, times, name)
        elif kind in ("reduce", "reduce_window"):  # with a function of the user's
            inner, constants = opened(eqn.params["jaxpr"])
            pairs = [data(v.reached) for v in (*given, *given)][:len(inner.invars)]
            self.walk(inner, constants, pairs, times * joinings(eqn), name)
        elif kind not in PRIMITIVES:
            raise TraceError(
                f"the primitive {kind} at {plain(name) or 'the top'!r} has no counter; it is an "
                "entry of PRIMITIVES of tostoolkit.counting.backends.jax_ops")
        elif not is_neutral(eqn, site.known, site.maker):
            again, made = self._taken(eqn, given, made)
            if not (again and site.function in _TAKEN_AGAIN):
                self._count_as(kind, PRIMITIVES[kind], eqn, site, times, name)
        return made

    def _count_as(self, kind, counter, eqn, site, times, name):
        """Add what a counter says of an equation; a note goes with a standard algorithm."""
        where = f"{kind} at {plain(name) or 'the top'!r}"
        try:
            counts = counter(eqn, site)
        except ValueError as error:
            raise TraceError(f"the primitive {where}: {error}") from None
        self._count(name, counts, times)
        if kind in ALGORITHMS and counts:
            self.notes.append(f"{where}: counted by its standard algorithm ({ALGORITHMS[kind]}), "
                              "a library chooses")

    def _taken(self, eqn, given, made):
        """Return whether a part of a mean is there already, and its value, by the same name.

        So has what hands a value on, as the place of the branch that a condition chooses.
        """
        kind = eqn.primitive.name
        if kind not in _MEAN and kind not in SAME:
            return False, made
        n = size(eqn.outvars[0])
        if kind in SAME and kind != "convert_element_type" and n == size(eqn.invars[0]):
            return False, [given[0]]
        key = kind, eqn.params.get("axes"), str(eqn.outvars[0].aval.dtype), n, *(
            v.known if v.name is None else v.name for v in given)
        again = key in self.taken
        return again, [self.taken.setdefault(key, made[0])]

    def _count(self, name, ops, times):
        for key, n in ops.items():
            self.counts[name][key] += n * times

    def _add_scan(self, eqn, given, times, name):
        body, constants = opened(eqn.params["jaxpr"])
        fixed, carried = eqn.params["num_consts"], eqn.params["num_carry"]
        given = [*given[:fixed], *(v.in_steps() for v in given[fixed:])]
        return self._add_loop(body, constants, given, slice(fixed, fixed + carried),
                              times * eqn.params["length"], name)

    def _add_while(self, eqn, given, times, name):
        steps = steps_of(eqn, [v.known for v in given])
        if steps is None:
            raise TraceError(f"the loop at {plain(name) or 'the top'!r} runs until the data end "
                             "it, so its work is unknown")
        body, constants = opened(eqn.params["body_jaxpr"])
        first, fixed = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
        given = [*given[first:first + fixed], *(v.in_steps() for v in given[first + fixed:])]
        return self._add_loop(body, constants, given, slice(fixed, None), times * steps, name)

    def _add_loop(self, body, constants, given, carry, times, name):
        """Count a loop's body once it is known which of what it carries data reach."""
        while True:
            trial = JaxprCounts(self.by_hand)
            made = trial.walk(body, constants, given, times, name)
            trial.choose()
            carried = given[carry]
            given[carry] = [data(a.reached or b.reached, seeded=a.seeded or b.seeded)
                            for a, b in zip(carried, made, strict=False)]
            if all(a.reached == b.reached and a.seeded == b.seeded
                   for a, b in zip(carried, given[carry], strict=True)):
                break
        self._merge(trial)
        return [v.in_steps() for v in made]

    def _add_branches(self, eqn, given, site, times, name):
        trials = []
        for branch in eqn.params["branches"]:
            inner, constants = opened(branch)
            trials.append(JaxprCounts(self.by_hand))
            trials[-1].walk(inner, constants, given[1:], times, name)
            trials[-1].choose()
        if site.known[0] is not None:
            self._merge(trials[int(site.known[0])])
        else:
            self.choices[given[0].name].append((trials, plain(name) or "cond"))
        return [data() for _ in eqn.outvars]

    def choose(self):
        """Merge the dearer branches of conditionals: the same of all that one value decides."""
        for conditionals in self.choices.values():
            branches = list(zip(*(trials for trials, _ in conditionals), strict=True))
            chosen = max(branches, key=lambda trials: sum(t.total() for t in trials))
            for trial, (trials, where) in zip(chosen, conditionals, strict=True):
                if any(t.counts != trials[0].counts for t in trials):
                    self.notes.append(f"{where}: the dearer branch of a conditional is counted")
                self._merge(trial)
        self.choices.clear()

    def _merge(self, inner):
        self.notes += inner.notes
        self.counted_by_hand |= inner.counted_by_hand
        for name, counts in inner.counts.items():
            self.counts[name] += counts


def scoped(name) -> str:
    """Return the name of an equation as a graph of TensorFlow's names its ops.

    >>> scoped("transpose(jvp(tos_loss))/dense/mul")
    'tos_backward/tos_loss/dense/mul'
    """
    return f"{BACKWARD_SCOPE}/{plain(name)}" if "transpose(" in name else plain(name)


def plain(name):
    """Return a name without the transformations around its scopes."""
    return "/".join(filter(None, re.sub(r"\w+\(|\)", "", name).split("/")))


def _joined(scope, eqn):
    return "/".join(filter(None, (scope, str(eqn.source_info.name_stack))))


def _maker(makers):
    return lambda var: makers.get(var) if is_variable(var) else None


def _read(state, atom):
    return state[atom] if is_variable(atom) else Value(False, number(atom.val))


def _function(eqn):
    """Return the name of the function of JAX's own that an equation calls, None for another."""
    jaxpr = eqn.params.get(CALLS.get(eqn.primitive.name))
    info = getattr(getattr(jaxpr, "jaxpr", jaxpr), "debug_info", None)
    if not info or f"{os.sep}jax{os.sep}_src{os.sep}" not in str(info.func_src_info):
        return None
    return eqn.params.get("name")

