"""Lines on an error stream: which ones, when, and what they may hold."""

import io

import pytest

from jobs.events import EventKind
from jobs.reports.limits import Kind, Limit
from overnight.display import bar, live
from tests.snapshots import after, batch, event, progress

QUOTA = Limit(Kind.QUOTA, "quota 600/min")
CAP = Limit(Kind.IN_FLIGHT, "in flight 200 of 200")
AWAY = Limit(Kind.OUTAGE, "API away")
DONE = Limit(Kind.FINISHED, "finished")


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def shown(stream):
    with live.Lines(stream) as lines:
        lines.quota = 600
        yield lines


def texts(stream):
    """Return what the lines say after the time of day and the batch."""
    return [line.partition(" cats: ")[2] for line in stream.getvalue().splitlines()]


def limits_told(stream):
    return [text.rpartition("; ")[2] for text in texts(stream)]


def test_a_line_says_how_far_how_fast_and_what_limits(shown, stream):
    shown.update(progress(succeeded=10, failed=2, running=30, pending=70), QUOTA, 0.0)
    shown.update(
        progress(succeeded=40, failed=2, unconfirmed=12, collecting=1, pending=57, look_ups_end=after(95)),
        QUOTA,
        60.0,
    )
    first, second = texts(stream)
    assert first == "12 of 112 ended, 2 failed, 30 under way; rate not known yet; quota 600/min"
    counted, speed, limit = second.split("; ")
    assert counted == "42 of 112 ended, 2 failed, 13 under way, 12 being looked up, 1m35s"
    assert (speed, limit) == ("30 of 600 jobs/min, 2m20s left", "quota 600/min")


def test_nobody_can_tell_the_time_left_of_a_batch_that_is_halted(shown, stream):
    shown.update(progress(succeeded=10, pending=70), QUOTA, 0.0)
    shown.update(progress(succeeded=40, pending=40), AWAY, 60.0)
    assert texts(stream)[1].startswith("40 of 80 ended; 30 of 600 jobs/min; ")


def test_what_waits_for_a_moment_that_is_known_is_told_once_and_its_end_is_not_foretold(shown, stream):
    looking = Limit(Kind.LOOK_UPS, "1 send being looked up, 7s")
    shown.update(progress(succeeded=10, pending=30), QUOTA, 0.0)
    shown.update(progress(succeeded=39, unconfirmed=1, look_ups_end=after(7)), looking, 60.0)
    assert texts(stream)[1] == f"39 of 40 ended, 1 under way; 29 of 600 jobs/min; {looking}"


def test_one_line_a_minute_however_the_counts_change(shown, stream):
    for quarter in range(4 * 150):
        shown.update(progress(succeeded=quarter, pending=1000), QUOTA, quarter / 4)
    assert len(texts(stream)) == 3


def test_what_limits_is_told_again_once_it_has_changed_for_good(shown, stream):
    shown.update(progress(pending=1), QUOTA, 0.0)
    for second in range(1, 10):
        shown.update(progress(pending=1), CAP, float(second))
    assert limits_told(stream) == [str(QUOTA), str(CAP)]


def test_limits_that_take_turns_are_no_news(shown, stream):
    for quarter in range(4 * 50):
        shown.update(progress(pending=1), CAP if quarter % 2 else QUOTA, quarter / 4)
    assert len(texts(stream)) == 1


def test_what_lasts_is_told_at_once_and_so_is_its_end(shown, stream):
    for moment, limit in enumerate([QUOTA, AWAY, AWAY, QUOTA, DONE]):
        shown.update(progress(pending=1), limit, moment / 4)
    assert limits_told(stream) == [str(limit) for limit in (QUOTA, AWAY, QUOTA, DONE)]


def test_news_are_told_once_and_those_from_before_are_not(shown, stream):
    old, loss, slept = (
        event(1, EventKind.RETRIED, "3 jobs"),
        event(2, EventKind.OUTAGE, "shows as a limit"),
        event(3, EventKind.SLEPT, "2h"),
    )
    for moment, events in enumerate([(old,), (old,), (old, loss, slept), (loss, slept)]):
        shown.update(progress(pending=1, events=events), QUOTA, moment / 4)
    assert texts(stream)[1:] == ["machine slept: 2h"]


def test_nothing_from_the_database_can_forge_a_line_or_steer_a_terminal(shown, stream):
    hostile = batch(name="cats\x1b[2J\nfinished")
    told = event(9, EventKind.ORPHANED, "\x1b]0;title\x07\n22:10:00 cats: all is well")
    shown.update(progress(pending=1, batch=hostile), QUOTA, 0.0)
    shown.update(progress(pending=1, batch=hostile, events=(told,)), Limit(Kind.OUTAGE, "a\rb\nc"), 1.0)
    written = stream.getvalue()
    assert len(written.splitlines()) == 3
    assert all(c.isprintable() or c == "\n" for c in written)


def test_once_silent_it_writes_nothing_more(shown, stream):
    shown.go_silent()
    shown.update(progress(pending=1), QUOTA, 0.0)
    assert stream.getvalue() == ""


def test_a_stream_that_is_gone_ends_the_show_and_not_the_work():
    class Gone(io.StringIO):
        writes = 0

        def write(self, _text):
            self.writes += 1
            raise OSError(5, "Input/output error")

    gone = Gone()
    lines = live.Lines(gone)
    lines.update(progress(pending=1), QUOTA, 0.0)
    lines.update(progress(pending=1), AWAY, 1.0)
    assert gone.writes == 1


def test_a_closed_stream_ends_the_show_and_not_the_work(stream):
    stream.close()
    live.Lines(stream).update(progress(pending=1), QUOTA, 0.0)


def test_quiet_shows_nothing(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with bar.choose(quiet=True) as shown:
        shown.update(progress(pending=1), QUOTA, 0.0)
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_lines_go_to_the_error_stream(capsys):
    with bar.choose(quiet=False) as shown:
        shown.update(progress(pending=1), QUOTA, 0.0)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(" cats: 0 of 1 ended; rate not known yet; quota 600/min\n")


def test_a_terminal_gets_the_bar_and_one_that_cannot_draw_gets_lines(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(bar.choose(quiet=False), bar.Bar)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(bar.choose(quiet=False), live.Lines)


@pytest.mark.usefixtures("capsys")  # or it would be one, where pytest is told to capture nothing
def test_a_stream_that_only_claims_to_be_a_terminal_gets_lines(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert isinstance(bar.choose(quiet=False), live.Lines)


def test_an_empty_batch_has_a_line_too(shown, stream):
    shown.update(progress(), DONE, 0.0)
    assert texts(stream) == ["0 of 0 ended; rate not known yet; finished"]
