"""Counters and the meters that they make: wraps, faults, and arguments that are no meter."""

import math

import pytest

import tostoolkit as tos
from tostoolkit.measuring.counters import Counter, MeterError, Tally, together


def tally(*readings, wraps_at=math.inf):
    return Tally(Counter("package-0", iter(readings).__next__, wraps_at))


def test_counter_that_wraps_twice():
    wrapping = tally(90.0, 30.0, 75.0, 75.0, 5.0, wraps_at=100.0)
    assert [(wrapping.advance(), wrapping.joules) for _ in range(4)] == [
        (True, 40.0), (True, 85.0), (False, 85.0), (True, 115.0)]


@pytest.mark.parametrize("wraps_at", [100.0, math.inf])
def test_counter_that_goes_back_a_little_did_not_wrap(wraps_at):
    with pytest.raises(MeterError, match="went back from 50 J to 49 J"):
        tally(50.0, 49.0, wraps_at=wraps_at).advance()


@pytest.mark.parametrize(("reading", "word"), [
    (math.nan, "it reads nan"), (math.inf, "it reads inf"), (None, "NoneType"), ("n/a", "'n/a'")])
def test_counter_that_reads_no_number_is_an_error(reading, word):
    """NaN in the middle of a window made the energy NaN, and no reason was given."""
    with pytest.raises(MeterError, match=f"package-0: .* cannot be read .*{word}"):
        tally(1.0, reading, 3.0).advance()


def test_a_meter_of_unknown_device_is_its_own():
    plug, other = (tos.Meter(name, [("socket-1", lambda: 1.0)]) for name in ("plug", "other"))
    assert plug.device == "plug"
    assert str(together(plug, other)) == "plug+other: plug + other (socket-1, socket-1)"


@pytest.mark.parametrize(("arguments", "error", "word"), [
    (("plug", []), ValueError, "counters: there are none"),
    (("plug", lambda: 1.0), TypeError, "counters: <function .* give"),
    (("plug", {"socket-1": lambda: 1.0}), TypeError, "counters: {'socket-1': .* give"),
    (("plug", [("socket-1",)]), TypeError, "counters: .*give"),
    (("plug", [("socket-1", 3.0)]), TypeError, r"\('socket-1', 3.0\) is not a name and a function"),
    (("plug", [(1, lambda: 1.0)]), TypeError, "is not a name and a function"),
    (("plug", [("socket-1", lambda: 1.0, 0.0)]), ValueError, "socket-1: wraps_at is 0.0"),
    (("plug", [("socket-1", lambda: 1.0, math.nan)]), ValueError, "wraps_at is nan"),
    (([("socket-1", lambda: 1.0)], "plug"), TypeError, "name: .* is not text"),
])
def test_a_meter_that_is_none_is_an_error_that_says_so(arguments, error, word):
    with pytest.raises(error, match=word):
        tos.Meter(*arguments)
