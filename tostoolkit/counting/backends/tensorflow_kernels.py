"""Op counts of TensorFlow's kernels that are no single arithmetic op, on static shapes.

Images, transforms, linear algebra, sorting, searching, segments; and what a constant among the
inputs of an op changes. What only a standard algorithm says stands in `ALGORITHMS`, and a note goes
with its counts. Complex numbers are pairs: their arithmetic counts in that of their parts.
"""

from collections import Counter
from math import prod

from .. import algorithms
from ..rules.activations import elementwise, ops
from ..trace import TraceError
from .tensorflow_folding import core, everywhere

#: Type of an op that is counted by a standard algorithm -> its source.
ALGORITHMS = {
    **dict.fromkeys(("Cholesky", "MatrixInverse", "MatrixDeterminant", "LogMatrixDeterminant", "Lu",
                     "Qr", "Svd", "SelfAdjointEigV2", "Eig", "MatrixSolve", "MatrixSolveLs",
                     "MatrixTriangularSolve"), algorithms.GVL),
    **{f"{kind}FFT{axes}": "Cooley and Tukey 1965"
       for kind in ("", "I", "R", "IR") for axes in ("", "2D", "3D")},
    "TopKV2": "Knuth 1998", "LowerBound": "Knuth 1998", "UpperBound": "Knuth 1998",
    "Bucketize": "Knuth 1998",
    "BesselI0": "Abramowitz and Stegun 1964", "BesselI1": "Abramowitz and Stegun 1964",
}
#: Op -> ops per element of complex numbers, in those of their parts.
COMPLEX = {
    **dict.fromkeys(("Add", "AddV2", "Sub"), {"add": 2}), "Neg": {"neg": 2}, "Conj": {"neg": 1},
    **dict.fromkeys(("Mul", "Square"), {"mul": 4, "add": 2}),
    "RealDiv": {"mul": 6, "add": 3, "div": 2},  # (a conj b) / |b|^2
    "Reciprocal": {"mul": 2, "add": 1, "div": 2, "neg": 1},
    "ComplexAbs": {"mul": 2, "add": 1, "sqrt": 1}, "Angle": {"sin": 1},
    "Exp": {"exp": 1, "sin": 2, "mul": 2}, "Equal": {"max": 2, "bool logic": 1},
}
#: Ops per pixel of a change of colour space, by the formulas of TensorFlow's kernels.
RGB_TO_HSV = {"max": 9, "add": 7, "div": 2, "mul": 4, "select": 5}
HSV_TO_RGB = {"mul": 7, "add": 10, "abs": 3, "max": 6}
#: Draws of random numbers, of any seed or of none.
DRAWS = frozenset((
    "RandomStandardNormal", "RandomUniform", "RandomUniformInt", "StatelessRandomNormal",
    "StatelessRandomNormalV2", "StatelessRandomUniform", "StatelessRandomUniformFullInt",
    "StatelessRandomUniformFullIntV2", "StatelessRandomUniformInt", "StatelessRandomUniformIntV2",
    "StatelessRandomUniformV2", "StatelessTruncatedNormal", "StatelessTruncatedNormalV2",
    "TruncatedNormal",
))
#: Radius of the kernel with which an image is resampled.
RADIUS = {"lanczos1": 1, "lanczos3": 3, "lanczos5": 5, "gaussian": 1.5, "box": 0.5, "triangle": 1,
          "keyscubic": 2, "mitchellcubic": 2}


def size(tensor):
    """Return a tensor's number of elements; ValueError where the graph does not know it."""
    n = tensor.shape.num_elements() if tensor.shape.rank is not None else None
    if n is None:
        raise ValueError(f"the size of {tensor.name} depends on the data")
    return n


def dtype_of(tensor):
    """Return the dtype in which a tensor's arithmetic is counted: that of a complex number's parts.

    Unsigned integers count as signed ones.
    """
    name = tensor.dtype.base_dtype.name
    return {"complex64": "float32", "complex128": "float64"}.get(
        name, name.removeprefix("u") if name.startswith("uint") else name)


def _matrices(count):
    """Return the counter of what is done to each matrix; `count` takes the op, m and n."""
    def counter(op):
        matrix = op.inputs[0]
        m, n = matrix.shape[-2:]
        return elementwise(dtype_of(matrix), size(matrix) // max(m * n, 1), count(op, m, n))
    return counter


def _of_data(what):
    """Return the counter of an op whose work is not known: data say `what`."""
    def counter(op):
        raise ValueError(f"{what} depends on the data")
    return counter


def _columns(op):
    return op.inputs[1].shape[-1]


def _transform(op):
    """A fast Fourier transform over the last axes; the inverse scales what it returns."""
    axes = int(op.type[-2]) if op.type.endswith("D") else 1
    inverse, real = op.type.startswith("I"), "R" in op.type
    whole = op.outputs[0] if inverse else op.inputs[0]  # the side that is not cut in half
    lengths = [int(n) for n in whole.shape[-axes:]]
    counts = elementwise(dtype_of(whole), size(whole) // prod(lengths),
                         algorithms.fft(lengths, real))
    scaled = size(whole) * (1 if real else 2)
    return counts + (ops(dtype_of(whole), mul=scaled) if inverse else Counter())


def _numbered(op, n):
    """Raise TraceError where there are more values than TensorFlow numbers, in int32."""
    if n is not None and n >= 2**31:
        raise TraceError(f"batch_size: {op.type} numbers the {n} values along an axis in int32, "
                         "where they wrap; count at a smaller batch_size")


def _top_k(op, known, flow):
    n = op.inputs[0].shape[-1]
    _numbered(op, n)
    kept = n if known[1] is None else int(known[1])
    return elementwise(dtype_of(op.inputs[0]), size(op.inputs[0]) // max(n, 1),
                       algorithms.sort(n, kept))


def _listed(op):
    """What a loop goes through step by step is moved."""
    _numbered(op, op.inputs[0].shape[0])
    return Counter()


def _search(op):
    places, values = op.inputs
    return elementwise(dtype_of(values), size(values),
                       algorithms.binary_search(places.shape[-1]))


def _bucketize(op):
    return elementwise(dtype_of(op.inputs[0]), size(op.inputs[0]),
                       algorithms.binary_search(len(op.get_attr("boundaries"))))


def _in_top_k(op):
    """How many predictions are above the target's: a comparison each, counted, and compared."""
    predictions = op.inputs[0]
    n, rows = size(predictions), predictions.shape[0]
    return ops(dtype_of(predictions), max=n) + ops("int32", add=n - rows, max=rows)


def _greedy(op):
    """The best class of each frame, the sum of their values, and each compared with the last."""
    frames, batch, classes = op.inputs[0].shape
    n = frames * batch
    return ops(dtype_of(op.inputs[0]), max=n * (classes - 1), add=n) + ops("int32", max=n)


def _bincount(op):
    return ops(dtype_of(op.outputs[0]), add=size(op.inputs[0]))


def _taken_up(kind, place):
    """Return the counter of values that are each added, or the like, to one of the results."""
    return lambda op: ops(dtype_of(op.inputs[place]), **{kind: size(op.inputs[place])})


def _running(kind):
    """Return the counter of a running sum or product: the first of a row is as it was."""
    def counter(op, known, flow):
        x = op.inputs[0]
        if known[1] is None:
            raise ValueError("the axis that it runs along depends on the data")
        length = x.shape[int(known[1])] if x.shape.rank else 1
        rows = size(x) // max(length, 1)
        return ops(dtype_of(x), **{kind: rows * max(length - 1 - op.get_attr("exclusive"), 0)})
    return counter


def _per_pixel(per_pixel):
    return lambda op: elementwise(dtype_of(op.inputs[0]), size(op.inputs[0]) // 3, per_pixel)


def _cross(op):
    return elementwise(dtype_of(op.inputs[0]), size(op.outputs[0]), {"mul": 2, "add": 1})


def _projected(op, known, flow):
    """Pixels from where a projective map puts them; a map that is constant is none of the ops.

    Of data it is, per pixel, 6 multiplications, 6 additions and 2 divisions, then the rounding of
    two places, and with bilinear interpolation what is left of them.
    """
    image, n = op.outputs[0], size(op.outputs[0])
    bilinear = op.get_attr("interpolation") == b"BILINEAR"
    counts = elementwise(dtype_of(image), n, {"add": 6, "mul": 3} if bilinear else {})
    if flow[1]:
        counts += elementwise(dtype_of(image), n // image.shape[-1], {
            "add": 8 if bilinear else 6, "mul": 6, "div": 2, "round": 2})
    return counts


def _resampled(op, known, flow):
    """A resampling kernel along one axis, then along the other: MACs, where no data sets it."""
    images, result = op.inputs[0], op.outputs[0]
    gradient = op.type.endswith("Grad")
    small, large = (result, images) if gradient else (images, result)
    if known[2] is None or known[3] is None:
        raise ValueError("how an image is scaled and translated depends on the data")
    radius = RADIUS[op.get_attr("kernel_type").decode()]
    rows, columns = (algorithms.resampled(
        small.shape[1 + axis], large.shape[1 + axis], float(known[2][axis]),
        float(known[3][axis]), radius, op.get_attr("antialias")) for axis in (0, 1))
    batch, channels = images.shape[0], images.shape[3]
    return ops(dtype_of(result), mac=batch * channels * (
        rows * small.shape[2] + columns * large.shape[1]))


def _neutral(value, either=True):
    """Return the counter of an op that a constant `value` leaves as it is, else None."""
    def counter(op, known, flow):
        same = any(x is not None and (either or i == 1) and (core(x) == value).all()
                   for i, x in enumerate(known))
        return Counter() if same else None
    return counter


def _select(op, known, flow):
    """A choice that is the same for all, by a constant, is none."""
    of_one = known[0] is not None and everywhere(known[0]) is not None
    return Counter() if of_one else None


def _untested(per_element):
    """Return the counter of an op whose second operand, a constant, needs no test for zero.

    One of 1 is nothing at all.
    """
    def counter(op, known, flow):
        if flow[1]:
            return None
        if known[1] is not None and (core(known[1]) == 1).all():
            return Counter()
        return elementwise(dtype_of(op.inputs[0]), size(op.outputs[0]), per_element)
    return counter


def _power(op, known, flow):
    """A whole power is multiplications (Knuth 2, 4.6.3, squaring), a half a square root."""
    exponent = None if known[1] is None else everywhere(known[1])
    if exponent is None:
        return None
    exponent = float(exponent)
    if abs(exponent) == 0.5:
        work = {"sqrt" if exponent > 0 else "rsqrt": 1}
    elif exponent != int(exponent):
        return None
    else:
        times = abs(int(exponent))
        work = {"mul": max(times.bit_length() - 1 + times.bit_count() - 1, 0),
                "div": int(exponent < 0)}
    return elementwise(dtype_of(op.inputs[0]), size(op.outputs[0]), work)


#: Type of an op -> function of the op, the values of its inputs that are constants and which of
#: them carry data, that counts it; None where the constants change nothing.
CONSTANT_COUNTERS = {
    **dict.fromkeys(("Add", "AddV2"), _neutral(0)), "Sub": _neutral(0, either=False),
    "Mul": _neutral(1), "RealDiv": _neutral(1, either=False), "Div": _neutral(1, either=False),
    "DivNoNan": _untested({"div": 1}), "MulNoNan": _untested({"mul": 1}), "Pow": _power,
    **dict.fromkeys(("Select", "SelectV2"), _select),
    "ImageProjectiveTransformV2": _projected, "ImageProjectiveTransformV3": _projected,
    "Cumsum": _running("add"), "Cumprod": _running("mul"), "TopKV2": _top_k,
    "ScaleAndTranslate": _resampled, "ScaleAndTranslateGrad": _resampled,
}

#: Type of an op -> function of the op that counts it.
KERNELS = {
    "Cholesky": _matrices(lambda op, m, n: algorithms.cholesky(n)),
    "Lu": _matrices(lambda op, m, n: algorithms.lu(n)),
    "MatrixInverse": _matrices(lambda op, m, n: algorithms.inverse(n)),
    "MatrixDeterminant": _matrices(lambda op, m, n: algorithms.determinant(n)),
    "LogMatrixDeterminant": _matrices(lambda op, m, n: algorithms.log_determinant(n)),
    "Qr": _matrices(lambda op, m, n: algorithms.qr(m, n, op.get_attr("full_matrices"))),
    "Svd": _matrices(lambda op, m, n: algorithms.svd(
        m, n, op.get_attr("compute_uv"), op.get_attr("full_matrices"))),
    "SelfAdjointEigV2": _matrices(
        lambda op, m, n: algorithms.symmetric_eigen(n, op.get_attr("compute_v"))),
    "Eig": _matrices(lambda op, m, n: algorithms.eigen(n, op.get_attr("compute_v"))),
    "MatrixSolve": _matrices(lambda op, m, n: algorithms.solve(n, _columns(op))),
    "MatrixTriangularSolve": _matrices(
        lambda op, m, n: algorithms.triangular_solve(n, _columns(op))),
    "MatrixSolveLs": _matrices(lambda op, m, n: algorithms.least_squares(m, n, _columns(op))),
    **{name: _transform for name in ALGORITHMS if "FFT" in name},
    "LowerBound": _search, "UpperBound": _search, "Bucketize": _bucketize,
    "InTopKV2": _in_top_k, "TensorListFromTensor": _listed, "CTCGreedyDecoder": _greedy,
    "DenseBincount": _bincount, "Bincount": _bincount,
    **{f"{sort}Segment{name}": _taken_up(kind, 0) for sort in ("Unsorted", "")
       for name, kind in (("Sum", "add"), ("Max", "max"), ("Min", "max"), ("Prod", "mul"))},
    "ScatterNd": _taken_up("add", 1),
    **{f"TensorScatter{name}": _taken_up(kind, 2) for name, kind in (
        ("Add", "add"), ("Sub", "add"), ("Max", "max"), ("Min", "max"))},
    "Cross": _cross, "Unique": _of_data("how many values differ"),
    "UniqueV2": _of_data("how many values differ"),
    "MirrorPadGrad": lambda op: ops(dtype_of(op.inputs[0]),
                                    add=size(op.inputs[0]) - size(op.outputs[0])),
    "RGBToHSV": _per_pixel(RGB_TO_HSV), "HSVToRGB": _per_pixel(HSV_TO_RGB),
    # a gradient goes to the places that its value came from: of one, four or sixteen neighbours
    "ResizeNearestNeighborGrad": _taken_up("add", 0),
    "ResizeBilinearGrad": lambda op: elementwise(
        dtype_of(op.inputs[0]), size(op.inputs[0]), {"mul": 6, "add": 4}),
    "ResizeBicubicGrad": lambda op: elementwise(
        dtype_of(op.inputs[0]), size(op.inputs[0]), {"mul": 20, "add": 16}),
    **{name: lambda op: elementwise(dtype_of(op.inputs[0]), size(op.outputs[0]),
                                    algorithms.bessel_i0()) for name in ("BesselI0", "BesselI1")},
}
