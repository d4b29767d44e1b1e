"""Runs of laws that are known, for the tests of what fits and judges them."""

import numpy as np
import pandas as pd


def synthetic(n=60, repeats=3, noise=0.02, seed=0, c=(2.0, 3e-9, 8e-8), exponent=None):
    """Runs of a known law: c0 + c1 linear + c2 nonlinear, or c0 linear^exponent."""
    rng = np.random.default_rng(seed)
    configuration = np.repeat(np.arange(n), repeats)
    linear = 10 ** rng.uniform(8, 11, n)[configuration]
    nonlinear = 10 ** rng.uniform(7, 9.5, n)[configuration]
    law = c[0] + c[1] * linear + c[2] * nonlinear if exponent is None else c[0] * linear**exponent
    runs = pd.DataFrame({
        "configuration": configuration, "linear": linear, "nonlinear": nonlinear,
        "activation": np.array(["relu", "tanh", "gelu"])[configuration % 3], "device": "d"})
    runs["energy_j"] = law * (1 + noise * rng.standard_normal(len(runs)))
    return runs


def fleet(devices=8, slope=0.0, seed=0):
    """Runs of one law on devices that differ by a factor, and by an exponent."""
    rng = np.random.default_rng(seed)
    parts = []
    for i in range(devices):
        exponent, factor = 0.7 + slope * rng.standard_normal(), rng.lognormal(0, 0.5)
        runs = synthetic(n=20, seed=100 * seed + i, exponent=exponent)
        parts.append(runs.assign(device=f"d{i}", energy_j=factor * runs.energy_j))
    return pd.concat(parts, ignore_index=True)
