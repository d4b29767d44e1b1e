"""Every optimizer that Keras ships, and a user's: ops of an update, derived from its algorithm.

The weight is one matrix of R x C, N = R C, and the batch 2. Each derivation follows the update as
the optimizer's paper writes it and Keras' source runs it; what is scalar stands after N.
"""

import keras
import pytest
from keras import layers

import tostoolkit as tos
from tostoolkit.counting.count import count

R, C = 5, 4
N = R * C
F, STEP = "float32", {"phase": "training", "loss": "mse"}
#: The step's number: t + 1, as a float.
T = {("int64", "add"): 1, ("int64", "convert"): 1}
#: The count of steps.
COUNTED = {("int64", "add"): 1}


def dense():
    with tos.abstract():
        return keras.Sequential([keras.Input((R,)), layers.Dense(C, use_bias=False)])


def update(optimizer, model=None):
    counted = count(model or dense(), 2, optimizer=optimizer, **STEP)
    part = counted.counts.xs("update", level="part").sum()
    return {key: int(n) for key, n in part.items() if n}, counted.notes


def expected(*parts, **ops):
    total = {(F, op): n for op, n in ops.items() if n}
    for part in parts:
        for key, n in part.items():
            total[key] = total.get(key, 0) + n
    return total


def newton_schulz(steps, r, c):
    """X X', (b A + c A A), a X + B X of the shorter side r; Jordan et al., "Muon", 2024."""
    return {"mac": steps * (r * r * c + r**3 + r * r * c), "mul": steps * (2 * r * r + r * c),
            "add": steps * (r * r + r * c)}


MUON = newton_schulz(5, C, R)
ADAM = {"sqrt": N + 1, "div": N + 1, "pow": 2, "mul": 4 * N + 1, "add": 6 * N + 2}
BY_HAND = {
    # w - rate g
    "SGD": (keras.optimizers.SGD, expected(COUNTED, add=N, mul=N)),
    # m = m + (g - m)(1 - b1), v = v + (g g - v)(1 - b2), w - m alpha / (sqrt v + e);
    # alpha = rate sqrt(1 - b2^t) / (1 - b1^t)
    "Adam": (keras.optimizers.Adam, expected(COUNTED, T, **ADAM)),
    # and before it w - w decay rate
    "AdamW": (keras.optimizers.AdamW, expected(
        COUNTED, T, **ADAM | {"mul": 6 * N + 1, "add": 7 * N + 2})),
    # v = rho v + (1 - rho) g g; w - rate g / sqrt(v + e)
    "RMSprop": (keras.optimizers.RMSprop, expected(
        COUNTED, mul=4 * N, add=3 * N, sqrt=N, div=N)),
    # a = a + g g; w - rate g / sqrt(a + e)
    "Adagrad": (keras.optimizers.Adagrad, expected(
        COUNTED, mul=2 * N, add=3 * N, sqrt=N, div=N)),
    # a = rho a + (1 - rho) g g; d = -(sqrt(b + e) g / sqrt(a + e)); b = rho b + (1 - rho) d d;
    # w + rate d
    "Adadelta": (keras.optimizers.Adadelta, expected(
        COUNTED, mul=(3 + 1 + 3 + 1) * N, add=(1 + 2 + 1 + 1) * N, sqrt=2 * N, div=N, neg=N)),
    # m as Adam's; u = max(b2 u, |g|); w - rate m / ((1 - b1^t)(u + e))
    "Adamax": (keras.optimizers.Adamax, expected(
        COUNTED, T, add=(2 + 1 + 1) * N + 1, mul=(1 + 1 + 2) * N, abs=N, max=N, div=N, pow=1)),
    # m, v as Adam's; u(t) = b1 (1 - 0.5 0.96^t), also of t + 1; m' = u(t+1) m / (1 - P(t+1)) +
    # (1 - u(t)) g / (1 - P(t)); w - rate m' / (sqrt(v / (1 - b2^t)) + e); P = P b1 (1 - 0.5
    # 0.96^t), once for all weights, P(t+1) = P u(t+1)
    "Nadam": (keras.optimizers.Nadam, expected(
        COUNTED, T, T, T, add=(2 + 2 + 1 + 1 + 1) * N + 2 + 4 + 1,
        mul=(1 + 2 + 2 + 1) * N + 2 * 2 + 1 + 3, div=(2 + 1 + 1) * N, sqrt=N, pow=2 + 1 + 1)),
    # z + (g + 2 l w) - (n^p - a^p) / rate w, n = a + g g; w = (clip(z) - z) / (n^p / rate + 2 l2)
    # with l2 + beta / (2 rate); the power p is 1 / 2, a root
    "Ftrl": (keras.optimizers.Ftrl, expected(
        COUNTED, add=(1 + 1 + 1 + 1 + 1 + 1 + 1) * N, mul=(1 + 1 + 1) * N + 2, sqrt=3 * N,
        div=(1 + 1 + 1) * N + 1, max=2 * N)),
    # m, v, corrected: m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + e) = u; |w| / |u| where both are
    # above zero, of squares; w - ratio rate u
    "Lamb": (keras.optimizers.Lamb, expected(
        COUNTED, T, add=(2 + 2 + 1 + 1) * N + 2 * (N - 1) + 2, mul=(1 + 2 + 2 + 1) * N + 1,
        div=3 * N + 1, sqrt=N + 2, pow=2, max=2, select=2)),
    # w - rate sign(b1 m + (1 - b1) g); m = b2 m + (1 - b2) g
    "Lion": (keras.optimizers.Lion, expected(COUNTED, add=3 * N, mul=5 * N, max=N)),
    # rate and rho = min(rate, 1 / sqrt t); a = max(e2, rms w) rho; q = g g + e1; b = 1 - t^decay;
    # r, c = b r + (1 - b) mean q of rows and columns; v = r / mean r c; u = g / sqrt v;
    # w - a u / max(1, rms u)
    "Adafactor": (keras.optimizers.Adafactor, expected(
        COUNTED, T, sqrt=2 + 1 + N + 1, pow=1, max=2 + 1 + 1,
        div=2 + 1 + (R + C) + (1 + R) + N + 1 + N,
        mul=N + 1 + N + 2 * R + 2 * C + N + N + N,
        add=(N - 1) + N + 1 + (1 + R * (C - 1) + R) + (1 + C * (R - 1) + C) + (R - 1) + (N - 1)
        + N)),
    # m = m + g + m (mu - 1); g + mu m; over its norm + e; Newton and Schulz; the rate, and
    # sqrt(max(R, C)) 0.2; before it w - w decay rate
    "Muon": (lambda: keras.optimizers.Muon(exclude_layers=[]), expected(
        COUNTED, mac=MUON["mac"], mul=N + N + N + MUON["mul"] + N + 2 * N + 2 * N,
        add=2 * N + N + (N - 1) + 1 + MUON["add"] + N + N, sqrt=1, div=N)),
    # v as Adam's; z - rate g / (sqrt(v / (1 - b2^t)) + e); x = (y - (1 - b1) z) / b1;
    # x (1 - 1 / t) + z / t; y = z (1 - b1) + x b1
    "ScheduleFreeAdamW": (keras.optimizers.ScheduleFreeAdamW, expected(
        COUNTED, T, add=(2 + 1 + 1 + 1 + 1 + 1) * N + 2, mul=(2 + 1 + 1 + 2 + 2) * N,
        div=(1 + 1 + 1) * N + 1, sqrt=N, pow=1)),
    # all gradients are finite; over the scale; SGD; the scale grows, or the count of steps, each
    # one op
    "LossScaleOptimizer": (
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()), expected(
            COUNTED, {("bool", "logic"): N - 1, ("int64", "max"): 1}, max=N, div=N, add=N,
            mul=N + 1)),
    # its own count of steps beside that of the inner one
    "MultiOptimizer": (lambda: keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(keras.optimizers.SGD())),
        expected(COUNTED, COUNTED, add=N, mul=N)),
}


def shipped():
    """Names of the optimizers of Keras, but for the class that all of them extend."""
    return [name for name, value in vars(keras.optimizers).items()
            if isinstance(value, type) and issubclass(value, keras.optimizers.Optimizer)
            and value is not keras.optimizers.Optimizer]


@pytest.mark.parametrize("name", shipped())
def test_update_by_hand(name):
    make, by_hand = BY_HAND[name]
    assert update(make())[0] == by_hand


@pytest.mark.parametrize(("options", "by_hand"), [
    # min and max of each
    ({"clipvalue": 0.5}, expected(COUNTED, mul=N, add=N, max=2 * N)),
    # sum of squares, its root where it is above zero, g c / max(norm, c)
    ({"clipnorm": 0.5}, expected(
        COUNTED, mul=N + N + N, add=N - 1 + N, max=1 + 1, select=2, sqrt=1, div=N)),
    ({"weight_decay": 0.1}, expected(COUNTED, mul=3 * N, add=2 * N)),
    ({"loss_scale_factor": 8.0}, expected(COUNTED, mul=N, add=N, div=N)),
    # a m + w (1 - m), m zero before the first step
    ({"use_ema": True}, expected(
        COUNTED, {("bool", "convert"): 1, ("int64", "max"): 1}, mul=N + 2 * N + 1,
        add=N + N + 1)),
    # and every third step the weights become the averages, which is no arithmetic
    ({"use_ema": True, "ema_overwrite_frequency": 3}, expected(
        COUNTED, COUNTED, {("bool", "convert"): 1, ("int64", "max"): 2, ("int64", "rem"): 1},
        mul=N + 2 * N + 1, add=N + N + 1)),
    # g + the sum, over the steps; whether it is the step that has the update
    ({"gradient_accumulation_steps": 4}, expected(
        COUNTED, COUNTED, {("int64", "max"): 1, ("int64", "rem"): 1}, mul=N, add=2 * N, div=N)),
    ({"momentum": 0.9}, expected(COUNTED, mul=2 * N, add=2 * N)),
    # m' = m mu - g rate; w + m' mu - g rate
    ({"momentum": 0.9, "nesterov": True}, expected(COUNTED, mul=4 * N, add=3 * N)),
])
def test_what_an_optimizer_is_given_beside_its_rate(options, by_hand):
    assert update(keras.optimizers.SGD(0.1, **options))[0] == by_hand


def test_the_norm_of_all_gradients_is_one():
    """sqrt of the sums' sum, c min(1 / norm, 1 / c), + (norm - norm) that keeps infinities."""
    with tos.abstract():
        model = keras.Sequential([keras.Input((R,)), layers.Dense(C)])
    n = N + C
    ops, _ = update(keras.optimizers.SGD(0.1, global_clipnorm=0.5), model)
    assert ops[F, "mul"] == n + n + n + 1
    assert ops[F, "add"] == (N - 1) + (C - 1) + 1 + 2 + n
    assert (ops[F, "sqrt"], ops[F, "div"], ops[F, "max"]) == (1, 1, 1)


def test_accumulation_says_how_often_the_update_comes():
    for make in (keras.optimizers.SGD, keras.optimizers.AdamW):
        _, notes = update(make(0.1, gradient_accumulation_steps=4))
        assert any("update comes every 4 steps" in note for note in notes)
    assert not update("adam")[1]


class Falling(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule of the user's, which has no configuration: 0.1 / sqrt(t + 1)."""

    def __call__(self, step):
        return 0.1 / keras.ops.sqrt(keras.ops.cast(step, F) + 1.0)


def test_a_schedule_counts_once_for_all_weights():
    with tos.abstract():
        model = keras.Sequential([keras.Input((R,)), layers.Dense(C)])
    plain, _ = update(keras.optimizers.SGD(lambda: 0.1), model)
    assert plain == expected(COUNTED, add=N + C, mul=N + C)
    assert update(keras.optimizers.SGD(Falling()), model)[0] == expected(
        COUNTED, {("int64", "convert"): 1}, add=N + C + 1, mul=N + C, div=1, sqrt=1)
    # cos(pi min(t, 10) / 10): min, convert of the step, div, mul; 0.5 (1 + cos), rate times it
    decay = keras.optimizers.schedules.CosineDecay(0.1, 10)
    assert update(keras.optimizers.SGD(decay), model)[0][F, "sin"] == 1


class Squashed(keras.optimizers.Optimizer):
    """An optimizer of the user's, without a configuration: w - rate tanh(tanh(g))."""

    def __init__(self, times):
        super().__init__(learning_rate=0.1)
        self.times = times

    def update_step(self, gradient, variable, learning_rate):
        for _ in range(self.times):
            gradient = keras.ops.tanh(gradient)
        self.assign_sub(variable, gradient * keras.ops.cast(learning_rate, variable.dtype))


def test_an_optimizer_of_the_users_own_class_is_counted_with_its_options():
    for times in (2, 3):
        assert update(Squashed(times))[0] == expected(COUNTED, add=N, mul=N, tanh=times * N)
    moved = tos.count_bytes(dense(), 2, "training", optimizer=Squashed(2))
    assert moved.xs("update", level="part").to_numpy().tolist() == [[4 * N] * 3]  # no slots


def test_equal_weights_take_equal_updates():
    """They are traced once, and counted as often as there are."""
    with tos.abstract():
        model = keras.Sequential([keras.Input((C,)), *(layers.Dense(C) for _ in range(5))])
    for make in (keras.optimizers.RMSprop, lambda: keras.optimizers.RMSprop(clipnorm=0.5)):
        ops, _ = update(make(), model)
        assert ops[F, "sqrt"] == 5 * (C * C + C) + 10 * (make().clipnorm is not None)
    accumulated, _ = update(keras.optimizers.RMSprop(gradient_accumulation_steps=2), model)
    assert accumulated[F, "sqrt"] == 5 * (C * C + C)
    scaled, _ = update(keras.optimizers.LossScaleOptimizer(keras.optimizers.RMSprop()), model)
    assert scaled[F, "sqrt"] == 5 * (C * C + C)
    assert scaled[F, "div"] == 2 * 5 * (C * C + C)
    by_rank = {2: keras.optimizers.RMSprop(), 1: keras.optimizers.SGD()}
    mixed = keras.optimizers.MultiOptimizer(lambda variable: by_rank[len(variable.shape)])
    assert update(mixed, model)[0][F, "sqrt"] == 5 * C * C


def test_rows_looked_up_are_updated_by_sgd_alone():
    """The gradient of an embedding is sparse; Keras' SGD scatters it, and the rows count."""
    with tos.abstract():
        model = keras.Sequential([keras.Input((3,), dtype="int32"), layers.Embedding(100, 6),
                                  layers.Flatten(), layers.Dense(2, use_bias=False)])
    rows, dense_weights = 2 * 3 * 6, 3 * 6 * 2
    ops, _ = update("sgd", model)
    assert ops[F, "add"] == rows + dense_weights
    assert ops[F, "mul"] == rows + dense_weights
