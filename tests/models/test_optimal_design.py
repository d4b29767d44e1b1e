"""Drawing on grids whose work is a formula; the order of a sweep with little time."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from tostoolkit.models import optimal_design
from tostoolkit.models.design import MAX_CORRELATION
from tostoolkit.models.families import FAMILIES, Family, Pairs
from tostoolkit.models.optimal_design import informative_order


def test_exchanges_part_macs_and_nonlinear_work():
    """Balance alone leaves them tied where heads grow with the width; exchanges part them."""
    def work(row):
        nonlinear = row["a"] * (row["b"] if row["c"] else 1.0)
        return row["a"] ** 2.0, row["a"] ** 2.0, nonlinear, 0.0

    levels = {"a": tuple(2**i for i in range(10)), "b": (1, 4, 16, 1024), "c": (False, True),
              "phase": ("inference",)}
    grid = optimal_design.candidates(levels, np.random.default_rng(0), True)
    correlation = []
    for rounds in (0, 96):
        rows = optimal_design.draw(grid, work, 24, np.random.default_rng(1), {}, rounds=rounds)
        assert len(rows) == len(rows.drop_duplicates()) == 24
        load = np.array([work(row) for row in rows.to_dict("records")])
        correlation.append(abs(np.corrcoef(np.log(load[:, 0]), np.log(load[:, 2]))[0, 1]))
    assert correlation[1] <= MAX_CORRELATION / 2 + 0.05 < correlation[0] - 0.1


def test_bounds_that_too_few_rows_keep_are_an_error():
    grid = optimal_design.candidates({"a": tuple(range(50)), "phase": ("inference",)},
                              np.random.default_rng(0), True)
    with pytest.raises(ValueError, match="n: 12 configurations cannot be drawn; 7 of the combin"):
        optimal_design.draw(grid, lambda row: (1, 1, 1, 1), 12, np.random.default_rng(0), {},
                     lambda row: row["a"] < 7)


def test_a_large_grid_is_sampled_without_repeats():
    levels = {"a": tuple(range(300)), "b": tuple(range(300)), "c": (True, False)}
    table = optimal_design.candidates(levels, np.random.default_rng(0), False)
    assert len(table) == len(table.drop_duplicates()) == optimal_design.MOST
    assert table.a.nunique() == 300
    assert set(table.c) == {True, False}


@pytest.mark.parametrize("one_in", [3, 5, 12])
def test_as_many_rows_have_twins_as_the_record_says(one_in):
    """Counted by hand: rows that differ in the level of ``c`` alone."""
    grid = optimal_design.candidates(
        {"a": tuple(range(1, 21)), "b": tuple(range(1, 21)), "c": ("x", "y", "z"),
         "phase": ("inference",)}, np.random.default_rng(0), True)
    rows = optimal_design.draw(grid, lambda row: (row["a"], row["a"], row["b"], 1), 60,
                               np.random.default_rng(1), {"c": Pairs("x", one_in)}, rounds=0)
    assert len(rows) == len(rows.drop_duplicates()) == 60
    baseline = set(map(tuple, rows[rows.c == "x"][["a", "b"]].to_numpy()))
    twins = [row for row in rows[rows.c != "x"][["a", "b"]].to_numpy() if tuple(row) in baseline]
    assert len(twins) >= 60 // one_in


def mixed_set():
    """Two families with factors of their own, and a column that is not a factor of either."""
    return pd.DataFrame({
        "configuration": [f"c{i}" for i in range(24)], "family": ["a"] * 12 + ["b"] * 12,
        "width": [1.0, 2, 4, 8] * 3 + [np.nan] * 12, "kind": [None] * 12 + ["x", "y", "z"] * 4,
        "note": [f"note {i}" for i in range(24)]})


TWO = {"a": Family(None, {"small": {"width": (1, 2, 4, 8)}}),
       "b": Family(None, {"small": {"kind": ("x", "y", "z")}})}


def test_the_order_is_by_the_factors_of_the_families_whatever_else_the_columns_are():
    rows = mixed_set()
    order = informative_order(rows, 3, TWO)
    assert sorted(order) == list(range(24))
    for columns in (["note", "kind", "width", "family", "configuration"],
                    ["family", "width", "kind", "configuration"]):
        assert (informative_order(rows[columns], 3, TWO) == order).all()
    first = rows.iloc[order[:8]]
    assert set(first.kind.dropna()) == {"x", "y", "z"}
    assert {1.0, 8.0} <= set(first.width.dropna())


def test_the_order_needs_a_family():
    with pytest.raises(ValueError, match="no column 'family'"):
        informative_order(mixed_set().drop(columns="family"))
    with pytest.raises(ValueError, match="family: 'a' is unknown"):
        informative_order(mixed_set(), families=FAMILIES)


def test_informative_rows_come_first():
    factors = {"depth": (1, 2, 4), "width": (64, 256, 1024), "batch_norm": (False, True),
               "activation": ("relu", "tanh", "gelu", "softmax"), "batch_size": (256,)}
    models = pd.DataFrame(product(*factors.values()), columns=list(factors))
    models.insert(0, "configuration", [f"c{i}" for i in models.index])
    models["family"] = "feed_forward"
    order = informative_order(models, 3)
    assert sorted(order) == list(range(len(models)))
    assert (order == informative_order(models, 3)).all()
    assert (order != informative_order(models, 4)).any()

    def information(rows):
        terms = optimal_design._terms(models[list(factors)])[rows]
        return np.linalg.slogdet(terms.T @ terms + 1e-3 * np.eye(terms.shape[1]))[1]

    chance = [information(np.random.default_rng(i).permutation(len(models))[:32])
              for i in range(20)]
    assert information(order[:32]) > max(chance)
    first = models.iloc[order[:24]]
    for factor in factors:
        assert set(first[factor]) == set(models[factor])
