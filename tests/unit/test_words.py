"""Sentences for a terminal."""

from hypothesis import given
from hypothesis import strategies as st

from overnight.display import words


@given(st.text())
def test_nothing_printed_can_steer_a_terminal(text):
    assert all(c.isprintable() or c == "\n" for c in words.printable(text))


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S"])))
def test_letters_digits_and_signs_of_every_script_stay_as_they_are(text):
    assert words.printable(text) == text


def test_every_line_of_a_complaint_begins_with_our_name(capsys):
    words.complain("a: first\nb: second\x1b[2J")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "overnight: a: first\novernight: b: second\\x1b[2J\n"
