"""Op counts of the bare operators of a functional model: ``x + y``, ``keras.ops.exp(x)``.

A rule holds where Keras computes in the dtype that its inputs have: what it would convert first
(integers to ``exp``, float32 and int32 to ``add``) is counted from the trace, and so is whatever
has an argument beside its tensors that changes what is computed. What Keras composes of ops counts
as its backend composes it, so it stands here only where that is the same everywhere.
"""

from collections import Counter
from inspect import signature

from ..calls import Tensor, product
from .activations import ACTIVATIONS, GELU_TANH, elementwise, elu, ops, relu
from .layers import NoRule, reduction

#: keras.ops operation -> ops per output element; the dtype is that of its inputs and output.
PER_ELEMENT = {
    "Add": {"add": 1}, "Subtract": {"add": 1}, "Multiply": {"mul": 1}, "Square": {"mul": 1},
    "Divide": {"div": 1}, "TrueDivide": {"div": 1}, "Reciprocal": {"div": 1},
    "Mod": {"rem": 1}, "Sqrt": {"sqrt": 1}, "Rsqrt": {"rsqrt": 1},
    "Expm1": {"exp": 1}, "Log": {"log": 1}, "Log1p": {"log": 1},
    "Erf": {"erf": 1}, "Erfc": {"erf": 1}, "Erfinv": {"erf": 1},
    "Sin": {"sin": 1}, "Cos": {"sin": 1}, "Tan": {"sin": 1}, "Arcsin": {"sin": 1},
    "Arccos": {"sin": 1}, "Arctan": {"sin": 1}, "Arctan2": {"sin": 1}, "Power": {"pow": 1},
    "Maximum": {"max": 1}, "Minimum": {"max": 1}, "Sign": {"max": 1}, "Clip": {"max": 2},
    "Negative": {"neg": 1}, "Absolute": {"abs": 1}, "Abs": {"abs": 1},
    "Floor": {"round": 1}, "Ceil": {"round": 1}, "Kron": {"mul": 1},
}
#: Operations on two values of one dtype -> ops per output element, in that dtype.
COMPARISONS = ("Equal", "NotEqual", "Greater", "GreaterEqual", "Less", "LessEqual")
#: Operations on bools.
LOGIC = ("LogicalAnd", "LogicalOr", "LogicalNot")
#: Operations that compute with integers as they are.
OF_INTEGERS = ("Add", "Subtract", "Multiply", "Square", "Mod", "Maximum", "Minimum", "Sign",
               "Negative", "Absolute", "Abs", "Kron")
#: Operations that a number may be an operand of -> the numbers that change what they compute.
WITH_NUMBERS = {"Add": (0,), "Subtract": (0,), "Multiply": (1,), "Divide": (1,),
                "TrueDivide": (1,), "Maximum": (), "Minimum": (), **dict.fromkeys(COMPARISONS, ())}

#: Operations that move one tensor's data, and those that join several; they compute nothing.
MOVEMENT = (
    "BroadcastTo", "Copy", "Diagonal", "ExpandDims", "Flip", "GetItem", "Moveaxis", "Pad", "Ravel",
    "Repeat", "Reshape", "Roll", "Slice", "Split", "Squeeze", "StopGradient", "Swapaxes", "Take",
    "TakeAlongAxis", "Tile", "Transpose", "Unstack", "DepthToSpace", "SpaceToDepth",
)
JOINS = ("Concatenate", "Hstack", "Stack", "Vstack")


def _no_rule(call, why):
    raise NoRule(f"{call.path!r} ({call.kind}): {why}")


def _dtype(call, result=None):
    """Return the dtype of a call's inputs and outputs; NoRule unless all have it, or `result`."""
    found = {t.dtype for t in call.inputs}
    dtype = call.inputs[0].dtype if call.inputs else ""
    if len(found) != 1 or any(t.dtype != (result or dtype) for t in call.outputs):
        _no_rule(call, "it computes in another dtype than its inputs have")
    return dtype


def _constants(call):
    """Return what a call is given beside its tensors; None where it is a call made by hand."""
    if call.bind is None:
        return [value for value in call.kwargs.values() if value is not None]
    import keras

    args, kwargs = call.arguments(call.inputs)
    return [x for x in keras.tree.flatten((args, kwargs)) if not isinstance(x, Tensor)
            and x is not None]


def _only_tensors(call):
    if _constants(call):
        _no_rule(call, "an argument that is no tensor")


def _options_are_shipped(call, *known):
    """NoRule where an operator has an option that is not as Keras ships it, but for the `known`."""
    if type(call.layer).__module__.startswith("keras."):
        for name, option in signature(type(call.layer).__init__).parameters.items():
            value = getattr(call.layer, name, option.default)
            if option.default is not option.empty and name not in ("name", *known) and (
                    value is not option.default and value != option.default):
                _no_rule(call, f"{name}={value!r}")


def _number(call, changing):
    """NoRule unless a call's operands are tensors and numbers that it computes with as they are."""
    for value in _constants(call):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value in changing:
            _no_rule(call, f"the constant {value!r}")


def _same(name):
    """Counter of an operator that takes the same ops for each of its outputs."""
    def counter(call):
        dtype = _dtype(call) if name in OF_INTEGERS else _floats(call)
        if dtype == "bool":
            _no_rule(call, "of bools")
        if name == "Clip":
            bounds = [getattr(call.layer, bound, 0) for bound in ("x_min", "x_max")]
            if not all(isinstance(bound, (int, float)) for bound in bounds):
                _no_rule(call, "a bound that is no number")
        if name in WITH_NUMBERS:
            _number(call, WITH_NUMBERS[name])
        else:
            _only_tensors(call)
        return elementwise(dtype, call.outputs[0].size, PER_ELEMENT[name])
    return counter


def _comparison(call):
    """Comparisons run in the dtype of what they compare, not in that of their result."""
    dtype = _dtype(call, "bool")
    _number(call, ())
    if dtype == "bool" or (_constants(call) and not dtype.startswith(("float", "bfloat"))):
        _no_rule(call, "of bools, or a number beside integers")
    return ops(dtype, max=call.outputs[0].size)


def _logic(call):
    _only_tensors(call)
    if _dtype(call) != "bool":
        _no_rule(call, "of what is no bool")
    return ops("bool", logic=call.outputs[0].size)


def _where(call):
    """A choice between values, in their dtype."""
    condition, *values = call.inputs
    _number(call, ())
    if condition.dtype != "bool" or not values or any(
            t.dtype != call.outputs[0].dtype for t in values) or len(values) != 2:
        _no_rule(call, "it converts before it chooses")
    return ops(call.outputs[0].dtype, select=call.outputs[0].size)


def _floats(call):
    """Return the dtype of a call that computes in the floating-point format of its inputs."""
    dtype = _dtype(call)
    if not dtype.startswith(("float", "bfloat")):
        _no_rule(call, "of integers")
    return dtype


def _function(counter, *known):
    """Counter of a function of one floating-point tensor, all options but `known` as shipped."""
    def checked(call):
        _floats(call)
        _only_tensors(call)
        _options_are_shipped(call, *known)
        return counter(call)
    return checked


def _mean(call):
    """A mean, in single or double precision: Keras takes that of half precision in float32."""
    if call.inputs[0].dtype not in ("float32", "float64"):
        _no_rule(call, "in half precision")
    return reduction("add", "div")(call)


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
            _no_rule(call, "rows over several axes")
        length = product(shape[axis] for axis in axes) if record.rows else 1
        return record.count(call.inputs[0].dtype, product(shape), length)
    return _function(counter, "axis")


def _glu(call):
    return ACTIVATIONS["glu"].rows(call.dtype, call.inputs[0].size, call.inputs[0].shape[-1])


def _matmul(call):
    _only_tensors(call)
    if len(call.inputs) != 2:
        _no_rule(call, "a factor that is no tensor")
    return ops(_floats(call), mac=call.outputs[0].size * call.inputs[0].shape[-1])


def _conv_transpose(call):
    """Inputs x taps x filters MACs; the kernel's last axes are the filters and the channels."""
    _only_tensors(call)
    inputs, kernel = call.inputs
    return ops(_floats(call), mac=inputs.size * product(kernel.shape[:-1]))


def _convert(call):
    source = call.inputs[0]
    same = source.dtype == call.outputs[0].dtype
    return ops(source.dtype, convert=0 if same else source.size)


def _moved(call):
    """Nothing, where one tensor goes where constants say: places that are data are looked at."""
    _dtype(call)
    if len(call.inputs) != 1:
        _no_rule(call, "several tensors")
    args, kwargs = call.arguments(call.inputs)
    if not isinstance((*args, *kwargs.values())[0], Tensor):
        _no_rule(call, "a tensor that says where constants go")
    return Counter()


def _joined(call):
    _dtype(call)
    return Counter()


OPERATOR_COUNTERS = (
    {f"ops.{name}": _same(name) for name in PER_ELEMENT}
    | dict.fromkeys((f"ops.{name}" for name in COMPARISONS), _comparison)
    | dict.fromkeys((f"ops.{name}" for name in LOGIC), _logic)
    | {f"ops.{record.operator}": _activation(record)
       for record in ACTIVATIONS.values() if record.operator}
    | dict.fromkeys((f"ops.{name}" for name in MOVEMENT), _moved)
    | dict.fromkeys((f"ops.{name}" for name in JOINS), _joined)
    | {
        "ops.Where": _where,
        "ops.ReLU": _function(_operator_relu, "negative_slope", "max_value", "threshold"),
        "ops.Elu": _function(_elu, "alpha"), "ops.Gelu": _function(_gelu, "approximate"),
        "ops.Glu": _function(_glu, "axis"),
        "ops.Sum": _function(reduction("add"), "axis", "keepdims"),
        "ops.Mean": _function(_mean, "axis", "keepdims"),
        "ops.Max": _function(reduction("max"), "axis", "keepdims"),
        "ops.Min": _function(reduction("max"), "axis", "keepdims"),
        "ops.Prod": _function(reduction("mul"), "axis", "keepdims"),
        "ops.Matmul": _matmul, "ops.ConvTranspose": _conv_transpose, "ops.Cast": _convert,
    }
)
