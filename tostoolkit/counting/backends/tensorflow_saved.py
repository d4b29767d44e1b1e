"""An exported SavedModel -> a Keras model of one layer, which runs its serving graph.

What was exported has no layers any more: it has functions of tensors whose batch is open. The
serving function is taken with its functions inlined and its variables as constants, and put anew
into the graph that is traced, where TensorFlow infers every shape again, of the batch that is asked
for.
"""

from functools import cache

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
    variables = {id(v.handle): v for v in function.variables}.values()
    layer = _serving_layer()(function, variables, name="serving")
    return keras.Model(inputs, layer(inputs), name=path.resolve().name)


def _shape(path, spec):
    """Return the shape of an input, with the batch: open, or that of the export."""
    if not spec.shape.rank:
        raise ValueError(
            f"{path}: its input {spec.name!r} has {'any' if spec.shape.rank is None else 'no'} "
            "number of axes, so its work is unknown; export the model with an input_signature that "
            "has a batch")
    return tuple(spec.shape.as_list())


@cache
def _serving_layer():
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    class SavedModel(keras.Layer):
        """The graph of a function of named tensors."""

        def __init__(self, function, variables, **kwargs):
            super().__init__(**kwargs)
            frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
            self.graph_def = frozen.graph.as_graph_def()
            self.places = {t.op.name.rpartition("/")[2]: t.name for t in frozen.inputs}
            self.results = [t.name for t in frozen.outputs]
            for v in variables:  # their sizes; their values are constants of the graph
                self.add_weight(shape=tuple(v.shape), dtype=v.dtype.name, trainable=v.trainable,
                                initializer="zeros")
            self.built = True

        def call(self, inputs):
            given = {self.places[key]: t for key, t in inputs.items()}
            return tf.graph_util.import_graph_def(
                self.graph_def, input_map=given, return_elements=self.results, name="")

        def build(self, shapes):
            """Have all weights from the start."""

    return SavedModel
