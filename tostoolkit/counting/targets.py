"""What a training step is handed beside the model's inputs: what its loss compares with.

Where it is not said (`targets`), the loss tells: a loss that Keras ships compares with tensors
like the outputs, or with integer labels of them; of a user's, and of a step of the model's own,
the first with which its code runs is right.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .calls import Tensor

#: What keras.losses does not know as a name, and compile does: which it is, the targets say.
BY_TARGETS = ("crossentropy", "ce")
#: Losses of Keras' that compare with integer labels, as classes and as functions.
_OF_LABELS = (
    ("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy"),
    ("CategoricalGeneralizedCrossEntropy", "categorical_generalized_cross_entropy"),
    ("Circle", "circle"),
)
_LABELS = ["loss: its targets were taken to be integer labels"]
_ALONE = ["data: the step was handed the model's inputs alone; targets= says what else it takes"]


class Trial(NamedTuple):
    """What a step may be handed: tensors, a function that packs them as ``fit`` does, and notes."""

    tensors: list
    pack: Callable
    notes: list


def trials(step, read, outputs_of) -> Iterator[Trial]:
    """Return what a step may be handed, the likeliest first.

    It takes what `compiled` and `read_calls` return; `outputs_of` are functions that tell the
    model's outputs, the surer ones last. TypeError or ValueError where the `targets` of the step
    are no targets of the batch.
    """
    import keras

    if step.targets is None:
        return _guesses(step, read, outputs_of)
    batch = read.inputs[0].shape[0]
    given = keras.tree.map_structure(lambda t: _target(t, batch), step.targets)
    return iter([_with_targets(read, given, [])])


def _guesses(step, read, outputs_of):
    """Yield trials by the shapes of the outputs, and by others' where these are not right."""
    alone_first = step.loss is None and "train_step" in step.own
    tried = None
    if alone_first:
        yield from _alone(read)
    for tell in outputs_of:
        try:
            outputs = tell()
        except NotImplementedError:  # of a model that cannot be called, as GANs are
            continue
        shapes = [tuple(t.shape) for t in _flat(outputs)]
        if shapes == tried or any(None in shape for shape in shapes):
            continue
        for targets, notes in targets_of(step, outputs):
            if targets is not None:
                yield _with_targets(read, targets, notes)
            elif not alone_first:
                yield from _alone(read)
        tried = shapes


def targets_of(step, outputs) -> Iterator[tuple[Any, list]]:
    """Yield the targets that a step may compare with the model's outputs, and notes of each.

    None stands for that it takes none.
    """
    if step.targets is not None:
        yield step.targets, []
        return
    alone_first = step.loss is None and "train_step" in step.own
    if alone_first:
        yield None, _ALONE
    yield _like(step.loss, outputs, step.output_names), []
    if step.loss is None or not all(map(_is_shipped, _flat(step.loss))):
        yield _labels(outputs), _LABELS
    if step.own and not alone_first:
        yield None, _ALONE


def _with_targets(read, targets, notes):
    import keras

    n = len(read.inputs)

    def pack(tensors):
        return read.structure(tensors[:n]), keras.tree.pack_sequence_as(targets, list(tensors[n:]))

    return Trial([*read.inputs, *_flat(targets)], pack, notes)


def _alone(read):
    """Yield trials of inputs without targets.

    ``fit`` hands several on as a list of its own, or as the tuple that a data set yields.
    """
    several = isinstance(read.structure(read.inputs), (list, tuple))
    for pack in (lambda x: (x,), tuple) if several else (lambda x: x,):
        yield Trial(list(read.inputs), lambda x, pack=pack: pack(read.structure(x)), _ALONE)


def _flat(structure):
    import keras

    return keras.tree.flatten(structure)


def _like(loss, outputs, names):
    """Return targets for a loss, or for a structure of losses, like the outputs that they see."""
    import keras

    if isinstance(loss, dict) and not isinstance(outputs, dict):  # by the names of the outputs
        loss = [loss[name] for name in names] if set(names or ()) == set(loss) else [*loss.values()]
        if not isinstance(outputs, (list, tuple)):
            loss = loss[0]
    if isinstance(loss, dict):
        return {name: _like(loss.get(name), outputs[name], None) for name in outputs}
    if isinstance(loss, (list, tuple)):
        flat = _flat(outputs)
        like = [_like(*each, None) for each in zip(loss, flat, strict=True)]
        return keras.tree.pack_sequence_as(outputs, like) if isinstance(outputs, dict) else like
    loss = loss if loss in BY_TARGETS else keras.losses.get(loss)
    of_labels = any(
        isinstance(loss, getattr(keras.losses, cls)) or loss is getattr(keras.losses, function)
        for cls, function in _OF_LABELS)
    return _labels(outputs) if of_labels else outputs


def _labels(outputs):
    import keras

    return keras.tree.map_structure(lambda t: Tensor(t.shape[:-1], "int32"), outputs)


def _target(target, batch):
    """Return one of the targets as a Tensor of the batch; errors name the argument."""
    import keras

    if not (hasattr(target, "shape") and hasattr(target, "dtype")):
        raise TypeError(f"targets: {target!r} has no shape and dtype; say them of each target, the "
                        "batch first, for example targets=keras.Input((5,), dtype='int32')")
    shape = tuple(target.shape)
    if None in shape[1:] or (shape and shape[0] not in (None, batch)):
        raise ValueError(f"targets: the shape {shape} does not fit a batch of {batch}; give all "
                         "but the batch, for example targets=keras.Input((5,), dtype='int32')")
    return Tensor((batch, *shape[1:])[:len(shape)], keras.backend.standardize_dtype(target.dtype))


def _is_shipped(loss):
    import keras

    return isinstance(loss, str) or any(
        loss is x or type(loss) is x for x in vars(keras.losses).values())
