"""Sizes beyond int32 in a graph that TensorFlow traces.

TensorFlow says sizes in int32 unless it is told otherwise, and one of 2^31 or more wraps without a
word: a sort, whose length is such a size, would keep nothing. While a graph is traced here, it is
remembered what such a number is in full (`sizes_in_full`), and what takes it for a size is given
it in int64. An op that takes no int64 there is an error that says so.
"""

from contextlib import contextmanager

import numpy as np

from ..trace import TraceError

_FULL = "tos_sizes_in_full"
_LIMIT = 2**31 - 1
#: Ops that compute with sizes or hand them on: what they make is known in full by itself.
_PASS = frozenset((
    "Add", "AddV2", "Sub", "Mul", "FloorDiv", "FloorMod", "RealDiv", "Maximum", "Minimum", "Neg",
    "Abs", "Square", "Sign", "Pow", "Equal", "NotEqual", "Less", "Greater", "LessEqual",
    "GreaterEqual", "Select", "SelectV2", "Identity", "IdentityN", "StopGradient", "Cast",
    "Squeeze", "ExpandDims", "Pack", "Unpack", "Concat", "ConcatV2", "Prod", "Sum", "Max", "Min",
    "If", "StatelessIf", "While", "StatelessWhile", "PartitionedCall", "StatefulPartitionedCall",
    "TensorListReserve", "Assert",
))
#: Ops that hand on the first of their inputs; the others are sizes or places.
_PASS_FIRST = {"StridedSlice": "input", "GatherV2": "params", "Reshape": "tensor"}


def in_full(tensor):
    """Return the numbers that a constant of a graph wraps, None of one that wraps none."""
    return next((value for name, value in tensor.graph.get_collection(_FULL)
                 if name == tensor.op.name), None)


@contextmanager
def sizes_in_full(value_of, specs):
    """Return a context in which what is traced is given sizes beyond int32 in full.

    `value_of` returns what a tensor is known to be; `specs` are of the tensors that it is traced
    on. Until one of them, or a size, is beyond int32, nothing is looked into.
    """
    import tensorflow as tf
    from tensorflow.python.framework import op_def_library, ops

    met = [spec for spec in specs if spec.shape.rank is not None
           and (spec.shape.num_elements() or 0) > _LIMIT]
    constant, apply = ops._create_graph_constant, op_def_library._apply_op_helper

    def noted_constant(value, dtype=None, *others, **named):
        tensor = constant(value, dtype, *others, **named)
        if dtype is not None and tf.as_dtype(dtype) == tf.int32:
            full = _beyond(value)
            if full is not None:
                tensor.graph.add_to_collection(_FULL, (tensor.op.name, full))
                met.append(full)
        return tensor

    def apply_in_full(op_type_name, name=None, **keywords):
        if met and op_type_name not in _PASS:
            first = _PASS_FIRST.get(op_type_name)
            given = {key: x if key == first else widened(x) for key, x in keywords.items()}
            if any(x is not keywords[key] for key, x in given.items()):
                try:
                    return apply(op_type_name, name, **given)
                except (TypeError, ValueError) as error:
                    raise TraceError(
                        f"batch_size: the op {op_type_name} is given a size beyond int32, which it "
                        "does not take; count at a smaller batch_size, batch_size=1 say, and "
                        "multiply") from error
        return apply(op_type_name, name, **keywords)

    def widened(x):
        if not (tf.is_tensor(x) and x.dtype == tf.int32 and x.shape.rank in (0, 1)
                and (x.shape.rank == 0 or (x.shape[0] or 99) < 99)) or hasattr(x, "numpy"):
            return x
        full = value_of(x)
        return x if full is None or _beyond(full) is None else tf.constant(full, tf.int64)

    ops._create_graph_constant, op_def_library._apply_op_helper = noted_constant, apply_in_full
    try:
        yield
    finally:
        ops._create_graph_constant, op_def_library._apply_op_helper = constant, apply


def _beyond(value):
    """Return integers as an array where one of them is beyond int32, else None."""
    try:
        full = np.asarray(value)
    except Exception:  # what only TensorFlow makes an array of
        return None
    if full.dtype.kind != "i" or full.size > 99 or not full.size:
        return None
    return full if full.max() > _LIMIT or full.min() < -_LIMIT - 1 else None
