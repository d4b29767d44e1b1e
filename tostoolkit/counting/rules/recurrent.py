"""Op counts of layers that run others: recurrent layers, steps x the cell, and wrappers.

A function of what holds others also takes ``count``, the function that counts the call of what is
held; so a counter of the user's holds in here too.
"""

from collections import Counter
from dataclasses import replace

from ..calls import Tensor, product
from ..introspection import kind_of
from ..layer_state import weight_shape
from .activations import ops
from .layers import NoRule, fused_activation


def times(counts, n):
    """Return `counts` multiplied by the integer `n`."""
    return Counter({key: n * value for key, value in counts.items()})


def cell_fits(call):
    """The units are those of the recurrent kernel, and the features those of the kernel."""
    recurrent = weight_shape(call.layer, "recurrent_kernel")
    return recurrent is None or (recurrent[0] == call.layer.units and weight_shape(
        call.layer, "kernel") == (call.inputs[0].shape[-1], recurrent[1]))


def conv_lstm_fits(call):
    """Taps and filters are those of the cell's kernel."""
    cell = call.layer.cell
    found = weight_shape(cell, "kernel")
    return found is None or (found[:-2], found[-1]) == (tuple(cell.kernel_size), 4 * cell.filters)


def lstm_cell(call):
    """One step of Hochreiter and Schmidhuber's cell, as ``keras.layers.LSTMCell`` executes it."""
    batch, features = call.inputs[0].shape
    units = int(call.layer.units)
    return _lstm_step(call, call.layer, (batch, units), features + units)


def _lstm_step(call, cell, shape, inputs):
    """i, f, o = s(W x + U h + b); g = tanh(W x + U h + b); c' = f c + i g; h' = o tanh(c').

    The states have the `shape` (batch, ..., units); each gate of each is a sum over `inputs`
    numbers of x and h.
    """
    n = product(shape)
    return (
        ops(call.dtype, mac=4 * n * inputs, add=5 * n + (4 * n if cell.use_bias else 0), mul=3 * n)
        + times(fused_activation(call, cell.recurrent_activation, shape), 3)
        + times(fused_activation(call, cell.activation, shape), 2))


def gru_cell(call):
    """One step of ``keras.layers.GRUCell``: h' = z h + (1 - z) g, gates z and r, candidate g.

    With ``reset_after`` the recurrent product has a bias of its own.
    """
    cell, (batch, features) = call.layer, call.inputs[0].shape
    u = int(cell.units)
    n = batch * u
    biases = (2 if cell.reset_after else 1) * 3 * n if cell.use_bias else 0
    return (
        ops(call.dtype, mac=3 * n * (features + u), add=biases + 3 * n + 2 * n, mul=3 * n)
        + times(fused_activation(call, cell.recurrent_activation, (batch, u)), 2)
        + fused_activation(call, cell.activation, (batch, u)))


def simple_cell(call):
    """One step of ``keras.layers.SimpleRNNCell``: h' = tanh(W x + b + U h)."""
    cell, (batch, features) = call.layer, call.inputs[0].shape
    u = int(cell.units)
    n = batch * u
    return (ops(call.dtype, mac=n * (features + u), add=n + (n if cell.use_bias else 0))
            + fused_activation(call, cell.activation, (batch, u)))


def _inner(call, layer, **shapes):
    """Return the call of what is held: the holder's own arguments are not handed on."""
    return replace(call, kind=kind_of(layer), layer=layer, kwargs={}, bind=None, **shapes)


def _step(call, cell, features):
    """Return the call of one step of a cell: a batch of rows of `features`, and its states."""
    batch, dtype = call.inputs[0].shape[0], call.inputs[0].dtype
    states = _flat(cell.state_size)  # of cells in a stack, one list a cell
    output = getattr(cell, "output_size", None) or states[0]
    sizes = [features, *states]
    if not all(hasattr(size, "__index__") for size in (*sizes, output)):
        raise NoRule(f"{call.path!r} ({call.kind}): states that are not vectors")
    step = _inner(call, cell, inputs=tuple(Tensor((batch, int(size)), dtype) for size in sizes),
                  outputs=(Tensor((batch, int(output)), dtype),))
    return replace(step, bind=lambda tensors: ((tensors[0], list(tensors[1:])), {}))


def _flat(sizes):
    if isinstance(sizes, (list, tuple)):
        return [n for size in sizes for n in _flat(size)]
    return [sizes]


def stacked_cells(call, count):
    """One step through each cell in turn."""
    counts, features = Counter(), call.inputs[0].shape[-1]
    for cell in call.layer.cells:
        step = _step(call, cell, features)
        counts += count(step, traced=False)
        features = step.outputs[0].shape[-1]
    return counts


def rnn(call, count):
    """steps x one step of the layer's cell; a cell without a counter has the whole loop traced."""
    _, steps, features = call.inputs[0].shape
    return times(count(_step(call, call.layer.cell, features), traced=False), steps)


def conv_lstm(call):
    """steps x (4 input and 4 recurrent convolutions, the gates of an LSTM)."""
    cell, (x, y) = call.layer.cell, (call.inputs[0].shape, call.outputs[0].shape)
    rank = len(cell.kernel_size)
    if call.layer.data_format == "channels_first":
        channels, positions = x[2], y[-rank:]
    else:
        channels, positions = x[-1], y[-rank - 1:-1]
    filters = int(cell.filters)
    inputs = product(cell.kernel_size) * (channels + filters)
    return times(_lstm_step(call, cell, (x[0], *positions, filters), inputs), x[1])


# Wrappers ------------------------------------------------------------------------------------

def as_wrapped(call, count):
    """The layer inside, and nothing else: in inference the weights are normalised already."""
    return count(_inner(call, call.layer.layer))


def bidirectional(call, count):
    """Both directions, then the merge: nothing for concat."""
    counts, y, mode = Counter(), call.outputs[0], call.layer.merge_mode
    width = y.shape[-1] // 2 if mode == "concat" else y.shape[-1]
    one = Tensor((*y.shape[:-1], width), y.dtype)
    for layer in (call.layer.forward_layer, call.layer.backward_layer):
        counts += count(_inner(call, layer, outputs=(one,)))
    n = y.size
    merge = {"sum": {"add": n}, "ave": {"add": n, "div": n}, "mul": {"mul": n}}
    return counts + ops(call.dtype, **merge.get(mode, {}))


def time_distributed(call, count):
    """steps x the inner layer."""
    x, y = call.inputs[0], call.outputs[0]
    step = _inner(call, call.layer.layer,
                 inputs=(Tensor((x.shape[0], *x.shape[2:]), x.dtype),),
                 outputs=(Tensor((y.shape[0], *y.shape[2:]), y.dtype),))
    return times(count(step), x.shape[1])
