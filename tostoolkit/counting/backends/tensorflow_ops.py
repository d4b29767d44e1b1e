"""Op counts of TensorFlow's graph ops: one entry an op type, on static shapes.

What a kernel fuses counts by its definition, so that a fused and an unfused form of the same
function count alike. An op type that stands nowhere here is an error, never nothing.

Where the kernels of Keras' backends differ, this is what counts:

* A function that Keras composes of others counts as its backend composes it: a cube root on
  TensorFlow is a sign, an absolute value, a power and a product. So does the order in which it
  contracts an ``einsum`` of three operands, and the zero whose sign ``argmax`` looks at.
* A whole power is the multiplications of repeated squaring, and one division where it is negative;
  a power of a half is a root. Inverse hyperbolic functions are logarithms, as they are defined.
* Logic on numbers takes the truth of each one, a conversion, and is one op on bools.
* A running sum over n values is n - 1 additions. What is added at places (a scatter, a segment sum)
  is one addition a value, whatever the places: they may repeat.
* A resize is the interpolation of its kernel, neighbour by neighbour, not a product with a matrix;
  the coordinates and weights of an image transform count where data give them.
* Factorisations, solutions, eigenvalues, Fourier transforms, sorts and searches count by their
  standard algorithm (`algorithms`), and a note says so: a library chooses.
* Arithmetic of complex numbers is that of their parts.
"""

from collections import Counter
from math import prod

from ..rules.activations import elementwise, log_softmax, ops, softmax
from .tensorflow_kernels import COMPLEX, CONSTANT_COUNTERS, DRAWS, KERNELS, dtype_of, size

#: Ops per output element; the dtype is that of the first input.
ELEMENTWISE = {
    **dict.fromkeys(("Add", "AddV2", "Sub", "BiasAdd", "BiasAddV1"), {"add": 1}),
    **dict.fromkeys(("Mul", "Square"), {"mul": 1}), "MulNoNan": {"mul": 1, "max": 1, "select": 1},
    "SquaredDifference": {"add": 1, "mul": 1},
    **dict.fromkeys(("RealDiv", "Div", "Reciprocal", "Inv"), {"div": 1}),
    "DivNoNan": {"div": 1, "max": 1, "select": 1}, "FloorDiv": {"div": 1, "round": 1},
    "TruncateDiv": {"div": 1}, "FloorMod": {"rem": 1}, "Mod": {"rem": 1},
    "Sqrt": {"sqrt": 1}, "Rsqrt": {"rsqrt": 1}, "Exp": {"exp": 1}, "Expm1": {"exp": 1},
    "Log": {"log": 1}, "Log1p": {"log": 1}, "Xlogy": {"log": 1, "mul": 1},
    "Xdivy": {"div": 1, "max": 1, "select": 1}, "Pow": {"pow": 1}, "Tanh": {"tanh": 1},
    "Sigmoid": {"sigmoid": 1}, "Erf": {"erf": 1}, "Erfc": {"erf": 1},
    **dict.fromkeys(("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Atan2"), {"sin": 1}),
    # arcosh x = log(x + sqrt(x^2 - 1)), arsinh alike, artanh x = log((1 + x) / (1 - x)) / 2
    # (NIST Digital Library of Mathematical Functions, 4.37.16, 19 and 24)
    **dict.fromkeys(("Acosh", "Asinh"), {"log": 1, "sqrt": 1, "mul": 1, "add": 2}),
    "Atanh": {"log": 1, "div": 1, "add": 2, "mul": 1}, "Erfinv": {"erf": 1},
    "NextAfter": {"max": 1, "add": 1},  # which way, and one step of the bits
    "TruncateMod": {"rem": 1},
    "Sinh": {"exp": 2, "add": 1, "mul": 1}, "Cosh": {"exp": 2, "add": 1, "mul": 1},
    **dict.fromkeys(("Maximum", "Minimum", "Sign", "Relu", "Equal", "NotEqual", "Greater",
                     "GreaterEqual", "Less", "LessEqual", "IsNan", "IsInf", "IsFinite"),
                    {"max": 1}),
    "Relu6": {"max": 2}, "ClipByValue": {"max": 2}, "LeakyRelu": {"mul": 1, "max": 1},
    "Elu": {"exp": 1, "max": 1}, "Selu": {"exp": 1, "max": 1, "mul": 2},
    "Softplus": {"exp": 1, "log": 1}, "Softsign": {"abs": 1, "add": 1, "div": 1},
    "Neg": {"neg": 1}, "Abs": {"abs": 1}, "Round": {"round": 1}, "Rint": {"round": 1},
    "Floor": {"round": 1}, "Ceil": {"round": 1},
    **dict.fromkeys(("LogicalAnd", "LogicalOr", "LogicalNot", "LogicalXor", "BitwiseAnd",
                     "BitwiseOr", "BitwiseXor", "LeftShift", "RightShift", "Invert"), {"logic": 1}),
    # gradients, by their formulas in terms of the output y or the input x
    "TanhGrad": {"mul": 2, "add": 1},          # dy (1 - y^2)
    "SigmoidGrad": {"mul": 2, "add": 1},       # dy y (1 - y)
    "SqrtGrad": {"mul": 1, "div": 1},          # dy 0.5 / y
    "RsqrtGrad": {"mul": 4},                   # dy (-0.5) y^3
    "ReciprocalGrad": {"mul": 2, "neg": 1}, "InvGrad": {"mul": 2, "neg": 1},  # -dy y^2
    "ReluGrad": {"max": 1, "select": 1}, "Relu6Grad": {"max": 2, "bool logic": 1, "select": 1},
    "LeakyReluGrad": {"max": 1, "mul": 1, "select": 1},
    "EluGrad": {"max": 1, "add": 1, "mul": 1, "select": 1},
    "SeluGrad": {"max": 1, "add": 1, "mul": 2, "select": 1},
    "SoftplusGrad": {"sigmoid": 1, "mul": 1},  # dy sigmoid(x)
    "SoftsignGrad": {"abs": 1, "add": 1, "mul": 1, "div": 1},  # dy / (1 + |x|)^2
    # interpolation of four neighbours, three steps a + (b - a) t; of sixteen, in rows of four
    "ResizeBilinear": {"add": 6, "mul": 3}, "ResizeBicubic": {"add": 15, "mul": 20},
    # of complex numbers alone
    "ComplexAbs": {}, "Angle": {}, "Conj": {},
}
#: Reductions: the op that joins two values, and what follows once per result.
REDUCTIONS = {
    "Sum": ("add", None), "Mean": ("add", "div"), "Max": ("max", None), "Min": ("max", None),
    "Prod": ("mul", None), "All": ("logic", None), "Any": ("logic", None),
    "ArgMax": ("max", None), "ArgMin": ("max", None), "BiasAddGrad": ("add", None),
}
#: Ops that move, make, reshape or look up values and compute nothing.
MOVEMENT = frozenset((
    "Assert", "AssignVariableOp", "BatchToSpaceND", "Bitcast", "BroadcastArgs",
    "BroadcastGradientArgs", "BroadcastTo", "CheckNumerics", "Complex", "Concat", "ConcatV2",
    "Const", "DepthToSpace", "DiagPart", "DynamicStitch", "Empty", "EmptyTensorList", "EnsureShape",
    "ExpandDims", "ExtractImagePatches", "ExtractVolumePatches", "Fill", "Gather", "GatherNd",
    "GatherV2", "Identity", "IdentityN", "Imag", "InvertPermutation", "LinSpace", "MatrixBandPart",
    "MatrixDiagPartV3", "MatrixDiagV3", "MatrixSetDiagV3", "MirrorPad", "NoOp", "OneHot",
    "OnesLike", "OptionalFromValue", "OptionalGetValue", "OptionalHasValue", "OptionalNone", "Pack",
    "Pad", "PadV2", "ParallelConcat", "Placeholder", "PlaceholderWithDefault", "PreventGradient",
    "Range", "Rank", "ReadVariableOp", "Real", "Reshape", "ResizeNearestNeighbor", "ResourceGather",
    "ResourceGatherNd", "ResourceScatterUpdate", "ReverseSequence", "ReverseV2", "Roll", "Shape",
    "ShapeN", "Size", "Slice", "Snapshot", "SpaceToBatchND", "SpaceToDepth", "SparseToDense",
    "Split", "SplitV", "Squeeze", "Stack", "StatelessRandomGetAlg", "StatelessRandomGetKeyCounter",
    "StatelessRandomGetKeyCounterAlg", "StopGradient", "StridedSlice", "StridedSliceGrad",
    "TensorListConcat", "TensorListElementShape", "TensorListGetItem",
    "TensorListLength", "TensorListPopBack", "TensorListPushBack", "TensorListReserve",
    "TensorListResize", "TensorListSetItem", "TensorListStack", "TensorScatterUpdate", "Tile",
    "Transpose", "Unpack", "VariableShape", "Where", "XlaDynamicSlice", "XlaDynamicUpdateSlice",
    "ZerosLike",
))


def _per_output(per_element):
    def count(op):
        per = _in_parts(op) if op.inputs[0].dtype.is_complex else per_element
        return elementwise(dtype_of(op.inputs[0]), size(op.outputs[0]), per)
    return count


def _in_parts(op):
    """Return the ops per element of complex numbers."""
    if op.type not in COMPLEX:
        raise ValueError("it has no counter for complex numbers")
    return COMPLEX[op.type]


def _reduced(op):
    kind, final = REDUCTIONS[op.type]
    n, rows = size(op.inputs[0]), size(op.outputs[0])
    if op.inputs[0].dtype.is_complex:
        n, rows = 2 * n, 2 * rows
        if op.type not in ("Sum", "Mean"):
            raise ValueError("it has no counter for complex numbers")
    counts = ops(dtype_of(op.inputs[0]), **{kind: max(n - rows, 0)})
    ends = final and n > rows  # the mean of one value is that value
    return counts + (ops(dtype_of(op.inputs[0]), **{final: rows}) if ends else Counter())


def _cast(op):
    """A change of number format; a number and its complex form differ by a zero alone."""
    source, target = dtype_of(op.inputs[0]), dtype_of(op.outputs[0])
    return ops(source, convert=size(op.outputs[0]) if source != target else 0)


def _select(op):
    return ops(dtype_of(op.inputs[1]), select=size(op.outputs[0]))


def _matmul(op):
    transposed = op.get_attr("transpose_a") if op.type == "MatMul" else op.get_attr("adj_x")
    shape = op.inputs[0].shape
    parts = 4 if op.inputs[0].dtype.is_complex else 1
    return ops(dtype_of(op.inputs[0]),
               mac=parts * size(op.outputs[0]) * shape[-2 if transposed else -1])


def _einsum(op):
    equation = op.get_attr("equation").decode().replace(" ", "")
    operands, result = equation.split("->")
    labels = {}
    for names, tensor in zip(operands.split(","), op.inputs, strict=True):
        shape = list(tensor.shape)
        if "..." in names:
            before, after = names.split("...")
            shape = shape[:len(before)] + shape[len(shape) - len(after):]
            names = before + after
        labels |= dict(zip(names, shape, strict=True))
    contracted = prod(labels[k] for k in labels if k not in result)
    n, dtype = size(op.outputs[0]), dtype_of(op.inputs[0])
    if len(op.inputs) == 1:
        return ops(dtype, add=n * (contracted - 1))
    return ops(dtype, mac=n * contracted)


def _conv(output, kernel, depthwise=False):
    """Return the counter of a convolution or gradient: taps x channels per element of `output`."""
    def count(op):
        shape = list(_place(op, kernel).shape)
        taps = prod(shape[:-2]) * (1 if depthwise else shape[-2])
        tensor = _place(op, output)
        used = _used(tensor) if output[0] == "out" else _given(tensor)
        return ops(dtype_of(tensor), mac=used * taps)
    return count


#: Ops between a convolution and what moves its pixels to the batch.
_ONE_AXIS_MORE = ("Squeeze", "ExpandDims", "Reshape", "Identity")


def _used(tensor):
    """Return the elements of a convolution's result that are used.

    TensorFlow moves a dilated convolution's pixels to the batch (SpaceToBatchND), and cuts off
    what that padded: those outputs are not part of the convolution.
    """
    readers = tensor.consumers()
    while len(readers) == 1 and readers[0].type in _ONE_AXIS_MORE:
        readers = readers[0].outputs[0].consumers()
    if readers and all(op.type == "BatchToSpaceND" for op in readers):
        return size(readers[0].outputs[0])
    return size(tensor)


def _given(tensor):
    """Return the elements of the gradient of such a result, without those that pad it."""
    op = tensor.op
    while op.type in _ONE_AXIS_MORE:
        op = op.inputs[0].op
    return size(op.inputs[0] if op.type == "SpaceToBatchND" else tensor)


def _place(op, where):
    return (op.inputs if where[0] == "in" else op.outputs)[where[1]]


def _pool(per_window):
    def count(op):
        window = prod(op.get_attr("ksize"))
        tensor = op.outputs[0] if "Grad" not in op.type else op.inputs[-1]
        return ops(dtype_of(tensor), **per_window(size(tensor), window))
    return count


def _softmax(op):
    n = size(op.outputs[0])
    function = softmax if op.type == "Softmax" else log_softmax
    return function(dtype_of(op.inputs[0]), n, op.inputs[0].shape[-1])


def _cross_entropy(op):
    """log(sum exp(x - m)) - (x - m) at the label, or weighted; and its gradient, where used."""
    n, rows, dtype = size(op.outputs[1]), size(op.outputs[0]), dtype_of(op.inputs[0])
    sparse = op.type.startswith("Sparse")
    counts = ops(dtype, max=n - rows, add=n + (n - rows), exp=n, log=rows)
    counts += ops(dtype, add=rows) if sparse else ops(dtype, add=n + n - rows, mul=n)
    if op.outputs[1].consumers():
        counts += ops(dtype, div=n, add=rows if sparse else n)
    return counts


def _random(op):
    return ops(dtype_of(op.outputs[0]), random=size(op.outputs[0]))


def _add_n(op):
    if op.inputs[0].dtype.name == "variant":  # lists of tensors, one of them of zeros: routing
        return Counter()
    return ops(dtype_of(op.inputs[0]), add=(len(op.inputs) - 1) * size(op.outputs[0]))


def _assign_sum(op):
    return ops(dtype_of(op.inputs[1]), add=size(op.inputs[1]))


def _scatter(kind):
    """Return the counter of values that are added, or the like, at places of a variable."""
    return lambda op: ops(dtype_of(op.inputs[2]), **{kind: size(op.inputs[2])})


def _l2_loss(op):
    n = size(op.inputs[0])
    return ops(dtype_of(op.inputs[0]), mul=n + 1, add=n - 1)


def _of_constants(op):
    raise ValueError("what it does depends on constants that the graph does not hold")


#: Type of a TensorFlow op -> function of the op that counts it.
TRACE_COUNTERS = {
    **{name: _per_output(per_element) for name, per_element in ELEMENTWISE.items()},
    **dict.fromkeys(REDUCTIONS, _reduced),
    **dict.fromkeys(MOVEMENT, lambda op: Counter()),
    "Cast": _cast, "Select": _select, "SelectV2": _select,
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), _matmul),
    "Einsum": _einsum, "XlaEinsum": _einsum,
    **dict.fromkeys(("Conv2D", "Conv3D"), _conv(("out", 0), ("in", 1))),
    **dict.fromkeys(("Conv2DBackpropInput", "Conv3DBackpropInputV2"), _conv(("in", 2), ("in", 1))),
    **dict.fromkeys(("Conv2DBackpropFilter", "Conv3DBackpropFilterV2"),
                    _conv(("in", 2), ("out", 0))),
    "DepthwiseConv2dNative": _conv(("out", 0), ("in", 1), depthwise=True),
    "DepthwiseConv2dNativeBackpropInput": _conv(("in", 2), ("in", 1), depthwise=True),
    "DepthwiseConv2dNativeBackpropFilter": _conv(("in", 2), ("out", 0), depthwise=True),
    **dict.fromkeys(("MaxPool", "MaxPool3D"), _pool(lambda n, w: {"max": n * (w - 1)})),
    **dict.fromkeys(("AvgPool", "AvgPool3D"), _pool(
        lambda n, w: {"add": n * (w - 1), "div": n * (w > 1)})),
    # the window's maximum is found again, and gets the gradient added
    **dict.fromkeys(("MaxPoolGrad", "MaxPool3DGrad"),
                    _pool(lambda n, w: {"max": n * (w - 1), "add": n})),
    # a window's share is added to each of its inputs
    **dict.fromkeys(("AvgPoolGrad", "AvgPool3DGrad"), _pool(
        lambda n, w: {"div": n * (w > 1), "add": n * w})),
    "Softmax": _softmax, "LogSoftmax": _softmax,
    "SoftmaxCrossEntropyWithLogits": _cross_entropy,
    "SparseSoftmaxCrossEntropyWithLogits": _cross_entropy,
    **dict.fromkeys(DRAWS, _random),
    "AddN": _add_n, "AccumulateNV2": _add_n, "L2Loss": _l2_loss,
    **dict.fromkeys(("AssignAddVariableOp", "AssignSubVariableOp"), _assign_sum),
    **dict.fromkeys(("ResourceScatterAdd", "ResourceScatterSub"), _scatter("add")),
    **KERNELS, **dict.fromkeys(set(CONSTANT_COUNTERS) - {*ELEMENTWISE, "Select", "SelectV2"},
                               _of_constants),
}
