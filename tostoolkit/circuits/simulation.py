"""Bit-parallel simulation: 64 operand vectors in a machine word, thousands of words at once.

A netlist is lowered once to a list of NumPy calls on rows of 64-bit words, whose storage is
reused as soon as a net has no more readers, so that the working set stays in the cache.
"""

from weakref import WeakKeyDictionary

import numpy as np

from .netlist import AND, MUX, NOT, OR, XOR, XOR3, Netlist

WORDS = 512  # per net and batch: 32,768 vectors
_LOWERED = WeakKeyDictionary()


def simulate(netlist: Netlist, **operands: np.ndarray) -> dict[str, np.ndarray]:
    """Return the outputs of a netlist for arrays of operands.

    Parameters
    ----------
    netlist : Netlist
        Finished.
    **operands : array of unsigned integers, shape (n,)
        One for every input, by its name; the word's bits in the array's low bits.

    Returns
    -------
    dict of str to array of uint64, shape (n,)

    Raises
    ------
    ValueError
        Operands that are missing, unknown, or of different lengths.
    TypeError
        Operands that are not integers.

    Examples
    --------
    >>> from tostoolkit.circuits import unit
    >>> adder = unit("add", "int8")
    >>> simulate(adder, x=np.array([3, 250]), y=np.array([4, 10]))["result"].tolist()
    [7, 4]
    """
    arrays = check_operands(netlist, operands)
    n = len(next(iter(arrays.values())))
    results = {name: np.empty(n, np.uint64) for name in netlist.outputs}
    for start in range(0, n, 64 * WORDS):
        part = {name: x[start:start + 64 * WORDS] for name, x in arrays.items()}
        size = len(next(iter(part.values())))
        planes = {name: to_planes(x, len(netlist.inputs[name])) for name, x in part.items()}
        for name, rows in run(netlist, planes).items():
            results[name][start:start + size] = from_planes(rows, size)
    return results


def check_operands(netlist, operands):
    if set(operands) != set(netlist.inputs):
        raise ValueError(f"operands: got {', '.join(operands) or 'none'}; this unit takes "
                         f"{', '.join(netlist.inputs)}")
    arrays = {name: np.asarray(x) for name, x in operands.items()}
    for name, x in arrays.items():
        if x.dtype.kind not in "ui":
            raise TypeError(f"{name}: dtype {x.dtype} is not an integer; view floats as their "
                            "bits, x.view('uint32'), or call the unit by compute(op, dtype, ...)")
        if x.ndim != 1:
            raise ValueError(f"{name}: shape {x.shape}; operands are one-dimensional arrays")
    lengths = {name: len(x) for name, x in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"operands: of different lengths, {lengths}")
    return {name: x.astype(np.int64).view(np.uint64) if x.dtype.kind == "i" else x
            for name, x in arrays.items()}


def to_planes(x, width):
    """Return the bits of unsigned integers as planes, shape (width, words), 64 vectors a word."""
    words = -(-len(x) // 64)
    size = 1 if width <= 8 else 2 if width <= 16 else 4 if width <= 32 else 8
    padded = np.zeros((words * 64, size), np.uint8)
    padded[:len(x)] = x.astype(f"<u{size}").view(np.uint8).reshape(-1, size)
    columns = np.ascontiguousarray(padded.T)
    planes = np.empty((width, words * 8), np.uint8)
    for bit in range(width):
        planes[bit] = np.packbits(columns[bit // 8] & np.uint8(1 << bit % 8), bitorder="little")
    return planes.view(np.uint64)


def from_planes(planes, n):
    """Return the unsigned integers, shape (n,), of bit planes."""
    columns = np.zeros((8, len(planes[0]) * 64), np.uint8)
    for bit, plane in enumerate(planes):
        columns[bit // 8] |= np.unpackbits(plane.view(np.uint8), bitorder="little") << (bit % 8)
    return np.ascontiguousarray(columns.T).view("<u8")[:n, 0]


def run(netlist, planes, watch=None):
    """Return name -> list of planes, of the outputs.

    `watch(net, plane, fanins)` is called for every net, with the planes of what drives it.
    """
    if netlist not in _LOWERED:
        _LOWERED[netlist] = _lower(netlist)
    inputs, outputs, steps, n_slots = _LOWERED[netlist]
    words = next(iter(planes.values())).shape[1]
    rows = list(np.empty((n_slots, words), np.uint64))
    rows[0][:] = 0
    rows[1][:] = ~np.uint64(0)
    for name, index, slot in inputs:
        rows[slot][:] = planes[name][index]
        if watch:
            watch(netlist.inputs[name][index], rows[slot], ())
    for net, calls, slots in steps:
        for function, a, b, out in calls:
            function(rows[a], rows[b], rows[out])
        if watch:
            watch(net, rows[calls[-1][3]], [rows[slot] for slot in slots])
    return {name: [rows[slot] for slot in word] for name, word in outputs.items()}


def _lower(netlist):
    """Return (inputs, outputs, steps, number of slots).

    A step is (net, [(ufunc, slot, slot, slot to write), ...], the slots of its fanins).
    """
    band, bor, bxor = np.bitwise_and, np.bitwise_or, np.bitwise_xor
    last = {x: net for net, nets in enumerate(netlist.fanins) for x in nets}
    lasting = {x for word in netlist.outputs.values() for x in word} | {0, 1}
    slot_of, free, n_slots = {0: 0, 1: 1}, [], 4  # 2 and 3 are scratch
    inputs = []
    for name, word in netlist.inputs.items():
        for index, net in enumerate(word):
            slot_of[net] = n_slots
            inputs.append((name, index, n_slots))
            n_slots += 1
    steps = []
    half = None  # the nets whose exclusive-or lies in scratch 3
    for net, (kind, nets) in enumerate(zip(netlist.kinds, netlist.fanins, strict=True)):
        if kind is None:
            continue
        slots = [slot_of[x] for x in nets]
        if free:
            out = free.pop()
        else:
            out, n_slots = n_slots, n_slots + 1
        slot_of[net] = out
        if kind == NOT:
            calls = [(bxor, slots[0], 1, out)]
        elif kind in (AND, OR, XOR):
            calls = [({AND: band, OR: bor, XOR: bxor}[kind], slots[0], slots[1], out)]
        elif kind == MUX:
            choose, a, b = slots
            calls = [(bxor, a, b, 2), (band, 2, choose, 2), (bxor, 2, a, out)]
        else:
            a, b, c = slots
            calls = [] if half == nets else [(bxor, a, b, 3)]
            half = nets
            if kind == XOR3:
                calls.append((bxor, 3, c, out))
            else:  # the majority
                calls += [(band, 3, c, 2), (band, a, b, out), (bor, 2, out, out)]
        steps.append((net, calls, slots))
        for x in set(nets):
            if last[x] == net and x not in lasting:
                free.append(slot_of[x])
    outputs = {name: [slot_of[x] for x in word] for name, word in netlist.outputs.items()}
    return inputs, outputs, steps, n_slots
