"""A training step is the model's own: what its class overrides, what it is compiled with.

MACs are closed forms: of a contraction, forward once, again for its kernel's gradient, and again
for its input's where something trained stands before. B is the batch.
"""

import keras
import numpy
import pytest
import tensorflow as tf
from keras import layers, ops
from traced import trace_ops

import tostoolkit as tos
from tostoolkit.counting.count import count
from tostoolkit.counting.trace import TraceError

B, F = 2, "float32"
STEP = {"phase": "training", "loss": "mse", "optimizer": "sgd"}


def dense(units, **options):
    return layers.Dense(units, use_bias=False, **options)


def chain(shape, *stack):
    return keras.Sequential([keras.Input(shape), *stack])


def called(model, shape):
    model(numpy.zeros((1, *shape), F))
    return model


def macs(model, **options):
    counts = count(model, B, **{"phase": "training"} | options).counts
    return sum(int(counts[key].sum()) for key in counts.columns if key[1] == "mac")


# --- steps of the model's own

class GAN(keras.Model):
    """Two models, two optimizers, no call; its step takes images alone."""

    def __init__(self):
        super().__init__(name="gan")
        self.discriminator = chain((8,), dense(4), layers.LeakyReLU(), dense(1))
        self.generator = chain((3,), dense(8))
        self.seed = keras.random.SeedGenerator(1)
        self.watched = keras.metrics.Mean(name="d_loss")

    def compile(self, d_optimizer, g_optimizer, loss_fn):
        super().compile()
        self.d_optimizer, self.g_optimizer, self.loss_fn = d_optimizer, g_optimizer, loss_fn

    def train_step(self, real):
        n = ops.shape(real)[0]
        made = self.generator(keras.random.normal((n, 3), seed=self.seed))
        labels = ops.concatenate([ops.ones((n, 1)), ops.zeros((n, 1))])
        with tf.GradientTape() as tape:
            loss = self.loss_fn(labels, self.discriminator(ops.concatenate([made, real])))
        weights = self.discriminator.trainable_weights
        self.d_optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        with tf.GradientTape() as tape:
            made = self.generator(keras.random.normal((n, 3), seed=self.seed))
            g_loss = self.loss_fn(ops.zeros((n, 1)), self.discriminator(made))
        weights = self.generator.trainable_weights
        self.g_optimizer.apply_gradients(zip(tape.gradient(g_loss, weights), weights, strict=True))
        self.watched.update_state(loss)
        return {"d_loss": self.watched.result()}


def gan():
    model = GAN()
    model.compile(keras.optimizers.Adam(), keras.optimizers.RMSprop(),
                  keras.losses.BinaryCrossentropy(from_logits=True))
    return model


def test_a_gan_trains_two_models_in_turn():
    d, first, g = 8 * 4 + 4, 8 * 4, 3 * 8
    expected = (
        B * g + 2 * B * d + 2 * B * (2 * d - first)  # of made and real ones
        + B * g + B * d + B * d + B * g)  # through the discriminator to the generator's kernel
    model = gan()
    assert macs(model, input_shape=(8,)) == expected
    counted = count(model, B, "training", input_shape=(8,))
    assert any("inputs alone" in note for note in counted.notes)
    assert any("'d_loss'" in note for note in counted.notes)
    update = counted.counts.loc[("optimizer", "update")]
    # Adam's roots: of every weight, and one for each of two; RMSprop's: of every weight
    assert update[F, "sqrt"] == d + 2 + g
    assert update["int64", "add"] == 1 + 2 + 1


class Distiller(keras.Model):
    """The example of the Keras documentation: a student that learns what a teacher says."""

    def __init__(self, student, teacher):
        super().__init__()
        self.student, self.teacher = student, teacher

    def call(self, x):
        return self.student(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        hard = keras.losses.sparse_categorical_crossentropy(y, y_pred, from_logits=True)
        said = self.teacher(x, training=False)
        soft = keras.losses.kl_divergence(ops.softmax(said / 3.0), ops.softmax(y_pred / 3.0))
        return ops.mean(0.1 * hard + 0.9 * 9.0 * soft)


def test_a_teacher_in_the_loss_counts_and_is_not_differentiated():
    teacher = chain((8,), dense(64), dense(4))
    teacher.trainable = False
    model = Distiller(chain((8,), dense(4)), teacher)
    model.compile("adam")
    student, taught = 8 * 4, 8 * 64 + 64 * 4
    assert macs(model, input_shape=(8,)) == B * (2 * student + taught)
    counts = count(model, 1, "training", input_shape=(8,)).counts
    assert int(counts[F, "mac"].sum()) == 832
    teacher.trainable = True  # then Keras computes its gradients, through both its layers
    model.compile("adam")
    assert macs(model, input_shape=(8,)) == B * (2 * student + 3 * taught - 8 * 64)


class CalledAgain(keras.Model):
    """As KerasHub's BASNet: its loss is of what its model says when it is called again."""

    def __init__(self, model):
        super().__init__(model.inputs[0], model.outputs[0])
        self.again = model

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return super().compute_loss(x, y, self.again(x), sample_weight)


@pytest.mark.parametrize("trace", [False, True])
def test_a_loss_that_calls_the_model_again(trace):
    """The first call ends with its last statistics; these pass no gradient on to the second.

    The second is of moving statistics: a call in a loss is not one of training.
    """
    a, b, c = 8 * 5, 5 * 4, 4 * 3
    model = CalledAgain(chain((8,), dense(5), layers.BatchNormalization(), dense(4),
                              layers.BatchNormalization(), dense(3)))
    counts = (trace_ops if trace else tos.count_ops)(model, B, **STEP).sum()
    first, second, backward = a + b, a + b + c, a + 2 * b + 2 * c
    assert counts[F, "mac"] == B * (first + second + backward)


class SharpnessAware(keras.Model):
    """Foret et al., ICLR 2021: up the gradient, and its gradient there."""

    def train_step(self, data):
        x, y = data
        weights = self.trainable_variables
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
        gradients = tape.gradient(loss, weights)
        norm = tf.linalg.global_norm(gradients)
        steps = [0.05 * gradient / norm for gradient in gradients]
        for weight, step in zip(weights, steps, strict=True):
            weight.assign_add(step)
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
        gradients = tape.gradient(loss, weights)
        for weight, step in zip(weights, steps, strict=True):
            weight.assign_sub(step)
        self.optimizer.apply(gradients, weights)
        return {"loss": loss}


def test_a_step_that_goes_forward_and_backward_twice():
    x = keras.Input((5,))
    model = SharpnessAware(x, dense(3)(dense(4)(x)))
    assert macs(model, loss="mse", optimizer="sgd") == 2 * B * (3 * (20 + 12) - 20)
    assert count(model, B, **STEP).notes == ()


class Triplet(keras.Model):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def call(self, x):
        anchor, positive, negative = (self.net(each) for each in x)
        return (ops.sum(ops.square(anchor - positive), -1),
                ops.sum(ops.square(anchor - negative), -1))

    def train_step(self, data):
        with tf.GradientTape() as tape:
            near, far = self(data)
            loss = ops.mean(ops.maximum(near - far + 0.5, 0.0))
        weights = self.net.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return {"loss": loss}


def test_a_triplet_that_is_fed_a_tuple_runs_its_net_three_times():
    model = Triplet(chain((8,), dense(5), dense(3)))
    model.compile("adam")
    assert macs(model, input_shape=[(8,)] * 3) == 3 * B * (3 * (40 + 15) - 40)


class Contrastive(keras.Model):
    """Chen et al., ICML 2020: two views, similarities of all pairs, a metric on the way."""

    def __init__(self):
        super().__init__()
        self.encoder, self.head = chain((8,), dense(5, activation="relu")), chain((5,), dense(4))
        self.noise, self.accuracy = layers.GaussianNoise(0.1), keras.metrics.Accuracy(name="acc")

    def call(self, x):
        return self.head(self.encoder(x))

    def train_step(self, data):
        with tf.GradientTape() as tape:
            one, two = (ops.normalize(self(self.noise(data, training=True))) for _ in range(2))
            similar = ops.matmul(one, ops.transpose(two)) / 0.1
            labels = ops.arange(ops.shape(one)[0])
            self.accuracy.update_state(labels, ops.argmax(similar, -1))
            loss = ops.mean(keras.losses.sparse_categorical_crossentropy(
                labels, similar, from_logits=True))
        weights = self.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return {"loss": loss, "acc": self.accuracy.result()}


def test_contrastive_learning_multiplies_all_pairs():
    model = called(Contrastive(), (8,))
    model.compile("adam")
    assert macs(model, input_shape=(8,)) == 2 * B * (3 * (40 + 20) - 40) + 3 * B * B * 4


class Sampling(layers.Layer):
    def __init__(self):
        super().__init__()
        self.seed = keras.random.SeedGenerator(1)

    def call(self, x):
        mean, variance = x
        return mean + ops.exp(0.5 * variance) * keras.random.normal(
            ops.shape(mean), seed=self.seed)


class VAE(keras.Model):
    def __init__(self):
        super().__init__()
        self.encoder, self.mean, self.variance = dense(6, activation="relu"), dense(2), dense(2)
        self.sampling, self.decoder = Sampling(), chain((2,), dense(6), dense(8))

    def call(self, x):
        hidden = self.encoder(x)
        mean, variance = self.mean(hidden), self.variance(hidden)
        self.add_loss(-0.5 * ops.mean(1 + variance - ops.square(mean) - ops.exp(variance)))
        return self.decoder(self.sampling([mean, variance]))


def test_a_loss_that_is_added_in_the_call_counts():
    model = called(VAE(), (8,))
    forward = 8 * 6 + 2 * 6 * 2 + 2 * 6 + 6 * 8
    assert macs(model, input_shape=(8,), loss="mse", optimizer="adam") == B * (3 * forward - 48)
    counts = count(model, B, input_shape=(8,), **STEP).counts
    # exp of half the variance in the sampling, of the variance in the loss that is added
    assert int(counts[F, "exp"].xs("forward", level="part").sum()) == 2 * B * 2


class Subclassed(keras.Model):
    """Its call takes no training."""

    def __init__(self):
        super().__init__()
        self.inner = dense(4)

    def call(self, x):
        return self.inner(x)


def test_a_call_without_training():
    model = called(Subclassed(), (3,))
    assert int(count(model, 1, input_shape=(3,), **STEP).counts[F, "mac"].sum()) == 24


def test_a_bare_layer_trains():
    layer = layers.Dense(4)
    layer.build((None, 8))
    assert macs(layer, **STEP) == 2 * B * 32
    counts = tos.count_ops(layer, B, "training", loss="mse", optimizer="adam")
    assert counts.loc[("optimizer", "update")][F, "sqrt"] == 36 + 2


# --- inputs, outputs and losses in a structure

def test_dict_inputs_of_two_towers():
    x, y = keras.Input((6,), name="user"), keras.Input((4,), name="item")
    towers = layers.Dot(1)([dense(3)(x), dense(3)(y)])
    model = keras.Model({"user": x, "item": y}, towers)
    assert macs(model, loss="binary_crossentropy", optimizer="adagrad") == (
        B * (2 * (18 + 12) + 3 * 3))


def test_a_siamese_net_under_a_loss_of_the_users():
    def contrastive(y, distance):
        return ops.mean((1 - y) * ops.square(distance)
                        + y * ops.square(ops.maximum(1.0 - distance, 0.0)))

    x, y = keras.Input((8,)), keras.Input((8,))
    net = chain((8,), dense(5, activation="relu"), dense(3))
    distance = layers.Lambda(lambda t: ops.sqrt(ops.sum(
        ops.square(t[0] - t[1]), -1, keepdims=True)))([net(x), net(y)])
    model = keras.Model([x, y], dense(1)(distance))
    assert macs(model, loss=contrastive, optimizer="rmsprop") == B * (2 * (3 * 55 - 40) + 3)


def two_heads(outputs, **options):
    x = keras.Input((6,))
    hidden = dense(5)(x)
    a, b = dense(3, name="a", activation="softmax")(hidden), dense(1, name="b")(hidden)
    model = keras.Model(x, {"a": a, "b": b} if outputs == "dict" else [a, b])
    names = {"a": "sparse_categorical_crossentropy", "b": "mse"}
    model.compile("adam", loss=names if outputs != "list" else list(names.values()), **options)
    return model


def test_losses_go_by_the_names_of_the_outputs_in_any_order():
    x = keras.Input((6,))
    model = keras.Model(x, [dense(3, name="a")(x), dense(4, name="b")(x)])
    losses = {"b": "sparse_categorical_crossentropy", "a": "mse"}
    counts = count(model, B, **STEP | {"loss": losses}).counts.loc[("loss", "forward")]
    assert counts["int32", "convert"] == B
    assert counts[F, "exp"] == B * 4
    one = count(keras.Model(x, dense(3, name="a")(x)), B, **STEP | {"loss": {"a": "mse"}}).counts
    assert one.loc[("loss", "forward")][F, "mul"] == B * 3


@pytest.mark.parametrize("outputs", ["dict", "list", "dict of a list"])
def test_one_loss_an_output_and_its_weight(outputs):
    plain = count(two_heads(outputs), B, "training")
    assert int(plain.counts[F, "mac"].sum()) == B * (2 * 30 + 3 * (15 + 5))
    weighted = count(two_heads(outputs, loss_weights=[0.5, 0.25] if outputs == "list" else {
        "a": 0.5, "b": 0.25}), B, "training")
    more = (weighted.counts.sum() - plain.counts.sum()).to_dict()
    # each loss times its weight; of the gradient the weight is a constant factor
    assert {key: n for key, n in more.items() if n} == {(F, "mul"): 2}
    watched = count(two_heads(outputs, metrics={"a": ["accuracy"]} if outputs != "list" else [
        ["accuracy"], []]), B, "training")
    assert watched.counts.sum().equals(plain.counts.sum())
    assert watched.notes == ("metrics: those of compile are left out, as what a step is watched "
                             "by",)


def test_weights_of_a_single_loss_are_not_passed_over():
    model = chain((5,), dense(4))
    model.compile("sgd", "mse")
    plain = tos.count_ops(model, B, "training").sum()
    model.compile("sgd", "mse", loss_weights=0.5)
    assert count(model, B, "training").coverage.keys() == {"trace"}
    weighted = tos.count_ops(model, B, "training").sum()
    assert (weighted - plain)[F, "mul"] == 1
    # another loss has no weight
    assert tos.count_ops(model, B, "training", loss="mse").sum().equals(plain)


# --- number formats

def mixed():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        with tos.abstract():
            return chain((5,), dense(4), dense(3, dtype="float32"))
    finally:
        keras.config.set_dtype_policy(policy)


def test_float16_is_scaled_as_compile_scales_it():
    n = 20 + 12
    counted = count(mixed(), B, **STEP | {"optimizer": "adam"})
    counts, update = counted.counts, counted.counts.loc[("optimizer", "update")]
    assert int(counts["float16", "mac"].sum()) == B * 2 * 20
    assert int(counts[F, "mac"].sum()) == B * 3 * 12
    assert update[F, "max"] == n  # is each gradient finite
    assert update["bool", "logic"] == (20 - 1) + (12 - 1) + 1
    assert update[F, "div"] == n + n + 2  # by the scale; Adam's own
    given = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())
    assert count(mixed(), B, **STEP | {"optimizer": given}).counts.sum().equals(counts.sum())
    model = mixed()
    model.compile("adam", "mse")
    assert count(model, B, "training").counts.sum().equals(counts.sum())
    # whose layers are all float32: the model's policy alone has its loss scaled
    model = mixed()
    for layer in model.layers:
        layer.dtype_policy = "float32"
    assert count(model, B, **STEP).coverage.keys() == {"trace"}


# --- what adds to a step

def test_penalties_and_constraints():
    plain = count(chain((5,), layers.Dense(4)), B, **STEP).counts.sum()

    def more(**options):
        counts = count(chain((5,), layers.Dense(4, **options)), B, **STEP).counts.sum()
        return {key: int(n - plain.get(key, 0)) for key, n in counts.items()
                if n - plain.get(key, 0)}

    n = 20
    # c sum w^2, added to the loss; 2 c w, added to the gradient
    l2 = more(kernel_regularizer=keras.regularizers.L2(0.1))
    assert l2[F, "add"] == (n - 1) + 1 + n
    # the norm of each column, and w min(norm, 2) / (norm + e)
    norm = more(kernel_constraint=keras.constraints.MaxNorm(2.0))
    assert norm[F, "sqrt"] == 4
    assert more(kernel_constraint="non_neg")[F, "max"] == n


def test_frozen_layers_have_no_gradient_and_none_before_them():
    x = keras.Input((6,))
    base = chain((6,), dense(5), layers.BatchNormalization(), dense(4))
    base.trainable = False
    model = keras.Model(x, dense(3)(base(x, training=False)))
    assert macs(model, loss="mse", optimizer="adam") == B * (30 + 20 + 2 * 12)


# --- afterwards

def state(thing, seen=None):
    """Return what an object holds, at any depth in Keras objects, lists and dicts."""
    seen = {} if seen is None else seen
    if id(thing) in seen:
        return seen
    if isinstance(thing, (keras.Layer, keras.Loss, keras.metrics.Metric,
                          keras.optimizers.Optimizer)):
        held = dict(vars(thing))
    elif isinstance(thing, dict):
        held = dict(thing)
    elif isinstance(thing, (list, tuple)):
        held = dict(enumerate(thing))
    else:
        return seen
    seen[id(thing)] = thing, {key: id(value) for key, value in held.items()}
    for value in held.values():
        state(value, seen)
    return seen


MODELS = {
    "compiled": lambda: two_heads("dict", metrics={"a": ["accuracy"]}, loss_weights={
        "a": 1.0, "b": 0.5}),
    "gan": gan,
    "vae": lambda: _compiled(called(VAE(), (8,))),
    "accumulating": lambda: _compiled(chain((5,), dense(4)), keras.optimizers.AdamW(
        gradient_accumulation_steps=2, use_ema=True)),
    "scaled": lambda: _compiled(chain((5,), dense(4)), keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam())),
}
SHAPES = {"gan": (8,), "vae": (8,)}


def _compiled(model, optimizer="adam"):
    model.compile(optimizer, "mse")
    return model


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_afterwards_what_it_was(name):
    model, shape = MODELS[name](), SHAPES.get(name)
    before = state(model)
    values = [numpy.array(v) for v in model.variables]
    counted = tos.count_ops(model, B, "training", input_shape=shape)
    after = state(model)
    assert before.keys() == after.keys()
    assert {key: held for key, (_, held) in after.items()} == {
        key: held for key, (_, held) in before.items()}
    assert all(numpy.array_equal(a, v) for a, v in zip(values, model.variables, strict=True))
    assert not [o for o in vars(model).values()
                if isinstance(o, keras.optimizers.Optimizer) and o.built]
    assert counted.equals(tos.count_ops(model, B, "training", input_shape=shape))


@pytest.mark.parametrize("name", ["compiled", "vae", "accumulating", "scaled"])
def test_a_model_trains_and_is_saved_after_it_was_counted(name, tmp_path):
    model, shape = MODELS[name](), SHAPES.get(name)
    counted = tos.count_ops(model, B, "training", input_shape=shape)
    x = numpy.ones((4, *(shape or model.input_shape[1:])), F)
    y = {"a": numpy.zeros((4,)), "b": numpy.zeros((4, 1))} if name == "compiled" else model(x)
    model.fit(x, y, batch_size=B, verbose=0)
    assert model.optimizer.built
    model.save_weights(tmp_path / "model.weights.h5")
    # its optimizer has variables now, of real values: the same step
    assert counted.equals(tos.count_ops(model, B, "training", input_shape=shape))
    model.fit(x, y, batch_size=B, verbose=0)


def test_a_model_is_what_it_was_after_an_error_too():
    class Failing(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = dense(4)
            self.steps = 0

        def call(self, x):
            return self.inner(x)

        def train_step(self, data):
            self.steps += 1
            x, y = data
            self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
            raise RuntimeError("no gradient today")

    model = called(Failing(), (3,))
    model.compile("adam", "mse")
    before = {key: held for key, (_, held) in state(model).items()}
    with pytest.raises(TraceError, match="no gradient today"):
        tos.count_ops(model, B, "training", input_shape=(3,))
    assert {key: held for key, (_, held) in state(model).items()} == before
    assert model.steps == 0
    keras.Model.train_step(model, (numpy.ones((B, 3), F), numpy.ones((B, 4), F)))
    assert keras.metrics.Mean.update_state is not None


def test_no_optimizer_that_is_given_keeps_what_it_counted():
    optimizer = keras.optimizers.Adam()
    for units in (4, 6):
        model = chain((5,), dense(units))
        counts = tos.count_ops(model, B, **STEP | {"optimizer": optimizer})
        assert counts.loc[("optimizer", "update")][F, "sqrt"] == 5 * units + 1
        assert not optimizer.built
    assert len(optimizer.variables) == 2
    # one that has learnt another model is counted as a new one of its kind
    optimizer.build(model.trainable_variables)
    other = chain((7,), dense(3, kernel_regularizer="l2"))
    counts = tos.count_ops(other, B, **STEP | {"optimizer": optimizer})
    assert counts.loc[("optimizer", "update")][F, "sqrt"] == 21 + 1


# --- without memory

def test_a_model_that_compiles_itself_is_built_without_memory():
    class Compiled(keras.Model):
        def __init__(self, units):
            super().__init__()
            self.inner = dense(units)
            self.scale = keras.Variable(2.0)  # of a constant
            self.build((None, units))
            self.compile(keras.optimizers.Nadam(), "mse", metrics=["mae"])

        def build(self, shape):
            self.inner.build(shape)
            self.built = True

        def call(self, x):
            return self.inner(x) * self.scale

    with tos.abstract():
        model = Compiled(10**6)
    assert macs(model, input_shape=(10**6,)) == 2 * B * 10**12
    small = called(Compiled(4), (4,))
    with tos.abstract():
        empty = Compiled(4)
    assert tos.count_ops(empty, B, "training", input_shape=(4,)).sum().equals(
        tos.count_ops(small, B, "training", input_shape=(4,)).sum())


# --- layers whose gradients have ops of their own

CONVOLVED, OUT = 2 * B * 36 * 2 * 27, B * 6 * 6 * 2


@pytest.mark.parametrize(("layer", "backward"), [
    # a gradient goes back to the four or sixteen neighbours, by the products of its two weights
    (lambda: layers.UpSampling2D(2, interpolation="bilinear"), {"mul": 6 * 4, "add": 4 * 4}),
    (lambda: layers.UpSampling2D(2, interpolation="bicubic"), {"mul": 20 * 4, "add": 16 * 4}),
    (lambda: layers.Resizing(12, 12, interpolation="bilinear"), {"mul": 6 * 4, "add": 4 * 4}),
    (lambda: layers.Resizing(12, 12, interpolation="nearest"), None),
    (lambda: layers.RandomRotation(0.1), None), (lambda: layers.RandomZoom(0.1), None),
    (lambda: layers.RandomTranslation(0.1, 0.1), None), (lambda: layers.RandomCrop(4, 4), None),
])
def test_what_moves_pixels_trains(layer, backward):
    with tos.abstract():
        model = chain((8, 8, 3), layers.Conv2D(2, 3, use_bias=False), layer())
    counts = count(model, B, **STEP).counts
    # of the convolution: a rotation's gradient inverts the map of each picture, three by three
    assert int(counts.loc[model.layers[0].name][F, "mac"].sum()) == CONVOLVED
    assert counts.loc[(model.layers[1].name, "backward")].any()
    if backward:
        row = counts.loc[(model.layers[1].name, "backward")]
        assert {op: int(n) for (dtype, op), n in row.items() if n and dtype == F} == {
            op: OUT * n for op, n in backward.items()}


def test_spectral_normalisation_iterates_once_a_step():
    """v = u W', u = v W, sigma = v W u' of the kernel as a 27 x 2 matrix; none differentiated."""
    layer = layers.SpectralNormalization(layers.Conv2D(2, 3, use_bias=False))
    assert macs(chain((8, 8, 3), layer), **STEP) == CONVOLVED + 3 * 27 * 2 + 2


@pytest.mark.parametrize("activation", [
    "glu", "celu", lambda x: keras.activations.threshold(x, 0.1, 0.2), "sparsemax", "tanh_shrink"])
def test_activations_without_a_rule_train(activation):
    model = chain((3,), dense(4), layers.Activation(activation))
    assert macs(model, **STEP) == 2 * B * 12
