from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.manifest import problems


def problem(line: int, column: str = "seed", message: str = "is not a whole number", value: str = "x"):
    return problems.Problem("cats.csv", line, column, message, value)


def test_the_same_mistake_in_one_column_is_one_line_with_its_lines_count_and_first_value():
    found = problems.Problems()
    for line in range(7, 97):
        found.add(problem(line, value=f"v{line}"))

    assert found.lines() == ["cats.csv:7: seed: v7 is not a whole number (90 times: lines 7-96)"]
    assert len(found) == 90


def test_the_first_ten_places_are_named_and_all_of_them_are_listed_as_json():
    found = problems.Problems()
    lines = [6, 9, 10, 11, *range(20, 60, 2)]
    for line in lines:
        found.add(problem(line))

    (told,) = found.lines()
    assert told.endswith(" (24 times: lines 6, 9-11, 20, 22, 24, 26, 28, 30, 32, 34, …, and 12 more)")
    (listed,) = found.as_json()
    assert [line for first, last in listed["lines"] for line in range(first, last + 1)] == lines
    assert (listed["count"], listed["more_lines"]) == (24, 0)


def test_one_row_with_the_same_mistake_twice_is_one_line():
    found = problems.Problems()
    for line in (7, 7):
        found.add(problem(line))

    assert found.lines() == ["cats.csv:7: seed: x is not a whole number (2 times: line 7)"]


def test_places_that_come_out_of_order_are_joined():
    found = problems.Problems()
    for line in (3, 6, 2, 4, 5, 9):  # pictures are judged in a second pass
        found.add(problems.Problem("cats.csv", line, "image", "cannot be found", f"{line}.png"))
    assert found.lines() == ["cats.csv:3: image: 3.png cannot be found (6 times: lines 2-6, 9)"]
    (listed,) = found.as_json()
    assert (listed["lines"], listed["last_line"], listed["more_lines"]) == ([(2, 6), (9, 9)], 9, 0)


def test_places_without_end_are_counted_and_not_kept():
    found = problems.Problems()
    for line in range(0, 60_000, 2):
        found.add(problem(line))
    for line in range(0, 60_000, 2):
        found.add(problem(line, column="n"))

    seed, n = found.as_json()
    assert (len(seed["lines"]), seed["more_lines"], seed["count"]) == (10_000, 20_000, 30_000)
    assert (len(n["lines"]), n["more_lines"]) == (10, 29_990)
    assert found.lines()[1].endswith(", 16, 18, …, and 29990 more)")


def test_different_columns_and_messages_are_different_lines():
    found = problems.Problems()
    for each in (problem(2), problem(3, column="n"), problem(4, message="is odd")):
        found.add(each)

    assert len(found.lines()) == 3


def test_twenty_kinds_are_printed_and_all_are_listed_as_json():
    found = problems.Problems()
    for number in range(23):
        found.add(problem(2, column=f"c{number}"))

    assert len(found.lines()) == 21
    assert found.lines()[-1] == "… and 3 more kinds of mistakes (listed by --json)"
    assert len(found.as_json()) == 23
    assert found.as_json()[22] == {
        "file": "cats.csv",
        "line": 2,
        "last_line": 2,
        "column": "c22",
        "count": 1,
        "lines": [(2, 2)],
        "more_lines": 0,
        "value": "x",
        "message": "is not a whole number",
        "detail": "",
    }


def test_kinds_without_end_are_counted_and_not_kept():
    found = problems.Problems()
    for number in range(5000):
        found.add(problem(2, column=f"c{number}"))

    assert len(found) == 5000
    assert len(found.as_json()) == 1000
    assert found.lines()[-1] == "… and 980 more kinds of mistakes (listed by --json), and 4000 more mistakes"


def test_a_failed_row_keeps_its_file_line_and_column():
    told = replace(problem(7), file="/photos/cats.csv").of_row()
    assert told == "cats.csv:7: seed: x is not a whole number"


@given(st.text(), st.text(), st.text(), st.text())
def test_no_value_moves_the_cursor_or_forges_a_line(file, column, value, detail):
    sentence = problems.Problem(file, 1, column, "is odd", value, detail).sentence()

    assert sentence.isprintable()
    assert len(problems.shown(value)) <= 62 * 10  # each character may be an escape


@pytest.mark.parametrize(
    ("value", "shown"), [("", '""'), ("a b", '"a b"'), ("\x1b[2J", '"\\x1b[2J"'), ("K_EULR", "K_EULR")]
)
def test_a_value_is_quoted_unless_it_is_plain(value, shown):
    assert problems.shown(value) == shown
