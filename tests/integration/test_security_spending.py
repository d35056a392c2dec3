"""A slip of the hand buys nothing: in a terminal more than a thousand jobs ask first, and no answer is a no."""

import subprocess

import pytest

from tests.integration import rehearsal
from tests.integration.evening import Evening

QUESTION = "Buy 1,001 predictions? [y/N]"


@pytest.fixture
def night(tmp_path, start_sandbox):
    return Evening(tmp_path, start_sandbox(output_size=64), jobs=1001)


def leaves(child, terminal):
    """Wait for the end as a person does who presses Ctrl-C again.

    Python's `input` forgets an interruption of the write of its question, and does not notice one in the instant
    before it reads.
    """
    for _ in range(10):
        try:
            return child.wait(timeout=3)
        except subprocess.TimeoutExpired:
            terminal.types("\x03")
    return child.wait(timeout=3)


NOTHING = "overnight: nothing was bought, nothing was changed"


@pytest.mark.parametrize(
    ("answer", "words"),
    [("n\n", NOTHING), ("\n", NOTHING), ("\x03", "overnight: interrupted")],
    ids=["no", "enter", "Ctrl-C"],
)
def test_whoever_does_not_say_yes_buys_nothing_and_leaves_nothing(night, answer, words):
    with night.in_a_terminal("run", "night.csv", login=True) as (child, terminal):
        assert "jobs      1,001 to buy" in terminal.shows(QUESTION)
        terminal.types(answer)
        assert leaves(child, terminal) == 130
        terminal.shows(words)
    assert not night.has_database
    assert night.bought() == 0


def test_a_yes_buys_as_it_was_said(night):
    with night.in_a_terminal("run", "night.csv") as (child, terminal):
        terminal.shows(QUESTION)
        assert night.bought() == 0
        terminal.types("y\n")
        night.until_bought(1)
        child.kill()


def test_a_script_that_says_yes_is_not_asked(night):
    with night.in_a_terminal("run", "night.csv", "--yes") as (child, terminal):
        night.until_bought(1)
        child.kill()
        assert QUESTION not in terminal.shows("1,001 new")


def test_check_and_load_buy_nothing_however_many_there_are(night):
    assert "1,001 to buy" in night.type("check", "night.csv").stdout
    assert night.type("load", "night.csv").returncode == 0
    assert night.states() == {"pending": 1001}
    assert night.bought() == 0


def test_a_limit_is_a_cap(night):
    assert night.type("run", "night.csv", "--limit", "5").returncode == 0
    assert night.bought() == 5
    rehearsal.eventually(lambda: night.states() == {"succeeded": 5})
