"""What a backend keeps for good of code that was traced, forgotten."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident


@contextmanager
def gradients_forgotten() -> Iterator[None]:
    """Return a context after which the gradients that code defines in it are forgotten.

    TensorFlow registers what ``tf.custom_gradient`` makes (SiLU has one) for good, and with it the
    graph that it stands in: 100 MB for each count of a model of 400 of them. What is traced to be
    counted is differentiated within the context, or never.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        yield
        return
    from tensorflow.python.framework.ops import RegisterGradient, gradient_registry

    register, thread, names = RegisterGradient.__call__, get_ident(), []

    def noted(self, function):
        if get_ident() == thread and self._op_type.startswith("CustomGradient-"):
            names.append(self._op_type)
        return register(self, function)

    RegisterGradient.__call__ = noted
    try:
        yield
    finally:
        RegisterGradient.__call__ = register
        for name in names:
            gradient_registry._registry.pop(name, None)
