"""``python -m tostoolkit.circuits tables | prove``: what the circuits give, written anew."""

import sys
from pathlib import Path

from .proofs import write_proofs
from .tables import write_tables

FOLDER = Path(__file__).parent.parent / "cost_tables"


def main(command):
    if command == "tables":
        for path in write_tables(FOLDER):
            print(f"wrote {path.name}")
    elif command == "prove":
        write_proofs()
    else:
        sys.exit(f"unknown command {command!r}; use tables or prove")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
