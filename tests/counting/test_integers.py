"""Counts of any size, against closed forms in Python integers: nothing wraps."""

import io
import json
from collections import Counter

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_cases import CASES, model_of

import tostoolkit as tos
from tostoolkit.__main__ import FORMATS
from tostoolkit.costs.cost_table import CostTable
from tostoolkit.costs.pricing import named_columns, predictor_values
from tostoolkit.counting.count import count
from tostoolkit.counting.integers import exact_columns, exact_integers, exact_products, row_sums
from tostoolkit.counting.layer_state import constructor_arguments
from tostoolkit.counting.rows import count_row

WIDTH, DEPTH = 64, 100
BATCHES = (10**11, 10**15, 10**20)


def stack(depth=DEPTH, width=WIDTH):
    with tos.abstract():
        return keras.Sequential([keras.Input((width,)),
                                 *(keras.layers.Dense(width) for _ in range(depth))])


STACK = stack()


@pytest.mark.parametrize("batch_size", [*BATCHES, np.int64(10**15), np.uint64(10**19)])
def test_counts_of_any_batch_size_are_those_of_the_closed_form(batch_size):
    n = int(batch_size)
    macs, adds = n * DEPTH * WIDTH**2, n * DEPTH * WIDTH
    weights = 4 * DEPTH * WIDTH * (WIDTH + 1)
    counts = tos.count_ops(STACK, batch_size)
    assert counts["float32", "mac"].sum() == macs
    assert counts.to_numpy().sum() == counts.sum().sum() == macs + adds
    moved = tos.count_bytes(STACK, batch_size)
    assert moved.to_numpy().sum() == weights + 2 * 4 * adds
    row = count_row(STACK, batch_size)
    assert row["mac dense"] == row["mac float32"] == macs
    assert (row["elements"], row["bytes"]) == (adds, weights + 8 * adds)
    assert all(type(value) is int for value in row.values())


@pytest.mark.parametrize("batch_size", BATCHES)
def test_reports_of_any_batch_size_are_those_of_the_closed_form(batch_size):
    macs, adds = batch_size * DEPTH * WIDTH**2, batch_size * DEPTH * WIDTH
    report = tos.transistor_ops(STACK, batch_size=batch_size)
    costs = report.costs.costs["float32"]
    assert report.macs == macs
    assert report.flops == 2 * macs + adds
    assert report.bytes_moved == 4 * DEPTH * WIDTH * (WIDTH + 1) + 8 * adds
    assert report.total == pytest.approx(macs * costs["mac"] + adds * costs["add"])
    assert report.by_op["count"].to_dict() == {("float32", "mac"): macs, ("float32", "add"): adds}
    layers = report.per_layer
    assert layers.macs.sum() == macs
    assert layers.share.sum() == pytest.approx(1.0)
    assert report.shares.groupby("by").share.sum().tolist() == pytest.approx([1.0, 1.0])
    table = tos.compare([report, stack(DEPTH // 2)], batch_size=batch_size)
    assert table.macs.tolist() == [macs, macs // 2]
    assert table.macs.sum() == 3 * macs // 2
    assert table.relative_macs.iloc[1] == 0.5
    report.plot()
    report.interactive()
    for format_as in FORMATS.values():
        assert format_as(report)
    first = json.loads(FORMATS["json"](report))[0]
    assert first["macs"] == batch_size * WIDTH**2


@settings(deadline=None)
@given(st.integers(1, 10**25), st.integers(1, 40))
def test_a_batch_of_b_takes_b_times_the_ops_of_one(batch_size, depth):
    model = stack(depth, 3)
    one, many = tos.count_ops(model), tos.count_ops(model, batch_size)
    assert many.columns.equals(one.columns)
    assert many.index.equals(one.index)
    assert many.to_numpy().tolist() == [[n * batch_size for n in row]
                                        for row in one.to_numpy().tolist()]
    assert many.sum().tolist() == [n * batch_size for n in one.sum()]


def test_what_fits_is_int64_and_one_more_is_exact():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    for batch_size, dtype in ((2**63 - 1, "int64"), (2**63, object)):
        counts = tos.count_ops(model, batch_size)
        assert counts.dtypes.tolist() == [dtype]
        assert counts.to_numpy().sum() == batch_size
    assert exact_integers([2**62, 2**62 - 1]).dtype == "int64"
    assert exact_integers([2**62, 2**62]).dtype == object
    assert exact_integers([-2**62, -2**62, 2**62]).dtype == object
    assert exact_integers([2**63, -1]).tolist() == [2**63, -1]  # numpy makes floats of these
    assert exact_integers([]).shape == (0,)


def test_training_steps_of_any_batch_size_do_not_wrap():
    counts = tos.count_ops(stack(3), 10**19, "training", loss="mse", optimizer="sgd")
    passes = 3 + 3 + 2  # forward, the weights' gradients, those of the inputs but the first
    assert counts["float32", "mac"].sum() == passes * 10**19 * WIDTH**2
    moved = tos.count_bytes(stack(3), 10**19, "training", optimizer="sgd")
    assert moved.to_numpy().sum() > 2**63


def test_integer_costs_do_not_wrap():
    """Costs that somebody typed as integers multiply as floats."""
    table = tos.load_cost_table("macs")
    mine = CostTable("mine", "", "u", table.rows.assign(
        cost=(table.costs > 0).astype("int64") * 10**6))
    report = tos.transistor_ops(STACK, mine, batch_size=10**12)
    assert report.total == pytest.approx(10**18 * DEPTH * WIDTH**2)
    assert report.under("macs").total == pytest.approx(10**12 * DEPTH * WIDTH**2)


def test_counts_beyond_a_float_say_so():
    report = tos.transistor_ops(STACK, batch_size=10**400)
    assert report.macs == 10**400 * DEPTH * WIDTH**2
    with pytest.raises(OverflowError, match=r"batch_size: at about 10\^400 .* batch_size=1 and"):
        _ = report.total
    with pytest.raises(OverflowError, match=r"about 10\^40\d is more than a float"):
        predictor_values(pd.DataFrame([count_row(STACK, 10**400)]), "tos")


def test_counted_model_sets_survive_a_csv_file():
    models = tos.feed_forward(n=4, dtypes=("float32",), phases=("inference",))
    one, two, rows = (tos.count_models(models.assign(batch_size=n)) for n in (1, 2, 10**18))
    read = pd.read_csv(io.StringIO(rows.to_csv(index=False)))
    for name in ("mac float32", "mac dense", "ops_linear", "ops_elementwise", "elements"):
        first, second = (predictor_values(t, name).tolist() for t in (one, two))
        right = [a + (b - a) * (10**18 - 1) for a, b in zip(first, second, strict=True)]
        for table in (rows, read):
            values = predictor_values(table, name)
            assert values.tolist() == right
            assert values.sum() == sum(right) > 2**63
            assert named_columns(table, [name])[0].dtypes.tolist() == [float]
    assert tos.price(read).tos.tolist() == tos.price(rows).tos.tolist()
    sums = row_sums(pd.DataFrame({"a": [2**62, 1], "b": [2**62, 1]}))
    assert sums.tolist() == [2**63, 2]
    mixed = pd.DataFrame({"n": ["99999999999999999999", "1"], "x": [0.5, np.nan], "s": ["a", "1"]})
    exact = exact_columns(mixed)
    assert exact.n.tolist() == [99999999999999999999, 1]
    assert exact.x.equals(mixed.x)
    assert exact.s.tolist() == ["a", 1]


def test_products_beyond_int64_are_exact():
    counts, times = np.array([[10**12, 3]]), np.array([[10**12, 2]])
    assert exact_products(counts, times).tolist() == [[10**24, 6]]
    assert exact_products(counts, np.array([[2, 2]])).dtype == "int64"


def test_a_counter_gives_whole_numbers():
    class Odd(keras.layers.Layer):
        def call(self, x):
            return x

    model = keras.Sequential([keras.Input((3,)), Odd()])

    def counted(n):
        return tos.count_ops(model, counters=tos.OP_COUNTERS | {
            "Odd": lambda call: Counter({("float32", "add"): n})}).to_numpy().tolist()

    assert counted(2.0) == counted(np.int32(2)) == counted(np.float64(2)) == [[2]]
    assert counted(10**30) == [[10**30]]
    with pytest.raises(ValueError, match=r"counters: 2\.5 is not a whole number"):
        counted(2.5)


class Spread(keras.layers.Layer):
    """No rule: 2^20 elements for each one of the input, as a matrix of few columns."""

    def call(self, x):
        spread = keras.ops.reshape(x, (-1, 1, 1)) * keras.ops.full((1, 2**10, 2**10), 3.0)
        return keras.ops.sum(spread, axis=(1, 2))


def test_traces_are_exact_or_say_that_they_would_wrap():
    x = keras.Input((1,))
    model = keras.Model(x, Spread(name="spread")(x))
    for batch_size in (1, 10**6, 2**43 - 1):
        assert tos.count_ops(model, batch_size)["float32", "mul"].sum() == batch_size * 2**20
    for batch_size in (2**43, 2**44 + 3, 2**45, 10**17, 10**30):
        with pytest.raises(ValueError, match=r"batch_size|must be >= 0|must be less than"):
            tos.count_ops(model, batch_size)
    with pytest.raises(ValueError, match=rf"batch_size: {10**30} makes a tensor.*'spread'.*"
                                         "batch_size=1 say, and multiply"):
        tos.count_ops(model, 10**30)
    with pytest.raises(ValueError, match=r"batch_size: .*smaller batch_size"):
        tos.count_ops(model, 2**63, "training", loss="mse", optimizer="sgd")


def with_integers_of(kind, model):
    """Return a model whose layers hold integers of NumPy's where they were made with integers."""
    def converted(value):
        if isinstance(value, (list, tuple)):
            return type(value)(map(converted, value))
        return kind(value) if type(value) is int else value

    for layer in model._flatten_layers(include_self=False):
        for name in constructor_arguments(type(layer)).keys() & vars(layer).keys():
            object.__setattr__(layer, name, converted(vars(layer)[name]))
    return model


def of_batch(n, two, three):
    """Return the ops of a batch of n: a constant, and so many a sample, which two batches say."""
    return {op: int(two[op]) + (n - 2) * (int(k) - int(two[op])) for op, k in three.items()}


#: Of the layers with a rule, those of which Keras computes the shapes or masks on real tensors.
RUN_ON_SHAPES = ("EinsumDense", "Masking")
RULED = [(kind, case) for kind, cases in CASES.items() for case in cases
         if kind not in RUN_ON_SHAPES]


@pytest.mark.parametrize("integer", [np.int64, np.int8])
def test_layers_made_with_integers_of_numpy_do_not_wrap(integer):
    ruled = 0
    for kind, (kwargs, shapes) in RULED:
        model = model_of(kind, kwargs, shapes)
        two, three = (count(model, n) for n in (2, 3))
        if "trace" in two.coverage:
            continue
        two, three, ruled = two.counts.sum(), three.counts.sum(), ruled + 1
        many = count(with_integers_of(integer, model), 10**20)
        ops = many.counts.sum()
        assert "trace" not in many.coverage
        assert {op: int(ops[op]) for op in three.index} == of_batch(
            10**20, two, three)
    assert ruled > 110


@pytest.mark.parametrize("make", [
    lambda n: keras.layers.Conv2D(n(32), (n(3), n(3))),
    lambda n: keras.layers.DepthwiseConv2D((n(3), n(3)), depth_multiplier=n(2)),
    lambda n: keras.layers.AveragePooling2D((n(2), n(2))),
    lambda n: keras.layers.MaxPooling2D((n(2), n(2))),
])
def test_training_of_layers_made_with_integers_of_numpy_does_not_wrap(make):
    def ops(integer, n):
        x = keras.Input((8, 8, 16))
        y = make(integer)(keras.layers.Conv2D(3, 1)(x))
        y = keras.layers.Dense(4)(keras.layers.Flatten()(y))
        return tos.count_ops(keras.Model(x, y), n, "training", loss="mse", optimizer="sgd").sum()

    two, three = ops(int, 2), ops(int, 3)
    for integer in (np.int64, np.int8):
        many = ops(integer, 10**20)
        assert {op: int(many[op]) for op in three.index} == of_batch(
            10**20, two, three)


def test_what_fails_at_a_batch_beyond_int32_says_that_this_may_be_why():
    x = keras.Input((5, 3))
    masked = keras.Model(x, keras.layers.LSTM(4, name="cells")(keras.layers.Masking()(x)))
    assert (tos.count_ops(masked, 2**20).sum() >= tos.count_ops(masked).sum()).all()
    image = keras.Sequential([keras.Input((224, 224, 4)), keras.layers.LayerNormalization(),
                              keras.layers.Dense(4)])
    step = {"phase": "training", "loss": "mse", "optimizer": "sgd"}
    for model, batch_size, others in ((masked, 10**17, {}), (masked, 10**20, {}),
                                      (masked, 10**17, step), (image, 50_000, step)):
        with pytest.raises(ValueError, match=rf"^batch_size: {batch_size} may be the reason.*"
                                             "batch_size=1 say, and multiply. "):
            tos.count_ops(model, batch_size, **others)
    for function in (tos.count_bytes, tos.layer_calls):
        with pytest.raises(ValueError, match=r"may be the reason.*'cells'"):
            function(masked, 2**32)


@pytest.mark.parametrize(("scale", "offset", "ops"), [
    (np.float32(1 / 255), np.int8(0), ["mul"]), (np.int64(2), np.float16(1), ["add", "mul"]),
    (np.float32(1), 0, []), (np.array(1.0), [0, 1, 0], ["add"]), ([1, 1, 1], [0, 0, 0], []),
])
def test_a_rescaling_by_numbers_of_numpy(scale, offset, ops):
    x = keras.Input((3,))
    model = keras.Model(x, keras.layers.Rescaling(scale, offset)(x))
    for n in (2, 10**20):
        counts = tos.count_ops(model, n)
        assert sorted(op for _, op in counts) == ops
        assert all(total == 3 * n for total in counts.sum())


def compared(function, shape, batch_size):
    """Return the comparisons of an operator on a batch."""
    x = keras.Input(shape)
    return int(tos.count_ops(keras.Model(x, function(x)), batch_size)["float32", "max"].sum())


@pytest.mark.parametrize(("function", "others"), [
    (lambda x: keras.ops.sort(x, axis=0), 0), (lambda x: keras.ops.argsort(x, axis=0), 0),
    (lambda x: keras.ops.median(x, axis=0), 1),  # and a test of each value for NaN
    (lambda x: keras.ops.quantile(x, 0.3, axis=0), 1),
    (lambda x: keras.layers.Lambda(lambda x: keras.ops.relu(keras.ops.sort(x, axis=0)))(x), 1),
])
def test_sorts_along_an_axis_beyond_int32_do_not_wrap(function, others):
    """n ceil(log2 n) comparisons, and an error where TensorFlow would keep n values modulo 2^32."""
    for n in (2**20, 2**30, 2**31 - 1):
        assert compared(function, (4,), n) == 4 * n * ((n - 1).bit_length() + others)
    for n in (2**31, 2**32, 2**32 + 8, 10**12):
        with pytest.raises(ValueError, match=r"batch_size: .*smaller"):
            compared(function, (4,), n)


def test_sorts_of_all_values_beyond_int32_do_not_wrap():
    def sort_all(x):
        return keras.ops.sort(keras.ops.reshape(x, (-1,)))

    assert compared(sort_all, (32,), 2**25) == 2**30 * 30
    with pytest.raises(ValueError, match=r"batch_size: TopKV2.* 34359738368 .*smaller"):
        compared(sort_all, (32,), 2**30)


def test_scans_of_more_steps_than_int32_holds_do_not_wrap():
    x = keras.Input((4,))
    total, _ = keras.ops.scan(lambda carried, row: (carried + row, carried), x[0], x)
    model = keras.Model(x, total)
    assert int(tos.count_ops(model, 2**20)["float32", "add"].sum()) == 4 * 2**20
    for n in (2**31, 2**32, 2**33):
        with pytest.raises(ValueError, match=r"batch_size: .*smaller"):
            tos.count_ops(model, n)
