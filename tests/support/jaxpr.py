"""The oracle of the counts: what a model or its training step computes on JAX, from its jaxpr.

It shares no code with the package's rules and traces. Run in a process of its own, with
``KERAS_BACKEND=jax``: ``python tests/support/jaxpr.py inference ResNet50 BertBackbone`` prints one
line of JSON for each model that `kerashub_models.build` knows, ``{"name": ..., "counts": ...}``. A
step of ``training`` has the derivatives of ``derivatives.py``, of ``"training by JAX"`` JAX's own.

The conventions are those at the top of ``tostoolkit/counting/count.py``. Four things a jaxpr says
in its own way, and they are read as these say: the gradient of a convolution multiplies what its
forward pass did, not the zeros that JAX inserts around and between; a whole power is multiplied out
by repeated squaring, whatever primitive says it; a draw is one op, however its bits become a
number; and what Keras' JAX backend writes as a formula of its own is computed by its definition
here (`_define`).
"""

import json
import os
import re
import sys
from collections import Counter
from functools import wraps
from math import prod

import jax
import keras
import numpy as np
from jax import lax
from jax.extend.core import Literal
from jax.interpreters import ad
from jax.interpreters import partial_eval as pe

#: Primitive -> kinds of op per element of its result.
ELEMENTWISE = {
    "add": ["add"], "sub": ["add"], "add_any": ["add"], "mul": ["mul"], "square": ["mul"],
    "div": ["div"], "rem": ["rem"], "sqrt": ["sqrt"], "rsqrt": ["rsqrt"], "cbrt": ["cbrt"],
    "exp": ["exp"], "exp2": ["exp"], "expm1": ["exp"], "log": ["log"], "log1p": ["log"],
    "tanh": ["tanh"], "logistic": ["sigmoid"], "erf": ["erf"], "erfc": ["erf"],
    **dict.fromkeys(["sin", "cos", "tan", "asin", "acos", "atan", "atan2"], ["sin"]),
    **dict.fromkeys(["max", "min", "sign", "eq", "ne", "lt", "le", "gt", "ge", "is_finite"],
                    ["max"]),
    "clamp": ["max", "max"], "select_n": ["select"], "neg": ["neg"], "abs": ["abs"],
    **dict.fromkeys(["floor", "ceil", "round"], ["round"]),
    **dict.fromkeys(["and", "or", "xor", "not", "shift_left", "shift_right_logical",
                     "shift_right_arithmetic"], ["logic"]),
}
#: Primitive -> ops on the two parts of complex numbers, which a product multiplies crosswise.
COMPLEX = {"add": {"add": 2}, "add_any": {"add": 2}, "sub": {"add": 2},
           "mul": {"mul": 4, "add": 2}}
#: Primitive -> kind of op, of which n values take n - 1 a result.
REDUCTIONS = {
    "reduce_sum": "add", "reduce_max": "max", "reduce_min": "max", "reduce_prod": "mul",
    "reduce_and": "logic", "reduce_or": "logic", "argmax": "max", "argmin": "max",
    "cumsum": "add", "cumprod": "mul", "cummax": "max", "cummin": "max",
    "reduce_window_sum": "add", "reduce_window_max": "max", "reduce_window_min": "max",
}
#: Primitives that move data or say something of it.
MOVEMENT = {
    "reshape", "broadcast_in_dim", "transpose", "squeeze", "slice", "pad", "concatenate", "rev",
    "iota", "gather", "dynamic_slice", "dynamic_update_slice", "scatter", "split", "copy",
    "copy_p", "stop_gradient", "bitcast_convert_type", "real", "imag", "optimization_barrier",
    "device_put", "expand_dims", "random_wrap", "random_unwrap", "random_fold_in", "random_seed",
    "random_split", "tile", "stack", "unstack", "reduce_precision", "sharding_constraint", "empty",
    "create_token", "complex",
}
#: Function that is traced as one -> counts of one call, from the shapes of arguments and results.
#: A draw is one op, whatever makes a number of its random bits.
DEFINITIONS = {
    **dict.fromkeys(["_uniform", "_normal", "_normal_real", "_truncated_normal", "_randint"],
                    lambda ins, outs: {"random": outs[0].size}),
    "_one_hot": lambda ins, outs: {},  # ones set among zeros
    "power": lambda ins, outs: {"pow": outs[0].size},  # of whole numbers
    # a binary search of a place between n others, n + 1 of them (Knuth, TAOCP 3, 6.2.1)
    "searchsorted": lambda ins, outs: {"max": outs[0].size * ins[0].size.bit_length()},
    # Three interpolations of two values a result: a + (b - a) t.
    **dict.fromkeys(["resize_bilinear", "resize_linear"],
                    lambda ins, outs: {"add": 6 * outs[0].size, "mul": 3 * outs[0].size}),
    # To four values, in two steps of weighting: g t and g (1 - t), then each in the other axis.
    "shared_bilinearly": lambda ins, outs: {"add": 4 * ins[-1].size, "mul": 6 * ins[-1].size},
}
#: What is in a value: nothing that another call might change, the state of a generator of random
#: numbers, or data. A draw from a constant is the same in each call.
CONSTANT, SEED, DATA = 0, 1, 2
DRAWS = ("random_bits", "_uniform", "_normal", "_normal_real", "_truncated_normal", "_randint")
INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr", "body_jaxpr")


class NotCounted(ValueError):
    """A primitive that the oracle does not know, or a loop whose end it does not."""


def count(function, *arguments, data=None) -> Counter:
    """Return (dtype, op) -> how many ops a function computes on data of so many shapes.

    `data` says of each leaf of the arguments whether it is data, or else a seed.

    >>> x = jax.ShapeDtypeStruct((2, 3), "float32")
    >>> sorted(count(lambda x: jax.numpy.tanh(x) @ x.T, x).items())
    [(('float32', 'mac'), 12), (('float32', 'tanh'), 6)]

    A scan of ten steps; what no input reaches, what nothing needs and what changes nothing:

    >>> def steps(x):
    ...     return lax.scan(lambda c, _: (lax.exp(c) + x, None), x, None, length=10)[0]
    >>> sorted(count(steps, x).items())
    [(('float32', 'add'), 60), (('float32', 'exp'), 60)]
    >>> def idle(x):
    ...     unneeded = lax.exp(x)
    ...     return x * 1.0 + 0.0 + lax.sin(jax.numpy.arange(3.0))
    >>> dict(count(idle, x))
    {('float32', 'add'): 6}

    A loop that counts to 7, and the dearer branch of two:

    >>> def loop(x):
    ...     return lax.while_loop(lambda c: c[0] < 7, lambda c: (c[0] + 1, lax.tanh(c[1])), (0, x))
    >>> dict(count(loop, x))
    {('float32', 'tanh'): 42}
    >>> def drawn(key, x):  # of two keys, that one which another call finds in another state
    ...     return x + jax.random.uniform(key, (3,)) + jax.random.uniform(jax.random.key(1), (3,))
    >>> sorted(count(drawn, jax.random.key(0), x, data=[False, True]).items())
    [(('float32', 'add'), 12), (('float32', 'random'), 3)]
    >>> def either(x):
    ...     return lax.cond(x.sum() > 0, lambda x: lax.exp(lax.exp(x)), lambda x: -x, x)
    >>> sorted(count(either, x).items())  # a sum of 6, one comparison
    [(('float32', 'add'), 5), (('float32', 'exp'), 12), (('float32', 'max'), 1)]

    Both gradients of a convolution multiply what its forward pass does, 3 x 3 outputs of 2 taps
    x 2 taps x 5 channels x 4 filters, whatever zeros JAX inserts:

    >>> def convolved(x, kernel):
    ...     return lax.conv_general_dilated(x, kernel, (2, 2), "VALID",
    ...                                     dimension_numbers=("NHWC", "HWIO", "NHWC")).sum()
    >>> shapes = [jax.ShapeDtypeStruct(s, "float32") for s in ((1, 7, 7, 5), (2, 2, 5, 4))]
    >>> dict(count(jax.grad(convolved), *shapes)), 9 * 4 * 5 * 4
    ({('float32', 'mac'): 720}, 720)
    >>> def both(*arguments):
    ...     return jax.value_and_grad(lambda *a: (convolved(*a) ** 2), (0, 1))(*arguments)
    >>> count(both, *shapes)["float32", "mac"] == 3 * 720
    True
    """
    closed = jax.make_jaxpr(function)(*arguments)
    jaxpr, used = pe.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    flags = [DATA] * len(used) if data is None else [DATA if each else SEED for each in data]
    known = dict(zip(jaxpr.constvars, closed.consts, strict=False))
    walk = Walk()
    walk.jaxpr(jaxpr, [flag for flag, u in zip(flags, used, strict=True) if u],
               [None] * len(jaxpr.invars), known)
    return Counter({key: n for key, n in walk.counts.items() if n})


def _carries_what_is_needed(used, eqn):
    """Leave out of a while loop what neither its condition, nor a step, nor a user looks at.

    JAX keeps all that a loop carries. Of two that do not meet, over 5 steps of 6 values:

    >>> def apart(x):
    ...     return lax.while_loop(lambda c: c[0] < 5,
    ...                           lambda c: (c[0] + 1, lax.tanh(c[1]), lax.exp(c[2])),
    ...                           (0, x, lax.sin(x)))[1]
    >>> dict(count(apart, jax.ShapeDtypeStruct((2, 3), "float32")))
    {('float32', 'tanh'): 30}
    """
    params, inputs = dict(eqn.params), len(eqn.invars)
    if not any(used) and not eqn.effects:
        return [False] * inputs, None
    of_cond, of_body = params["cond_nconsts"], params["body_nconsts"]
    cond, body = params["cond_jaxpr"], params["body_jaxpr"]
    kept = list(used)
    for each, constants, wanted in ((cond, of_cond, [True]), *[(body, of_body, None)] * len(used)):
        looked_at = pe.dce_jaxpr(each.jaxpr, wanted or kept)[1][constants:]
        kept = [k or look for k, look in zip(kept, looked_at, strict=True)]
    end, _ = pe.dce_jaxpr(cond.jaxpr, [True], [True] * of_cond + kept)
    step, of_step = pe.dce_jaxpr(body.jaxpr, kept, [False] * of_body + kept)
    taken = [True] * of_cond + of_step
    params |= {"cond_jaxpr": cond.replace(jaxpr=end), "body_jaxpr": body.replace(jaxpr=step),
               "body_nconsts": sum(of_step[:of_body])}
    return taken, eqn.replace(
        invars=[v for v, t in zip(eqn.invars, taken, strict=True) if t],
        outvars=[v for v, k in zip(eqn.outvars, kept, strict=True) if k], params=params)


pe.dce_rules[lax.while_p] = _carries_what_is_needed


class Walk:
    """Counts of the equations walked; what is in a value, and which is known, goes along."""

    def __init__(self):
        self.counts = Counter()

    def jaxpr(self, jaxpr, data, values, constants=None, times=1):
        """Count a jaxpr `times` times; return of each result what is in it, and its value."""
        is_data = dict(zip(jaxpr.invars, data, strict=True))
        known = {v: x for v, x in zip(jaxpr.invars, values, strict=True) if x is not None}
        known.update({v: np.asarray(x) for v, x in (constants or {}).items()
                      if not jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)})

        branches = {e.invars[0] for e in jaxpr.eqns if e.primitive.name == "cond"
                    and not isinstance(e.invars[0], Literal)}

        def value(v):
            return np.asarray(v.val) if isinstance(v, Literal) else known.get(v)

        def flag(v):
            return CONSTANT if isinstance(v, Literal) else is_data.get(v, CONSTANT)

        for eqn in jaxpr.eqns:
            ins, flags = [value(v) for v in eqn.invars], [flag(v) for v in eqn.invars]
            if eqn.primitive.name == "random_bits" and any(flags):
                out_data, out_values = [DATA], [None]
                self.add(_dtype(eqn.outvars[0]), "random", eqn.outvars[0].aval.size * times)
            elif eqn.primitive.name == "convert_element_type" and eqn.outvars[0] in branches:
                out_data, out_values = [max(flags)], [None]  # a predicate, as a branch's number
            else:
                out_data, out_values = self.equation(eqn, flags, ins, times)
            for v, d, x in zip(eqn.outvars, out_data, out_values, strict=True):
                is_data[v] = d
                if x is not None:
                    known[v] = x
        return [flag(v) for v in jaxpr.outvars], [value(v) for v in jaxpr.outvars]

    def equation(self, eqn, flags, values, times):
        """Count one equation; return as `jaxpr`."""
        name, params = eqn.primitive.name, eqn.params
        nothing, most = [None] * len(eqn.outvars), max(flags, default=CONSTANT)
        if name in ("while", "scan", "cond"):
            return getattr(self, f"_{name}")(eqn, flags, values, times)
        if params.get("name") in DEFINITIONS and not (
                params["name"].startswith("resize") and any(flags[1:])):  # data say where to
            if most < (SEED if params["name"] in DRAWS else DATA):
                return [most] * len(eqn.outvars), nothing
            counts = DEFINITIONS[params["name"]](
                [v.aval for v in eqn.invars], [v.aval for v in eqn.outvars])
            typed = eqn.invars[1] if params["name"] == "searchsorted" else eqn.outvars[0]
            for op, n in counts.items():
                self.add(_dtype(typed), op, n * times)
            return [DATA] * len(eqn.outvars), nothing
        inner = next((params[key] for key in INNER if key in params), None)
        if inner is not None:
            constants = {}
            if hasattr(inner, "consts"):
                inner, constants = inner.jaxpr, dict(zip(inner.jaxpr.constvars, inner.consts,
                                                         strict=True))
            return self.jaxpr(inner, flags, values, constants, times)
        if most < DATA:
            return [most] * len(eqn.outvars), _folded(eqn, values)
        for dtype, op, n in _ops(eqn, values):
            self.add(dtype, op, n * times)
        return [DATA] * len(eqn.outvars), nothing

    def add(self, dtype, op, n):
        self.counts[dtype, op] += int(n)

    def _scan(self, eqn, flags, values, times):
        body, length = eqn.params["jaxpr"], eqn.params["length"]
        fixed, carried = eqn.params["num_consts"], eqn.params["num_carry"]
        values = [*values[:fixed], *[None] * (len(values) - fixed)]
        constants = dict(zip(body.jaxpr.constvars, body.consts, strict=True))
        while True:  # what becomes data in a step is data in the next
            outs, _ = Walk().jaxpr(body.jaxpr, flags, values, constants)
            then = [*map(max, flags[fixed:fixed + carried], outs[:carried])]
            if then == flags[fixed:fixed + carried]:
                break
            flags = [*flags[:fixed], *then, *flags[fixed + carried:]]
        outs, _ = self.jaxpr(body.jaxpr, flags, values, constants, times * length)
        return outs, [None] * len(eqn.outvars)

    def _while(self, eqn, flags, values, times):
        body, cond = eqn.params["body_jaxpr"], eqn.params["cond_jaxpr"]
        of_cond, of_body = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
        split = of_cond + of_body
        steps = _steps(cond, body, values[:of_cond], values[of_cond:split], values[split:])
        carried, unknown = flags[split:], [None] * len(flags[split:])
        constants = dict(zip(body.jaxpr.constvars, body.consts, strict=True))
        while True:
            now = [*flags[of_cond:split], *carried]
            outs, _ = Walk().jaxpr(body.jaxpr, now, [*values[of_cond:split], *unknown], constants)
            if [*map(max, outs, carried)] == carried:
                break
            carried = [*map(max, outs, carried)]
        self.jaxpr(body.jaxpr, now, [*values[of_cond:split], *unknown], constants, times * steps)
        self.jaxpr(cond.jaxpr, [*flags[:of_cond], *carried], [*values[:of_cond], *unknown],
                   dict(zip(cond.jaxpr.constvars, cond.consts, strict=True)), times * (steps + 1))
        return carried, [None] * len(eqn.outvars)

    def _cond(self, eqn, flags, values, times):
        walks = []
        for branch in eqn.params["branches"]:
            walk = Walk()
            outs, _ = walk.jaxpr(branch.jaxpr, flags[1:], values[1:],
                                 dict(zip(branch.jaxpr.constvars, branch.consts, strict=True)),
                                 times)
            walks.append((walk.counts.total(), walk.counts, outs))
        self.counts.update(max(walks, key=lambda walk: walk[0])[1])
        return [max(*each, flags[0]) for each in zip(*[w[2] for w in walks], strict=True)], \
            [None] * len(eqn.outvars)


def _ops(eqn, values):
    """Yield (dtype, op, number) of an equation that is no call."""
    name, out = eqn.primitive.name, eqn.outvars[0].aval
    source = eqn.invars[0].aval if eqn.invars else None
    if name in MOVEMENT or _changes_nothing(name, values):
        return
    if name == "pow":
        for op, n in _power(_uniform(values[1])):
            yield _dtype(eqn.invars[0]), op, n * out.size
    elif name in ELEMENTWISE and not (name == "ne" and _is_cast(eqn)):
        typed = eqn.invars[-1] if name == "select_n" else eqn.invars[1 if name == "clamp" else 0]
        if typed.aval.dtype == "complex64" and name in COMPLEX:
            for op, n in COMPLEX[name].items():
                yield _dtype(typed), op, n * out.size
            return
        for op in ELEMENTWISE[name]:
            yield _dtype(typed), op, out.size
    elif name in REDUCTIONS:
        yield _dtype(eqn.invars[0]), REDUCTIONS[name], _reduced(eqn, source, out)
    elif name == "ne" and _is_cast(eqn):
        yield _dtype(eqn.invars[0]), "convert", out.size
    elif name == "convert_element_type":
        if _dtype(eqn.invars[0]) != _dtype(eqn.outvars[0]):
            yield _dtype(eqn.invars[0]), "convert", out.size
    elif name == "integer_pow":
        for op, n in _power(eqn.params["y"]):
            yield _dtype(eqn.invars[0]), op, n * out.size
    elif name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        yield _dtype(eqn.invars[0]), "mac", out.size * prod(source.shape[d] for d in contracted)
    elif name == "conv_general_dilated":
        yield _dtype(eqn.invars[0]), "mac", _convolved(eqn, source, eqn.invars[1].aval, out)
    elif name == "select_and_scatter_add":  # a max pooling's gradient: to each window's choice
        yield _dtype(eqn.invars[0]), "add", source.size
        yield _dtype(eqn.invars[0]), "max", source.size * (
            prod(eqn.params["window_dimensions"]) - 1)
    elif name in ("scatter-add", "scatter_add", "scatter-mul", "scatter_mul"):
        yield (_dtype(eqn.invars[0]), "add" if "add" in name else "mul",
               eqn.invars[2].aval.size)
    elif name in ("scatter-max", "scatter-min", "scatter_max", "scatter_min"):
        yield _dtype(eqn.invars[0]), "max", eqn.invars[2].aval.size
    elif name == "fft":
        for op, n in _transform(eqn.params, source.size):
            yield _dtype(eqn.invars[0]), op, n
    elif name == "sort":  # merge sort of each row (Knuth, TAOCP 3, 5.2.4)
        row = source.shape[eqn.params["dimension"]]
        yield _dtype(eqn.invars[0]), "max", source.size * (row - 1).bit_length()
    elif name == "top_k":  # a heap of the k largest of each row (Knuth, TAOCP 3, 5.2.3)
        yield _dtype(eqn.invars[0]), "max", source.size * max(eqn.params["k"] - 1, 1).bit_length()
    else:
        raise NotCounted(f"primitive {name!r}")


def _power(exponent):
    """Return (op, how many an element) of a power: a known whole one is multiplied out.

    >>> _power(3), _power(-2), _power(0.5), _power(1.5), _power(None)
    ([('mul', 2)], [('mul', 1), ('div', 1)], [('sqrt', 1)], [('pow', 1)], [('pow', 1)])
    """
    if exponent is None or (exponent != int(exponent) and abs(exponent) != 0.5):
        return [("pow", 1)]
    if abs(exponent) == 0.5:
        return [("sqrt" if exponent > 0 else "rsqrt", 1)]
    bits = f"{abs(int(exponent)):b}"  # squared once a bit after the first, multiplied at each one
    ops = [("mul", len(bits) - 1 + bits.count("1") - 1), ("div", int(exponent < 0))]
    return [(op, n) for op, n in ops if n > 0]


def _transform(params, size):
    """Return (op, how many) of a fast Fourier transform of so many complex numbers.

    By Cooley and Tukey (1965) an axis of N is halved log2 N times (rounded up, where N is no power
    of two), and each time N / 2 pairs (a, b) become a + w b and a - w b: the complex product is 4
    multiplications and 2 additions, sum and difference are 4 additions. So N = 8 takes 3 x 4 pairs:
    48 multiplications, 72 additions. The inverse divides by N, which multiplies both parts.

    >>> forward = {"fft_type": jax.lax.FftType.FFT, "fft_lengths": (8,)}
    >>> _transform(forward, 8), _transform(forward | {"fft_lengths": (2, 4)}, 8)
    ([('mul', 48), ('add', 72)], [('mul', 48), ('add', 72)])
    """
    kind = params["fft_type"].name
    if kind not in ("FFT", "IFFT"):
        raise NotCounted(f"a transform of kind {kind}, of real numbers")
    halvings = sum((int(n) - 1).bit_length() for n in params["fft_lengths"])
    pairs = size * halvings // 2
    scaled = 2 * size if kind == "IFFT" else 0
    return [("mul", 4 * pairs + scaled), ("add", (2 + 4) * pairs)]


def _is_cast(eqn):
    """Whether a comparison with 0 is how JAX makes a bool of a number."""
    traceback = eqn.source_info.traceback
    names = {frame.function_name for frame in (traceback.frames if traceback else ())[:20]}
    return eqn.invars[0].aval.dtype != bool and any(
        n.lstrip("_").startswith(("logical_", "where", "astype")) for n in names)


def _reduced(eqn, source, out):
    name, params = eqn.primitive.name, eqn.params
    shares = re.search(r"shares_of_(\d+)_windows", str(eqn.source_info.name_stack))
    if shares and name == "reduce_window_sum":  # a window's share goes to each of its values
        return int(shares[1]) * prod(params["window_dimensions"])
    if name.startswith("reduce_window"):
        return out.size * (prod(params["window_dimensions"]) - 1)
    if name.startswith("cum"):
        return source.size - source.size // source.shape[params["axis"]]
    return source.size - out.size


def _convolved(eqn, image, kernel, out):
    """Return the MACs of a convolution or of the gradient of one: inserted zeros are none."""
    params, numbers = eqn.params, eqn.params["dimension_numbers"]
    groups = params["feature_group_count"]
    outputs, inputs, *_ = [kernel.shape[d] for d in numbers.rhs_spec]
    dilated = any(d > 1 for d in params["lhs_dilation"])
    scopes = str(eqn.source_info.name_stack)
    if "gradient_of_kernel" in scopes and dilated:  # each value of the image meets each tap
        return image.size * out.size // image.shape[numbers.lhs_spec[0]]
    if "of_transposed" not in scopes and (
            "gradient_of_image" in scopes or (dilated and "gradient_of" not in scopes)):
        return image.size * kernel.size // inputs // groups
    return out.size * kernel.size // outputs


def _note_gradients():
    """Have gradients of convolutions and of sums of windows say in a scope what they are."""
    of_image, of_kernel = ad.primitive_transposes[lax.conv_general_dilated_p].args

    def noted(rule, scope):
        @wraps(rule)
        def transposed(*args, **kwargs):
            kind = ".of_transposed" if any(d > 1 for d in kwargs["lhs_dilation"]) else ""
            with jax.named_scope(scope + kind):
                return rule(*args, **kwargs)
        return transposed

    ad.defbilinear(lax.conv_general_dilated_p, noted(of_image, "gradient_of_image"),
                   noted(of_kernel, "gradient_of_kernel"))
    shared = ad.primitive_transposes[lax.reduce_window_sum_p].args[0]

    def noted_sum(gradient, operand, **kwargs):
        with jax.named_scope(f"shares_of_{gradient.size}_windows"):
            return shared(gradient, operand, **kwargs)

    ad.deflinear2(lax.reduce_window_sum_p, noted_sum)


_note_gradients()


def _define():
    """Have Keras' JAX backend compute by their definitions what it has formulas of its own for."""
    from keras.src.backend.jax import core, nn, numpy
    jnp = jax.numpy

    def moments(x, axes, keepdims=False, synchronized=False):
        mean = jnp.mean(x, axes, keepdims=True)
        variance = jnp.mean(jnp.square(x - mean), axes, keepdims=True)
        return (mean, variance) if keepdims else (jnp.squeeze(mean, axes),
                                                  jnp.squeeze(variance, axes))

    def batch_normalization(x, mean, variance, axis, offset=None, scale=None, epsilon=1e-3):
        shape = [-1 if d == axis % x.ndim else 1 for d in range(x.ndim)]
        mean, variance = mean.reshape(shape), variance.reshape(shape)
        inv = lax.rsqrt(variance + epsilon)
        inv = inv if scale is None else inv * scale.reshape(shape)
        shift = mean * inv
        return x * inv - shift if offset is None else x * inv + (offset.reshape(shape) - shift)

    def leaky_relu(x, negative_slope=0.2):
        x = nn.convert_to_tensor(x)
        return jnp.maximum(x, negative_slope * x)

    def softplus(x):
        x = nn.convert_to_tensor(x)
        return jnp.log1p(jnp.exp(x))

    for definition in (moments, batch_normalization, leaky_relu, softplus):
        setattr(nn, definition.__name__, definition)
    power = numpy.power

    def of_whole_numbers(x1, x2):
        base, exponent = nn.convert_to_tensor(x1), nn.convert_to_tensor(x2)
        dtype = jnp.result_type(base, exponent)
        if not jnp.issubdtype(dtype, jnp.integer):
            return power(x1, x2)
        if isinstance(x2, int) and x2 >= 0:
            return lax.integer_pow(base.astype(dtype), x2)
        return jax.jit(jnp.power)(base.astype(dtype), exponent.astype(dtype))

    numpy.power = of_whole_numbers
    numpy.digitize = lambda x, bins: jnp.searchsorted(  # of bins that go up
        nn.convert_to_tensor(bins), x, side="right")
    for name in ("logical_and", "logical_or"):
        setattr(numpy, name, _of_truths(getattr(jnp, name)))
    _learn()
    core.cond, numpy.equal = _known(core.cond, numpy.equal)
    resize = jax.image.resize

    def resized(image, shape, method, antialias=True, **kwargs):
        name = f"resize_{getattr(method, 'name', method)}"
        sizes = antialias and any(a > b for a, b in zip(image.shape, shape, strict=True))

        def function(image):
            return resize(image, shape, method, antialias=antialias, **kwargs)

        function.__name__ = name + (" with antialias" if sizes else "")
        return jax.jit(function)(image)

    jax.image.resize = resized
    translate = jax.image.scale_and_translate

    def translated(image, shape, spatial_dims, scale, translation, method, antialias=True, **kw):
        def function(image, scale, translation):
            return translate(image, shape, spatial_dims, scale, translation, method,
                             antialias=antialias, **kw)

        if method in ("bilinear", "linear", "triangle") and len(spatial_dims) == 2 and (
                not antialias):
            function.__name__ = "resize_bilinear"
            function = jax.jit(function)
        return function(image, scale, translation)

    jax.image.scale_and_translate = translated


def _of_truths(function):
    """Return a logical function that takes the truth of each operand that is no bool, alone.

    JAX converts both to one dtype first, a bool to a number, and then back.

    >>> both = _of_truths(jax.numpy.logical_and)
    >>> numbers, bools = (jax.ShapeDtypeStruct((6,), dtype) for dtype in ("int32", "bool"))
    >>> sorted(count(both, numbers, bools).items())
    [(('bool', 'logic'), 6), (('int32', 'convert'), 6)]
    """
    @wraps(function)
    def of_truths(*operands):
        return function(*(keras.ops.cast(x, "bool") for x in operands))

    return of_truths


def _known(cond, equal):
    """Return a choice that runs its one branch where the sizes that it compares are known.

    JAX compares two numbers when it runs, known or not, and so has both branches in its jaxpr and
    in its gradient.

    >>> def sized(x):
    ...     return keras.ops.cond(keras.ops.equal(x.shape[0], 0), lambda: keras.ops.exp(x),
    ...                           lambda: keras.ops.exp(keras.ops.tanh(x)))
    >>> jax.make_jaxpr(sized)(jax.ShapeDtypeStruct((3,), "float32"))
    { lambda ; a:f32[3]. let b:f32[3] = tanh a; c:f32[3] = exp b in (c,) }
    """
    def known_equal(x1, x2):
        return x1 == x2 if isinstance(x1, int) and isinstance(x2, int) else equal(x1, x2)

    def known_cond(pred, true_fn, false_fn):
        if isinstance(pred, bool):
            return true_fn() if pred else false_fn()
        return cond(pred, true_fn, false_fn)

    return known_cond, known_equal


def _learn():
    """Have a Normalization read what it learnt from its weights in each call.

    Keras keeps it as a constant beside them, and zeros and ones where nothing is learnt yet.
    """
    call = keras.layers.Normalization.call

    def learnt(self, inputs):
        self.finalize_state()
        return call(self, inputs)

    keras.layers.Normalization.call = learnt


_define()


def _changes_nothing(name, values):
    """Whether an operand is a constant that changes nothing: x + 0, x * 1, max(x, -inf)."""
    left, right = (_uniform(x) for x in (*values, None, None)[:2])
    if name in ("add", "add_any"):
        return 0 in (left, right)
    if name == "mul":
        return 1 in (left, right)
    if name in ("sub", "div", "pow"):
        return right == (0 if name == "sub" else 1)
    if name in ("max", "min"):
        least = -np.inf if name == "max" else np.inf
        return least in (left, right)
    return name == "select_n" and left is not None  # one operand, whole


def _uniform(value):
    """Return the one value that an array consists of, or None."""
    if value is None or not value.size:
        return None
    first = value.flat[0]
    one = all(stride == 0 for stride in value.strides) or (value == first).all()
    return first if one else None


def _folded(eqn, values):
    """Return the values of the results of an equation on constants, where they are few."""
    outs = [v.aval for v in eqn.outvars]
    if any(v is None for v in values):
        return [None] * len(outs)
    if eqn.primitive.name == "broadcast_in_dim" and values[0].size == 1:
        return [np.broadcast_to(values[0].reshape(()), outs[0].shape)]
    if sum(out.size for out in outs) > 2**16 or eqn.primitive.name.startswith("random"):
        return [None] * len(outs)
    results = eqn.primitive.bind(*values, **eqn.params)
    results = results if eqn.primitive.multiple_results else [results]
    return [np.asarray(result) for result in results]


def _steps(cond, body, cond_consts, body_consts, start):
    """Return how often a loop runs whose end depends on what is known."""
    needed = {i for i, used in enumerate(pe.dce_jaxpr(cond.jaxpr, [True])[1][len(cond_consts):])
              if used}
    while True:
        wanted = [i in needed for i in range(len(start))]
        step, used = pe.dce_jaxpr(body.jaxpr, wanted)
        more = {i for i, u in enumerate(used[len(body_consts):]) if u} | needed
        if more == needed:
            break
        needed = more
    state = dict(zip(sorted(needed), [start[i] for i in sorted(needed)], strict=True))
    consts = [v for v, u in zip(body_consts, used, strict=False) if u]
    if any(v is None for v in [*state.values(), *consts, *cond_consts]):
        raise NotCounted("a loop that the data end")
    steps = 0
    while True:
        full = [state.get(i, np.zeros(v.aval.shape, v.aval.dtype)) for i, v in
                enumerate(cond.jaxpr.invars[len(cond_consts):])]
        if not jax.core.eval_jaxpr(cond.jaxpr, cond.consts, *cond_consts, *full)[0]:
            return steps
        used_now = [state[i] for i, u in enumerate(used[len(body_consts):]) if u]
        new = jax.core.eval_jaxpr(step, body.consts, *consts, *used_now)
        state, steps = dict(zip(sorted(needed), new, strict=True)), steps + 1


def _dtype(v):
    name = {"complex64": "float32"}.get(str(v.aval.dtype), str(v.aval.dtype))  # that of its parts
    return name.removeprefix("u") if name.startswith("uint") else name


# --- models

def count_model(model, shapes, phase="inference", loss="mse", optimizer="adam",
                as_tensorflow=False) -> Counter:
    """Return the counts of a Keras model, or of its training step, on inputs of these shapes.

    `shapes` is the structure of `jax.ShapeDtypeStruct` that the model takes; `as_tensorflow` says
    that derivatives are those of ``support/derivatives.py``, and a table's gradient is its rows.
    """
    if phase == "inference":
        variables = model.trainable_variables, model.non_trainable_variables

        def run(trained, others, x):
            return model.stateless_call(trained, others, x, training=False)[0]

        arguments = _shapes(variables[0]), _shapes(variables[1]), shapes
        return count(run, *arguments, data=_is_data(variables, shapes))
    model.compile(loss=loss, optimizer=optimizer)
    _silence(model)
    variables = model.trainable_variables, model.non_trainable_variables
    outputs = jax.eval_shape(lambda t, n, x: model.stateless_call(t, n, x, training=True)[0],
                             _shapes(variables[0]), _shapes(variables[1]), shapes)

    def gradients(trained, others, x, y):
        (loss, (_, _, others, _)), grads = jax.value_and_grad(
            model.compute_loss_and_updates, has_aux=True)(
                trained, others, [], x, y, None, training=True, optimizer_variables=[])
        return grads, loss, others

    arguments = *map(_shapes, variables), shapes, outputs
    backward = jax.make_jaxpr(gradients)(*arguments).jaxpr
    _silence(model)  # a loss of several outputs has made metrics of its own
    of_trained = backward.outvars[:len(variables[0])]
    reached = [not _is_zero(backward, v) for v in of_trained]
    updated = [v for v, r in zip(variables[0], reached, strict=True) if r]
    model.optimizer.build(updated)

    def step(of_optimizer, trained, *arguments):
        grads, loss, others = gradients(trained, *arguments)
        grads, trained = ([each for each, r in zip(all_of_them, reached, strict=True) if r]
                          for all_of_them in (grads, trained))
        return loss, others, model.optimizer.stateless_apply(of_optimizer, grads, trained)

    counts = count(step, _shapes(model.optimizer.variables), *arguments, data=_is_data(
        (model.optimizer.variables, *variables), (shapes, outputs)))
    if as_tensorflow and optimizer == "adam":
        counts += _sparse(backward, [v for v, r in zip(of_trained, reached, strict=True) if r])
    return +counts


def _is_zero(jaxpr, v):
    """Whether a gradient is that of a variable which no loss looks at: Keras updates no such."""
    eqn = next((e for e in jaxpr.eqns if v in e.outvars), None)
    if eqn is not None and eqn.primitive.name == "broadcast_in_dim":
        v = eqn.invars[0]
    return isinstance(v, Literal) and v.val == 0


def _sparse(jaxpr, gradients):
    """Return what Adam does more, or less, to a gradient that TensorFlow keeps as rows at places.

    It is that of a table that values are only looked up in. Adam squares its rows, as they were
    looked up, not all the table; and adds them up at their places twice, to subtract the mean of
    gradients and that of squares from them. JAX adds them up once. The type of the numbers is that
    of the table.

    >>> table, places = jax.ShapeDtypeStruct((10, 4), "float32"), jax.numpy.array([3, 5, 3])
    >>> def looked_up(table):
    ...     return jax.grad(lambda t: (t[places] ** 2).sum())(table)
    >>> jaxpr = jax.make_jaxpr(looked_up)(table).jaxpr
    >>> sorted(_sparse(jaxpr, jaxpr.outvars).items())  # 3 x 4 of 10 x 4
    [(('float32', 'add'), 12), (('float32', 'mul'), -28)]
    """
    counts = Counter()
    for v in gradients:
        rows = _rows(jaxpr, v)
        if rows is not None:
            joined = v.aval.size * (len(rows) - 1)  # which TensorFlow does by listing them all
            counts[_dtype(v), "add"] += sum(rows) - joined
            counts[_dtype(v), "mul"] += sum(rows) - v.aval.size
    return counts


def _rows(jaxpr, v):
    """Return of each look-up of a table how many values it gave; None if it is otherwise used."""
    eqn = next((e for e in jaxpr.eqns if v in e.outvars), None)
    if eqn is None:
        return None
    if eqn.primitive.name in ("scatter-add", "scatter_add"):
        by_row = eqn.params["dimension_numbers"].scatter_dims_to_operand_dims == (0,)
        return [eqn.invars[2].aval.size] if by_row else None
    if eqn.primitive.name == "add_any":
        rows = [_rows(jaxpr, each) for each in eqn.invars]
        return None if None in rows else [n for each in rows for n in each]
    inner = next((eqn.params[key] for key in INNER if key in eqn.params), None)
    if inner is None:
        return None
    inner = getattr(inner, "jaxpr", inner)
    return _rows(inner, inner.outvars[eqn.outvars.index(v)])


def _silence(model):
    for metric in model.metrics:
        metric.update_state = lambda *args, **kwargs: None


def _shapes(variables):
    return [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in variables]


def _is_data(variables, shapes):
    """Say of each variable and input whether it is data: all but the seeds."""
    return [not v.path.endswith("seed_generator_state") for group in variables for v in group] + [
        True] * len(jax.tree.leaves(shapes))


def main(phase, *names):
    import derivatives
    import kerashub_models

    own = phase == "training by JAX"  # by its own derivatives
    if phase == "training":
        derivatives.install()
    for name in names:
        try:
            model, shapes = kerashub_models.build(name)
            shapes = keras.tree.map_structure(
                lambda t: jax.ShapeDtypeStruct(t.shape, t.dtype), shapes)
            counts = count_model(model, shapes, phase.split()[0], as_tensorflow=not own)
            line = {"counts": [[*key, n] for key, n in sorted(counts.items())]}
        except Exception as error:
            line = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
        print(json.dumps({"name": name, **line}), flush=True)
        keras.backend.clear_session()


if __name__ == "__main__":
    assert os.environ.get("KERAS_BACKEND") == "jax", "set KERAS_BACKEND=jax"
    main(*sys.argv[1:])
