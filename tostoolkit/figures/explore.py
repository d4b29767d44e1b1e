"""Drawings for exploration, in the paper's style: a report, models side by side, a circuit."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from ..op_kinds import OP_KINDS
from .style import OKABE_ITO, ONE_COLUMN, TWO_COLUMNS, WORK_COLOURS, in_style, new_figure

if TYPE_CHECKING:
    from ..circuits.netlist import Netlist


@in_style
def report_overview(report, n_layers: int = 15) -> Figure:
    """Cost of one model by op kind and by layer.

    Parameters
    ----------
    report : tostoolkit.Report
    n_layers : int
        How many of the dearest layers to show.
    """
    figure, ((left, right),) = new_figure(
        TWO_COLUMNS, 0.9 + 0.13 * max(n_layers, 8), 1, 2, width_ratios=[1, 1.4])
    ops = report.by_op[report.by_op.cost > 0]
    labels = [f"{op} {dtype}" for dtype, op in ops.index]
    left.barh(np.arange(len(ops)), ops.cost, color=[WORK_COLOURS[w] for w in ops.work])
    left.set(xscale="log", xlabel=f"cost ({report.costs.unit})", title="by op",
             yticks=np.arange(len(ops)), yticklabels=labels)
    table = report.table.loc[report.table.sum(axis=1).nlargest(n_layers).index]
    names = [layer if report.phase == "inference" else f"{layer} ({part})"
             for layer, part in table.index]  # of a training step the rows are told by part
    left_edge = np.zeros(len(table))
    for work, colour in WORK_COLOURS.items():
        of_work = [OP_KINDS[op] == work for op in table.columns.get_level_values("op")]
        cost = table.loc[:, of_work].sum(axis=1).to_numpy()
        right.barh(np.arange(len(table)), cost, left=left_edge, color=colour, label=work)
        left_edge += cost
    title = "1 layer" if len(report.table) == 1 else f"{len(table)} dearest layers"
    right.set(xlabel=f"cost ({report.costs.unit})", title=title,
              yticks=np.arange(len(table)), yticklabels=names)
    right.legend(loc="lower right", frameon=True)
    right.xaxis.set_major_formatter(EngFormatter())
    for axes in (left, right):
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
    figure.suptitle(report.model)
    return figure


@in_style
def comparison(table: pd.DataFrame) -> Figure:
    """MACs, cost and bytes of several models, relative to the first.

    Parameters
    ----------
    table : pandas.DataFrame
        As `compare` returns.
    """
    figure, ((axes,),) = new_figure(ONE_COLUMN, 1.0 + 0.3 * len(table))
    columns = {"relative_macs": "MACs", "relative_cost": "cost", "relative_bytes": "bytes"}
    y = np.arange(len(table))
    for i, (column, label) in enumerate(columns.items()):
        axes.barh(y + 0.25 * (i - 1), table[column], 0.24, color=OKABE_ITO[i], label=label)
    axes.set(yticks=y, yticklabels=table.index, xlabel=f"relative to {table.index[0]}")
    axes.axvline(1, color="0.4", lw=0.8)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.legend()
    return figure


@in_style
def circuit(netlist: "Netlist") -> Figure:
    """Cells of a small circuit, from its inputs on the left to its outputs on the right.

    Parameters
    ----------
    netlist : tostoolkit.circuits.Netlist
        Finished; a few tens of cells at most are legible.
    """
    from ..circuits.netlist import KINDS

    level = [0] * len(netlist.kinds)
    for net, nets in enumerate(netlist.fanins):
        level[net] = 1 + max(level[x] for x in nets) if nets else 0
    names = {net: KINDS[kind] for net, kind in enumerate(netlist.kinds) if kind is not None}
    for name, word in netlist.inputs.items():
        names |= {net: name if len(word) == 1 else f"{name}{i}" for i, net in enumerate(word)}
    columns = [[net for net in names if level[net] == k] for k in range(max(level) + 1)]
    height = max(map(len, columns))
    place = {net: (k, (height - len(column)) / 2 + i)
             for k, column in enumerate(columns) for i, net in enumerate(column)}
    figure, ((axes,),) = new_figure(ONE_COLUMN, 0.5 + 0.4 * height)
    for net in names:
        for x in netlist.fanins[net]:
            axes.plot(*zip(place[x], place[net], strict=True), color="0.6", lw=0.8, zorder=1)
        axes.text(*place[net], names[net], ha="center", va="center", zorder=2, bbox={
            "boxstyle": "round", "fc": "w" if netlist.fanins[net] else "0.9", "ec": "0.3"})
    for name, word in netlist.outputs.items():
        for i, net in enumerate(word):
            x, y = place[net]
            label = name if len(word) == 1 else f"{name}{i}"
            axes.annotate(label, (x, y), (len(columns) - 0.4, y), va="center",
                          arrowprops={"arrowstyle": "-", "color": "0.6", "lw": 0.8, "zorder": 1})
    axes.set(xlim=(-0.4, len(columns) + 0.1), ylim=(height - 0.4, -0.6))
    axes.axis("off")
    return figure
