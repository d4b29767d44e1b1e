"""Op counts of aten ops that work element by element."""

from collections import Counter

import torch

from ..rules.activations import ACTIVATIONS, GELU_TANH, elementwise, elu, ops
from .torch_tensors import dtype_of, parts_of

#: Ops per element of complex arithmetic, in the dtype of its parts.
COMPLEX = {"mul": {"mul": 4, "add": 2}, "square": {"mul": 4, "add": 2}, "add": {"add": 2},
           "sub": {"add": 2}, "rsub": {"add": 2}, "neg": {"neg": 2},
           "div": {"mul": 6, "add": 3, "div": 2},  # (a conj b) / |b|^2
           "reciprocal": {"mul": 2, "add": 1, "div": 2, "neg": 1},
           "abs": {"mul": 2, "add": 1, "sqrt": 1}, "angle": {"sin": 1},
           "exp": {"exp": 1, "sin": 2, "mul": 2}, "polar": {"sin": 2, "mul": 2}}
#: The same, by a real number, where the op has two operands.
_BY_REAL = {"mul": {"mul": 2}, "div": {"div": 2}}


def complex_arithmetic(op):
    """Count arithmetic on complex numbers: that on their parts."""
    part, _ = parts_of(next(t for t in (*op.inputs, *op.outputs) if t.is_complex()))
    if op.name == "pow" and op.constant(op.get("exponent")) == 2:
        per_element = COMPLEX["square"]
    elif op.name in _BY_REAL and _is_by_real(op):
        per_element = _BY_REAL[op.name]
    elif op.name in COMPLEX:
        per_element = COMPLEX[op.name]
    else:
        raise ValueError("of the arithmetic of complex numbers it is not known")
    return elementwise(part, op.outputs[0].numel(), per_element)


def _is_by_real(op):
    """Whether one of two operands is no complex number; a divisor, where it matters."""
    operands = [op.arguments.get("self"), op.arguments.get("other")]
    real = [not (x.is_complex() if isinstance(x, torch.Tensor) else isinstance(x, complex))
            for x in operands]
    return real[1] or (real[0] and op.name == "mul")


def per_output(per_element):
    """Return the counter of an op that takes so many ops an element of its result."""
    def count(op):
        if _is_neutral(op) and op.inputs[0].dtype == op.outputs[0].dtype:
            return Counter()
        if any(t.is_complex() for t in (*op.inputs, *op.outputs)):
            return complex_arithmetic(op)
        if _is_neutral(op):
            return converted(op.inputs, op.outputs[0])
        n, dtype = op.outputs[0].numel(), dtype_of(op.outputs[0])
        if dtype == "bool":  # a product of truths is their conjunction
            return ops(dtype, logic=n)
        counts = elementwise(dtype, n, per_element) + converted(op.inputs, op.outputs[0])
        if abs(op.get("alpha", 1)) != 1:  # x + alpha y
            counts += ops(dtype, mul=_other(op).numel() if _other(op) is not None else 0)
        if op.get("rounding_mode"):
            counts += ops(dtype, round=n)
        return counts
    return count


def _other(op):
    other = op.arguments.get("other")
    return other if isinstance(other, torch.Tensor) else None


def converted(operands, result):
    """Return the conversions of the operands to the dtype of the result; scalars are free."""
    counts = Counter()
    for tensor in operands:
        if tensor.dtype != result.dtype and tensor.dim():
            counts += ops(dtype_of(tensor), convert=tensor.numel())
    return counts


#: A constant that leaves the other operand as it is: x 1, x / 1, x + 0, x - 0.
_NEUTRAL = {"mul": 1, "div": 1, "add": 0, "sub": 0}


def _is_neutral(op):
    """Whether an operand is a constant that changes nothing."""
    if op.name not in _NEUTRAL or op.get("rounding_mode"):
        return False
    a, b = op.arguments.get("self"), op.arguments.get("other")
    for one, other in ((a, b), (b, a))[:2 if op.name in ("mul", "add") else 1]:
        if (isinstance(one, torch.Tensor) and one.shape == op.outputs[0].shape
                and op.constant(other) == _NEUTRAL[op.name]):
            return True
    return False


def compared(kind):
    """Return the counter of a comparison, or the like, in the dtype of its operands."""
    def count(op):
        dtype = op.inputs[0].dtype
        operands = [op.arguments.get(name) for name in ("self", "other")]
        if all(x is not None for x in operands):
            dtype = torch.result_type(*operands)
        like = torch.empty((), dtype=dtype, device="meta")
        return ops(dtype_of(like), **{kind: op.outputs[0].numel()}) + converted(op.inputs, like)
    return count


def clamp(op):
    """A comparison with each bound that is given."""
    bounds = sum(op.get(name) is not None for name in ("min", "max"))
    return ops(dtype_of(op.outputs[0]), max=bounds * op.outputs[0].numel())


def power(op):
    """A power; x^2 and x^3 are products, and so are their inverses."""
    if op.outputs[0].is_complex():
        return complex_arithmetic(op)
    n, dtype, exponent = op.outputs[0].numel(), dtype_of(op.outputs[0]), op.get("exponent")
    per_element = {"pow": 1}
    value = op.constant(exponent)
    if value in (0, 1):
        per_element = {}
    elif value in (2, 3, -2, -1):
        per_element = {"mul": abs(int(value)) - 1, "div": int(value < 0)}
    elif value in (0.5, -0.5):
        per_element = {"sqrt" if value > 0 else "rsqrt": 1}
    return elementwise(dtype, n, per_element) + converted(op.inputs, op.outputs[0])


def cast(op):
    """A conversion an element, where the dtype changes."""
    source = op.inputs[-1] if op.name == "copy" else op.inputs[0]
    changes = dtype_of(source) != dtype_of(op.outputs[0])
    return ops(dtype_of(source), convert=op.outputs[0].numel() if changes else 0)


def choice(op):
    """A choice an element; one condition that no data reach is no choice."""
    if op.inputs[0].numel() == 1 and not op.is_data(op.inputs[0]):
        return Counter()
    result = op.outputs[0]
    return ops(dtype_of(result), select=result.numel()) + converted(op.inputs[1:], result)


def masked_fill(op):
    """A choice an element between what stands there and a number."""
    return ops(dtype_of(op.outputs[0]), select=op.outputs[0].numel())


def scaled(kind):
    """x + value a b, or x + value a / b."""
    def count(op):
        n = op.outputs[0].numel()
        return (ops(dtype_of(op.outputs[0]), add=n, mul=n if op.get("value", 1) != 1 else 0)
                + ops(dtype_of(op.outputs[0]), **{kind: n}))
    return count


def elu_like(op):
    """ELU or, where it is scaled, SELU."""
    n, dtype = op.outputs[0].numel(), dtype_of(op.outputs[0])
    if op.get("scale", 1) != 1:
        return elementwise(dtype, n, ACTIVATIONS["selu"].forward)
    return elu(dtype, n, op.get("alpha", 1))


def elu_gradient(op):
    """The gradient of either."""
    name = "selu" if op.get("scale", 1) != 1 else "elu"
    scaled = op.get("alpha", 1) != 1 and name == "elu"
    n, dtype = op.outputs[0].numel(), dtype_of(op.outputs[0])
    return elementwise(dtype, n, ACTIVATIONS[name].gradient) + ops(dtype, mul=n * scaled)


def gelu(op):
    """GELU by the error function or in its tanh form."""
    per_element = (GELU_TANH if op.get("approximate") == "tanh" else ACTIVATIONS["gelu"].forward)
    return elementwise(dtype_of(op.outputs[0]), op.outputs[0].numel(), per_element)


#: Ops per element of the gradient of the tanh form of GELU, x used in three places.
GELU_TANH_GRADIENT = {"mul": 10, "add": 3}


def gelu_gradient(op):
    """The gradient of either form."""
    per_element = (GELU_TANH_GRADIENT if op.get("approximate") == "tanh" else
                   ACTIVATIONS["gelu"].gradient)
    return elementwise(dtype_of(op.outputs[0]), op.outputs[0].numel(), per_element)


def glu(op):
    """x1 sigmoid(x2), the halves of a row, and its gradient: g s, and g x1 s (1 - s)."""
    n = op.outputs[0].numel()
    gradient = {"sigmoid": 1, "mul": 4, "add": 1} if op.name.endswith("backward") else {}
    if gradient:
        n //= 2
    return elementwise(dtype_of(op.outputs[0]), n, gradient or {"sigmoid": 1, "mul": 1})
