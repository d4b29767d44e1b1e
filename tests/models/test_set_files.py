"""Files of model sets: what comes back, and what a damaged one says."""

import pandas as pd
import pytest

import tostoolkit as tos
from tostoolkit.__main__ import main
from tostoolkit.models import set_files
from tostoolkit.models.families import FAMILIES
from tostoolkit.models.set_files import default_path, read_model_set, write_model_set


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_files_that_ship_name_their_family(family, size):
    models = read_model_set(default_path(family, size))
    assert models.columns[-1] == "family"
    assert set(models.family) == {family}
    assert not models.attrs


def test_a_set_of_two_families_comes_back_too(tmp_path):
    models = pd.concat([tos.feed_forward(n=2), tos.feed_forward(n=2).assign(family="mine")],
                       ignore_index=True)
    models["configuration"] = (models.configuration + " family=" + models.family).astype(object)
    write_model_set(models, tmp_path / "set.csv", "a test")
    pd.testing.assert_frame_equal(read_model_set(tmp_path / "set.csv"), models, check_exact=True)
    assert pd.read_csv(tmp_path / "set.csv", comment="#").family.tolist() == models.family.tolist()


def test_a_file_without_a_family_is_an_error(tmp_path):
    (tmp_path / "set.csv").write_text("# origin: by hand\nconfiguration,width\nwidth=1,1\n")
    with pytest.raises(ValueError, match=r"set\.csv: .* no column 'family'"):
        read_model_set(tmp_path / "set.csv")


def test_models_without_a_family_leave_a_file_as_it_was(tmp_path):
    file = tmp_path / "set.csv"
    file.write_text("mine")
    with pytest.raises(ValueError, match="which family"):
        write_model_set(pd.DataFrame({"configuration": ["a"]}), file, "x", force=True)
    assert file.read_text() == "mine"


def test_a_set_comes_back_from_its_file_as_it_was(tmp_path):
    for models in (tos.convolutional(n=8), tos.transformer(n=2)):
        write_model_set(models, tmp_path / "set.csv", "by hand", force=True)
        again = read_model_set(tmp_path / "set.csv")
        pd.testing.assert_frame_equal(again, models, check_exact=True)
    with pytest.raises(FileExistsError):
        write_model_set(models, tmp_path / "set.csv", "again")
    assert read_model_set(tmp_path / "set.csv").equals(again)


@pytest.mark.parametrize(("damage", "word"), [
    (lambda text: text.replace("# origin", "origin"), "does not begin with"),
    (lambda text: text[: len(text) // 2], "the file is damaged"),
    (lambda text: text.replace(",relu,", ",tanh,", 1), "not what its factors say"),
    (lambda text: "\n".join(text.splitlines()[:-1]) + "\n", "95 configurations instead of 96"),
    (lambda text: text.replace("=selu", "=swish").replace(",selu,", ",swish,"),
     "activation is 'swish'"),
    (lambda text: "\n".join(text.splitlines()[:3]) + "\n", "no configurations"),
    (lambda text: text.replace("# family: feed_forward", "# family: transformer"), "not a set of"),
])
def test_a_damaged_default_set_is_an_error(tmp_path, monkeypatch, damage, word):
    whole = default_path("feed_forward", "small").read_text()
    file = tmp_path / "feed_forward_small.csv"
    file.write_text(damage(whole))
    monkeypatch.setattr(set_files, "default_path", lambda family, size: file)
    with pytest.raises(ValueError, match=rf"feed_forward_small\.csv: the file is damaged.*{word}|"
                       rf"feed_forward_small\.csv: {word}"):
        tos.feed_forward()
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"no model set .*feed_forward_small\.csv"):
        tos.feed_forward()


def test_the_command_draws_into_a_file_and_over_none(tmp_path, capsys):
    out = str(tmp_path / "set.csv")
    main(["draw", "feed_forward", "--n", "6", "--dtype", "float32", "--seed", "2", "--out", out])
    assert "6 configurations" in capsys.readouterr().out
    drawn = tos.feed_forward(n=6, seed=2, dtypes=("float32",))
    pd.testing.assert_frame_equal(read_model_set(out), drawn, check_exact=True)
    with pytest.raises(SystemExit, match="is there; give another file, or --force"):
        main(["draw", "feed_forward", "--n", "5", "--out", out])
    assert len(read_model_set(out)) == 6
