"""Run the notebooks in order, with a progress line each.

``python notebooks/run.py --out build/notebooks`` writes executed copies there;
``--out notebooks`` keeps the outputs in place. A name or number runs that one alone:
``python notebooks/run.py 03 --out build/notebooks``. ``--set 'SEED = 1'`` replaces parameters.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def notebooks():
    """Return the paths of the notebooks, in order."""
    return sorted(HERE.glob("[0-9][0-9]_*.ipynb"))


def execute(path, parameters="", cwd=HERE):
    """Return the executed notebook; `parameters` run right after its ``parameters`` cell.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        A cell raised.
    ValueError
        There are parameters to set and no cell is tagged ``parameters``, or a name is new to it.
    """
    notebook = nbformat.read(path, as_version=4)
    if parameters:
        tagged = [i for i, cell in enumerate(notebook.cells)
                  if "parameters" in cell.metadata.get("tags", [])]
        if not tagged:
            raise ValueError(f"{path.name}: no cell is tagged 'parameters'")
        for line in parameters.splitlines():
            name = line.split("=")[0].strip()
            if f"{name} = " not in notebook.cells[tagged[0]].source:
                raise ValueError(f"{path.name}: it has no parameter {name!r}")
        notebook.cells.insert(tagged[0] + 1, nbformat.v4.new_code_cell(parameters))
    if data := os.environ.get("TOSTOOLKIT_DATA"):  # as seen from here, not from the notebook
        os.environ["TOSTOOLKIT_DATA"] = str(Path(data).absolute())
    NotebookClient(
        notebook, timeout=1800, kernel_name="python3", coalesce_streams=True,
        resources={"metadata": {"path": str(cwd)}},
    ).execute(stderr=subprocess.DEVNULL)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when a cell ran is no result
        if "outputs" in cell:  # nor is TensorFlow's note that it looked for a GPU
            cell.outputs = [o for o in cell.outputs if "absl::InitializeLog" not in o.get("text", "")]
    notebook.metadata.pop("widgets", None)
    return notebook


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="*", help="numbers or names; all when left out")
    parser.add_argument("--out", type=Path, required=True, help="folder for the executed copies")
    parser.add_argument("--set", default="", metavar="CODE", help="parameters to replace")
    args = parser.parse_args()
    chosen = [p for p in notebooks() if not args.only or p.name.startswith(tuple(args.only))]
    if not chosen:
        sys.exit(f"no notebook is called {args.only}; there are "
                 + ", ".join(p.name for p in notebooks()))
    args.out.mkdir(parents=True, exist_ok=True)
    for i, path in enumerate(chosen, 1):
        print(f"[{i}/{len(chosen)}] {path.stem} ...", end=" ", flush=True)
        start = time.perf_counter()
        nbformat.write(execute(path, args.set), args.out / path.name)
        print(f"{time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
