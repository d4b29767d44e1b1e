"""EC-NAS-Bench: training runs of NASBench-101-style networks, and the networks as Keras models.

Bakhtiarifard, Igel, Selvan, "EC-NAS: Energy Consumption Aware Tabular Benchmarks for Neural
Architecture Search", ICASSP 2024. The networks are those of Ying et al., "NAS-Bench-101: Towards
Reproducible Neural Architecture Search", ICML 2019, section 2; the channel rules are those of
``nasbench/lib/model_builder.py`` (``compute_vertex_channels``, ``build_module``), which
EC-NAS-Bench trains unchanged.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .dataset import Dataset, forward_of_one, one_forward
from .files import locate, read_archive

if TYPE_CHECKING:
    import keras

STEM_CHANNELS, STACKS, CELLS_PER_STACK, CLASSES = 128, 3, 3, 10
CONV3X3, CONV1X1, MAXPOOL3X3 = 0, 1, 2  # codes of EC-NAS-Bench's generated_graphs_*.json
COMMIT = "1a82fdde59bf61cb6a2b9d41bc984c3edbd2b2bf"
URL = f"https://github.com/saintslab/EC-NAS-Bench/archive/{COMMIT}.tar.gz"
DATA = "ecnas/vendors/ec_nasbench/nasbench/data"
#: SHA-256 over the sorted (path, SHA-256) of the files that are read.
CONTENT = "3350c96da842d4731089c92cee74116a4ac7bf690c0ea06b0c7a346e7c0d1645"


def ec_nas_bench(path: str | Path | None = None) -> pd.DataFrame:
    """Return EC-NAS-Bench's 2,805 measured training runs of NAS-Bench-101-style networks.

    MIT licence. Each run trains a network on CIFAR-10 for 4 epochs (625 steps of 256 images) with
    evaluations, on a Quadro RTX 6000 (NVML) and a CPU of two sockets (RAPL), measured by
    carbontracker. Runs of a ``_recovery`` folder were resumed. `path` is the repository's source
    archive (or the part of it that holds the energy results), or a folder that contains it.

    Returns
    -------
    pandas.DataFrame
        One row a run: ``dataset``, ``configuration`` and ``architecture`` (hash of the cell),
        ``space`` (``4V9E``: at most 4 vertices and 9 edges), ``repeat``, ``trainable_params``,
        ``matrix``, ``operations`` (as `ec_nas_model` takes them), ``time_s``, ``energy_j`` (GPU, as
        measured), ``cpu_energy_j``, ``reported_energy_kwh`` (which includes a
        power-usage-effectiveness factor of 1.59), ``device``, ``phase``, ``batch_size``,
        ``defect`` (none).
    """
    archive = ec_nas_archive(path)
    files = read_archive(
        archive, f"EC-NAS-Bench-{COMMIT}/{DATA}/",
        r"train_model_results/energy/.*/results\.json|graphs/generated_graphs_[45]V9E\.json",
        CONTENT)
    cells = {}
    for name, text in files.items():
        if name.startswith("graphs/"):
            cells |= json.loads(text)
    return pd.DataFrame([
        _ec_nas_run(name, json.loads(text), cells)
        for name, text in sorted(files.items()) if name.endswith("results.json")
    ])


def ec_nas_archive(path: str | Path | None = None) -> Path:
    """Return the path of the archive that `ec_nas_bench` reads."""
    return locate(path, "EC-NAS-Bench-*.tar.gz", "ec_nas_bench", URL)


def _ec_nas_run(name, record, cells):
    # train_model_results/energy/<space>/4_epochs/<ab>/<hash>/repeat_<n>/results.json
    parts = name.split("/")
    architecture, repeat = parts[-3], parts[-2]
    matrix, operations = cells[architecture]
    power = record["avg_power_usages:"]
    return {
        "dataset": "ec_nas_bench",
        "configuration": architecture,
        "architecture": architecture,
        "space": parts[2],
        "repeat": repeat,
        "trainable_params": record["trainable_params"],
        "matrix": matrix,
        "operations": operations,
        "time_s": record["total_time"],
        "energy_j": sum(map(sum, power["gpu"]["avg_energy_usages (J)"])),
        "cpu_energy_j": sum(map(sum, power["cpu"]["avg_energy_usages (J)"])),
        "reported_energy_kwh": record["total_energy (kWh)"],
        "device": ", ".join(d.strip().removeprefix("NVIDIA ") for d in power["gpu"]["devices"]),
        "phase": "training",
        "batch_size": 256,
        "defect": "",
    }


def _build(run, part):
    return ec_nas_model(run.matrix, run.operations)


def vertex_channels(matrix: Sequence[Sequence[int]], channels_in: int, channels_out: int
                    ) -> list[int]:
    """Return the channels of each vertex of a cell: the input, ..., the output.

    The vertices that feed the output share its channels; the others take the most that any of
    their successors needs.

    >>> vertex_channels([[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]], 128, 255)
    [128, 128, 127, 255]
    """
    matrix = np.asarray(matrix)
    last = len(matrix) - 1
    channels = [channels_in] + [0] * (last - 1) + [channels_out]
    feeding = [v for v in range(1, last) if matrix[v, last]]
    for i, v in enumerate(feeding):
        channels[v] = channels_out // len(feeding) + (i < channels_out % len(feeding))
    for v in range(last - 1, 0, -1):
        if not matrix[v, last]:
            channels[v] = max((channels[d] for d in range(v + 1, last) if matrix[v, d]), default=0)
    return channels


def ec_nas_model(matrix: Sequence[Sequence[int]], operations: Sequence[int],
                 input_shape: tuple[int, int, int] = (32, 32, 3)) -> "keras.Model":
    """Return the Keras model that EC-NAS-Bench trained for one cell.

    A 3x3 convolution to 128 channels, 3 stacks of 3 cells with a 2x2 max-pool and twice the
    channels between stacks, global average pooling and 10 logits.

    Parameters
    ----------
    matrix : array of int, shape (vertices, vertices)
    operations : list of int, length vertices
        -1 input, -2 output, 0 conv3x3-bn-relu, 1 conv1x1-bn-relu, 2 maxpool3x3.
    input_shape : tuple of int
        Shape of one image, channels last.

    Raises
    ------
    ValueError
        `matrix` is not upper-triangular and square, or `operations` does not fit it.

    Examples
    --------
    >>> import tostoolkit as tos
    >>> with tos.abstract():
    ...     model = ec_nas_model([[0, 1], [0, 0]], [-1, -2])
    >>> sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    882570
    """
    import keras

    matrix = _checked(matrix, operations)
    image = keras.Input(input_shape)
    x = _conv_bn_relu(image, STEM_CHANNELS, 3)
    channels = STEM_CHANNELS
    for stack in range(STACKS):
        if stack:
            x = keras.layers.MaxPooling2D(2, 2, padding="same")(x)
            channels *= 2
        for _ in range(CELLS_PER_STACK):
            x = _cell(x, matrix, operations, channels)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(CLASSES)(x))


def _checked(matrix, operations):
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or np.tril(matrix).any():
        raise ValueError(f"matrix: {matrix.tolist()} is not square and upper-triangular")
    known = (CONV3X3, CONV1X1, MAXPOOL3X3)
    if (len(operations) != len(matrix) or operations[0] != -1 or operations[-1] != -2
            or any(op not in known for op in operations[1:-1])):
        raise ValueError(
            f"operations: {list(operations)} must be -1, then codes of {known}, then -2, one for "
            f"each of the {len(matrix)} vertices")
    return matrix


def _conv_bn_relu(x, filters, size):
    import keras

    x = keras.layers.Conv2D(filters, size, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization(momentum=0.997, epsilon=1e-5)(x)
    return keras.layers.ReLU()(x)


def _cell(x, matrix, operations, channels_out):
    """One cell: vertices 1x1-projected from the input or truncated from one another, summed."""
    import keras

    last = len(matrix) - 1
    channels = vertex_channels(matrix, x.shape[-1], channels_out)
    values = {0: x}
    for v in range(1, last):
        if not (matrix[:, v].any() and channels[v]):
            continue
        terms = [_truncate(values[s], channels[v]) for s in range(1, v) if matrix[s, v]]
        if matrix[0, v]:
            terms.append(_conv_bn_relu(x, channels[v], 1))
        value = terms[0] if len(terms) == 1 else keras.layers.Add()(terms)
        if operations[v] == MAXPOOL3X3:
            values[v] = keras.layers.MaxPooling2D(3, 1, padding="same")(value)
        else:
            values[v] = _conv_bn_relu(value, channels[v], 3 if operations[v] == CONV3X3 else 1)
    feeding = [values[v] for v in range(1, last) if matrix[v, last]]
    if not feeding:
        return _conv_bn_relu(x, channels_out, 1)
    out = feeding[0] if len(feeding) == 1 else keras.layers.Concatenate()(feeding)
    if matrix[0, last]:
        out = keras.layers.Add()([out, _conv_bn_relu(x, channels_out, 1)])
    return out


def _truncate(x, channels):
    return x if x.shape[-1] == channels else x[..., :channels]


DATASET = Dataset(
    ec_nas_bench, _build, "architecture", {"inference": forward_of_one}, one_forward,
    "energy of a whole run, 4 epochs of training with evaluations; counts of the forward pass of "
    "one image, of which all runs hold the same number",
    {f"ec-nas-bench/EC-NAS-Bench-{COMMIT}.tar.gz": (URL, None)},  # its contents are pinned
    title="EC-NAS-Bench")
