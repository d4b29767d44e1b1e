"""Energy scaling laws: energy ~ predictors, fitted with statsmodels.

For a response y and terms x_i (indices such as transistor operations, see `terms`), a law is

    y = c_0 + sum_i c_i x_i        or, for the forms ``power`` and ``mixed``,
    y = c_0 prod_i x_i^(c_i)

and `fits.FITS` says how its coefficients are found. R^2 alone proves nothing where energies span
decades, so every law reports relative error too.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..costs.cost_table import CostTable
from ..costs.predictors import is_measured
from ..counting.rows import count_row
from ..models.families import FAMILIES, Family
from ..statistics import ENDS
from .diagnostics import Diagnostics, diagnose
from .fits import FITS, mean_response, resamples, response_intervals
from .law_files import read_law, save_law
from .prepare import QUANTITIES, Prepared, coefficient_table, design_matrix, prepare
from .terms import by_table, columns_of, term_values
from .validation import folds, held_out

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class ScalingLaw:
    """A fitted law, with what is needed to judge it.

    Attributes
    ----------
    form : str
        One of `fits.FITS`.
    response : str
        Column that it predicts, with the unit in its name: ``energy_j``.
    unit : str
        Of what it predicts: J; s for a law of time.
    predictors : tuple of str
        Its terms.
    units : tuple of str
        Of the terms; empty where one is not known.
    coefficients : pandas.DataFrame
        Index: ``constant`` and the predictors; ``estimate``, ``std_error``, ``lower``, ``upper``
        (95 %). In units of the response per unit of the predictor; exponents where the law is one
        of powers.
    metrics : pandas.Series
        In-sample, as `statistics.precision_metrics` returns them.
    n_runs, n_configurations : int
    devices, phases : tuple of str
        Those of the runs; it predicts for no other.
    costs : str or None
        Cost table of the predictors that depend on one, where the runs or the caller said it.
    ranges : pandas.DataFrame
        ``lower``, ``upper`` of each term over the fitted runs; beyond is extrapolation.
    notes : tuple of str
        What a reader must know: coefficients that are negative or not identified.
    """

    form: str
    response: str
    unit: str
    predictors: tuple[str, ...]
    units: tuple[str, ...]
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
    data: Prepared | None = field(repr=False, default=None)  # the fitted runs; not saved

    @property
    def device(self) -> str:
        """The devices, as text."""
        return ", ".join(map(str, self.devices)) or "unknown device"

    def predict(self, runs: "pd.DataFrame | keras.Model", interval: bool = False, *,
                batch_size: int = 1, phase: str | None = None, device: str | None = None,
                costs: CostTable | None = None,
                **counting: Any) -> pd.Series | pd.DataFrame | float:
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
            One that the law was fitted on; needed for a model where it was fitted on several.
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
        elif counting or phase is not None:
            name = next(iter(counting), "phase")
            raise ValueError(f"{name}: it is of a model that is counted, and rows hold their "
                             "counts; count them with it, or pass the model")
        x, _ = term_values(runs, self.predictors, costs or self.costs)
        finite = np.isfinite(x.to_numpy()).all(axis=0)
        if not finite.all():
            raise ValueError(f"runs: values of {', '.join(x.columns[~finite])} are missing or not "
                             "finite")
        self._same("phase", set(runs["phase"]) if "phase" in runs else set(), self.phases)
        groups = self._groups(runs, device)
        self._warn_beyond(x)
        frame = response_intervals(self.form, *self.evaluate(x, groups), self.freedom,
                                   self.n_configurations - len(self.solution)).set_axis(runs.index)
        if is_model:
            frame = frame.iloc[0].rename(self.response)
            return frame if interval else float(frame["mean"])
        return frame if interval else frame["mean"].rename(self.response)

    def _count(self, model, batch_size, phase, counting, costs):
        if phase is None:
            if len(self.phases) > 1:
                raise ValueError(f"phase: the law is of {', '.join(self.phases)}; say which")
            phase = self.phases[0]
        self._same("phase", {phase}, self.phases)
        measured = [name for name in columns_of(self.predictors) if is_measured(name)]
        if measured:
            raise ValueError(f"{measured[0]}: this law needs it measured, which no count of a "
                             "model tells; fit one without it")
        table = by_table(self.predictors)
        if table and not (self.costs or costs):
            raise ValueError(f"costs: which table priced {table[0]!r} was not said when the law "
                             "was fitted; give tos.fit_scaling_law(..., costs='cmos')")
        row = count_row(model, batch_size, phase=phase, **counting)
        return pd.DataFrame([row])

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

    def bootstrap(self, n: int = 1000, seed: int = 0,
                  runs: pd.DataFrame | None = None) -> pd.DataFrame:
        """Return percentile intervals of the coefficients over draws of the configurations.

        A table like `coefficients`, with ``draws``, the number of draws that could be fitted.

        Parameters
        ----------
        n, seed : int
        runs : pandas.DataFrame, optional
            The fitted runs; needed where the law was loaded.
        """
        data = self._fitted(runs)
        solve = FITS[self.form].solve
        draws = np.array(list(resamples(solve, *data.arrays(), self.random, n, seed)))
        scaled = np.column_stack([self.solution, draws.std(0, ddof=1),
                                  *np.quantile(draws, ENDS, axis=0)])
        return coefficient_table(scaled, self.predictors, data.scales, self.form).assign(
            draws=len(draws))

    def held_out(self, protocol: str, k: int = 10, seed: int = 0,
                 runs: pd.DataFrame | None = None) -> pd.Series:
        """Return the prediction of each tested run by a law of these terms fitted without its fold.

        In `unit`, indexed like the rows of the runs that were tested. Only coefficients are
        fitted; a group of a mixed law that was not fitted is predicted at the mean of all groups.

        Parameters
        ----------
        protocol, k, seed
            As for `validation.folds`.
        runs : pandas.DataFrame, optional
            The fitted runs; needed where the law was loaded.

        Raises
        ------
        ValueError
            As `validation.folds`; a fold whose training runs cannot be fitted.
        """
        data = self._fitted(runs)
        return held_out(data, folds(data.runs, protocol, self.configuration, k, seed),
                        self.random)

    def _fitted(self, runs) -> Prepared:
        if runs is not None:
            return prepare(runs, self.predictors, self.response, self.form, self.costs,
                           configuration=self.configuration, group=self.group, unit=self.unit)
        if self.data is None:
            raise ValueError("runs: a law that was loaded holds none; pass the runs that it was "
                             "fitted to")
        return self.data

    def diagnostics(self, runs: pd.DataFrame | None = None,
                    factors: Sequence[str] | None = None,
                    families: Mapping[str, Family] = FAMILIES) -> Diagnostics:
        """Return what may be wrong with the law: see `diagnostics.diagnose`."""
        return diagnose(self, self._fitted(runs), factors, families)

    def save(self, path: str | Path) -> None:
        """Write the law to a JSON file; see `law_files.save_law`."""
        save_law(self, path)

    def evaluate(self, x, groups=None):
        """Return mean, standard error and scatter of a new run, on the scale of the fit."""
        design = design_matrix(x, self.form, self.scales)
        mean = mean_response(design, self.solution, self.effects, groups)
        variance = np.einsum("ij,jk,ik->i", design, self.covariance, design)
        spread = self.sigma * (np.abs(mean) if FITS[self.form].scale == "relative" else 1.0)
        return mean, np.sqrt(variance.clip(0)), spread

    def equation(self) -> str:
        """Return the law as text, with its numbers and their units.

        Examples
        --------
        ``energy_j = 0.0123 J + 4.56e-15 J/TO tos``
        """
        c = self.coefficients["estimate"]
        units = dict(zip(self.predictors, self.units, strict=True))
        if FITS[self.form].scale == "log":
            terms = " ".join(f"({n}{f' / {units[n]}' if units[n] else ''})^{c[n]:.3g}"
                             for n in self.predictors)
            return f"{self.response} = {_with(c['constant'], self.unit)} {terms}"
        equation = f"{self.response} = {_with(c['constant'], self.unit)}"
        for n in self.predictors:
            per = f"({units[n]})" if " " in units[n] or "/" in units[n] else units[n]
            per = f"{self.unit}/{per}" if self.unit and per else ""
            equation += f" {'-' if c[n] < 0 else '+'} {_with(abs(c[n]), per)} {n}"
        return equation

    def __str__(self):
        m, of = self.metrics, QUANTITIES.get(self.unit, self.response)
        return "\n".join([
            f"{self.equation()}   [law of {of}, {'+'.join(self.phases)}; {self.form} fit; "
            f"{self.n_runs} runs of {self.n_configurations} configurations; "
            f"{self.device if len(self.devices) <= 3 else f'{len(self.devices)} devices'}]",
            f"R2 {m.r2:.4f}, log-space R2 {m.log_r2:.4f}; relative error: mean "
            f"{m.mean_relative_error:.2%}, median {m.median_relative_error:.2%}; precision "
            f"{m.precision:.2%} (1 - mean relative error), {100 * m.r2:.2f} (R2 x 100)",
            *(f"note: {note}" for note in self.notes),
        ])


def _with(number, unit):
    return f"{number:.3g} {unit}".rstrip()


def load_scaling_law(path: str | Path) -> ScalingLaw:
    """Return the law that `ScalingLaw.save` wrote; it predicts as the one that was fitted.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is not a scaling law, of another version, or damaged.

    Examples
    --------
    ``tos.load_scaling_law("law.json").predict(model, batch_size=32)``
    """
    return ScalingLaw(**read_law(path))
