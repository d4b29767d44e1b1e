"""Op counts of recurrent layers: steps x the cell, whatever the loop looks like."""

from collections import Counter
from dataclasses import replace
from math import prod

from ..introspection import Tensor
from .activations import ops
from .layers import NoRule, fused_activation


def times(counts, n):
    """Return `counts` multiplied by the integer `n`."""
    return Counter({key: n * value for key, value in counts.items()})


def _gate(call, function, batch, units):
    return fused_activation(call, function, (batch, units))


def lstm_cell(call, cell, batch, features):
    """One step of Hochreiter and Schmidhuber's cell, as ``keras.layers.LSTMCell`` executes it.

    i, f, o = s(W x + U h + b); g = tanh(W x + U h + b); c' = f c + i g; h' = o tanh(c').
    """
    u = cell.units
    n = batch * u
    return (
        ops(call.dtype, mac=4 * n * (features + u), add=4 * n + (4 * n if cell.use_bias else 0) + n,
            mul=3 * n)
        + times(_gate(call, cell.recurrent_activation, batch, u), 3)
        + times(_gate(call, cell.activation, batch, u), 2))


def gru_cell(call, cell, batch, features):
    """One step of ``keras.layers.GRUCell``: h' = z h + (1 - z) g, gates z and r, candidate g.

    With ``reset_after`` the recurrent product has a bias of its own.
    """
    u = cell.units
    n = batch * u
    biases = (2 if cell.reset_after else 1) * 3 * n if cell.use_bias else 0
    return (
        ops(call.dtype, mac=3 * n * (features + u), add=biases + 3 * n + 2 * n, mul=3 * n)
        + times(_gate(call, cell.recurrent_activation, batch, u), 2)
        + _gate(call, cell.activation, batch, u))


def simple_cell(call, cell, batch, features):
    """One step of ``keras.layers.SimpleRNNCell``: h' = tanh(W x + b + U h)."""
    u = cell.units
    n = batch * u
    return ops(call.dtype, mac=n * (features + u), add=n + (n if cell.use_bias else 0)) + _gate(
        call, cell.activation, batch, u)


def stacked_cells(call, cell, batch, features):
    """One step through each cell in turn."""
    counts = Counter()
    for inner in cell.cells:
        counts += count_cell(call, inner, batch, features)
        size = inner.output_size
        features = size if isinstance(size, int) else size[-1]
    return counts


CELLS = {
    "LSTMCell": lstm_cell, "GRUCell": gru_cell, "SimpleRNNCell": simple_cell,
    "StackedRNNCells": stacked_cells,
}


def count_cell(call, cell, batch, features):
    """Return the counts of one step of `cell` on `batch` rows of `features`."""
    kind = type(cell).__name__
    if kind not in CELLS or not type(cell).__module__.startswith("keras."):
        raise NoRule(f"{call.path!r} ({call.kind}): no counter for its cell {kind}")
    return CELLS[kind](call, cell, batch, features)


def rnn(call):
    """steps x one step of the layer's cell."""
    batch, steps, features = call.inputs[0].shape
    return times(count_cell(call, call.layer.cell, batch, features), steps)


def cell(call):
    """A cell used as a layer: one step."""
    batch, features = call.inputs[0].shape
    return count_cell(call, call.layer, batch, features)


def conv_lstm(call):
    """steps x (4 input and 4 recurrent convolutions, the gates of an LSTM)."""
    layer = call.layer
    inner = layer.cell
    first = layer.data_format == "channels_first"
    batch, steps = call.inputs[0].shape[:2]
    channels = call.inputs[0].shape[2 if first else -1]
    step_input = (batch, *call.inputs[0].shape[2:])
    positions = _convolved(inner, step_input[2:] if first else step_input[1:-1])
    n = batch * prod(positions) * inner.filters
    taps = prod(inner.kernel_size)
    shape = (batch, *positions, inner.filters)
    one = (
        ops(call.dtype, mac=4 * n * taps * (channels + inner.filters),
            add=4 * n + n + (4 * n if inner.use_bias else 0), mul=3 * n)
        + times(fused_activation(call, inner.recurrent_activation, shape), 3)
        + times(fused_activation(call, inner.activation, shape), 2))
    return times(one, steps)


def _convolved(cell, sides):
    """Return the spatial shape after the cell's input convolution."""
    if cell.padding == "same":
        return tuple(-(-side // s) for side, s in zip(sides, cell.strides, strict=True))
    return tuple(
        (side - (k - 1) * d - 1) // s + 1
        for side, k, d, s in zip(
            sides, cell.kernel_size, cell.dilation_rate, cell.strides, strict=True))


def bidirectional(count):
    """Return the counter of Bidirectional: both directions by `count`, then the merge."""
    def counter(call):
        counts = Counter()
        for inner in (call.layer.forward_layer, call.layer.backward_layer):
            counts += count(replace(call, kind=type(inner).__name__, layer=inner))
        n = call.outputs[0].size
        merge = {"sum": {"add": n}, "ave": {"add": n, "div": n}, "mul": {"mul": n}}
        return counts + ops(call.dtype, **merge.get(call.layer.merge_mode, {}))
    counter.__doc__ = "Both directions, then the merge: nothing for concat."
    return counter


def time_distributed(count):
    """Return the counter of TimeDistributed: steps x the inner layer by `count`."""
    def counter(call):
        x, y = call.inputs[0], call.outputs[0]
        inner = call.layer.layer
        step = replace(
            call, kind=type(inner).__name__, layer=inner,
            inputs=(Tensor((x.shape[0], *x.shape[2:]), x.dtype),),
            outputs=(Tensor((y.shape[0], *y.shape[2:]), y.dtype),))
        return times(count(step), x.shape[1])
    counter.__doc__ = "steps x the inner layer."
    return counter
