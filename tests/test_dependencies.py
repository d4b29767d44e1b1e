"""What the package imports is declared, what is declared is imported, and errors agree."""

import ast
import json
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tostoolkit import extras

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

#: Declared, and imported by another than our code.
BY_OTHERS = {
    "jinja2": "pandas' tables in HTML and LaTeX", "jupyterlab": "make lab",
    "pyarrow": "pandas reads Parquet",
}
#: Imported, and declared nowhere: backends, of which a user installs what the machine needs.
BACKENDS = {"jax", "torch"}


def imports(code):
    """Return the top-level names of the modules that some code imports: at all, at module level."""
    tree = ast.parse(code)

    def names(nodes):
        found = set()
        for node in nodes:
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
        return found - sys.stdlib_module_names - {"tostoolkit"}
    def later(node):
        """In a function, or for type checkers alone: not run when the module is imported."""
        return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or (
            isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING")

    within = {n for f in ast.walk(tree) if later(f) for n in ast.walk(f)}
    return names(ast.walk(tree)), names(set(ast.walk(tree)) - within)


PROVIDERS = packages_distributions()


def distributions(module):
    """Return the names under which a module may be declared."""
    return {canonicalize_name(name) for name in PROVIDERS.get(module, [module])}


def declared(requirements):
    """Return the distributions that requirements name; an extra of one, what that extra brings."""
    found = set()
    for requirement in map(Requirement, requirements):
        found.add(canonicalize_name(requirement.name))
        for extra in requirement.extras:
            found |= {canonicalize_name(one.name) for one in map(Requirement, requires(
                requirement.name) or ()) if one.marker and one.marker.evaluate({"extra": extra})}
    return found


CORE = declared(PROJECT["dependencies"])
OPTIONAL = {name: declared(requirements)
            for name, requirements in PROJECT["optional-dependencies"].items()
            if name not in ("test", "browser", "hub", "oracle")}
IMPORTS = {path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(
    ".__init__"): imports(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "tostoolkit").rglob("*.py"))}


def undeclared(modules, *groups):
    """Return the modules that none of some groups of distributions brings."""
    return {m for m in modules if not distributions(m) & set().union(*groups)}


def unused(group, modules):
    """Return the distributions of a group that bring none of some modules."""
    return {d for d in group if not any(d in distributions(m) for m in modules)}


def test_what_is_imported_is_declared():
    anywhere = set().union(*(whole for whole, _ in IMPORTS.values()))
    assert len(anywhere) > 15
    assert undeclared(anywhere, CORE, *OPTIONAL.values()) == BACKENDS
    assert undeclared({"requests", "yaml"}, CORE, *OPTIONAL.values()) == {"requests", "yaml"}


def test_what_counting_loads_is_in_the_core():
    code = ("import json, sys, tostoolkit.__main__, tostoolkit as tos; tos.transistor_ops, "
            "tos.compare, tos.count_ops, tos.count_models, tos.count_bytes, tos.design_report; "
            "print(json.dumps([m for m in sys.modules if m.partition('.')[0] == 'tostoolkit']))")
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], check=True, text=True,
                                       capture_output=True, cwd=ROOT).stdout)
    at_once = set().union(*(IMPORTS[module][1] for module in loaded))
    assert {"tostoolkit.counting.count", "tostoolkit.costs.report",
            "tostoolkit.models.counting"} <= set(loaded)
    assert {"numpy", "pandas", "lazy_loader"} <= at_once
    assert undeclared(at_once, CORE) == set()


def test_what_is_declared_is_imported():
    anywhere = set().union(*(whole for whole, _ in IMPORTS.values()))
    assert unused(CORE | OPTIONAL["study"] | OPTIONAL["tensorflow"], anywhere) == set(BY_OTHERS)
    assert unused(CORE | {"requests"}, anywhere) == {"jinja2", "requests"}


def test_errors_name_the_extra_that_brings_a_library():
    anywhere = set().union(*(whole for whole, _ in IMPORTS.values()))
    optional = undeclared(anywhere, CORE)
    assert set(extras.LIBRARIES) == optional - {"zeus"}  # its meter says so itself
    for module, extra in extras.LIBRARIES.items():
        assert module in BACKENDS if extra is None else distributions(module) & OPTIONAL[extra]
        name = Requirement(extras.DISTRIBUTIONS.get(module, module))
        assert distributions(module) & declared([str(name)])


def test_the_reader_of_imports_sees_into_functions():
    code = ("import a.b, os\ndef f():\n    from c.d import e\nclass G:\n    import h\n"
            "from . import i")
    assert imports(code) == ({"a", "c", "h"}, {"a", "h"})
