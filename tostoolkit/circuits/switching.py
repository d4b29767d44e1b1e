"""Switching: how many transistors turn on or off per op, for a stream of operands.

``TO_sw = sum over nets of toggles x gate terminals``: when a net changes between two consecutive
operands, every transistor whose gate it drives switches once (zero delay: no glitches). The
terminals are those of the ``mirror`` library's cells, internal nets included, so that a stream
which flipped every net would switch every transistor once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .formats import FLOATS, INTEGERS, from_float, to_float
from .netlist import AND, MAJ, MUX, NOT, OR, XOR, XOR3, Netlist
from .simulation import WORDS, check_operands, run, to_planes
from .units import unit

BLOCKS = 16  # parts of a stream whose spread gives the sampling error


@dataclass(frozen=True)
class Switching:
    """Transistor transitions of a unit under a stream.

    Attributes
    ----------
    transitions : float
        Expected per op, in transistors.
    std_error : float
        Of `transitions`, from the spread of 16 parts of the stream.
    transistors : int
        Of the unit.
    ops : int
        Length of the stream.
    """

    transitions: float
    std_error: float
    transistors: int
    ops: int

    @property
    def activity(self) -> float:
        """Share of the transistors that switch in an op."""
        return self.transitions / self.transistors if self.transistors else 0.0


def switching(netlist: Netlist, **stream: np.ndarray) -> Switching:
    """Return the transistor transitions per op of a unit under a stream of operands.

    Parameters
    ----------
    netlist : Netlist
        A unit, as `unit` returns.
    **stream : array of unsigned integers, shape (n,)
        The operands' bits in the order of the ops, n at least 1,024.

    Raises
    ------
    ValueError
        A stream shorter than that; operands as for `simulate`.
    TypeError
        As `simulate`.

    Examples
    --------
    >>> same = np.zeros(1024, np.uint64)
    >>> switching(unit("add", "int8"), x=same, y=same).transitions
    0.0
    """
    arrays = check_operands(netlist, stream)
    n = len(next(iter(arrays.values())))
    if n < 64 * BLOCKS:
        raise ValueError(
            f"stream: {n} operands; {64 * BLOCKS} are the least, for an error estimate")
    drives, inner = terminals(netlist)
    size = min(n, 64 * WORDS) // (64 * BLOCKS) * 64 * BLOCKS
    per_block = []
    for start in range(0, n - size + 1, size):
        planes = {name: to_planes(x[start:start + size], len(netlist.inputs[name]))
                  for name, x in arrays.items()}
        switched = np.zeros(BLOCKS)

        def watch(net, plane, fanins, switched=switched):
            if drives[net]:
                switched += drives[net] * _toggles(plane)
            for count, value in inner.get(net, ()):
                switched += count * _toggles(value(*fanins))

        run(netlist, planes, watch)
        ops = np.full(BLOCKS, size // BLOCKS)
        ops[-1] -= 1  # the last vector has none after it
        per_block.append(switched / ops)
    blocks = np.concatenate(per_block)
    return Switching(float(blocks.mean()), float(blocks.std(ddof=1) / len(blocks) ** 0.5),
                     netlist.transistors(), n)


def _toggles(plane):
    """Return how often a net changes from one vector to the next, in each block of the stream."""
    later = np.empty_like(plane)
    later[:-1] = plane[1:]
    later[-1] = plane[-1] >> np.uint64(63)
    changes = np.bitwise_count(plane ^ (plane >> np.uint64(1) | later << np.uint64(63)))
    return changes.reshape(BLOCKS, -1).sum(axis=1, dtype=np.int64)


def terminals(netlist: Netlist) -> tuple[list[int], dict]:
    """Return where the gates of a netlist's transistors hang, in the ``mirror`` library.

    The gate terminals on each net; and net -> [(gate terminals, function of its fanins' planes),
    ...], for the nets inside its cell. All terminals together are all transistors.
    """
    drives, inner = [0] * len(netlist.kinds), {}
    absorbed = netlist.absorbed()
    merged = set(absorbed.values())
    for net, (kind, nets) in enumerate(zip(netlist.kinds, netlist.fanins, strict=True)):
        if kind == NOT and net not in merged:
            drives[nets[0]] += 2
        elif kind in (AND, OR):
            for x in nets:
                drives[x] += 2
            drives[net] += 0 if net in absorbed else 2  # the inverter behind a NAND or NOR
        elif kind == XOR:  # a NOR and an AND-OR-invert; an XNOR is their dual
            for x in nets:
                drives[x] += 4
            inner[net] = [(2, np.bitwise_and if net in absorbed else np.bitwise_or)]
        elif kind == MUX:  # two pairs, the select's inverter, the output's
            choose, a, b = nets
            drives[choose] += 6
            drives[a] += 2
            drives[b] += 2
            drives[net] += 2
    for (a, b, c), outputs in netlist.sums().items():
        if MAJ in outputs:
            both = XOR3 in outputs  # the carry stage; with the sum stage, the mirror adder
            for x, alone in ((a, 4), (b, 4), (c, 2)):
                drives[x] += alone + (4 if both else 0)
            drives[outputs[MAJ]] += 4 if both else 2
            if both:
                drives[outputs[XOR3]] += 2
        else:  # two XORs
            for x in (a, b, c):
                drives[x] += 4
            inner[outputs[XOR3]] = [
                (4, lambda a, b, c: a ^ b), (2, lambda a, b, c: a | b),
                (2, lambda a, b, c: (a ^ b) | c)]
    return drives, inner


# Streams --------------------------------------------------------------------------------------

def random_stream(netlist: Netlist, dtype: str, n: int = 2**13, seed: int = 0) -> dict:
    """Return operands of uniformly random bits, exponents that mean infinity or NaN excepted.

    >>> sorted(random_stream(unit("add", "int8"), "int8", 1024))
    ['x', 'y']
    """
    rng = np.random.default_rng(seed)
    stream = {}
    for name, word in netlist.inputs.items():
        bits = rng.integers(0, 2**len(word), n, dtype=np.uint64)
        if dtype in FLOATS and len(word) == FLOATS[dtype].width:
            top = np.uint64(1 << FLOATS[dtype].precision - 1)  # the exponent's last bit
            values = to_float(bits, dtype)
            bits = np.where(np.isfinite(values), bits, bits & ~top)
        stream[name] = bits
    return stream


def network_stream(netlist: Netlist, dtype: str, n: int = 2**13, seed: int = 0) -> dict:
    """Return operands as a trained network has them: x activations, y weights, z running sums.

    Activations are standard normal behind a ReLU, so that half are 0; weights normal with standard
    deviation 0.05; sums normal. Integers are the same, scaled so that 4 standard deviations fill
    the format, or 2^52 (sums: 2^16).
    """
    rng = np.random.default_rng(seed)
    values = {"x": np.maximum(rng.standard_normal(n), 0.0), "y": 0.05 * rng.standard_normal(n),
              "z": rng.standard_normal(n), "predicate": rng.integers(0, 2, n),
              "multiplier": rng.integers(2**30, 2**31, n), "shift": rng.integers(5, 9, n)}
    scale = {"x": 1.0, "y": 0.05, "z": 1.0}
    stream = {}
    for name, word in netlist.inputs.items():
        width = len(word)
        if name not in scale:
            stream[name] = values[name].astype(np.uint64)
        elif dtype in FLOATS:
            stream[name] = from_float(values[name], dtype)
        else:
            wide = width > INTEGERS[dtype]
            limit = 2.0**16 if wide else 2.0 ** min(INTEGERS[dtype] - 1, 52) - 1
            units = np.clip(np.rint(values[name] / (4 * scale[name]) * limit), -limit, limit)
            stream[name] = units.astype(np.int64).view(np.uint64) & np.uint64((1 << width) - 1)
    return stream


#: Name -> function that returns a stream.
STREAMS = {"random": random_stream, "network": network_stream}


def op_switching(op: str, dtype: str, stream: str = "network", n: int = 2**13,
                 seed: int = 0) -> Switching:
    """Return the switching of a unit under a named stream.

    Raises
    ------
    ValueError
        An unknown stream, op or format.

    Examples
    --------
    >>> s = op_switching("add", "int8", "random", 4096)
    >>> 0.2 < s.activity < 0.6
    True
    """
    if stream not in STREAMS:
        raise ValueError(f"stream: {stream!r} is unknown; there are {', '.join(STREAMS)}")
    netlist = unit(op, dtype)
    return switching(netlist, **STREAMS[stream](netlist, dtype, n, seed))


def switching_table(ops: Sequence[str], dtype: str,
                    streams: Sequence[str] = tuple(STREAMS)) -> pd.DataFrame:
    """Return the switching of several units under several streams, one row a stream and op.

    Returns
    -------
    pandas.DataFrame
        Index ``(stream, op)``; ``transitions``, ``transistors`` and ``activity``, the share of the
        transistors that switch.

    Raises
    ------
    ValueError
        As `op_switching`.

    Examples
    --------
    >>> table = switching_table(["add", "mul"], "int8", ["random", "network"])
    >>> bool((table.activity.loc["network"] < table.activity.loc["random"]).all())
    True
    """
    rows = {(stream, op): op_switching(op, dtype, stream) for stream in streams for op in ops}
    return pd.DataFrame(
        [(s.transitions, s.transistors, s.activity) for s in rows.values()],
        columns=["transitions", "transistors", "activity"],
        index=pd.MultiIndex.from_tuples(rows, names=["stream", "op"]))
