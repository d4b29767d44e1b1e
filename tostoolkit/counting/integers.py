"""Tables of integers that never wrap: int64 where what is summed of them fits, else exact.

Counts are Python integers until they stand in a table. A column of int64 is what every reader of a
table knows and is fast with, and its sum wraps without a word from 2^63 on. So integers whose sum
stays below that are int64, and any others Python integers, pandas' dtype ``object``, whose sums are
exact.
"""

from collections.abc import Hashable, Iterable, Sequence
from operator import index as as_index

import numpy as np
import pandas as pd

#: The largest integer of int64, and so the largest sum of what is held in it.
LARGEST = 2**63 - 1


def exact_integers(values) -> np.ndarray:
    """Return integers, of one axis or two, as an array whose sums do not wrap.

    >>> exact_integers([1, 2]).dtype, exact_integers([2**62, 2**62]).dtype
    (dtype('int64'), dtype('O'))
    >>> int(exact_integers([2**62, 2**62]).sum()) == 2**63
    True
    """
    array = np.asarray(values)
    if array.dtype.kind == "i" and np.abs(array, dtype=float).sum() < LARGEST // 2:
        return array.astype("int64", copy=False)
    shape = array.shape  # numpy takes some large integers for floats
    flat = array.ravel().tolist() if array.dtype.kind in "iuO" else np.asarray(
        values, object).ravel().tolist()
    flat = [_integer(value) for value in flat]
    fits = sum(map(abs, flat)) <= LARGEST
    return np.array(flat, "int64" if fits else object).reshape(shape)


def integer_table(rows: Sequence[Sequence[int]], index: pd.Index, columns) -> pd.DataFrame:
    """Return a table of integers whose sums, over rows, columns and all of it, do not wrap.

    >>> integer_table([[1, 2], [3, 4]], ["a", "b"], ["x", "y"]).to_numpy().dtype
    dtype('int64')
    >>> table = integer_table([[2**62, 1], [2**62, 0]], ["a", "b"], ["x", "y"])
    >>> int(table["x"].sum()) == 2**63
    True
    """
    values = exact_integers(rows) if len(columns) else np.empty((len(rows), 0), "int64")
    return pd.DataFrame(values.reshape(len(rows), len(columns)), index, columns)


def exact_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return counts, as a file or a user holds them, such that no column's sum wraps.

    pandas reads integers from 2^63 on as unsigned from a CSV file, and those from 2^64 on as text.
    What is no integer stays.

    >>> rows = pd.DataFrame({"mac float32": ["18446744073709551616", "1"], "add float32": [1, 2]})
    >>> [int(n) for n in exact_columns(rows).sum()]
    [18446744073709551617, 3]
    """
    return frame.apply(_exact_column)


def _exact_column(column):
    kind = getattr(column.dtype, "kind", "O")
    if kind not in "iuO":
        return column
    values = column.to_numpy() if kind != "O" else column.astype(object).map(_number)
    if kind == "O" and not all(hasattr(value, "__index__") for value in values):
        return values
    return pd.Series(exact_integers(values), column.index)


def row_sums(frame: pd.DataFrame) -> pd.Series:
    """Return the sum of each row, such that neither it nor the sum of all wraps.

    >>> row_sums(pd.DataFrame({"a": [2**62], "b": [2**62]})).tolist() == [2**63]
    True
    """
    kinds = {getattr(dtype, "kind", "O") for dtype in frame.dtypes}
    if kinds == {"i"} and np.abs(frame.to_numpy(float)).sum() >= LARGEST // 2:
        frame = frame.astype(object)
    sums = frame.sum(axis=1)
    return _exact_column(sums)


def exact_products(counts: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return counts times integers, of Python integers where a product is beyond int64.

    >>> exact_products(np.array([[2**40]]), np.array([[2**40]])).tolist() == [[2**80]]
    True
    """
    largest = np.abs(counts.astype(float) * times).max(initial=0)
    return counts * (times.astype(object) if largest >= LARGEST // 8 else times)


def _number(value):
    """Return an entry of a table as a Python integer where it is one."""
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    return as_index(value) if hasattr(value, "__index__") else value


def _integer(value):
    """Return a count as a Python integer; a counter of the user's may give a whole float."""
    if hasattr(value, "__index__"):
        return as_index(value)
    if float(value).is_integer():
        return int(value)
    raise ValueError(f"counters: {value!r} is not a whole number, and counts are; mend the counter "
                     "that gives it")


def keyed_index(keys: Iterable[tuple[Hashable, ...]], names: Sequence[str]) -> pd.MultiIndex:
    """Return what ``pandas.MultiIndex.from_tuples`` does, of keys of text, in half the time.

    >>> keyed_index([("b", "x"), ("a", "x")], ["layer", "kind"]).tolist()
    [('b', 'x'), ('a', 'x')]
    """
    columns = list(zip(*keys, strict=True)) or [()] * len(names)
    levels = [sorted(set(column)) for column in columns]
    places = [{value: place for place, value in enumerate(level)} for level in levels]
    codes = [[place[value] for value in column]
             for place, column in zip(places, columns, strict=True)]
    return pd.MultiIndex(levels, codes, names=names, verify_integrity=False)
