"""Which integers of a jaxpr are places to look up: they are data movement, with what makes them.

What Keras itself computes of a place counts, on every backend: a lookup wraps a negative index.
Its equations stand in the scope LOOKUP, into which `jax_definitions` puts them.
"""

from collections import defaultdict

from .jax_kernels import dtype_of
from .jax_ops import ELEMENTWISE, MOVEMENT

#: Primitive that holds a jaxpr which runs once -> the parameter that it stands in.
CALLS = {
    **dict.fromkeys(("jit", "pjit", "remat", "remat2", "checkpoint", "custom_lin"), "jaxpr"),
    **dict.fromkeys(("closed_call", "core_call", "call", "custom_jvp_call", "custom_vjp_call"),
                    "call_jaxpr"),
    "custom_vjp_call_jaxpr": "fun_jaxpr",
}
LOOKUP = "tos_lookup"
#: Where of its inputs a primitive takes places to look up; a conditional, its branch's.
_PLACES = {"cond": (0, 1), "gather": (1, None), "dynamic_slice": (1, None),
           "dynamic_update_slice": (2, None),
           **dict.fromkeys(("scatter", *(f"scatter{sign}{way}" for sign in "-_" for way in (
               "add", "sub", "mul", "min", "max"))), (1, 2))}
#: What makes places of integers.
_ARITHMETIC = {*ELEMENTWISE, *MOVEMENT, *CALLS, "select_n", "convert_element_type", "integer_pow",
               "dot_general"}


def of_places(jaxpr):
    """Return the ids of the equations that make nothing but places to look up, of integers."""
    uses, found = defaultdict(list), set()
    for eqn in jaxpr.eqns:
        where = slice(*_PLACES.get(eqn.primitive.name, (0, 0)))
        places = set(map(id, eqn.invars[where]))
        for var in eqn.invars:
            uses[id(var)].append((id(eqn), id(var) in places))
    outputs = set(map(id, jaxpr.outvars))
    for eqn in reversed(jaxpr.eqns):
        if eqn.primitive.name in _ARITHMETIC and _is_of_integers(eqn) and (
                LOOKUP not in str(eqn.source_info.name_stack)):
            used = [use for v in eqn.outvars for use in uses[id(v)]]
            if used and all(is_place or by in found for by, is_place in used) and not any(
                    id(v) in outputs for v in eqn.outvars):
                found.add(id(eqn))
    return found


def _is_of_integers(eqn):
    return all(dtype_of(v.aval).startswith(("int", "bool")) for v in (*eqn.invars, *eqn.outvars))
