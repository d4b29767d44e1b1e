"""The cost tables that the circuits give, written anew.

    python -m tostoolkit.circuits tables --out FOLDER
"""

import argparse
import sys
from pathlib import Path

from .tables import write_tables


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tostoolkit.circuits", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    tables = commands.add_parser("tables", help="write the cost tables that circuits give")
    tables.add_argument("--out", required=True, type=Path, metavar="FOLDER",
                        help="where the tables go, one CSV file each; it must exist")
    options = parser.parse_args(arguments)
    try:
        for path in write_tables(options.out):
            print(f"wrote {path.as_posix()}")
    except OSError as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
