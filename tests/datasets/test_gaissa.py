"""GAISSA SEAA 2023: what was measured, and the networks that were trained."""

import dataclasses

import pytest

import tostoolkit as tos
from tostoolkit.counting.rows import count_row
from tostoolkit.datasets import gaissa


def test_gaissa_is_in_megajoules_whatever_its_card_says(load):
    runs = load("gaissa_seaa2023")
    assert len(runs) == 369
    assert runs.groupby("device").architecture.nunique().to_dict() == {
        "GeForce GTX 750 Ti": 2, "GeForce RTX 3070": 5, "GeForce RTX 3090": 5}
    power = runs.energy_j / runs.time_s  # of a board between idle and its limit, 350 W the highest
    assert power.between(20, 350).all()
    seen = runs.epochs * 32 * (runs.train_batches + runs.validation_batches)
    assert (seen == runs.images).all()
    assert (runs.epochs > gaissa.HEAD_EPOCHS).all()


@pytest.mark.parametrize("architecture", gaissa.ARCHITECTURES)
def test_gaissa_models_have_the_published_flops(load, architecture):
    """Twice the MACs, within what TensorFlow's profiler adds for biases and normalisation."""
    runs = load("gaissa_seaa2023")
    gflops, = runs[runs.architecture == architecture].published_gflops.unique()
    with tos.abstract():
        model = tos.datasets.gaissa_model(architecture)
        frozen = tos.datasets.gaissa_model(architecture, frozen=True)
    assert 2e-9 * count_row(model)["mac float32"] == pytest.approx(gflops, rel=0.01)
    assert len(frozen.trainable_weights) == 2 * (1 + len(gaissa.ARCHITECTURES[architecture][2]))


def test_gaissa_counts_are_the_mean_over_the_images_seen(load):
    """VGG16: forward for every image, twice more in the fine tuning of all but the first layer."""
    runs = load("gaissa_seaa2023")
    some = runs[runs.architecture == "vgg16"].head(3)
    dataset = dataclasses.replace(gaissa.DATASET, load=lambda path=None: some)
    counted = tos.datasets.load(dataset)
    assert "per image seen" in dataset.energy_of
    forward, first, head = 5_011_145_216, 128 * 128 * 27 * 64, 512
    tuned = (some.epochs - 10) * some.train_batches * 32 / some.images
    head_only = 10 * some.train_batches * 32 / some.images
    expected = forward + tuned * (2 * forward - first) + head_only * head
    assert counted["mac float32"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-12)


def test_an_unknown_architecture_is_an_error():
    with pytest.raises(ValueError, match="'lenet' is not one of mobilenet_v2"):
        tos.datasets.gaissa_model("lenet")
