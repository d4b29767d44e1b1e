"""Counting speed, beside TensorFlow's profiler and XLA's cost analysis, in one run.

Times exclude building the model; each is the best of five, or of two where it takes seconds.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

DECODER = """
import resource, time
import keras
import tostoolkit as tos
start = time.perf_counter()
with tos.abstract():
    model = tos.models.decoder(96, 12288, 96, 50257, 2048)
tos.count_ops(model)
seconds = time.perf_counter() - start
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(f"{model.count_params() / 1e9:.0f} billion parameters built and counted: "
      f"{seconds:.2f} s, {memory:.2f} GiB with TensorFlow")
"""

XLA = """
import time
import jax
import keras
model = keras.applications.ResNet50(weights=None)
values = [v.value for v in model.variables]
x = jax.ShapeDtypeStruct((1, 224, 224, 3), "float32")
def run(values, x):
    with keras.StatelessScope(state_mapping=list(zip(model.variables, values))):
        return model(x, training=False)
for _ in range(2):
    start = time.perf_counter()
    flops = jax.jit(run).lower(values, x).cost_analysis()["flops"]
    seconds = time.perf_counter() - start
    jax.clear_caches()
print(f"{seconds * 1e3:.0f} {flops:.0f}")
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


def main():
    import keras
    from traced import trace_ops

    import tostoolkit as tos

    model = keras.applications.ResNet50(weights=None)
    ours = best(lambda: tos.count_ops(model), 20)
    print(f"ResNet50 by rule, all ops, all layers: {ours * 1e3:.1f} ms; "
          f"{tos.count_ops(model)['float32', 'mac'].sum():,} MACs")
    theirs = best(lambda: profiler(model), 2)
    print(f"TensorFlow's profiler, one total: {theirs * 1e3:.0f} ms, "
          f"{theirs / ours:.0f} times as long; {profiler(model):,} FLOPs")
    xla = subprocess.run([sys.executable, "-c", XLA], capture_output=True, text=True,
                         env=os.environ | {"KERAS_BACKEND": "jax"})
    if xla.returncode:
        print(f"XLA's cost analysis: not measured ({xla.stderr.strip().splitlines()[-1]}); "
              "pip install jax")
    else:
        seconds, flops = xla.stdout.split()
        print(f"XLA's cost analysis, one total of the unoptimised program: {seconds} ms, "
              f"{float(seconds) / ours / 1e3:.0f} times as long; {int(flops):,} FLOPs")
    print(f"traced, inference: {best(lambda: trace_ops(model), 2):.2f} s")
    step = best(lambda: trace_ops(model, phase="training", optimizer="sgd",
                                  loss="sparse_categorical_crossentropy"), 2)
    ruled = best(lambda: tos.count_ops(model, phase="training", optimizer="sgd",
                                       loss="sparse_categorical_crossentropy"))
    print(f"a training step traced: {step:.2f} s; by rule {ruled * 1e3:.0f} ms")
    print(f"memory so far: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    subprocess.run([sys.executable, "-c", DECODER], check=True)


if __name__ == "__main__":
    main()
