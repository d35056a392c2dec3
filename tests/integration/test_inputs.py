import asyncio
import base64
import errno
import itertools
import json
import os
import resource
import shutil
import threading
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image
from pydantic import SecretStr

from jobs import errors, marker
from jobs.manifest import pictures
from jobs.settings.times import Times
from tests.integration import wires
from worker import clock
from worker.api import client
from worker.transfers import inputs, uploads

FILE_URL = "https://api.example/v1/files/f"
TAKES = wires.always(wires.reply(json.dumps({"urls": {"get": FILE_URL}}).encode(), "201 Created"))
LACKS = wires.always(wires.reply(b"<html>", "404 Not Found"))


def draw(path, size=(32, 32), kind="PNG"):
    Image.effect_noise(size, 90).convert("RGB").save(path, kind)
    return path.read_bytes()


@asynccontextmanager
async def ready(answer=LACKS, doubt=0, patience=5):
    async with (
        wires.serve(answer) as served,
        client.PredictionClient(served.url, SecretStr("token"), deadline=5, connections=4) as api,
    ):
        yield served, inputs.Inputs(api, Times(list_doubt=doubt, poll_first=patience / 2))


def run(root, image, answer=LACKS):
    async def conversation():
        async with ready(answer) as (served, made):
            return served, await made.wire_form(image, root)

    return asyncio.run(conversation())


def test_a_process_without_a_free_file_fails_no_job(tmp_path):
    draw(tmp_path / "fox.png")

    async def conversation():
        async with ready() as (_, made):
            await made.wire_form("fox.png", tmp_path)  # else what it takes is not loaded yet
            draw(tmp_path / "fox.png", (7, 7))
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:
                await made.wire_form("fox.png", tmp_path)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    with pytest.raises(errors.NotSent, match="Too many open files"):
        asyncio.run(conversation())


@pytest.mark.parametrize("url", ["https://images.example/fox.png", "http://images.example/a b", "HTTPS://X/"])
def test_a_url_is_passed_on_as_it_is(tmp_path, url):
    served, found = run(tmp_path, url)
    assert found == url
    assert served.connections == 0


def test_a_small_file_travels_inside_the_request(tmp_path):
    content = draw(tmp_path / "fox.png", kind="JPEG")
    served, found = run(tmp_path, "fox.png")
    # Its bytes say what it is, whatever its name says.
    assert found == "data:image/jpeg;base64," + base64.b64encode(content).decode()
    assert served.connections == 0


def gone(folder):
    shutil.rmtree(folder)


def empty(folder):
    """What is left of a folder whose disk is not mounted."""
    shutil.rmtree(folder)
    folder.mkdir()


def a_file_instead(folder):
    shutil.rmtree(folder)
    folder.touch()


@pytest.mark.parametrize("trouble", [gone, empty, a_file_instead])
@pytest.mark.parametrize("image", ["fox.png", "forest/fox.png"])
def test_a_picture_is_no_fault_of_its_job_where_all_pictures_are_gone(tmp_path, trouble, image):
    root = tmp_path / "set"
    (root / "forest").mkdir(parents=True)
    draw(root / image)
    assert run(root, image)[1].startswith("data:")
    trouble(root)
    with pytest.raises(errors.FolderGone, match="mount its disk, or put it back") as caught:
        run(root, image)
    assert str(root) in str(caught.value)


@pytest.mark.parametrize("trouble", [gone, empty, a_file_instead])
def test_a_picture_that_had_a_folder_of_its_own_is_refused_with_that_folder_gone(tmp_path, trouble):
    for name in ("fox", "hen"):
        (tmp_path / name).mkdir()
        draw(tmp_path / name / "image.png")
    trouble(tmp_path / "fox")
    with pytest.raises(errors.Refused, match=r"cannot be (found|read)|no folder"):
        run(tmp_path, "fox/image.png")


def digests(root, *names, answer=LACKS):
    """By what each image would be known again, before and after it was sent, and what it is sent as."""

    async def conversation():
        async with ready(answer, doubt=60) as (_, made):
            return [
                (await made.digest(one, root), await made.wire_form(one, root), await made.digest(one, root))
                for one in names
            ]

    return asyncio.run(conversation())


def digests_alone(root, *names):
    """Return each image's digest, if nothing was sent yet."""

    async def conversation():
        async with ready() as (_, made):
            return [await made.digest(one, root) for one in names]

    return asyncio.run(conversation())


def test_only_a_url_may_be_known_again(tmp_path):
    """What an API that shows URLs as they were sent makes of a data URI, it does not say."""
    draw(tmp_path / "fox.jpg", kind="JPEG")
    own, given = digests(tmp_path, "fox.jpg", "https://images.example/fox.png")
    assert own[1].startswith("data:")
    assert (own[0], own[2]) == (None, None)
    assert given[0] == given[2] == marker.image_digest(given[1])


def test_a_large_image_is_known_again_once_it_was_uploaded(tmp_path):
    draw(tmp_path / "fox.png", (400, 400))
    [(before, form, after)] = digests(tmp_path, "fox.png", answer=TAKES)
    assert (before, form, after) == (None, FILE_URL, marker.image_digest(FILE_URL))


def test_what_is_no_image_is_not_known_again(tmp_path):
    (tmp_path / "words.png").write_text("no image")

    assert digests_alone(tmp_path, "words.png", "missing.png", "../fox.png") == [None] * 3


def test_while_the_disk_hangs_hosts_are_found_by_their_names(tmp_path, monkeypatch):
    locate, hangs = pictures.locate, threading.Event()

    def hung(*asked, **how):
        hangs.wait(60)
        return locate(*asked, **how)

    draw(tmp_path / "fox.png")
    monkeypatch.setattr(pictures, "locate", hung)

    async def conversation():
        async with ready() as (_, made):
            looks = [asyncio.create_task(made.wire_form("fox.png", tmp_path)) for _ in range(100)]
            await asyncio.sleep(0)
            try:
                await asyncio.wait_for(asyncio.get_running_loop().getaddrinfo("localhost", 80), 30)
            finally:
                hangs.set()
            return set(await asyncio.gather(*looks))

    assert len(asyncio.run(conversation())) == 1


@pytest.mark.parametrize("nth", [1, 2])
def test_what_cannot_be_looked_at_for_want_of_memory_is_not_refused(tmp_path, monkeypatch, nth):
    """Looked at twice: whether it is a file, and which version of it."""
    draw(tmp_path / "fox.png")
    looks = itertools.count(1)
    stat = Path.stat

    def short(path, **given):
        if path.name == "fox.png" and next(looks) == nth:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return stat(path, **given)

    monkeypatch.setattr(Path, "stat", short)
    with pytest.raises(errors.NotSent, match="Cannot allocate memory"):
        run(tmp_path, "fox.png")


def test_what_cannot_be_looked_at_for_want_of_memory_is_not_known_again(tmp_path, monkeypatch):
    def short(*_, **__):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    draw(tmp_path / "fox.png")
    monkeypatch.setattr(pictures, "locate", short)
    assert digests_alone(tmp_path, "fox.png") == [None]


def test_an_absolute_path_inside_the_root_is_fine(tmp_path):
    draw(tmp_path / "fox.png")
    assert run(tmp_path, str(tmp_path / "fox.png"))[1].startswith("data:image/png;base64,")


def test_a_large_file_is_uploaded(tmp_path):
    content = draw(tmp_path / "fox.png", (400, 400))
    served, found = run(tmp_path, "fox.png", TAKES)
    assert found == FILE_URL
    (heard,) = served.heard
    assert heard.target == "/files"
    assert content in heard.body
    assert b"fox" not in heard.body[:300]


def test_the_same_large_image_is_uploaded_once_however_many_ask(tmp_path):
    content = draw(tmp_path / "fox.png", (400, 400))
    (tmp_path / "copy.png").write_bytes(content)

    async def conversation():
        async with ready(TAKES) as (served, made):
            names = ["fox.png", "copy.png"] * 10
            found = await asyncio.gather(*(made.wire_form(name, tmp_path) for name in names))
        assert set(found) == {FILE_URL}
        assert len(served.heard) == 1

    asyncio.run(conversation())


@pytest.mark.parametrize(("used", "uploaded"), [(24 * 3600, 2), (23 * 3600, 1)])
def test_an_upload_is_made_again_before_the_api_forgets_it(tmp_path, monkeypatch, used, uploaded):
    assert uploads_within(tmp_path, monkeypatch, {}, used) == uploaded


@pytest.mark.parametrize(("used", "uploaded"), [(31 * 60, 2), (29 * 60, 1)])
def test_a_file_is_used_as_long_as_a_prediction_that_waits_would_still_find_it(
    tmp_path, monkeypatch, used, uploaded
):
    told = {"created_at": "2024-02-21T12:54:18.578761Z", "expires_at": "2024-02-21T13:54:18.578761Z"}
    assert uploads_within(tmp_path, monkeypatch, told, used) == uploaded


def uploads_within(root, monkeypatch, told, seconds):
    """How often one image is uploaded for two jobs that so many seconds lie between."""
    draw(root / "fox.png", (400, 400))
    takes = wires.always(wires.reply(json.dumps({"urls": {"get": FILE_URL}} | told).encode(), "201 Created"))
    monkeypatch.setattr(clock, "ticks", lambda: 0.0)

    async def conversation():
        async with ready(takes) as (served, made):
            await made.wire_form("fox.png", root)
            monkeypatch.setattr(clock, "ticks", lambda: seconds)
            await made.wire_form("fox.png", root)
            return len(served.heard)

    return asyncio.run(conversation())


def test_an_upload_that_outlasted_its_jobs_patience_is_made_again_before_the_api_forgets_it(
    tmp_path, monkeypatch
):
    draw(tmp_path / "fox.png", (400, 400))
    ends = asyncio.Event()
    monkeypatch.setattr(clock, "ticks", lambda: 0.0)

    async def slowly(*conversation):
        await ends.wait()
        await TAKES(*conversation)

    async def conversation():
        async with ready(slowly, patience=0) as (served, made):
            with pytest.raises(uploads.NotYet) as caught:
                await made.wire_form("fox.png", tmp_path)
            ends.set()
            await asyncio.wait({caught.value.sending})
            assert await made.wire_form("fox.png", tmp_path) == FILE_URL
            monkeypatch.setattr(clock, "ticks", lambda: 24 * 3600.0)
            monkeypatch.setattr(made._uploads, "_patience", 5)
            assert await made.wire_form("fox.png", tmp_path) == FILE_URL
            assert len(served.heard) == 2

    asyncio.run(conversation())


def test_an_upload_that_fails_is_not_remembered(tmp_path):
    draw(tmp_path / "fox.png", (400, 400))
    away = wires.always(wires.reply(b"", "503 Service Unavailable"))
    answers = iter([away, away, TAKES])  # the second is asked whether it is the upload alone

    async def answer(*conversation):
        await next(answers)(*conversation)

    async def conversation():
        async with ready(answer) as (_, made):
            with pytest.raises(errors.NotUploaded, match=r"0\.\d MB could not be uploaded: .*503"):
                await made.wire_form("fox.png", tmp_path)
            assert await made.wire_form("fox.png", tmp_path) == FILE_URL

    asyncio.run(conversation())


def test_without_uploads_a_larger_file_travels_inside_and_nobody_asks_twice(tmp_path):
    draw(tmp_path / "fox.png", (400, 400))

    async def conversation():
        async with ready(LACKS) as (served, made):
            for _ in range(3):
                assert (await made.wire_form("fox.png", tmp_path)).startswith("data:image/png;base64,")
        assert len(served.heard) == 1

    asyncio.run(conversation())


def test_without_uploads_the_largest_file_makes_a_data_uri_of_just_under_a_megabyte(tmp_path):
    image = draw(tmp_path / "fox.jpg", kind="JPEG")
    (tmp_path / "fox.jpg").write_bytes(image.ljust(749_982, b"\0"))
    assert len(run(tmp_path, "fox.jpg")[1]) == 999_999
    (tmp_path / "fox.jpg").write_bytes(image.ljust(749_983, b"\0"))
    with pytest.raises(errors.Refused, match="make it at most 749982 bytes"):
        run(tmp_path, "fox.jpg")


def test_without_uploads_a_huge_file_is_refused(tmp_path):
    draw(tmp_path / "fox.png", (700, 700))
    with pytest.raises(errors.Refused, match="takes no uploads") as caught:
        run(tmp_path, "fox.png")
    assert caught.value.error_class == "input-unreadable"


def test_one_refused_upload_fails_no_job_and_is_tried_again(tmp_path):
    draw(tmp_path / "fox.png", (700, 700))

    async def conversation():
        async with ready(LACKS, doubt=60) as (served, made):
            for _ in range(2):
                with pytest.raises(uploads.NotYet):
                    await made.wire_form("fox.png", tmp_path)
        assert len(served.heard) == 2

    asyncio.run(conversation())


def test_a_file_that_changes_is_read_again(tmp_path):
    path = tmp_path / "fox.png"

    async def conversation():
        async with ready() as (_, made):
            draw(path)
            first = await made.wire_form("fox.png", tmp_path)
            assert await made.wire_form("fox.png", tmp_path) == first
            draw(path)
            os.utime(path, ns=(1, 1))
            assert await made.wire_form("fox.png", tmp_path) != first

    asyncio.run(conversation())


def test_the_memory_for_encoded_images_has_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "_MOST_ENCODED", 20_000)

    async def conversation():
        async with ready() as (_, made):
            for number in range(30):
                draw(tmp_path / f"{number}.png")
                await made.wire_form(f"{number}.png", tmp_path)
            kept = made._encoded._uris
            assert 0 < sum(map(len, kept.values())) <= 20_000
            assert sum(map(len, kept.values())) == made._encoded._size

    asyncio.run(conversation())


def unusable(root):
    """Every reference that must not be read, or cannot."""
    images = root / "images"
    (images / "folder").mkdir(parents=True)
    draw(root / "outside.png")
    (images / "link.png").symlink_to(root / "outside.png")
    (images / "loop.png").symlink_to(images / "loop.png")
    (images / "cut.png").write_bytes(draw(images / "fox.png")[:-40])
    (images / "text.png").write_text("no image")
    (images / "empty.png").touch()
    os.mkfifo(images / "pipe.png")
    (images / "huge.png").touch()
    os.truncate(images / "huge.png", 100_000_001)
    return images


@pytest.mark.parametrize(
    "image",
    [
        "missing.png", "folder", "../outside.png", "link.png", "loop.png", "cut.png", "text.png", "empty.png",
        "pipe.png", "huge.png",
        "/etc/passwd", "/dev/zero", "file:///etc/passwd", "x" * 5000, "a\0b", "\ud800", "",
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_refuses_the_job(tmp_path, image):
    with pytest.raises(errors.Refused) as caught:
        run(unusable(tmp_path), image)
    assert caught.value.error_class == "input-unreadable"
    assert str(caught.value).isprintable()
