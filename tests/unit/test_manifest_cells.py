import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.manifest import cells, problems


@pytest.mark.parametrize(
    ("json_type", "cell", "value"),
    [
        ("string", " no ", " no "),
        ("string", "=SUM(A1)", "=SUM(A1)"),
        ("integer", " 25 ", 25),
        ("integer", "25.0", 25),
        ("integer", "-7", -7),
        ("number", "0.8", 0.8),
        ("number", ".5", 0.5),
        ("number", "1e-1", 0.1),
        ("number", "1", 1.0),
        ("boolean", "Yes", True),
        ("boolean", "0", False),
        ("array", '["a", 1]', ["a", 1]),
    ],
)
def test_the_schema_decides_what_a_cell_is(json_type, cell, value):
    read = cells.reader(json_type)(cell)

    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("json_type", "cell", "why"),
    [
        ("integer", "2.5", "not a whole number"),
        ("integer", "1_000", "not a whole number"),
        ("integer", "٣", "not a whole number"),
        ("integer", "9" * 5000, "not a whole number"),
        ("integer", "9" * 19, "too large"),
        ("number", "0,8", "decimal comma"),
        ("number", "1,000.5", "not a number"),
        ("number", "nan", "not a number"),
        ("number", "inf", "not a number"),
        ("number", "0x10", "not a number"),
        ("number", "1e999", "too large"),
        ("boolean", "maybe", "neither true nor false"),
        ("array", "[1,", "not JSON"),
        ("array", "[NaN]", "not JSON"),
        ("array", "[" * 100_000, "not JSON"),
    ],
)
def test_a_cell_that_cannot_be_read_says_why(json_type, cell, why):
    with pytest.raises(problems.Rejected, match=why):
        cells.reader(json_type)(cell)


def test_a_decimal_comma_names_its_remedy():
    with pytest.raises(problems.Rejected) as caught:
        cells.number("-0,85")

    assert caught.value.detail == "write -0.85"


@given(st.text(), st.sampled_from(["integer", "number", "boolean", "array"]))
def test_any_text_is_read_or_rejected(cell, json_type):
    try:
        value = cells.reader(json_type)(cell)
    except problems.Rejected:
        return
    assert json.loads(json.dumps(value, allow_nan=False)) == value


@pytest.mark.parametrize("version", ["a" * 64, "stability-ai/sd:" + "0" * 64])
def test_a_version_may_have_both_forms(version):
    assert cells.version(f" {version} ") == version


@pytest.mark.parametrize(
    "version", ["latest", "a" * 63, "owner:" + "0" * 64, "../x/y:" + "0" * 64, "o/n:" + "G" * 64]
)
def test_anything_else_is_no_version(version):
    with pytest.raises(problems.Rejected, match="no version"):
        cells.version(version)
