"""The paper's figures, one function each: data in, `Figure` out.

The first line of each docstring is the figure's caption.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from ..op_kinds import OP_KINDS
from .style import OKABE_ITO, ONE_COLUMN, TWO_COLUMNS, WORK_COLOURS, in_style, looks, new_figure

LEGEND = 20  # groups that a legend under the panels has room for


@in_style
def published_energies(points: pd.DataFrame) -> Figure:
    """Published energy of an op against the transistors of its unit; the line has slope 1.

    Parameters
    ----------
    points : pandas.DataFrame
        ``source``, ``op``, ``dtype``, ``energy_pj``, ``transistors``.
    """
    figure, ((axes,),) = new_figure(ONE_COLUMN, 2.8)
    for colour, (source, group) in zip(
            OKABE_ITO, points.groupby("source", sort=False), strict=False):
        for op, marker in (("add", "o"), ("mul", "s")):
            part = group[group.op == op]
            axes.plot(part.transistors, part.energy_pj, ls="none", marker=marker, color=colour,
                      label=f"{op}, {source}")
        ratio = np.exp(np.log(group.energy_pj / group.transistors).mean())
        ends = np.array([group.transistors.min(), group.transistors.max()])
        axes.plot(ends, ratio * ends, color=colour, lw=0.8)
        for row in group.itertuples():
            axes.annotate(row.dtype, (row.transistors, row.energy_pj), (3, -2),
                          textcoords="offset points", fontsize=4.5, color="0.3")
    axes.set(xscale="log", yscale="log", xlabel="transistors of the unit",
             ylabel="published energy (pJ)")
    axes.legend()
    return figure


@in_style
def op_costs(costs: pd.DataFrame) -> Figure:
    """Cost of each op under each cost table, relative to one multiply-accumulate.

    Parameters
    ----------
    costs : pandas.DataFrame
        Index: op kinds; one column a cost table; values in MACs of that table.
    """
    figure, ((axes,),) = new_figure(TWO_COLUMNS, 2.9)
    order = [op for op in OP_KINDS if op in costs.index and op != "mac"]
    x = np.arange(len(order))
    for i, table in enumerate(costs.columns):
        values = costs[table].reindex(order)
        axes.plot(x + 0.07 * (i - len(costs.columns) / 2), values.where(values > 0), ls="none",
                  marker="osD^vPX*<>"[i], color=OKABE_ITO[i % 7], label=table)
    axes.axhline(1, color="0.5", lw=0.8)
    axes.set(yscale="log", ylabel="cost of one op (MACs)", xticks=x)
    axes.set_xticklabels(order, rotation=45, ha="right")
    for tick, op in zip(axes.get_xticklabels(), order, strict=True):
        tick.set_color(WORK_COLOURS[OP_KINDS[op]])
    axes.legend(ncols=2)
    return figure


@in_style
def to_shares(shares: pd.DataFrame) -> Figure:
    """Share of transistor operations by op kind, and of the rest by layer kind, model by model.

    Parameters
    ----------
    shares : pandas.DataFrame
        Tidy: ``model``, ``by`` (``"op"`` or ``"layer"``), ``kind``, ``share`` (0 to 1).
    """
    figure, ((left, right),) = new_figure(TWO_COLUMNS, 2.7, 1, 2)
    shares = shares[(shares.by != "op") | (shares.kind != "mac")]
    for axes, by, title in ((left, "op", "by op kind, beside the MACs"),
                            (right, "layer", "by layer kind")):
        part = shares[shares.by == by]
        wide = part.pivot(index="model", columns="kind", values="share").fillna(0.0)
        top = wide.max().nlargest(7).index
        wide = wide[top].assign(other=wide.drop(columns=top).sum(axis=1)) * 100
        left_edge = np.zeros(len(wide))
        for colour, kind in zip((*OKABE_ITO, "0.7"), wide.columns, strict=False):
            if wide[kind].max() == 0:
                continue
            axes.barh(wide.index, wide[kind], left=left_edge, color=colour, label=kind)
            left_edge += wide[kind].to_numpy()
        axes.set(xlabel="share of transistor operations (%)", title=title)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.legend(fontsize=5.5, loc="lower center", bbox_to_anchor=(0.5, 1.1), ncols=4)
    right.set_yticklabels([])
    return figure


@in_style
def scaling_law(runs: pd.DataFrame, curve: pd.DataFrame, x: str, y: str,
                labels: tuple[str, str]) -> Figure:
    """Measured runs against transistor operations, with the fitted law and its 95 % interval.

    Parameters
    ----------
    runs : pandas.DataFrame
        One point a run: columns `x`, `y` and ``activation``.
    curve : pandas.DataFrame
        The law on a grid, sorted: `x`, ``mean``, ``lower``, ``upper``.
    x, y : str
    labels : tuple of str
        Axis labels, with units.
    """
    figure, ((axes,),) = new_figure(ONE_COLUMN, 3.0)
    look = looks(runs.activation)
    for name, group in runs.groupby("activation", sort=False):
        colour, marker = look[name]
        axes.plot(group[x], group[y], ls="none", marker=marker, color=colour, alpha=0.7,
                  mew=0, label=name)
    axes.plot(curve[x], curve["mean"], color="k")
    axes.fill_between(curve[x], curve["lower"].clip(lower=runs[y].min() / 10), curve["upper"],
                      color="k", alpha=0.12, lw=0)
    axes.set(xscale="log", yscale="log", xlabel=labels[0], ylabel=labels[1])
    figure.legend(*axes.get_legend_handles_labels(), ncols=4, loc="outside upper center",
                  handletextpad=0.1, columnspacing=0.8)
    return figure


@in_style
def predicted_against_measured(predictions: pd.DataFrame, label: str) -> Figure:
    """Held-out prediction against measurement, predictor by predictor.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Tidy: ``predictor``, ``measured``, ``predicted``; ``group`` colours the points.
    label : str
        What was measured, with its unit.
    """
    predictors = predictions.groupby("predictor", sort=False)
    figure, (row,) = new_figure(TWO_COLUMNS, 2.3, 1, len(predictors), sharex=True, sharey=True)
    look = looks(predictions.group)
    for axes, (name, part) in zip(row, predictors, strict=True):
        for group, (colour, marker) in look.items():
            points = part[part.group == group]
            positive = points[points.predicted > 0]
            axes.plot(positive.measured, positive.predicted, ls="none", marker=marker, mew=0,
                      color=colour, alpha=0.6, label=group)
        ends = [part.measured.min(), part.measured.max()]
        axes.plot(ends, ends, color="0.4", lw=0.8)
        error = np.abs(part.predicted / part.measured - 1)
        axes.set(xscale="log", yscale="log", xlabel=f"measured {label}",
                 title=f"{name}\nmean error {error.mean():.1%}, median {error.median():.1%}")
    row[0].set_ylabel(f"predicted {label}")
    if 1 < len(look) <= LEGEND:
        figure.legend(*row[0].get_legend_handles_labels(), ncols=10, loc="outside lower center",
                      handletextpad=0.1, columnspacing=0.8)
    return figure


@in_style
def heldout_error(errors: pd.DataFrame) -> Figure:
    """Mean relative error on data held out, by predictor and protocol.

    Parameters
    ----------
    errors : pandas.DataFrame
        Tidy: ``dataset``, ``protocol``, ``predictor``, ``mean_relative_error`` (fraction); and,
        where known, ``lower`` and ``upper``.
    """
    names, protocols = (list(dict.fromkeys(errors[c])) for c in ("predictor", "protocol"))
    datasets = errors.groupby("dataset", sort=False)
    figure, (row,) = new_figure(
        TWO_COLUMNS, 1.2 + 0.16 * len(names), 1, len(datasets), sharey=True)
    for axes, (dataset, part) in zip(row, datasets, strict=True):
        for i, protocol in enumerate(protocols):  # a protocol looks the same in every panel
            if protocol not in set(part.protocol):
                continue
            line = part[part.protocol == protocol].set_index("predictor").reindex(names)
            y = np.arange(len(names)) + 0.15 * (i - (len(protocols) - 1) / 2)
            value = 100 * line.mean_relative_error
            axes.plot(value, y, ls="none", marker="osD^v"[i], color=OKABE_ITO[i], label=protocol)
            if "lower" in line:
                axes.hlines(y, 100 * line.lower, 100 * line.upper, color=OKABE_ITO[i], lw=0.8)
        axes.set(xscale="log", xlabel="mean relative error (%)", title=dataset,
                 yticks=range(len(names)), yticklabels=names)
        axes.xaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}",
                       minor_locator=NullLocator())
    row[0].invert_yaxis()
    handles = {label: handle for axes in row for handle, label in zip(
        *axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, ncols=len(handles), loc="outside lower center")
    return figure


@in_style
def design(counted: pd.DataFrame) -> Figure:
    """MACs and elementary transistor operations of each model set, and how they correlate.

    Parameters
    ----------
    counted : pandas.DataFrame
        One row a configuration: ``family``, ``phase``, ``macs``, ``tos_elementary``; rows with no
        elementary functions have no logarithm and are not drawn.
    """
    families = counted.groupby("family", sort=False)
    figure, (row,) = new_figure(TWO_COLUMNS, 2.4, 1, len(families), sharey=True)
    for axes, (family, models) in zip(row, families, strict=True):
        lines = []
        phases = models[models.tos_elementary > 0].groupby("phase")
        for colour, marker, (phase, points) in zip(OKABE_ITO, "os", phases, strict=False):
            axes.plot(points.macs, points.tos_elementary, ls="none", marker=marker, mew=0,
                      color=colour, alpha=0.7, label=phase)
            r = np.corrcoef(np.log(points.macs), np.log(points.tos_elementary))[0, 1]
            lines.append(f"{phase} r = {r:.2f}")
        axes.set(xscale="log", yscale="log", xlabel="MACs per step",
                 title=f"{family.replace('_', '-')}\n{', '.join(lines)}")
    row[0].set_ylabel("elementary TOs per step")
    row[0].legend()
    return figure


#: Factor -> title of the panel of its pairs; factors of one title share it.
PANELS = {"activation": "another activation than relu", "batch_norm": "normalisation",
          "normalization": "normalisation"}


@in_style
def pair_effects(effects: pd.DataFrame, label: str) -> Figure:
    """Effect of an activation or a normalisation at equal MACs: measured, and as laws predict it.

    Parameters
    ----------
    effects : pandas.DataFrame
        As `pair_effects` returns it for several data sets and laws; the rows of all levels
        together are drawn. The measured columns are the same for all laws.
    label : str
        What was measured.
    """
    effects = effects[effects.level == "all others"]
    panels = effects.groupby(effects.factor.map(PANELS).fillna(effects.factor), sort=False)
    figure, (row,) = new_figure(TWO_COLUMNS, 2.0, 1, len(panels))
    for axes, (panel, part) in zip(row, panels, strict=True):
        sets = part.drop_duplicates("dataset")
        y = np.arange(len(sets))
        axes.axvline(0, color="0.5", lw=0.8)
        axes.hlines(y, 100 * sets.lower, 100 * sets.upper, color="k", lw=0.8)
        axes.plot(100 * sets.effect, y, ls="none", marker="o", color="k", label="measured")
        for colour, marker, (law, predicted) in zip(
                OKABE_ITO, "D^sv", part.groupby("law", sort=False), strict=False):
            effect = predicted.set_index("dataset").predicted_effect.loc[sets.dataset]
            axes.plot(100 * effect, y + 0.15, ls="none", marker=marker, mfc="none", mec=colour,
                      label=f"{law}, predicted")
        axes.set(yticks=y, ylim=(len(y) - 0.5, -0.5), title=panel, xlabel=f"change of {label} (%)")
        axes.set_yticklabels([f"{name} ({n})" for name, n in zip(
            sets.dataset, sets.n_pairs, strict=True)])
        axes.grid(axis="y", visible=False)
    figure.legend(*row[0].get_legend_handles_labels(), ncols=4, loc="outside lower center")
    return figure


@in_style
def predictor_errors(errors: pd.DataFrame) -> Figure:
    """Held-out mean relative error of each predictor on each data set, least in each column bold.

    Parameters
    ----------
    errors : pandas.DataFrame
        Tidy: ``data`` (label of the column), ``predictor``, ``mean_relative_error`` (fraction).
        Missing where a predictor cannot be fitted.
    """
    import seaborn as sns

    names, sets = (list(dict.fromkeys(errors[c])) for c in ("predictor", "data"))
    wide = 100 * errors.pivot(index="predictor", columns="data",
                              values="mean_relative_error").loc[names, sets]
    figure, ((axes,),) = new_figure(TWO_COLUMNS, 1.3 + 0.17 * len(names))
    relative = np.log(wide / wide.min())
    text = wide.map(lambda x: "" if np.isnan(x) else f"{x:.1f}" if x < 99.95 else f"{x:.0f}")
    sns.heatmap(relative, ax=axes, annot=text, fmt="", cmap="Blues", vmin=0, vmax=np.log(6),
                cbar=False, linewidths=0.5, annot_kws={"fontsize": 5.5})
    best = relative.to_numpy() == 0
    for cell, bold in zip(axes.texts, best[~np.isnan(relative.to_numpy())], strict=True):
        cell.set_fontweight("bold" if bold else "normal")
    axes.set(xlabel="", ylabel="", title="mean relative error held out (%)")
    axes.tick_params(length=0)
    axes.grid(False)
    axes.set_xticklabels(axes.get_xticklabels(), rotation=30, ha="right")
    return figure


@in_style
def cost_sensitivity(table: pd.DataFrame) -> Figure:
    """Held-out error of one TO number as its elementary or its element-wise work weighs more.

    Parameters
    ----------
    table : pandas.DataFrame
        As `cost_sensitivity` returns it for several data sets.
    """
    sets = table.groupby("dataset", sort=False)
    figure, (row,) = new_figure(TWO_COLUMNS, 2.4, 1, len(sets))
    for axes, (data, rows) in zip(row, sets, strict=True):
        for colour, (part, line) in zip(OKABE_ITO, rows.groupby("part", sort=False), strict=False):
            line = line[line.macs_per_op > 0]
            axes.plot(line.macs_per_op, 100 * line.mean_relative_error, color=colour, label=part)
            axes.fill_between(line.macs_per_op, 100 * line.lower, 100 * line.upper, color=colour,
                              alpha=0.12, lw=0)
            best = line[line.best]
            axes.plot(best.macs_per_op, 100 * best.mean_relative_error, "*", color=colour, ms=6)
            axes.axvspan(line.table_low.iloc[0], line.table_high.iloc[0], ymax=0.04, color=colour,
                         alpha=0.5, lw=0)
        macs = 100 * (line.mean_relative_error - line.difference_macs).iloc[0]
        axes.axhline(macs, color="0.4", ls="--", lw=0.8, label="MACs alone")
        axes.set(xscale="log", title=data, xlabel="weight of an op (MACs)")
    row[0].set_ylabel("mean relative error held out (%)")
    row[0].legend()
    return figure
