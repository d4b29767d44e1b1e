"""Models of one function of their inputs: as a bare operator, and in a layer's ``call``."""

import keras

from tostoolkit.counting.count import count


class Call(keras.layers.Layer):
    """A layer that calls a function of its inputs; what comes out is what it says of itself."""

    def __init__(self, function):
        super().__init__(dtype="float32", autocast=False)
        self.function = function

    def call(self, *tensors):
        return self.function(*tensors)

    def compute_output_spec(self, *tensors):
        try:
            specs = self.function(*tensors)
        except Exception:
            return super().compute_output_spec(*tensors)
        return keras.tree.map_structure(lambda t: keras.KerasTensor(t.shape, t.dtype), specs)


def model_of(function, shapes, place):
    """Return a model of the function: as a bare operator, or in a layer's call."""
    shapes = [s if isinstance(s[0], tuple) else (s, "float32") for s in shapes]
    inputs = [keras.Input(batch_shape=shape, dtype=dtype) for shape, dtype in shapes]
    return keras.Model(inputs, (function if place == "bare" else Call(function))(*inputs))


def counted(model):
    """Return what is counted of a model: (dtype, op) -> number."""
    with_batch = count(model, batch_size=model.inputs[0].shape[0])
    return {key: int(n) for key, n in with_batch.counts.sum().items() if n}


def expected(counts):
    """Return the counts of a case: (dtype, op) -> number."""
    return {(*key.split(), key)[:2] if " " in key else ("float32", key): n
            for key, n in counts.items() if n}
