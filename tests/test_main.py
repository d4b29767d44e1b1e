"""The command line, on a saved model."""

import json
import subprocess
import sys

import pytest
from models import small_classifier

import tostoolkit as tos
from tostoolkit.__main__ import FORMATS, main


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "small.keras"
    small_classifier().save(path)
    return str(path)


def test_text_is_the_report(saved, capsys):
    main(["count", saved, "--costs", "flops", "--batch-size", "2"])
    report = tos.transistor_ops(small_classifier(), "flops", 2)
    assert capsys.readouterr().out.strip() == str(report)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "text"])
def test_every_format_names_every_layer_or_op(saved, capsys, name):
    main(["count", saved, "--format", name])
    out = capsys.readouterr().out
    for word in ("mac", "rsqrt") if name == "latex" else ("conv", "norm", "out"):
        assert word in out
    if name == "json":
        assert {row["layer"] for row in json.loads(out)} >= {"conv", "norm"}


def test_training(saved, capsys):
    main(["count", saved, "--phase", "training", "--loss", "mse", "--optimizer", "sgd"])
    assert "backward" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "word"), [
    (["none.keras"], "none.keras"), (["--costs", "cmoss"], "did you mean 'cmos'"),
    (["--batch-size", "0"], "batch_size: 0"), (["--costs", "horowitz45"], "missing='skip'"),
    (["--phase", "training"], "loss"),
])
def test_bad_input_is_one_line_and_no_traceback(saved, arguments, word):
    if not arguments[0].endswith("keras"):
        arguments = [saved, *arguments]
    with pytest.raises(SystemExit) as caught:
        main(["count", *arguments])
    assert word in str(caught.value)


def test_as_a_module():
    run = subprocess.run([sys.executable, "-m", "tostoolkit", "count", "--help"],
                         capture_output=True, text=True, check=True)
    assert "--batch-size" in run.stdout
