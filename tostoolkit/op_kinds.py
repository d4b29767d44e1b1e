"""The kinds of arithmetic op that are counted and priced: the vocabulary of the whole toolkit.

The names are those of StableHLO's element-wise operations
(https://openxla.org/stablehlo/spec, section "Ops"), shortened where common usage is shorter.
"""

from types import MappingProxyType

LINEAR = "linear"
ELEMENTARY = "elementary"
COMPARISON = "comparison"

#: Op kind -> class of work. ``linear`` is all that MACs and FLOPs stand for: multiply-accumulates
#: and the additions and multiplications around them. All else is non-linear work, of two classes:
#: ``elementary`` functions, which are divisions, roots, exponentials, and ``comparison``, which is
#: choice and bit-level work, cheap in circuits.
OP_KINDS = MappingProxyType({
    "mac": LINEAR,         # one multiply-accumulate of a contraction (dense, convolution, einsum)
    "add": LINEAR,         # add, subtract
    "mul": LINEAR,         # multiply
    "div": ELEMENTARY,      # divide
    "rem": ELEMENTARY,      # remainder
    "sqrt": ELEMENTARY,     # square root
    "rsqrt": ELEMENTARY,    # reciprocal square root
    "cbrt": ELEMENTARY,     # cube root
    "exp": ELEMENTARY,      # exponential, expm1
    "log": ELEMENTARY,      # logarithm, log1p
    "tanh": ELEMENTARY,     # hyperbolic tangent
    "sigmoid": ELEMENTARY,  # logistic function
    "erf": ELEMENTARY,      # error function, erfc
    "sin": ELEMENTARY,      # the trigonometric functions and their inverses
    "pow": ELEMENTARY,      # power with a real exponent
    "random": ELEMENTARY,   # one draw of a counter-based pseudo-random generator
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
