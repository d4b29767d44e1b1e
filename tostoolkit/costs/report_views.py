"""A `Report` as text, as HTML in Jupyter, and as a table that sorts and searches."""

from dataclasses import dataclass
from itertools import groupby

#: SI prefixes: scale -> letter.
_PREFIXES = {1e30: "Q", 1e27: "R", 1e24: "Y", 1e21: "Z", 1e18: "E", 1e15: "P", 1e12: "T", 1e9: "G",
             1e6: "M", 1e3: "k"}
_BAR = "#56B4E9"  # of a share
_DEAREST = 10  # layers that the text shows


def si(value: float) -> str:
    """Return a number with an SI prefix, of three digits.

    >>> si(3857973248), si(-1500), si(7)
    ('3.86 G', '-1.5 k', '7')
    """
    scale, prefix = _prefix(abs(value))
    return f"{value / scale:.3g} {prefix}".rstrip()


def _prefix(size):
    """Return the scale and letter of the SI prefix that a size is read with."""
    return next(((s, p) for s, p in _PREFIXES.items() if size >= s), (1, ""))


_SHARE = "{:.2%}".format
_FORMATS = {"macs": si, "cost": si, "share": _SHARE, "nonlinear_share": _SHARE}


def text(report) -> str:
    """Return a report as text: totals, cost by op, the dearest layers."""
    rows = _rows(report)
    layers = rows.nlargest(_DEAREST, "cost")
    ops = report.by_op.reset_index()
    return "\n".join([
        *_head(report),
        "",
        "by op",
        "nothing is computed" if ops.empty else ops.to_string(
            index=False, formatters={"count": si, "cost": si, "share": _SHARE}),
        "",
        f"dearest layers ({len(layers)} of {len(rows)})",
        layers.reset_index()[[*layers.index.names, *_columns(layers)]].to_string(
            index=False, formatters=_FORMATS),
    ])


def _head(report):
    work = report.by_op.groupby("work").share.sum()
    unpriced = ", ".join(
        f"{op} {dtype} ({si(n)})" for (dtype, op), n in report.unpriced.items())
    return [
        f"{report.model}: {si(report.total)} {report.costs.unit} ({report.costs.name} costs), "
        f"{si(report.macs)} MACs, {si(report.flops)} FLOPs",
        f"batch size {report.batch_size}, {report.phase}, {_calls(report)}; "
        f"{report.nonlinear_share:.2%} of the cost is non-linear work, "
        f"{work.get('elementary', 0.0):.2%} elementary functions and "
        f"{work.get('comparison', 0.0):.2%} comparisons",
        "layer calls counted by " + ", by ".join(
            f"{how} {n}" for how, n in report.coverage.items()).replace("by zero", "as zero"),
        *([f"not priced by {report.costs.name}: {unpriced}"] if unpriced else []),
        *(f"note: {note}" for note in report.notes),
    ]


def _calls(report):
    n = len(report.counts)
    if report.phase == "inference":
        return f"{n} layer call{'' if n == 1 else 's'}"
    return f"{n} parts of layers"


def html(report) -> str:
    """Return a report as HTML: totals, cost by op, the layers, those of a nested model folded."""
    ops = report.by_op.style.format({"count": si, "cost": si, "share": _SHARE}).bar(
        subset="share", color=_BAR, vmin=0, vmax=1)
    layers = _rows(report)
    return (f"<p>{'<br>'.join(_head(report))}</p>{ops.to_html()}"
            f"<details><summary>{_calls(report)}</summary>"
            f"{_folded(layers[_columns(layers)], report.costs.unit)}</details>")


def _folded(layers, unit, prefix=""):
    """Return the layers as HTML, those of a nested model folded into one line."""
    names = layers.index.get_level_values("layer").str.removeprefix(prefix)
    models = names.str.partition("/").get_level_values(0).where(names.str.contains("/"), "")
    parts = []
    for model, rows in groupby(range(len(layers)), models.__getitem__):
        block = layers.iloc[list(rows)]
        if model:
            parts.append(
                f"<details><summary>{prefix}{model}: {len(block)} layer calls, "
                f"{si(block.macs.sum())} MACs, {si(block.cost.sum())} {unit}, "
                f"{block.share.sum():.2%}</summary>"
                f"{_folded(block, unit, f'{prefix}{model}/')}</details>")
        else:
            parts.append(block.style.format(_FORMATS).bar(
                subset="share", color=_BAR, vmin=0, vmax=1).to_html())
    return "".join(parts)


@dataclass(frozen=True)
class Html:
    """Text that Jupyter shows as HTML."""

    html: str

    def _repr_html_(self):
        return self.html


def interactive(report) -> Html:
    """Return the layers of a report as a table that sorts and searches in Jupyter (itables)."""
    from itables import init_notebook_mode, to_html_datatable

    init_notebook_mode(all_interactive=False, connected=False)  # no network is needed
    frame = _rows(report).reset_index()
    cost = frame.columns.get_loc("cost")
    frame[["share", "nonlinear_share"]] *= 100
    units = {"macs": "", "cost": report.costs.unit, "share": "%", "nonlinear_share": "%",
             **dict.fromkeys(report.movement.columns, "B"), "flops_per_byte": ""}
    for column, unit in units.items():  # one prefix a column, so that it sorts as numbers
        scale, prefix = (1, "") if unit == "%" else _prefix(frame[column].abs().max())
        label = f"{column.removesuffix('_bytes')} ({prefix}{unit})".removesuffix(" ()")
        frame[column] = (frame[column] / scale).map("{:.4g}".format).astype(float)
        frame = frame.rename(columns={column: label})
    return Html(to_html_datatable(
        frame, connected=False, order=[[cost, "desc"]], showIndex=False,
        caption=f"{report.model}, {report.costs.name} costs"))


def _rows(report):
    """`Report.per_layer`, with the dtype of most of a call's work (empty: no work)."""
    layers = report.per_layer
    work = report.table.T.groupby(level="dtype").sum().T
    dtype = work.idxmax(axis=1).where(work.sum(axis=1) > 0, "") if len(work.columns) else []
    layers.insert(0, "dtype", [*dtype, *[""] * (len(layers) - len(dtype))])
    if "part" not in layers.index.names:  # else the rows say it
        layers.insert(1, "phase", report.phase)
    return layers


def _columns(layers):
    """Return the columns of the layers that a reader sees first."""
    return [c for c in ("dtype", "phase", "macs", "cost", "share", "nonlinear_share")
            if c in layers]
