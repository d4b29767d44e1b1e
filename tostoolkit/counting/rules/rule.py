"""What a rule declares: the counter of a kind of layer, and all that it knows of such a layer.

A rule holds for a call of which it knows everything: every constructor argument that is not at
its default, every argument of the call, the inputs, the weights, the layers inside. Anything else
raises `NoRule`, and the call is traced. What a new release of Keras adds is unknown until it is
declared, which ``tests/counting/test_arguments.py`` asks for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property

from ..calls import Tensor
from ..introspection import kind_of
from ..layer_state import (
    argument,
    bound_arguments,
    constructor_arguments,
    formats,
    hands_mask_on,
    is_as_shipped,
    parts_of,
    weight_names,
)


class NoRule(LookupError):
    """A rule does not cover a call: it holds something that the rule does not know."""


#: Constructor arguments that change nothing in inference, of any layer: how weights begin and what
#: keeps them small, names, seeds; and what a class of Keras hands to its base class.
CHANGE_NOTHING = frozenset({
    "name", "trainable", "seed", "activity_regularizer", "weights",
    "autocast",  # the inputs are in the dtype of the layer, see `_check_inputs`
    "dtype",     # declared by `half`
    "rank", "pool_dimensions", "pool_mode",
})
CHANGE_NOTHING_SUFFIXES = ("_initializer", "_regularizer", "_constraint")

#: Floating-point formats of 16 bits, in which Keras computes parts of some layers in float32.
HALF = ("bfloat16", "float16")
#: Attribute that says whether there is a weight -> that weight. Where one of them is changed after
#: the layer was built they may differ, and which of them counts is for the layer's code to say.
FLAGS = (("use_bias", "bias"), ("center", "beta"), ("scale", "gamma"), ("use_scale", "scale"),
         ("bias_axes", "bias"))
#: Dtypes of indices that are looked up as they are.
INDICES = ("int32", "int64")


@dataclass(frozen=True, eq=False)
class Rule:
    """The counter of a kind of layer, and what it knows.

    Attributes
    ----------
    count : function
        A `LayerCall` -> Counter of ``(dtype, op)``; of a layer that runs others, also of the
        function that counts these.
    arguments : str or None
        Names of the constructor arguments that it reads, or that change nothing of this layer in
        inference, beside those of `CHANGE_NOTHING`; None of a function that says nothing of them.
    call : str
        Names of the arguments of ``call`` that it reads, beside the first.
    weights : str
        Names of the layer's own weights.
    fits : function, or None
        A `LayerCall` -> whether the layer's weights have the shapes that its settings, which the
        counter reads, say for its inputs: settings that changed after the layer was built do not.
    parts : mapping of str to Rule
        Kinds of the layers that may stand inside, and what is known of them.
    inputs : tuple of int
        How many tensors it takes, at least and at most.
    of : str
        Of what inputs: ``"floats"`` in the dtype of the layer, ``"indices"``, or ``"anything"``,
        where nothing is computed.
    half : bool
        Whether it holds in formats of 16 bits too, of which Keras computes other layers' parts in
        float32.
    holds : bool
        Whether it hands the layers inside on to be counted, each by its own rule or trace.
    """

    count: Callable
    arguments: str | None = None
    call: str = ""
    weights: str = ""
    fits: Callable | None = None
    parts: Mapping = field(default_factory=dict)
    inputs: tuple[int, int] = (1, 1)
    of: str = "floats"
    half: bool = True
    holds: bool = False

    def __call__(self, call, *count):
        """Return the counts of a call."""
        return self.count(call, *count)

    @cached_property
    def names(self):
        """Names of the constructor arguments, of those of the call, and of the weights."""
        return tuple(frozenset((text or "").split())
                     for text in (self.arguments, self.call, self.weights))

    def check(self, call):
        """Raise NoRule where a call holds anything that the rule does not know."""
        reason = self._unknown(call)
        if reason:
            raise NoRule(f"{call.path!r} ({call.kind}): {reason}")

    def _unknown(self, call):
        layer = call.layer
        if getattr(layer, "dtype_policy", None) is None:
            return None  # made by hand, with what a formula reads
        dtype = formats(layer)[0]
        return (self.unknown_of_layer(layer, dtype) or self._unknown_inputs(call, dtype)
                or self.unknown_of_parts(layer, dtype) or (
                    "settings that do not fit its weights" if self.fits and not self.fits(call)
                    else None))

    def unknown_of_layer(self, layer, dtype):
        """Return what of a layer itself the rule does not know, None where it knows all."""
        if not is_as_shipped(layer):
            return "something that Keras does not ship replaces a part of it"
        _, stored, quantized = formats(layer)
        if dtype != stored or quantized:
            return "it computes in another format than it stores"
        if dtype in HALF and not self.half:
            return f"a part of it is computed in float32, not in {dtype}"
        if self.arguments is None:
            return None
        known, _, weights = self.names
        for name, default in _others(type(layer), known):
            value = argument(layer, name)
            if value is not default and not (_absent(value) and _absent(default)) and (
                    type(value) is not type(default) or value != default):
                return f"its {name} is {value!r}"
        held = vars(layer)
        for name in weight_names(layer):
            if name not in weights or held.get(name, ...) is None:
                return f"a weight {name!r}"
        for flag, weight in FLAGS:
            if flag in held and weight in held and (
                    bool(held[flag]) != (held[weight] is not None) and layer.built):
                return f"its {flag} has changed since it was built"
        return None

    def _unknown_inputs(self, call, dtype):
        for t in call.inputs:
            if self.of == "indices":
                if t.dtype not in INDICES and not call.kwargs:
                    return f"indices in {t.dtype}"
            elif t.dtype != dtype and (self.of == "floats" or "float" in t.dtype):
                return f"an input in {t.dtype}"
        if self.of == "anything" and len({t.dtype for t in call.inputs}) > 1:
            return "inputs in several dtypes"
        if any(call.masks) and not (len(call.inputs) == 1 and hands_mask_on(type(call.layer))):
            return "a mask"
        if len(call.inputs) == 1 and self.inputs[0] == 1 and all(
                [name == "training" or _absent(value) for name, value in call.kwargs.items()]):
            return None
        return self._unknown_arguments(call)

    def _unknown_arguments(self, call):
        bound = bound_arguments(call.layer, *call.arguments(call.inputs))
        tensors = []
        for place, (name, value) in enumerate(bound.items()):
            if place == 0:
                tensors += value if isinstance(value, (list, tuple)) else [value]
            elif name in self.names[1]:
                tensors += (value if isinstance(value, list) else
                            [value] if isinstance(value, Tensor) else [])
            elif name != "training" and not _absent(value):
                return f"its argument {name}"
        if not all(isinstance(t, Tensor) for t in tensors) or tuple(tensors) != call.inputs:
            return "inputs that are constants, nested or in another order"
        low, high = self.inputs
        return None if low <= len(tensors) <= high else f"{len(tensors)} inputs"

    def unknown_of_parts(self, layer, dtype):
        """Return what of the layers inside the rule does not know, None where it knows all."""
        if self.arguments is None:
            return None
        if self.holds:  # each is counted by itself
            return next((f"a {part.dtype_policy.name} layer inside" for part in parts_of(layer)
                         if part.dtype_policy != layer.dtype_policy), None)
        for part in parts_of(layer):
            kind = kind_of(part)
            rule = self.parts.get(kind)
            if rule is None or part.compute_dtype != dtype or (rule.weights and not part.built):
                return f"a {kind} inside, unknown, not built or in a dtype of its own"
            reason = rule.unknown_of_layer(part, dtype) or rule.unknown_of_parts(part, dtype)
            if reason:
                return f"of the {kind} inside: {reason}"
        return None


def _absent(value):
    """Whether an argument says that there is nothing."""
    return value is None or value is False


@cache
def _others(cls, known):
    """Return (name, default) of the constructor arguments of a class that are not `known`."""
    return tuple((name, default) for name, default in constructor_arguments(cls).items()
                 if name not in known | CHANGE_NOTHING
                 and not name.endswith(CHANGE_NOTHING_SUFFIXES))
