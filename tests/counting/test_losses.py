"""Every loss that Keras ships, as a class and as a function: ops of its forward pass, by hand.

N outputs in ROWS rows; what a loss compares with is like the outputs, integer labels, or given.
"""

import keras
import pytest
from keras import layers

import tostoolkit as tos
from tostoolkit.counting.count import count
from tostoolkit.counting.trace import TraceError

ROWS, WIDTH = 3, 4
N = ROWS * WIDTH
F = "float32"


def chain(shape, *stack):
    with tos.abstract():
        return keras.Sequential([keras.Input(shape), *stack])


def loss_ops(loss, model=None, **options):
    model = model or chain((5,), layers.Dense(WIDTH))
    counts = count(model, ROWS, "training", loss=loss, optimizer="sgd", **options).counts
    row = counts.loc[("loss", "forward")]
    return {key: int(n) for key, n in row.items() if n}


def ops(*parts, **kinds):
    total = {(F, op): n for op, n in kinds.items()}
    for part in parts:
        for key, n in part.items():
            total[key] = total.get(key, 0) + n
    return {key: n for key, n in total.items() if n}


#: The mean of each row, and the mean over the batch; the latter alone.
MEANS = {(F, "add"): (N - ROWS) + (ROWS - 1), (F, "div"): ROWS + 1}
BATCH = {(F, "add"): ROWS - 1, (F, "div"): 1}
#: Targets of zeros and ones become -1 and 1: whether they are such, and 2 y - 1.
BINARY = {("bool", "logic"): N + N - 1, (F, "max"): 2 * N, (F, "mul"): N, (F, "add"): N}
#: Both logarithms of p and 1 - p, p kept from 0 and 1: y log p + (1 - y) log(1 - p), negated.
ENTROPY = {(F, "max"): 2 * N, (F, "log"): 2 * N, (F, "mul"): 2 * N, (F, "add"): 3 * N,
           (F, "neg"): N}
BY_HAND = {
    ("MeanSquaredError", "mean_squared_error"): ops(MEANS, add=N, mul=N),
    ("MeanAbsoluteError", "mean_absolute_error"): ops(MEANS, add=N, abs=N),
    # 100 |(y - p) / max(|y|, e)|
    ("MeanAbsolutePercentageError", "mean_absolute_percentage_error"): ops(
        MEANS, add=N, abs=2 * N, max=N, div=N, mul=ROWS),
    # (log(max(p, e) + 1) - log(max(y, e) + 1))^2
    ("MeanSquaredLogarithmicError", "mean_squared_logarithmic_error"): ops(
        MEANS, max=2 * N, add=2 * N + N, log=2 * N, mul=N),
    # e^2 / 2 where |e| <= 1, else |e| - 1 / 2
    ("Huber", "huber"): ops(MEANS, add=N + N, abs=N, max=N, mul=2 * N, select=N),
    # e + softplus(-2 e) - log 2
    ("LogCosh", "log_cosh"): ops(MEANS, add=N + N + N, mul=N, exp=N, log=N),
    # sum y log(y / p), both kept between e and 1
    ("KLDivergence", "kl_divergence"): ops(BATCH, max=4 * N, div=N, log=N, mul=N, add=N - ROWS),
    # p - y log(p + e)
    ("Poisson", "poisson"): ops(MEANS, add=N + N, log=N, mul=N),
    # max(1 - y p, 0)
    ("Hinge", "hinge"): ops(MEANS, BINARY, mul=N, add=N, max=N),
    ("SquaredHinge", "squared_hinge"): ops(MEANS, BINARY, mul=2 * N, add=N, max=N),
    # max(max((1 - y) p) - sum y p + 1, 0)
    ("CategoricalHinge", "categorical_hinge"): ops(
        BATCH, mul=2 * N, add=N + (N - ROWS) + 2 * ROWS, max=(N - ROWS) + ROWS),
    # 1 - 2 sum y p / (sum y + sum p + e), over all
    ("Dice", "dice"): ops(mul=N + 1, add=3 * (N - 1) + 2 + 1, div=1),
    # 1 - s / (s + a sum (1 - p) y + b sum p (1 - y) + e), s = sum y p, over all
    ("Tversky", "tversky"): ops(mul=3 * N + 2, add=2 * N + 3 * (N - 1) + 3 + 1, div=1),
    ("BinaryCrossentropy", "binary_crossentropy"): ops(MEANS, ENTROPY),
    # (1 - p_t)^2 times it, p_t = y p + (1 - y)(1 - p)
    ("BinaryFocalCrossentropy", "binary_focal_crossentropy"): None,
    ("CategoricalCrossentropy", "categorical_crossentropy"): None,
    ("CategoricalFocalCrossentropy", "categorical_focal_crossentropy"): None,
    ("CosineSimilarity", "cosine_similarity"): None,
    ("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy"): None,
    ("Circle", "circle"): None,
    ("CategoricalGeneralizedCrossEntropy", None): None,
    ("CTC", "ctc"): None,
}

def shipped():
    """Names of what is a loss in keras.losses: classes and functions of two arguments."""
    others = {"Loss", "get", "serialize", "deserialize"}
    return {name for name, value in vars(keras.losses).items()
            if callable(value) and not name.startswith("_")} - others


def test_every_loss_that_keras_ships_is_here():
    here = {name for names in BY_HAND for name in names if name}
    # which takes q, and so is no loss by itself: CategoricalGeneralizedCrossEntropy(q) is
    assert shipped() - here == {"categorical_generalized_cross_entropy"}
    assert here <= shipped()


@pytest.mark.parametrize("names", [
    pytest.param(names, id=names[0]) for names in BY_HAND if names[0] != "CTC"])
def test_loss_by_hand(names):
    losses = [getattr(keras.losses, names[0])(), *([names[1]] if names[1] else [])]
    counted = [loss_ops(loss) for loss in losses]
    assert counted == [counted[0]] * len(losses)
    if BY_HAND[names]:
        assert counted[0] == BY_HAND[names]


def test_ctc_takes_targets_of_another_length():
    """Graves et al., ICML 2006: forward over the steps, for 2 L + 1 states of each sequence."""
    model = chain((6, 5), layers.Dense(WIDTH))
    for loss in ("ctc", keras.losses.CTC()):
        with pytest.raises(TraceError, match=r"max_length|rank|shape"):
            loss_ops(loss, model)
        assert loss_ops(loss, model, targets=keras.Input((2,), dtype="int32"))[F, "exp"] > 0


def test_what_a_loss_object_is_told_counts():
    mean = loss_ops(keras.losses.MeanSquaredError())
    assert loss_ops(keras.losses.MeanSquaredError(reduction="sum")) == {
        key: n - (key == (F, "div")) for key, n in mean.items()}
    # none: the sum of the rows' losses is what a gradient is of
    per_row = loss_ops(keras.losses.MeanSquaredError(reduction="none"))
    assert per_row[F, "div"] == ROWS
    # softmax within: x - max, its exponential, their sum, and what is smoothed: a y + b
    plain = loss_ops(keras.losses.CategoricalCrossentropy(from_logits=True))
    smooth = loss_ops(keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1))
    assert smooth == {key: n + N * (key in ((F, "mul"), (F, "add"))) for key, n in plain.items()}


def test_targets_are_said_by_what_has_a_shape_and_a_dtype():
    model = chain((5,), layers.Dense(WIDTH))
    like_outputs = loss_ops("mse", model)
    for targets in (keras.Input((WIDTH,)), keras.Input((WIDTH,), batch_size=ROWS),
                    keras.ops.zeros((ROWS, WIDTH))):
        assert loss_ops("mse", model, targets=targets) == like_outputs
    # integers are converted to the loss's dtype
    assert loss_ops("mse", model, targets=keras.Input((WIDTH,), dtype="int32")) == (
        like_outputs | {("int32", "convert"): N})
    labels = keras.Input((1,), dtype="int64")
    assert loss_ops("sparse_categorical_crossentropy", model, targets=labels) == {
        (("int64", op) if dtype == "int32" else (dtype, op)): n for (dtype, op), n in
        loss_ops("sparse_categorical_crossentropy", model).items()}


def test_every_function_takes_targets():
    model, step = chain((5,), layers.Dense(WIDTH)), {
        "phase": "training", "loss": "mse", "optimizer": "sgd",
        "targets": keras.Input((WIDTH,), dtype="int32")}
    assert tos.count_ops(model, **step)["int32", "convert"].sum() == WIDTH
    assert tos.transistor_ops(model, **step).counts["int32", "convert"].sum() == WIDTH
    assert count(model, **step).counts["int32", "convert"].sum() == WIDTH
    assert tos.count_bytes(model, **step).equals(
        tos.count_bytes(model, **step | {"targets": None}))


@pytest.mark.parametrize(("targets", "error", "message"), [
    ((WIDTH,), TypeError, "targets: 4 has no shape and dtype"),
    (keras.Input((WIDTH,), batch_size=7), ValueError, r"targets: the shape \(7, 4\) does not fit"),
    (keras.Input((None,)), ValueError, r"targets: the shape \(None, None\) does not fit"),
    (keras.Input((2, WIDTH)), ValueError, r"targets: the step .* \(3, 2, 4\) float32: ValueError"),
])
def test_targets_that_do_not_fit_are_an_error(targets, error, message):
    with pytest.raises(error, match=message):
        loss_ops("mse", targets=targets)


@pytest.mark.parametrize("head", ["glu", keras.activations.glu])
def test_targets_are_like_the_outputs_that_the_graph_has(head):
    """Keras says that an activation keeps its shape, and a gated one halves it."""
    counted = loss_ops("mse", chain((5,), layers.Dense(2 * WIDTH), layers.Activation(head)))
    assert counted == BY_HAND["MeanSquaredError", "mean_squared_error"]


def test_an_open_dimension_of_einsum_is_that_of_its_input():
    with tos.abstract():
        model = keras.Sequential([keras.Input((5, 6)),
                                  layers.EinsumDense("abc,cd->abd", (None, 4))])
    counts = count(model, 2, "training", loss="mse", optimizer="sgd").counts
    assert int(counts[F, "mac"].sum()) == 2 * (2 * 5 * 6 * 4)
