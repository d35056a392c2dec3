"""What the sandbox keeps, while it is being written."""

import asyncio
import contextlib
import os

import pytest

from sandbox.predictions import Prediction, stage
from sandbox.records import Records

BOUGHT = Prediction(
    id="p1", t=1000.0, account="a", identity="i", attempt=0, fault=None, fate=None, error=None, seed=4,
    version="d4" * 32, input={"image": None}, image="url:x", key="k", queue=1.0, run=10.0, deadline=None,
)  # fmt: skip


@pytest.fixture
def records(tmp_path):
    with contextlib.closing(Records(tmp_path)) as records:
        asyncio.run(records.accept(BOUGHT))
        yield records


def test_no_other_end_is_shown_while_a_cancel_is_being_written(records):
    bought = records.find("p1", "a")

    async def cancel():
        writing = asyncio.create_task(records.cancel(bought, 1010.0))
        await asyncio.sleep(0)
        shown = stage(bought, 1012.0)
        await writing
        return shown, stage(bought, 1012.0)

    assert [reached.status for reached in asyncio.run(cancel())] == ["canceled"] * 2


def test_a_cancel_that_could_not_be_written_has_not_happened(records, monkeypatch):
    def full(_file):
        raise OSError(28, "No space left on device")

    bought = records.find("p1", "a")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            asyncio.run(records.cancel(bought, 1010.0))
    assert stage(bought, 1012.0).status == "succeeded"
