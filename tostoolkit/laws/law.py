"""Energy scaling laws: energy ~ predictors, fitted with statsmodels.

For a response y and terms x_i (indices such as transistor operations, see `terms`), a law is

    y = c_0 + sum_i c_i x_i        or, for the forms ``power`` and ``mixed``,
    y = c_0 prod_i x_i^(c_i)

and `fits.FITS` says how its coefficients are found. R^2 alone proves nothing where energies span
decades, so every law reports relative error too.
"""

import warnings
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..costs.predictors import priced_by
from .fits import FITS, resamples
from .prepare import coefficient_table, design_matrix, prepare, unscaled
from .run_checks import response_unit
from .terms import by_table, columns_of, term_unit, term_values


@dataclass(frozen=True, eq=False)
class ScalingLaw:
    """A fitted law, with what is needed to judge it.

    Attributes
    ----------
    form : str
        One of `fits.FITS`.
    response : str
        Column that it predicts, with the unit in its name: ``energy_j``.
    predictors : tuple of str
        Its terms.
    coefficients : pandas.DataFrame
        Index: ``constant`` and the predictors; ``estimate``, ``std_error``, ``lower``, ``upper``
        (95 %). In units of the response per unit of the predictor; exponents where the law is one
        of powers.
    metrics : pandas.Series
        In-sample, as `precision_metrics` returns them.
    n_runs, n_configurations : int
    devices, phases : tuple of str
        Where, and of which phase, the runs were measured; it predicts for no other.
    costs : str or None
        Cost table of the predictors that depend on one, where the runs or the caller said it.
    ranges : pandas.DataFrame
        ``lower``, ``upper`` of each term over the fitted runs; beyond is extrapolation.
    notes : tuple of str
        What a reader must know: coefficients that are negative or not identified.
    """

    form: str
    response: str
    predictors: tuple[str, ...]
    coefficients: pd.DataFrame
    metrics: pd.Series
    n_runs: int
    n_configurations: int
    devices: tuple
    phases: tuple[str, ...]
    costs: str | None
    ranges: pd.DataFrame
    notes: tuple[str, ...]
    configuration: str = field(repr=False)
    group: str = field(repr=False)  # column of the random effects, and of whom it predicts for
    random: tuple[int, ...] = field(repr=False)  # columns of the design with random coefficients
    effects: dict = field(repr=False)  # group -> what is added to the coefficients
    solution: np.ndarray = field(repr=False)  # coefficients of the scaled design
    covariance: np.ndarray = field(repr=False)
    scales: np.ndarray = field(repr=False)
    sigma: float = field(repr=False)  # scatter of runs on the scale of the fit
    freedom: float = field(repr=False)  # of t, for the least sure of the coefficients
    runs: pd.DataFrame | None = field(repr=False, default=None)  # not saved

    @property
    def device(self) -> str:
        """The devices, as text."""
        return ", ".join(map(str, self.devices)) or "unknown device"

    @property
    def unit(self) -> str:
        """Unit of what it predicts: J; s for a law of time."""
        return response_unit(self.response)

    def predict(self, runs, interval=False, *, batch_size=1, phase=None, device=None, costs=None,
                **counting):
        """Return the predicted response for each row of `runs`, or for a Keras model.

        Parameters
        ----------
        runs : pandas.DataFrame or keras.Model
            Rows that hold the terms' columns, or counts to compute them from; a model is counted.
        interval : bool
            Also 95 % intervals: of the mean, and of a new run.
        batch_size : int
            Of the model, with ``input_shape`` and all else that `count_row` takes as `counting`.
        phase : str, optional
            Of the model; can be left out where the law is of one phase.
        device : str, optional
            On which it is to be: one that the law was fitted on. Needed for a model where the law
            is of several.
        costs : CostTable, optional
            The table of a law whose predictors were priced by a table of yours.

        Returns
        -------
        pandas.Series, or DataFrame with ``mean``, ``lower``, ``upper``, ``run_lower``,
        ``run_upper``; for a model a float, or such a row. In `unit`.

        Raises
        ------
        ValueError
            A predictor's column is missing; a device or a phase that the law was not fitted on.

        Warns
        -----
        UserWarning
            A term beyond the range that was fitted.
        """
        is_model = not isinstance(runs, pd.DataFrame)
        if is_model:
            runs = self._count(runs, batch_size, phase, counting, costs)
        priced = set(by_table(self.predictors)) & set(runs.columns)
        table = priced_by(runs) if priced else None
        if table and self.costs and table != self.costs:
            raise ValueError(f"costs: the runs are priced by {table!r} and the law by "
                             f"{self.costs!r}; use tos.price(runs, {self.costs!r})")
        x = term_values(runs, self.predictors, costs or self.costs)
        check = x.to_numpy()
        if not np.isfinite(check).all():
            raise ValueError("runs: values of " + ", ".join(x.columns[~np.isfinite(check).all(0)])
                             + " are missing or not finite")
        self._same("phase", set(runs["phase"]) if "phase" in runs else set(), self.phases)
        groups = self._groups(runs, device)
        self._warn_beyond(x)
        mean, error, spread = evaluate(self, x, groups)
        frame = _intervals(self, mean, error, spread).set_axis(runs.index)
        if is_model:
            frame = frame.iloc[0].rename(self.response)
            return frame if interval else float(frame["mean"])
        return frame if interval else frame["mean"].rename(self.response)

    def _count(self, model, batch_size, phase, counting, costs):
        from ..counting.rows import count_row

        if phase is None:
            if len(self.phases) > 1:
                raise ValueError(f"phase: the law is of {', '.join(self.phases)}; say which")
            phase = self.phases[0]
        self._same("phase", {phase}, self.phases)
        if "time_s" in columns_of(self.predictors):
            raise ValueError("time_s: this law needs the measured time, which no count of a model "
                             "tells; fit one without it")
        table = by_table(self.predictors)
        if table and not (self.costs or costs):
            raise ValueError(f"costs: which table priced {table[0]!r} was not said when the law "
                             "was fitted; give tos.fit_scaling_law(..., costs='cmos')")
        if phase != "inference":
            counting = counting | {"phase": phase}
        return pd.DataFrame([count_row(model, batch_size, **counting)]).assign(phase=phase)

    def _same(self, what, given, known):
        other = sorted(map(str, set(given) - set(known)))
        if other and known:
            raise ValueError(f"{what}: the law was fitted on {', '.join(map(str, known))}, not on "
                             f"{', '.join(other)}; fit one to runs of that {what}")

    def _groups(self, runs, device):
        """Return each row's group of the random effects, once all are among the fitted ones."""
        if device is not None:
            if not self.devices:
                raise ValueError("device: the law was fitted to runs without a device; give them "
                                 "a column 'device'")
            self._same("device", {device}, self.devices)
        if "device" in runs:
            self._same("device", set(runs["device"].dropna()), self.devices)
        if not self.effects:
            return None
        if self.group == "device" and device is not None:
            return np.full(len(runs), device, dtype=object)
        if self.group not in runs:
            raise ValueError(f"{self.group}: the law has an effect for each of "
                             f"{', '.join(map(str, self.effects))}; say which, as a column of the "
                             "runs" + (" or device=" if self.group == "device" else ""))
        self._same(self.group, set(runs[self.group]), tuple(self.effects))
        return runs[self.group].to_numpy()

    def _warn_beyond(self, x):
        for name in self.predictors:
            low, high = self.ranges.loc[name]
            beyond = ((x[name] < low * (1 - 1e-9)) | (x[name] > high * (1 + 1e-9))).sum()
            if beyond:
                warnings.warn(f"{name}: {beyond} of {len(x)} values lie beyond those fitted, "
                              f"{low:.3g} to {high:.3g}; this is extrapolation", stacklevel=3)

    def bootstrap(self, n=1000, seed=0, runs=None) -> pd.DataFrame:
        """Return percentile intervals of the coefficients over draws of the configurations.

        Parameters
        ----------
        n, seed : int
        runs : pandas.DataFrame, optional
            The fitted runs; needed where the law was loaded.

        Returns
        -------
        pandas.DataFrame
            Like `coefficients`; ``attrs["n"]`` draws could be fitted.
        """
        data = prepare(self._fitted(runs), self.predictors, self.response, self.form,
                       self.configuration, self.costs, self.group)
        solve = FITS[self.form].solve
        draws = np.array(list(resamples(solve, *data.arrays(), self.random, n, seed)))
        table = unscaled(
            np.column_stack([self.solution, draws.std(0, ddof=1),
                             *np.quantile(draws, [0.025, 0.975], axis=0)]), data.scales, self.form)
        out = coefficient_table(table, self.predictors)
        out.attrs["n"] = len(draws)
        return out

    def _fitted(self, runs):
        if runs is None and self.runs is None:
            raise ValueError("runs: a law that was loaded holds none; pass the runs that it was "
                             "fitted to")
        return self.runs if runs is None else runs

    def diagnostics(self, runs=None, factors=None):
        """Return what may be wrong with the law: see `diagnostics.Diagnostics`."""
        from .diagnostics import diagnose

        return diagnose(self, self._fitted(runs), factors)

    def save(self, path):
        """Write the law to a JSON file; see `law_files.save_law`."""
        from .law_files import save_law

        save_law(self, path)

    def equation(self) -> str:
        """Return the law as text, with its numbers and their units.

        Examples
        --------
        ``energy_j = 0.0123 J + 4.56e-15 J/TO tos``
        """
        c, units = self.coefficients["estimate"], self._units()
        if FITS[self.form].scale == "log":
            terms = " ".join(f"({n}{f' / {units[n]}' if units[n] else ''})^{c[n]:.3g}"
                             for n in self.predictors)
            return f"{self.response} = {_with(c['constant'], self.unit)} {terms}"
        per = {n: f"{self.unit}/{_brackets(units[n])}" if self.unit and units[n] else ""
               for n in self.predictors}
        terms = "".join(f" {'-' if c[n] < 0 else '+'} {_with(abs(c[n]), per[n])} {n}"
                        for n in self.predictors)
        return f"{self.response} = {_with(c['constant'], self.unit)}{terms}"

    def _units(self):
        return {n: term_unit(n, self.costs) for n in self.predictors}

    def __str__(self):
        m, of = self.metrics, "time" if self.unit in ("s", "ms", "us", "ns") else "energy"
        lines = [
            f"{self.equation()}   [law of {of}, {'+'.join(self.phases)}; {self.form} fit; "
            f"{self.n_runs} runs of {self.n_configurations} configurations; "
            f"{self.device if len(self.devices) <= 3 else f'{len(self.devices)} devices'}]",
            f"R2 {m.r2:.4f}, log-space R2 {m.log_r2:.4f}; relative error: mean "
            f"{m.mean_relative_error:.2%}, median {m.median_relative_error:.2%}; precision "
            f"{m.precision:.2%} (1 - mean relative error), {100 * m.r2:.2f} (R2 x 100)",
            *(f"note: {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def _with(number, unit):
    return f"{number:.3g} {unit}".rstrip()


def _brackets(unit):
    return f"({unit})" if " " in unit or "/" in unit else unit


def evaluate(law, x, groups=None):
    """Return mean, standard error and scatter of a new run, on the scale of the fit."""
    design = design_matrix(x, law.form, law.scales)
    added = 0.0 if groups is None else np.einsum(
        "ij,ij->i", design, np.array([law.effects[g] for g in groups]))
    mean = design @ law.solution + added
    error = np.sqrt(np.einsum("ij,jk,ik->i", design, law.covariance, design).clip(0))
    spread = law.sigma * (np.abs(mean) if FITS[law.form].scale == "relative" else 1.0)
    return mean, error, spread


def _intervals(law, mean, error, spread):
    from scipy.stats import t

    half = t.ppf(0.975, law.freedom) * error
    run = np.hypot(half, t.ppf(0.975, law.n_configurations - len(law.solution)) * spread)
    frame = pd.DataFrame({"mean": mean, "lower": mean - half, "upper": mean + half,
                          "run_lower": mean - run, "run_upper": mean + run})
    if law.form == "nonnegative":
        frame = frame.clip(lower=0)
    return np.exp(frame) if FITS[law.form].scale == "log" else frame
