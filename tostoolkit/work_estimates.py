"""Factors of a model set -> work of a step, in closed form: what a draw is judged by.

Estimates, good to some tens of percent, without building a model; the counts are those of
`count_models`. Ops per element are those of the rules and of the trace, prices those of the
``cmos`` table in float32.
"""

from functools import cache
from types import MappingProxyType

import numpy as np
import pandas as pd

from .activations import ACTIVATIONS
from .cost_table import load_cost_table
from .op_kinds import OP_KINDS
from .training_counters import ACTIVATION_GRADIENTS

CLASSES = ("linear", "nonlinear", "comparison")

#: Ops per element of what has no per-element entry of its own: (forward, backward).
_SOFTMAX = {"max": 1, "add": 2, "exp": 1, "div": 1}, {"add": 2, "mul": 2}
#: Normalisation -> ops per element: (inference, forward in training, backward), by the trace.
_NORMS = MappingProxyType({
    "none": ({}, {}, {}),
    "batch": ({"add": 1, "mul": 1}, {"add": 4, "mul": 2}, {"add": 3, "mul": 4, "div": 2}),
    "layer": ({"add": 5, "mul": 4}, {"add": 5, "mul": 4}, {"add": 5, "mul": 8, "div": 2}),
    "group": ({"add": 4, "mul": 2}, {"add": 4, "mul": 2}, {"add": 3, "mul": 4, "div": 2}),
    "rms": ({"add": 1, "mul": 3}, {"add": 1, "mul": 3}, {"add": 2, "mul": 6, "div": 1}),
})
#: Per row of a layer or RMS normalisation; per channel of one over a batch.
_NORM_ROWS = MappingProxyType({"none": {}, "batch": {"rsqrt": 1}, "group": {},
                               "layer": {"div": 2, "rsqrt": 1}, "rms": {"div": 1, "rsqrt": 1}})
#: Pooling -> ops per output of a 2 x 2 window: (forward, backward).
_POOLS = MappingProxyType({
    "none": ({}, {}), "max": ({"max": 3}, {"max": 3, "add": 1}),
    "average": ({"add": 3, "div": 1}, {"add": 4, "div": 1}),
})


@cache
def _prices():
    costs = load_cost_table("cmos").costs["float32"]
    return {op: (OP_KINDS[op], float(costs[op])) for op in costs.index}


def _priced(ops):
    """Return the price of a dict op -> count, by class of work."""
    found = dict.fromkeys(CLASSES, 0.0)
    for op, k in ops.items():
        kind, price = _prices()[op]
        found[kind] += k * price
    return np.array([found[c] for c in CLASSES])


def _mapped(column, ops):
    """Return an array (rows, classes): the price of what each level of a column takes."""
    levels = {level: _priced(ops(level)) for level in column.unique()}
    return np.stack([levels[v] for v in column])


def _activation(name, backward):
    if name == "softmax":
        return _SOFTMAX[backward]
    return (ACTIVATION_GRADIENTS if backward else ACTIVATIONS).get(name, {})


def _estimate(table, macs, first, parameters, activated, parts):
    """Return the estimates of a step, from what its forward pass works on.

    Parameters
    ----------
    macs, first, parameters, activated : array
        MACs of a forward pass, those of its first layer (whose input takes no gradient), weights,
        elements that the activation sees.
    parts : list of (elements, (forward, forward in training, backward))
        Each of the three an array (rows, classes) of prices per element.
    """
    training = (table.phase == "training").to_numpy()
    step_macs = np.where(training, 3 * macs - first, macs)
    work = np.outer(step_macs, _priced({"mac": 1}))
    work += np.outer(activated, _priced({"add": 1}))  # biases
    work += np.outer(training * parameters, _priced({"add": 1, "mul": 1}))
    # mixed precision converts the weights in each step, forward and backward
    work += np.outer((table.dtype != "float32") * parameters * (1 + training), [0, 0, 4168])
    rates = [_mapped(table.activation, lambda a, b=b: _activation(a, b)) for b in (False, True)]
    for elements, (inference, forward, backward) in [
            (activated, (rates[0], rates[0], rates[1])), *parts]:
        rate = np.where(training[:, None], forward + backward, inference)
        work += np.asarray(elements, float)[:, None] * rate
    # the loss: a division a sample
    work += np.outer(training * table.batch_size.to_numpy(float), _priced({"div": 1}))
    elements = activated + sum(np.asarray(e, float) for e, _ in parts)
    return pd.DataFrame({"macs": step_macs, "elements": elements, "forward_macs": macs,
                         **{c: work[:, i] for i, c in enumerate(CLASSES)}}, index=table.index)


def _norm_parts(column, elements, rows):
    per_element = tuple(_mapped(column, lambda n, k=k: _NORMS[n][k]) for k in range(3))
    per_row = _mapped(column, lambda n: _NORM_ROWS[n])
    present = (column != "none").to_numpy()
    return [(elements * present, per_element), (rows * present, (per_row, per_row, 0 * per_row))]


def _feed_forward(table):
    b, d, w, i = (table[c].to_numpy(float) for c in ("batch_size", "depth", "width", "input_size"))
    first, activated = b * i * w, b * d * w
    inner = (d - 1) * w * w + 10 * w
    norms = table.batch_norm.map({True: "batch", False: "none"})
    return _estimate(table, first + b * inner, first, i * w + inner, activated,
                     _norm_parts(norms, activated, d * w))


def _convolutional(table):
    b, f, side = (table[c].to_numpy(float) for c in ("batch_size", "filters", "image_size"))
    taps, depth = table.kernel.to_numpy(float) ** 2, table.depth.to_numpy()
    pooled, wide = (table.pooling != "none").to_numpy(), (~table.depthwise).to_numpy()
    macs = first = activated = windows = parameters = np.zeros(len(table))
    for block in range(depth.max()):
        here = depth > block
        pixels = here * b * side**2
        inputs = np.where(wide, f, 1.0) if block else 3.0
        macs, activated = macs + pixels * f * taps * inputs, activated + pixels * f
        parameters = parameters + here * f * taps * inputs
        first = macs if not block else first
        halved = pooled & (side >= 4)
        windows = windows + np.where(halved, pixels * f / 4, 0)
        side = np.where(halved, side // 2, side)
    pools = tuple(_mapped(table.pooling, lambda p, k=k: _POOLS[p][k]) for k in (0, 0, 1))
    rows = np.where(table.normalization == "batch", depth * f, activated / f)
    ones = np.ones((len(table), 1))
    mean, gradient = ones * _priced({"add": 1}), ones * _priced({"div": 1})
    return _estimate(table, macs, first, parameters, activated, [
        *_norm_parts(table.normalization, activated, rows), (windows, pools),
        (b * f * side**2, (mean, mean, gradient)), (b * f, (gradient, gradient, 0 * gradient))])


def _transformer(table):
    b, t, w, h, n = (table[c].to_numpy(float)
                     for c in ("batch_size", "sequence", "width", "heads", "blocks"))
    macs = b * n * t * (12 * w * w + 2 * t * w)
    scores = b * n * h * t * t
    ones = np.ones((len(table), 1))
    softmax = [ones * _priced(k) for k in (_SOFTMAX[0], *_SOFTMAX)]
    division = ones * _priced({"div": 1})
    vectors = b * t * (2 * n + 1)
    return _estimate(table, macs, 0, 12 * n * w * w, 4 * b * n * t * w, [
        (scores, softmax), (b * w, (division, division, 0 * division)),
        *_norm_parts(table.normalization, vectors * w, vectors)])


#: Family -> function of a model set that estimates its rows: ``macs`` of the step, ``forward_macs``
#: of its forward pass, ``elements`` of its activations, and TOs by class of work.
WORK = MappingProxyType({"feed_forward": _feed_forward, "convolutional": _convolutional,
                         "transformer": _transformer})
