"""Saved models: what others wrote to a file or folder -> a Keras model that can be counted.

A ``.keras`` file and an ``.h5`` file, of Keras 2 too, hold layers. A folder that ``model.export``
or ``tf.saved_model.save`` wrote holds none: it holds a TensorFlow graph, which is counted as it
stands, as one layer, on the shapes that are asked for.
"""

import json
import re
import shutil
import zipfile
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from .trace import TraceError

if TYPE_CHECKING:
    import keras

#: Arguments that layers of Keras 2 had and those of Keras 3 refuse -> the value by which they say
#: nothing.
OF_KERAS_2 = {"groups": 1, "time_major": False, "softmax_robust_masking": False}
#: Those that say nothing whatever they are.
SHAPES_OF_KERAS_2 = ("query_shape", "key_shape", "value_shape")
#: Arguments of optimizers that change no count.
OPTIMIZERS_OF_KERAS_2 = ("is_legacy_optimizer", "jit_compile")
#: What a file begins with that is one of HDF5.
_HDF5 = b"\x89HDF\r\n\x1a\n"
#: Keras' words for a class or a function that it does not know.
_UNKNOWN = re.compile(r"(?:Could not locate (?:class|function)|Unknown \w+:) '([^']+)'")


def load_saved(path: str | Path, compiled: bool = False, training: bool = False
               ) -> "keras.Model":
    """Return the model of a saved file, or of a folder that holds an exported SavedModel.

    Parameters
    ----------
    path : str or Path
    compiled : bool
        With the loss and the optimizer that it was saved with.
    training : bool
        For a training step, which what was exported does not have.

    Raises
    ------
    FileNotFoundError
        There is nothing at `path`.
    ValueError
        What is there holds no model, or one that Keras cannot read: the message says why, and the
        call that works.

    Examples
    --------
    ``tos.transistor_ops(load_saved("model.h5"))``
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"model: there is no file or folder {str(path)!r}")
    if path.is_dir():
        return _exported(path, training)
    _check(path)
    import keras

    if path.suffix == ".keras":
        with _says_why(path, compiled):
            return keras.saving.load_model(path, compile=compiled)
    model = _read_hdf5(path)
    if compiled:
        with _says_why(path, compiled):
            _compile(model, path)
    return model


def _read_hdf5(path):
    """Return the model of an .h5 file, of Keras 2 too, which is not compiled."""
    import h5py
    import keras

    with h5py.File(path) as file:
        config = json.loads(file.attrs["model_config"])
    ours = _without_keras_2(config)
    with _says_why(path, False):
        if ours == config:
            return keras.saving.load_model(path, compile=False)
        with TemporaryDirectory() as folder:
            copy = Path(folder, "model.h5")
            shutil.copyfile(path, copy)
            with h5py.File(copy, "r+") as file:
                file.attrs["model_config"] = json.dumps(ours)
            return keras.saving.load_model(copy, compile=False)


def _without_keras_2(config):
    """Return the configuration of a model without what Keras 3 refuses and nothing depends on."""
    if isinstance(config, list):
        return [_without_keras_2(part) for part in config]
    if not isinstance(config, dict):
        return config
    config = {name: _without_keras_2(part) for name, part in config.items()}
    own = config.get("config")
    if "class_name" in config and isinstance(own, dict):
        grouped = config["class_name"] in ("Conv1D", "Conv2D", "Conv3D")  # these know groups
        config["config"] = {
            name: value for name, value in own.items() if name not in SHAPES_OF_KERAS_2
            and ((name == "groups" and grouped) or OF_KERAS_2.get(name, ...) != value)}
    return config


def _compile(model, path):
    """Compile a model with the loss and the optimizer that an .h5 file says, without metrics.

    Keras reads a loss that was given by a short name, "mse", back as a metric, and fails.
    """
    import h5py
    import keras

    with h5py.File(path) as file:
        said = json.loads(file.attrs.get("training_config", "{}"))
    if said:
        optimizer = dict(said["optimizer_config"])
        optimizer["class_name"] = optimizer["class_name"].removeprefix("Custom>")  # of Keras 2
        own = optimizer["config"]
        idle = (*OPTIMIZERS_OF_KERAS_2,  # Keras 2 says how often averages are used, without any
                *(() if own.get("use_ema") else ("ema_overwrite_frequency",)))
        optimizer["config"] = {name: value for name, value in own.items() if name not in idle}
        model.compile(keras.optimizers.deserialize(optimizer), _loss(said["loss"]),
                      loss_weights=said.get("loss_weights"))


def _loss(said):
    """Return the loss or losses that a file says, in lists and dicts as they stand there."""
    import keras

    if isinstance(said, dict) and "class_name" in said:
        return keras.losses.deserialize(said)
    if isinstance(said, dict):
        return {name: _loss(part) for name, part in said.items()}
    return [_loss(part) for part in said] if isinstance(said, list) else keras.losses.get(said)


@contextmanager
def _says_why(path, compiled):
    try:
        yield
    except Exception as error:
        raise ValueError(_why(path, error, compiled)) from error


def why_uncounted(path: str | Path, error: Exception) -> str:
    """Return the message of a saved model that could be read, and not counted."""
    said = str(error)
    if not Path(path).is_dir() or not isinstance(error, TraceError):
        return f"{path}: {said}"
    cause = said.partition(". Count it by hand")[0]
    return (f"{path}: {cause}; where a size of an exported graph cannot "
            "be known with its batch open, export it at the batch that is counted, "
            "model.export(folder, input_signature=[keras.InputSpec(shape=(1, 784))]), or count the "
            ".keras file")


def _check(path):
    """Raise ValueError at a file that holds no model, whatever its name says."""
    with open(path, "rb") as file:
        head = file.read(len(_HDF5))
    is_keras, is_hdf5 = zipfile.is_zipfile(path), head == _HDF5
    right = ".keras" if is_keras else ".h5" if is_hdf5 else None
    if not head:
        problem = "the file is empty; save the model again, model.save('model.keras')"
    elif path.name.endswith(".weights.h5") or (is_hdf5 and not _has_layers(path)):
        problem = ("it holds weights and no layers; load them where the model is made, and save "
                   "that: model.load_weights(file); model.save('model.keras')")
    elif right is None:
        problem = (f"it is no model that Keras saved, which is a zip file (.keras) or one of HDF5 "
                   f"(.h5); it begins with {head!r}")
    elif is_keras and not _is_archive(path):
        problem = "it is a zip file without Keras' config.json; save with model.save('model.keras')"
    elif path.suffix not in ((".keras",) if is_keras else (".h5", ".hdf5")):
        problem = f"it is a {right} file by its content; rename it to {path.stem}{right}"
    else:
        return
    raise ValueError(f"{path}: {problem}")


def _is_archive(path):
    with zipfile.ZipFile(path) as archive:
        return "config.json" in archive.namelist()


def _has_layers(path):
    import h5py

    try:
        with h5py.File(path) as file:
            return "model_config" in file.attrs
    except OSError as error:
        raise ValueError(f"{path}: it begins as a file of HDF5 and cannot be read: {error}; copy "
                         "it again, or save the model again") from error


def _why(path, error, compiled):
    """Return why Keras cannot read a model, and what can be done."""
    said = str(error)
    unknown = _UNKNOWN.search(said)
    in_python = f"model = keras.saving.load_model({str(path)!r}, custom_objects="
    version = _version(path)
    if version.startswith("2."):
        return (f"{path}: it was written by Keras {version}, whose .keras files Keras 3 does not "
                "read; save it there as model.save('model.h5'), which it does")
    if unknown and "OpLambda" in unknown[1]:
        return (f"{path}: it holds an operator of TensorFlow as a layer of Keras 2 ({unknown[1]}), "
                "which Keras 3 does not have; export it there, model.export(folder), and count "
                "the folder")
    if unknown:
        name = unknown[1].rpartition(">")[2]
        give = "; or give --loss mse --optimizer adam" if compiled else ""
        return (f"{path}: it holds {name!r}, which Keras does not ship; count it in Python, where "
                f"that is known: {in_python}{{{name!r}: {name}}}); tos.transistor_ops(model){give}")
    if "enable_unsafe_deserialization" in said:
        return (f"{path}: it holds a Lambda layer, which is code of whoever wrote it; where you "
                "trust it, count it in Python: keras.config.enable_unsafe_deserialization(); "
                f"model = keras.saving.load_model({str(path)!r}); tos.transistor_ops(model)")
    text = said.partition("Exception encountered: ")[2] or said
    text = " ".join(text.split())[:400]
    remedy = ("give them, --loss mse --optimizer adam" if compiled else
              "save it again in the Keras that wrote it, or build it in Python and count that")
    what = "its loss or its optimizer" if compiled else "it"
    return f"{path}: Keras cannot read {what}: {type(error).__name__}: {text}; {remedy}"


def _version(path):
    """Return the version of Keras that wrote a .keras file; empty of any other file."""
    if not zipfile.is_zipfile(path):
        return ""
    with zipfile.ZipFile(path) as archive:
        known = "metadata.json" in archive.namelist()
        said = json.loads(archive.read("metadata.json")) if known else {}
    return str(said.get("keras_version", ""))


def _exported(path, training):
    """Return the serving graph of an exported SavedModel as a model of one layer."""
    if not (path / "saved_model.pb").is_file():
        raise ValueError(
            f"{path}: the folder holds no exported SavedModel (saved_model.pb); give a .keras or "
            ".h5 file, or a folder that model.export(folder) wrote")
    if training:
        raise ValueError(f"{path}: an exported SavedModel is a forward pass; to count a training "
                         "step, give the file of the model, model.save('model.keras')")
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"{path}: an exported SavedModel is a TensorFlow graph; set "
                         "KERAS_BACKEND=tensorflow to count it")
    from .backends.tensorflow_saved import serving_model

    return serving_model(path)
