"""When a worker ends because it is deaf, and when a newer program has taken its database over."""

import threading
from urllib.parse import urlsplit

import pytest
from celery import Celery, signals

from jobs import settings
from jobs.lanes import Lane
from migrations import schema
from tests import rows
from tests.faults import wires
from tests.integration import rehearsal
from worker import app, leaving, outgrown, vigil


class Ended(BaseException):
    """Instead of the end of this process."""


@pytest.fixture
def celery(redis_url, monkeypatch):
    """An app with a broker in which nobody listens; to end the process ends the thread."""

    def end(code):
        raise Ended(code)

    monkeypatch.setattr(vigil.os, "_exit", end)
    monkeypatch.setattr(vigil, "_LEAST", 0.01)
    monkeypatch.setattr(leaving, "_heard", [])
    made = connected(redis_url)
    yield made
    made.close()


def connected(broker_url):
    given = settings.Settings(
        broker_url=broker_url,
        database_url="postgresql://nobody@127.0.0.1/none",
        api_token="a-token",
        _env_file=None,
    )
    return app.create(given)


class Watch(threading.Thread):
    """The vigil in a thread; `code` is what the process would have ended with."""

    def __init__(self, celery):
        super().__init__(daemon=True)
        self.celery, self.code = celery, None

    def run(self):
        try:
            vigil._watch(self.celery, 0.1)
        except Ended as ended:
            [self.code] = ended.args


def tell(celery):
    celery.send_task(Lane.POLL, args=[[1]], queue=Lane.POLL)


def test_a_worker_that_is_idle_beside_messages_ends_to_be_started_anew(celery):
    tell(celery)
    watch = Watch(celery)
    watch.start()
    watch.join(20)
    assert watch.code == 69


def test_a_worker_goes_on_while_it_hears_while_nothing_waits_and_while_it_is_leaving(celery, monkeypatch):
    looked = []
    waits = vigil._waits

    def look(given):
        looked.append(waits(given))
        if looked[-1] and len(looked) < 40:
            signals.task_received.send(sender=None)
        return looked[-1]

    monkeypatch.setattr(vigil, "_waits", look)
    signals.task_received.connect(vigil._hear)
    watch = Watch(celery)
    watch.start()
    rehearsal.eventually(lambda: len(looked) > 10)
    assert set(looked) == {False}
    tell(celery)
    rehearsal.eventually(lambda: len(looked) > 20)
    assert watch.is_alive()
    monkeypatch.setattr(leaving, "_heard", ["TERM"])
    seen = len(looked)
    watch.join(0.5)
    assert watch.is_alive()
    assert len(looked) <= seen + 1
    monkeypatch.setattr(leaving, "_heard", [])
    watch.join(20)
    assert watch.code == 69


@pytest.mark.parametrize("broker", [None, "redis://127.0.0.1:1/0"])
def test_a_program_with_a_broker_keeps_the_vigil(monkeypatch, broker):
    kept = []
    monkeypatch.setattr(app, "_configured", [])
    monkeypatch.setattr(leaving, "listen", lambda: None)
    monkeypatch.setattr(Celery, "set_default", lambda _: None)
    monkeypatch.setattr(vigil, "keep", lambda *given: kept.append(given))
    given = settings.Settings(
        broker_url=broker, database_url="postgresql://nobody@127.0.0.1/none", _env_file=None
    )
    made = app.configure(given)
    assert kept == ([(made, given.times.deaf)] if broker else [])


def test_a_broker_that_is_away_is_nothing_to_hear(celery):
    away = celery.__class__("away", broker="redis://127.0.0.1:1/0", set_as_current=False)
    assert vigil._waits(away) is False
    assert vigil._waits(celery) is False
    tell(celery)
    assert vigil._waits(celery) is True


def test_a_broker_that_goes_in_the_middle_of_its_answer_is_nothing_to_hear(celery, redis_url):
    broker = urlsplit(redis_url)
    wire = wires.Wire((broker.hostname, broker.port))
    tell(celery)
    behind = connected(f"redis://127.0.0.1:{wire.port}{broker.path}")
    try:
        assert vigil._waits(behind) is True
        wire.cut_after(b"LLEN")
        assert vigil._waits(behind) is False
    finally:
        behind.close()
        wire.close()


# A newer program


def test_who_runs_notices_a_database_that_a_newer_program_has_upgraded(database, database_url):
    given = settings.Settings(database_url=database_url, time_scale="0.001", _env_file=None)
    ended = threading.Event()
    watch = outgrown.Watch(given, ended.set)
    watch.start()
    assert not ended.wait(0.5)
    assert schema.outgrown(database) is None
    rows.stamp(database, f"{int(schema.HEAD) + 1:04}")
    assert ended.wait(20)
    assert "newer overnight" in watch.refusal
    assert "newer overnight" in schema.outgrown(database)


def test_a_database_that_is_away_has_not_become_a_newer_programs():
    given = settings.Settings(database_url="postgresql+psycopg://nobody@127.0.0.1:1/none", _env_file=None)
    assert outgrown.refusal(given) is None
