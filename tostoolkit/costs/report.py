"""Op counts x costs -> transistor operations: the `Report`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..counting.count import OP_COUNTERS, count
from ..counting.data_movement import movement_on_rows
from ..op_kinds import LINEAR, OP_KINDS
from . import report_views
from .cost_table import CostTable, load_cost_table

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Report:
    """What a model costs under one cost table.

    Attributes
    ----------
    model : str
        The model's name.
    counts : pandas.DataFrame
        Op counts, as `count_ops` returns them: one row a layer call, or a layer and part of a
        training step; columns ``(dtype, op)``.
    costs : CostTable
    movement : pandas.DataFrame
        Bytes of weights read, of all else read and written, as `count_bytes`: by layer call, or by
        layer and part of a training step.
    batch_size : int
    phase : str
    unpriced : pandas.Series
        Counts of the ops that the table has no cost for, left out of every figure here; empty
        unless ``missing="skip"`` was asked for.
    coverage : dict of str to int
        How many layer calls were counted by ``rule``, by ``trace``, as ``zero``.
    kinds : mapping of str to str
        Layer call -> kind of layer: ``{"head": "Dense"}``.
    notes : tuple of str
        What was taken for granted in a trace: conditionals whose dearer branch was counted, say.
    """

    model: str
    counts: pd.DataFrame
    costs: CostTable
    movement: pd.DataFrame
    batch_size: int
    phase: str
    unpriced: pd.Series
    coverage: dict
    kinds: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def table(self) -> pd.DataFrame:
        """Cost of every layer call by ``(dtype, op)``, in the table's unit."""
        return self._table.copy(deep=False)  # what is written into it stays out of the report

    @cached_property
    def _table(self):
        counts = self.counts
        if not self.unpriced.empty:
            counts = counts.drop(columns=self.unpriced.index)
        return pd.DataFrame(self._floats(counts) * _costs_of(counts, self.costs),
                            counts.index, counts.columns)

    def _floats(self, counts):
        """Return counts as floats; an error where they are beyond those."""
        try:
            return counts.to_numpy(float)
        except OverflowError:
            largest = max(map(int, counts.to_numpy().ravel()))
            raise OverflowError(
                f"batch_size: at {_magnitude(self.batch_size)} {self.model!r} takes "
                f"{_magnitude(largest)} ops of a kind, more than a float holds (1.8e308), so they "
                "have no price; count at batch_size=1 and multiply") from None

    @property
    def total(self) -> float:
        """Cost of one batch: the sum of counts x costs."""
        return self._total

    @cached_property
    def _total(self):
        return float(self._table.to_numpy().sum())

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one batch."""
        return int(self._macs_per_layer.sum())

    @cached_property
    def _macs_per_layer(self):
        macs = self.counts.loc[:, self.counts.columns.get_level_values("op") == "mac"]
        return macs.sum(axis=1) if len(macs.columns) else pd.Series(0, macs.index)

    @property
    def flops(self) -> int:
        """Floating-point operations of one batch, as the ``flops`` cost table counts them."""
        costs = _costs_of(self.counts, load_cost_table("flops"))
        return int(sum(int(n) * Fraction(cost)  # exactly, which floats are not beyond 2^53
                       for n, cost in zip(self.counts.sum(), costs, strict=True)))

    @property
    def bytes_moved(self) -> int:
        """Bytes that one batch reads and writes: weights, activations, in training gradients."""
        return int(self.movement.to_numpy().sum())

    @cached_property
    def _flops_per_layer(self):
        costs = _costs_of(self.counts, load_cost_table("flops"))
        return pd.Series(self._floats(self.counts) @ costs, self.counts.index)

    @property
    def per_layer(self) -> pd.DataFrame:
        """One row a layer call: index ``layer``, ``kind`` of layer, and of training its ``part``.

        MACs; cost, in the table's unit; its share of the total; the non-linear share of it, which
        is elementary functions and comparisons; bytes of weights, of activations read and written;
        and the arithmetic intensity, FLOPs per byte moved (missing where nothing moves). The update
        of all weights of a training step is one row; bytes of a layer that op counts do not tell
        apart have a row of their own (`movement_on_rows`).
        """
        movement = movement_on_rows(self.movement, self.counts.index)
        rows = movement.index
        table = self._table.reindex(rows, fill_value=0.0)
        cost = table.sum(axis=1)
        linear = table.loc[:, [OP_KINDS[op] == LINEAR for _, op in table.columns]].sum(axis=1)
        moved = movement.sum(axis=1)
        flops = self._flops_per_layer.reindex(rows, fill_value=0.0)
        return pd.DataFrame({
            "macs": self._macs_per_layer.reindex(rows, fill_value=0),
            "cost": cost,
            "share": cost / (self.total or 1.0),
            "nonlinear_share": ((cost - linear) / cost).where(cost > 0, 0.0),
            **movement,
            "flops_per_byte": flops / moved.where(moved > 0),
        }).set_axis(self._by_kind(rows))

    def _by_kind(self, rows):
        """Return rows of the counts by layer and kind of layer; a training step's by part too."""
        if self.phase == "inference":
            return rows
        return pd.MultiIndex.from_tuples(
            [(layer, self._kind(layer, part), part) for layer, part in rows],
            names=["layer", "kind", "part"])

    def _kind(self, layer, part):
        """Return the kind of a layer; all else is ``loss``, ``optimizer`` or ``operators``."""
        if part == "update":  # whatever layer is called "optimizer"
            return "optimizer"
        call = layer
        while call not in self.kinds and "/" in call:  # a trace tells a layer's parts apart
            call = call.rpartition("/")[0]
        return self.kinds.get(call, layer.strip("()"))

    @property
    def by_op(self) -> pd.DataFrame:
        """One row per ``(dtype, op)``: class of work, count, cost, share; dearest first."""
        cost = self._table.sum()
        frame = pd.DataFrame({
            "work": [OP_KINDS[op] for _, op in cost.index],
            "count": self.counts.sum().reindex(cost.index),
            "cost": cost,
            "share": cost / (self.total or 1.0),
        })
        return frame.sort_values("cost", ascending=False)

    @property
    def nonlinear_share(self) -> float:
        """Share of the cost that is non-linear work: neither MAC, addition nor multiplication.

        It is that of elementary functions and of comparisons; `by_op` tells the two apart.
        """
        ops = self.by_op
        return float(ops.cost[ops.work != LINEAR].sum()) / (self.total or 1.0)

    @property
    def shares(self) -> pd.DataFrame:
        """Shares of the cost by op kind, by kind of layer, and by part of a training step; tidy.

        Columns ``model``, ``by`` (``"op"``, ``"layer"``; of training also ``"part"``, which is
        ``forward``, ``backward`` or ``update``), ``kind``, ``share`` (0 to 1). The shares of each
        ``by`` sum to 1, but where a model costs nothing. The loss, the optimizer and operators
        outside of layers are kinds of layer of their own in a training step.

        Examples
        --------
        ``pandas.concat([report.shares for report in reports])``
        """
        layers = self.per_layer.cost
        by = {"op": self._table.T.groupby(level="op").sum().sum(axis=1),
              "layer": layers.groupby(level="kind").sum()}
        if self.phase == "training":
            by["part"] = layers.groupby(level="part", sort=False).sum()
        return pd.concat([
            pd.DataFrame({"model": self.model, "by": name, "kind": cost.index,
                          "share": cost.to_numpy() / (self.total or 1.0)})
            for name, cost in by.items()
        ], ignore_index=True)

    def under(self, costs: str | Path | CostTable, missing: str = "raise") -> "Report":
        """Return the report of the same counts at other costs; errors as `transistor_ops`.

        Examples
        --------
        ``tos.transistor_ops(model).under("gpu-ieee").total``
        """
        costs = load_cost_table(costs)
        return replace(self, costs=costs, unpriced=_gaps(self.model, self.counts, costs, missing))

    def plot(self, n_layers: int = 15) -> "Figure":
        """Return a figure: cost by op kind, and the `n_layers` dearest layers.

        Examples
        --------
        ``tos.transistor_ops(model).plot()``
        """
        from ..figures.explore import report_overview

        return report_overview(self, n_layers)

    def __str__(self):
        return report_views.text(self)

    __repr__ = __str__

    def _repr_html_(self):
        return report_views.html(self)

    def interactive(self) -> report_views.Html:
        """Return the layers as a table that sorts and searches in Jupyter (itables).

        Examples
        --------
        ``tos.transistor_ops(model).interactive()``
        """
        return report_views.interactive(self)


def transistor_ops(
    model: "keras.Model | keras.Layer", costs: str | Path | CostTable = "cmos",
    batch_size: int = 1, phase: str = "inference", *, input_shape: tuple[int, ...] | None = None,
    counters: Mapping = OP_COUNTERS, missing: str = "raise",
    loss: "str | keras.Loss | None" = None, optimizer: "str | keras.Optimizer | None" = None,
    targets: Any = None,
) -> Report:
    """Return the transistor operations of one batch through `model`, with where they go.

    TO = sum over layers l and ops o of n(l, o) c(o): n counts, c the cost of op o in its number
    format, in transistors under the default table.

    Parameters
    ----------
    model : keras.Model, keras.Layer, function or torch.nn.Module
        A function of JAX arrays, or a module, with `input_shape`, as for `count_ops`.
    costs : str, Path or CostTable
        Name of a table (`cost_tables` lists them), a CSV file, or a table.
    batch_size : int
    phase : {"inference", "training"}
    input_shape : tuple of int, optional
        Shape of one sample, where the model leaves a dimension open.
    counters : mapping
        Kind of layer -> counter, as for `count_ops`.
    missing : {"raise", "skip"}
        What to do with ops that the table has no cost for: an error, or leave them out of the
        total and list them in ``Report.unpriced``.
    loss, optimizer : str or Keras object, optional
        For training; those of the compiled model, when left out.
    targets : optional
        For training: what the loss compares the outputs with, as for `count_ops`.

    Raises
    ------
    ValueError
        As `count_ops` and `load_cost_table`; and a cost table that lacks an op of the model.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, use_bias=False)])
    >>> transistor_ops(model, costs="flops").total
    64.0
    """
    costs = load_cost_table(costs)
    counted = count(model, batch_size, phase, input_shape=input_shape, counters=counters,
                    loss=loss, optimizer=optimizer, targets=targets)
    unpriced = _gaps(counted.name, counted.counts, costs, missing)
    return Report(
        counted.name, counted.counts, costs, counted.bytes, batch_size, phase, unpriced,
        counted.coverage, {call.path: call.kind for call in counted.calls}, counted.notes)


def _gaps(model_name, counts, costs, missing):
    """Return the counts of the ops that `costs` does not price, or raise."""
    if missing not in ("raise", "skip"):
        raise ValueError(f"missing: {missing!r} is unknown; use 'raise' or 'skip'")
    gaps = counts.columns[costs.costs.index.get_indexer(counts.columns) < 0].sort_values()
    if len(gaps) and missing == "raise":
        ops = ", ".join(f"{op} in {dtype}" for dtype, op in gaps)
        raise ValueError(
            f"costs: table {costs.name!r} has no cost for {ops}, which {model_name!r} needs; use "
            "another table (tos.cost_tables()), add the rows to a CSV file of your own, or leave "
            "them out with missing='skip'")
    return counts[gaps].sum()


def _costs_of(counts, costs):
    """Return the costs of the columns of counts, as floats: products of integers could wrap."""
    known = costs.costs
    return known.to_numpy(float)[known.index.get_indexer(counts.columns)]


def _magnitude(n):
    """Return an integer for a message, where it is long as a power of ten."""
    return str(n) if abs(n) < 10**12 else f"about 10^{len(str(abs(n))) - 1}"
