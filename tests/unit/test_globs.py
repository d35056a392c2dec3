"""Patterns of keys: what each says, in the words of each database."""

import re

import pytest

from jobs import errors
from jobs.selecting import globs


@pytest.mark.parametrize(
    ("glob", "sqlite"),
    [
        ("cats/*", "cats/*"),
        ("a***b", "a*b"),
        ("[", "[[]"),
        ("[]", "[[]]"),
        ("[]]", "]"),
        ("[!]]", "[^]]"),
        ("[^a-c]", "[^a-c]"),
        ("[a^-]", "[-a^]"),
        ("[^^]", "[^^]"),
        ("[+--]", "[-+-,]"),
        ("[Z-]x]", "[-Z]x]"),
    ],
)
def test_brackets_are_written_so_that_sqlite_reads_no_sign_as_more_than_itself(glob, sqlite):
    assert globs.for_sqlite(glob) == sqlite


@pytest.mark.parametrize("glob", ["a.b", "(a|b)", "a{2}", "^a$", "\\d", "[a\\d]", "[[:alpha:]]x", "a+ #"])
def test_what_is_a_sign_in_regular_expressions_is_a_letter_in_a_glob(glob):
    pattern = re.compile(globs.for_postgresql(glob), re.DOTALL)
    name = globs.literal(glob)
    assert pattern.match(glob) if name is not None else not pattern.match(f"{glob}?")


@pytest.mark.parametrize("key", ["plain", "a*b", "[1]", "what?", "]", "[!a]", ""])
def test_the_glob_of_one_key_is_that_key(key):
    assert globs.literal(globs.exactly(key)) == key


def test_a_glob_of_more_than_a_thousand_characters_is_a_mistake():
    with pytest.raises(errors.Mistake, match="at most 1000"):
        globs.parse("a" * 1001)
