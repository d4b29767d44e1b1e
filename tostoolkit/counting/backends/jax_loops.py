"""How often a while loop of a jaxpr runs, and what it carries for nobody.

And what jaxprs are made of: variables, values.
"""

import operator
from contextlib import contextmanager
from functools import cache
from itertools import count
from typing import NamedTuple

#: Primitives that hand a scalar on, in whatever shape.
SAME = ("broadcast_in_dim", "reshape", "squeeze", "expand_dims", "convert_element_type", "copy",
        "stop_gradient", "copy_p")
#: Primitives that hand on some places of an array, or the largest of equal ones.
_MOVES = ("transpose", "slice", "rev", "reduce_max", "reduce_min")
_SCALARS = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "max": max, "min": min,
            "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
            "eq": operator.eq, "ne": operator.ne, "neg": operator.neg, "abs": abs,
            "clamp": lambda low, x, high: min(max(low, x), high)}
#: A loop whose end only its own run tells runs so many steps at most.
_MOST_STEPS = 10**6


class Value(NamedTuple):
    """What is known of a value of a jaxpr.

    `reached` says whether data reach it, `known` is its number where it is one known number in
    every place, else None; equal values have the same `name`. `seeded` says whether it is made of
    the state of a generator of random numbers, which is another in another call.
    """

    reached: bool
    known: object = None
    name: object = None
    seeded: bool = False

    def in_steps(self):
        """Return what is known of it in each step of a loop that changes it."""
        return data(self.reached, seeded=self.seeded)


_NAMES = count()


def data(reached=True, known=None, seeded=False) -> Value:
    """Return a value that is like no other."""
    return Value(reached, known, next(_NAMES), seeded)


def is_variable(atom):
    """Whether an operand is a variable, not a literal."""
    return not hasattr(atom, "val")


def number(value):
    """Return the number that an array is, or None where it holds several."""
    if getattr(value, "shape", ()) not in ((), (1,)) or not hasattr(value, "__float__"):
        return None
    try:
        return value.item() if hasattr(value, "item") else value
    except Exception:  # a key of a generator, or what has no value
        return None


def opened(jaxpr):
    """Return a jaxpr, closed or not, without what is closed in it, and the values of that."""
    if hasattr(jaxpr, "consts"):
        return jaxpr.jaxpr, [data(False, number(c)) for c in jaxpr.consts]
    return jaxpr, []


def scalar(eqn, known):
    """Return the number that an equation makes of constants, or None."""
    kind = eqn.primitive.name
    if not known or None in known:
        return None
    if kind in SAME or kind in _MOVES or (kind == "concatenate" and len(set(known)) == 1):
        return known[0]
    return _SCALARS[kind](*known) if kind in _SCALARS else None


def steps_of(eqn, known):
    """Return how often a loop runs, or None where that is not known when it is traced.

    It is known where what the condition looks at is made of known numbers alone.
    """
    steps = _counted(eqn, known)
    return _run(eqn, known) if steps is None else steps


def _run(eqn, known):
    """Return how often a loop runs by running it, without what its condition does not look at."""
    import jax
    from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
    from jax.interpreters.partial_eval import dce_jaxpr

    condition, body = eqn.params["cond_jaxpr"], eqn.params["body_jaxpr"]
    first, fixed = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    with _carrying_less():
        looked_at, wanted = _carried(eqn, [False] * len(eqn.outvars))
        inner, needed = dce_jaxpr(body.jaxpr, wanted)
    used = [*looked_at[:first], *needed[:fixed], *wanted]
    if inner.effects or any(u and k is None for u, k in zip(used, known, strict=True)):
        return None
    values = [jax.numpy.asarray(0 if k is None else k, v.aval.dtype).reshape(v.aval.shape)
              if u else None for k, v, u in zip(known, eqn.invars, used, strict=True)]
    of_condition, of_body, carried = (
        values[:first], values[first:first + fixed], values[first + fixed:])

    def filled(given, like):
        """Put zeros in the place of what nothing looks at."""
        return [jax.numpy.zeros(v.aval.shape, v.aval.dtype) if x is None else x
                for x, v in zip(given, like, strict=True)]

    def goes_on(state):
        steps, carry = state
        given = filled([*of_condition, *carry], condition.jaxpr.invars)
        return (steps < _MOST_STEPS) & jaxpr_as_fun(condition)(*given)[0]

    def step(state):
        steps, carry = state
        given = [x for x, n in zip([*of_body, *carry], needed, strict=True) if n]
        made = iter(jaxpr_as_fun(ClosedJaxpr(inner, body.consts))(*given))
        return steps + 1, [next(made) if w else None for w in wanted]

    steps = int(jax.lax.while_loop(goes_on, step, (0, carried))[0])
    return steps if steps < _MOST_STEPS else None


def needed_alone(jaxpr, wanted):
    """Return a jaxpr without what its wanted results do not need, and which inputs these need.

    JAX leaves out what a scan, a call or a conditional makes for nobody, but keeps all that a while
    loop carries. Here a loop carries what is needed alone, wherever it stands.
    """
    from jax.interpreters.partial_eval import dce_jaxpr

    with _carrying_less():
        return dce_jaxpr(_copied(jaxpr), wanted)


@contextmanager
def _carrying_less():
    """Return a context in which JAX leaves out what a while loop carries for nobody."""
    from jax import lax
    from jax.interpreters.partial_eval import dce_rules

    before = dce_rules.get(lax.while_p)
    dce_rules[lax.while_p] = _with_less
    try:
        yield
    finally:
        del dce_rules[lax.while_p]
        if before is not None:
            dce_rules[lax.while_p] = before


def _copied(jaxpr):
    """Return a copy of a jaxpr with loops, closed or not, of which JAX has kept no shorter form."""
    @cache
    def copy(jaxpr):
        if hasattr(jaxpr, "consts"):
            inner = copy(jaxpr.jaxpr)
            return jaxpr if inner is jaxpr.jaxpr else jaxpr.replace(jaxpr=inner)
        eqns = [copy_of(eqn) for eqn in jaxpr.eqns]
        same = all(a is b and a.primitive.name != "while"
                   for a, b in zip(eqns, jaxpr.eqns, strict=True))
        return jaxpr if same else jaxpr.replace(eqns=eqns)

    def copy_of(eqn):
        params = {}
        for name, held in eqn.params.items():
            if hasattr(held, "eqns"):
                params[name] = copy(held)
            elif type(held) is tuple and held and all(hasattr(part, "eqns") for part in held):
                params[name] = tuple(map(copy, held))
        return eqn.replace(params={**eqn.params, **params}) if any(
            not _are_same(eqn.params[name], held) for name, held in params.items()) else eqn

    return copy(jaxpr)


def _are_same(held, other):
    return held is other or (isinstance(held, tuple) and all(map(operator.is_, held, other)))


def _carried(eqn, used):
    """Return what of its inputs a loop's condition looks at, and what the loop has to carry.

    `used` says which of its results are. What a step makes is needed where a later step, the
    condition or a user of the loop needs it.
    """
    from jax.interpreters.partial_eval import dce_jaxpr

    body, fixed = eqn.params["body_jaxpr"].jaxpr, eqn.params["body_nconsts"]
    _, looked_at = dce_jaxpr(eqn.params["cond_jaxpr"].jaxpr, [True])
    for_end = looked_at[eqn.params["cond_nconsts"]:]
    wanted = [a or b for a, b in zip(used, for_end, strict=True)]
    while True:
        _, needed = dce_jaxpr(body, wanted)
        more = [a or b for a, b in zip(wanted, needed[fixed:], strict=True)]
        if more == wanted:
            return looked_at, wanted
        wanted = more


def _with_less(used, eqn):
    """Return which inputs a while loop needs, and the loop without the others."""
    from jax.interpreters.partial_eval import dce_jaxpr

    if not any(used) and not eqn.effects:
        return [False] * len(eqn.invars), None
    wanted = _carried(eqn, used)[1]
    condition, body = eqn.params["cond_jaxpr"], eqn.params["body_jaxpr"]
    first, fixed = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    end, _ = dce_jaxpr(condition.jaxpr, [True], [*[True] * first, *wanted])
    step, needed = dce_jaxpr(body.jaxpr, wanted, [*[False] * fixed, *wanted])
    kept = [*[True] * first, *needed]
    return kept, eqn.replace(
        invars=[v for v, keep in zip(eqn.invars, kept, strict=True) if keep],
        outvars=[v for v, keep in zip(eqn.outvars, wanted, strict=True) if keep],
        params={**eqn.params, "cond_jaxpr": condition.replace(jaxpr=end),
                "body_jaxpr": body.replace(jaxpr=step), "body_nconsts": sum(needed[:fixed])})


def _counted(eqn, known):
    """Return how often a loop that counts runs, or None where it is another.

    Its condition is a conjunction of ``counter < bound``, the body adds a constant to the counter.
    """
    condition, condition_constants = opened(eqn.params["cond_jaxpr"])
    body, body_constants = opened(eqn.params["body_jaxpr"])
    first, fixed = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    start = known[first + fixed:]
    carried = condition.invars[first:]
    values = dict(zip(condition.invars, (*known[:first], *start), strict=True))
    values |= {v: c.known for v, c in zip(condition.constvars, condition_constants, strict=True)}
    inside = dict(zip(body.invars[:fixed], known[first:first + fixed], strict=True))
    inside |= {v: c.known for v, c in zip(body.constvars, body_constants, strict=True)}
    makers = {v: e for e in condition.eqns for v in e.outvars}
    in_body = {v: e for e in body.eqns for v in e.outvars}

    def held(limit):
        """Whether a variable of the condition is the same in each step."""
        if limit not in carried:
            return limit not in makers
        place = carried.index(limit)
        return body.outvars[place] is body.invars[fixed + place]

    def bound(test):
        """Return after how many steps a comparison with a counter fails."""
        low, high = test.invars[:2] if test.primitive.name in ("lt", "le") else test.invars[1::-1]
        low, high = _source(low, makers), _source(high, makers)
        for counter, limit, way in ((low, high, 1), (high, low, -1)):
            if is_variable(limit) and not held(limit):
                continue
            limit = values.get(limit) if is_variable(limit) else number(limit.val)
            if limit is None or not is_variable(counter) or counter not in carried:
                continue
            place = carried.index(counter)
            stride = _stride(body, in_body, inside, fixed + place, place)
            if stride is None or start[place] is None or stride * way <= 0:
                continue
            inclusive = test.primitive.name in ("le", "ge")
            return max(0, -(-((limit - start[place]) * way + inclusive) // (stride * way)))
        return None

    bounds, stack = [], [condition.outvars[0]]
    while stack:
        test = makers.get(_source(stack.pop(), makers))
        if test is not None and test.primitive.name == "and":
            stack.extend(test.invars)
        elif test is not None and test.primitive.name in ("lt", "le", "gt", "ge"):
            bounds.append(bound(test))
    return min((int(steps) for steps in bounds if steps is not None), default=None)


def _source(atom, makers):
    while is_variable(atom) and atom in makers and makers[atom].primitive.name in SAME:
        atom = makers[atom].invars[0]
    return atom


def _stride(body, makers, known, place, output):
    """Return the constant that the body adds to what it carries at a place, or None."""
    made = makers.get(_source(body.outvars[output], makers))
    if made is None or made.primitive.name not in ("add", "sub"):
        return None
    a, b = (_source(x, makers) for x in made.invars)
    if b is body.invars[place] and made.primitive.name == "add":
        a, b = b, a
    if a is not body.invars[place]:
        return None
    value = known.get(b) if is_variable(b) else number(b.val)
    return -value if value is not None and made.primitive.name == "sub" else value
