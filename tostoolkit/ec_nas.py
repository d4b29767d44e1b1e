"""NASBench-101-style networks as Keras models, from the cells that EC-NAS-Bench records.

Ying et al., "NAS-Bench-101: Towards Reproducible Neural Architecture Search", ICML 2019, section 2;
the channel rules are those of ``nasbench/lib/model_builder.py`` (``compute_vertex_channels``,
``build_module``), which EC-NAS-Bench trains unchanged.
"""

import numpy as np

STEM_CHANNELS, STACKS, CELLS_PER_STACK, CLASSES = 128, 3, 3, 10
CONV3X3, CONV1X1, MAXPOOL3X3 = 0, 1, 2  # codes of EC-NAS-Bench's generated_graphs_*.json


def vertex_channels(matrix, channels_in, channels_out):
    """Return the channels of each vertex of a cell.

    The vertices that feed the output share its channels; the others take the most that any of
    their successors needs.

    Parameters
    ----------
    matrix : array of int, shape (vertices, vertices)
        Upper-triangular adjacency; vertex 0 is the input, the last one the output.

    Examples
    --------
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


def ec_nas_model(matrix, operations, input_shape=(32, 32, 3)):
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


def count_architectures(runs, workers=None):
    """Return what `count_row` counts of each architecture, rebuilt as a Keras model.

    Parameters
    ----------
    runs : pandas.DataFrame
        With ``architecture``, ``matrix`` and ``operations``, as `datasets.ec_nas_bench` returns.
    workers : int, optional
        Processes; as many as there are cores when left out. A model takes about 0.2 s.

    Returns
    -------
    pandas.DataFrame
        One row an architecture, index ``architecture``; counts per image, 0 where a model has
        none of an op.
    """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    import pandas as pd
    from tqdm import tqdm

    cells = runs.drop_duplicates("architecture").sort_values("architecture")
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:  # TensorFlow does not fork
        counted = pool.map(_count_cell, cells.matrix, cells.operations, chunksize=8)
        rows = list(tqdm(counted, total=len(cells), desc="architectures"))
    index = pd.Index(cells.architecture, name="architecture")
    return pd.DataFrame(rows, index=index).fillna(0).astype("int64")


def _count_cell(matrix, operations):
    from .introspection import abstract
    from .predictors import count_row

    with abstract():
        model = ec_nas_model(matrix, operations)
    return count_row(model)
