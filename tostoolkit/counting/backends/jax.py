"""What Keras runs on JAX, traced: a jaxpr of a call, of a training step, or of any function.

What of a jaxpr counts, says `jax_graph`. Gradients are what JAX derives; what it computes of them
beside the forward pass, the derivative of an activation say, stands in the forward part.
"""

from collections import Counter
from contextlib import ExitStack
from functools import cache, partial, wraps
from itertools import count

from ..calls import UPDATE_SCOPE, CallCount, Tensor
from ..compiled import as_compiled
from ..functions import name_of
from ..introspection import sublayers
from ..running_state import is_seed, unchanged, with_functions, with_places
from ..targets import trials
from ..trace import not_built, python_errors, says_how_to_count
from .jax_definitions import DEFINITIONS
from .jax_graph import JaxprCounts, mark, plain, scoped
from .jax_loops import data
from .shared import (
    are_data,
    code_of,
    counted_by_hand,
    given_to,
    learnt,
    needed_of,
    put_learnt,
    reached_of,
    rows,
    run_call,
    titled,
    variables_in,
)

_SHAPES_ALONE = "JAX must be able to trace it on shapes alone, as jax.make_jaxpr does"


def trace_call(call, by_user) -> CallCount:
    """Return the op counts of one call, from its jaxpr; arguments and errors as `trace`."""
    with _by_hand(sublayers(call.layer), by_user) as by_hand:
        jaxpr, outputs = traced(call)
    with says_how_to_count(call.path, call.kind):
        ops = JaxprCounts(_with_sizes(by_hand)).add(*jaxpr)
    given = len(given_to(call))
    needs = needed_of(call, ops.needed[len(ops.needed) - given:])
    reached = reached_of(call, outputs, lambda place: place is not None and ops.reached[place])
    return CallCount(sum(ops.counts.values(), Counter()), "trace", tuple(ops.notes), needs, reached)


def trace_step(read, step, by_user) -> dict:
    """Return (layer, part) -> CallCount of a training step; arguments and errors as `trace`."""
    with _by_hand(read.layers, by_user) as by_hand:
        jaxpr, notes = _traced_step(read, step)
    ops = JaxprCounts(_with_sizes(by_hand), notes=list(notes))
    with says_how_to_count(read.model.name, type(read.model).__name__, step=True):
        ops.add(*jaxpr)
    named = {}
    for name, counts in ops.counts.items():
        key = f"{scoped(name)}/op"
        named[key] = named.get(key, Counter()) + counts
    return rows(named, [f"{scoped(name)}/op" for name in ops.counted_by_hand], ops.notes, read)


def trace_function(f, arguments, made=None) -> dict:
    """Return path -> (kind, CallCount) of a function of JAX arrays, by its named scopes.

    `arguments` are a tuple of positional or a dict of keyword arguments: structures of what has a
    shape and a dtype, which is traced, and of all else, which is handed to `f` as it is. The kind
    is ``function`` for what stands in no scope, ``scope`` for what does, ``gradient`` for what JAX
    derives of it. The Tensors that it makes are put on the list `made`, where that is given.

    ``trace_function(jax.numpy.tanh, (jax.ShapeDtypeStruct((2, 3), "float32"),))["tanh"]`` is
    ``("function", CallCount(Counter({("float32", "tanh"): 6}), "trace", ()))``.
    """
    title, (run, specs) = name_of(f), _of_arrays(f, arguments)
    with titled(title):
        with code_of(_SHAPES_ALONE):
            jaxpr, _ = _jaxpr(run, *specs)
        ops = JaxprCounts().add(jaxpr)
    if made is not None:
        made += [Tensor(aval.shape, str(aval.dtype)) for aval in jaxpr.out_avals]
    found, notes = {}, tuple(dict.fromkeys(ops.notes))
    for name, counts in ops.counts.items():
        path, backward = plain(name), "transpose(" in name
        kind = "gradient" if backward else "scope" if path else "function"
        key = f"{path or title} (gradient)" if backward else path or title
        found[key] = kind, found.get(key, (kind, Counter()))[1] + counts
    found = found or {title: ("function", Counter())}
    return {path: (kind, CallCount(counts, "trace", notes))
            for path, (kind, counts) in found.items()}


def results(f, arguments) -> list:
    """Return the Tensors that a function of JAX arrays makes; arguments as `trace_function`."""
    import jax

    run, specs = _of_arrays(f, arguments)
    with titled(name_of(f)), code_of(_SHAPES_ALONE):
        made = jax.tree.leaves(jax.eval_shape(run, *specs))
    return [Tensor(t.shape, str(t.dtype)) for t in made]


def _of_arrays(f, arguments):
    """Return a function of arrays alone, and the specs of these."""
    import jax

    leaves, structure = jax.tree.flatten(arguments)
    places = [i for i, leaf in enumerate(leaves) if hasattr(leaf, "shape") and (
        hasattr(leaf, "dtype"))]

    def run(*arrays):
        filled = list(leaves)
        for i, array in zip(places, arrays, strict=True):
            filled[i] = array
        given = jax.tree.unflatten(structure, filled)
        return f(**given) if isinstance(given, dict) else f(*given)

    return run, [jax.ShapeDtypeStruct(leaves[i].shape, leaves[i].dtype) for i in places]


def _by_hand(layers, by_user):
    """Return a context in which calls of layers that the user counts are marked in the jaxpr."""
    import jax
    from jax.ad_checkpoint import checkpoint_name

    def put_mark(number):
        name = mark(number)
        return jax.named_scope(name), lambda array: checkpoint_name(array, name)

    return counted_by_hand(layers, by_user, put_mark, lambda t: isinstance(t, jax.Array))


def _with_sizes(by_hand):
    """Return number -> function of what it counts, and of the elements that its call is made on.

    Where a call is mapped over an axis, it sees one of the elements along it.
    """
    def with_size(count):
        call = count.args[0]
        return lambda: (count(), call.inputs[0].size if call.inputs else 1)

    return {number: with_size(count) for number, count in by_hand.items() if count is not None}


def _spec(thing):
    """Return the JAX spec of what has a shape and a dtype: a Tensor, a variable."""
    import jax
    import keras

    return jax.ShapeDtypeStruct(tuple(thing.shape), keras.backend.standardize_dtype(thing.dtype))


def _specs(things):
    return list(map(_spec, things))


@cache
def _seed():
    """Return the class of the specs of seeds."""
    import jax

    class Seed(jax.ShapeDtypeStruct):
        """The state of a generator of random numbers, which is no data."""

    return Seed


def _held(variables):
    """Return the specs of variables, those of seeds as such."""
    def spec(variable):
        known = _spec(variable)
        return _seed()(known.shape, known.dtype) if is_seed(variable) else known

    return list(map(spec, variables))


def _place(shape, dtype, trainable):
    """Return what stands for the value of a variable that has none."""
    import jax

    return jax.ShapeDtypeStruct(shape, dtype)


def _jaxpr(run, *specs):
    """Return the closed jaxpr of a function of arrays, and the Values of its inputs.

    These are data or seeds. Only what are arrays of its results are results.
    """
    import jax

    def arrays(*args):
        return [leaf for leaf in jax.tree.leaves(run(*args)) if isinstance(leaf, jax.Array)]

    are_seeds = [isinstance(spec, _seed()) for spec in jax.tree.leaves(specs)]
    return jax.make_jaxpr(arrays)(*specs), [data(not seed, seeded=seed) for seed in are_seeds]


def traced(call):
    """Return what `_jaxpr` does of one call in inference, and what the call returns.

    Its inputs end with those of the call, and their masks. What is returned is as of `run_call`,
    each array as its place among the results of the jaxpr.
    """
    import jax
    import keras

    layer = call.layer
    if not getattr(layer, "built", True):
        raise not_built(call)
    variables = variables_in(call)
    known = learnt([layer, *(x for _, x in sublayers(layer))])

    def run(values, stands, tensors, masks):
        put_learnt(known, stands)
        held = list(zip(variables, values, strict=True))
        with keras.StatelessScope(held, initialize_variables=False) as scope:
            made = run_call(call, tensors, masks)
        places = count()
        outputs[:] = [[next(places) if isinstance(x, jax.Array) else None for x in flat]
                      for flat in made]
        return made, [scope.get_current_value(v) for v in variables]

    outputs = []
    with python_errors(call.path, kind=call.kind), unchanged(layer), with_functions(**DEFINITIONS):
        jaxpr, values = _jaxpr(run, _held(variables), _specs(t for _, _, t in known),
                                _specs(call.inputs), [mask and _spec(mask) for mask in call.masks])
    given = [*map(data, are_data(call))]
    return (jaxpr, [*values[:len(values) - len(given)], *given]), outputs


def _traced_step(read, step):
    """Return what `_jaxpr` does of one training step, and what a reader should know of it."""
    model, losses, worst = read.model, [], None

    def run(data, own_step, known, state, stands, tensors):
        put_learnt(known, stands)
        losses.clear()
        (logs, new), _ = own_step(state, data(tensors))
        return logs, new, list(losses)

    with python_errors(model.name, step=True), with_functions(**DEFINITIONS):
        for tensors, data, notes in trials(step, read, (read.output_tensors,)):
            with (with_places(model.variables, _place), as_compiled(model, step) as own_step,
                  ExitStack() as stack):
                trained = own_step.model
                trained.built = True
                optimizer = trained.optimizer
                for metric in trained.metrics:  # it watches the loss, which the step returns
                    _put(stack, metric, update_state=_keeper(losses))
                _put(stack, optimizer, stateless_apply=_updating(optimizer.stateless_apply))
                known = learnt(layer for _, layer in read.layers)
                step_on = partial(_step_jaxpr, partial(run, data, own_step, known), trained,
                                  _specs(t for _, _, t in known), _specs(tensors))
                before = len(trained.metrics_variables)
                try:
                    try:
                        return step_on(), notes
                    except Exception:
                        if len(trained.metrics_variables) == before:
                            raise
                        return step_on(), notes  # losses of several outputs have made a metric each
                except Exception as error:
                    if worst is None or len(tensors) > len(read.inputs):
                        worst = error  # what goes wrong with targets says more
        raise worst


def _step_jaxpr(run, model, stands, tensors):
    """Return what `_jaxpr` does of a step on the variables that model and optimizer have now."""
    state = tuple(_held(variables) for variables in (
        model.trainable_variables, model.non_trainable_variables, model.optimizer.variables,
        model.metrics_variables))
    return _jaxpr(run, state, stands, tensors)


def _put(stack, thing, **attributes):
    """Set attributes of what Keras tracks, until a stack is left."""
    for name, value in attributes.items():
        before = vars(thing).get(name)
        object.__setattr__(thing, name, value)
        stack.callback(*((object.__delattr__, thing, name) if before is None else
                         (object.__setattr__, thing, name, before)))


def _updating(apply):
    """Return the update of an optimizer in the scope of updates, of those inside it too."""
    import keras

    @wraps(apply)
    def scoped(*args, **kwargs):
        with keras.name_scope(UPDATE_SCOPE):
            return apply(*args, **kwargs)

    return scoped


def _keeper(kept):
    """Return the `update_state` of a metric that computes nothing and keeps what it is given."""
    def update_state(*values, **named):
        kept.extend(values[:1])

    return update_state
