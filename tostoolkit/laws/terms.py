"""Terms of a law: names and formulas -> columns of numbers.

A law's terms are columns (``macs``), products of columns (``elements:layers``) and functions of
one (``sqrt(bytes)``), as a list or as a formula, ``energy_j ~ macs + sqrt(bytes)``. A name with
spaces stands between backquotes in a formula. Every law has a constant.
"""

import re
from collections.abc import Iterable, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd

from ..costs.cost_table import CostTable
from ..costs.predictors import find_predictor, unit
from ..costs.pricing import named_columns

#: Function of one column in a term -> what computes it.
FUNCTIONS = MappingProxyType({
    "sqrt": np.sqrt, "log": np.log, "square": np.square, "log1p": np.log1p})


def parse_formula(predictors: str | Sequence[str],
                  response: str = "energy_j") -> tuple[str, tuple[str, ...]]:
    """Return the response and the terms that a formula, or a list of terms, says.

    >>> parse_formula("time_s ~ macs + `mac conv3x3` + macs:layers")
    ('time_s', ('macs', 'mac conv3x3', 'macs:layers'))
    >>> parse_formula(["macs", "bytes"])
    ('energy_j', ('macs', 'bytes'))
    """
    if isinstance(predictors, str) and "~" in predictors:
        response, _, right = predictors.partition("~")
        response = response.strip().strip("`")
        terms = [part.strip() for part in right.split("+")]
        for term in terms:
            if term in ("0", "-1", "1") or not term or re.search(r"[-*/^]", _bare(term)):
                raise ValueError(f"formula: cannot read {term or 'an empty term'!r} in {right!r}; "
                                 "join terms by +, multiply columns by :, quote names that hold "
                                 "signs in backquotes; the constant is always there")
        terms = tuple(term.replace("`", "") for term in terms)
    else:
        terms = (predictors,) if isinstance(predictors, str) else tuple(predictors)
    if not terms:
        raise ValueError("predictors: none given; pass 'macs', a list of terms, or a formula, "
                         "'energy_j ~ macs + bytes'")
    twice = [term for i, term in enumerate(terms) if term in terms[:i]]
    if twice:
        raise ValueError(f"predictors: {twice[0]!r} is named twice; name it once")
    return response, terms


def _bare(term):
    return re.sub(r"`[^`]*`", "", term)


def term_values(rows: pd.DataFrame, terms: Sequence[str], costs: str | CostTable | None = None
                ) -> tuple[pd.DataFrame, str | None]:
    """Return the values of each term over `rows`, one column a term, and their cost table's name.

    A name that is not a column of the rows is computed from their counts where it is a predictor
    (`predictors.PREDICTORS`), under the cost table `costs`; see `pricing.named_columns`.

    >>> rows = pd.DataFrame({"a b": [1.0, 4.0], "c": [2.0, 3.0]})
    >>> term_values(rows, ["c", "sqrt(a b)", "c:a b"])[0].to_numpy().tolist()
    [[2.0, 1.0, 2.0], [3.0, 2.0, 12.0]]
    """
    factors = {term: [(None, term)] if term in rows else _factors(term) for term in terms}
    names = list(dict.fromkeys(name for parts in factors.values() for _, name in parts))
    columns, costs = named_columns(rows, names, costs)
    values = {}
    with np.errstate(divide="ignore", invalid="ignore"):  # a log of 0 is found and told later
        for term, parts in factors.items():
            values[term] = 1.0
            for function, name in parts:
                values[term] *= FUNCTIONS[function](columns[name]) if function else columns[name]
    return pd.DataFrame(values, index=rows.index), costs


def _factors(term):
    """Return (function or None, name) of each factor of a term."""
    return [_split(factor) for factor in term.split(":")]


def known_terms(rows: pd.DataFrame, terms: Sequence[str]) -> bool:
    """Return whether each name of the terms is a column or a predictor."""
    def known(name):
        try:
            return name in rows or bool(find_predictor(name))
        except ValueError:
            return False
    return all(term in rows or all(map(known, columns_of([term]))) for term in terms)


def _split(factor):
    found = re.fullmatch(rf"({'|'.join(FUNCTIONS)})\((.*)\)", factor.strip())
    return found.groups() if found else (None, factor.strip())


def columns_of(terms: Iterable[str]) -> list[str]:
    """Return the names of the columns that the terms are made of.

    >>> columns_of(["sqrt(bytes)", "macs:layers"])
    ['bytes', 'macs', 'layers']
    """
    return list(dict.fromkeys(name for term in terms for _, name in _factors(term)))


def term_unit(term: str, costs: str | CostTable | None = "cmos") -> str:
    """Return the unit of a term; empty where one of its columns has none that is known.

    >>> term_unit("sqrt(bytes)"), term_unit("macs:layers")
    ('sqrt(B)', 'MAC layer')
    """
    units = []
    for function, name in _factors(term):
        try:
            of_column = unit(name, costs)
        except ValueError:  # of a cost table of the user's, which is not at hand by its name
            of_column = ""
        if not of_column:
            return ""
        units.append(f"{function}({of_column})" if function else of_column)
    return " ".join(units)


def by_table(terms: Sequence[str]) -> list[str]:
    """Return those columns of the terms whose values depend on the cost table.

    >>> by_table(["tos", "macs"])
    ['tos']
    """
    def depends(name):
        try:
            return find_predictor(name).by_table
        except ValueError:
            return False
    return [name for name in columns_of(terms) if depends(name)]
