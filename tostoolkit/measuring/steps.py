"""A row of a model set -> one compiled step without arguments, on any Keras backend.

What a sweep measures: forward in inference, or forward in training mode, backward and update. The
inputs and targets are fixed, standard normal (tokens uniform) and on the device before the first
step, so that a step moves nothing from the host. What it returns is small and depends on all of
its work, so that bringing it to the host waits for the step to end.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..models.counting import LOSS, OPTIMIZER
from ..models.families import FAMILIES, PHASES, Family, build

#: So small that no network of a set diverges (stable below 2 / curvature, which grows with the
#: width), and in float32 large enough to move the weights: no step works on infinities or NaN.
LEARNING_RATE = 1e-5


def step(row: Mapping[str, Any], seed: int = 0, families: Mapping[str, Family] = FAMILIES
         ) -> Callable[[], Any]:
    """Return a function without arguments that runs one step of a row's model.

    The row has its ``family`` and factors; ``batch_size``; ``phase``, ``inference`` where it has
    none, or ``training``: mean squared error against fixed targets, backward, and the update by
    ``optimizer`` (`OPTIMIZER` where it has none); ``dtype``, a Keras dtype policy, float32 where it
    has none; ``vocabulary``, where the model reads tokens. The seed is that of the weights, the
    inputs and the targets.

    The function returns a tensor on the device: of inference the model's output, of training the
    loss before the update. Training carries its state from step to step. The first calls compile.

    >>> row = {"family": "feed_forward", "depth": 1, "width": 8, "activation": "relu",
    ...        "batch_norm": False, "input_size": 4, "batch_size": 2, "phase": "training"}
    >>> run = step(row)
    >>> first, second = float(run()), float(run())
    >>> second < first
    True
    """
    import keras

    phase, backend = row.get("phase", "inference"), keras.backend.backend()
    if phase not in PHASES:
        raise ValueError(f"phase: {phase!r} is unknown; use 'inference' or 'training'")
    if backend not in STEPS:
        raise ValueError(f"KERAS_BACKEND: there are no steps for {backend!r}; use one of "
                         f"{', '.join(STEPS)}")
    keras.backend.clear_session(free_memory=True)
    keras.utils.set_random_seed(seed)
    model = build(row, families)
    rng = np.random.default_rng(seed)
    x = [_random(rng, tensor, row) for tensor in model.inputs]
    x = x[0] if len(x) == 1 else x
    if phase == "inference":
        return STEPS[backend].forward(model, x)
    optimizer = keras.optimizers.get(row.get("optimizer", OPTIMIZER))
    optimizer.learning_rate = LEARNING_RATE
    if row.get("dtype") == "mixed_float16":  # as model.compile does
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    y = _random(rng, model.outputs[0], row)
    loss = keras.losses.get(LOSS)
    return STEPS[backend].train(model, x, lambda out: keras.ops.mean(loss(y, out)), optimizer)


def _random(rng, tensor, row):
    """Return random values of the shape and dtype of a Keras tensor."""
    import keras

    shape = (int(row["batch_size"]), *tensor.shape[1:])
    if tensor.dtype.startswith("int"):
        if "vocabulary" not in row:
            raise ValueError("row: the model reads integers, and no 'vocabulary' says up to which; "
                             "add that column to the model set")
        values = rng.integers(0, int(row["vocabulary"]), shape)
    else:
        values = rng.standard_normal(shape, dtype="float32")
    return keras.ops.convert_to_tensor(values, dtype=tensor.dtype)


def _forward_tensorflow(model, x):
    return _traced(lambda x: model(x, training=False), x)


def _traced(function, x):
    """Return the graph of a function of `x`, which takes no argument and checks none."""
    import tensorflow as tf

    function = tf.function(function)
    graph = function.get_concrete_function(x)

    def run():
        return graph(x)
    run.function = function  # the graph alone does not keep the variables
    return run


def _forward_jax(model, x):
    import jax

    trained = [v.value for v in model.trainable_variables]
    fixed = [v.value for v in model.non_trainable_variables]
    forward = jax.jit(lambda t, n, x: model.stateless_call(t, n, x, training=False)[0])
    return lambda: forward(trained, fixed, x)


def _forward_torch(model, x):
    import torch

    def forward():
        with torch.no_grad():
            return model(x, training=False)
    return forward


def _train_tensorflow(model, x, loss, optimizer):
    import tensorflow as tf

    def train(x):
        with tf.GradientTape() as tape:
            value = loss(model(x, training=True))
            scaled = optimizer.scale_loss(value)
        optimizer.apply(tape.gradient(scaled, model.trainable_variables),
                        model.trainable_variables)
        return value

    return _traced(train, x)


def _train_jax(model, x, loss, optimizer):
    import jax
    import keras

    def scaled_loss(trained, fixed, slots, x):
        out, fixed = model.stateless_call(trained, fixed, x, training=True)
        value = loss(out)
        with keras.StatelessScope(
                state_mapping=list(zip(optimizer.variables, slots, strict=True))):
            return optimizer.scale_loss(value), (value, fixed)

    def train(trained, fixed, slots, x):
        (_, (value, fixed)), gradients = jax.value_and_grad(scaled_loss, has_aux=True)(
            trained, fixed, slots, x)
        trained, slots = optimizer.stateless_apply(slots, gradients, trained)
        return value, (trained, fixed, slots)

    compiled = jax.jit(train, donate_argnums=(0, 1, 2))
    state = tuple([jax.numpy.copy(v.value) for v in variables] for variables in (
        model.trainable_variables, model.non_trainable_variables, optimizer.variables))

    def run():
        nonlocal state
        value, state = compiled(*state, x)
        return value
    return run


def _train_torch(model, x, loss, optimizer):
    import torch

    variables = model.trainable_variables

    def train():
        model.zero_grad()
        value = loss(model(x, training=True))
        optimizer.scale_loss(value).backward()
        with torch.no_grad():
            optimizer.apply([v.value.grad for v in variables], variables)
        return value.detach()
    return train


class Steps(NamedTuple):
    """How a backend runs; each returns a function without arguments that runs one step."""

    forward: Callable  # of (model, inputs)
    train: Callable  # of (model, inputs, loss of the output, optimizer)


#: Keras backend -> how it runs.
STEPS = {
    "tensorflow": Steps(_forward_tensorflow, _train_tensorflow),
    "jax": Steps(_forward_jax, _train_jax),
    "torch": Steps(_forward_torch, _train_torch),
}
