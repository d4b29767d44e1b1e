"""Held-out validation: what a law is worth on data that it has not seen.

A fold never splits the repeats of one configuration.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .fits import FITS, mean_response
from .prepare import Prepared, design_matrix
from .terms import term_values


def folds(runs: pd.DataFrame, protocol: str, configuration: str = "configuration", k: int = 10,
          seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the (train, test) row positions of a validation protocol.

    Parameters
    ----------
    runs : pandas.DataFrame
    protocol : str
        ``in-sample`` (train and test on all); ``k-fold`` (over configurations);
        ``leave-one-<column>-out`` (each value of the column in turn);
        ``top-quartile-<column>`` (train on the lower three quarters, test on the top one; the
        column may be a predictor that the runs' counts tell).
    configuration : str
        Column that tells which runs repeat one another.
    k : int
        Number of folds of ``k-fold``.
    seed : int
        Of the order in which configurations are dealt to folds.

    Raises
    ------
    ValueError
        An unknown protocol or column; fewer groups than folds.

    Examples
    --------
    >>> runs = pd.DataFrame({"configuration": list("aabbcc")})
    >>> [test.tolist() for _, test in folds(runs, "k-fold", k=3)]
    [[0, 1], [2, 3], [4, 5]]
    """
    rows = np.arange(len(runs))
    if protocol == "in-sample":
        return [(rows, rows)]
    if protocol == "k-fold":
        if k < 2:
            raise ValueError(f"k: {k} leaves no runs to train on; use k=10")
        code, names = pd.factorize(runs[configuration])
        if len(names) < k:
            raise ValueError(f"k: {k} folds of {len(names)} configurations; use k={len(names)} "
                             "or measure more")
        dealt = np.random.default_rng(seed).permutation(len(names)) % k
        group = dealt[code]
        order = list(dict.fromkeys(group))
    elif protocol.startswith("leave-one-") and protocol.endswith("-out"):
        column = protocol.removeprefix("leave-one-").removesuffix("-out")
        # codes, since a missing value is not equal to itself
        group, values = pd.factorize(_column(runs, column, protocol), use_na_sentinel=False)
        order = range(len(values))
        if len(order) < 2:
            raise ValueError(f"protocol: {column!r} has one value, {values[0]!r}, so none can be "
                             "left out; use 'k-fold'")
    elif protocol.startswith("top-quartile-"):
        column = protocol.removeprefix("top-quartile-")
        try:
            x = term_values(runs, [column])[0][column]
        except ValueError:
            _column(runs, column, protocol)  # tells the protocol, where it is not a column
            raise
        group = (x > x.quantile(0.75)).to_numpy()
        order = [True]
        if not group.any():
            raise ValueError(f"protocol: {protocol!r}: no run lies above the quartile of "
                             f"{column}, {x.max():g}, for ties; use 'k-fold'")
    else:
        raise ValueError(
            f"protocol: {protocol!r} is unknown; use 'in-sample', 'k-fold', "
            "'leave-one-<column>-out' or 'top-quartile-<column>'")
    return [(rows[group != g], rows[group == g]) for g in order]


def _column(runs, column, protocol):
    if column not in runs:
        raise ValueError(f"protocol: {protocol!r} needs a column {column!r}; there are "
                         f"{', '.join(runs.columns)}")
    return runs[column]


def held_out(data: Prepared, parts: Sequence[tuple[np.ndarray, np.ndarray]],
             random: tuple[int, ...] = (0,)) -> pd.Series:
    """Return the prediction of each tested run by a law fitted without its fold.

    As `ScalingLaw.held_out`; `parts` are those of `folds`, `random` the columns of the design with
    random coefficients, of a mixed law.
    """
    rows, values = [], []
    for train, test in parts:
        try:
            trained = data.take(train)
        except ValueError as error:
            raise ValueError(f"{error} (in the runs that train a fold)") from None
        solution = FITS[data.form].solve(*trained.arrays(), random)
        design = design_matrix(data.x.iloc[test], data.form, trained.scales)
        mean = mean_response(
            design, solution.coefficients, solution.effects, data.groups[test])
        rows.append(test)
        values.append(np.exp(mean) if FITS[data.form].scale == "log" else mean)
    rows, values = np.concatenate(rows), np.concatenate(values)
    return pd.Series(values, index=data.runs.index[rows], name=data.response)
