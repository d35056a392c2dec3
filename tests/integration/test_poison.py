"""Jobs that kill whoever works on them: found out, failed, and the others none the worse for it."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from PIL import Image

from jobs import errors, images, lifecycle, tables
from jobs.lanes import Lane
from jobs.states import State
from scheduler import duties
from tests import factory, rows
from tests.integration import rehearsal, stepped
from worker.transfers import quarantine

# Found by every Python that starts with its folder on the path: a decoder that dies of one image.
KILLER = """
import os
from jobs import images
whole = images.inspect
def inspect(source, **more):
    content = source if isinstance(source, bytes) else source.read_bytes()
    if b"POISON" in content:
        os._exit(9)
    return whole(source, **more)
images.inspect = inspect
"""

WORKER = """
import sys
from jobs import database, settings
from worker import app, context
from worker.tasks.submit import submit

given = settings.load()
[here] = context.start(given, database.Database(given.database_url))
app.hold(here)
submit([int(job) for job in sys.argv[1:]], here.account.id)
"""


@pytest.fixture
def deadly(tmp_path, monkeypatch):
    """A folder whose presence on the path makes decoders of new processes die of a poisoned image."""
    folder = tmp_path / "deadly"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(KILLER)
    monkeypatch.syspath_prepend(str(rehearsal.ROOT))
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def night(night, tmp_path):
    rows.change(night.database, tables.batches, night.batch.id, options={"images_root": str(tmp_path)})
    return night


@pytest.fixture
def pictures(tmp_path):
    """Two pictures on the disk; a decoder dies of one of them."""
    (tmp_path / "good.png").write_bytes(rehearsal.png())
    (tmp_path / "bad.png").write_bytes(rehearsal.png() + b"POISON")


def submit_elsewhere(night, database_url, deadly, ids):
    """Have a worker's process of its own submit some jobs; return how it ended."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{deadly}{os.pathsep}{rehearsal.ROOT}",
        "OVERNIGHT_API_URL": night.settings.api.url,
        "OVERNIGHT_API_TOKEN": stepped.TOKEN,
        "OVERNIGHT_DATABASE_URL": database_url,
        "OVERNIGHT_OUTPUT": str(night.settings.output),
    }
    command = [sys.executable, "-c", WORKER, *map(str, ids)]
    return subprocess.run(command, cwd=rehearsal.ROOT, env=environment, check=False, timeout=60).returncode


def test_a_job_that_kills_its_worker_fails_and_the_others_of_its_slice_are_bought(
    night,
    database_url,
    deadly,
    pictures,  # noqa: ARG001  made for the jobs
):
    [bad] = night.make(image="bad.png")
    good = night.make(3, image="good.png")
    ids = night.release()
    assert submit_elsewhere(night, database_url, deadly, ids) == 9
    night.passes(61)
    duties.rescue(night.database, night.settings)
    assert {job.crashes for job in night.jobs()} == {1}
    night.settles()
    assert submit_elsewhere(night, database_url, deadly, night.release()) == 0
    assert (night.job(bad).state, night.job(bad).error_class) == ("failed", "poison")
    assert "three processes" in night.job(bad).error_message
    assert {night.job(i).state for i in good} == {"running"}
    assert {night.job(i).crashes for i in good} == {0}
    assert night.finish() == {"failed": 1, "succeeded": 3}
    rows.write(night.database, lifecycle.retry, [bad])
    assert night.job(bad).crashes == 0


def collecting(night):
    """A job whose images a worker was told to fetch, and of which no word came."""
    [job_id] = night.make()
    night.tick(duties.release)
    night.passes(2)
    night.tick(duties.poll)
    assert [message.lane for message in night.told(duties.collect)] == [Lane.COLLECT]
    night.passes(61)
    return job_id


@pytest.fixture
def dying_decoder(monkeypatch):
    def die(*_, **__):
        raise quarantine.Poison("three processes have died of it")

    monkeypatch.setattr(quarantine, "inspect", die)


@pytest.mark.usefixtures("dying_decoder")
def test_an_image_that_kills_whoever_fetches_it_fails_its_job_and_is_not_bought_again(night):
    job_id = collecting(night)
    night.tick(duties.collect)
    assert (night.job(job_id).state, night.job(job_id).error_class) == ("failed", "poison")
    assert [path for path in night.settings.output.rglob("*") if path.is_file()] == []
    assert len(night.sandbox.ledger()) == 1


def test_a_lost_message_makes_no_poison(night):
    job_id = collecting(night)
    for _ in range(5):
        assert night.told(duties.collect)
        night.passes(61)
    assert night.job(job_id).crashes == 6
    night.tick(duties.collect)
    assert night.states() == {"succeeded": 1}


@pytest.mark.usefixtures("dying_decoder")
def test_whoever_said_anything_is_no_suspect(night):
    night.sandbox.faults(truncate=1)
    [job_id] = night.make()
    night.until(lambda: night.job(job_id).state == State.COLLECTING)
    for _ in range(4):
        night.passes(16)
        night.tick(duties.collect)
        assert night.job(job_id).crashes == 0
    night.sandbox.heal()
    night.passes(16)
    night.tick(duties.collect)
    assert night.states() == {"succeeded": 1}


# Counting


def test_the_sends_of_a_worker_that_fell_silent_make_suspects_and_a_purchase_clears_them(database):
    batch = factory.make_batch(database)
    job = factory.make_job(database, batch, state=State.SUBMITTING)
    rows.write(database, lifecycle.take_over, timedelta(seconds=1))
    assert rows.job(database, job.id).crashes == 1
    bought = lifecycle.Accepted(rows.fence(rows.job(database, job.id)), "prediction-1")
    rows.write(database, lifecycle.adopted, [bought], timedelta(seconds=1))
    assert rows.job(database, job.id).crashes == 0


# The quarantine


def test_a_decoder_of_its_own_says_what_ours_would(tmp_path):
    path = tmp_path / "fox.png"
    path.write_bytes(rehearsal.png())
    assert quarantine.inspect(path) == images.inspect(path)
    Image.new("RGB", (9, 5)).save(path)
    assert quarantine.inspect(path).black
    path.write_bytes(rehearsal.png()[:100])
    with pytest.raises(errors.NotAnImage, match="broken or not whole"):
        quarantine.inspect(path)
    Image.new("1", (10_000, 5_001)).save(path)
    with pytest.raises(errors.NotAnImage, match="more than 50000000 are refused"):
        quarantine.inspect(path)


@pytest.mark.usefixtures("deadly")
def test_an_image_that_kills_two_decoders_is_poison(tmp_path):
    path = tmp_path / "bad.png"
    path.write_bytes(rehearsal.png() + b"POISON")
    with pytest.raises(quarantine.Poison, match=r"bad\.png"):
        quarantine.inspect(path)


def test_a_file_that_cannot_be_read_kills_no_decoder(tmp_path):
    with pytest.raises(FileNotFoundError):
        quarantine.inspect(tmp_path / "gone.png")
