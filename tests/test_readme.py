"""The README says what the notebooks found."""

import ast
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


def modules():
    """Return the package's modules and subpackages."""
    package = ROOT / "tostoolkit"
    return {p.stem: p for p in package.glob("*.py") if not p.stem.startswith("__")} | {
        p.parent.name: p for p in package.glob("*/__init__.py")}


def layers():
    """Return module -> row of the README's table; ``*_counters`` stands for all that end so."""
    table = README.split("## The package")[1]
    rows = [re.findall(r"`([a-z_*]+)`", line.split("|")[1])
            for line in table.splitlines() if line.startswith("| `")]
    found = {}
    for i, names in enumerate(rows):
        for name in names:
            found |= {m: i for m in modules()
                      if m == name or (name.startswith("*") and m.endswith(name[1:]))}
    return found


def test_every_module_and_how_to_is_listed():
    assert set(layers()) == set(modules())
    for page in (ROOT / "docs").glob("*.md"):
        assert f"](docs/{page.name})" in README


def test_a_module_imports_only_those_above_it():
    row, seen = layers(), 0
    for name, path in modules().items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.level == 1 and path.stem != "__init__":
                wanted = [node.module] if node.module else [alias.name for alias in node.names]
                for other in (w.split(".")[0] for w in wanted):
                    seen += 1
                    assert row[other] <= row[name], f"{name} imports {other}"
    assert seen > 100


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
