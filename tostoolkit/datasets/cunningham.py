"""Cunningham 2025: energy of single layers on two CPUs, forward and backward.

willowec/characterizing-pytorch-power, MIT licence; what was measured: ``src/gen_dataset.py``,
``train_one_epoch``: the forward pass of one PyTorch layer in float32, and apart from it the mean
squared error, its backward pass and a step of SGD with momentum 0.9.
"""

from pathlib import Path

import pandas as pd

from .dataset import Dataset, forward
from .files import locate, raw_url

REPOSITORY = "willowec/characterizing-pytorch-power"
COMMIT = "4067417d41f23a685329988b9bc1dc85f2265e4c"
#: Folder of a host, which is a device -> file -> SHA-256.
FILES = {
    "broadwell-ep-2025-05-05T11-01-26": {
        "conv": "957051a196b4942837624f7eb079d32bc2711d2a050d032f7514c3e3a8a298f4",
        "linear": "323e46012c83f5fc1bdb476f60f987c2e79b402eaf832979747af14a1a820014",
        "pool": "2ce760d1cf628579e4393e72cd36e36c82347d17557f131c6188c3e605555ac1"},
    "raptorlake-2025-04-28T17-09-49": {
        "conv": "ae3ce3a62a7d204ccd3d5e2f95f898702d4bb34bb77d7b619d9b797651feec62",
        "linear": "3a6b84ddc231b50b4077e9f75e9a4587df0a60eb5225bcbeeb4272eed4e26c2e",
        "pool": "367aa2921cf2f15dfa0819940f15642ecee506014ceb699b05f051b5430a9a5b"},
}
#: File -> kind of layer as Keras names it, and how its columns are called here.
KINDS = {
    "conv": ("Conv2D", {"in_chan": "inputs", "out_chan": "outputs", "side_len": "side",
                        "k_size": "kernel"}),
    "linear": ("Dense", {"in_size": "inputs", "out_size": "outputs"}),
    "pool": ("MaxPooling2D", {"in_chan": "inputs", "im_side_length": "side",
                              "k_side_length": "kernel"}),
}
FACTORS = ["batch_size", "inputs", "outputs", "side", "kernel", "stride"]
MICRO = 1e-6  # microjoules and microseconds in the files


def cunningham2025(path: str | Path | None = None) -> pd.DataFrame:
    """Return 10,000 measurements of single layers: 6,000 forward, 4,000 backward.

    Package energy of the CPU (RAPL through pyRAPL), means over batches. Pooling has no weights, so
    nothing was measured backward. `path` is a folder that holds ``<host>/conv.csv``,
    ``linear.csv`` and ``pool.csv`` at any depth.

    Returns
    -------
    pandas.DataFrame
        One row a measurement: ``dataset``, ``configuration``, ``layer`` (kind and factors),
        ``layer_kind`` (``Conv2D``, ``Dense``, ``MaxPooling2D``), ``device`` (``broadwell-ep``,
        ``raptorlake``), ``phase`` (``inference``; ``backward``: loss, backward pass and update),
        ``batch_size``, ``inputs`` (channels or features), ``outputs`` (filters or units), ``side``
        of the image, ``kernel``, ``stride`` (missing where a kind has none), ``energy_j`` and
        ``time_s`` of one batch, ``defect``. 13 energies are not positive, since the counter
        wrapped in a window (the published mean is then about -2,600 J) or did not advance in it:
        they are missing, and ``defect`` says why.
    """
    return pd.concat([
        _read(host, file, locate(path, f"{host}/{file}.csv", "cunningham2025", _url(host, file),
                                 sha256))
        for host, files in FILES.items() for file, sha256 in files.items()
    ], ignore_index=True)


def _url(host, file):
    return raw_url(REPOSITORY, COMMIT, f"src/out/{host}/{file}.csv")


def _read(host, file, path):
    kind, names = KINDS[file]
    table = pd.read_csv(path).rename(columns=names)
    factors = table.reindex(columns=FACTORS).astype("Int64")
    layer = kind + factors.apply(
        lambda row: "".join(f" {c[0] if c != 'side' else 'x'}{v}" for c, v in row.items()
                            if not pd.isna(v)), axis=1)
    phases = [("inference", "for"), ("backward", "back")][:1 if kind == "MaxPooling2D" else 2]
    return pd.concat([pd.DataFrame({
        "dataset": "cunningham2025",
        "configuration": layer + f" {phase}",
        "layer": layer,
        "layer_kind": kind,
        "device": host[:-len("-2025-05-05T11-01-26")],
        "phase": phase,
        **factors,
        "energy_j": (table[f"{prefix}_energy"] * MICRO).where(table[f"{prefix}_energy"] > 0),
        "time_s": table[f"{prefix}_time"] * MICRO,
        "defect": table[f"{prefix}_energy"].map(_defect),
    }) for phase, prefix in phases])


def _defect(energy):
    if energy > 0:
        return ""
    return "the counter wrapped" if energy else "the counter did not advance"


def _build(run, part):
    """Return the layer as a Keras model; channels last, no padding."""
    import keras

    if run.layer_kind == "Dense":
        return keras.Sequential([keras.Input((int(run.inputs),)),
                                 keras.layers.Dense(int(run.outputs))])
    image = keras.Input((int(run.side), int(run.side), int(run.inputs)))
    kernel, stride = int(run.kernel), int(run.stride)
    if run.layer_kind == "MaxPooling2D":
        return keras.Sequential([image, keras.layers.MaxPooling2D(kernel, stride)])
    return keras.Sequential([image, keras.layers.Conv2D(int(run.outputs), kernel, stride)])


def _step(run):
    import keras

    return {"batch_size": int(run.batch_size), "phase": "training", "loss": "mse",
            "optimizer": keras.optimizers.SGD(0.001, momentum=0.9)}


def _batches(runs):
    """Backward was measured without the forward pass before it."""
    backward = (runs.phase == "backward").astype(int)
    return pd.DataFrame({"inference": 1 - 2 * backward, "training": backward})


DATASET = Dataset(
    cunningham2025, _build, "layer", {"inference": forward, "training": _step}, _batches,
    "energy and counts of one batch: forward, or loss, backward pass and update without it",
    {f"cunningham2025/{host}/{file}.csv": (_url(host, file), sha256)
     for host, files in FILES.items() for file, sha256 in files.items()},
    title="CPU layers", phases=("backward", "inference"))
