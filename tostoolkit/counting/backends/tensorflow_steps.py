"""The graph of a training step: the model's own step, as ``fit`` runs it, on shapes alone.

Equal variables take equal updates: that of one is traced, and stands for all. An optimizer's
update is nearly half of a step's graph otherwise.
"""

import re
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

from ..calls import BACKWARD_SCOPE, Tensor
from ..compiled import as_compiled
from ..running_state import unchanged
from ..targets import trials
from ..trace import TraceError, python_errors
from .shared import variables_of

#: Scopes of the updates that stand for those of all equal variables, but for their numbers.
_EQUAL = "tos_equal_"
_SCOPE_OF_EQUALS = re.compile(rf"(?:^|/)({_EQUAL}\d+)/")


def traced_step(read, step, places, graph_of) -> tuple[Any, list, dict]:
    """Return the graph of one training step, what a reader should know of it, and its equals.

    These are: scope of an update -> how many equal variables it stands for, as `multiply_equals`
    takes them. `places` is a function of variables that returns a context in which these have
    places, `graph_of` one of a function and its tensors.
    """
    times = {}

    def update(optimizer, update_step):
        return _once(update_step, times) if _updates_alike(optimizer) else update_step

    model, worst = read.model, None
    handed = trials(step, read, (
        read.output_tensors, partial(_traced_outputs, read, places, graph_of)))
    with python_errors(model.name, step=True), _gradients_in_scope():
        for tensors, data, notes in handed:
            times.clear()
            with (places(variables_of(model, step)),
                  as_compiled(model, step, update, _scope) as train_step):
                try:
                    graph = graph_of(
                        lambda *given, data=data, run=train_step: run(data(given)), tensors)
                    return graph, notes, times
                except Exception as error:
                    if worst is None or len(tensors) > len(read.inputs):
                        worst = error  # what goes wrong with targets says more
        if step.targets is not None:
            given = [f"{tuple(t.shape)} {t.dtype}" for t in tensors[len(read.inputs):]]
            raise TraceError(f"targets: the step of {model.name!r} fails with targets of "
                             f"{', '.join(given)}: {type(worst).__name__}: {worst}") from worst
        raise worst


def _traced_outputs(read, places, graph_of):
    """Return what a model makes of its inputs, as its graph says."""
    import keras

    model, made = read.model, []

    def run(*tensors):
        made.append(model(read.structure(tensors)))
        return made[-1]

    with unchanged(model), places(model.variables):
        graph_of(run, read.inputs)
    return keras.tree.map_structure(lambda t: Tensor(tuple(t.shape), t.dtype.name), made[-1])


def _scope(name):
    """Return a scope of TensorFlow's that has the same name however often it is opened."""
    import tensorflow as tf

    return tf.name_scope(f"{name}/")


@contextmanager
def _gradients_in_scope():
    """Return a context in which what a tape differentiates stands in a scope of its own."""
    import tensorflow as tf

    gradient = tf.GradientTape.gradient

    @wraps(gradient)
    def scoped(*args, **kwargs):
        with _scope(BACKWARD_SCOPE):
            return gradient(*args, **kwargs)

    tf.GradientTape.gradient = scoped
    try:
        yield
    finally:
        tf.GradientTape.gradient = gradient


def _updates_alike(optimizer):
    """Whether an optimizer's update of a variable depends on its shape and dtype alone."""
    import keras

    cls = type(optimizer)
    return (getattr(keras.optimizers, cls.__name__, None) is cls
            and cls is not keras.optimizers.Muon)  # which goes by names too


def _once(update_step, times):
    """Return an update of variables that is traced for the first of equal ones.

    `times` holds, by the scope of that one, for how many it stands. Of the others the gradient is
    needed, for which it stands in their place.
    """
    import tensorflow as tf

    scopes = {}

    @wraps(update_step)
    def update(gradient, variable, learning_rate):
        if not isinstance(gradient, tf.Tensor) or gradient.dtype != variable.dtype:
            return update_step(gradient, variable, learning_rate)
        key = tuple(variable.shape), variable.dtype, tf.compat.v1.get_default_graph()
        scope = scopes.get(key)
        if scope is None:
            scope = scopes[key] = f"{_EQUAL}{len(times)}"
            times[scope] = 1
            with tf.name_scope(scope):
                return update_step(gradient, variable, learning_rate)
        times[scope] += 1
        variable.assign(gradient)

    return update


def multiply_equals(counts, times):
    """Multiply the op counts of the updates that stand for several."""
    for name, ops in counts.items():
        scope = _SCOPE_OF_EQUALS.search(name)
        for key in ops if scope else ():
            ops[key] *= times[scope[1]]
