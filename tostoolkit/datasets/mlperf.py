"""MLPerf Tiny: energy of one inference of four int8 networks on microcontrollers.

Banbury et al., "MLPerf Tiny Benchmark", NeurIPS Datasets and Benchmarks 2021. Results of the closed
division of rounds v0.7 to v1.2, Apache-2.0; use of the results is subject to MLCommons' policy.
The networks: github.com/mlcommons/tiny, in ``benchmark/training``, the files ``keras_model.py`` of
``anomaly_detection``, ``image_classification`` (``resnet_v1_eembc``, 16 filters) and
``keyword_spotting`` (``ds_cnn``), and ``visual_wake_words/vww_model.py`` (``mobilenet_v1``).
"""

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from .dataset import Dataset, forward_of_one, one_forward
from .files import check_file, damaged, find_local, locate, raw_url

if TYPE_CHECKING:
    import keras

FILE = "mlperf_tiny_energy.csv"  # a local copy of what is gathered below
SHA256 = "c4dea6c5d6e71c35caef46c23a3e841a6ffd94a67c0d3b60bf039527127ed7dd"
#: SHA-256 over the sorted "round path energy throughput" of the 114 results.
CONTENT = "695f1e09f0d470034f55a17c4a2af9b549188283664fd4aa931608561af7edff"
COMMITS = {
    "v0.7": "64623f41b6721bdff6d0133a524c63a003123b3b",
    "v1.0": "c7761cf84076d601c4a0ed2ecc51e77d40696ed2",
    "v1.1": "c32ef94d19429ef1d318e9c7a60002a4bd70e11b",
    "v1.2": "cadb362343f559d459e7cdb8748685ba76b9eb23",
}
REPOSITORY = "mlcommons/tiny_results_"  # + the round
_ALL = "ad ic kws vww"
_LONG = "anomaly_detection image_classification keyword_spotting visual_wake_words"
_THREE = "ic kws vww"
#: Round -> (organisation, folder under its results) -> benchmarks with an energy result.
RESULTS = {
    "v0.7": {
        ("STMicroelectronics", "NUCLEO-H7A3ZI-Q"): _ALL,
        ("STMicroelectronics", "NUCLEO-U575ZI-Q"): _ALL,
        ("STMicroelectronics", "NUCLEO_L4R5ZI"): _ALL,
        ("renesas", "EK-RA6M4"): _ALL,
        ("renesas", "RX65N-Cloud-Kit"): _ALL,
        ("syntiant", "syntiant_9120_0v9_30mhz"): "kws",
        ("syntiant", "syntiant_9120_1v1_98mhz"): "kws"},
    "v1.0": {
        ("OctoML", "microtvm_cmsis_nn/NUCLEO_L4R5ZI"): _ALL,
        ("OctoML", "microtvm_native/NUCLEO_L4R5ZI"): _ALL,
        ("STMicroelectronics", "NUCLEO-H7A3ZI-Q"): "ad kws vww",
        ("STMicroelectronics", "NUCLEO-U575ZI-Q"): _ALL,
        ("STMicroelectronics", "NUCLEO_L4R5ZI"): _ALL,
        ("greenwaves-technologies", "gap9_650_240"): _LONG,
        ("greenwaves-technologies", "gap9_800_370"): _LONG,
        ("syntiant", "syntiant_9120_0v9_30mhz"): _THREE,
        ("syntiant", "syntiant_9120_1v1_98mhz"): _THREE},
    "v1.1": {
        ("Krai", "NUCLEO-H7A3ZI-Q_X-CUBE-AI-7.3"): _THREE,
        ("Krai", "NUCLEO-H7A3ZI-Q_X-CUBE-AI-8.0"): _ALL,
        ("Krai", "NUCLEO-L4R5ZI_X-CUBE-AI-7.3"): _ALL,
        ("Krai", "NUCLEO-L4R5ZI_X-CUBE-AI-8.0"): _ALL,
        ("STMicroelectronics", "NUCLEO_H7A3ZI_Q"): _ALL,
        ("STMicroelectronics", "NUCLEO_L4R5ZI"): _ALL,
        ("STMicroelectronics", "NUCLEO_U575ZI_Q"): _ALL,
        ("Skymizer", "NUCLEO_L4R5ZI-mbed_os"): _ALL,
        ("Skymizer", "NUCLEO_L4R5ZI-zephyr"): _ALL,
        ("syntiant", "syntiant_9120_0v9_30mhz"): _THREE,
        ("syntiant", "syntiant_9120_1v1_98mhz"): _THREE},
    "v1.2": {
        ("STMicroelectronics", "NUCLEO_H7A3ZI_Q"): _ALL,
        ("STMicroelectronics", "NUCLEO_L4R5ZI"): _ALL,
        ("STMicroelectronics", "NUCLEO_U575ZI_Q"): _ALL,
        ("syntiant", "syntiant_9120_0v9_30mhz"): _THREE,
        ("syntiant", "syntiant_9120_1v1_98mhz"): _THREE},
}
BENCHMARKS = dict(zip(_LONG.split(), _ALL.split(), strict=True))  # GreenWaves' names -> the others'


def mlperf_tiny(path: str | Path | None = None) -> pd.DataFrame:
    """Return 114 measured energies of an inference on microcontrollers.

    Median of five windows of at least 10 s each, external energy monitor. Devices differ by 500
    times: compare within one. The devices ran int8 networks, batch normalisation folded into the
    convolutions; `as_int8` gives counts in that format. `path` is ``mlperf_tiny_energy.csv`` as
    gathered, or a folder that contains it, or the 114 ``results.txt`` in folders
    ``<round>/closed/...`` as MLCommons' repositories have them.

    Returns
    -------
    pandas.DataFrame
        One row a result: ``dataset``, ``configuration`` and ``benchmark`` (``ad``, ``ic``, ``kws``,
        ``vww``), ``device`` (organisation and system, spelt the same in all rounds), ``round``,
        ``organisation``, ``system``, ``phase``, ``batch_size``, ``energy_j``, ``time_s``,
        ``defect``: 12 results of Syntiant in v1.1 and v1.2 are those of v1.0, submitted again.
    """
    table = _table(path)
    device = table.organisation + " " + table.system.where(
        ~table.system.str.startswith("NUCLEO"), table.system.str.replace("_", "-"))
    measured = table.assign(device=device)[["device", "benchmark", "energy", "throughput"]]
    return pd.DataFrame({
        "dataset": "mlperf_tiny",
        "configuration": table.benchmark,
        "benchmark": table.benchmark,
        "device": device,
        "round": table["round"],
        "organisation": table.organisation,
        "system": table.system,
        "phase": "inference",
        "batch_size": 1,
        "energy_j": table.energy * 1e-6,
        "time_s": 1 / table.throughput,
        "defect": measured.duplicated().map({False: "", True: "an earlier round's result again"}),
    })


def result_paths() -> list[tuple[str, str, str, str, str]]:
    """Return (round, organisation, system, benchmark, path) of each published result."""
    return [
        (round_, organisation, folder.split("/")[0], benchmark,
         f"closed/{organisation}/results/{folder}/{benchmark}/energy/results.txt")
        for round_, systems in RESULTS.items() for (organisation, folder), names in systems.items()
        for benchmark in names.split()
    ]


def _url(round_, result):
    return raw_url(REPOSITORY + round_, COMMITS[round_], result)


def _result(file):
    try:
        return parse_result(file.read_text(encoding="utf-8"))
    except ValueError as error:  # a file that is not text among them
        raise damaged(file, f"it is damaged, or fetched in part ({error})") from None


def parse_result(text: str) -> tuple[float, float]:
    """Return (microjoules an inference, inferences a second) of an EnergyRunner log.

    >>> parse_result("ulp-ml: Median energy cost is 5.252 uJ/inf.\\n"
    ...              "ulp-ml: Median throughput is 3682.970 inf./sec.")
    (5.252, 3682.97)
    """
    energy = re.search(r"Median energy cost is\s+([\d.]+) uJ/inf\.", text)
    throughput = re.search(r"Median throughput is\s+([\d.]+) inf\./sec\.", text)
    if not (energy and throughput):
        raise ValueError("results.txt: no median energy cost and throughput, so it is not the log "
                         "of an energy run")
    return float(energy[1]), float(throughput[1])


def _table(path):
    """Return the published results as they are: from a gathered copy, else one by one."""
    table = pd.DataFrame(result_paths(), columns=["round", "organisation", "system", "benchmark",
                                                  "path"])
    origin = f"https://github.com/{REPOSITORY}*"
    file = find_local(path, FILE)
    if file is not None:
        check_file(file, SHA256, origin)
        local = pd.read_csv(file).set_index(["round", "path"])
        local = local.loc[list(zip(table["round"], table.path, strict=True))]
        values = local[["energy_uj_per_inf", "throughput_inf_per_s_in_energy_mode"]].to_numpy()
    else:
        values = [
            _result(locate(path, f"{round_}/{result}", "mlperf_tiny", _url(round_, result)))
            for round_, result in zip(table["round"], table.path, strict=True)]
    table[["energy", "throughput"]] = values
    digest = hashlib.sha256("".join(
        f"{row.round} {row.path} {row.energy:.3f} {row.throughput:.3f}\n"
        for row in table.sort_values(["round", "path"]).itertuples()).encode()).hexdigest()
    if digest != CONTENT:
        raise ValueError(f"mlperf_tiny: the results at {origin} are not those published at the "
                         f"pinned commits ({digest[:12]} instead of {CONTENT[:12]})")
    return table.replace({"benchmark": BENCHMARKS})


def mlperf_tiny_model(benchmark: str, folded: bool = True) -> "keras.Model":
    """Return the Keras model of a benchmark.

    Parameters
    ----------
    benchmark : str
        ``ad`` (autoencoder of 640 features), ``ic`` (ResNet of 8 convolutions in depth, CIFAR-10),
        ``kws`` (DS-CNN, 49 x 10 cepstral coefficients), ``vww`` (MobileNetV1 of a width of 0.25,
        96 x 96 images).
    folded : bool
        Batch normalisation is folded into the layer before it, as TensorFlow Lite does and the
        devices ran; False gives the model as it is trained.

    Raises
    ------
    ValueError
        An unknown benchmark.

    Examples
    --------
    >>> import tostoolkit as tos
    >>> with tos.abstract():
    ...     model = mlperf_tiny_model("kws", folded=False)
    >>> model.count_params()
    24908
    """
    import keras

    if benchmark not in MODELS:
        raise ValueError(f"benchmark: {benchmark!r} is not one of {', '.join(MODELS)}")
    shape, body, classes = MODELS[benchmark]
    image = keras.Input(shape)
    x = body(image, folded)
    return keras.Model(image, keras.layers.Dense(classes, activation="softmax" if len(shape) > 1
                                                 else None)(x))


def _block(x, layer, folded, relu=True):
    """A layer, its batch normalisation, and a ReLU."""
    import keras

    x = layer(x)
    x = x if folded else keras.layers.BatchNormalization()(x)
    return keras.layers.Activation("relu")(x) if relu else x


def _autoencoder(x, folded):
    import keras

    for units in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        x = _block(x, keras.layers.Dense(units), folded)
    return x


def _resnet(x, folded):
    import keras

    def conv(filters, size, stride=1):
        return keras.layers.Conv2D(filters, size, strides=stride, padding="same")

    x = _block(x, conv(16, 3), folded)
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        y = _block(x, conv(filters, 3, stride), folded)
        y = _block(y, conv(filters, 3), folded, relu=False)
        x = x if stride == 1 else conv(filters, 1, stride)(x)
        x = keras.layers.Activation("relu")(keras.layers.Add()([x, y]))
    return keras.layers.Flatten()(keras.layers.AveragePooling2D(8)(x))


def _separable(x, filters, stride, folded):
    import keras

    depthwise = keras.layers.DepthwiseConv2D(3, strides=stride, padding="same")
    x = _block(x, depthwise, folded)
    return _block(x, keras.layers.Conv2D(filters, 1, padding="same"), folded)


def _ds_cnn(x, folded):
    import keras

    x = _block(x, keras.layers.Conv2D(64, (10, 4), strides=2, padding="same"), folded)
    for _ in range(4):
        x = _separable(x, 64, 1, folded)
    return keras.layers.Flatten()(keras.layers.AveragePooling2D((24, 5))(x))


def _mobilenet(x, folded):
    import keras

    x = _block(x, keras.layers.Conv2D(8, 3, strides=2, padding="same"), folded)
    for filters, stride in ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5,
                            (256, 2), (256, 1)):
        x = _separable(x, filters, stride, folded)
    return keras.layers.Flatten()(keras.layers.AveragePooling2D(3)(x))


#: Benchmark -> shape of a sample, what comes before the last layer, units of that layer.
MODELS = {
    "ad": ((640,), _autoencoder, 640),
    "ic": ((32, 32, 3), _resnet, 10),
    "kws": ((49, 10, 1), _ds_cnn, 12),
    "vww": ((96, 96, 3), _mobilenet, 2),
}


def as_int8(rows: pd.DataFrame) -> pd.DataFrame:
    """Return counts with the ops of quantised layers in int8: multiply, add and compare.

    MACs multiply in int8 and accumulate in int32, the toolkit's convention. Softmax's exponentials
    and divisions stay in float32. Bytes are a quarter, one a number instead of four, also those of
    biases, which are int32 on the devices.

    Parameters
    ----------
    rows : pandas.DataFrame
        With columns as `count_row` gives them, in float32.

    Examples
    --------
    >>> as_int8(pd.DataFrame([{"mac float32": 10, "exp float32": 2, "bytes": 8}])).columns.tolist()
    ['mac int8', 'exp float32', 'bytes']
    """
    names = {f"{op} float32": f"{op} int8" for op in ("mac", "add", "mul", "max")}
    rows = rows.rename(columns=names)
    return rows.assign(bytes=rows.bytes // 4) if "bytes" in rows else rows


def _build(run, part):
    return mlperf_tiny_model(run.benchmark)


DATASET = Dataset(
    mlperf_tiny, _build, "benchmark", {"inference": forward_of_one}, one_forward,
    "energy and counts of one inference, counted in float32; the devices ran int8",
    {f"mlperf-tiny/{round_}/{result}": (_url(round_, result), None)  # their values are pinned
     for round_, *_, result in result_paths()}, title="MLPerf Tiny")
