"""The journal under the sandbox's ledger: groups, and a disk that refuses."""

import asyncio
import contextlib
import json
import os

import pytest

from sandbox.journal import Journal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def journal(path):
    with contextlib.closing(Journal(path)) as journal:
        yield journal


def numbers(path):
    return [json.loads(line)["number"] for line in path.read_text().splitlines()]


def test_many_lines_at_once_share_few_syncs_and_keep_their_order(journal, path, monkeypatch):
    syncs = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (syncs.append(file), sync(file)))

    async def append_all():
        await asyncio.gather(*(journal.append({"number": number}) for number in range(200)))

    asyncio.run(append_all())
    assert numbers(path) == list(range(200))
    assert len(syncs) < 20


def test_a_line_that_could_not_be_synced_is_taken_back_and_reported(journal, path, monkeypatch):
    def full(_file):
        raise OSError(28, "No space left on device")

    async def three():
        await journal.append({"number": 1})
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space left"):
                await journal.append({"number": 2})
        await journal.append({"number": 3})

    asyncio.run(three())
    assert numbers(path) == [1, 3]


def test_a_waiter_that_is_cancelled_does_not_take_its_group_with_it(journal, path):
    async def two():
        first = asyncio.create_task(journal.append({"number": 1}))
        second = asyncio.create_task(journal.append({"number": 2}))
        await asyncio.sleep(0)
        first.cancel()
        await second
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(two())
    assert numbers(path) == [1, 2]


def test_a_torn_line_longer_than_one_look_back_is_cut_off(path):
    found = []
    path.write_text('{"number": 1}\n' + "x" * 200_000)
    with contextlib.closing(Journal(path)) as journal:
        journal.replay(found.append)
    assert found == [{"number": 1}]
    path.write_text("x" * 200_000)
    with contextlib.closing(Journal(path)) as journal:
        journal.replay(found.append)
    assert found == [{"number": 1}]
