"""GAISSA SEAA 2023: energy of training `keras.applications` models on three GPUs.

del Rey, Martinez-Fernandez, Cruz, Franch, "Do DL models and training environments have an impact
on energy consumption?", SEAA 2023; GAISSA-UPC/seaa2023_ect, data CC BY 4.0. How the models were
trained: ``src/models/train_model.py`` and ``src/models/__init__.py`` of that repository.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from .dataset import Dataset
from .files import locate, raw_url

if TYPE_CHECKING:
    import keras

REPOSITORY = "GAISSA-UPC/seaa2023_ect"
COMMIT = "6fa5af6ffedd988110d02eb6954c0401d0b7a75c"
FILE = "dl-training-energy-consumption-dataset.gzip"  # Parquet, whatever its name says
URL = raw_url(REPOSITORY, COMMIT, f"data/metrics/processed/{FILE}")
SHA256 = "fa7b392f110d794df8fb13fe65dd9df107701e27d9c3aa9fa180b633c6e3ee77"
IMAGE, BATCH, HEAD_EPOCHS = 128, 32, 10  # src/models/__init__.py, config/experiment.yaml
#: Architecture -> class of keras.applications, its module, units of the dense layers on top.
ARCHITECTURES = {
    "mobilenet_v2": ("MobileNetV2", "mobilenet_v2", (512,)),
    "nasnet_mobile": ("NASNetMobile", "nasnet", (512,)),
    "xception": ("Xception", "xception", (1024,)),
    "resnet50": ("ResNet50", "resnet50", (1024, 512)),
    "vgg16": ("VGG16", "vgg16", ()),
}


def gaissa_seaa2023(path: str | Path | None = None) -> pd.DataFrame:
    """Return 369 training runs of five `keras.applications` models on three GPUs.

    Energy of the GPU board, sampled by nvidia-smi each second and integrated over the whole
    training, the first and last 3 s left out. The response here is **per image seen**: the whole
    training's energy and time over ``images``, training and validation images of all epochs; its
    multiple is the whole. The data set card says GJ; the column is MJ, as the mean power times the
    duration shows. `path` is the Parquet file, or a folder that contains it.

    Returns
    -------
    pandas.DataFrame
        One row a run: ``dataset``, ``configuration`` and ``architecture``, ``device``,
        ``environment``, ``repeat``, ``phase``, ``batch_size``, ``epochs``, ``train_batches`` and
        ``validation_batches`` of an epoch, ``images``, ``energy_j``, ``time_s``,
        ``gpu_usage_percent`` (the small models leave the big GPUs largely idle),
        ``published_gflops``, ``defect`` (none).
    """
    table = pd.read_parquet(locate(path, FILE, "gaissa_seaa2023", URL, SHA256))
    images = table["total seen images"]
    return pd.DataFrame({
        "dataset": "gaissa_seaa2023",
        "configuration": table["architecture"],
        "architecture": table["architecture"],
        "device": table["gpu model"].str.removeprefix("NVIDIA "),
        "environment": table["training environment"],
        "repeat": table["run"],
        "phase": "training",
        "batch_size": table["batch size"],
        "epochs": table["trained epochs"],
        "train_batches": table["training size"] // table["batch size"],
        "validation_batches": table["validation size"] // table["batch size"],
        "images": images,
        "energy_j": table["energy (MJ)"] * 1e6 / images,
        "time_s": table["training duration (h)"] * 3600 / images,
        "gpu_usage_percent": table["gpu usage (%)"],
        "published_gflops": table["GFLOPs"],
        "defect": "",
    })


def gaissa_model(architecture: str, frozen: bool = False) -> "keras.Model":
    """Return the Keras model that was trained: one class of chess squares from 128 x 128 images.

    The network of `keras.applications` without its top and in inference mode (batch normalisation
    does not take statistics of the batch), then average pooling and dense layers.

    Parameters
    ----------
    architecture : str
        ``mobilenet_v2`` (a width of 0.5), ``nasnet_mobile``, ``xception``, ``resnet50``, ``vgg16``.
    frozen : bool
        Only the layers on top are trained, as in the first 10 epochs.

    Raises
    ------
    ValueError
        An unknown architecture.

    Examples
    --------
    >>> import tostoolkit as tos
    >>> with tos.abstract():
    ...     model = gaissa_model("vgg16")
    >>> model.output_shape
    (None, 1)
    """
    import keras

    if architecture not in ARCHITECTURES:
        raise ValueError(f"architecture: {architecture!r} is not one of {', '.join(ARCHITECTURES)}")
    name, module, units = ARCHITECTURES[architecture]
    shape = (IMAGE, IMAGE, 3)
    width = {"alpha": 0.5} if architecture == "mobilenet_v2" else {}
    base = getattr(keras.applications, name)(
        weights=None, include_top=False, input_shape=shape, **width)
    base.trainable = not frozen
    image = keras.Input(shape)
    x = base(getattr(keras.applications, module).preprocess_input(image), training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    for n in units:
        x = keras.layers.Dense(n, activation="relu")(x)
    return keras.Model(image, keras.layers.Dense(1, activation="sigmoid")(x))


def _build(run, part):
    return gaissa_model(run.architecture, frozen=part == "head")


def _validation(run):
    return {"batch_size": BATCH}


def _fine_tuning(run):
    import keras

    return {"batch_size": BATCH, "phase": "training", "loss": "binary_crossentropy",
            "optimizer": keras.optimizers.SGD(1e-5, momentum=0.9)}


def _head(run):
    import keras

    return {"batch_size": BATCH, "phase": "training", "loss": "binary_crossentropy",
            "optimizer": keras.optimizers.Adam(1e-4)}


def _batches(runs):
    """Batches of each part per image seen.

    The head is trained for 10 epochs, since the patience of 20 cannot end it, the rest is fine
    tuning (``train_classifier``, ``fine_tune_classifier``); each epoch ends with a validation.
    """
    return pd.DataFrame({
        "inference": runs.epochs * runs.validation_batches,
        "training": (runs.epochs - HEAD_EPOCHS) * runs.train_batches,
        "head": HEAD_EPOCHS * runs.train_batches,
    }).div(runs.images, axis=0)


DATASET = Dataset(
    gaissa_seaa2023, _build, "architecture",
    {"inference": _validation, "training": _fine_tuning, "head": _head}, _batches,
    "energy and counts per image seen, the mean over training and validation of all epochs",
    {f"gaissa-seaa2023/{FILE}": (URL, SHA256)}, title="GAISSA SEAA 2023")
