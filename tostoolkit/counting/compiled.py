"""What a model's training step is: its loss, its optimizer, what it compares with, its code.

The step is the model's own: what its class overrides (``train_step``, ``compute_loss``), what it
was compiled with. Its metrics are left out: they are how a step is watched.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import wraps
from inspect import isfunction
from typing import Any

from .calls import LOSS_SCOPE, UPDATE_SCOPE
from .introspection import held_of, is_operator, optimizers_of, sublayers
from .running_state import is_built_for, unchanged
from .targets import BY_TARGETS


@dataclass(frozen=True)
class Compiled:
    """What a training step needs beside the model: its loss, its optimizer, what it compares with.

    `loss` is a loss of Keras or of the user's; of outputs that have one each, these as they were
    given; None where the model brings its own. `optimizer` is the one whose slots move, None where
    there is none. `given` are the arguments to compile the model with, empty where it is compiled.
    `own` names the methods by which the model's class, not Keras, says what a step is. `targets`
    is a structure of what has a shape, the batch first, and a dtype, as ``fit`` takes it; None
    where the targets are like the outputs, or labels of these. `is_plain` says that a step is no
    more than the loss of the outputs, its gradient and the optimizer's update. `output_names` are
    the names by which losses may be given.
    """

    loss: Any
    optimizer: Any
    given: dict
    own: tuple[str, ...] = ()
    targets: Any = None
    is_plain: bool = False
    notes: tuple[str, ...] = ()
    output_names: tuple[str, ...] | None = None


def compiled(inspected, loss=None, optimizer=None, targets=None) -> Compiled:
    """Return the loss and optimizer given, or those that an inspected model was compiled with.

    ValueError where there is none and the model does not bring its own.
    """
    import keras

    model, known = inspected.model, inspected.training
    given = {name: value for name, value in (("loss", loss), ("optimizer", optimizer))
             if value is not None}
    weighted = loss is None and known.has_loss_weights
    loss = known.loss if loss is None else loss
    if loss is None and not known.own:
        _refuse(model, "loss")
    if isinstance(loss, (list, tuple)) and len(loss) == 1:
        loss = loss[0]
    if not isinstance(loss, (list, tuple, dict)) and loss not in BY_TARGETS:
        loss = _named("loss", loss, keras.losses)
    if optimizer is not None or "train_step" not in known.own or known.optimizers:
        optimizer = compiled_optimizer(inspected, optimizer)
    if "optimizer" in given:
        given["optimizer"] = optimizer
    elif given and known.optimizer is not None:
        given["optimizer"] = known.optimizer
    policy = getattr(getattr(model, "dtype_policy", None), "name", None)
    is_plain = not (
        known.own or weighted or targets is not None or policy == "mixed_float16")
    return Compiled(loss, optimizer, given, known.own, targets, is_plain,
                    tuple(_notes(known.metrics, optimizer)), known.output_names)


def compiled_optimizer(inspected, optimizer=None):
    """Return the Keras optimizer given, or that of the compiled model; errors as `compiled`.

    Of a model whose step is its own, the first that it holds beside the one of ``compile``.
    """
    import keras

    if optimizer is None:
        known = inspected.training
        held = [o for o in known.optimizers if o is not known.optimizer]
        optimizer = held[0] if held and known.own else known.optimizer
    if optimizer is None:
        _refuse(inspected.model, "optimizer")
    optimizer = (_named("optimizer", optimizer, keras.optimizers) if isinstance(optimizer, str)
                 else optimizer)
    cls = type(optimizer)
    replaced = sorted(name for name in vars(optimizer) if isfunction(getattr(cls, name, None)))
    if replaced:  # equal variables take equal updates only as Keras' class has them
        raise ValueError(f"optimizer: {replaced[0]!r} of this {cls.__name__} was "
                         "replaced, of which its class says nothing; override it in a subclass")
    return optimizer


def _named(argument, name, known):
    """Return what Keras knows by a name; ValueError with the names that it knows."""
    try:
        return known.get(name)
    except ValueError as error:
        where = f"keras.{known.__name__.rpartition('.')[2]}"
        names = [n for n, found in vars(known).items() if isinstance(found, type)]
        near = get_close_matches(str(name).lower(), [n.lower() for n in names], 3)
        near = [n for n in names if n.lower() in near] or names
        raise ValueError(f"{argument}: {name!r} is no name that Keras knows; try "
                         f"{', '.join(f'{where}.{n}()' for n in near)}") from error


def _refuse(model, name):
    raise ValueError(
        f"{name}: {model.name!r} is not compiled, so none is known; pass it, "
        "for example loss='sparse_categorical_crossentropy', optimizer='adam'")


def _notes(metrics, optimizer):
    """Yield what a reader should know of a step that its counts do not say."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    steps = getattr(inner, "gradient_accumulation_steps", None)
    if steps:
        yield (f"optimizer: the optimizer's update comes every {steps} steps; a step that has it "
               "is counted")
    watched = ["those of compile" if name == "compile_metrics" else repr(name)
               for name in metrics if name != "loss"]
    if watched:
        yield f"metrics: {', '.join(watched)} are left out, as what a step is watched by"


@contextmanager
def as_compiled(model, step, update=None, scope=None) -> Iterator[Any]:
    """Return a context that gives the training step of a model, compiled as `step` says.

    The step is a function of what ``fit`` hands it; its parts are in scopes of their own, which
    `scope` opens, its metrics are silent. Where `update` is given, each optimizer's
    ``update_step`` is what `update` makes of it and of the optimizer. The model is afterwards what
    it was, and so are they.
    """
    import keras

    scope = scope or keras.name_scope

    model = model if isinstance(model, keras.Model) else _alone(model)
    with ExitStack() as stack:
        stack.enter_context(unchanged(model, *([step.optimizer] if step.optimizer else [])))
        if step.given:
            keras.Model.compile(model, jit_compile=False, **step.given)
        for optimizer in optimizers_of(model):
            optimizer = _ready(model, optimizer)
            for each in _with_inner(optimizer) if update else ():
                _set(each, update_step=update(each, each.update_step))
            _set(optimizer, apply=_scoped(optimizer.apply, scope, UPDATE_SCOPE))
        _silence(model, stack)
        compute_loss, losses = _scoped(model.compute_loss, scope, LOSS_SCOPE), []

        @wraps(model.compute_loss)
        def kept(*args, **kwargs):
            losses.append(compute_loss(*args, **kwargs))
            return losses[-1]

        _set(model, compute_metrics=lambda *args, **kwargs: {}, compute_loss=kept)

        def train_step(*arguments):  # JAX's takes the state of the model before the data
            losses.clear()
            return model.train_step(*arguments), list(losses)

        train_step.model = model
        yield train_step


def _alone(layer):
    """Return a model that is a layer and nothing else."""
    import keras

    class Alone(keras.Model):
        def call(self, x):
            return layer(x)

    model = Alone(name=layer.name)
    model.layer = layer
    return model


def _ready(model, optimizer):
    """Return an optimizer that can update the model: itself, but where it has learnt another's.

    The model's own is built, as ``fit`` does before the first step.
    """
    variables = model.trainable_variables
    if optimizer.built and not is_built_for(optimizer, variables):
        copy = type(optimizer).from_config(optimizer.get_config())
        for name, value in vars(model).items():
            if value is optimizer:
                _set(model, **{name: copy})
                break
        optimizer = copy
    if optimizer is model.optimizer and not optimizer.built:
        _set(optimizer, assign=lambda *args, **kwargs: None)  # of values, which nothing has here
        optimizer.build(variables)
        object.__delattr__(optimizer, "assign")
    return optimizer


def _with_inner(optimizer):
    """Return an optimizer and those inside it."""
    inner = getattr(optimizer, "inner_optimizer", None)
    several = getattr(optimizer, "optimizers", ())
    return [optimizer, *([inner] if inner is not None else []), *several]


def _silence(model, stack):
    """Make the metrics of a model compute nothing."""
    import keras

    layers = [model, *(layer for _, layer in sublayers(model) if not is_operator(layer))]
    metrics = [*model.metrics, *(m for x in layers for m in held_of(x, keras.metrics.Metric))]
    for metric in metrics:
        _set(metric, update_state=lambda *args, **kwargs: None, result=lambda: 0.0)
    mean = keras.metrics.Mean  # of those that Keras makes in the step, one for each loss
    stack.callback(setattr, mean, "update_state", mean.update_state)
    mean.update_state = lambda *args, **kwargs: None


def _set(thing, **attributes):
    """Set attributes past Keras, which would track them as state."""
    for name, value in attributes.items():
        object.__setattr__(thing, name, value)


def _scoped(function, scope, name):
    """Return a method that runs in a name scope."""
    @wraps(function)
    def scoped(*args, **kwargs):
        with scope(name):
            return function(*args, **kwargs)

    return scoped
