import pytest

import tostoolkit as tos
from tostoolkit.costs.cost_table import COLUMNS
from tostoolkit.op_kinds import DTYPES, OP_KINDS

HEAD = "# description: mine\n# unit: J\n" + ",".join(COLUMNS) + "\n"


def written(tmp_path, rows, head=HEAD):
    path = tmp_path / "mine.csv"
    path.write_text(head + rows)
    return path


def test_tables_that_ship_are_valid_and_described():
    tables = tos.cost_tables()
    assert {"cmos", "macs", "flops", "horowitz45", "jouppi7", "toml"} <= set(tables.index)
    assert (tables.description.str.len() > 10).all()
    for name in tables.index:
        rows = tos.load_cost_table(name).rows
        assert (rows.source.str.len() > 0).all(), name
        assert (rows.locator.str.len() > 0).all(), name


@pytest.mark.parametrize("name", ["macs", "flops"])
def test_conventional_tables_price_every_op_in_every_format(name):
    costs = tos.load_cost_table(name).costs
    assert len(costs) == len(OP_KINDS) * len(DTYPES)
    assert set(costs.xs("mac", level="op")) == {1 if name == "macs" else 2}


def test_published_energies_stay_as_published_and_gaps_stay_gaps():
    horowitz = tos.load_cost_table("horowitz45")
    assert horowitz.costs["float32", "mul"] == 3.7
    assert ("float32", "exp") not in horowitz.costs.index
    jouppi = tos.load_cost_table("jouppi7").rows
    assert jouppi.loc[("int8", "add"), "status"] == "unverified"
    assert jouppi.loc[("float32", "add"), "status"] == "published"


def test_file_of_ones_own(tmp_path):
    path = written(tmp_path, "mac,*,2.5,estimated,me,here,\nmac,int8,0.5,estimated,me,here,\n")
    table = tos.load_cost_table(path)
    assert (table.name, table.unit) == ("mine", "J")
    assert table.costs["float16", "mac"] == 2.5
    assert table.costs["int8", "mac"] == 0.5


@pytest.mark.parametrize(("rows", "words"), [
    ("fma,*,1,derived,a,b,\n", ["unknown op 'fma'", "mac"]),
    ("mac,float33,1,derived,a,b,\n", ["unknown dtype 'float33'", "float32"]),
    ("mac,*,1,guess,a,b,\n", ["unknown status 'guess'"]),
    ("mac,*,-1,derived,a,b,\n", ["mac", "-1"]),
    ("mac,*,many,derived,a,b,\n", ["mac", "many"]),
    ("mac,*,1,derived,a,b,\nmac,*,2,derived,a,b,\n", ["two rows for mac"]),
])
def test_bad_file_is_an_error_that_names_the_row(tmp_path, rows, words):
    with pytest.raises(ValueError, match=r"mine\.csv") as caught:
        tos.load_cost_table(written(tmp_path, rows))
    for word in words:
        assert word in str(caught.value)


def test_file_without_its_head_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="# description"):
        tos.load_cost_table(written(tmp_path, "mac,*,1,derived,a,b,\n", ",".join(COLUMNS) + "\n"))


def test_unknown_name_lists_what_exists():
    with pytest.raises(ValueError, match="did you mean 'macs'") as caught:
        tos.load_cost_table("mac")
    assert "horowitz45" in str(caught.value)
    for name in (2, None, ["macs"]):
        with pytest.raises(TypeError, match=r"costs: .* is no cost table.*costs='cmos'"):
            tos.load_cost_table(name)


def test_a_spreadsheets_utf8_is_read_and_another_encoding_is_named(tmp_path):
    path = tmp_path / "mine.csv"
    text = HEAD + "mac,float32,5.1,estimated,my laboratory,Δ,\n"
    path.write_text(text, encoding="utf-8-sig")
    assert tos.load_cost_table(path).rows.locator["float32", "mac"] == "Δ"
    path = tmp_path / "greek.csv"
    path.write_text(text, encoding="iso8859-7")
    with pytest.raises(ValueError, match=r"greek\.csv: it is not UTF-8 text .* in UTF-8"):
        tos.load_cost_table(path)
