"""The noise ceiling: how well runs could be predicted at most, from their own repeats."""

import numpy as np
import pandas as pd

from .run_checks import check_response


def noise_ceiling(runs, response="energy_j", configuration="configuration", bootstrap=1000,
                  seed=0) -> pd.Series:
    """Return the relative error with which a configuration's other repeats predict a run.

    Each run is predicted by the mean of the others of its configuration (and device, where there
    are several). A law that knew each configuration's true mean would do better yet, by the factor
    sqrt(r / (r - 1))^-1 of r alike repeats at most.

    Parameters
    ----------
    runs : pandas.DataFrame
    response, configuration : str
        Columns.
    bootstrap, seed : int
        Resamples of the configurations, for the interval.

    Returns
    -------
    pandas.Series
        ``mean_relative_error``, ``lower``, ``upper`` (95 %), ``median_relative_error``,
        ``n_runs``, ``n_configurations`` that have repeats, ``n_single`` that have none and are
        left out.

    Raises
    ------
    ValueError
        No configuration has two runs; as `fit_scaling_law` of the response.

    Examples
    --------
    >>> runs = pd.DataFrame({"configuration": list("aabb"), "energy_j": [1.0, 1.0, 2.0, 2.5]})
    >>> round(float(noise_ceiling(runs).mean_relative_error), 4)  # (0 + 0 + 0.25 + 0.2) / 4
    0.1125
    """
    # each device has its own repeats, so that several are no error here
    check_response(runs.drop(columns="device", errors="ignore"), response, configuration)
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
    sums, sizes = np.bincount(code, error), np.bincount(code)
    n = len(sizes)
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), bootstrap)
    low, high = np.quantile((times @ sums) / (times @ sizes), [0.025, 0.975])
    return pd.Series({
        "mean_relative_error": error.mean(), "lower": low, "upper": high,
        "median_relative_error": error.median(), "n_runs": int(repeated.sum()),
        "n_configurations": n, "n_single": int(grouped.ngroups - size[repeated].groupby(
            [runs.loc[repeated, k].to_numpy() for k in keys]).ngroups)}, dtype=object)
