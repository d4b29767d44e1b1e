"""Switching of real layers: their own weights and activations as operand streams.

A multiply-accumulate unit is taken to work through one output at a time: its operands are the
activations and weights of one contraction in order, its sum starts at 0. An element-wise unit works
through a tensor in memory order.
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .formats import FLOATS, from_float, to_float
from .switching import random_stream, switching
from .units import unit

if TYPE_CHECKING:
    import keras

OUTPUTS = 256  # of a contraction that are sampled: the error of a mean is then below a tenth
ELEMENTS = 2**16  # of a tensor that are taken; two batches of the simulation


def layer_switching(layer: "keras.Layer", inputs: np.ndarray, dtype: str = "float32",
                    outputs: int = OUTPUTS, seed: int = 0) -> pd.DataFrame:
    """Return how many transistors switch per op in a Keras layer on given inputs.

    Parameters
    ----------
    layer : keras.layers.Dense, Conv1D, Conv2D, Conv3D, ReLU, or Activation("relu")
        Built; its weights are read. A fused activation is left out.
    inputs : array, shape (batch, ...)
    dtype : str
        Floating-point format of the units; values are rounded to it.
    outputs : int
        How many outputs of the contraction to sample, at random.
    seed : int

    Returns
    -------
    pandas.DataFrame
        One row an op (``mul``, ``add``, or ``max``): ``transitions`` per op and its ``std_error``,
        ``transistors`` of the unit, ``activity``, ``random`` (the activity under random bits),
        ``zeros`` (share of zero operands), ``ops`` sampled.

    Raises
    ------
    ValueError
        A layer of another kind, not built, or a format that is not a floating-point one; inputs too
        few for an estimate.

    Examples
    --------
    >>> import keras
    >>> layer = keras.layers.Dense(8)
    >>> layer.build((None, 64))
    >>> layer_switching(layer, np.ones((32, 64))).index.tolist()
    ['mul', 'add']
    """
    if dtype not in FLOATS:
        raise ValueError(f"dtype: {dtype!r} is unknown; there are {', '.join(FLOATS)}")
    inputs = np.asarray(inputs, np.float64)
    kind = type(layer).__name__
    if kind == "ReLU" or (kind == "Activation" and layer.activation.__name__ == "relu"):
        x = from_float(inputs.ravel()[:ELEMENTS], dtype)
        return pd.DataFrame([_row("max", dtype, {"x": x, "y": np.zeros_like(x)})]).set_index("op")
    if kind not in ("Dense", "Conv1D", "Conv2D", "Conv3D"):
        raise ValueError(f"layer: {kind} {layer.name!r} has no rule here; use Dense, Conv1D, "
                         "Conv2D, Conv3D or ReLU, or give switching() a stream of your own")
    if not layer.built:
        raise ValueError(f"layer: {layer.name!r} is not built; call it on its inputs first")
    x, y = _contraction(layer, kind, inputs, outputs, np.random.default_rng(seed))
    x, y = from_float(x, dtype), from_float(y, dtype)
    products = from_float(to_float(x, dtype) * to_float(y, dtype), dtype)
    sums = np.zeros_like(products)
    values = to_float(products, dtype)
    for k in range(1, x.shape[1]):
        sums[:, k] = from_float(to_float(sums[:, k - 1], dtype) + values[:, k - 1], dtype)
    return pd.DataFrame([
        _row("mul", dtype, {"x": x.ravel(), "y": y.ravel()}),
        _row("add", dtype, {"x": products.ravel(), "y": sums.ravel()}),
    ]).set_index("op")


def _contraction(layer, kind, inputs, outputs, rng):
    """Return (activations, weights), shape (outputs, length), of contractions drawn at random."""
    kernel = np.asarray(layer.kernel, np.float64)
    kernel = kernel.reshape(-1, kernel.shape[-1])
    rows = inputs.reshape(-1, inputs.shape[-1]) if kind == "Dense" else _patches(layer, inputs)
    sample = rng.integers(0, len(rows), outputs)
    return rows[sample], kernel[:, rng.integers(0, kernel.shape[1], outputs)].T


def _patches(layer, inputs):
    """Return the receptive fields of a convolution, one row each, in the kernel's order."""
    if layer.groups != 1 or layer.data_format != "channels_last":
        raise ValueError(f"layer: {layer.name!r} has groups={layer.groups}, data_format="
                         f"{layer.data_format!r}; only one group, channels last, has a rule here")
    reach = [d * (k - 1) + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    if layer.padding == "same":
        sizes = inputs.shape[1:-1]
        total = [max((-(-n // s) - 1) * s + r - n, 0)
                 for n, s, r in zip(sizes, layer.strides, reach, strict=True)]
        inputs = np.pad(inputs, [(0, 0), *((t // 2, t - t // 2) for t in total), (0, 0)])
    axes = tuple(range(1, inputs.ndim - 1))
    windows = np.lib.stride_tricks.sliding_window_view(inputs, reach, axis=axes)
    windows = windows[(slice(None), *(slice(None, None, s) for s in layer.strides))]
    windows = windows[(..., *(slice(None, None, d) for d in layer.dilation_rate))]
    windows = np.moveaxis(windows, len(axes) + 1, -1)  # channels last, as in the kernel
    return windows.reshape(-1, int(np.prod(windows.shape[len(axes) + 1:])))


def _row(op, dtype, stream):
    netlist = unit(op, dtype)
    observed = switching(netlist, **stream)
    chance = switching(netlist, **random_stream(netlist, dtype))
    zeros = np.mean([(to_float(bits, dtype) == 0).mean() for bits in stream.values()])
    return {"op": op, "transitions": observed.transitions, "std_error": observed.std_error,
            "transistors": observed.transistors, "activity": observed.activity,
            "random": chance.activity, "zeros": float(zeros), "ops": observed.ops}
