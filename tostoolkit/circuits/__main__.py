"""``python -m tostoolkit.circuits``: write the cost tables that are derived from circuits."""

from pathlib import Path

from .composition import write_table

path = Path(__file__).parent.parent / "cost_tables" / "cmos.csv"
write_table(path)
print(f"wrote {path.name}")
