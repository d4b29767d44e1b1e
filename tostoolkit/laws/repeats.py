"""What repeats tell: how well runs could be predicted at most, and which effects could be told."""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..statistics import LEVEL, percentiles, resampled_means
from .prepare import check_response

#: Relative effects of which it is said how many matched pairs would tell them from none.
EFFECTS = (0.03, 0.2)
#: Probability that such an effect, if it is there, is told from 0.
POWER = 0.95
#: More pairs than any sweep has: where the search for the number needed ends.
MOST_PAIRS = 10**9


def repeatability(runs, response="energy_j", *, configuration="configuration",
                  effects: Sequence[float] = EFFECTS, power=POWER, bootstrap=1000,
                  seed=0) -> pd.Series | pd.DataFrame:
    """Return how well a configuration's other repeats predict a run: the noise ceiling.

    Each run is predicted by the mean of the others of its configuration (and device and phase,
    where there are several). A law that knew each configuration's true mean would do better yet,
    by the factor sqrt(r / (r - 1))^-1 of r alike repeats at most.

    And how many matched pairs tell an effect from none at that noise: the sample size n of a paired
    t test whose effect size is log(1 + effect) over the standard deviation of a pair's log ratio,
    s sqrt(2 / r), for a scatter s of the logs of repeats within configurations and r repeats of
    each (`statsmodels.stats.power.TTestPower`; Cohen, "Statistical Power Analysis", 1988, chapter
    2).

    Parameters
    ----------
    runs : pandas.DataFrame or dict of str to DataFrame
        With repeats; or several data sets by their names.
    response, configuration : str
        Columns.
    effects : sequence of float
        Relative: 0.03 is 3 %.
    power : float
        Probability that an effect, if it is there, is told from 0 at 95 %.
    bootstrap, seed : int
        Resamples of the configurations, for the interval.

    Returns
    -------
    pandas.Series
        ``mean_relative_error``, ``lower``, ``upper`` (95 %), ``median_relative_error``,
        ``n_runs``, ``n_configurations`` that have repeats, ``n_single`` that have none and are
        left out, and ``pairs_for_0.03`` and its like. Of several data sets a DataFrame, one row
        each.

    Raises
    ------
    ValueError
        No configuration has two runs; an effect of 0 or at most -1; a power not between 0 and 1;
        as `fit_scaling_law` of the response.

    Examples
    --------
    >>> runs = pd.DataFrame({"configuration": list("aabb"), "energy_j": [1.0, 1.0, 2.0, 2.5]})
    >>> round(float(repeatability(runs).mean_relative_error), 4)  # (0 + 0 + 0.25 + 0.2) / 4
    0.1125
    """
    if isinstance(runs, dict):
        options = {"configuration": configuration, "effects": effects, "power": power,
                   "bootstrap": bootstrap, "seed": seed}
        return pd.DataFrame({name: repeatability(part, response, **options)
                             for name, part in runs.items()}).T.rename_axis("dataset")
    # each device has its own repeats, so that several are not an error here
    check_response(runs.drop(columns="device", errors="ignore"), response,
                   configuration=configuration)
    keys = [configuration, *(c for c in ("device", "phase") if c in runs)]
    y = runs[response].astype(float)
    grouped = y.groupby([runs[k].to_numpy() for k in keys], dropna=False)
    size, total = grouped.transform("size"), grouped.transform("sum")
    repeated = size > 1
    if not repeated.any():
        raise ValueError(f"{configuration}: a single repeat of each, so their noise is unknown; "
                         "measure again with repeats=3")
    error = (((total - y) / (size - 1).where(repeated) - y) / y).abs()[repeated]
    code = pd.factorize(runs.loc[repeated, configuration])[0]
    sums = np.column_stack([np.bincount(code, error), np.bincount(code)])
    low, high = percentiles(resampled_means({"": sums}, bootstrap, seed)[""])
    single = grouped.ngroups - size[repeated].groupby(
        [runs.loc[repeated, k].to_numpy() for k in keys]).ngroups
    return pd.Series({
        "mean_relative_error": error.mean(), "lower": low, "upper": high,
        "median_relative_error": error.median(), "n_runs": int(repeated.sum()),
        "n_configurations": len(sums), "n_single": int(single),
        **{f"pairs_for_{effect:g}": _pairs_needed(np.log(y), grouped, effect, power)
           for effect in effects}}, dtype=object)


def _pairs_needed(logs, grouped, effect, power):
    """Return how many matched pairs tell an effect from none, at the noise that repeats show."""
    from statsmodels.stats.power import TTestPower

    if not (effect > -1 and effect):
        raise ValueError(f"effects: {effect!r} is none to be told from 0; give 0.03 for 3 %")
    if not 0 < power < 1:
        raise ValueError(f"power: {power!r} is not a probability between 0 and 1")
    means = logs.groupby(grouped.ngroup()).transform("mean")
    freedom = len(logs) - grouped.ngroups
    scatter = np.sqrt(((logs - means) ** 2).sum() / freedom)
    of_pair = scatter * np.sqrt(2 * grouped.ngroups / len(logs))
    if not of_pair:  # repeats that are all alike: two pairs have a variance, of 0
        return 2
    size, pairs = abs(np.log1p(effect)) / of_pair, range(2, MOST_PAIRS)
    if TTestPower().power(size, MOST_PAIRS, 1 - LEVEL) < power:
        raise ValueError(f"effects: {effect!r} takes more than {MOST_PAIRS:.0e} pairs; ask for a "
                         "larger one")
    # not its solve_power, which finds nothing where two or three pairs are enough
    return pairs[bisect_left(pairs, power, key=lambda n: TTestPower().power(size, n, 1 - LEVEL))]
