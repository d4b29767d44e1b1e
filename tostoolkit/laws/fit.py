"""Fit a scaling law to measured runs."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd

from ..costs.cost_table import CostTable
from ..costs.predictors import predictor_values, priced_by
from .fits import FITS
from .law import ScalingLaw, evaluate
from .prepare import (
    coefficient_table,
    precision_metrics,
    prepare,
    scatter,
    uncertainty,
    unscaled,
)
from .run_checks import check_response, check_size, check_terms, variance_inflation
from .terms import by_table, parse_formula, term_values


def fit_scaling_law(runs, predictors=("tos",), response="energy_j", form="relative",
                    configuration="configuration", costs=None, group="device",
                    slope=None) -> ScalingLaw:
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
    configuration : str
        Column that tells which runs repeat one another.
    costs : str or CostTable, optional
        Cost table of predictors like ``tos``; that which `price` used, if not given.
    group, slope : str
        For ``mixed``: column with a random intercept for each value, and the predictor whose
        exponent varies by it too.

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
    response, terms = parse_formula(predictors, response)
    check_response(runs, response, configuration, form, group)
    if isinstance(costs, CostTable):  # a table of yours: priced here, since only its name is kept
        own = [c for c in by_table(terms) if c not in runs]
        runs = runs.assign(**{c: predictor_values(runs, c, costs) for c in own})
        if own and own == by_table(terms):
            runs = runs.assign(costs=costs.name)
        costs = costs.name
    known = priced_by(runs) if by_table(terms) else None
    if costs and known and costs != known and set(by_table(terms)) & set(runs.columns):
        raise ValueError(f"costs: {costs!r}, but {by_table(terms)[0]!r} of the runs was priced by "
                         f"{known!r}; use tos.price(runs, {costs!r})")
    costs = costs or known or (None if set(by_table(terms)) & set(runs.columns) else "cmos")
    x = term_values(runs, terms, costs)
    check_terms(x, form)
    check_size(runs, x, configuration)
    data = prepare(runs, terms, response, form, configuration, group=group, x=x)
    if slope is not None and (form != "mixed" or slope not in terms):
        raise ValueError(f"slope: {slope!r} is for form='mixed' and one of {', '.join(terms)}")
    random = (0,) if slope is None else (0, 1 + terms.index(slope))
    found = FITS[form].solve(*data.arrays(), random)
    covariance, degrees, lower, upper = uncertainty(form, data, found, random)
    table = coefficient_table(unscaled(
        np.column_stack([found.coefficients, np.sqrt(np.diag(covariance)), lower, upper]),
        data.scales, form), terms)
    inflation = variance_inflation(
        np.log(data.x) if FITS[form].scale == "log" else data.x, weights=found.weights)
    for name, value in inflation.items():
        if value > 10:
            warnings.warn(
                f"{name}: variance inflation {value:.0f}; the other predictors nearly determine "
                "it, so its coefficient is not identified; leave one out, or vary them apart",
                stacklevel=2)
    law = ScalingLaw(
        form, response, terms, table, pd.Series(dtype=float), len(runs), int(data.codes.max()) + 1,
        tuple(runs["device"].unique()) if "device" in runs else (),
        tuple(runs["phase"].unique()) if "phase" in runs else ("inference",), costs,
        pd.DataFrame({"lower": data.x.min(), "upper": data.x.max()}),
        _notes(table, inflation, form, found), configuration, group, random, found.effects or {},
        found.coefficients, covariance, data.scales, scatter(form, data, found),
        float(degrees.min()), runs.copy(deep=False))
    mean = evaluate(law, data.x, data.groups if law.effects else None)[0]
    mean = np.exp(mean) if FITS[form].scale == "log" else mean
    return replace(law, metrics=precision_metrics(runs[response], mean))


def _notes(coefficients, inflation, form, found):
    notes = []
    for name, c in coefficients.drop("constant").iterrows():
        ends = f"[{c.lower:.3g}, {c.upper:.3g}]"
        if form == "nonnegative" and c.estimate == 0:
            notes.append(f"the coefficient of {name} is held at 0, {ends}: the runs ask for none")
        elif c.estimate < 0:
            notes.append(f"the coefficient of {name} is negative, {c.estimate:.3g} {ends}: no "
                         "physical cost of that work")
        elif c.lower <= 0:
            notes.append(f"the coefficient of {name} is not told from 0: {ends}")
        if inflation[name] > 10:
            notes.append(f"the coefficient of {name} is not identified: variance inflation "
                         f"{inflation[name]:.0f} by the other predictors")
    if found.effects is not None and len(found.effects) < 5:
        notes.append(f"{len(found.effects)} groups tell little of how groups vary")
    return tuple(notes)
