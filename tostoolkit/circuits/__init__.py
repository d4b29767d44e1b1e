"""Arithmetic units as netlists of static-CMOS cells: built, simulated, proved, counted."""
