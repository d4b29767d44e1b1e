"""Op counts x costs -> transistor operations: the `Report`."""

from dataclasses import dataclass

import pandas as pd

from ..counting.count import OP_COUNTERS, count
from ..counting.data_movement import COLUMNS as MOVEMENT_COLUMNS
from ..counting.data_movement import movement_on_rows
from ..op_kinds import LINEAR, OP_KINDS
from .cost_table import CostTable, load_cost_table


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
    movement : pandas.DataFrame
        Bytes of weights read, of all else read and written, as `count_bytes`: by layer call, for
        training by layer call and part of the step.
    batch_size : int
    phase : str
    unpriced : pandas.Series
        Counts of the ops that the table has no cost for, left out of every figure here; empty
        unless ``missing="skip"`` was asked for.
    coverage : dict of str to int
        How many layer calls were counted by ``rule``, by ``trace``, as ``zero``.
    """

    model: str
    counts: pd.DataFrame
    costs: CostTable
    movement: pd.DataFrame
    batch_size: int
    phase: str
    unpriced: pd.Series
    coverage: dict

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
        return int(self._flops_per_layer.sum())

    @property
    def bytes_moved(self) -> int:
        """Bytes that one batch reads and writes: weights, activations, in training gradients."""
        return int(self.movement.to_numpy().sum())

    @property
    def _flops_per_layer(self):
        return self.counts @ load_cost_table("flops").costs.reindex(self.counts.columns)

    @property
    def per_layer(self) -> pd.DataFrame:
        """One row a layer call.

        MACs; cost, in the table's unit; its share of the total; the share of it that is not
        linear; bytes of weights, of activations read and written; and the arithmetic intensity,
        FLOPs per byte moved (missing where nothing moves). Of a training step one row a layer call
        and part of it, the update of all weights being one; bytes of a layer that op counts do not
        tell apart have a row of their own (`movement_on_rows`).
        """
        movement = movement_on_rows(self.movement, self.counts.index)
        table = self.table.reindex(movement.index, fill_value=0.0)
        cost = table.sum(axis=1)
        linear = table.loc[:, _is_linear(table.columns)].sum(axis=1)
        moved = movement.sum(axis=1)
        flops = self._flops_per_layer.reindex(movement.index, fill_value=0)
        return pd.DataFrame({
            "macs": self._macs_per_layer.reindex(movement.index, fill_value=0),
            "cost": cost,
            "share": cost / (self.total or 1.0),
            "nonlinear_share": ((cost - linear) / cost).where(cost > 0, 0.0),
            **movement,
            "flops_per_byte": flops / moved.where(moved > 0),
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
        from ..figures.explore import report_overview

        return report_overview(self, n_layers)

    def __str__(self):
        layers = self._rows.sort_values("cost", ascending=False).head(10)
        lines = [
            f"{self.model}: {si(self.total)} {self.costs.unit} ({self.costs.name} costs), "
            f"{si(self.macs)} MACs, {si(self.flops)} FLOPs",
            f"batch size {self.batch_size}, {self.phase}, {len(self.counts)} layer calls; "
            f"{self.nonlinear_share:.2%} of the cost is non-linear work",
            "layer calls counted by " + ", by ".join(
                f"{how} {n}" for how, n in self.coverage.items()).replace("by zero", "as zero"),
            *self._unpriced_line(),
            "",
            "by op",
            _text(self.by_op.reset_index(), {"count": si, "cost": si, "share": "{:.2%}".format}),
            "",
            f"dearest layers ({len(layers)} of {len(self.counts)})",
            _text(layers.reset_index()[_SHOWN], _FORMATS),
        ]
        return "\n".join(lines)

    __repr__ = __str__

    def _unpriced_line(self):
        if self.unpriced.empty:
            return []
        ops = ", ".join(f"{op} {dtype} ({si(n)})" for (dtype, op), n in self.unpriced.items())
        return [f"not priced by {self.costs.name}: {ops}"]

    def _repr_html_(self):
        head = "<br>".join(line for line in str(self).splitlines()[:4] if line)
        ops = self.by_op.style.format({"count": si, "cost": si, "share": "{:.2%}"}).bar(
            subset="share", color="#56B4E9", vmin=0, vmax=1)
        return (f"<p>{head}</p>{ops.to_html()}<details><summary>{len(self.counts)} layer calls"
                f"</summary>{_folded(self._rows[_SHOWN[2:]], self.costs.unit)}</details>")

    def interactive(self):
        """Return the layers as a table that sorts and searches in Jupyter (itables).

        Examples
        --------
        ``tos.transistor_ops(model).interactive()``
        """
        from itables import init_notebook_mode, to_html_datatable

        init_notebook_mode(all_interactive=False, connected=False)  # no network is needed
        frame = self._rows.reset_index()
        cost = frame.columns.get_loc("cost")
        frame[["share", "nonlinear_share"]] *= 100
        units = {"macs": "", "cost": self.costs.unit, "share": "%", "nonlinear_share": "%",
                 **dict.fromkeys(MOVEMENT_COLUMNS, "B"), "flops_per_byte": ""}
        for column, unit in units.items():  # one prefix a column, so that it sorts as numbers
            scale, prefix = _prefix(frame[column].abs().max())
            label = f"{column.removesuffix('_bytes')} ({prefix}{unit})".removesuffix(" ()")
            frame[column] = (frame[column] / scale).map("{:.4g}".format).astype(float)
            frame = frame.rename(columns={column: label})
        html = to_html_datatable(frame, connected=False, order=[[cost, "desc"]], showIndex=False,
                                 caption=f"{self.model}, {self.costs.name} costs")
        return _Html(html)

    @property
    def _rows(self):
        """`per_layer`, with the phase and the dtype of most of a call's work (empty: no work)."""
        by_dtype = self.table.T.groupby(level="dtype").sum().T
        layers = self.per_layer
        layers.insert(0, "dtype", by_dtype.idxmax(axis=1).where(by_dtype.sum(axis=1) > 0).reindex(
            layers.index).fillna("") if len(by_dtype.columns) else "")
        layers.insert(1, "phase", self.phase)
        return layers


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


_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def si(value) -> str:
    """Return a number with an SI prefix: ``si(3857973248)`` is ``'3.86 G'``."""
    scale, prefix = _prefix(abs(value))
    return f"{value / scale:.3g} {prefix}".rstrip()


def _prefix(size):
    """Return the scale and letter of the SI prefix that a size is read with."""
    return next(((s, p) for s, p in _PREFIXES if size >= s), (1, ""))


_SHOWN = ["layer", "kind", "dtype", "phase", "macs", "cost", "share", "nonlinear_share"]
_FORMATS = {"macs": si, "cost": si, "share": "{:.2%}".format, "nonlinear_share": "{:.2%}".format}


@dataclass(frozen=True)
class _Html:
    """Text that Jupyter shows as HTML."""

    html: str

    def _repr_html_(self):
        return self.html


def _folded(layers, unit, prefix=""):
    """Return the layers as HTML, those of a nested model folded into one line."""
    names = layers.index.get_level_values("layer").str.removeprefix(prefix)
    groups = names.str.partition("/").get_level_values(0).where(names.str.contains("/"), "")
    parts, start = [], 0
    for i in range(1, len(layers) + 1):
        if i < len(layers) and groups[i] == groups[start]:
            continue
        block = layers.iloc[start:i]
        if groups[start]:
            inside = f"{prefix}{groups[start]}/"
            parts.append(
                f"<details><summary>{prefix}{groups[start]}: {len(block)} layer calls, "
                f"{si(block.macs.sum())} MACs, {si(block.cost.sum())} {unit}, "
                f"{block.share.sum():.2%}</summary>{_folded(block, unit, inside)}</details>")
        else:
            parts.append(block.style.format(_FORMATS).bar(
                subset="share", color="#56B4E9", vmin=0, vmax=1).to_html())
        start = i
    return "".join(parts)


def _text(frame, formats):
    return frame.to_string(index=False, formatters=formats)


def _is_linear(columns):
    return [OP_KINDS[op] == LINEAR for _, op in columns]


def transistor_ops(model, costs="cmos", batch_size=1, phase="inference", *, input_shape=None,
                   counters=OP_COUNTERS, missing="raise", loss=None, optimizer=None) -> Report:
    """Return the transistor operations of one batch through `model`, with where they go.

    TO = sum over layers l and ops o of n(l, o) c(o): n counts, c the cost of op o in its number
    format, in transistors under the default table.

    Parameters
    ----------
    model : keras.Model or keras.Layer
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
                    loss=loss, optimizer=optimizer)
    unpriced = _gaps(model.name, counted.counts, costs, missing)
    return Report(model.name, counted.counts, costs, counted.bytes, batch_size, phase, unpriced,
                  counted.coverage)


def _gaps(model_name, counts, costs, missing):
    """Return the counts of the ops that `costs` does not price, or raise."""
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
    return counts.sum()[gaps]


def compare(models, costs="cmos", batch_size=1, phase="inference", **kwargs) -> pd.DataFrame:
    """Return the totals of several models side by side, one row a model.

    Parameters
    ----------
    models : list of keras.Model or Report
        A model is counted with the other arguments, as by `transistor_ops`; the reports among
        them must be under the same cost table.

    Returns
    -------
    pandas.DataFrame
        Index: the models' names. MACs, FLOPs, cost and bytes of one batch, the share of work that
        is not linear; and ``relative_macs``, ``relative_cost``, ``relative_bytes`` to the first.

    Raises
    ------
    ValueError
        No models; reports under different cost tables, batch sizes or phases.

    Examples
    --------
    >>> import keras
    >>> small, large = (
    ...     keras.Sequential([keras.Input((8,)), keras.layers.Dense(n)], name=f"dense_{n}")
    ...     for n in (4, 12))
    >>> compare([small, large], costs="macs").relative_cost.tolist()
    [1.0, 3.0]
    """
    reports = [
        m if isinstance(m, Report) else transistor_ops(m, costs, batch_size, phase, **kwargs)
        for m in models
    ]
    if not reports:
        raise ValueError("models: the list is empty; pass models or reports")
    kinds = {(r.costs.name, r.batch_size, r.phase) for r in reports}
    if len(kinds) > 1:
        raise ValueError(f"models: reports under different settings, {sorted(kinds)}; "
                         "count them with the same cost table, batch size and phase")
    table = pd.DataFrame({
        "macs": [r.macs for r in reports], "flops": [r.flops for r in reports],
        "cost": [r.total for r in reports], "bytes": [r.bytes_moved for r in reports],
        "nonlinear_share": [r.nonlinear_share for r in reports],
    }, index=pd.Index([r.model for r in reports], name="model"))
    for column in ("macs", "cost", "bytes"):
        table[f"relative_{column}"] = table[column] / table[column].iloc[0]
    return table
