"""Counting speed, beside TensorFlow's profiler and XLA's cost analysis, in one run.

Times exclude building the model; each is the best of five, or of two where it takes seconds. What
is compared by a ratio is taken in turns.
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
built = time.perf_counter()
tos.count_ops(model)
seconds, counting = time.perf_counter() - start, time.perf_counter() - built
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(f"{model.count_params() / 1e9:.0f} billion parameters built and counted: "
      f"{seconds:.2f} s, of which counted {counting:.2f} s, {memory:.2f} GiB with TensorFlow")
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


GROWTH = """
import sys, time
import keras
import tostoolkit as tos
sys.setrecursionlimit(10**6)  # Keras walks a graph by recursion
spent = {}
for layers in (100, 1000, 10000):
    with tos.abstract():
        dense = [keras.layers.Dense(8) for _ in range(layers)]
        model = keras.Sequential([keras.Input((8,)), *dense])
    times = []
    for _ in range(5):
        start = time.perf_counter()
        tos.count_ops(model, 10**20)
        times.append(time.perf_counter() - start)
    spent[layers] = min(times)
each = {n: seconds / n for n, seconds in spent.items()}
print("stacks of Dense, at batch 10^20: " + ", ".join(
    f"{n:,} in {s * 1e3:.1f} ms" for n, s in spent.items())
    + f"; a layer of 10,000 takes {each[10000] / each[1000]:.2f} times one of 1,000")
"""


def side_by_side(functions, times=20):
    """Return the best time of each, taken in turns, so that a busy machine is so to all of them."""
    spent = {name: [] for name in functions}
    for _ in range(times):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            spent[name].append(time.perf_counter() - start)
    return {name: min(times) for name, times in spent.items()}


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
    report = tos.transistor_ops(model)
    figures = side_by_side({
        "all ops, all layers": lambda: tos.count_ops(model),
        "bytes": lambda: tos.count_bytes(model),
        "transistor_ops(model).total": lambda: tos.transistor_ops(model).total,
        "total under another table": lambda: report.under("gpu-ieee").total,
        "per_layer of a report": lambda: report.per_layer,
    })
    ours = figures["all ops, all layers"]
    print(f"ResNet50 by rule, {tos.count_ops(model)['float32', 'mac'].sum():,} MACs: " + ", ".join(
        f"{name} {seconds * 1e3:.1f} ms ({seconds / ours:.1f} x)"
        for name, seconds in figures.items()))
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
    for script in (DECODER, GROWTH):
        subprocess.run([sys.executable, "-c", script], check=True)


if __name__ == "__main__":
    main()
