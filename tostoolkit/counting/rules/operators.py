"""Op counts of the bare operators of a functional model: ``x + y``, ``keras.ops.exp(x)``."""

from collections import Counter
from math import prod

from .activations import ACTIVATIONS, GELU_TANH, elementwise, elu, ops, relu
from .layers import NoRule, reduction

#: keras.ops operation -> ops per output element.
PER_ELEMENT = {
    "Add": {"add": 1}, "Subtract": {"add": 1}, "Multiply": {"mul": 1}, "Square": {"mul": 1},
    "Divide": {"div": 1}, "TrueDivide": {"div": 1}, "Reciprocal": {"div": 1},
    "Mod": {"rem": 1}, "Sqrt": {"sqrt": 1}, "Rsqrt": {"rsqrt": 1}, "Cbrt": {"cbrt": 1},
    "Expm1": {"exp": 1}, "Log": {"log": 1}, "Log1p": {"log": 1},
    "Erf": {"erf": 1}, "Erfc": {"erf": 1},
    "Sin": {"sin": 1}, "Cos": {"sin": 1}, "Tan": {"sin": 1}, "Arcsin": {"sin": 1},
    "Arccos": {"sin": 1}, "Arctan": {"sin": 1}, "Arctan2": {"sin": 1}, "Power": {"pow": 1},
    "Maximum": {"max": 1}, "Minimum": {"max": 1}, "Sign": {"max": 1}, "Clip": {"max": 2},
    "Equal": {"max": 1}, "NotEqual": {"max": 1}, "Greater": {"max": 1},
    "GreaterEqual": {"max": 1}, "Less": {"max": 1}, "LessEqual": {"max": 1},
    "Where": {"select": 1}, "LogicalAnd": {"logic": 1}, "LogicalOr": {"logic": 1},
    "LogicalNot": {"logic": 1}, "LogicalXor": {"logic": 1},
    "Negative": {"neg": 1}, "Absolute": {"abs": 1}, "Abs": {"abs": 1},
    "Floor": {"round": 1}, "Ceil": {"round": 1}, "Trunc": {"round": 1},
}

#: Operations that move data and compute nothing.
MOVEMENT = (
    "BroadcastTo", "Concatenate", "Copy", "Diagonal", "ExpandDims", "Flip", "GetItem", "Hstack",
    "Moveaxis", "Pad", "Ravel", "Repeat", "Reshape", "Roll", "Slice", "Split", "Squeeze", "Stack",
    "StopGradient", "Swapaxes", "Take", "TakeAlongAxis", "Tile", "Transpose", "Unstack", "Vstack",
    "DepthToSpace", "SpaceToDepth", "ZerosLike", "OnesLike",
)


def _same(per_element):
    """Counter of an operator that takes `per_element` ops for each of its outputs.

    Comparisons run in the dtype of what they compare, not in that of their result.
    """
    return lambda call: elementwise(call.inputs[0].dtype, call.outputs[0].size, per_element)


def _operator_relu(call):
    o = call.layer
    return relu(call.dtype, call.outputs[0].size, o.negative_slope, o.max_value, o.threshold)


def _elu(call):
    return elu(call.dtype, call.outputs[0].size, call.layer.alpha)


def _gelu(call):
    form = GELU_TANH if call.layer.approximate else ACTIVATIONS["gelu"].forward
    return elementwise(call.dtype, call.outputs[0].size, form)


def _activation(record):
    """Counter of the operator that is an activation; its rows are along its axis."""
    def counter(call):
        shape, axis = call.outputs[0].shape, getattr(call.layer, "axis", -1)
        axes = range(len(shape)) if axis is None else [axis]
        if record.rows and not all(isinstance(axis, int) for axis in axes):
            raise NoRule(f"{call.path!r} ({call.kind}): rows over several axes")
        length = prod(shape[axis] for axis in axes) if record.rows else 1
        return record.count(call.inputs[0].dtype, prod(shape), length)
    return counter


def _glu(call):
    return ACTIVATIONS["glu"].rows(call.dtype, call.inputs[0].size, call.inputs[0].shape[-1])


def _matmul(call):
    return ops(call.dtype, mac=call.outputs[0].size * call.inputs[0].shape[-1])


def _convert(call):
    source = call.inputs[0]
    same = source.dtype == call.outputs[0].dtype
    return ops(source.dtype, convert=0 if same else source.size)


OPERATOR_COUNTERS = (
    {f"ops.{name}": _same(per_element) for name, per_element in PER_ELEMENT.items()}
    | {f"ops.{record.operator}": _activation(record)
       for record in ACTIVATIONS.values() if record.operator}
    | {f"ops.{name}": lambda call: Counter() for name in MOVEMENT}
    | {
        "ops.ReLU": _operator_relu, "ops.Elu": _elu, "ops.Gelu": _gelu, "ops.Glu": _glu,
        "ops.Sum": reduction("add"), "ops.Mean": reduction("add", "div"),
        "ops.Max": reduction("max"), "ops.Min": reduction("max"), "ops.Prod": reduction("mul"),
        "ops.Argmax": reduction("max"), "ops.Argmin": reduction("max"),
        "ops.Matmul": _matmul, "ops.Cast": _convert,
    }
)
