"""Write the README's table of results from ``data/derived/03_numbers.json``, which notebook 03 wrote.

``python notebooks/readme.py`` changes what stands between the two ``results`` comments.
"""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
MARKS = "<!-- results -->\n", "<!-- /results -->"

#: Predictor -> heading of its column.
COLUMNS = {"MACs": "MACs", "TOs": "TOs, one number", "TOs, linear and not": "TOs, linear and not",
           "TOs, MACs and not": "TOs, MACs and not",
           "TOs, MACs and not, layers": "the same, and layers", "bytes moved": "bytes moved"}
UNITS = {"energy_j": "joules", "time_s": "seconds"}


def table(numbers) -> str:
    """Return the results as Markdown: held-out mean relative error in %, data set by data set."""
    sets = {}
    for row in numbers["held_out"]:
        sets.setdefault((row["dataset"], row["device"]), {})[row["predictor"]] = row
    several = [name for name, _ in sets]
    lines = [["data set", "measured", *COLUMNS.values(), "repeats"], ["---"] * (len(COLUMNS) + 3)]
    for (name, device), rows in sets.items():
        own = {p: rows[p]["mean_relative_error"] for p in COLUMNS if p in rows}
        known = [error for error in own.values() if error is not None]
        row = rows["MACs"]
        title = f"{name}, {device}" if several.count(name) > 1 else name
        title += " (carried over)" if row["carried"] else ""
        lines.append([title, UNITS[row["response"]],
                      *(_percent(own.get(p), own.get(p) == min(known)) for p in COLUMNS),
                      _percent(row["noise_ceiling"])])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _percent(value, bold=False):
    text = "" if value is None else f"{100 * value:.1f}"
    return f"**{text}**" if bold else text


def updated(readme, numbers) -> str:
    """Return the README's text with the table of `numbers` in its place."""
    start, end = map(re.escape, MARKS)
    text, n = re.subn(f"({start}).*?({end})", lambda m: m[1] + table(numbers) + m[2], readme,
                      flags=re.S)
    if n != 1:
        raise ValueError(f"README.md: it has {n} places between {MARKS[0].strip()} and {MARKS[1]}; "
                         "it must have one")
    return text


def main():
    path = ROOT / "README.md"
    numbers = json.loads((ROOT / "data" / "derived" / "03_numbers.json").read_text())
    path.write_text(updated(path.read_text(), numbers))


if __name__ == "__main__":
    main()
