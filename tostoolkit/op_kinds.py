"""The kinds of arithmetic op that are counted and priced: the vocabulary of the whole toolkit.

The names are those of StableHLO's element-wise operations
(https://openxla.org/stablehlo/spec, section "Ops"), shortened where common usage is shorter.
"""

from types import MappingProxyType

LINEAR = "linear"
NONLINEAR = "nonlinear"
COMPARISON = "comparison"

#: Op kind -> class of work. ``linear`` is all that MACs and FLOPs stand for: multiply-accumulates
#: and the additions and multiplications around them. ``nonlinear`` is what they do not see:
#: divisions, roots, exponentials. ``comparison`` is choice and bit-level work, cheap in circuits.
OP_KINDS = MappingProxyType({
    "mac": LINEAR,         # one multiply-accumulate of a contraction (dense, convolution, einsum)
    "add": LINEAR,         # add, subtract
    "mul": LINEAR,         # multiply
    "div": NONLINEAR,      # divide
    "rem": NONLINEAR,      # remainder
    "sqrt": NONLINEAR,     # square root
    "rsqrt": NONLINEAR,    # reciprocal square root
    "cbrt": NONLINEAR,     # cube root
    "exp": NONLINEAR,      # exponential, expm1
    "log": NONLINEAR,      # logarithm, log1p
    "tanh": NONLINEAR,     # hyperbolic tangent
    "sigmoid": NONLINEAR,  # logistic function
    "erf": NONLINEAR,      # error function, erfc
    "sin": NONLINEAR,      # the trigonometric functions and their inverses
    "pow": NONLINEAR,      # power with a real exponent
    "random": NONLINEAR,   # one draw of a counter-based pseudo-random generator
    "max": COMPARISON,     # every comparison-based choice: max, min, compare, ReLU, sign, pooling
    "select": COMPARISON,  # choose one of two values by a predicate
    "logic": COMPARISON,   # and, or, xor, not, shifts
    "neg": COMPARISON,     # negate
    "abs": COMPARISON,     # absolute value
    "round": COMPARISON,   # round, floor, ceil, truncate
    "convert": COMPARISON, # change of number format
})

FLOAT_DTYPES = (
    "float64", "float32", "tfloat32", "bfloat16", "float16", "float8_e4m3fn", "float8_e5m2",
)
INT_DTYPES = ("int64", "int32", "int16", "int8", "int4", "bool")
DTYPES = FLOAT_DTYPES + INT_DTYPES
