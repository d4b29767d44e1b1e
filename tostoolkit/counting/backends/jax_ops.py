"""Op counts of JAX's primitives: one entry a primitive, on static shapes.

A function of ``jax.nn`` or ``jax.numpy`` that stands in a jaxpr as a call of its own counts by its
definition, so that it counts alike whichever backend computes it. A primitive that stands nowhere
here is an error, never nothing.
"""

from collections import Counter
from math import prod

from ..rules.activations import ACTIVATIONS, elementwise, ops
from .jax_kernels import COMPLEX, KERNELS, dtype_of, parts_of, size
from .jax_kernels import FUNCTIONS as ALGORITHMIC

#: Ops per output element; the dtype is that of the first input.
ELEMENTWISE = {
    **dict.fromkeys(("add", "add_any", "sub"), {"add": 1}),
    **dict.fromkeys(("mul", "square"), {"mul": 1}), "div": {"div": 1}, "rem": {"rem": 1},
    "sqrt": {"sqrt": 1}, "rsqrt": {"rsqrt": 1}, "cbrt": {"cbrt": 1},
    **dict.fromkeys(("exp", "exp2", "expm1"), {"exp": 1}),
    **dict.fromkeys(("log", "log1p"), {"log": 1}), "tanh": {"tanh": 1},
    "logistic": {"sigmoid": 1}, **dict.fromkeys(("erf", "erfc", "erf_inv"), {"erf": 1}),
    **dict.fromkeys(("sin", "cos", "tan", "asin", "acos", "atan", "atan2"), {"sin": 1}),
    **dict.fromkeys(("sinh", "cosh"), {"exp": 2, "add": 1, "mul": 1}),
    # log(x + sqrt(x x + 1)), log(x + sqrt(x x - 1)), log((1 + x) / (1 - x)) / 2
    **dict.fromkeys(("asinh", "acosh"), {"mul": 1, "add": 2, "sqrt": 1, "log": 1}),
    "atanh": {"add": 2, "div": 1, "log": 1, "mul": 1},
    **dict.fromkeys(("max", "min", "sign", "eq", "ne", "gt", "ge", "lt", "le", "eq_to", "le_to",
                     "lt_to", "is_finite"), {"max": 1}), "clamp": {"max": 2},
    "neg": {"neg": 1}, "abs": {"abs": 1},
    **dict.fromkeys(("round", "floor", "ceil"), {"round": 1}), "reduce_precision": {"convert": 1},
    **dict.fromkeys(("and", "or", "not", "xor", "shift_left", "shift_right_logical",
                     "shift_right_arithmetic", "population_count", "clz"), {"logic": 1}),
}
#: Reductions: the op that joins two values.
REDUCTIONS = {
    "reduce_sum": "add", "reduce_max": "max", "reduce_min": "max", "reduce_prod": "mul",
    "reduce_and": "logic", "reduce_or": "logic", "reduce_xor": "logic", "argmax": "max",
    "argmin": "max",
}
#: Primitives that move, make, reshape or look up values and compute nothing.
MOVEMENT = frozenset((
    "bitcast_convert_type", "broadcast_in_dim", "concatenate", "copy",
    "copy_p", "create_token", "debug_callback", "debug_print", "device_put", "dynamic_slice",
    "dynamic_update_slice", "empty", "empty2", "expand_dims", "gather", "iota", "layout_constraint",
    "mesh_cast", "name", "optimization_barrier", "pad", "pvary", "random_clone", "random_fold_in",
    "random_seed", "random_split", "random_unwrap", "random_wrap", "reshape", "reshard", "rev",
    "scatter", "sharding_constraint", "slice", "split", "squeeze", "stack", "stop_gradient", "tile",
    "transpose", "unstack", "real", "imag", "complex", "lu_pivots_to_permutation",
))
#: Primitive -> the number at an operand that leaves the other as it is: x 1, x + 0, max(x, -inf).
NEUTRAL = {"mul": 1, "add": 0, "add_any": 0, "sub": 0, "div": 1, "pow": 1,
           "max": -float("inf"), "min": float("inf")}
#: Those of them whose first operand is never neutral.
_ORDERED = ("sub", "div", "pow")


def is_neutral(eqn, known, maker):
    """Whether an operand is a constant that changes nothing, which any compiler drops."""
    name = eqn.primitive.name
    if _interleaves(eqn, maker):
        return True
    if name not in NEUTRAL:
        return False
    for i, value in enumerate(known):
        other = eqn.invars[1 - i].aval
        if (value is not None and value == NEUTRAL[name] and not (i == 0 and name in _ORDERED)
                and other.shape == eqn.outvars[0].aval.shape):
            return True
    return False


def _interleaves(eqn, maker):
    """Whether two arrays are added whose values stand between each other's zeros."""
    pads = [maker(v) for v in eqn.invars]
    if eqn.primitive.name not in ("add", "or") or any(
            p is None or p.primitive.name != "pad" for p in pads):
        return False
    places = [[range(low, low + n * (gap + 1), gap + 1) if n else () for n, (low, _, gap) in zip(
        p.invars[0].aval.shape, p.params["padding_config"], strict=True)] for p in pads]
    with_zeros = all(getattr(p.invars[1], "val", None) == 0 for p in pads)
    return with_zeros and any(not set(a) & set(b) for a, b in zip(*places, strict=True))


def joinings(eqn):
    """Return how many values a reduction with a function of the user's joins to others."""
    if "window_dimensions" in eqn.params:
        return size(eqn.outvars[0]) * (prod(eqn.params["window_dimensions"]) - 1)
    return max(size(eqn.invars[0]) - size(eqn.outvars[0]), 0)


def _first(eqn):
    return dtype_of(eqn.invars[0].aval)


def _per_output(per_element):
    def count(eqn, site):
        is_complex = str(eqn.invars[0].aval.dtype).startswith("complex")
        work = COMPLEX.get(eqn.primitive.name) if is_complex else per_element
        if work is None:
            raise ValueError("of complex numbers it has no counter")
        return elementwise(_first(eqn), size(eqn.outvars[0]), work)
    return count


def _reduced(eqn, site):
    n, rows = size(eqn.invars[0]), size(eqn.outvars[0])
    return _joined(eqn, REDUCTIONS[eqn.primitive.name], max(n - rows, 0))


def _joined(eqn, kind, n):
    """Return the counts of `n` values that are joined to others: of a complex number, its parts."""
    if parts_of(eqn.invars[0]) == 1:
        return ops(_first(eqn), **{kind: n})
    if kind not in ("add", "mul"):
        raise ValueError("of complex numbers it has no counter")
    return elementwise(_first(eqn), n, COMPLEX[kind])


def _convert(eqn, site):
    source, target = _first(eqn), dtype_of(eqn.outvars[0].aval)
    return ops(source, convert=size(eqn.outvars[0]) if source != target else 0)


def _select(eqn, site):
    if not site.reached[0] and not eqn.invars[0].aval.shape:  # known when traced
        return Counter()
    cases = len(eqn.invars) - 1
    return ops(dtype_of(eqn.invars[1].aval), select=size(eqn.outvars[0]) * (cases - 1))


def _power(exponent, n, dtype):
    """Return the counts of `n` powers with an integer exponent, by repeated squaring."""
    k = abs(exponent)
    return ops(dtype, mul=n * max(k.bit_length() + k.bit_count() - 2, 0),
               div=n if exponent < 0 else 0)


def _integer_pow(eqn, site):
    return _power(int(eqn.params["y"]), size(eqn.outvars[0]), _first(eqn))


def _pow(eqn, site):
    exponent, n = site.known[1], size(eqn.outvars[0])
    if exponent is not None and exponent == int(exponent) and abs(exponent) < 64:
        return _power(int(exponent), n, _first(eqn))
    return ops(_first(eqn), **{"sqrt" if exponent == 0.5 else "pow": n})


def _dot(eqn, site):
    (contracted, _), _ = eqn.params["dimension_numbers"]
    shape = eqn.invars[0].aval.shape
    return ops(_first(eqn), mac=_products(eqn) * size(eqn.outvars[0]) * prod(
        shape[d] for d in contracted))


def _products(eqn):
    """Return how many products of parts the product of two numbers is: four of two complex ones."""
    return parts_of(eqn.invars[0]) * parts_of(eqn.invars[1])


def _ragged_dot(eqn, site):
    (contracted, _), _ = eqn.params["ragged_dot_dimension_numbers"].dot_dimension_numbers
    shape = eqn.invars[0].aval.shape
    return ops(_first(eqn), mac=size(eqn.outvars[0]) * prod(shape[d] for d in contracted))


def _conv(eqn, site):
    """Count a convolution, a transposed one, or a gradient: pixels x taps x channels x filters.

    In each direction an image, a kernel and a result meet. The taps are the kernel's, or the
    result's where that is a kernel's gradient, and each meets the pixels of the smaller of the
    other two: zeros put between or around pixels, by a transposed convolution or a gradient, are
    not multiplied. Taps on the padding of an ordinary convolution count.
    """
    left, right, out = (x.aval.shape for x in (*eqn.invars[:2], eqn.outvars[0]))
    layout = eqn.params["dimension_numbers"]
    pairs = 1
    for image, kernel, result in zip(
            (left[d] for d in layout.lhs_spec[2:]), (right[d] for d in layout.rhs_spec[2:]),
            (out[d] for d in layout.out_spec[2:]), strict=True):
        of_kernel = layout.lhs_spec[0] > layout.lhs_spec[1]  # its gradient contracts the batch
        pairs *= result * min(image, kernel) if of_kernel else kernel * min(image, result)
    rows = prod(out[d] for d in layout.out_spec[:2]) * _products(eqn)
    return ops(_first(eqn), mac=rows * right[layout.rhs_spec[1]] * pairs)


def _window(kind):
    def count(eqn, site):
        window = prod(eqn.params["window_dimensions"])
        pads = site.maker(eqn.invars[0])
        if site.backward:  # a window's share is added to each of its inputs
            source = pads.invars[0] if pads is not None and pads.primitive.name == "pad" else (
                eqn.invars[0])
            return _joined(eqn, kind, size(source) * window)
        return _joined(eqn, kind, size(eqn.outvars[0]) * (window - 1))
    return count


def _max_pool_gradient(eqn, site):
    """The window's maximum is found again, and gets the gradient added."""
    n = size(eqn.invars[0])
    return ops(_first(eqn), max=n * (prod(eqn.params["window_dimensions"]) - 1), add=n)


def _window_pairs(eqn, site):
    return ops(_first(eqn), max=size(eqn.outvars[0]) * (prod(eqn.params["window_dimensions"]) - 1))


def _cumulative(kind):
    """Return the counter of running sums, or the like: all values but the first of each row."""
    return lambda eqn, site: _joined(eqn, kind, _after_the_first(eqn))


def _after_the_first(eqn):
    n = size(eqn.invars[0])
    return n - n // max(eqn.invars[0].aval.shape[eqn.params["axis"]], 1)


#: max + log1p(exp(-|a - b|))
_LOG_ADD_EXP = {"max": 1, "add": 2, "abs": 1, "neg": 1, "exp": 1, "log": 1}


def _running_log_sum(eqn, site):
    return elementwise(_first(eqn), _after_the_first(eqn), _LOG_ADD_EXP)


def _scatter(kind):
    """Return the counter of values that are added, or the like, at places of an array."""
    return lambda eqn, site: _joined(eqn, kind, size(eqn.invars[2]))


def _random_bits(eqn, site):
    return ops(dtype_of(eqn.outvars[0].aval), random=size(eqn.outvars[0]))


#: Name of a primitive -> function of (equation, site) that counts it; the site is its `Site`.
PRIMITIVES = {
    **KERNELS, "conj": _per_output({}),
    **{name: _per_output(per_element) for name, per_element in ELEMENTWISE.items()},
    **dict.fromkeys(REDUCTIONS, _reduced),
    **dict.fromkeys(MOVEMENT, lambda eqn, site: Counter()),
    "convert_element_type": _convert, "select_n": _select, "integer_pow": _integer_pow,
    "pow": _pow, "dot_general": _dot, "ragged_dot_general": _ragged_dot,
    "conv_general_dilated": _conv,
    "reduce_window_sum": _window("add"), "reduce_window_max": _window("max"),
    "reduce_window_min": _window("max"), "select_and_scatter_add": _max_pool_gradient,
    "select_and_gather_add": _window_pairs,
    "cumsum": _cumulative("add"), "cumprod": _cumulative("mul"), "cummax": _cumulative("max"),
    "cummin": _cumulative("max"), "cumlogsumexp": _running_log_sum,
    **dict.fromkeys(("scatter-add", "scatter_add", "scatter-sub", "scatter_sub"), _scatter("add")),
    **dict.fromkeys(("scatter-mul", "scatter_mul"), _scatter("mul")),
    **dict.fromkeys(("scatter-min", "scatter_min", "scatter-max", "scatter_max"),
                    _scatter("max")),
    "random_bits": _random_bits, "threefry2x32": _random_bits, "rng_bit_generator": _random_bits,
}


def _draws(eqn, site):
    return ops(dtype_of(eqn.outvars[0].aval), random=size(eqn.outvars[0]))


def _log_add_exp(eqn, site):
    """Where one of the two is zero it is a softplus."""
    n, dtype = size(eqn.outvars[0]), _first(eqn)
    if any(value is not None and value == 0 for value in site.known):
        return ACTIVATIONS["softplus"].count(dtype, n, 1)
    return elementwise(dtype, n, _LOG_ADD_EXP)


def _activation(name):
    return lambda eqn, site: ACTIVATIONS[name].count(
        _first(eqn), size(eqn.outvars[0]), (eqn.outvars[0].aval.shape or (1,))[-1])


def _elu(eqn, site):
    n, dtype = size(eqn.outvars[0]), _first(eqn)
    scaled = len(site.known) > 1 and site.known[1] != 1
    return ACTIVATIONS["elu"].count(dtype, n, 1) + ops(dtype, mul=n if scaled else 0)


#: Name of a function that JAX ships, where a call of it makes one result -> its counter.
FUNCTIONS = {
    **ALGORITHMIC,
    **dict.fromkeys(("_uniform", "_normal", "_normal_real", "_truncated_normal", "_randint"),
                    _draws),
    **{name: _activation(name) for name in ("selu", "celu", "leaky_relu", "relu6")}, "elu": _elu,
    "_one_hot": lambda eqn, site: Counter(), "logaddexp": _log_add_exp, "power": _pow,
    "softplus": _activation("softplus"), "trunc": _per_output({"round": 1}),
    "floor_divide": _per_output({"div": 1, "round": 1}), "remainder": _per_output({"rem": 1}),
}
