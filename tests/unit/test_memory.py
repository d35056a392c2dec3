"""The broker inside one process: who waits for a message is woken by it."""

import threading

import pytest
from kombu import Connection, Consumer, Queue

QUEUE = Queue("nightly", routing_key="nightly")


@pytest.fixture
def connection():
    with Connection("memory://", transport="worker.brokers.memory:Transport") as opened:
        yield opened
        opened.default_channel.queue_delete(QUEUE.name)


def reader(connection, found, prefetch=0):
    consumer = Consumer(connection, [QUEUE], on_message=found.append)
    if prefetch:
        consumer.qos(prefetch_count=prefetch)
    consumer.consume()
    return consumer


def send(connection, *words):
    with connection.Producer() as producer:
        for word in words:
            producer.publish(word, routing_key=QUEUE.name, declare=[QUEUE])


def meanwhile(connection):
    """Drain one event in a thread, for as long as a test may take."""
    thread = threading.Thread(target=connection.drain_events, kwargs={"timeout": 60}, daemon=True)
    thread.start()
    return thread


def test_who_waits_is_woken_by_a_message(connection):
    found = []
    reader(connection, found)
    waits = meanwhile(connection)
    waits.join(0.1)
    assert waits.is_alive()
    with Connection("memory://", transport="worker.brokers.memory:Transport") as other:
        send(other, "now")
    waits.join(30)
    assert [message.payload for message in found] == ["now"]


def test_who_has_enough_waits_until_something_is_done_with(connection):
    found = []
    reader(connection, found, prefetch=1)
    send(connection, "first", "second")
    connection.drain_events(timeout=1)
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.05)
    waits = meanwhile(connection)
    found[0].ack()
    waits.join(30)
    assert [message.payload for message in found] == ["first", "second"]


def test_where_nothing_comes_the_wait_ends(connection):
    reader(connection, [])
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.05)
