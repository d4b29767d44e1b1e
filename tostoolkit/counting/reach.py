"""What of a model's calls counts: what its outputs need, and what data reach.

A call may be handed what it does not look at: a mask, a state, an output of two that an option
turns off. `needed_calls` goes from the last call to the first and asks of each what it needs.

What a layer makes of shapes alone is a constant for the next one: positions, a mask of time steps,
zeros like a tensor. What later calls compute of constants alone does not count: `counted_by_reach`
goes from the first call to the last. Weights are data, so what is computed of constants and weights
counts.
"""

from collections import Counter
from dataclasses import replace

from .calls import CallCount


def needed_calls(calls, outputs, count_call) -> list[tuple]:
    """Return each call, of which it is known what the outputs need of it, with its count.

    `outputs` are the numbers of the tensors that are wanted, `count_call` counts a call whose
    inputs are all data. A call that nobody needs has None in the place of its count.
    """
    wanted, masks_wanted, counted = set(outputs), set(), []
    for call in reversed(calls):
        handed_on = tuple(i for i, n in enumerate(call.writes) if ("mask", n) in masks_wanted)
        made = tuple(i for i, n in enumerate(call.writes) if n in wanted)
        if call.writes and not (handed_on or made):
            counted.append((call, None))
            continue
        if handed_on or len(made) < len(call.writes):
            some = made if len(made) < len(call.writes) else None
            call = replace(call, masks_wanted=handed_on, wanted=some)
        row = count_call(call)
        wanted.update(n for i, n in enumerate(call.reads) if _needs(row.needs, i))
        for i, made in _sources_of_masks(call):
            if _needs(row.needs, ("mask", i)):
                (wanted if isinstance(made, int) else masks_wanted).add(made)
        counted.append((call, row))
    return counted[::-1]


def _needs(needs, what):
    return needs is None or what in needs


def counted_by_reach(calls, count_call) -> list[CallCount]:
    """Return the count of each of the `needed_calls`, whose constants are known.

    `count_call` counts a call.

    >>> import keras
    >>> from tostoolkit.counting.count import counted
    >>> from tostoolkit.counting.introspection import inspect
    >>> from tostoolkit.counting.walk import read_calls
    >>> x = keras.Input((8,))
    >>> ones = keras.layers.Lambda(keras.ops.ones_like)(x)
    >>> model = keras.Model(x, keras.ops.add(keras.ops.exp(ones), keras.ops.exp(x)))
    >>> read = read_calls(inspect(model))
    >>> calls = needed_calls(read.calls, read.outputs, counted)
    >>> [(call.kind, row.counts.total()) for call, row in zip(
    ...     read.calls, counted_by_reach(calls, counted), strict=True)]
    [('Lambda', 0), ('ops.Exp', 0), ('ops.Exp', 8), ('ops.Add', 8)]
    """
    constants, counted = set(), []
    for call, row in calls:
        if row is None:
            counted.append(CallCount(Counter(), "zero"))
            continue
        given = _constants_of(call, constants)
        if given:
            row = count_call(replace(call, constants=given))
        if row.reached is not None:
            constants.update(number for place, number in enumerate(call.writes)
                             if place not in row.reached)
            constants.update(("mask", call.writes[place]) for place in call.masks_wanted
                             if ("mask", place) not in row.reached)
        counted.append(row)
    return counted


def _constants_of(call, constants):
    """Return the places of those inputs of a call, and of their masks, that are constants."""
    if not constants:
        return ()
    return (*(place for place, number in enumerate(call.reads) if number in constants),
            *(("mask", place) for place, made in _sources_of_masks(call) if made in constants))


def _sources_of_masks(call):
    """Yield the place of each mask of a call, and what made it.

    That is the number of a tensor, or ``("mask", number)`` of the tensor that the mask stands on.
    """
    for place, mask in enumerate(call.masks):
        if mask is not None:
            made = call.mask_reads[place]
            yield place, ("mask", call.reads[place]) if made is None else made


def of_constants_alone(call) -> bool:
    """Whether a call computes of constants alone: no data reach its inputs, and it has no weights.

    >>> import keras
    >>> from tostoolkit.counting.calls import LayerCall, Tensor
    >>> layer = keras.layers.ReLU()
    >>> call = LayerCall("r", "ReLU", layer, (Tensor((1, 4)),), (Tensor((1, 4)),))
    >>> of_constants_alone(call), of_constants_alone(replace(call, constants=(0,)))
    (False, True)
    """
    given = {*range(len(call.inputs)),
             *(("mask", i) for i, mask in enumerate(call.masks) if mask is not None)}
    return bool(call.inputs) and given <= set(call.constants) and not (
        getattr(call.layer, "variables", ()))
