"""Speed of the circuits, beside NumPy's own arithmetic and, where it is installed, PyRTL.

Each figure is the best of five; ratios are of runs that take turns.
"""

import time

import numpy as np

from tostoolkit.circuits import FLOATS, INTEGERS, simulate, units
from tostoolkit.circuits.units import unit

VECTORS = 2**20


def best(function, times=5):
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        spent.append(time.perf_counter() - start)
    return min(spent)


def build_all():
    unit.cache_clear()
    for dtype in (*FLOATS, *INTEGERS):
        for op in units(dtype):
            unit(op, dtype)


def pyrtl_rate(netlist, stream, vectors=200):
    """Return PyRTL's compiled-to-Python simulation rate of the same netlist, ops a second."""
    import pyrtl

    pyrtl.reset_working_block()
    wires = {0: pyrtl.Const(0, 1), 1: pyrtl.Const(1, 1)}
    for name, word in netlist.inputs.items():
        port = pyrtl.Input(len(word), name)
        wires |= {net: port[i] for i, net in enumerate(word)}
    cells = (lambda a: ~a, lambda a, b: a & b, lambda a, b: a | b, lambda a, b: a ^ b,
             lambda s, a, b: pyrtl.select(s, b, a), lambda a, b, c: a ^ b ^ c,
             lambda a, b, c: a & b | c & (a ^ b))
    for net, (kind, nets) in enumerate(zip(netlist.kinds, netlist.fanins, strict=True)):
        if kind is not None:
            wires[net] = cells[kind](*(wires[x] for x in nets))
    out = pyrtl.Output(len(netlist.outputs["result"]), "out")
    out <<= pyrtl.concat_list([wires[x] for x in netlist.outputs["result"]])
    simulation = pyrtl.FastSimulation(tracer=None)
    steps = [{k: int(v[i]) for k, v in stream.items()} for i in range(vectors)]
    right = simulate(netlist, **{k: v[:vectors] for k, v in stream.items()})["result"]
    start = time.perf_counter()
    for i, step in enumerate(steps):
        simulation.step(step)
        assert simulation.inspect("out") == int(right[i])
    return vectors / (time.perf_counter() - start)


def main():
    print(f"all units in all formats built: {best(build_all, 3):.2f} s")
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 2**32, (2, VECTORS), dtype=np.uint32)
    a, b = x.view(np.float32), y.view(np.float32)
    for op, function in (("add", np.add), ("mul", np.multiply), ("exp", np.exp)):
        netlist = unit(op, "float32")
        stream = {"x": x, "y": y} if op != "exp" else {"x": x}
        simulate(netlist, **{k: v[:64] for k, v in stream.items()})
        with np.errstate(all="ignore"):
            ours = best(lambda n=netlist, s=stream: simulate(n, **s))
            theirs = best(lambda f=function, s=stream: f(*(a, b)[:len(s)]))
        line = (f"float32 {op}: {VECTORS / ours / 1e6:.1f} million ops a second; "
                f"NumPy's arithmetic is {ours / theirs:,.0f} times as fast")
        try:
            rate = pyrtl_rate(netlist, stream)
            line += f"; PyRTL's simulator takes {VECTORS / ours / rate:,.0f} times as long"
        except ImportError:
            line += "; PyRTL is not installed"
        print(line)


if __name__ == "__main__":
    main()
