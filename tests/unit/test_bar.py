"""The bar, drawn into a text instead of a terminal."""

import io
import sys

import click
import pytest
from rich.console import Console

from jobs.events import EventKind
from jobs.reports.limits import Kind, Limit
from overnight.display import bar, words
from tests.snapshots import after, batch, event, progress

QUOTA = Limit(Kind.QUOTA, "quota 600/min")


@pytest.fixture
def console():
    return Console(
        file=io.StringIO(), force_terminal=True, width=100, color_system=None, markup=False, emoji=False
    )


def drawn(console, moment, limit=QUOTA):
    with console.capture() as captured:
        console.print(bar.drawn(moment, limit, bar.Bar(console)))
    return captured.get()


def test_a_moment_shows_counts_limit_and_failures(console):
    moment = progress(
        succeeded=50, failed=2, unconfirmed=12, pending=36, look_ups_end=after(95), failures={"nsfw": 2}
    )
    picture = drawn(console, moment)
    assert "52%  52 of 100  rate not known yet" in picture
    assert "12 unconfirmed" in picture
    assert "50 succeeded  2 failed  (12 being looked up, 1m35s)" in picture
    assert "now: quota 600/min" in picture
    assert "failed: 2 nsfw" in picture


def test_a_batch_without_jobs_can_be_drawn(console):
    assert "0%  0 of 0" in drawn(console, progress())


def test_texts_from_the_database_are_neither_markup_nor_control(console):
    moment = progress(pending=1, batch=batch(name="[red]cats[/red]\x1b[2J"))
    picture = drawn(console, moment, Limit(Kind.OUTAGE, "API away (\x1b]0;x\x07[bold]no[/bold]\nfoo)"))
    assert "[red]cats[/red]\\x1b[2J" in picture
    assert "now: API away (\\x1b]0;x\\x07[bold]no[/bold] foo)" in picture
    assert "\x1b" not in picture


def test_no_line_is_wider_than_the_terminal(console):
    moment = progress(succeeded=1, running=1, batch=batch(name="c" * 100), failures={"nsfw" * 50: 1})
    picture = drawn(console, moment, Limit(Kind.OUTAGE, "away " * 100))
    assert max(len(line) for line in picture.splitlines()) <= 100
    assert len(picture.splitlines()) == 4


def test_sentences_said_meanwhile_go_above_the_bar_and_data_does_not(console, capsys):
    with bar.Bar(console) as shown:
        shown.update(progress(pending=1), QUOTA, 0.0)
        words.say("a sentence")
        click.echo("data")
        shown.update(progress(pending=1, events=(event(1, EventKind.SLEPT, "2h"),)), QUOTA, 1.0)
    assert capsys.readouterr() == ("data\n", "")
    written = console.file.getvalue()
    assert "a sentence\n" in written
    assert "machine slept: 2h" in written


def test_a_process_that_is_ended_at_any_moment_leaves_a_cursor_to_type_at(console):
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    with bar.Bar(console) as display:
        display.update(progress(pending=1), QUOTA, 0.0)
        written = console.file.getvalue()
        assert written.rfind(shown) > written.rfind(hidden)


def test_once_silent_it_writes_nothing_more_and_gives_the_streams_back(console):
    before, terminal = sys.stderr, console.file
    with bar.Bar(console) as shown:
        shown.update(progress(pending=1), QUOTA, 0.0)
        shown.go_silent()
        length = len(terminal.getvalue())
        shown.update(progress(pending=2), QUOTA, 1.0)
    assert len(terminal.getvalue()) == length
    assert sys.stderr is before
