"""Drawing a model set from a grid of factors: levels in balance, work not collinear.

In a plain grid MACs and non-linear work grow together. So rows are exchanged (Fedorov, "Theory of
Optimal Experiments", 1972; Atkinson, Donev, Tobias, "Optimum Experimental Designs, with SAS", 2007,
section 12.3) until levels are in balance and the criteria of `design` are met with room.
"""

from math import prod

import numpy as np
import pandas as pd

from .design import (
    MAX_CORRELATION,
    MAX_INFLATION,
    PAIR_BASELINES,
    correlations,
    inflation_log,
    inflation_relative,
    keys,
)

#: By which an exchange must lower the cost: far above what processors round differently, so that a
#: set is the same on all of them.
MARGIN = 1e-6


def candidates(levels, rng, everything, most=20_000):
    """Return every combination of the levels, or where they are many `most` distinct ones."""
    total = prod(map(len, levels.values()))
    codes = (np.arange(total) if everything or total <= most
             else np.sort(rng.choice(total, most, replace=False)))
    table = {}
    for name, values in reversed(levels.items()):
        codes, position = np.divmod(codes, len(values))
        table[name] = [values[i] for i in position]
    return pd.DataFrame({name: table[name] for name in levels})


def draw(grid, work, n, rng, pairs=PAIR_BASELINES, rounds=3000) -> pd.DataFrame:
    """Return `n` rows of a grid of factors: balanced, not collinear, with matched pairs.

    A sixth of the rows are twins in the activation, a tenth in the normalisation. The rest begin
    as levels in balance; then a row is exchanged for another wherever that lowers the sum of the
    imbalance of levels (chi-square), of what correlation and variance inflation, by estimated
    work, exceed half of what is allowed, and of what the spread of MACs falls short of an even one.

    Parameters
    ----------
    grid : pandas.DataFrame
        Factors only, more than `n` rows.
    work : function
        Estimates the work of rows (`work_estimates.WORK`).
    n : int
    rng : numpy.random.Generator
    pairs : mapping
        Factor -> baseline.
    rounds : int
        Exchanges tried.
    """
    share = {f: n // (6 if f == "activation" else 10) for f in pairs}
    paired = np.concatenate([np.repeat(list(share), list(share.values())),
                             np.repeat("", n - 2 * sum(share.values()))]).astype(object)
    twin_of = {f: grid.assign(**{f: b}) for f, b in pairs.items()}
    eligible = {"": np.arange(len(grid)), **{
        f: np.flatnonzero(grid[f] != b) for f, b in pairs.items()}}
    columns = ["macs", "linear", "nonlinear", "comparison"]
    every = {"": grid, **twin_of}
    names = pd.factorize(pd.concat([keys(t, list(grid)).to_series() for t in every.values()]))[0]
    ids = dict(zip(every, np.split(names, len(every)), strict=True))
    loads = {f: work(t)[columns].to_numpy(float) for f, t in every.items()}
    training = (grid.phase == "training").to_numpy()
    # the spread of log MACs that rows evenly over their range have
    spread = {p: np.ptp(np.log(loads[""][training == p, 0])) / np.sqrt(12) if any(training == p)
              else 0.0 for p in (False, True)}
    levels, expected = _one_hot(grid)

    def cost(rows, bound=np.inf):
        imbalance = ((levels[rows].sum(axis=0) - expected * len(rows)) ** 2
                     / (expected * len(rows))).sum()
        if imbalance >= bound:
            return np.inf
        twins = [(f, rows[paired == f]) for f in share]
        chosen = np.concatenate([ids[""][rows], *(ids[f][r] for f, r in twins)])
        if len(np.unique(chosen)) < len(chosen):
            return np.inf
        load = np.concatenate([loads[""][rows], *(loads[f][r] for f, r in twins)])
        phase = np.concatenate([training[rows], *(training[r] for _, r in twins)])
        total = imbalance
        for p in (False, True):
            if total < bound:
                total += _collinearity(load[phase == p], spread[p])
        return total

    rows = _balanced(levels, expected, [eligible[f] for f in paired], rng)
    best = cost(rows)
    for _ in range(rounds if n > 2 else 0):
        i = rng.integers(len(rows))
        before, rows[i] = rows[i], rng.choice(eligible[paired[i]])
        now = cost(rows, best)
        if now < best - MARGIN:
            best = now
        else:
            rows[i] = before
    drawn = pd.concat([grid.iloc[rows], *(twin_of[f].iloc[rows[paired == f]] for f in share)])
    drawn = drawn.drop_duplicates()
    return drawn.sort_values(list(grid), ignore_index=True, key=_order)


def _order(column):
    return column.astype(str) if column.dtype == object else column


def _one_hot(grid):
    """Return levels as columns of 0 and 1, and each one's share of the rows in balance.

    Pairs of phase and dtype, and of phase and each of the factors that pairs are made in, are
    balanced too, so that each phase is a design of its own.
    """
    columns = {c: grid[c].astype(str) for c in grid if grid[c].nunique() > 1}
    columns |= {f"phase {c}": columns["phase"] + columns[c] for c in ("dtype", *PAIR_BASELINES)
                if "phase" in columns and c in columns}
    hot, expected = [], []
    for values in columns.values():
        code, names = pd.factorize(values)
        hot.append(np.eye(len(names), dtype=np.float32)[code])
        expected += [1 / len(names)] * len(names)
    return (np.hstack(hot), np.array(expected)) if hot else (np.zeros((len(grid), 0)), np.zeros(0))


def _balanced(levels, expected, eligible, rng):
    """Draw a row for each of `eligible` so that each level appears about equally often."""
    seen, free, rows = np.zeros(len(expected)), np.ones(len(levels), bool), []
    weight = levels / expected if len(expected) else levels
    for among in eligible:
        among = among[free[among]]
        among = among if len(among) <= 2000 else rng.choice(among, 2000, replace=False)
        load = np.round(weight[among] @ seen, 6)  # ties are ties on every processor
        pick = rng.choice(among[load == load.min()])
        free[pick] = False
        rows.append(pick)
        seen += levels[pick]
    return np.array(rows)


def _collinearity(load, spread):
    """Return by how much (MACs, linear, non-linear, comparison) work is collinear, or too alike."""
    if len(load) < 8:
        return 0.0
    correlation = np.nan_to_num(correlations(load[:, 0], load[:, 2]))
    excess = np.maximum(np.abs(correlation) - MAX_CORRELATION / 2, 0)
    work = load[:, 1:]
    inflation = np.concatenate([inflation_relative(work, work.sum(axis=1)), inflation_log(work)])
    inflation = np.maximum(np.nan_to_num(inflation) / (MAX_INFLATION / 2) - 1, 0)
    narrow = max(0, spread - np.log(load[:, 0]).std())
    return 100 * (excess**2).sum() + 10 * (inflation**2).sum() + 20 * narrow**2
