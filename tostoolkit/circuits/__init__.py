"""What an op costs in transistors: standard cells, composed into arithmetic units by formula."""

from .composition import CELLS, FORMATS, op_transistors, write_table

__all__ = ["CELLS", "FORMATS", "op_transistors", "write_table"]
