"""What the circuits give, written anew: the cost tables, or the record of the proofs.

    python -m tostoolkit.circuits tables --out FOLDER
    python -m tostoolkit.circuits prove --out FILE
"""

import argparse
import sys
from pathlib import Path

from .proofs import write_proofs
from .tables import write_tables


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m tostoolkit.circuits", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    tables = commands.add_parser("tables", help="write the cost tables that circuits give")
    tables.set_defaults(run=_tables)
    tables.add_argument("--out", required=True, type=Path, metavar="FOLDER",
                        help="where the tables go, one CSV file each; it must exist")
    prove = commands.add_parser("prove", help="prove every unit (half an hour) and write a record")
    prove.set_defaults(run=_prove)
    prove.add_argument("--out", required=True, type=Path, metavar="FILE",
                       help="the record, a CSV file; its folder must exist")
    options = parser.parse_args(arguments)
    try:
        print(options.run(options.out))
    except OSError as error:
        sys.exit(f"{parser.prog}: {error}")


def _tables(folder):
    return "\n".join(f"wrote {path.as_posix()}" for path in write_tables(folder))


def _prove(path):
    table = write_proofs(path)
    return (f"{len(table)} units, {table.vectors.sum():,} vectors, {table.failures.sum()} failures"
            f"\nwrote {path.as_posix()}")


if __name__ == "__main__":
    main()
