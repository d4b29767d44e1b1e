"""Functions of JAX arrays of many kinds, each against its closed form."""

import re

import numpy as np
import pytest

import tostoolkit as tos
from tostoolkit.counting.count import count
from tostoolkit.counting.trace import TraceError

jax = pytest.importorskip("jax")
jnp, lax = jax.numpy, jax.lax


def spec(*shape, dtype="float32"):
    return jax.ShapeDtypeStruct(shape, dtype)


def ops(function, *arguments):
    """Return {"dtype op": n} of a function; float32 is left out."""
    table = tos.count_ops(function, input_shape=list(arguments)).sum()
    return {f"{dtype} {op}".removeprefix("float32 "): int(n)
            for (dtype, op), n in table.items() if n}


def softmax(n, length):
    rows = n // length
    return {"add": n + n - rows, "exp": n, "div": n, "max": n - rows}


@jax.custom_jvp
def logit(x):
    return jnp.log(x / (1 - x))


logit.defjvp(lambda x, dx: (logit(*x), dx[0] / (x[0] * (1 - x[0]))))


@jax.custom_vjp
def clipped(x):
    return x * 2.0


clipped.defvjp(lambda x: (x * 2.0, x), lambda x, g: (jnp.clip(g, -1, 1) * x,))

exp_plus_one = jax.jit(lambda x: jnp.exp(x) + 1)
IMAGES = ("NHWC", "HWIO", "NHWC")


def dilated(x, kernel):
    return lax.conv_general_dilated(
        x, kernel, (1, 1), ((4, 4), (4, 4)), (2, 2), (2, 2), IMAGES)


def in_groups_of_the_batch(x, kernel):
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=IMAGES, batch_group_count=2)


def channel_by_channel(x, kernel):
    return lax.conv_general_dilated(
        x, kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"), feature_group_count=3)


def recurrent(w, u, xs):
    def step(h, x):
        h = jnp.tanh(w @ h + u @ x)
        return h, h
    return lax.scan(step, jnp.zeros(4), xs)


COMPLEX = spec(4, dtype="complex64")
#: A function of arrays -> their specs and its ops, from its definition.
FUNCTIONS = {
    "vmap": (jax.vmap(lambda w, x: w @ x, in_axes=(None, 0)), [spec(3, 4), spec(5, 4)],
             {"mac": 5 * 3 * 4}),
    "scan": (recurrent, [spec(4, 4), spec(4, 3), spec(6, 3)],
             {"mac": 6 * (16 + 12), "add": 6 * 4, "tanh": 6 * 4}),
    "scan backwards, unrolled": (
        lambda xs: lax.scan(lambda c, x: (c * x, c + x), jnp.ones(()), xs, reverse=True, unroll=2),
        [spec(6)], {"mul": 6, "add": 6}),
    # forward; W' g; g h' added up; 1 - y y, g and the sum of two gradients of h
    "gradient of a scan": (
        jax.grad(lambda w, xs: lax.scan(
            lambda h, x: (jnp.tanh(w @ h + x), None), jnp.zeros(4), xs)[0].sum()),
        [spec(4, 4), spec(6, 4)],
        {"mac": 6 * 16 * 3, "add": 6 * (4 + 16 + 4 + 4), "tanh": 24, "mul": 6 * (4 + 4)}),
    "switch, known": (lambda x: lax.switch(1, [jnp.exp, jnp.sin, jnp.tanh], x), [spec(3)],
                      {"sin": 3}),
    "switch beyond its last branch": (lambda x: lax.switch(7, [jnp.exp, jnp.sin], x), [spec(3)],
                                      {"sin": 3}),
    "custom jvp": (logit, [spec(4)], {"log": 4, "div": 4, "add": 4}),
    "its gradient, 1 / (x (1 - x))": (jax.grad(lambda x: logit(x).sum()), [spec(4)],
                                      {"add": 4, "mul": 4, "div": 4}),
    "custom vjp": (clipped, [spec(4)], {"mul": 4}),
    # y = 2 x; 2 y, clipped on both sides, times x
    "its gradient": (jax.grad(lambda x: (clipped(x) ** 2).sum()), [spec(4)],
                     {"mul": 4 + 4 + 4, "max": 8}),
    "remat": (jax.checkpoint(lambda w, x: jnp.tanh(w @ x)), [spec(3, 4), spec(4)],
              {"mac": 12, "tanh": 3}),
    # the product once more, and x times the gradient; cos y, 1 - y y, and two products with them
    "gradient of remat": (jax.grad(jax.checkpoint(lambda w, x: jnp.sin(jnp.tanh(w @ x)).sum())),
                          [spec(3, 4), spec(4)],
                          {"mac": 12 + 12, "tanh": 3, "sin": 3, "mul": 6, "add": 6}),
    "jit in jit": (jax.jit(lambda x: exp_plus_one(exp_plus_one(x))), [spec(4)],
                   {"exp": 8, "add": 8}),
    # 5 x 5 pixels meet 3 x 3 taps, whatever stands between them
    "both dilations": (dilated, [spec(2, 5, 5, 3), spec(3, 3, 3, 4)], {"mac": 2 * 25 * 9 * 3 * 4}),
    "groups of the batch": (in_groups_of_the_batch, [spec(4, 5, 5, 3), spec(3, 3, 3, 4)],
                            {"mac": 2 * 9 * 4 * 27}),
    "channel by channel": (channel_by_channel, [spec(2, 7, 3), spec(3, 1, 6)],
                           {"mac": 2 * 7 * 6 * 3}),
    "transposed": (lambda x, k: lax.conv_transpose(x, k, (2, 2), "SAME", dimension_numbers=IMAGES),
                   [spec(2, 5, 5, 3), spec(3, 3, 3, 4)], {"mac": 2 * 25 * 9 * 3 * 4}),
    "products of two batches": (
        lambda a, b: lax.dot_general(a, b, (((3,), (1,)), ((0, 2), (0, 3)))),
        [spec(2, 5, 3, 4), spec(2, 4, 6, 3)], {"mac": 2 * 3 * 5 * 6 * 4}),
    "bfloat16, gathered in float32": (
        lambda a, b: lax.dot(a, b, preferred_element_type=jnp.float32),
        [spec(2, 3, dtype="bfloat16"), spec(3, 4, dtype="bfloat16")], {"bfloat16 mac": 24}),
    "int8, gathered in int32": (
        lambda a, b: lax.dot(a, b, preferred_element_type=jnp.int32),
        [spec(2, 3, dtype="int8"), spec(3, 4, dtype="int8")], {"int8 mac": 24}),
    "segment sum": (lambda x, i: jax.ops.segment_sum(x, i, 3), [spec(7, 4), spec(7, dtype="int32")],
                    {"add": 28}),
    "segment max": (lambda x, i: jax.ops.segment_max(x, i, 3), [spec(7, 4), spec(7, dtype="int32")],
                    {"max": 28}),
    "sort": (jnp.sort, [spec(2, 8)], {"max": 2 * 8 * 3}),
    "top k": (lambda x: lax.top_k(x, 3), [spec(2, 8)], {"max": 2 * 8 * 2}),
    # 4 pairs, then the same of these 4 (2 + 1 + 1), then 3 between them
    "associative scan": (lambda x: lax.associative_scan(jnp.multiply, x), [spec(8)], {"mul": 11}),
    "associative scan of truths": (lambda x: lax.associative_scan(jnp.logical_or, x),
                                   [spec(8, dtype="bool")], {"bool logic": 11}),
    "map": (lambda xs: lax.map(lambda x: jnp.tanh(x).sum(), xs), [spec(5, 3)],
            {"tanh": 15, "add": 10}),
    "map, two at a time": (lambda xs: lax.map(lambda x: jnp.tanh(x).sum(), xs, batch_size=2),
                           [spec(5, 3)], {"tanh": 15, "add": 10}),
    "a step of its own": (lambda x: x - 0.1 * jax.grad(lambda y: jnp.sin(y).sum())(x), [spec(4)],
                          {"sin": 4, "mul": 4, "add": 4}),
    "hessian times vector": (
        lambda x, v: jax.jvp(jax.grad(lambda y: jnp.sin(y).sum()), (x,), (v,))[1],
        [spec(4), spec(4)], {"sin": 4, "neg": 4, "mul": 4}),
    "windows, added": (lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 2), (1, 1), "VALID"),
                       [spec(5, 5)], {"add": 16 * 3}),
    "windows, multiplied": (lambda x: lax.reduce_window(x, 1.0, lax.mul, (2,), (1,), "VALID"),
                            [spec(5)], {"mul": 4}),
    "a reduction of one's own": (
        lambda x: lax.reduce(x, 0.0, lambda a, b: jnp.sin(a) + b, (0,)), [spec(5, 3)],
        {"sin": 4 * 3, "add": 4 * 3}),
    "running sum": (lambda x: jnp.cumsum(x, -1), [spec(3, 5)], {"add": 3 * 4}),
    "running product": (lambda x: lax.cumprod(x, reverse=True), [spec(5)], {"mul": 4}),
    # max + log(1 + exp(-|a - b|)) of all but the first
    "running log of sums": (lax.cumlogsumexp, [spec(5)], {
        "max": 4, "add": 8, "abs": 4, "neg": 4, "exp": 4, "log": 4}),
    # (a + bi)(c + di) are four products and two sums
    "complex": (lambda x, y: jnp.abs(x * y + x) / 2, [COMPLEX, COMPLEX],
                {"mul": 16 + 8, "add": 8 + 8 + 4, "sqrt": 4, "div": 4}),
    "complex matrices": (lambda x, y: x @ y, [spec(2, 3, dtype="complex64"),
                                              spec(3, 4, dtype="complex64")], {"mac": 4 * 24}),
    "complex convolution": (lambda x, k: jnp.convolve(x, k, "valid"),
                            [spec(6, dtype="complex64"), spec(3, dtype="complex64")],
                            {"mac": 4 * 4 * 3}),
    "complex sums": (lambda x: x.sum() + jnp.cumsum(x)[-1], [COMPLEX], {"add": 6 + 6 + 2}),
    "complex products": (lambda x: x.prod(), [COMPLEX], {"mul": 3 * 4, "add": 3 * 2}),
    "attention": (jax.nn.dot_product_attention, [spec(2, 5, 2, 4), *[spec(2, 7, 2, 4)] * 2],
                  {"mac": 2 * 140 * 4, "mul": 140, **softmax(140, 7)}),
    "rows of a table": (lambda t, i: t[i], [spec(10, 3), spec(4, dtype="int32")], {}),
    "added to rows": (lambda t, i, v: t.at[i].add(v),
                      [spec(10, 3), spec(4, dtype="int32"), spec(4, 3)], {"add": 12}),
    "clipped on one side": (lambda x: jnp.clip(x, 0), [spec(4)], {"max": 4}),
    "einsum of three": (lambda a, b, c: jnp.einsum("ij,jk,kl->il", a, b, c),
                        [spec(2, 3), spec(3, 4), spec(4, 5)], {"mac": 24 + 40}),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_counts_by_its_closed_form(name):
    function, arguments, expected = FUNCTIONS[name]
    assert ops(function, *arguments) == {op: n for op, n in expected.items() if n}


def looped(goes_on, step, start):
    """Return a function whose exponential is taken as often as a loop of numbers runs."""
    return lambda x: lax.while_loop(
        lambda c: goes_on(c[0]), lambda c: (step(c[0]), jnp.exp(c[1])), (start, x))[1]


@pytest.mark.parametrize(("goes_on", "step", "start", "steps"), [
    (lambda i: i < 100, lambda i: i * 2, 1, 7),
    (lambda i: i != 7, lambda i: i + 1, 0, 7),
    (lambda i: i > 0, lambda i: i // 2, 1000, 10),
    (lambda i: i < 1.0, lambda i: i + 0.25, 0.0, 4),
    (lambda i: i > 1e-3, lambda i: i * 0.5, 1.0, 10),
    (lambda i: (i < 5) | (i < 9), lambda i: i + 2, 0, 5),
    (lambda i: ~(i >= 5), lambda i: i + 1, 0, 5),
    (lambda i: i < 0, lambda i: i + 1, 0, 0),
    # the length of the trajectory of 27 (Lagarias, Amer. Math. Monthly 92 (1985) 3-23)
    (lambda i: i != 1, lambda i: jnp.where(i % 2 == 0, i // 2, 3 * i + 1), 27, 111),
    # Heron's 1, 3/2, 17/12, 577/408
    (lambda r: jnp.abs(r * r - 2) > 1e-3, lambda r: (r + 2 / r) / 2, 1.0, 3),
    # 1, 2, 3, 5, 8, 13 are below 20
    (lambda ab: ab[0] < 20, lambda ab: (ab[1], ab[0] + ab[1]), (1, 2), 6),
])
def test_a_loop_of_known_numbers_runs_as_often_as_it_does(goes_on, step, start, steps):
    assert ops(looped(goes_on, step, start), spec(3)) == ({"exp": 3 * steps} if steps else {})


def test_a_loop_in_a_loop_and_one_that_multiplies_by_an_array():
    three = jnp.asarray(3)
    assert ops(lambda x: lax.fori_loop(
        0, 3, lambda i, y: looped(lambda j: j < 4, lambda j: j * 2, 1)(y), x), spec(3)) == {
            "exp": 3 * 2 * 3}
    assert ops(looped(lambda i: i < 100, lambda i: i * three, 1), spec(3)) == {"exp": 3 * 5}


@pytest.mark.parametrize("function", [
    looped(lambda i: i >= 0, lambda i: i * 1, 0),  # it never ends
    lambda x: lax.while_loop(lambda y: jnp.abs(y).max() > 1, lambda y: y * 0.5, x),
    lambda x: lax.fori_loop(0, x.sum().astype(int), lambda i, y: jnp.exp(y), x),
    lambda x: lax.fori_loop(0, 3, lambda i, y: lax.fori_loop(0, i, lambda j, z: z + 1, y), x),
])
def test_a_loop_whose_end_is_not_known_is_an_error(function):
    with pytest.raises(TraceError, match="runs until the data end it"):
        tos.count_ops(function, input_shape=[spec(3)])


def apart(n, of_first=lax.tanh, of_second=lax.exp):
    """Return a function of two arrays, of each of which n steps make another."""
    return lambda a, b: lax.while_loop(
        lambda c: c[0] < n, lambda c: (c[0] + 1, of_first(c[1]), of_second(c[2])), (0, a, b))[1:]


def turned(state):
    a, b, c, i = state
    return b, c, a, i + 1


#: A function of 3 values, in which a loop carries more than is needed -> its ops.
IDLE_CARRIES = {
    "in a compiled function": (lambda x: jax.jit(apart(5))(x, lax.log(x))[0], {"tanh": 15}),
    "in a checkpoint": (lambda x: jax.checkpoint(apart(5))(x, lax.log(x))[1],
                        {"exp": 15, "log": 3}),
    "in a scan": (lambda x: lax.scan(
        lambda c, _: (apart(5)(c[0], lax.log(c[1])), None), (x, x), None, length=4)[0][0],
        {"tanh": 4 * 15}),
    "in a conditional, of 3 values": (lambda x: lax.cond(
        x.sum() > 0, lambda y: apart(5)(y, lax.log(y)), lambda y: (y, y), x)[0],
        {"tanh": 15, "add": 2, "max": 1}),
    "in a loop, through another": (lambda x: apart(4, lambda a: apart(
        3, of_second=lax.sin)(a, lax.log(a))[0])(x, x)[0], {"tanh": 4 * 3 * 3}),
    "mapped over an axis": (lambda x: jax.vmap(lambda v: apart(5)(v, lax.log(v))[0])(x),
                            {"tanh": 15}),
    # each is another's next, so that all are needed
    "in a circle": (lambda x: lax.while_loop(
        lambda s: s[3] < 6, turned, (lax.sin(x), lax.exp(x), lax.log(x), 0))[0],
        {"sin": 3, "exp": 3, "log": 3}),
    # the first step's a is never looked at, and no step needs another's
    "what each step makes anew": (lambda x: lax.while_loop(
        lambda s: s[0] < 6, lambda s: (s[0] + 1, lax.tanh(s[2]), s[2]), (0, lax.sin(x), x))[1],
        {"tanh": 18, "sin": 3}),
    "a loop to a number that is no literal": (lambda x: lax.fori_loop(
        0, jnp.asarray(7), lambda i, s: (lax.tanh(s[0]), lax.exp(s[1])), (x, lax.log(x)))[0],
        {"tanh": 21}),
    # its counter goes up by two in the loop inside, beside data: 0, 2, 4
    "whose steps are counted inside": (lambda x: lax.while_loop(
        lambda s: s[0] < 5, lambda s: lax.while_loop(
            lambda c: c[2] < 2, lambda c: (c[0] + 1, lax.tanh(c[1]), c[2] + 1), (*s, 0))[:2],
        (0, x))[1], {"tanh": 3 * 2 * 3}),
    "none of it": (lambda x: (apart(5)(x, lax.log(x)), lax.sin(x))[1], {"sin": 3}),
    "forward derivative, of one": (lambda x: jax.jvp(
        lambda y: apart(5)(y, y)[0], (x,), (jnp.ones(3),))[0], {"tanh": 15}),
}


@pytest.mark.parametrize("name", IDLE_CARRIES)
def test_what_a_loop_carries_for_nobody_does_not_count(name):
    function, right = IDLE_CARRIES[name]
    assert ops(function, spec(3)) == right


def branches(function):
    counted = count(function, input_shape=[spec(3)])
    return {op: int(n) for (_, op), n in counted.counts.sum().items()}, counted.notes


NOTE = "cond: the dearer branch of a conditional is counted"


def test_of_conditionals_on_one_value_the_same_branch_counts():
    """An exponential where it holds, two sines where it does not: never both."""
    def of_one(x):
        holds = x.sum() > 0
        return (lax.cond(holds, jnp.exp, lambda y: y, x)
                + lax.cond(holds, lambda y: y, lambda y: jnp.sin(jnp.sin(y)), x))

    def of_two(x):
        return (lax.cond(x.sum() > 0, jnp.exp, lambda y: y, x)
                + lax.cond(x[0] > 0, lambda y: y, lambda y: jnp.sin(jnp.sin(y)), x))

    assert branches(of_one) == ({"add": 2 + 3, "max": 1, "sin": 6}, (NOTE,))
    assert branches(of_two) == ({"add": 2 + 3, "max": 2, "sin": 6, "exp": 3}, (NOTE,))


def test_branches_of_as_many_ops_of_other_kinds_are_told_of():
    counts, notes = branches(lambda x: lax.cond(x.sum() > 0, jnp.exp, jnp.sin, x))
    assert counts["add"] == 2
    assert counts.get("sin", 0) + counts.get("exp", 0) == 3
    assert notes == (NOTE,)


def inner(x):
    return x if x.sum() > 0 else -x


def keyed(x):
    try:
        return {}["weights"]
    except KeyError as error:
        raise ValueError("no such table") from error


@pytest.mark.parametrize(("function", "text"), [
    (jax.jit(inner), "'inner' cannot be traced: its code raised TracerBoolConversionError: "),
    (keyed, "'keyed' cannot be traced: its code raised ValueError: no such table "
     "(test_jax_functions.py, line LINE), from KeyError: 'weights' "
     "(test_jax_functions.py, line LINE); JAX must be able to trace it on shapes alone"),
    (lambda x: x @ jnp.ones((4, 5)), "got (3,) and (4,) (test_jax_functions.py, line LINE); JAX"),
])
def test_an_error_says_its_innermost_cause_and_the_line(function, text):
    with pytest.raises(TraceError, match=re.escape(text).replace("LINE", r"\d+")):
        tos.count_ops(function, input_shape=[spec(3)])


def test_a_batch_of_10_to_the_20_counts_exactly():
    def f(x, w):
        return jax.nn.softmax(x @ w)

    counts = tos.count_ops(f, 10**20, input_shape=[(3,), spec(3, 4)]).sum()
    assert counts.to_dict() == {
        ("float32", op): n * 10**20 for op, n in {"mac": 12, **softmax(4, 4)}.items()}


@pytest.mark.parametrize("integer", [int, np.int64, np.int8])
def test_sizes_of_a_shape_may_be_integers_of_numpy(integer):
    for shape in ((integer(6),), integer(6), [(integer(2), 3)]):
        counts = tos.count_ops(jnp.tanh, integer(5), input_shape=shape)
        assert counts["float32", "tanh"].sum() == 30
    scaled = tos.count_ops(lambda w: w["table"] * w["n"], input_shape=[{
        "table": np.zeros((6, 4), "float32"), "n": np.int32(4)}])  # a value among others is one
    assert scaled["float32", "mul"].sum() == 24
    scalar = tos.count_ops(jnp.tanh, 5, input_shape=np.array(0.5, "float32"))
    assert scalar["float32", "tanh"].sum() == 1
