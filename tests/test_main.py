"""The command line, on a saved model."""

import json
import subprocess
import sys

import pytest
from models import small_classifier

import tostoolkit as tos
from tostoolkit.__main__ import FORMATS, main
from tostoolkit.measuring import run as one_run


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


def sweep(capsys, *arguments):
    main(["sweep", "feed_forward", "--n", "2", "--repeats", "1", "--seconds", "0.05", *arguments])
    return capsys.readouterr().out


def test_sweep_makes_a_runs_file_and_resumes_it(tmp_path, capsys):
    out = tmp_path / "runs.csv"
    stopped = sweep(capsys, "--out", str(out), "--minutes", "0.0001", "--meter", "none")
    assert "0 runs" in stopped
    assert "2 runs remain: the same command again goes on" in stopped
    done = sweep(capsys, "--out", str(out), "--meter", "none")
    assert "2 runs, 0 with joules" in done
    assert "no joules: no meter was asked for" in done
    assert "complete" in done
    runs = tos.load_runs(out)
    assert sorted(runs.configuration) == sorted(tos.feed_forward(n=2).configuration)


@pytest.mark.parametrize(("arguments", "word"), [
    (["--out", "none/runs.csv"], "folder 'none' does not exist"),
    (["--out", "runs.csv", "--repeats", "0"], "repeats: 0"),
    (["--out", "runs.csv", "--meter", "volt"], "meter: 'volt' is unknown"),
    (["--out", "runs.csv", "--n", "0"], "n: 0"),
])
def test_bad_sweep_is_one_line(tmp_path, monkeypatch, capsys, arguments, word):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        sweep(capsys, *arguments)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_meters_are_listed_with_the_reason(capsys):
    main(["meters"])
    out = capsys.readouterr().out
    assert all(name in out for name in ("nvml", "rapl", "reason"))


def test_interrupt_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(one_run, "measure", interrupt)
    with pytest.raises(SystemExit, match=r"interrupted\. .*it resumes"):
        sweep(capsys, "--out", str(tmp_path / "runs.csv"), "--meter", "none")
