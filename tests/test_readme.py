"""The README says what the notebooks found."""

import contextlib
import io
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "notebooks"))
import readme  # noqa: E402

README = (ROOT / "README.md").read_text()
NUMBERS = json.loads((ROOT / "data" / "derived" / "03_numbers.json").read_text())


def cells(text):
    """Return the table of results in a README, without what says that a row is carried over.

    Nor which error is least: two that round to one number may change places on another processor.
    """
    table = text.split(readme.MARKS[0])[1].split(readme.MARKS[1])[0]
    return [[cell.strip().strip("*").removesuffix(" (carried over)") for cell in line.split("|")]
            for line in table.splitlines()]


def same(text, other):
    """Whether two READMEs show the same results, but for a last digit."""
    a, b = ([cell for row in cells(t) for cell in row] for t in (text, other))
    return len(a) == len(b) and all(
        float(x) == pytest.approx(float(y), rel=2e-3, abs=0.11)
        if re.fullmatch(r"[\d.]+", x) and re.fullmatch(r"[\d.]+", y) else x == y
        for x, y in zip(a, b, strict=True))


def test_results_are_those_of_notebook_03():
    """Of the one that ran last: here or elsewhere, with published data at hand or without."""
    assert same(readme.updated(README, NUMBERS), README)
    assert len(cells(README)) > 10


@pytest.mark.parametrize(("key", "value", "shown"), [
    ("mean_relative_error", 0.5, False), ("noise_ceiling", None, False), ("dataset", "x", False),
    ("response", "energy_j", False), ("carried", True, True)])
def test_results_that_changed_are_seen(key, value, shown):
    other = json.loads(json.dumps(NUMBERS))
    for row in other["held_out"]:
        if row["dataset"] == "feed-forward":
            row[key] = value
    assert same(readme.updated(README, other), README) == shown
    last = json.loads(json.dumps(NUMBERS))
    last["held_out"][0]["mean_relative_error"] += 1e-4
    assert same(readme.updated(README, last), README)


def test_every_how_to_is_listed():
    pages = list((ROOT / "docs").glob("*.md"))
    assert len(pages) >= 7
    for page in pages:
        assert f"](docs/{page.name})" in README


def test_the_example_prints_what_is_shown():
    code, shown = (re.search(rf"```{kind}\n(.*?)```", README, flags=re.S)[1]
                   for kind in ("python", "text"))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {})
    printed, shown = printed.getvalue().splitlines(), shown.splitlines()
    assert printed[:6] == shown[:6]  # the counts
    assert printed[-1] == shown[-1]  # between them stands what this machine measures


def test_a_readme_without_its_place_is_an_error():
    with pytest.raises(ValueError, match="0 places"):
        readme.updated("nothing", NUMBERS)
