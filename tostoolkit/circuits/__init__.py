"""What is an op made of? Arithmetic units as netlists of static-CMOS cells, built and simulated.

What an op costs in transistors (TO) is the number of transistors in the fully unrolled unit that
computes it, registers, clock, wires, memories and control left out.
"""

from .formats import FLOATS, INTEGERS, from_float, to_float
from .layers import layer_switching
from .netlist import ADDERS, CELL_LIBRARIES, Netlist
from .simulation import simulate
from .switching import STREAMS, Switching, op_switching, switching, switching_table
from .tables import agreement, published_energies
from .units import compute, unit, unit_transistors, units

__all__ = [
    "ADDERS", "CELL_LIBRARIES", "FLOATS", "INTEGERS", "STREAMS", "Netlist", "Switching",
    "agreement", "compute", "from_float", "layer_switching", "op_switching", "published_energies",
    "simulate", "switching", "switching_table", "to_float", "unit", "unit_transistors", "units",
]
