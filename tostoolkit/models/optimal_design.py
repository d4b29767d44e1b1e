"""Optimal designs: which rows of a grid of factors make a set, and which of a set come first.

In a plain grid MACs and elementary work grow together. So rows are exchanged (Fedorov, "Theory of
Optimal Experiments", 1972; Atkinson, Donev, Tobias, "Optimum Experimental Designs, with SAS", 2007,
section 12.3) until levels are in balance and the criteria of `design` are met with room. A sweep
with little time takes the rows of a set in the order of what they say about its factors.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..statistics import SHORT
from .design import (
    FEWEST,
    MAX_CORRELATION,
    MAX_INFLATION,
    correlations,
    factors_of,
    inflation_log,
    inflation_relative,
    keys,
)
from .families import FAMILIES, Family, Pairs

#: Rows of a grid that is drawn from; a larger one is sampled.
MOST = 20_000
#: Rows that are compared for each place in the first, balanced set; of more, a sample is.
COMPARED = 2000
#: Over the rows tried.
PASSES = 4
#: By which an exchange must lower the cost: far above what processors round differently, so that a
#: set is the same on all of them.
MARGIN = 1e-6
#: Of the parts of the cost beside the imbalance of levels, chi-square: a correlation of 0.1 too
#: much, an inflation of 1.3 times too much, or a spread of log MACs 0.2 too narrow weigh as one.
CORRELATION, INFLATION, SPREAD = 100, 10, 20
#: Configurations whose order is random although they were chosen for their information.
BATCH = 8
#: Added to the information of no rows, which gives the first ones, too few for all terms, an order.
RIDGE = 1e-3


def candidates(levels: Mapping[str, Sequence], rng: np.random.Generator, everything: bool
               ) -> pd.DataFrame:
    """Return every combination of the levels, or where they are many `MOST` distinct ones."""
    total = prod(map(len, levels.values()))
    codes = (np.arange(total) if everything or total <= MOST
             else np.sort(rng.choice(total, MOST, replace=False)))
    table = {}
    for name, values in reversed(levels.items()):
        codes, position = np.divmod(codes, len(values))
        table[name] = [values[i] for i in position]
    return pd.DataFrame({name: table[name] for name in levels})


def draw(grid: pd.DataFrame, work: Callable[[dict], Sequence[float]], n: int,
         rng: np.random.Generator, pairs: Mapping[str, Pairs],
         within: Callable[[dict], bool] | None = None, rounds: int | None = None) -> pd.DataFrame:
    """Return `n` rows of a grid of more: balanced, not collinear, with matched pairs.

    `work` takes a row to its MACs, linear, elementary and comparison TOs, `within` to whether it
    may be drawn. Of each factor of `pairs` that varies, one row in so many is a twin. The rest
    begin as levels in balance; then `rounds` rows at random, 2 `n` when left out, are put in the
    place of that one by which they lower most the sum of the imbalance of levels (chi-square), of
    what correlation and variance inflation exceed half of what is allowed, and of what the spread
    of MACs falls short of an even one. To count a row is slow: it is counted when it is first
    looked at, and not where the imbalance alone says no, at n = 96 some 200 to 330 rows.
    """
    baselines = {f: pair.baseline for f, pair in pairs.items()
                 if f in grid and grid[f].nunique() > 1 and (grid[f] == pair.baseline).any()}
    share = {f: n // pairs[f].one_in for f in baselines}
    paired = np.concatenate([np.repeat(list(share), list(share.values())),
                             np.repeat("", n - 2 * sum(share.values()))]).astype(object)
    eligible = {"": np.arange(len(grid)), **{
        f: np.flatnonzero(grid[f] != b) for f, b in baselines.items()}}
    training = (grid.phase == "training").to_numpy()
    levels, expected = _one_hot(grid, ["dtype", *pairs])
    even = expected * len(paired)
    with tqdm(desc="counting candidates", unit="count", delay=3, leave=False) as bar:
        judged = _Candidates(grid, baselines, work, within, bar)
        rows = _balanced(levels, expected, [eligible[f] for f in paired], rng,
                         [partial(judged.within, f) for f in paired])

        def cost(rows, bound=np.inf):
            total = ((levels[rows].sum(axis=0) - even) ** 2 / even).sum()
            chosen = [(f, r) for f in ("", *share) for r in (rows[paired == f] if f else rows)]
            if total >= bound or len({judged.ids[f][r] for f, r in chosen}) < len(chosen):
                return np.inf
            for phase in (False, True):
                part = [(f, r) for f, r in chosen if training[r] == phase]
                if len(part) >= FEWEST and total < bound:
                    total += _collinearity(judged.loads(part), spread[phase])
            return total

        # the spread of log MACs that rows evenly over the range of the first ones have
        spread = {}
        for phase in (False, True):
            part = [("", r) for r in rows[training[rows] == phase]]
            spread[phase] = (np.ptp(np.log(judged.loads(part)[:, 0])) / np.sqrt(12)
                             if len(part) >= FEWEST else 0.0)
        best = cost(rows)
        kinds = paired[rng.integers(len(rows), size=2 * n if rounds is None else rounds)]
        tried = [(f, rng.choice(eligible[f])) for f in kinds]
        for _ in range(PASSES if n > 2 else 0):  # of the rows once counted, the next are free
            before, looked_at = best, []
            for f, new in tried:
                places = np.flatnonzero(paired == f)
                others = levels[rows].sum(axis=0) - levels[rows[places]]
                imbalance = ((others + levels[new] - even) ** 2 / even).sum(axis=1)
                places = places[imbalance < best - MARGIN]
                if len(places) and judged.within(f, new):
                    looked_at.append((f, new))
                    best = _exchange(rows, places, new, cost, best)
            tried = looked_at
            if best == before:
                break
    drawn = pd.concat([grid.iloc[rows], *(
        judged.tables[f].iloc[rows[paired == f]] for f in share)])
    drawn = drawn.drop_duplicates()
    if len(drawn) < n:  # a grid hardly larger than the set, where twins are drawn as rows too
        free = np.flatnonzero(~keys(grid, list(grid)).isin(keys(drawn, list(grid))))
        more = [r for r in rng.permutation(free) if judged.within("", r)][: n - len(drawn)]
        drawn = pd.concat([drawn, grid.iloc[more]])
    return drawn.sort_values(list(grid), ignore_index=True, key=_order)


class _Candidates:
    """The rows of a grid, and their twins by factor, judged and counted when first looked at.

    The grid itself stands under the factor "".
    """

    def __init__(self, grid, baselines, work, within, bar):
        self.tables = {"": grid, **{f: grid.assign(**{f: b}) for f, b in baselines.items()}}
        names = pd.factorize(keys(pd.concat(self.tables.values()), list(grid)))[0]
        self.ids = dict(zip(self.tables, np.split(names, len(self.tables)), strict=True))
        self._work, self._within, self._bar = work, within, bar
        self._loads, self._judged = {}, {}

    def within(self, factor, row):
        """Whether a row may be drawn, with its twin."""
        return self._within is None or all(
            self._once(self._judged, self._within, f, row) for f in {"": "", factor: factor})

    def loads(self, chosen):
        """Return the work of pairs (factor, row) as an array."""
        return np.array([self._once(self._loads, self._work, f, r) for f, r in chosen], float)

    def _once(self, known, function, factor, row):
        name = self.ids[factor][row]
        if name not in known:
            known[name] = function(self.tables[factor].iloc[row].to_dict())
            self._bar.update()
        return known[name]


def _exchange(rows, places, new, cost, best):
    """Put `new` into that of the places where it lowers the cost most; return the cost."""
    place = None
    for i in places:
        before, rows[i] = rows[i], new
        now = cost(rows, best)
        if now < best - MARGIN:
            best, place = now, i
        rows[i] = before
    if place is not None:
        rows[place] = new
    return best


def _order(column):
    return column.astype(str) if column.dtype == object else column


def _one_hot(grid, crossed):
    """Return levels as columns of 0 and 1, and each one's share of the rows in balance.

    Pairs of phase and each of the factors `crossed` are balanced too, so that each phase is a
    design of its own.
    """
    columns = {c: grid[c].astype(str) for c in grid if grid[c].nunique() > 1}
    columns |= {f"phase {c}": columns["phase"] + columns[c] for c in crossed
                if "phase" in columns and c in columns}
    hot, expected = [], []
    for values in columns.values():
        code, names = pd.factorize(values)
        hot.append(np.eye(len(names), dtype=np.float32)[code])
        expected += [1 / len(names)] * len(names)
    return (np.hstack(hot), np.array(expected)) if hot else (np.zeros((len(grid), 0)), np.zeros(0))


def _balanced(levels, expected, eligible, rng, within):
    """Draw a row for each of `eligible` that is `within`, so that levels appear equally often."""
    seen, free, rows = np.zeros(len(expected)), np.ones(len(levels), bool), []
    weight = levels / expected
    for among, allowed in zip(eligible, within, strict=True):
        among = among[free[among]]
        among = among if len(among) <= COMPARED else rng.choice(among, COMPARED, replace=False)
        load = np.round(weight[among] @ seen, 6)  # ties are ties on every processor
        pick = None
        while pick is None:
            if not len(among):
                raise ValueError(f"n: {len(eligible)} configurations cannot be drawn; {len(rows)} "
                                 "of the combinations are within the bounds of the set; draw fewer")
            at = rng.choice(np.flatnonzero(load == load.min()))
            free[among[at]] = False
            pick = among[at] if allowed(among[at]) else None
            among, load = np.delete(among, at), np.delete(load, at)
        rows.append(pick)
        seen += levels[pick]
    return np.array(rows)


def _collinearity(load, spread):
    """Return by how much (MACs, linear, elementary, comparison) work is collinear, or too alike."""
    correlation = np.nan_to_num(correlations(load[:, 0], load[:, 2]))
    excess = np.maximum(np.abs(correlation) - MAX_CORRELATION / 2, 0)
    work = load[:, 1:]
    inflation = np.concatenate([inflation_relative(work, work.sum(axis=1)), inflation_log(work)])
    inflation = np.maximum(np.nan_to_num(inflation) / (MAX_INFLATION / 2) - 1, 0)
    narrow = max(0, spread - np.log(load[:, 0]).std())
    return (CORRELATION * (excess**2).sum() + INFLATION * (inflation**2).sum()
            + SPREAD * narrow**2)


# The order of a sweep -----------------------------------------------------------------------

def informative_order(model_set: pd.DataFrame, seed: int | Sequence[int] = 0,
                      families: Mapping[str, Family] = FAMILIES) -> np.ndarray:
    """Return the positions of a model set's rows, those first that say most about its factors.

    The factors are those that the families of the rows name, and the family itself.

    Greedy D-optimal: the row that is added to those chosen, X, is the one that most enlarges
    det(X'X + λI), hence of greatest x'(X'X + λI)⁻¹x (V. V. Fedorov, *Theory of Optimal
    Experiments*, 1972, chapter 3; A. C. Atkinson, A. N. Donev, R. D. Tobias, *Optimum Experimental
    Designs, with SAS*, 2007, chapter 11). x holds 1; the logarithm of each numeric factor,
    standardised, and its square; and an indicator of each level of the others. λ = 10⁻³ gives the
    first rows, which leave X'X singular, an order. Batches of 8 are shuffled, so that a drift of
    the machine does not pose as the effect of what was informative.

    Parameters
    ----------
    model_set : pandas.DataFrame
    seed : int or sequence of int
        Of the choice between equals, and of the order within a batch.
    families : mapping of str to Family

    Raises
    ------
    ValueError
        As `factors_of`.

    Examples
    --------
    >>> rows = pd.DataFrame({"configuration": list("abcdefghij"), "width": [8] * 9 + [64],
    ...                      "family": "feed_forward"})
    >>> 9 in informative_order(rows)[:8]
    True
    """
    rng = np.random.default_rng(seed)
    x = _terms(model_set[[*factors_of(model_set, families), "family"]])
    inverse = np.eye(x.shape[1]) / RIDGE
    gain = np.einsum("ij,jk,ik->i", x, inverse, x)
    ties = rng.permutation(len(x))
    order = []
    for _ in range(len(x)):
        order.append(ties[np.argmax(gain[ties].round(9))])
        v = inverse @ x[order[-1]]
        scale = 1 + x[order[-1]] @ v
        inverse -= np.outer(v, v) / scale  # Sherman and Morrison
        gain -= (x @ v)**2 / scale
        gain[order[-1]] = -np.inf
    batches = [rng.permutation(order[i:i + BATCH]) for i in range(0, len(order), BATCH)]
    return np.concatenate(batches)


def _terms(factors):
    """Return the columns of the model that the rows inform about; a missing factor is the mean."""
    columns = [np.ones(len(factors))]
    for name in factors:
        levels = factors[name]
        if pd.api.types.is_numeric_dtype(levels) and not pd.api.types.is_bool_dtype(levels):
            value = levels.to_numpy(float)
            value = value if (value <= 0).any() else np.log(value)
            value = np.nan_to_num((value - np.nanmean(value)) / (np.nanstd(value) or 1))
            columns += [value, value**2]
        else:
            columns += [(levels == level).to_numpy(float) for level in levels.unique()[1:]]
    x = np.column_stack(columns)
    return x[:, [True, *(np.ptp(x[:, 1:], axis=0) > SHORT)]]
