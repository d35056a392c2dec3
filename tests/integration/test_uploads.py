"""Large images on their way to the API: slow lines, stalled ones, an API that takes no files, and one that is away."""

import asyncio
import json
import re
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from PIL import Image
from pydantic import SecretStr

from jobs import errors, images, lifecycle, tables
from jobs.lifecycle import uploading
from jobs.settings.times import Times
from jobs.states import State
from scheduler import duties
from tests import rows
from tests.integration import rehearsal, wires
from worker.api import client, replies
from worker.transfers import inputs, uploads

URL = "https://api.example/v1/files/f"
KEPT = wires.reply(json.dumps({"urls": {"get": URL}}).encode(), "201 Created")
UNKNOWN = wires.reply(b'{"detail": "Not found"}', "404 Not Found", "Content-Type: application/json")
LARGE = (400, 400)  # pixels of noise: half a megabyte


def draw(path, size=LARGE):
    Image.effect_noise(size, 90).convert("RGB").save(path)


@asynccontextmanager
async def slowly(seconds, *, stalls=False):
    """Serve an API that reads a file in ten steps, each some seconds long, and stops reading half-way if it stalls."""

    async def converse(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"POST /files"):
            writer.write(UNKNOWN)
            writer.close()
            return
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        for step in range(10):
            if stalls and step == 5:
                await asyncio.Event().wait()
            await reader.readexactly(length // 10 + (length % 10 if step == 9 else 0))
            await asyncio.sleep(seconds)
        writer.write(KEPT)
        writer.close()

    conversations = []

    def connected(reader, writer):
        conversations.append(asyncio.ensure_future(converse(reader, writer)))

    async with wires.listening(connected) as port:
        yield f"http://127.0.0.1:{port}"
        for conversation in conversations:
            conversation.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)


def wire_form(folder, answer):
    """What becomes of an image of half a megabyte at a server."""

    async def conversation():
        async with (
            answer as url,
            client.PredictionClient(url, SecretStr("token"), deadline=0.3, connections=2) as api,
        ):
            return await inputs.Inputs(api, Times(post_deadline=0.3, poll_first=10)).wire_form(
                "fox.png", folder
            )

    draw(folder / "fox.png")
    return asyncio.run(conversation())


def test_a_slow_but_steady_upload_may_take_longer_than_any_other_request(tmp_path):
    assert wire_form(tmp_path, slowly(0.06)) == URL


def test_a_stalled_upload_ends_at_its_deadline_and_the_api_is_asked_whether_it_answers_else(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(uploads, "AT_ONCE", 1)
    monkeypatch.setattr(uploads, "SLOWEST", 2_000_000)
    with pytest.raises(
        errors.NotUploaded, match=r"0\.\d MB could not be uploaded: No answer within"
    ) as caught:
        wire_form(tmp_path, slowly(0, stalls=True))
    assert caught.value.api_answers


def test_an_upload_has_the_time_that_a_slow_line_takes_for_it_and_for_what_shares_the_line():
    made = uploads.Uploads(None, Times())
    assert made._allowed(30_000_000) == 140
    assert made._allowed(200_000) == 60, "ten megabytes are under way beside it"


def source(folder, name, size):
    (folder / name).write_bytes(name.encode() * (size // len(name)))
    content = (folder / name).read_bytes()
    digest = uploads.hashlib.sha256(content).hexdigest()
    return uploads.Source(folder / name, digest, len(content), images.Facts("image/png", "png", 1, 1))


class Counting:
    """An API that notes how many bytes are under way at once, and lets each upload last until others could begin."""

    def __init__(self):
        self.under_way = 0
        self.most = 0

    async def upload(self, content, *_, **__):
        self.under_way += len(content)
        self.most = max(self.most, self.under_way)
        for _ in range(20):
            await asyncio.sleep(0)
        self.under_way -= len(content)
        return replies.Uploaded(URL, None)


def test_many_large_uploads_hold_no_more_than_their_share_of_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "AT_ONCE", 1000)

    async def conversation():
        api = Counting()
        made = uploads.Uploads(api, Times(poll_first=10))
        sizes = [400] * 20 + [5000] + [400] * 5
        sources = [source(tmp_path, f"file-{number:03}", size) for number, size in enumerate(sizes)]
        assert set(await asyncio.gather(*(made.url(one) for one in sources))) == {URL}
        return api.most

    assert asyncio.run(conversation()) == 5000, "what is larger than all that there is goes alone"


def test_a_file_that_changed_before_its_turn_is_not_uploaded(tmp_path):
    changed = source(tmp_path, "file", 400)
    (tmp_path / "file").write_bytes(b"another")

    async def conversation():
        with pytest.raises(errors.NotSent, match="changed"):
            await uploads.Uploads(Counting(), Times(poll_first=10)).url(changed)

    asyncio.run(conversation())


# In a night


@pytest.fixture
def night(night, tmp_path):
    rows.change(night.database, tables.batches, night.batch.id, options={"images_root": str(tmp_path)})
    draw(tmp_path / "large.png")
    (tmp_path / "small.png").write_bytes(rehearsal.png())
    return night


def again_and_again(night, times):
    for _ in range(times):
        night.passes(3600)
        night.tick(duties.release)


def test_an_image_that_cannot_be_uploaded_ends_its_job_after_some_tries_and_says_what_to_do(night):
    night.sandbox.faults(**{"upload:5xx": 1})
    [job_id] = night.make(image="large.png")
    again_and_again(night, uploading.MOST_UPLOADS - 1)
    assert night.job(job_id).state == State.PENDING
    again_and_again(night, 1)
    job = night.job(job_id)
    assert (job.state, job.error_class) == (State.FAILED, "upload-failed")
    assert re.fullmatch(
        r"The image of 0\.\d MB could not be uploaded: The API answered 503 .*\."
        r" That was try 5: make it smaller, or give its URL\.",
        job.error_message,
    )
    assert night.account.breaker == "closed"
    assert night.sandbox.ledger() == []


def test_a_retried_job_has_all_its_uploads_again(night):
    night.sandbox.faults(**{"upload:5xx": 1})
    [job_id] = night.make(image="large.png")
    again_and_again(night, uploading.MOST_UPLOADS)
    assert night.job(job_id).state == State.FAILED
    with night.database.write() as tx:
        lifecycle.retry(tx, rows.now(night.database), [job_id])
    again_and_again(night, 1)
    assert night.job(job_id).state == State.PENDING
    night.sandbox.heal()
    night.passes(3600)
    assert night.finish() == {"succeeded": 1}


def test_the_pause_grows_with_every_upload_that_failed(night):
    night.sandbox.faults(**{"upload:5xx": 1})
    [job_id] = night.make(image="large.png")
    pauses = []
    for _ in range(3):
        again_and_again(night, 1)
        pauses.append(round((night.job(job_id).due_at - rows.now(night.database)) / timedelta(seconds=30)))
    assert pauses == [1, 2, 4]


def test_jobs_without_uploads_go_on_while_the_api_takes_no_files(night):
    night.sandbox.faults(**{"upload:5xx": 1})
    large = night.make(12, image="large.png")
    night.make(3, image="small.png")
    for _ in range(4):
        again_and_again(night, 1)
    assert night.account.breaker == "closed"
    assert night.account.failures == 0
    night.until(lambda: night.states().get("succeeded") == 3)
    assert {night.job(job_id).state for job_id in large} <= {State.PENDING, State.FAILED}


def test_an_outage_uses_up_no_uploads_and_leaves_one_attempt(night):
    [job_id] = night.make(image="large.png")
    night.sandbox.faults(**{"outage:5xx": 0})
    again_and_again(night, 8)
    job = night.job(job_id)
    assert (job.state, job.upload_failures) == (State.PENDING, 0)
    assert len(night.attempts(job_id)) == 1
    night.sandbox.heal()
    night.passes(3600)
    assert night.finish() == {"succeeded": 1}


def test_while_creates_alone_fail_no_upload_is_counted(night):
    rows.change(night.database, tables.accounts, night.here.account.id, failures=7, failing="creates")
    [job_id] = night.make(image="large.png")
    night.sandbox.faults(**{"upload:5xx": 1})
    again_and_again(night, 3)
    assert night.job(job_id).upload_failures == 0


def test_a_job_whose_upload_outlasts_its_turn_goes_back_and_is_called_when_it_is_over(night, monkeypatch):
    gate = asyncio.Event()
    whole = client.PredictionClient.upload

    async def gated(*args, **named):
        await gate.wait()
        return await whole(*args, **named)

    monkeypatch.setattr(client.PredictionClient, "upload", gated)
    monkeypatch.setattr(night.here.inputs._uploads, "_patience", 0.01)
    [job_id] = night.make(image="large.png")
    for _ in range(3):
        again_and_again(night, 1)
    job = night.job(job_id)
    assert job.state == State.PENDING
    assert job.due_at > rows.now(night.database) + timedelta(seconds=30)
    assert len(night.attempts(job_id)) == 1
    night.here.loop._loop.call_soon_threadsafe(gate.set)
    rehearsal.eventually(lambda: night.job(job_id).due_at <= rows.now(night.database))
    assert night.finish() == {"succeeded": 1}
    assert night.sandbox.stats()["requests"]["file"] == 1


def test_a_worker_that_ends_calls_the_jobs_whose_uploads_it_breaks_off(night, monkeypatch):
    async def never(*_, **__):
        await asyncio.Event().wait()

    monkeypatch.setattr(client.PredictionClient, "upload", never)
    monkeypatch.setattr(night.here.inputs._uploads, "_patience", 0.01)
    [job_id] = night.make(image="large.png")
    again_and_again(night, 1)
    assert night.job(job_id).due_at > rows.now(night.database)
    night.close()
    assert night.job(job_id).due_at <= rows.now(night.database)
    night.start()
