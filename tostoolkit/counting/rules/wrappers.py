"""Op counts of layers that hold another: as often as it runs, and what the wrapper adds.

Each function takes a `LayerCall` and ``count``, the function that counts the call of what is held;
so a counter of the user's holds in here too.
"""

from collections import Counter
from dataclasses import replace

from ..calls import Tensor
from ..introspection import kind_of
from .activations import ops
from .layers import NoRule
from .recurrent import times


def _held(call, layer, **shapes):
    """Return the call of what is held: the wrapper's own arguments are not handed on."""
    return replace(call, kind=kind_of(layer), layer=layer, kwargs={}, bind=None, **shapes)


def as_wrapped(call, count):
    """The layer inside, and nothing else: in inference the weights are normalised already."""
    return count(_held(call, call.layer.layer))


def bidirectional(call, count):
    """Both directions, then the merge: nothing for concat."""
    counts, y, mode = Counter(), call.outputs[0], call.layer.merge_mode
    width = y.shape[-1] // 2 if mode == "concat" else y.shape[-1]
    one = Tensor((*y.shape[:-1], width), y.dtype)
    for layer in (call.layer.forward_layer, call.layer.backward_layer):
        counts += count(_held(call, layer, outputs=(one,)))
    n = y.size
    merge = {"sum": {"add": n}, "ave": {"add": n, "div": n}, "mul": {"mul": n}}
    return counts + ops(call.dtype, **merge.get(mode, {}))


def time_distributed(call, count):
    """steps x the inner layer, in the wrapper's number format: Keras runs its bare ``call``."""
    policies = [layer.dtype_policy.name for layer in (call.layer, call.layer.layer)]
    if policies[0] != policies[1]:
        raise NoRule(f"{call.path!r}: {policies[1]} within {policies[0]}")
    x, y = call.inputs[0], call.outputs[0]
    step = _held(call, call.layer.layer,
                 inputs=(Tensor((x.shape[0], *x.shape[2:]), x.dtype),),
                 outputs=(Tensor((y.shape[0], *y.shape[2:]), y.dtype),))
    return times(count(step), x.shape[1])
