"""EC-NAS-Bench: what was published, and the networks that were measured."""

import io
import tarfile
from math import prod

import pytest
from published import published

import tostoolkit as tos
from tostoolkit.counting.rows import count_row
from tostoolkit.datasets import ec_nas
from tostoolkit.datasets.dataset import count_dataset
from tostoolkit.datasets.ec_nas import DATASET, ec_nas_model, vertex_channels

ROOT = f"EC-NAS-Bench-{ec_nas.COMMIT}/{ec_nas.DATA}"


def archive_with(tmp_path, members):
    path = tmp_path / "EC-NAS-Bench-x.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    return path


def test_channels_by_hand():
    # two vertices feed the output and share it; the third feeds both and takes the larger share
    matrix = [[0, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
    assert vertex_channels(matrix, 128, 257) == [128, 129, 129, 128, 257]


def test_smallest_cell_by_hand():
    # input to output: a 1x1 convolution to the stack's channels, its batch normalisation
    with tos.abstract():
        model = ec_nas_model([[0, 1], [0, 0]], [-1, -2])
    trained = sum(prod(w.shape) for w in model.trainable_weights)
    convolutions = [(9 * 3, 128), (128, 128), (128, 128), (128, 128), (128, 256), (256, 256),
                    (256, 256), (256, 512), (512, 512), (512, 512)]
    assert trained == sum(i * o + 2 * o for i, o in convolutions) + 512 * 10 + 10
    macs = tos.count_ops(model)["float32", "mac"].sum()
    pixels = [32**2] * 4 + [16**2] * 3 + [8**2] * 3
    assert macs == sum(n * i * o for n, (i, o) in zip(pixels, convolutions, strict=True)) + 5120


def test_rebuilt_models_have_the_recorded_parameters():
    """A sample of the 2,532 architectures; ``make prove`` does all of them."""
    runs = DATASET.load(published())
    sample = runs.drop_duplicates("architecture").sample(12, random_state=0)
    for run in sample.itertuples():
        with tos.abstract():
            model = ec_nas_model(run.matrix, run.operations)
        assert sum(prod(w.shape) for w in model.trainable_weights) == run.trainable_params


def test_counting_in_processes_agrees_with_counting_here(monkeypatch):
    runs = DATASET.load(published()).head(3)
    here = count_dataset(DATASET, runs)
    monkeypatch.setattr("tostoolkit.datasets.dataset.IN_PROCESSES", 0)
    assert count_dataset(DATASET, runs, workers=1).equals(here)
    first = runs.iloc[0]
    with tos.abstract():
        row = count_row(ec_nas_model(first.matrix, first.operations))
    assert here.loc[first.architecture, list(row)].to_dict() == row


@pytest.mark.parametrize(("matrix", "operations", "word"), [
    ([[0, 1], [1, 0]], [-1, -2], "upper-triangular"),
    ([[0, 1, 1]], [-1, -2], "upper-triangular"),
    ([[0, 1], [0, 0]], [-1, 0, -2], "2 vertices"),
    ([[0, 1, 0], [0, 0, 1], [0, 0, 0]], [-1, 7, -2], "7"),
])
def test_bad_cell_is_an_error(matrix, operations, word):
    with pytest.raises(ValueError, match=word):
        ec_nas_model(matrix, operations)


def test_other_archive_is_an_error(tmp_path):
    name = f"{ROOT}/train_model_results/energy/4V9E/4_epochs/00/a/repeat_1/results.json"
    path = archive_with(tmp_path, {name: b"{}"})
    with pytest.raises(ValueError, match="1 files are not those published"):
        DATASET.load(path)


def test_truncated_archive_is_an_error(tmp_path):
    whole = published().read_bytes()
    path = tmp_path / "EC-NAS-Bench-cut.tar.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="damaged"):
        DATASET.load(path)


def test_ec_nas_bench_as_published(load):
    runs = load("ec_nas_bench")
    assert len(runs) == 2805
    assert len(runs.drop_duplicates(["architecture", "space"])) == 2623
    assert set(runs.device) == {"Quadro RTX 6000"}
    # the total holds GPU and CPU and a power-usage-effectiveness of 1.59, so it is no measurement
    factor = runs.reported_energy_kwh * 3.6e6 / (runs.energy_j + runs.cpu_energy_j)
    assert factor.between(1.5, 1.7).mean() > 0.99
