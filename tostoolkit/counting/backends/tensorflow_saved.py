"""An exported SavedModel -> a Keras model of one layer, which runs its serving graph.

What was exported has no layers any more: it has functions of tensors whose batch is open. A
function is taken with its functions inlined, and put anew into the graph that is traced, where
TensorFlow infers every shape again, of the batch that is asked for. Its variables stay variables: a
weight is no constant, whatever its value. A ``TFSMLayer`` in a model runs such a function too.
"""

from contextlib import ExitStack, contextmanager
from functools import cache

from .tensorflow_shapes import has_loops, on_shapes

ENDPOINTS = ("serving_default", "serve")


def serving_model(path):
    """Return a functional Keras model of the serving graph of a SavedModel."""
    import keras
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:
        raise ValueError(f"{path}: TensorFlow cannot read it: {type(error).__name__}: "
                         f"{' '.join(str(error).split())[:400]}") from error
    endpoints = dict(loaded.signatures)
    name = next((name for name in (*ENDPOINTS, *endpoints) if name in endpoints), None)
    if name is None:
        raise ValueError(f"{path}: it has no signature, so nothing says how it is called; export "
                         "the model with model.export(folder), or tf.saved_model.save(model, "
                         "folder, signatures=...)")
    function = endpoints[name]
    inputs = {key: keras.Input(batch_shape=_shape(path, spec), dtype=spec.dtype.name, name=key)
              for key, spec in sorted(function.structured_input_signature[1].items())}
    layer = _serving_layer()(function, name="serving")
    return keras.Model(inputs, layer(inputs), name=path.resolve().name)


def _shape(path, spec):
    """Return the shape of an input, with the batch: open, or that of the export."""
    if not spec.shape.rank:
        raise ValueError(
            f"{path}: its input {spec.name!r} has {'any' if spec.shape.rank is None else 'no'} "
            "number of axes, so its work is unknown; export the model with an input_signature that "
            "has a batch")
    return tuple(spec.shape.as_list())


class Inlined:
    """A concrete function, as one graph that is put into another on flat tensors."""

    def __init__(self, function):
        from tensorflow.python.framework.convert_to_constants import (
            convert_variables_to_constants_v2,
        )

        frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
        self.graph_def = frozen.graph.as_graph_def()
        self.on_shapes = {}
        self.places = [t.name for t in frozen.inputs]
        self.results = [t.name for t in frozen.outputs]
        by_handle = {id(v.handle): v for v in function.graph.variables}
        names = {node.name for node in self.graph_def.node}
        #: Name of the constant that a variable has become -> the variable.
        self.variables = {f"{inside.op.name}:0": by_handle[id(handle)]
                          for handle, inside in function.graph.captures
                          if id(handle) in by_handle and inside.op.name in names}

    def __call__(self, tensors):
        import tensorflow as tf

        given = dict(zip(self.places, tensors, strict=True))
        given |= {name: v.read_value() for name, v in self.variables.items()}
        return tf.graph_util.import_graph_def(
            self._on_shapes(tensors), input_map=given, return_elements=self.results, name="")


    def _on_shapes(self, tensors):
        """Return the graph's definition for tensors of these shapes; made once for each."""
        key = tuple(str(t.shape) for t in tensors)
        if key not in self.on_shapes:
            self.on_shapes[key] = on_shapes(self.graph_def, self.places, tensors) if (
                has_loops(self.graph_def)) else self.graph_def
        return self.on_shapes[key]


@contextmanager
def inlined_endpoints(layers):
    """Return a context in which each of these TFSMLayers runs its function inlined."""
    with ExitStack() as stack:
        for layer in layers:
            held = vars(layer)["call_endpoint_fn"]
            object.__setattr__(layer, "call_endpoint_fn", _on_shapes(held))
            stack.callback(object.__setattr__, layer, "call_endpoint_fn", held)
        yield


def _on_shapes(function):
    """Return a function of tensors that runs another one inlined, on the shapes that they have."""
    import tensorflow as tf

    def run(*args, **kwargs):
        specs = tf.nest.map_structure(
            lambda t: tf.TensorSpec(t.shape, t.dtype) if tf.is_tensor(t) else t, (args, kwargs))
        with tf.init_scope():
            concrete = tf.function(function, autograph=False).get_concrete_function(
                *specs[0], **specs[1])
            inlined = Inlined(concrete)
        flat = inlined([t for t in tf.nest.flatten((args, kwargs)) if tf.is_tensor(t)])
        return tf.nest.pack_sequence_as(concrete.structured_outputs, flat)

    return run


@cache
def _serving_layer():
    import keras

    class SavedModel(keras.Layer):
        """The graph of a function of named tensors."""

        def __init__(self, function, **kwargs):
            super().__init__(**kwargs)
            inlined = Inlined(function)
            self.names = [name.rpartition(":")[0].rpartition("/")[2] for name in inlined.places]
            for v in {id(v): v for v in function.variables}.values():  # their sizes
                self.add_weight(shape=tuple(v.shape), dtype=v.dtype.name, trainable=v.trainable,
                                initializer="zeros")
            self.run = lambda tensors: inlined(tensors)  # which Keras does not look into
            self.built = True

        def call(self, inputs):
            return self.run([inputs[name] for name in self.names])

        def build(self, shapes):
            """Have all weights from the start."""

    return SavedModel
