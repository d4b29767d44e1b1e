"""Each part of the package imports only what stands above it in the README's table."""

import re
from pathlib import Path

import pytest
from structure import JOURNEYS, Structure

ROOT = Path(__file__).parent.parent
PACKAGE = Structure(ROOT / "tostoolkit")
README = (ROOT / "README.md").read_text(encoding="utf-8")
#: Parts of the package in the order in which they may be imported.
TABLE = README.split("## The package")[1]
FLOORS = ["extras", *re.findall(r"^\| `(\w+)`", TABLE, re.M), "__main__"]


def part(module):
    return module.partition(".")[0]


def up(structure):
    """Return the imports of a part by one that stands above it in the table."""
    return [(a, b) for a, b in structure.arrows
            if a and FLOORS.index(part(b)) > FLOORS.index(part(a))]


def test_every_part_is_listed_once():
    assert len(FLOORS) == len(set(FLOORS))
    assert set(FLOORS) == {part(m) for m in PACKAGE.trees if m}


def test_a_part_imports_only_those_above_it():
    assert len(PACKAGE.arrows) > 100
    assert up(PACKAGE) == []


def test_no_modules_import_one_another():
    assert PACKAGE.circles == set()
    assert PACKAGE.back_up == []


#: Most stations of what a user hands over. A model is read once, by `inspect`; what comes after
#: takes what was read: records, and calls.
MOST = {"model": 21, "runs": 10}


@pytest.mark.parametrize(("function", "parameter"), JOURNEYS)
def test_what_a_user_hands_over_goes_one_way(function, parameter):
    """One that climbs back and forth between modules shows that a step is missing."""
    assert 4 <= len(PACKAGE.stations(function, parameter)) <= MOST[parameter]


@pytest.mark.parametrize(("code", "arrow"), [
    ("from ..laws import fit", ("costs.report", "laws.fit")),
    ("def f():\n    from ..laws.fit import fit_scaling_law", ("costs.report", "laws.fit")),
    ("class A:\n    def f(self):\n        import tostoolkit.laws.fit",
     ("costs.report", "laws.fit")),
    ("if True:\n    from tostoolkit.laws.fit import x", ("costs.report", "laws.fit")),
    ("from tostoolkit import laws", ("costs.report", "laws")),
])
def test_an_import_of_what_stands_below_is_seen_wherever_it_hides(tmp_path, code, arrow):
    package = tmp_path / "tostoolkit"
    for name, text in {"__init__": "", "costs/__init__": "", "costs/report": code,
                       "laws/__init__": "", "laws/fit": "from ..costs import report"}.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = Structure(package)
    assert up(found) == [arrow]
    assert bool(found.circles) == (arrow[1] == "laws.fit")
