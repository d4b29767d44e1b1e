"""The shapes in a graph that was exported with its batch open, of a batch that is known.

TensorFlow infers them when it puts the graph into another, but in loops: what a loop hands on keeps
the shape that it was exported with, and so do the elements of the lists that it reads and writes.
Both are opened here, and follow from what the loop is given. A loop that changes the shape of what
it hands on is left as it was.
"""

import re
from itertools import count

from .tensorflow_constants import Frame
from .tensorflow_functions import body_of

_LOOPS = ("While", "StatelessWhile")
#: Op that takes something from a list -> the place of the input that says the element's shape.
_TAKES = {"TensorListGetItem": 2, "TensorListStack": 1, "TensorListGather": 2,
          "TensorListPopBack": 1}
#: Op that puts something into a list -> the place of that.
_PUTS = {"TensorListSetItem": 2, "TensorListPushBack": 1}
#: Op that makes a constant of the shape of a tensor -> the value of that.
_CONSTANTS = {"ZerosLike": 0, "OnesLike": 1}
#: Loops that read what others write, one after another: more are not followed.
_MOST_PASSES = 50
_NUMBERED = re.compile(r"_tos\d+$")
_numbers = count()


def has_loops(definition) -> bool:
    """Whether a graph, or a function in it, holds a loop."""
    return any(node.op in _LOOPS for nodes in _all_nodes(definition) for node in nodes)


def on_shapes(definition, places, specs):
    """Return the definition of a graph with the shapes that follow from those of its inputs.

    `places` are the names of its inputs, `specs` have their shapes and dtypes. It is as it was
    where these do not follow.
    """
    import tensorflow as tf

    opened = type(definition)()
    opened.CopyFrom(definition)
    for nodes in _all_nodes(opened):
        for node in nodes:
            if node.op in _LOOPS:
                node.attr["output_shapes"].list.ClearField("shape")
    for _ in range(_MOST_PASSES):
        _rename_functions(opened)
        with tf.Graph().as_default() as graph:
            given = {place: tf.compat.v1.placeholder(spec.dtype, spec.shape)
                     for place, spec in zip(places, specs, strict=True)}
            tf.graph_util.import_graph_def(opened, input_map=given, name="")
        found = _Elements(graph)
        if not found.known:
            if not found.loops_hold:
                return definition
            _write_constants(opened, graph)
            return opened
        for function, op, shape in found.known:
            _say(opened, function, op, shape)
    return definition


def _all_nodes(definition):
    return [definition.node, *(function.node_def for function in definition.library.function)]


def _rename_functions(definition):
    """Give each function of a definition a name that no other has had: TensorFlow knows all."""
    names = {}
    for function in definition.library.function:
        old = function.signature.name
        names[old] = function.signature.name = f"{_NUMBERED.sub('', old)}_tos{next(_numbers)}"
    for nodes in _all_nodes(definition):
        for node in nodes:
            node.op = names.get(node.op, node.op)
            for attribute in node.attr.values():
                called = [attribute.func] if attribute.HasField("func") else (
                    attribute.list.func if attribute.HasField("list") else ())
                for function in called:
                    function.name = names.get(function.name, function.name)
    for gradient in definition.library.gradient:
        gradient.function_name = names.get(gradient.function_name, gradient.function_name)
        gradient.gradient_func = names.get(gradient.gradient_func, gradient.gradient_func)


def _say(definition, function, op, shape):
    """Say in a definition what shape the elements have that an op takes from a list.

    Or, where that is a number, how many it stacks.
    """
    import tensorflow as tf

    nodes = definition.node if function is None else next(
        f.node_def for f in definition.library.function if f.signature.name == function)
    node = next(n for n in nodes if n.name == op.name)
    if isinstance(shape, int):
        node.attr["num_elements"].i = shape
        return
    name = f"{op.name}/element_shape_known"
    node.input[_TAKES[op.type]] = name if function is None else f"{name}:output:0"
    said = nodes.add(name=name, op="Const")
    said.attr["dtype"].type = tf.int32.as_datatype_enum
    said.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(shape, tf.int32))


def _write_constants(definition, graph):
    """Write out what is a constant where the shape is known: zeros like a tensor, and ones."""
    import tensorflow as tf

    for node in definition.node:
        if node.op in _CONSTANTS:
            made = graph.get_operation_by_name(node.name).outputs[0]
            if made.shape.is_fully_defined():
                value = tf.make_tensor_proto(
                    _CONSTANTS[node.op], made.dtype, made.shape.as_list())
                node.op = "Const"
                node.ClearField("input")
                node.attr.clear()
                node.attr["dtype"].type = made.dtype.as_datatype_enum
                node.attr["value"].tensor.CopyFrom(value)


class _Elements:
    """What the lists in a graph hold: (function, op, shape) of what was open and is `known`."""

    def __init__(self, graph):
        self.known, self.loops_hold = [], True
        self._visit(graph, None, {})

    def _visit(self, graph, function, given):
        """Look at a graph whose inputs are lists of elements of the shapes that are `given`."""
        for op in graph.get_operations():
            if op.type in _TAKES:
                self._look_at(op, function, given)
            elif op.type in _LOOPS:
                body = body_of(op, "body")
                self._visit(body, op.get_attr("body").name, self._of_loop(op, body, given))
                self.loops_hold &= all(
                    after.shape == before.shape for before, after in zip(
                        op.inputs, body.outputs, strict=True) if before.shape.is_fully_defined())

    def _look_at(self, op, function, given):
        """Note what is known of an op that takes from a list, where it does not say so itself."""
        stacks = op.type == "TensorListStack"
        taken = op.outputs[-1].shape
        shape = self._of(op.inputs[0], given)
        if shape is not None and not taken[1 if stacks else 0:].is_fully_defined():
            self.known.append((function, op, shape))
        elif stacks and taken.rank and taken[0] is None:
            length = _length(op.inputs[0])
            if length is not None:
                self.known.append((function, op, length))

    def _of_loop(self, op, body, given):
        """Return the shapes of the elements of the lists that a loop's body is given."""
        inside = {}
        for before, within, after in zip(op.inputs, body.inputs, body.outputs, strict=True):
            if before.dtype.name == "variant":
                shape = self._of(before, given)
                inside[within.ref()] = self._of(after, {}) if shape is None else shape
        return inside

    def _of(self, tensor, given):
        """Return the shape of the elements of a list, None where it is not known."""
        import tensorflow as tf

        op = tensor.op
        if tensor.ref() in given:
            return given[tensor.ref()]
        if op.type == "TensorListFromTensor":
            shape = op.inputs[0].shape[1:]
        elif op.type in _PUTS:
            shape = op.inputs[_PUTS[op.type]].shape
        elif op.type in _LOOPS:
            body = body_of(op, "body")
            return self._of_loop(op, body, given).get(body.inputs[tensor.value_index].ref())
        elif op.type in ("Identity", "TensorListResize"):
            return self._of(op.inputs[0], given)
        elif op.type in ("TensorListReserve", "EmptyTensorList"):
            said = tf.get_static_value(op.inputs[0])
            shape = tf.TensorShape(None if said is None or said.ndim == 0 else [
                None if size < 0 else size for size in said.tolist()])
        else:
            return None
        return shape.as_list() if shape.is_fully_defined() else None


def _length(tensor):
    """Return how many elements a list was made for, None where it is not known."""
    op = tensor.op
    if op.type == "TensorListReserve":
        said = Frame.of(op.inputs[1])
        return None if said is None else int(said)
    if op.type == "TensorListFromTensor":
        return op.inputs[0].shape[0]
    if op.type in _LOOPS:
        return _length(op.inputs[tensor.value_index])
    return _length(op.inputs[0]) if op.type in ("Identity", "TensorListSetItem") else None
