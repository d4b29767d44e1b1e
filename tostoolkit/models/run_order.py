"""The order in which a sweep with little time takes the configurations of a model set."""

import numpy as np
import pandas as pd

BATCH = 8  # configurations whose order is random although they were chosen for their information


def informative_order(model_set, seed=0) -> np.ndarray:
    """Return the positions of a model set's rows, those first that say most about its factors.

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

    Examples
    --------
    >>> rows = pd.DataFrame({"configuration": list("abcdefghij"), "width": [8] * 9 + [64]})
    >>> 9 in informative_order(rows)[:8]
    True
    """
    rng = np.random.default_rng(seed)
    x = _terms(model_set)
    inverse = np.eye(x.shape[1]) / 1e-3
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


def _terms(model_set):
    columns = [np.ones(len(model_set))]
    for name in model_set.columns.drop("configuration"):
        values = model_set[name]
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            value = values.to_numpy(float)
            value = np.log(value) if (value > 0).all() else value
            value = (value - value.mean()) / (value.std() or 1)
            columns += [value, value**2]
        else:
            columns += [(values == level).to_numpy(float) for level in values.unique()[1:]]
    x = np.column_stack(columns)
    return x[:, [True, *(np.ptp(x[:, 1:], axis=0) > 1e-9)]]
