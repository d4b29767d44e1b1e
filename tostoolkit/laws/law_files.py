"""Scaling laws as JSON files: everything that a prediction and its interval need, no runs."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd

from .fits import FITS
from .terms import term_unit

#: Key that makes a JSON file one of ours, with the version of its layout.
KEY, VERSION = "tostoolkit scaling law", 2
_PLAIN = ("form", "response", "unit", "predictors", "units", "n_runs", "n_configurations",
          "devices", "phases", "costs", "notes", "configuration", "group", "random", "sigma",
          "freedom")
_ARRAYS = ("solution", "covariance", "scales")


def save_law(law, path: str | Path) -> None:
    """Write a law to a JSON file, whole or not at all.

    Raises
    ------
    FileExistsError
        The file is there and is not a law; it is left as it is.

    Examples
    --------
    ``law.save("law.json")``
    """
    path = Path(path)
    if path.exists():
        try:
            read_law(path)
        except ValueError as error:
            raise FileExistsError(f"{error}; {str(path)!r} is left as it is, give another name"
                                  ) from None
    record = {KEY: VERSION, **{name: getattr(law, name) for name in _PLAIN},
              **{name: getattr(law, name).tolist() for name in _ARRAYS},
              "coefficients": law.coefficients.to_numpy().tolist(),
              "ranges": law.ranges.to_numpy().tolist(), "metrics": law.metrics.to_dict(),
              "effects": [[group, values.tolist()] for group, values in law.effects.items()]}
    # a NaN is no JSON; floats are written so that they read back the same
    text = json.dumps(_nulls(record), indent=1, allow_nan=False, ensure_ascii=False)
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    beside.write_text(text + "\n", encoding="utf-8", newline="\n")
    os.replace(beside, path)


def read_law(path: str | Path) -> dict:
    """Return the fields of the law in a JSON file; errors as `law.load_scaling_law`."""
    path = Path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"path: there is no file {str(path)!r}; law.save writes one"
                                ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"path: {path.name} is not JSON ({error}); law.save writes it") from None
    if not isinstance(record, dict) or KEY not in record:
        raise ValueError(f"path: {path.name} is not a scaling law; law.save writes one")
    if record[KEY] != VERSION:  # of version 1, tos_nonlinear left comparisons out
        raise ValueError(f"path: {path.name} is a scaling law of version {record[KEY]}, whose "
                         f"predictors had other meanings than those of version {VERSION}; fit it "
                         "again to its runs")
    try:
        terms = record["predictors"]
        record.setdefault("units", [term_unit(term, record["costs"]) for term in terms])
        plain = {name: tuple(v) if isinstance(v := record[name], list) else v for name in _PLAIN}
        law = dict(
            **plain, **{name: np.array(record[name], float) for name in _ARRAYS},
            coefficients=pd.DataFrame(
                record["coefficients"], index=["constant", *terms], dtype=float,
                columns=["estimate", "std_error", "lower", "upper"]),
            ranges=pd.DataFrame(record["ranges"], index=terms, columns=["lower", "upper"]),
            metrics=pd.Series(record["metrics"], dtype=float),
            effects={group: np.array(values) for group, values in record["effects"]})
        k = len(terms) + 1
        if (law["form"] not in FITS or law["solution"].shape != (k,) or len(law["units"]) != k - 1
                or law["covariance"].shape != (k, k) or law["scales"].shape != (k - 1,)
                or law["ranges"].isna().any(axis=None)):
            raise ValueError("its parts do not fit together")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"path: {path.name} is a damaged scaling law ({error}); save it again"
                         ) from None
    return law


def _nulls(value):
    """Return plain Python values, NaN as None."""
    if isinstance(value, dict):
        return {key: _nulls(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_nulls(v) for v in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and np.isnan(value) else value
