"""The structure of a package, read from its syntax trees: nothing of it is run.

``python tests/support/structure.py tostoolkit [OTHER/tostoolkit]`` prints files, lines, floors,
arrows, circles, public names, and the stations at which a parameter stops, one column a package.
"""

import ast
import sys
from functools import cached_property
from pathlib import Path

#: What a user hands over first -> the functions, old and new, that take it.
JOURNEYS = (("transistor_ops", "model"), ("fit_scaling_law", "runs"))
TABLES = ("cost_table", "op_kinds")  # no module is too long for what is a table in it


class Structure:
    """Modules by dotted name (``laws.fit``; a folder's own ``__init__`` by the folder's name)."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.trees = {self._name(path): ast.parse(path.read_text(encoding="utf-8"))
                      for path in sorted(self.folder.rglob("*.py"))}

    def _name(self, path):
        parts = path.relative_to(self.folder).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def _target(self, importer, node, name):
        """Return the module that ``from <node> import <name>`` is about, None for another's."""
        if node.level:
            is_folder = (self.folder / importer.replace(".", "/") / "__init__.py").exists()
            parts = importer.split(".") if importer else []
            parts = parts[:len(parts) - node.level + is_folder]
        elif (node.module or "").partition(".")[0] == self.folder.name:
            parts = []
        else:
            return None
        inner = (node.module or "").split(".")
        inner = inner[0 if node.level else 1:] if inner != [""] else []
        module = ".".join([*parts, *inner])
        inside = f"{module}.{name}".strip(".")
        return inside if inside in self.trees else module

    def imports_of(self, importer):
        """Yield (module, name, local name, line is within a function) of each import of ours."""
        inner = {id(n) for f in ast.walk(self.trees[importer])
                 if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
        for node in ast.walk(self.trees[importer]):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    module = self._target(importer, node, alias.name)
                    if module is not None:
                        yield module, alias.name, alias.asname or alias.name, id(node) in inner
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    head, _, rest = alias.name.partition(".")
                    if head == self.folder.name:
                        yield rest, "", alias.asname or head, id(node) in inner

    @cached_property
    def arrows(self):
        """(importer, imported) -> whether it is imported inside functions alone."""
        found = {}
        for importer in self.trees:
            for module, *_, inside in self.imports_of(importer):
                if module not in ("", importer):
                    found[importer, module] = found.get((importer, module), True) and inside
        return found

    @cached_property
    def reach(self):
        """Module -> all that it imports, in the end."""
        direct = {m: {b for a, b in self.arrows if a == m} for m in self.trees}
        reach = {}
        for module in self.trees:
            seen, stack = set(), [*direct[module]]
            while stack:
                other = stack.pop()
                if other not in seen:
                    seen.add(other)
                    stack += direct[other]
            reach[module] = seen
        return reach

    @property
    def circles(self):
        """Sets of modules that import one another."""
        return {frozenset(b for b in self.reach[a] if a in self.reach[b])
                for a in self.trees if a in self.reach[a]}

    @property
    def back_up(self):
        """Arrows that run back up: imported inside a function, as the other imports us."""
        return [(a, b) for (a, b), inside in self.arrows.items() if inside and a in self.reach[b]]

    @property
    def floors(self):
        """How many modules stand on one another; a circle stands on one floor."""
        floor = {}
        for module in sorted(
                self.trees, key=lambda m: (len(self.reach[m]), m not in self.reach[m])):
            below = [floor[b] for b in self.reach[module] if module not in self.reach[b]]
            floor[module] = 1 + max(below, default=0)
        return max(floor.values())

    @property
    def entries(self):
        """What lies in the package's folder itself."""
        return sorted(p.name for p in self.folder.iterdir() if p.name != "__pycache__")

    @property
    def public_names(self):
        """Names that ``import tostoolkit as tos`` gives: those of functions, and namespaces."""
        lists = [n for n in ast.walk(self.trees[""]) if isinstance(n, ast.List)]
        return sorted({n.value for listed in lists for n in listed.elts})

    def stations(self, function, parameter):
        """Return the modules that a parameter, and what is made of it, is handed to, in order."""
        start = next(m for m, tree in self.trees.items() if m for node in tree.body
                     if getattr(node, "name", None) == function)
        route, seen = [start], {(start, function)}
        self._follow(start, function, {parameter}, route, seen)
        return [m for i, m in enumerate(route) if not i or m != route[i - 1]]

    def _follow(self, module, function, carriers, route, seen):
        names = {local: (m, name) for m, name, local, _ in self.imports_of(module)}
        own = {n.name: n for n in ast.walk(self.trees[module]) if isinstance(n, ast.FunctionDef)}
        for node in _in_order(own[function]):
            if isinstance(node, (ast.Assign, ast.AnnAssign, ast.For, ast.comprehension)):
                value = node.iter if isinstance(node, (ast.For, ast.comprehension)) else node.value
                if value is not None and _names(value) & carriers:
                    carriers |= set(_targets(node))
            elif isinstance(node, ast.Call):
                self._call(module, node, names, own, carriers, route, seen)

    def _call(self, module, call, names, own, carriers, route, seen):
        target = call.func
        if isinstance(target, ast.Name):
            where = (module, target.id) if target.id in own else names.get(target.id)
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            holder, _ = names.get(target.value.id, (None, None))
            where = (holder, target.attr) if holder else None
        else:
            where = None
        defined = where and next((n for n in self.trees.get(where[0], ast.Module([], [])).body
                                  if getattr(n, "name", None) == where[1]), None)
        if not isinstance(defined, ast.FunctionDef):
            return
        positions = [a.arg for a in (*defined.args.posonlyargs, *defined.args.args)]
        carried = {p for p, a in zip(positions, call.args, strict=False) if _names(a) & carriers}
        carried |= {k.arg for k in call.keywords if k.arg and _names(k.value) & carriers}
        if carried:
            route.append(where[0])
            if where not in seen:
                seen.add(where)
                self._follow(*where, carried, route, seen)

    def table(self):
        """Return what is counted, by its name."""
        lines = {m: len((self.folder / (m.replace(".", "/"))).with_suffix(".py").read_text(
            encoding="utf-8").splitlines()) for m in self.trees
            if (self.folder / (m.replace(".", "/"))).with_suffix(".py").exists()}
        every = sum(len(p.read_text(encoding="utf-8").splitlines())
                    for p in self.folder.rglob("*.py"))
        return {
            "files": len(self.trees), "lines": every, "entries": len(self.entries),
            "modules over 330 lines": sum(n > 330 for n in lines.values()),
            "floors": self.floors, "arrows": len(self.arrows), "arrows back up": len(self.back_up),
            "circles": len(self.circles), "public names": len(self.public_names),
            **{f"stations of {p}": len(self.stations(f, p)) for f, p in JOURNEYS}}


def _in_order(node):
    """Yield the nodes under `node` in the order in which they are written."""
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)
        yield child


def _names(node):
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _targets(node):
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    return [n.id for t in targets if t is not None for n in ast.walk(t) if isinstance(n, ast.Name)]


def main(folders):
    tables = [Structure(folder).table() for folder in folders]
    for name in tables[0]:
        print(f"{name:24}" + "".join(f"{table[name]:>10}" for table in tables))


if __name__ == "__main__":
    main(sys.argv[1:] or ["tostoolkit"])
