"""Counting speed, beside TensorFlow's profiler and XLA's cost analysis, in one run.

Times exclude building the model; each is the best of five, or of two where it takes seconds.
"""

import os
import resource
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

DECODER = """
import resource, time
import keras
import tostoolkit as tos
start = time.perf_counter()
with tos.abstract():
    model = tos.decoder(96, 12288, 96, 50257, 2048)
tos.count_ops(model)
seconds = time.perf_counter() - start
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(f"{model.count_params() / 1e9:.0f} billion parameters built and counted: "
      f"{seconds:.2f} s, {memory:.2f} GiB with TensorFlow")
"""


def best(function, times=5):
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        spent.append(time.perf_counter() - start)
    return min(spent)


def profiler(model):
    """TensorFlow's float_operation, the counter that most Keras tools wrap."""
    import tensorflow as tf
    from tensorflow.python.profiler import model_analyzer, option_builder

    graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(
        tf.TensorSpec((1, 224, 224, 3))).graph
    options = option_builder.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    return model_analyzer.profile(graph, options=options).total_float_ops


def xla(model):
    """XLA's cost analysis, where JAX is installed: it needs another backend, so not here."""
    import jax  # noqa: F401

    raise ImportError("run with KERAS_BACKEND=jax to compare")


def main():
    import keras

    import tostoolkit as tos
    from tostoolkit.op_trace import trace_ops

    model = keras.applications.ResNet50(weights=None)
    ours = best(lambda: tos.count_ops(model), 20)
    print(f"ResNet50 by rule, all ops, all layers: {ours * 1e3:.1f} ms; "
          f"{tos.count_ops(model)['float32', 'mac'].sum():,} MACs")
    theirs = best(lambda: profiler(model), 2)
    print(f"TensorFlow's profiler, one total: {theirs * 1e3:.0f} ms, "
          f"{theirs / ours:.0f} times as long; {profiler(model):,} FLOPs")
    try:
        print(f"XLA's cost analysis: {best(lambda: xla(model), 2) * 1e3:.0f} ms")
    except ImportError as error:
        print(f"XLA's cost analysis: not measured ({error})")
    print(f"traced, inference: {best(lambda: trace_ops(model), 2):.2f} s")
    step = best(lambda: trace_ops(model, phase="training", optimizer="sgd",
                                  loss="sparse_categorical_crossentropy"), 2)
    print(f"traced, a training step: {step:.2f} s")
    print(f"memory so far: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    subprocess.run([sys.executable, "-c", DECODER], check=True)


if __name__ == "__main__":
    main()
