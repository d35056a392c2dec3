import threading
import types

from structlog.testing import capture_logs

from worker import outgrown

SETTINGS = types.SimpleNamespace(times=types.SimpleNamespace(schema=0.001))


def test_an_error_is_logged_with_its_traceback_and_the_watch_goes_on(monkeypatch):
    monkeypatch.setattr(outgrown, "refusal", lambda _: None)
    outcomes, twice = iter([ValueError("odd"), KeyError("odder")]), threading.Event()

    def go_on():
        if error := next(outcomes, None):
            raise error
        twice.set()

    watch = outgrown.Watch(SETTINGS, end=lambda: None, go_on=go_on)
    with capture_logs() as logged:
        watch.start()
        assert twice.wait(10)
        watch.stop()
    assert [(line["event"], line["exc_info"]) for line in logged] == [("watch-broke", True)] * 2


def test_the_watch_ends_with_the_program(monkeypatch):
    monkeypatch.setattr(outgrown, "refusal", lambda _: "the database is newer")
    ended = threading.Event()
    watch = outgrown.Watch(SETTINGS, end=ended.set)
    watch.start()
    assert ended.wait(10)
    assert watch.refusal == "the database is newer"
