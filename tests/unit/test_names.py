"""Names of batches: plain enough for every command line, and folders that differ on every disk."""

import shlex
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import names


@pytest.mark.parametrize("name", ["cats", "v1.2", "2026-11-23", "_x", "Кошки", "नमस्ते", "c" * 100])
def test_a_plain_name_stays_as_it_is(name):
    assert names.check(name) == name
    assert names.derive(name) == name


@pytest.mark.parametrize("name", ["", "a b", "a/b", "-x", ".x", "a\nb", "$HOME", "a'b", "c" * 101, "{date}"])
def test_a_name_that_a_command_could_not_repeat_is_refused(name):
    with pytest.raises(ValueError, match="no name for a batch"):
        names.check(name)


@given(st.text())
def test_a_name_made_of_a_files_is_always_one_that_may_be_given(stem):
    name = names.derive(stem)
    assert names.check(name) == name
    assert shlex.split(f"overnight run {name}") == ["overnight", "run", name]


def test_the_date_is_filled_in_wherever_it_stands():
    assert names.dated("cats-{date}-night", date(2026, 11, 23)) == "cats-2026-11-23-night"
    assert names.dated("cats", date(2026, 11, 23)) == "cats"


def test_folders_differ_by_more_than_case():
    assert names.folder("cats", set()) == "cats"
    assert names.folder("Cats", {"cats"}) == "Cats-2"
    assert names.folder("CATS", {"cats", "Cats-2"}) == "CATS-3"


def test_a_folder_never_is_a_device():
    assert names.folder("con", set()) == "_con"


@pytest.mark.parametrize(
    ("template", "name", "gives"),
    [
        ("cats-{date}", "cats-2026-11-23", True),
        ("{date}", "2026-11-23", True),
        ("a.{date}-{date}", "a.2026-11-23-2026-11-23", True),
        ("a.{date}-{date}", "a.2026-11-23-2026-11-24", False),
        ("a.{date}", "ab2026-11-23", False),
        ("cats-{date}", "cats-2026-11-23-b", False),
        ("cats-{date}", "cats-2026-13-01", False),
        ("cats-{date}", "cats-", False),
        ("cats", "cats", False),
    ],
)
def test_a_name_is_known_for_one_that_a_date_has_given(template, name, gives):
    assert names.may_give(template, name) is gives
    assert names.may_give(template, names.dated(template, date(2026, 2, 28))) is names.is_dated(template)
