"""What Keras holds while a model runs: values of variables, masks, scopes, what a step changes.

With `introspection` and `layer_state` the only module that knows Keras' private names; each has a
test of its own in ``tests/counting/test_running_state.py``.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import cache, wraps

from .memory import gradients_forgotten


def mask_of(tensor):
    """Return the mask that Keras finds on a tensor, None without one."""
    return _backend().get_keras_mask(tensor)


def put_mask(tensor, mask):
    """Put a mask on a tensor, where Keras finds it."""
    _backend().set_keras_mask(tensor, mask)


@cache
def _backend():
    from keras.src import backend

    return backend


@contextmanager
def in_place_of_graph(model, run) -> Iterator[None]:
    """Return a context in which a functional model runs `run` where it would run its graph.

    That is a function of the flat inputs, as the model has made them ready, which returns the flat
    outputs.
    """
    import keras

    functional = getattr(model, "_functional", None) or model  # of a Sequential

    def run_through_graph(inputs, *args, **kwargs):
        return keras.tree.pack_sequence_as(functional.output, run(keras.tree.flatten(inputs)))

    object.__setattr__(functional, "_run_through_graph", run_through_graph)
    try:
        yield
    finally:
        object.__delattr__(functional, "_run_through_graph")


def compiled_loss(model):
    """Return what a compiled model holds its losses and their weights in, None without one."""
    return getattr(model, "_compile_loss", None)


def has_loss_weights(model) -> bool:
    """Whether a model was compiled with weights of its losses."""
    return getattr(compiled_loss(model), "_user_loss_weights", None) is not None


def is_built_for(optimizer, variables) -> bool:
    """Whether an optimizer has variables of its own, and has them for these."""
    known = getattr(optimizer, "_trainable_variables_indices", {})
    return optimizer.built and all(optimizer._var_key(v) in known for v in variables)


@contextmanager
def unchanged(*things) -> Iterator[None]:
    """Return a context after which objects hold what they held, and so do their lists and dicts.

    And so do the layers, losses, metrics, optimizers, schedules and trackers that they hold.
    """
    import keras
    from keras.src.utils.tracking import Tracker

    stateful = (Tracker, keras.Layer, keras.Loss, keras.metrics.Metric, keras.optimizers.Optimizer,
                keras.optimizers.schedules.LearningRateSchedule)
    kept, stack = {}, list(things)
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            value = getattr(value, "__wrapped__", value)  # TensorFlow's trackable dict is a proxy
        if id(value) in kept:
            continue
        if isinstance(value, stateful) or hasattr(value, "_storage"):  # TensorFlow's trackable list
            kept[id(value)] = value, dict(vars(value))
            stack.extend(vars(value).values())
        elif isinstance(value, (list, set, dict)):
            kept[id(value)] = value, type(value).copy(value)
            stack.extend(value.values() if isinstance(value, dict) else value)
        elif isinstance(value, tuple):
            stack.extend(value)
    try:
        yield
    finally:
        for value, contents in kept.values():
            _put_back(value, contents)


def _put_back(value, contents):
    """Give a list, set, dict or object the contents that it had."""
    if isinstance(value, list):
        if len(value) != len(contents) or any(
                a is not b for a, b in zip(value, contents, strict=True)):
            list.__setitem__(value, slice(None), contents)
    elif isinstance(value, set):
        if set(map(id, value)) != set(map(id, contents)):
            set.clear(value)
            set.update(value, contents)
    else:
        held = value if isinstance(value, dict) else vars(value)
        if [*held] != [*contents] or any(held[k] is not contents[k] for k in contents):
            plain = OrderedDict if isinstance(held, OrderedDict) else dict  # past Keras' tracking
            plain.clear(held)
            plain.update(held, contents)


@contextmanager
def with_places(variables, place, every=False) -> Iterator[None]:
    """Return a context in which variables without a value hold what `place` makes.

    `place` is a function of a shape, a dtype and whether it is trained. Variables that are made in
    the context hold one too; with `every`, so do those of the `variables` that have a value.
    Afterwards the `variables` hold what they held, or nothing, again.
    """
    import keras

    cls, empty = keras.Variable, [v for v in variables if every or v._value is None]

    def put(variable, value=None):
        shape = value.shape if variable._shape is None else variable._shape
        variable._value = place(tuple(shape), variable.dtype, variable.trainable)

    with ExitStack() as stack:
        _replace(stack, cls, "__init__", getattr(cls.__init__, "with_value", cls.__init__))
        for name in ("_initialize", "_initialize_with_initializer"):
            _replace(stack, cls, name, put)
        for variable in empty:
            stack.callback(setattr, variable, "_value", variable._value)
            put(variable)
        yield


def _replace(stack, owner, name, value):
    """Replace an attribute of a class until the stack ends."""
    own = name in vars(owner)
    before = getattr(owner, name)
    setattr(owner, name, value)
    stack.callback(*((setattr, owner, name, before) if own else (delattr, owner, name)))


@contextmanager
def with_functions(**functions) -> Iterator[None]:
    """Return a context in which functions stand in the place of the backend's of their names."""
    from keras.src import backend

    held = [(module, name, vars(module)[name])
            for module in (backend.nn, backend.core, backend.numpy)
            for name in functions if name in vars(module)]
    try:
        for module, name, _ in held:
            setattr(module, name, functions[name])
        yield
    finally:
        for module, name, function in held:
            setattr(module, name, function)


def current_scope() -> str:
    """Return the names of the scopes that Keras is in, the outermost first, joined by ``/``.

    >>> import keras
    >>> with keras.name_scope("outer"), keras.name_scope("inner"):
    ...     current_scope()
    'outer/inner'
    """
    from keras.src.backend.common.name_scope import current_path

    return current_path()


def global_seed():
    """Return the variable that random numbers without a seed of their own come from."""
    from keras.src.random.seed_generator import global_seed_generator

    return global_seed_generator().state


def is_seed(variable) -> bool:
    """Whether a variable is the state of a generator of random numbers."""
    return variable.name == "seed_generator_state"


@contextmanager
def seeds_noted() -> Iterator[list]:
    """Return a context that yields a list of the seeds that random numbers are drawn from in it.

    Each is the variable that is the state of a generator.

    >>> import keras
    >>> dropout = keras.layers.Dropout(0.5, seed=1)
    >>> with seeds_noted() as seeds:
    ...     made = dropout(keras.ops.ones((2, 3)), training=True)
    >>> [seed is dropout.seed_generator.state for seed in seeds]
    [True]
    """
    from keras.random import SeedGenerator

    seeds, draw = [], SeedGenerator.next

    @wraps(draw)
    def noted(generator, *args, **kwargs):
        seeds.append(generator.state)
        return draw(generator, *args, **kwargs)

    with ExitStack() as stack:
        _replace(stack, SeedGenerator, "next", noted)
        yield seeds


@contextmanager
def constant_generators() -> Iterator[list]:
    """Return a context that yields a list of the generators made of a constant seed in it.

    They are PyTorch's; what is drawn from one is the same in each call.
    """
    from keras.src.backend import random

    generators, make = [], random.torch_seed_generator

    @wraps(make)
    def noted(seed):
        generator = make(seed)
        if isinstance(seed, int):
            generators.append(generator)
        return generator

    with ExitStack() as stack:
        _replace(stack, random, "torch_seed_generator", noted)
        yield generators


@contextmanager
def abstract() -> Iterator[None]:
    """Return a context in which Keras models are built without allocating their weights.

    A model of any size can then be counted: only shapes are kept. It cannot be called on data.

    Examples
    --------
    >>> import keras
    >>> with abstract():
    ...     model = keras.Sequential([keras.Input((10**6,)), keras.layers.Dense(10**6)])
    >>> model.count_params()  # 4 TB of float32 that nobody allocated
    1000001000000
    """
    import keras

    cls = keras.Variable
    make = cls.__init__
    names = ("__init__", "_initialize", "_initialize_with_initializer", "_deferred_initialize")
    allocating = getattr(make, "allocating", None) or {name: getattr(cls, name) for name in names}

    @wraps(make)
    def make_without_value(variable, initializer, *args, **kwargs):
        make(variable, initializer, *args, **kwargs)
        if variable._value is not None:  # of a constant
            variable._initializer = lambda shape, dtype=None: keras.ops.convert_to_tensor(
                initializer, dtype)
        variable._value = None

    make_without_value.with_value, make_without_value.allocating = make, allocating
    with ExitStack() as stack:
        _replace(stack, cls, "__init__", make_without_value)
        _replace(stack, cls, "_initialize", lambda v, value: setattr(v, "_value", value))
        _replace(stack, cls, "_initialize_with_initializer",
                 lambda v, make: vars(v).update(_value=None, _initializer=make))
        # what is made in a scope without state would be given its value when that ends
        _replace(stack, cls, "_deferred_initialize", lambda v: None)
        if keras.backend.backend() == "torch":  # where a built layer asks for its values
            _replace(stack, keras.Layer, "_post_build", lambda layer: None)
        yield


@contextmanager
def allocating() -> Iterator[None]:
    """Return a context in which variables have memory, inside `abstract` too."""
    import keras

    with ExitStack() as stack:
        for name, method in getattr(keras.Variable.__init__, "allocating", {}).items():
            _replace(stack, keras.Variable, name, method)
        yield


def run_on_shapes(function, tensors):
    """Run a function of tensors as the backend runs it, on shapes and dtypes alone."""
    import keras
    from keras.src import backend

    with gradients_forgotten():
        backend.compute_output_spec(
            function, *(keras.KerasTensor(t.shape, t.dtype) for t in tensors))


def outputs_on_shapes(operation, args, kwargs):
    """Return the specs of what a layer or operator makes of arguments, as it is called.

    Tensors among the arguments are KerasTensors. What the backend keeps for one trace is set aside.
    """
    from keras.src import backend

    with gradients_forgotten():
        return backend.compute_output_spec(operation, *args, **kwargs)


def build_parts(inspected, structure, tensors):
    """Build what of a model is built when it is first called, as Keras' own first call does.

    `structure` packs tensors as the model takes them. Nothing is done where all is built, or where
    the model's code does not run on shapes: its trace then says why.
    """
    model = inspected.model
    if not model.built or all(getattr(layer, "built", True) for _, layer in inspected.layers):
        return
    with (abstract() if any(v._value is None for v in model.variables) else nullcontext(),
          suppress(Exception)):
        run_on_shapes(lambda *given: model(structure(given)), tensors)
