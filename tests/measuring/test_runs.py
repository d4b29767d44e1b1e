"""Runs files: resumption, files that something happened to, and the columns that are added."""


import pytest
from models import some
from sweeps import quiet

import tostoolkit as tos
from tostoolkit.measuring import runs as runs_file


def test_torn_last_line_keeps_all_complete_rows(instant, tmp_path):
    models, out = some(4), tmp_path / "runs.csv"
    quiet(models, out, repeats=1)
    whole = out.read_text()
    out.write_text(whole[:-40])
    with pytest.warns(UserWarning, match="last line was cut off"):
        assert len(tos.load_runs(out)) == 3
    runs = quiet(models, out, repeats=1)
    assert len(runs) == 4
    assert sorted(runs.configuration) == sorted(models.configuration)
    assert (tmp_path / "runs.csv.torn").read_text().strip() == whole[:-40].splitlines()[-1]


def test_header_cut_off_is_an_empty_file_to_resume(instant, tmp_path):
    out = tmp_path / "runs.csv"
    for start in ("configuration,dep", "", "\0\0\0\0"):
        out.write_text(start)
        assert len(quiet(some(2), out, repeats=1)) == 2
        assert out.read_text().startswith("configuration,depth,")


def test_a_file_of_something_else_stays_as_it_is(instant, tmp_path):
    out = tmp_path / "runs.csv"
    for content in ("a thesis", "a,b\n1,2\n"):
        out.write_text(content)
        with pytest.raises(ValueError, match="not a runs file"):
            quiet(some(2), out, repeats=1)
        assert out.read_text() == content


def test_power_lost_as_a_line_was_written_leaves_zeros(instant, tmp_path):
    models, out = some(4), tmp_path / "runs.csv"
    quiet(models, out, repeats=1)
    lines = out.read_bytes().splitlines(keepends=True)
    for tail in (b"\0" * 300, b"\0" * 300 + lines[-1][30:], lines[-1][:50] + b"\0" * 20,
                 lines[-1][:50] + "é".encode()[:1]):
        out.write_bytes(b"".join(lines[:-1]) + tail)
        with pytest.warns(UserWarning, match="last line was cut off"):
            assert len(tos.load_runs(out)) == 3
        assert len(quiet(models, out, repeats=1)) == 4
    out.write_bytes(lines[0] + b"\0" * 9 + b"".join(lines[1:]))
    with pytest.raises(ValueError, match="line 2 is damaged: it holds null"):
        tos.load_runs(out)


def damage(path, line, change):
    lines = path.read_text().splitlines(keepends=True)
    lines[line - 1] = change(lines[line - 1])
    path.write_text("".join(lines))


@pytest.mark.parametrize(("change", "word"), [
    (lambda s: s[:30] + "\n", "line 3 is damaged: it has . fields"),
    (lambda s: s.replace(",2.25,", ",2.x5,"), "line 3 is damaged: time_s is '2.x5'"),
])
def test_damaged_line_is_named_and_nothing_is_written(instant, tmp_path, change, word):
    models, out = some(3), tmp_path / "runs.csv"
    quiet(models, out, repeats=1)
    damage(out, 3, change)
    before = out.read_bytes()
    with pytest.raises(ValueError, match=word):
        tos.load_runs(out)
    with pytest.raises(ValueError, match=word):
        quiet(models, out, repeats=2)
    assert out.read_bytes() == before


@pytest.mark.parametrize(("content", "word"), [
    (b"", "header lacks"), (b"a,b\n1,2\n", "header lacks configuration"),
    (b"\xff\xfe\x01bin\n", "not a text file"),
])
def test_file_that_holds_no_runs(tmp_path, content, word):
    path = tmp_path / "runs.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=word):
        tos.load_runs(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tos\.run_sweep\(model_set"):
        tos.load_runs(tmp_path / "none.csv")


def test_other_columns_are_not_mixed_in(instant, tmp_path):
    out = tmp_path / "runs.csv"
    quiet(some(2), out, repeats=1)
    with pytest.raises(ValueError, match="other columns"):
        quiet(some(2, "convolutional"), out, repeats=1)


def test_idle_power_is_interpolated_between_the_baselines_of_its_device_and_block(tmp_path):
    columns = ["configuration", "repeat", "block", "host", "device_id", "energy_j", "time_s",
               "power_w", "started", "ended", "error"]
    file = runs_file.RunsFile(tmp_path / "runs.csv", columns)

    def row(name, second, power, device_id="gpu-0", block=0, energy=1.0):
        start = f"2026-01-01T00:{second // 60:02}:{second % 60:02}.000+00:00"
        end = f"2026-01-01T00:{second // 60:02}:{second % 60:02}.500+00:00"
        file.append({"configuration": name, "repeat": 0, "block": block, "host": "h",
                     "device_id": device_id, "energy_j": energy, "time_s": 0.01, "power_w": power,
                     "started": start, "ended": end})

    row("idle", 10, 50.0)
    row("early", 5, 300.0)
    row("quarter", 20, 300.0)
    row("other device", 25, 300.0, device_id="gpu-1")
    row("other block", 30, 300.0, block=1)
    row("idle", 33, 999.0, device_id="gpu-2")
    row("idle", 35, float("nan"))
    row("idle", 50, 90.0)
    row("late", 65, 300.0)
    runs = tos.load_runs(tmp_path / "runs.csv").set_index("configuration")
    assert runs.idle_w.round(9).dropna().to_dict() == {"early": 50.0, "quarter": 60.0, "late": 90.0}
    assert runs.net_energy_j["quarter"] == pytest.approx(1.0 - 60.0 * 0.01)
    assert set(runs.index[runs.net_energy_j.isna()]) == {"other device", "other block"}


@pytest.fixture
def before_0_3(instant, tmp_path):
    """A sweep of two runs that was stopped after the first, as 0.2 wrote it."""
    models, out = some(2), tmp_path / "runs.csv"
    quiet(models, out, repeats=1)
    lines = out.read_text().splitlines(keepends=True)
    assert lines[0].count(",device_id,") == 1
    out.write_text(lines[0].replace(",device_id,", ",unit,") + lines[1])
    return models, out


def test_a_file_from_before_0_3_is_read_under_the_names_of_today(before_0_3):
    _, out = before_0_3
    runs = tos.load_runs(out)
    assert "unit" not in runs
    assert runs.device_id.tolist() == ["cpu"]


def test_a_sweep_from_before_0_3_resumes_in_its_own_header(instant, before_0_3):
    models, out = before_0_3
    before = out.read_bytes()
    runs = quiet(models, out, repeats=1)
    assert out.read_bytes().startswith(before)
    assert sorted(runs.configuration) == sorted(models.configuration)
    assert runs.device_id.tolist() == ["cpu"] * 2
    assert set(runs.block) == {0}


def test_a_factor_may_be_called_unit(instant, tmp_path):
    """In a file that names its devices as today, `unit` is what the user says that it is."""
    runs = quiet(some(2).assign(unit=[10, 20]), tmp_path / "runs.csv", repeats=1)
    assert sorted(runs.unit) == [10, 20]
    assert set(runs.device_id) == {"cpu"}


def test_a_sweep_over_two_gpus_can_be_fitted(tmp_path):
    """Which GPU it was is not a unit of energy; the law of 2 J per x is found."""
    columns = ["configuration", "repeat", "x", "energy_j", "time_s", "device", "host", "device_id"]
    file = runs_file.RunsFile(tmp_path / "runs.csv", columns)
    for x in range(1, 21):
        file.append(dict(zip(columns, [f"c{x}", 0, x, 2.0 * x, 1.0, "a GPU", "here",
                                       f"gpu-{x % 2}"], strict=True)))
    law = tos.fit_scaling_law(tos.load_runs(tmp_path / "runs.csv"), "energy_j ~ x")
    assert law.coefficients.loc["x", "estimate"] == pytest.approx(2.0)


def test_versions_stay_text(tmp_path):
    columns = ["configuration", "repeat", "energy_j", "time_s", "keras", "python"]
    file = runs_file.RunsFile(tmp_path / "runs.csv", columns)
    file.append(dict(zip(columns, ["1", 0, "", 1.0, "3.10", "3.20"], strict=True)))
    runs = tos.load_runs(tmp_path / "runs.csv")
    assert runs[["configuration", "keras", "python"]].iloc[0].tolist() == ["1", "3.10", "3.20"]
