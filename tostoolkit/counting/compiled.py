"""What a model's training step is: its loss, its optimizer, what it compares with, its code.

The step is the model's own: what its class overrides (``train_step``, ``compute_loss``), what it
was compiled with. Its metrics are left out: they are how a step is watched.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

from .calls import LOSS_SCOPE, UPDATE_SCOPE, Tensor
from .introspection import compiled_loss, is_of_keras, replaced_methods


@dataclass(frozen=True)
class Compiled:
    """What a training step needs beside the model: its loss, its optimizer, what it compares with.

    `loss` is a loss of Keras or of the user's; of outputs that have one each, these as they were
    given; None where the model brings its own. `given` is the loss to compile the model with, None
    where it is compiled. `own` says whether the model's class, not Keras, says what a step is.
    `targets` is a structure of what has a shape and a dtype, as ``fit`` takes it; None where the
    targets are like the outputs, or labels of these.
    """

    loss: Any
    optimizer: Any
    given: Any = None
    own: bool = False
    targets: Any = None

    def targets_of(self, outputs) -> Iterator[tuple[Any, list]]:
        """Yield the targets that a step may compare with the model's outputs, and notes of each.

        A loss of the user's does not say whether it takes targets like the outputs or labels: the
        first with which its code runs is right.
        """
        if self.targets is not None:
            yield self.targets, []
        elif isinstance(self.loss, (list, tuple, dict)) or self.loss is None:
            yield _targets(self.loss, outputs), []
        else:
            yield _targets(self.loss, outputs), []
            if not _is_shipped(self.loss):
                yield _labels(outputs), ["loss: its targets were taken to be integer labels"]


def compiled(model, loss=None, optimizer=None, targets=None) -> Compiled:
    """Return the loss and optimizer given, or those that the model was compiled with.

    ValueError where there is none and the model does not bring its own.
    """
    import keras

    given, own = loss, _has_own_step(model)
    loss = getattr(model, "loss", None) if loss is None else loss
    if loss is None and not own:
        _refuse(model, "loss")
    if isinstance(loss, (list, tuple)) and len(loss) == 1:
        loss = loss[0]
    if not isinstance(loss, (list, tuple, dict)):
        loss = keras.losses.get(loss)
    return Compiled(loss, compiled_optimizer(model, optimizer), given, own, targets)


def compiled_optimizer(model, optimizer=None):
    """Return the Keras optimizer given, or that of the compiled model; errors as `compiled`."""
    import keras

    optimizer = getattr(model, "optimizer", None) if optimizer is None else optimizer
    if optimizer is None:
        _refuse(model, "optimizer")
    optimizer = keras.optimizers.get(optimizer) if isinstance(optimizer, str) else optimizer
    replaced = replaced_methods(optimizer)
    if replaced:  # a copy is counted, from its configuration
        raise ValueError(f"optimizer: {replaced[0]!r} of this {type(optimizer).__name__} was "
                         "replaced, which a copy of it does not know; override it in a subclass")
    return optimizer


def _refuse(model, name):
    raise ValueError(
        f"{name}: {model.name!r} is not compiled, so none is known; pass it, "
        "for example loss='sparse_categorical_crossentropy', optimizer='adam'")


def _has_own_step(model):
    """Whether a model or its class, and not Keras, says what a training step does."""
    names = ("train_step", "compute_loss")
    return any(name in vars(model) or not is_of_keras(getattr(type(model), name, is_of_keras))
               for name in names if hasattr(model, name))


def _targets(loss, outputs):
    """Return targets for a loss, or for a structure of losses, like the outputs that they see."""
    import keras

    if isinstance(loss, dict) and isinstance(outputs, dict):
        return {name: _targets(loss.get(name), outputs[name]) for name in outputs}
    if isinstance(loss, (list, tuple, dict)):
        losses = loss.values() if isinstance(loss, dict) else loss
        return [_targets(*each) for each in zip(losses, outputs, strict=True)]
    loss = keras.losses.get(loss)
    labels = (isinstance(loss, keras.losses.SparseCategoricalCrossentropy)
              or loss is keras.losses.sparse_categorical_crossentropy)
    return _labels(outputs) if labels else outputs


def _labels(outputs):
    import keras

    return keras.tree.map_structure(lambda t: Tensor(t.shape[:-1], "int32"), outputs)


def _is_shipped(loss):
    import keras

    return any(loss is x or type(loss) is x for x in vars(keras.losses).values())


@contextmanager
def as_compiled(model, step) -> Iterator[Any]:
    """Return a context that gives the training step of a model, compiled as `step` says.

    The step is a function of what ``fit`` hands it; its parts are in scopes of their own, its
    metrics are silent. The model is afterwards what it was: copies of its optimizers work here.
    """
    import keras

    model = model if isinstance(model, keras.Model) else _alone(model)
    with ExitStack() as stack:
        for thing in (model, compiled_loss(model)):
            if thing is not None:
                stack.callback(_restore, thing, dict(vars(thing)))
        model.compile(_copy(step.optimizer), step.given)
        for name, value in [*vars(model).items()]:
            if isinstance(value, keras.optimizers.Optimizer):
                value = value if name == "optimizer" else _copy(value)
                _set(value, apply=_scoped(value.apply, UPDATE_SCOPE))
                _set(model, **{name: value})
        model.optimizer.build(model.trainable_variables)
        for metric in model.metrics:
            stack.callback(_restore, metric, dict(vars(metric)))
            _set(metric, update_state=lambda *args, **kwargs: None, result=lambda: 0.0)
        compute_loss, losses = _scoped(model.compute_loss, LOSS_SCOPE), []

        def kept(*args, **kwargs):
            losses.append(compute_loss(*args, **kwargs))
            return losses[-1]

        _set(model, compute_metrics=lambda *args, **kwargs: {}, compute_loss=kept)

        def train_step(*arguments):  # JAX's takes the state of the model before the data
            return model.train_step(*arguments), losses

        train_step.model = model
        yield train_step


def _alone(layer):
    """Return a model that is a layer and nothing else."""
    import keras

    class Alone(keras.Model):
        def call(self, x, training=None):
            return layer(x)

    model = Alone(name=layer.name)
    model.layer = layer
    return model


def _copy(optimizer):
    """Return an optimizer of the same configuration that has no variables yet."""
    import keras

    config = optimizer.get_config()
    for value in vars(optimizer).values():
        if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
            config["learning_rate"] = value  # one of the user's cannot be read back
    return type(optimizer).from_config(config)


def _set(thing, **attributes):
    """Set attributes past Keras, which would track them as state."""
    for name, value in attributes.items():
        object.__setattr__(thing, name, value)


def _restore(thing, attributes):
    vars(thing).clear()
    vars(thing).update(attributes)


def _scoped(function, scope):
    """Return a method that runs in a name scope."""
    import keras

    @wraps(function)
    def scoped(*args, **kwargs):
        with keras.name_scope(scope):
            return function(*args, **kwargs)

    return scoped
