"""Keras model -> op counts and bytes moved: the one way in.

Conventions
-----------
* Counts say what is computed, not how silicon does it: a tanh is one ``tanh``.
* Counts are integers, per forward pass of one batch, and add up.
* ``mac`` is one multiply-accumulate of a contraction; K products per output are K MACs. It is
  one op, never silently one or two FLOPs: the ``flops`` cost table says 2, ``macs`` says 1.
* A bias is one ``add`` per output.
* An ``einsum`` of three operands or more is joined two by two in the backend's order, greedily on
  TensorFlow, at the least cost on JAX and PyTorch: the MACs are those, as far as data reach.
* With ``same`` padding the padded taps count: a convolution is outputs x taps x channels.
* A reduction over n values is n - 1 ops per output; a mean of more than one adds one ``div``.
* ``max`` is every comparison-based choice: max, min, compare, ReLU, pooling, sign.
* Batch normalisation in inference takes its reciprocal root once per channel.
* What a kernel fuses counts by its definition: softmax is, per element, a subtraction, an
  exponential and a division, and per row of n, n - 1 comparisons and n - 1 additions.
* The dtype is part of the op: that in which the layer computes; a comparison's is that of its
  operands, what joins comparisons is ``bool``, a conversion's that of its source.
* A constant that changes nothing (x 1, x + 0) does not count, nor does what is computed of
  constants alone: numbers, what a layer made when it was built, and what it makes of shapes alone,
  such as positions. Weights are no constants, nor is what a normalisation layer has learnt.
* Where a layer computes in another dtype than it stores (mixed precision) or is quantised, it is
  counted from its traced graph, conversions and scaling included, and so is a layer without a rule.
* Quantised layers count as Keras runs them: int8 multiplies in int8 and accumulates in int32; int4
  keeps its weights packed, unpacks them and multiplies in the layer's dtype; float8 rounds to
  float8 and back and multiplies in the layer's dtype (a compiler may fuse that into float8 units).
* The shapes in a graph of Keras' own layers are those that Keras recorded when it was built, and
  shows in ``model.summary()``: what changes them, strides say, is set before.
* Branches that no output needs are not run. A mask is what Keras hands from layer to layer; it
  counts where a layer makes it, and only where a later one looks at it.
* Training is what ``fit`` runs of one batch: forward in training mode, backward and the update, in
  the model's own ``train_step`` and ``compute_loss`` where it has them, by rule or from the traced
  graph; loss weights, penalties, clipping, averaging, schedules and constraints included.
* Metrics do not count: they are how a step is watched. Nor do sample and class weights, which are
  handed to ``fit``.
* The gradient of a convolution takes as many MACs as there are products in it: the zeros that some
  kernels insert between pixels, for a stride, are nobody's.
* Where gradients accumulate over N steps, the step that has the update counts, and a note says so.
* A scaled loss (float16) counts as Keras runs it: the scaling, a test of all gradients for
  infinities, the division of each by the scale, and the update, which a test of the data guards.
* Dropout and noise layers are nothing in inference. A draw is one ``random``; the arithmetic of the
  seed that it comes from is none, and a draw from a constant seed is a constant.
* Copies, reshapes and the arithmetic of shapes and addresses are data movement. What a layer
  computes of indices that are data counts as Keras runs it: a lookup wraps a negative index, an
  int32 ``add``, ``max`` and ``select`` each, once for each index that it is given (TensorFlow's
  backend wraps copies of it where it looks up several values along an axis; they count once there
  too).
* A mixture of experts counts as Keras runs it: KerasHub's layers run every expert on every token
  and weight the results, so E experts cost E feed-forward parts a token. A kernel that sends each
  token to its top k experts alone would do k of E of those MACs; the router's work is the same.

Counters of one's own
--------------------
``count_ops(model, counters=OP_COUNTERS | {"MyLayer": f})``, where ``f`` takes a `LayerCall` and
returns a Counter of ``(dtype, op)``. The key is the layer's kind or its class: a class of one's own
that borrows a Keras name does not take Keras' rule, and its class is the key that gives it one,
``OP_COUNTERS | {Dense: f}``. The class decides, never the name; a subclass is another class.

The counter holds wherever the layer is called: in a model, nested at any depth, inside
``TimeDistributed``, ``Bidirectional``, ``SpectralNormalization`` and other wrappers, as the cell of
an ``RNN``, as a bare operator of a graph (``"ops.Cumsum"``), and inside layers and models that are
traced, as often as they call it. A layer with a counter inside one with a counter is part of that.
In a training step the counter gives the layer's forward pass; its gradient is counted from the
traced graph, or by Keras' rule for a Keras layer, and a layer that cannot be traced is an error
there.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..op_kinds import OP_KINDS
from .calls import LEVELS, CallCount, LayerCall
from .compiled import compiled
from .data_movement import bytes_table, movement_table
from .functions import function_parts, is_function
from .integers import integer_table, keyed_index
from .introspection import inspect, sublayers
from .reach import counted_by_reach, needed_calls, of_constants_alone
from .rules import OP_COUNTERS, NoRule, counts_by_user, find_counter, rule_of, user_counter
from .rules.layers import zero
from .rules.training import count_step
from .trace import of_many_samples, trace_call, trace_step
from .traces import Traces
from .walk import check_phase, read_calls

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Counted:
    """What is counted of a model.

    Attributes
    ----------
    counts : pandas.DataFrame
        As `count_ops` returns it.
    coverage : dict of str to int
        How many rows of `counts` were counted by ``rule`` (the toolkit's or the user's), by
        ``trace``, as ``zero``.
    calls : list of LayerCall
        As `layer_calls` returns it.
    notes : tuple of str
        What a reader should know: conditionals whose dearer branch was counted, what a loss was
        taken to compare with, metrics that were left out, updates that come every few steps.
    name : str
    moved : function
        Returns `bytes`.
    """

    counts: pd.DataFrame
    coverage: dict[str, int]
    calls: list[LayerCall]
    notes: tuple[str, ...] = ()
    name: str = ""
    moved: Callable[[], pd.DataFrame] | None = None

    @cached_property
    def bytes(self) -> pd.DataFrame:
        """As `count_bytes` returns it; made when it is first asked for."""
        return self.moved()


@of_many_samples
def count(
    model: "keras.Layer", batch_size: int = 1, phase: str = "inference", *,
    input_shape: tuple[int, ...] | None = None, counters: Mapping = OP_COUNTERS,
    loss: "str | keras.Loss | None" = None, optimizer: "str | keras.Optimizer | None" = None,
    targets: Any = None,
) -> Counted:
    """Return what is counted of `model`, and how; parameters and errors as `count_ops`.

    >>> import keras
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="out")])
    >>> counted = count(model, batch_size=2)
    >>> int(counted.counts["float32", "mac"].sum()), int(counted.bytes.to_numpy().sum())
    (64, 240)
    >>> counted.coverage, counted.calls[0].path
    ({'rule': 1}, 'out')
    """
    check_phase(phase)
    calls, notes = (), ()
    if is_function(model):
        name, rows, parts = function_parts(model, batch_size, phase, input_shape)
        moved = partial(bytes_table, parts)
    else:
        inspected = inspect(model)
        step = compiled(inspected, loss, optimizer, targets) if phase == "training" else None
        read = read_calls(inspected, batch_size, input_shape)
        name, calls = inspected.model.name, read.calls
        if step:
            by_user, notes = partial(_by_user, counters=counters), step.notes
            rows = count_step(read, step, count_call, by_user) or trace_step(read, step, by_user)
        else:
            rows = _count_calls(read, partial(counted, counters=counters, trace=Traces()))
        moved = partial(movement_table, calls, step.optimizer if step else None)
    return Counted(
        _table({key: row.counts for key, row in rows.items()}, phase),
        dict(Counter(row.method for row in rows.values())), list(calls),
        tuple(dict.fromkeys([*notes, *(note for row in rows.values() for note in row.notes)])),
        name, moved)


def count_ops(
    model: "keras.Layer", batch_size: int = 1, phase: str = "inference", *,
    input_shape: tuple[int, ...] | None = None, counters: Mapping = OP_COUNTERS,
    loss: "str | keras.Loss | None" = None, optimizer: "str | keras.Optimizer | None" = None,
    targets: Any = None,
) -> pd.DataFrame:
    """Return the op counts of `model`, layer by layer.

    Parameters
    ----------
    model : keras.Model, keras.Layer, function of JAX arrays or torch.nn.Module (`functions`)
    batch_size : int
        Samples in the batch that the counts are for.
    phase : {"inference", "training"}
        A training step is counted by rule where all of it has one (`rules.training`), else from
        its traced graph (`trace.trace_step`).
    input_shape : tuple of int, optional
        Shape of one sample, where the model leaves a dimension open; arguments of a function.
    counters : mapping of str or class to function
        Kind or class of layer -> counter; what holds where stands at the top of this module.
    loss, optimizer : str or Keras object, optional
        For training; those of the compiled model, when left out.
    targets : optional
        For training: what the loss compares the outputs with, in the structure that ``fit`` takes,
        as what has a shape (the batch first) and a dtype: ``keras.Input((5,), dtype="int32")``.
        When left out, tensors like the outputs, or integer labels of them where the loss takes
        these.

    Returns
    -------
    pandas.DataFrame
        Integers; columns ``(dtype, op)``; one row a layer call, all zero where it computes
        nothing, index ``(layer, kind)``; for training one a part of it, index ``(layer, part)``,
        where part is ``forward``, ``backward`` or ``update``.

    Raises
    ------
    ValueError
        A layer without a counter that cannot be traced, an unbuilt model, an unknown dimension,
        `batch_size` below 1, an unknown `phase`; training without a loss or an optimizer;
        `targets` that do not fit the batch or the loss.
    TypeError
        `model` is none of these; `batch_size` is not an integer; `targets` without a shape.

    Examples
    --------
    >>> import keras
    >>> dense = keras.layers.Dense(4, activation="tanh", name="hidden")
    >>> model = keras.Sequential([keras.Input((8,)), dense])
    >>> count_ops(model).loc["hidden"].iloc[0].to_dict()
    {('float32', 'mac'): 32, ('float32', 'add'): 4, ('float32', 'tanh'): 4}
    """
    return count(model, batch_size, phase, input_shape=input_shape, counters=counters, loss=loss,
                 optimizer=optimizer, targets=targets).counts


def count_call(call: LayerCall, counters: Mapping = OP_COUNTERS) -> Counter:
    """Return the op counts of one layer call: by its rule, else from its traced graph.

    TraceError, where it cannot be traced either, says how to add a counter for its kind.

    >>> from types import SimpleNamespace
    >>> from tostoolkit.counting.calls import LayerCall, Tensor
    >>> dense = SimpleNamespace(use_bias=True, activation=None)
    >>> count_call(LayerCall("d", "Dense", dense, (Tensor((2, 3)),), (Tensor((2, 4)),)))
    Counter({('float32', 'mac'): 24, ('float32', 'add'): 8})
    """
    return counted(call, counters).counts


def counted(call: LayerCall, counters: Mapping = OP_COUNTERS,
            trace: Callable | None = trace_call) -> CallCount:
    """Return the op counts of a call and how they were found; NoRule unless there is a `trace`."""
    counter = find_counter(call.layer, call.kind, counters)
    by_user = user_counter(call.layer, call.kind, counters)
    if not by_user and call.constants and of_constants_alone(call):
        return CallCount(Counter(), "zero", reached=frozenset())
    try:
        if not by_user:
            if call.constants:
                raise NoRule(f"{call.path!r} ({call.kind}): an input that no data reach")
            rule_of(counter).check(call)
            if counters is not OP_COUNTERS:
                _check_holds_no_user_counted(call, counter, counters)
        row = _by_rule(call, counter, counters, trace)
        if call.masks and not by_user:  # a rule hands a mask on, and does not look at it
            needs = (*range(len(call.inputs)), *((("mask", 0),) if call.masks_wanted else ()))
            row = CallCount(row.counts, row.method, row.notes, frozenset(needs))
        return row
    except NoRule:
        if trace is None:
            raise
    return trace(call, partial(_by_user, counters=counters))


def _count_calls(read, count_one):
    """Return (path, kind) -> CallCount of the calls of a forward pass."""
    keys = [(call.path, call.kind) for call in read.calls]
    calls = needed_calls(read.calls, read.outputs, count_one)
    return dict(zip(keys, counted_by_reach(calls, count_one), strict=True))


def _check_holds_no_user_counted(call, counter, counters):
    """Raise NoRule where a rule would pass over a counter of the user's, of a layer inside."""
    if not rule_of(counter).holds and any(
            user_counter(layer, kind, counters) for kind, layer in sublayers(call.layer)):
        raise NoRule(f"{call.path!r} ({call.kind}): a layer inside that has a counter")


def _by_user(layer, kind, counters):
    """Return the function of a call that counts it by the user's counter, None without one."""
    counter = user_counter(layer, kind, counters)
    return counter and (lambda call: _by_rule(call, counter, counters, trace_call).counts)


def _by_rule(call, counter, counters, trace):
    """Count a call by its counter; a wrapper is by rule where all that it holds is."""
    if not rule_of(counter).holds:
        is_zero = getattr(counter, "count", None) is zero
        if counter is OP_COUNTERS.get(call.kind):
            counts = counter(call)
        else:
            counts = counts_by_user(counter, call)
        return CallCount(counts, "zero" if is_zero else "rule")
    held = []

    def count_held(inner, traced=True):
        held.append(counted(inner, counters, trace if traced else None))
        return held[-1].counts

    counts = counter(call, count_held)
    traced = any(row.method == "trace" for row in held)
    return CallCount(counts, "trace" if traced else "rule",
                     tuple(note for row in held for note in row.notes))


def _table(counts, phase):
    """Return the DataFrame of a dict of row -> Counter; columns in the order of `OP_KINDS`."""
    kinds = {op: i for i, op in enumerate(OP_KINDS)}
    columns = sorted({key for c in counts.values() for key in c}, key=lambda k: (k[0], kinds[k[1]]))
    return integer_table(
        [[c.get(key, 0) for key in columns] for c in counts.values()],
        keyed_index(counts, LEVELS[phase]), keyed_index(columns, ["dtype", "op"]))
