"""Op counts x costs -> transistor operations: the `Report`."""

from dataclasses import dataclass

import pandas as pd

from .cost_table import CostTable, load_cost_table
from .op_count import OP_COUNTERS, count_ops
from .op_kinds import LINEAR, OP_KINDS


@dataclass(frozen=True)
class Report:
    """What a model costs under one cost table.

    Attributes
    ----------
    model : str
        The model's name.
    counts : pandas.DataFrame
        Op counts: one row a layer call, columns ``(dtype, op)``.
    costs : CostTable
    batch_size : int
    phase : str
    unpriced : pandas.Series
        Counts of the ops that the table has no cost for, left out of every figure here; empty
        unless ``missing="skip"`` was asked for.
    """

    model: str
    counts: pd.DataFrame
    costs: CostTable
    batch_size: int
    phase: str
    unpriced: pd.Series

    @property
    def table(self) -> pd.DataFrame:
        """Cost of every layer call by ``(dtype, op)``, in the table's unit."""
        priced = self.counts.drop(columns=self.unpriced.index)
        return priced * self.costs.costs.reindex(priced.columns)

    @property
    def total(self) -> float:
        """Cost of one batch: the sum of counts x costs."""
        return float(self.table.to_numpy().sum())

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one batch."""
        return int(self._macs_per_layer.sum())

    @property
    def _macs_per_layer(self):
        ops = self.counts.columns.get_level_values("op")
        return self.counts.loc[:, ops == "mac"].sum(axis=1).astype("int64")

    @property
    def flops(self) -> int:
        """Floating-point operations of one batch, as the ``flops`` cost table counts them."""
        flops = load_cost_table("flops").costs
        return int((self.counts @ flops.reindex(self.counts.columns)).sum())

    @property
    def per_layer(self) -> pd.DataFrame:
        """One row a layer call: MACs, cost, share of the total, share of its non-linear work."""
        table = self.table
        cost = table.sum(axis=1)
        linear = table.loc[:, _is_linear(table.columns)].sum(axis=1)
        return pd.DataFrame({
            "macs": self._macs_per_layer,
            "cost": cost,
            "share": cost / (self.total or 1.0),
            "nonlinear_share": ((cost - linear) / cost).where(cost > 0, 0.0),
        })

    @property
    def by_op(self) -> pd.DataFrame:
        """One row per ``(dtype, op)``: class of work, count, cost, share; dearest first."""
        cost = self.table.sum()
        frame = pd.DataFrame({
            "work": [OP_KINDS[op] for _, op in cost.index],
            "count": self.counts.sum().reindex(cost.index),
            "cost": cost,
            "share": cost / (self.total or 1.0),
        })
        return frame.sort_values("cost", ascending=False)

    @property
    def nonlinear_share(self) -> float:
        """Share of the cost that is neither multiply-accumulate, addition nor multiplication."""
        table = self.table
        other = table.loc[:, [not linear for linear in _is_linear(table.columns)]]
        return float(other.to_numpy().sum()) / (self.total or 1.0)

    def plot(self, n_layers=15):
        """Return a figure: cost by op kind, and the `n_layers` dearest layers.

        Examples
        --------
        ``tos.transistor_ops(model).plot()``
        """
        from .figures import report_overview

        return report_overview(self, n_layers)

    def __str__(self):
        layers = self.per_layer.sort_values("cost", ascending=False).head(10)
        lines = [
            f"{self.model}: {si(self.total)} {self.costs.unit} ({self.costs.name} costs), "
            f"{si(self.macs)} MACs, {si(self.flops)} FLOPs",
            f"batch size {self.batch_size}, {self.phase}, {len(self.counts)} layer calls; "
            f"{self.nonlinear_share:.2%} of the cost is non-linear or comparison work",
            *self._unpriced_line(),
            "",
            "by op",
            _text(self.by_op.reset_index(), {"count": si, "cost": si, "share": "{:.2%}".format}),
            "",
            f"dearest layers ({len(layers)} of {len(self.counts)})",
            _text(layers.reset_index(), _FORMATS),
        ]
        return "\n".join(lines)

    __repr__ = __str__

    def _unpriced_line(self):
        if self.unpriced.empty:
            return []
        ops = ", ".join(f"{op} {dtype} ({si(n)})" for (dtype, op), n in self.unpriced.items())
        return [f"not priced by {self.costs.name}: {ops}"]

    def _repr_html_(self):
        from itables import to_html_datatable

        head = "<br>".join(str(self).splitlines()[:3]).rstrip("<br>")
        layers = self.per_layer.reset_index()
        layers["share"] = layers["share"].map("{:.2%}".format)
        layers["nonlinear_share"] = layers["nonlinear_share"].map("{:.2%}".format)
        table = to_html_datatable(
            layers, connected=False, showIndex=False, order=[[3, "desc"]], pageLength=10,
            columnDefs=[{"targets": [2, 3], "className": "dt-right"}],
        )
        return f"<p>{head}</p>{table}"


def cost_shares(report) -> pd.DataFrame:
    """Return the shares of a report's cost by op kind and by layer kind, as one tidy table.

    Returns
    -------
    pandas.DataFrame
        ``model``, ``by`` (``"op"`` or ``"layer"``), ``kind``, ``share`` (0 to 1); the shares of
        each ``by`` sum to 1.

    Examples
    --------
    ``pandas.concat(tos.cost_shares(report) for report in reports)``
    """
    by = {
        "op": report.table.T.groupby(level="op").sum().sum(axis=1),
        "layer": report.table.sum(axis=1).groupby(level="kind").sum(),
    }
    return pd.concat([
        pd.DataFrame({"model": report.model, "by": name, "kind": cost.index,
                      "share": cost.to_numpy() / (report.total or 1.0)})
        for name, cost in by.items()
    ], ignore_index=True)


_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def si(value) -> str:
    """Return a number with an SI prefix: ``si(3857973248)`` is ``'3.86 G'``."""
    for scale, prefix in _PREFIXES:
        if abs(value) >= scale:
            return f"{value / scale:.3g} {prefix}"
    return f"{value:.3g}"


_FORMATS = {"macs": si, "cost": si, "share": "{:.2%}".format, "nonlinear_share": "{:.2%}".format}


def _text(frame, formats):
    return frame.to_string(index=False, formatters=formats)


def _is_linear(columns):
    return [OP_KINDS[op] == LINEAR for _, op in columns]


def transistor_ops(model, costs="cmos", batch_size=1, phase="inference", *, input_shape=None,
                   counters=OP_COUNTERS, missing="raise") -> Report:
    """Return the transistor operations of one batch through `model`, with where they go.

    TO = sum over layers l and ops o of n(l, o) c(o): n counts, c the cost of op o in its number
    format, in transistors under the default table.

    Parameters
    ----------
    model : keras.Model or keras.Layer
    costs : str, Path or CostTable
        Name of a table (`cost_tables` lists them), a CSV file, or a table.
    batch_size : int
    phase : {"inference"}
    input_shape : tuple of int, optional
        Shape of one sample, where the model leaves a dimension open.
    counters : mapping
        Kind of layer -> counter, as for `count_ops`.
    missing : {"raise", "skip"}
        What to do with ops that the table has no cost for: an error, or leave them out of the
        total and list them in ``Report.unpriced``.

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
    counts = count_ops(model, batch_size, phase, input_shape=input_shape, counters=counters)
    return price(model.name, counts, costs, batch_size, phase, missing)


def price(model_name, counts, costs, batch_size=1, phase="inference", missing="raise") -> Report:
    """Return the Report of counts that exist already, as from `count_ops`."""
    if missing not in ("raise", "skip"):
        raise ValueError(f"missing: {missing!r} is unknown; use 'raise' or 'skip'")
    gaps = counts.columns.difference(costs.costs.index)
    if len(gaps) and missing == "raise":
        ops = ", ".join(f"{op} in {dtype}" for dtype, op in gaps)
        raise ValueError(
            f"costs: table {costs.name!r} has no cost for {ops}, which {model_name!r} needs; use "
            "another table (tos.cost_tables()), add the rows to a CSV file of your own, or leave "
            "them out with missing='skip'"
        )
    return Report(model_name, counts, costs, batch_size, phase, counts.sum()[gaps])
