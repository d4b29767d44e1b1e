"""Netlists of static-CMOS cells: built with sharing and folding, counted in transistors.

A net is an integer: 0 and 1 are the constants, then come the inputs, then the cells' outputs. A
word is a list of nets, least significant bit first. The same cell of the same nets is built once,
constants are folded, and what no output needs is left out by `Netlist.finish`.
"""

import hashlib
from collections import Counter
from functools import wraps
from types import MappingProxyType

NOT, AND, OR, XOR, MUX, XOR3, MAJ = range(7)
KINDS = ("not", "and", "or", "xor", "mux", "xor3", "majority")
#: What a cell is with a NOT behind it.
MERGED = MappingProxyType({AND: "nand", OR: "nor", XOR: "xnor"})

#: Cell library -> transistors of each cell. ``mirror``: complementary static CMOS with the mirror
#: adder; ``transmission-gate``: XOR, multiplexer and adder of transmission gates (Weste and Harris,
#: "CMOS VLSI Design", 4th ed., 2011: sections 1.4.2 to 1.4.6, 11.2.1 with its mirror adder of 28
#: and its transmission-gate adder of 24 transistors); ``nand``: two-input NANDs alone.
CELL_LIBRARIES = MappingProxyType({
    "mirror": MappingProxyType({
        "not": 2, "nand": 4, "nor": 4, "and": 6, "or": 6, "xor": 10, "xnor": 10, "mux": 12,
        "majority": 12, "xor3": 20, "full adder": 28}),
    "transmission-gate": MappingProxyType({
        "not": 2, "nand": 4, "nor": 4, "and": 6, "or": 6, "xor": 6, "xnor": 6, "mux": 6,
        "majority": 12, "xor3": 12, "full adder": 24}),
    "nand": MappingProxyType({
        "not": 4, "nand": 4, "nor": 16, "and": 8, "or": 12, "xor": 16, "xnor": 20, "mux": 16,
        "majority": 24, "xor3": 32, "full adder": 36}),
})
ADDERS = ("ripple", "brent-kung", "kogge-stone")


class Netlist:
    """A circuit under construction, and then the circuit.

    Parameters
    ----------
    adder : {"ripple", "brent-kung", "kogge-stone"}
        Architecture of every carry-propagate adder in it.

    Raises
    ------
    ValueError
        An unknown adder.

    Examples
    --------
    >>> n = Netlist()
    >>> a, b, c = (n.input(name, 1)[0] for name in "abc")
    >>> n.output("sum", [n.xor3(a, b, c)])
    >>> n.output("carry", [n.majority(a, b, c)])
    >>> n.finish().transistors()
    28
    """

    def __init__(self, adder: str = "ripple"):
        if adder not in ADDERS:
            raise ValueError(f"adder: {adder!r} is unknown; there are {', '.join(ADDERS)}")
        self.adder = adder
        self.inputs, self.outputs = {}, {}
        self.kinds, self.fanins = [None, None], [(), ()]
        self.parts, self._part = ["", ""], ""
        self._known = {}

    # Building ---------------------------------------------------------------------------------

    def input(self, name: str, width: int) -> list[int]:
        """Return the nets of a new input word."""
        first = len(self.kinds)
        self.kinds += [None] * width
        self.fanins += [()] * width
        self.parts += [""] * width
        self.inputs[name] = list(range(first, first + width))
        return self.inputs[name]

    def output(self, name: str, word: list[int]) -> None:
        """Name a word as an output."""
        self.outputs[name] = list(word)

    def _cell(self, kind, *nets):
        key = (kind, *nets)
        net = self._known.get(key)
        if net is None:
            net = self._known[key] = len(self.kinds)
            self.kinds.append(kind)
            self.fanins.append(nets)
            self.parts.append(self._part)
        return net

    def _inverse(self, a):
        """Return the net that a NOT drives from `a`, or that `a` inverts, if there is one."""
        return self.fanins[a][0] if self.kinds[a] == NOT else self._known.get((NOT, a))

    def inv(self, a: int) -> int:
        if a < 2:
            return 1 - a
        return self.fanins[a][0] if self.kinds[a] == NOT else self._cell(NOT, a)

    def and_(self, a: int, b: int) -> int:
        a, b = sorted((a, b))
        if a == 0 or self._inverse(a) == b:
            return 0
        return b if a == 1 or a == b else self._cell(AND, a, b)

    def or_(self, a: int, b: int) -> int:
        a, b = sorted((a, b))
        if a == 1 or self._inverse(a) == b:
            return 1
        return b if a == 0 or a == b else self._cell(OR, a, b)

    def xor(self, a: int, b: int) -> int:
        flip = (self.kinds[a] == NOT) ^ (self.kinds[b] == NOT)
        a, b = sorted(self.fanins[x][0] if self.kinds[x] == NOT else x for x in (a, b))
        if a < 2:
            flip ^= a
            out = b
        else:
            out = 0 if a == b else self._cell(XOR, a, b)
        return self.inv(out) if flip else out

    def mux(self, choose: int, a: int, b: int) -> int:
        """Return `b` where `choose` is 1, else `a`."""
        if choose < 2 or a == b:
            return b if choose == 1 else a
        if self.kinds[choose] == NOT:
            choose, a, b = self.fanins[choose][0], b, a
        if a == 0 or a == choose:
            return self.and_(choose, b)
        if b == 0:
            return self.and_(self.inv(choose), a)
        if b == 1 or b == choose:
            return self.or_(choose, a)
        if a == 1:
            return self.or_(self.inv(choose), b)
        if self._inverse(a) == b:
            return self.xor(choose, a)
        return self._cell(MUX, choose, a, b)

    def xor3(self, a: int, b: int, c: int) -> int:
        a, b, c = sorted((a, b, c))
        if a < 2 or a == b:
            return self.xor(c if a == b else self.xor(b, c), a if a < 2 and a != b else 0)
        if b == c:
            return a
        return self._cell(XOR3, a, b, c)

    def majority(self, a: int, b: int, c: int) -> int:
        a, b, c = sorted((a, b, c))
        if a == b:
            return a
        if b == c:
            return b
        if a < 2:
            return self.and_(b, c) if a == 0 else self.or_(b, c)
        return self._cell(MAJ, a, b, c)

    # Using ------------------------------------------------------------------------------------

    def finish(self) -> "Netlist":
        """Drop what no output needs and number the rest anew; return self."""
        live = bytearray(len(self.kinds))
        stack = [net for word in self.outputs.values() for net in word]
        while stack:
            net = stack.pop()
            if not live[net]:
                live[net] = 1
                stack.extend(self.fanins[net])
        for net in (0, 1, *(x for word in self.inputs.values() for x in word)):
            live[net] = 1
        new, kinds, fanins, parts = {}, [], [], []
        for net, alive in enumerate(live):
            if alive:
                new[net] = len(kinds)
                parts.append(self.parts[net])
                kinds.append(self.kinds[net])
                fanins.append(tuple(new[x] for x in self.fanins[net]))
        self.kinds, self.fanins, self.parts, self._known = kinds, fanins, parts, {}
        for words in (self.inputs, self.outputs):
            for name, word in words.items():
                words[name] = [new[x] for x in word]
        return self

    def absorbed(self) -> dict[int, int]:
        """Return the AND, OR and XOR nets that only feed a NOT, and that NOT.

        The pair is one NAND, NOR or XNOR.
        """
        fanout = Counter(x for nets in self.fanins for x in nets)
        fanout.update(x for word in self.outputs.values() for x in word)
        return {nets[0]: net for net, (kind, nets)
                in enumerate(zip(self.kinds, self.fanins, strict=True))
                if kind == NOT and self.kinds[nets[0]] in MERGED and fanout[nets[0]] == 1}

    def sums(self) -> dict[tuple, dict]:
        """Return three nets -> {XOR3: net, MAJ: net}, the sum and the carry of those three."""
        triples = {}
        for net, (kind, nets) in enumerate(zip(self.kinds, self.fanins, strict=True)):
            if kind in (XOR3, MAJ):
                triples.setdefault(nets, {})[kind] = net
        return triples

    def placed(self) -> list[tuple[str, int]]:
        """Return (name of the cell, a net that it drives) for every cell.

        A sum and a carry of the same three nets are one full adder.
        """
        absorbed = self.absorbed()
        merged = set(absorbed.values())
        cells = [(MERGED[self.kinds[net]], net) for net in absorbed]
        cells += [(KINDS[kind], net) for net, kind in enumerate(self.kinds)
                  if kind in (NOT, AND, OR, XOR, MUX) and net not in absorbed and net not in merged]
        for outputs in self.sums().values():
            kind, net = next(iter(outputs.items()))
            cells.append(("full adder" if len(outputs) == 2 else KINDS[kind], net))
        return cells

    def cells(self) -> Counter:
        """Return how many of each cell there are, by the names of the cell libraries."""
        return Counter(name for name, _ in self.placed())

    def anatomy(self, cells: str = "mirror") -> Counter:
        """Return the transistors of each part of the unit.

        Raises
        ------
        ValueError
            An unknown cell library.
        """
        library, sizes = cell_library(cells), Counter()
        for name, net in self.placed():
            sizes[self.parts[net] or "glue"] += library[name]
        return sizes

    def transistors(self, cells: str = "mirror") -> int:
        """Return the number of transistors in one cell library.

        Raises
        ------
        ValueError
            An unknown cell library.
        """
        return self.anatomy(cells).total()

    def digest(self) -> str:
        """Return a hash of the structure: equal for equal netlists."""
        text = repr((self.kinds, self.fanins, self.inputs, self.outputs))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def part(name):
    """Name what a block builds, for `Netlist.anatomy`; the outermost name holds."""
    def decorate(function):
        @wraps(function)
        def build(n, *args, **kwargs):
            outer, n._part = n._part, n._part or name
            try:
                return function(n, *args, **kwargs)
            finally:
                n._part = outer
        return build
    return decorate


def cell_library(name: str) -> MappingProxyType:
    """Return a cell library by its name; an unknown one is an error."""
    if name not in CELL_LIBRARIES:
        raise ValueError(f"cells: {name!r} is unknown; there are {', '.join(CELL_LIBRARIES)}")
    return CELL_LIBRARIES[name]
