"""Fit a scaling law to measured runs."""

import warnings
from collections.abc import Sequence

import pandas as pd

from ..costs.cost_table import CostTable
from ..statistics import IDENTIFIED
from .fits import FITS, fitted
from .law import ScalingLaw
from .prepare import prepare

#: Groups below which their variance is hardly known (Gelman and Hill, 2007, section 11.5).
FEW_GROUPS = 5


def fit_scaling_law(runs: pd.DataFrame, predictors: str | Sequence[str] = ("tos",),
                    response: str = "energy_j", form: str = "relative",
                    costs: str | CostTable | None = None, *,
                    configuration: str = "configuration", group: str = "device",
                    slope: str | None = None, unit: str | None = None) -> ScalingLaw:
    """Return the law that explains `response` by `predictors` over measured runs.

    Intervals are those of the jackknife over configurations, since repeats of one configuration
    are not independent (`fits`). Least squares of the relative error minimises just that, and so
    lies below the mean by about the square of the relative scatter that its terms leave; where
    coefficients are wanted more than predictions, ``gamma`` is the unbiased law.

    Parameters
    ----------
    runs : pandas.DataFrame
        One row a measured run; the columns named here, and ``device`` and ``phase`` if there are
        several (without a ``phase`` the runs are of inference).
    predictors : str or sequence of str
        A formula, ``energy_j ~ macs + bytes``; or one term, or several with a coefficient each.
        Names of `predictors.PREDICTORS` are computed where the runs hold counts.
    response : str
        ``energy_j``; ``time_s`` where no energy was measured, and then it is a law of time.
    form : str
        One of `fits.FITS`.
    costs : str or CostTable, optional
        Cost table of predictors like ``tos``; that which `price` used, if not given.
    configuration : str
        Column that tells which runs repeat one another.
    group, slope : str
        For ``mixed``: column with a random intercept for each value, and the predictor whose
        exponent varies by it too.
    unit : str, optional
        Of the response; that which ends its name, ``energy_j``, if not given. No column tells it.

    Raises
    ------
    ValueError
        A missing column, a missing or non-positive response, mixed units, runs of several devices,
        a constant predictor, a predictor of 0 in a power law, fewer configurations than
        coefficients.

    Warns
    -----
    UserWarning
        Terms that nearly determine one another.

    Examples
    --------
    >>> runs = pd.DataFrame({"tos": [1e9, 2e9, 4e9, 8e9], "configuration": list("abcd")})
    >>> runs["energy_j"] = 2.0 + 3e-9 * runs.tos
    >>> law = fit_scaling_law(runs, "energy_j ~ tos")
    >>> law.coefficients.estimate.round(12).tolist()
    [2.0, 3e-09]
    """
    data = prepare(runs, predictors, response, form, costs, configuration=configuration,
                   group=group, unit=unit)
    if slope is not None and not (FITS[form].grouped and slope in data.terms):
        raise ValueError(f"slope: {slope!r} is for form='mixed' and one of "
                         f"{', '.join(data.terms)}")
    random = (0,) if slope is None else (0, 1 + data.terms.index(slope))
    solution = fitted(form, *data.arrays(), random)
    table, inflation, metrics = data.judge(solution)
    for name, value in inflation.items():
        if value > IDENTIFIED:
            warnings.warn(
                f"{name}: variance inflation {value:.0f}; the other predictors nearly determine "
                "it, so its coefficient is not identified; leave one out, or vary them apart",
                stacklevel=2)
    return ScalingLaw(
        form, data.response, data.unit, data.terms, data.units, table, metrics, len(runs),
        int(data.codes.max()) + 1, tuple(runs["device"].unique()) if "device" in runs else (),
        tuple(runs["phase"].unique()) if "phase" in runs else ("inference",), data.costs,
        pd.DataFrame({"lower": data.x.min(), "upper": data.x.max()}),
        _notes(table, inflation, form, solution), configuration, group, random,
        solution.effects or {}, solution.coefficients, solution.covariance, data.scales,
        solution.sigma, solution.freedom, data)


def _notes(coefficients, inflation, form, solution):
    notes = []
    for name, c in coefficients.drop("constant").iterrows():
        ends = f"[{c.lower:.3g}, {c.upper:.3g}]"
        if FITS[form].nonnegative and c.estimate == 0:
            notes.append(f"the coefficient of {name} is held at 0, {ends}: the runs ask for none")
        elif c.estimate < 0:
            notes.append(f"the coefficient of {name} is negative, {c.estimate:.3g} {ends}: no "
                         "physical cost of that work")
        elif c.lower <= 0:
            notes.append(f"the coefficient of {name} is not told from 0: {ends}")
        if inflation[name] > IDENTIFIED:
            notes.append(f"the coefficient of {name} is not identified: variance inflation "
                         f"{inflation[name]:.0f} by the other predictors")
    if solution.effects is not None and len(solution.effects) < FEW_GROUPS:
        notes.append(f"{len(solution.effects)} groups tell little of how groups vary")
    return tuple(notes)
