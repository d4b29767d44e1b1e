"""The functions that the ops of a TensorFlow graph call."""

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def function_of(op):
    """Return the name of the function that an op calls, or None."""
    if op.type in _CALLS:
        return op.get_attr("f").name
    return op.type if op.graph._is_function(op.type) else None


def graph_of(graph, name, inputs):
    """Return the graph of a function, which in older parts of TensorFlow is a definition alone."""
    function = graph._get_function(name)
    if hasattr(function, "graph"):
        return function.graph
    from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

    definition = type(function.definition)()
    definition.CopyFrom(function.definition)
    for argument in definition.arg_attr.values():  # shapes of its own, which are unknown
        argument.attr.pop("_output_shapes", None)
    with graph.as_default():
        return function_def_to_graph(definition, input_shapes=[t.shape for t in inputs],
                                     include_library_functions=True)


def body_of(op, attribute):
    """Return the graph of a loop's condition or body, or of a conditional's branch."""
    inputs = op.inputs[1:] if "branch" in attribute else op.inputs
    return graph_of(op.graph, op.get_attr(attribute).name, inputs)


def source_of(tensor):
    """Return the tensor that another one is, behind what hands it on, into the functions called."""
    while True:
        op = tensor.op
        name = function_of(op)
        if op.type == "Identity":
            tensor = op.inputs[0]
        elif name is not None:
            inner = graph_of(op.graph, name, op.inputs)
            source = source_of(inner.outputs[tensor.value_index])
            place = place_of(inner, source)
            if place is None:
                return tensor
            tensor = op.inputs[place]
        else:
            return tensor


def place_of(graph, tensor):
    """Return which input of a graph a tensor is, or None."""
    return next((i for i, t in enumerate(graph.inputs) if t is tensor), None)
