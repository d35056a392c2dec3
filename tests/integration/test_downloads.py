import asyncio
import errno
import gzip
import hashlib
import io
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import aclosing
from pathlib import Path, PurePosixPath

import httpcore
import httpx
import pytest
from PIL import Image

from jobs import errors, lifecycle
from tests.integration import wires
from tests.integration.rehearsal import data_uri
from worker.transfers import addresses, downloads, storing

STEM = PurePosixPath("cats/fox")


def drawn(kind="PNG", size=(64, 64)):
    file = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(file, kind)
    return file.getvalue()


def fetching(root, **options):
    return aclosing(downloads.Downloads(root, **{"allow_private": True, "deadline": 5.0, **options}))


def run(root, answer, *, path="/out-0.png", **options):
    """Serve one answer, fetch it, and return what the server heard beside what came of it."""

    async def conversation():
        async with wires.serve(answer) as served, fetching(root, **options) as down:
            try:
                return served, await down.fetch(served.url + path, STEM, 0)
            except (errors.DownloadError, errors.Unavailable) as error:
                return served, error

    return asyncio.run(conversation())


def fetch_inline(root, content, index=0, stem=STEM, taken=(), **options):
    async def conversation():
        async with fetching(root, **options) as down:
            return await down.fetch(data_uri(content), stem, index, taken=taken)

    return asyncio.run(conversation())


def files(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("kind", "suffix"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("GIF", "gif")]
)
def test_an_output_is_named_for_what_it_is_and_not_for_its_url(tmp_path, kind, suffix):
    content = drawn(kind)
    served, stored = run(tmp_path, wires.always(wires.reply(content, "200 OK", "Content-Type: text/html")))
    assert stored.path == f"cats/fox-0.{suffix}"
    assert (tmp_path / stored.path).read_bytes() == content
    assert (stored.width, stored.height, stored.bytes) == (64, 64, len(content))
    assert stored.sha256 == hashlib.sha256(content).hexdigest()
    assert files(tmp_path) == [stored.path]
    (heard,) = served.heard
    assert heard.headers["accept-encoding"] == "identity"
    assert "authorization" not in heard.headers


def test_an_output_larger_than_memory_holds_goes_through_the_disk(tmp_path):
    content = drawn(size=(1500, 1200))
    assert len(content) > 2 * downloads._IN_MEMORY
    _, stored = run(tmp_path, wires.always(wires.reply(content)))
    assert (tmp_path / stored.path).read_bytes() == content
    assert stored.sha256 == hashlib.sha256(content).hexdigest()


def test_a_data_uri_is_an_output(tmp_path):
    content = drawn()
    assert fetch_inline(tmp_path, content).sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "uri",
    [
        "data:",
        "data:image/png;base64,",
        "data:image/png;base64,!!!!",
        "data:,hello",
        "DATA:image/png;base64,AAAA",
        "data:;base64,é",
    ],
)
def test_a_data_uri_without_an_image_is_none(tmp_path, uri):
    async def conversation():
        async with fetching(tmp_path) as down:
            with pytest.raises(errors.NotAnImage):
                await down.fetch(uri, STEM, 0)

    asyncio.run(conversation())
    assert files(tmp_path) == []


def test_an_output_sent_in_chunks_is_whole(tmp_path):
    content = drawn()
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
    answer = wires.always(wires.reply(chunked, "200 OK", "Transfer-Encoding: chunked", length=False))
    _, stored = run(tmp_path, answer)
    assert stored.bytes == len(content)


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "410 Gone"])
def test_a_dead_url_is_gone(tmp_path, status):
    _, error = run(tmp_path, wires.always(wires.reply(b'{"detail": "requested file not found"}', status)))
    assert type(error) is errors.Gone


WHOLE = drawn()
HALF = WHOLE[: len(WHOLE) // 2]
DECLARED = b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n"
BROKEN_OFF = {
    "an error of the host": wires.always(wires.reply(b"", "503 Service Unavailable")),
    "a throttle": wires.always(wires.reply(b"", "429 Too Many Requests")),
    "a part only": wires.always(wires.reply(WHOLE, "206 Partial Content")),
    "no answer": wires.always(b""),
    "a reset": wires.reset,
    "a hang": wires.hang,
    "a head that drips": wires.drip(b"HTTP/1.1 200 OK\r\nX-Slow: "),
    "a body that drips": wires.drip(DECLARED),
    "a body shorter than declared": wires.always(DECLARED + WHOLE),
    "a chunked body without its end": wires.always(
        wires.reply(b"%x\r\n%b" % (len(WHOLE), HALF), "200 OK", "Transfer-Encoding: chunked", length=False)
    ),
    "an undeclared end that may be a cut": wires.always(wires.reply(HALF, length=False)),
    "a compressed body": wires.always(wires.reply(gzip.compress(WHOLE), "200 OK", "Content-Encoding: gzip")),
    "another protocol": wires.always(b"\x15\x03\x01\x00\x02"),
}


@pytest.mark.parametrize("fault", BROKEN_OFF)
def test_a_download_that_breaks_off_may_be_tried_again(tmp_path, fault):
    _, error = run(tmp_path, BROKEN_OFF[fault], deadline=0.5)
    assert type(error) is errors.Undelivered
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "content", [b"", b"<html>sorry</html>", HALF, WHOLE[:-20], drawn("JPEG")[:900], drawn("BMP")]
)
def test_what_came_whole_and_is_no_image_is_told_so(tmp_path, content):
    _, error = run(tmp_path, wires.always(wires.reply(content)))
    assert type(error) is errors.NotAnImage
    assert files(tmp_path) == []


async def pour(_, writer):
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + WHOLE)
    while not writer.is_closing():
        writer.write(b"\0" * 100_000)
        await writer.drain()


@pytest.mark.parametrize(
    "answer",
    [
        pour,
        wires.always(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n"),
        wires.always(wires.reply(b"x" * 3_000_001)),
    ],
)
def test_an_endless_body_ends_at_the_cap(tmp_path, answer):
    _, error = run(tmp_path, answer, max_bytes=3_000_000)
    assert type(error) is errors.NotAnImage
    assert "larger than 3000000 bytes" in str(error)
    assert files(tmp_path) == []


def test_too_many_pixels_are_refused(tmp_path):
    huge = io.BytesIO()
    Image.new("1", (10_000, 5_001)).save(huge, "PNG")
    _, error = run(tmp_path, wires.always(wires.reply(huge.getvalue())))
    assert type(error) is errors.NotAnImage
    assert "more than 50000000 are refused" in str(error)


def redirecting(location, content=WHOLE):
    async def answer(heard, writer):
        found = heard.target == "/here.png"
        writer.write(
            wires.reply(content)
            if found
            else wires.reply(b"", "302 Found", f"Location: {location(heard.target)}")
        )

    return answer


def test_a_few_redirects_are_followed(tmp_path):
    steps = {"/a": "/b", "/b": "/c", "/c": "here.png"}
    served, stored = run(tmp_path, redirecting(steps.get), path="/a")
    assert stored.bytes == len(WHOLE)
    assert [heard.target for heard in served.heard] == ["/a", "/b", "/c", "/here.png"]


def test_a_line_that_goes_to_another_host_lets_go_of_the_first(tmp_path):
    async def conversation():
        answer = wires.always(wires.reply(WHOLE))
        async with (
            wires.serve(answer, keep_alive=True) as first,
            wires.serve(answer, keep_alive=True) as last,
            fetching(tmp_path, connections=1) as down,
        ):
            for served in (first, first, last):
                await down.fetch(served.url + "/out.png", STEM, 0)
            async with asyncio.timeout(5):
                await first.ended()
            assert (first.connections, last.connections) == (1, 1)

    asyncio.run(conversation())


def test_a_redirect_loop_ends(tmp_path):
    served, error = run(tmp_path, redirecting(lambda target: target), path="/a")
    assert type(error) is errors.Undelivered
    assert len(served.heard) == 4


@pytest.mark.parametrize(
    "location",
    [
        "ftp://images.example/x",
        "file:///etc/passwd",
        "http://user@images.example/",
        "http://[",
    ],
)
def test_a_redirect_to_where_we_do_not_fetch_is_refused(tmp_path, location):
    served, error = run(tmp_path, redirecting(lambda _: location), path="/a")
    assert type(error) is errors.Undelivered
    assert len(served.heard) == 1


def test_a_redirect_never_leaves_https(tmp_path):
    async def conversation():
        async with fetching(tmp_path) as down:
            secure = httpx.URL("https://images.example/a")
            assert str(down._next(secure, "/b")) == "https://images.example/b"
            with pytest.raises(errors.Undelivered):
                down._next(secure, "http://images.example/b")

    asyncio.run(conversation())


@pytest.mark.parametrize(
    "url",
    [
        "http://8.8.8.8/x.png",
        "ftp://8.8.8.8/",
        "file:///etc/passwd",
        "//8.8.8.8/x",
        "x.png",
        "",
        "https://",
        "https://me:pw@8.8.8.8/",
        "https://8.8.8.8:99999/",
        "https://\ud800/",
        "\0",
        "https://a b/",
    ],
)
def test_a_url_that_is_not_plain_https_is_refused(tmp_path, url):
    async def conversation():
        async with fetching(tmp_path, allow_private=False) as down:
            with pytest.raises(errors.Undelivered):
                await down.fetch(url, STEM, 0)

    asyncio.run(conversation())


def test_a_silent_address_leaves_time_for_the_next(monkeypatch):
    tried = []

    async def connect(_, host, _port, timeout, *_more):  # noqa: ASYNC109  httpcore's signature
        tried.append((host, timeout))
        raise httpcore.ConnectTimeout("silent")

    async def resolved(*_):
        return ["93.184.216.34", "93.184.216.35"]

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    monkeypatch.setattr(addresses, "_resolved", resolved)
    backend = addresses.Backend(allow_private=False)
    with pytest.raises(httpcore.ConnectTimeout):
        asyncio.run(backend.connect_tcp("images.example", 443, timeout=30))
    assert tried == [("93.184.216.34", 10), ("93.184.216.35", 10)]


def test_an_unknown_name_may_be_known_later(tmp_path, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    async def conversation():
        async with fetching(tmp_path) as down:
            with pytest.raises(errors.Undelivered):
                await down.fetch("https://nobody.invalid/x.png", STEM, 0)

    asyncio.run(conversation())


def test_a_resolver_that_hangs_keeps_nothing_else_waiting(tmp_path, monkeypatch):
    answers = threading.Event()

    def hanging(*_, **__):
        answers.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", hanging)

    async def conversation():
        async with fetching(tmp_path) as down:
            urls = [f"https://nobody-{n}.invalid/x.png" for n in range(64)]
            asked = [asyncio.ensure_future(down.fetch(url, STEM, n)) for n, url in enumerate(urls)]
            await asyncio.sleep(0.1)
            try:
                assert await asyncio.wait_for(asyncio.to_thread(lambda: "its turn"), 30) == "its turn"
            finally:
                answers.set()
            return await asyncio.gather(*asked, return_exceptions=True)

    assert {type(error) for error in asyncio.run(conversation())} == {errors.Undelivered}


def test_fetching_again_what_is_there_changes_nothing(tmp_path):
    first, again = fetch_inline(tmp_path, WHOLE), fetch_inline(tmp_path, WHOLE)
    assert first == again
    assert files(tmp_path) == ["cats/fox-0.png"]


def test_a_name_that_is_taken_is_left_alone(tmp_path):
    contents = [drawn() for _ in range(3)]
    paths = [fetch_inline(tmp_path, content).path for content in contents]
    assert paths == ["cats/fox-0.png", "cats/fox.2-0.png", "cats/fox.3-0.png"]
    assert [(tmp_path / path).read_bytes() for path in paths] == contents
    assert fetch_inline(tmp_path, contents[1]).path == "cats/fox.2-0.png"


def test_a_file_of_an_earlier_attempt_is_left_to_it_even_if_it_is_the_same(tmp_path):
    first = fetch_inline(tmp_path, WHOLE)
    second = fetch_inline(tmp_path, WHOLE, taken=[first.path.upper()])  # to some disks that is one name
    assert files(tmp_path) == sorted([first.path, second.path])
    assert (first.sha256, second.path) == (second.sha256, "cats/fox.2-0.png")
    assert fetch_inline(tmp_path, WHOLE, taken=[first.path]) == second


def test_a_disk_without_links_still_never_replaces_a_file(tmp_path, monkeypatch):
    def no_links(*_):
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    contents = [drawn(), drawn()]
    paths = [fetch_inline(tmp_path, content).path for content in contents]
    assert [(tmp_path / path).read_bytes() for path in paths] == contents
    assert files(tmp_path) == sorted(paths)


def test_many_fetches_at_once_end_each_in_its_own_file(tmp_path):
    async def conversation():
        async with (
            wires.serve(wires.always(wires.reply(WHOLE))) as served,
            fetching(tmp_path, connections=4) as down,
        ):
            return await asyncio.gather(
                *(down.fetch(served.url + "/x", PurePosixPath(f"j{n}"), 0) for n in range(30))
            )

    stored = asyncio.run(conversation())
    assert files(tmp_path) == sorted(one.path for one in stored)
    assert len(stored) == 30


def test_on_a_slow_line_fewer_share_it_until_they_come_in_time(tmp_path):
    """All at once, each of them would take longer than it may, every time."""
    line = asyncio.Lock()

    async def trickle(_, writer):
        answer = wires.reply(WHOLE)
        size = len(answer) // 20 + 1
        for start in range(0, len(answer), size):
            async with line:
                writer.write(answer[start : start + size])
                await writer.drain()
                await asyncio.sleep(0.005)

    async def conversation():
        missing, rounds = set(range(16)), 0
        async with wires.serve(trickle) as served, fetching(tmp_path, connections=16, deadline=0.4) as down:
            while missing:
                rounds += 1
                asked = [down.fetch(served.url + "/x", PurePosixPath(f"j{n}"), 0) for n in missing]
                came = await asyncio.gather(*asked, return_exceptions=True)
                told = zip(list(missing), came, strict=True)
                missing -= {n for n, one in told if isinstance(one, lifecycle.File)}
                assert rounds < 50
        return rounds

    assert asyncio.run(conversation()) > 1
    assert len(files(tmp_path)) == 16


@pytest.mark.parametrize("stem", ["../evil", "/evil", "cats/../../evil", "a/../b"])
def test_a_stem_that_leads_out_is_refused(tmp_path, stem):
    root = tmp_path / "outputs"
    root.mkdir()
    with pytest.raises(errors.Unavailable):
        fetch_inline(root, WHOLE, stem=PurePosixPath(stem))
    assert files(tmp_path) == []


def test_a_link_that_leads_out_is_not_followed(tmp_path):
    root, outside = tmp_path / "outputs", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "cats").symlink_to(outside)
    with pytest.raises(errors.Unavailable, match="leads out of the output folder"):
        fetch_inline(root, WHOLE)
    assert files(outside) == []


def test_a_link_under_the_final_name_is_left_alone(tmp_path):
    victim = tmp_path / "victim.png"
    victim.write_bytes(WHOLE)
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats/fox-0.png").symlink_to(victim)
    assert fetch_inline(tmp_path, WHOLE).path == "cats/fox.2-0.png"


def test_a_missing_output_folder_is_not_made(tmp_path):
    with pytest.raises(errors.Unavailable, match="is not there"):
        fetch_inline(tmp_path / "away", WHOLE)
    assert not (tmp_path / "away").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO])
def test_a_disk_that_takes_nothing_stops_with_its_name(tmp_path, monkeypatch, number):
    def fail(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(errors.Unavailable) as caught:
        fetch_inline(tmp_path, WHOLE)
    assert str(tmp_path) in str(caught.value)
    assert os.strerror(number) in str(caught.value)
    assert files(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that cannot sync a folder")
def test_a_disk_that_cannot_sync_folders_is_no_reason_to_stop():
    storing.sync_names(Path("/proc"), ["self/fox-0.png"])


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_machine_that_is_short_of_files_or_memory_does_not_blame_the_disk(tmp_path, monkeypatch, number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(errors.NotStored, match=os.strerror(number)):
        fetch_inline(tmp_path, WHOLE)


def test_content_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    order = []
    sync, link = os.fsync, os.link
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append(kind_of(fd)), sync(fd)))
    monkeypatch.setattr(os, "link", lambda *pair: (order.append(Path(pair[1]).name), link(*pair)))
    (tmp_path / "cats").mkdir()
    kept = fetch_inline(tmp_path, WHOLE)
    assert order == ["file", "fox-0.png"]
    storing.sync_names(tmp_path, [kept.path, kept.path])
    assert order == ["file", "fox-0.png", "folder"]


def kind_of(opened):
    return "folder" if stat.S_ISDIR(os.fstat(opened).st_mode) else "file"


def test_a_cancelled_download_leaves_nothing_behind(tmp_path):
    async def conversation():
        async with (
            wires.serve(
                wires.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 2_500_000)
            ) as served,
            fetching(tmp_path) as down,
        ):
            task = asyncio.create_task(down.fetch(served.url + "/x", STEM, 0))
            async with asyncio.timeout(5):
                await served.arrived.wait()
                await asyncio.to_thread(wait_for_file, tmp_path)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(conversation())
    assert files(tmp_path) == []


def test_a_download_that_is_cancelled_while_it_writes_leaves_nothing_behind(tmp_path, monkeypatch):
    begun, cancelled = threading.Event(), threading.Event()
    append = storing.Part.append

    def slow(part, content, **options):
        begun.set()
        assert cancelled.wait(20)
        append(part, content, **options)

    monkeypatch.setattr(storing.Part, "append", slow)
    monkeypatch.setattr(downloads, "_IN_MEMORY", 1000)

    async def conversation():
        async with wires.serve(wires.always(wires.reply(WHOLE))) as served, fetching(tmp_path) as down:
            task = asyncio.create_task(down.fetch(served.url + "/x", STEM, 0))
            await asyncio.to_thread(begun.wait, 20)
            task.cancel()
            for _ in range(3):  # what does not wait for the thread has cleared up by now
                await asyncio.sleep(0)
            cancelled.set()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(conversation())
    assert files(tmp_path) == []


def wait_for_file(root):
    until = time.monotonic() + 5
    while not files(root):
        assert time.monotonic() < until


def test_the_sweep_takes_old_temporary_files_and_nothing_else(tmp_path):
    old = [tmp_path / "cats/.overnight-1.part", tmp_path / ".overnight-2.part", tmp_path / "fox-0.png"]
    young = tmp_path / "cats/.overnight-3.part"
    (tmp_path / "cats").mkdir()
    for path in [*old, young]:
        path.write_bytes(b"x")
    for path in old:
        os.utime(path, (time.time() - 3700,) * 2)
    assert storing.sweep(tmp_path) == 2
    assert files(tmp_path) == ["cats/.overnight-3.part", "fox-0.png"]
    assert storing.sweep(tmp_path / "away") == 0


def test_the_sweep_takes_what_a_dead_process_of_this_host_left_at_once(tmp_path):
    write = (
        "import sys, pathlib\n"
        "from worker.transfers import storing\n"
        "storing.Part(pathlib.Path(sys.argv[1]), pathlib.PurePosixPath('fox')).append(b'x')\n"
    )
    subprocess.run([sys.executable, "-c", write, str(tmp_path)], check=True)
    storing.Part(tmp_path, STEM).append(b"x")
    assert len(files(tmp_path)) == 2
    assert storing.sweep(tmp_path) == 1
    assert [path.split("-")[2] for path in files(tmp_path)] == [str(os.getpid())]


def test_the_sweep_leaves_alone_what_another_container_of_this_name_writes(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").touch()
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    with monkeypatch.context() as there:
        there.setattr(storing, "_NAMESPACE", tmp_path / "elsewhere")
        name = storing._temporary_name().replace(f"-{os.getpid()}-", f"-{dead.pid}-")
    (tmp_path / name).touch()
    assert storing.sweep(tmp_path) == 0
    (tmp_path / name.replace(name.split("-")[1], storing._host())).touch()
    assert storing.sweep(tmp_path) == 1


def test_the_second_sweep_takes_what_a_process_left_that_was_still_dying_at_the_first(tmp_path, monkeypatch):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as dying:
        name = storing._temporary_name().replace(f"-{os.getpid()}-", f"-{dying.pid}-")
        (tmp_path / name).write_bytes(b"x")
        monkeypatch.setattr(storing.time, "sleep", lambda _: (dying.kill(), dying.wait()))
        storing.sweep_twice(tmp_path, 30)
    assert files(tmp_path) == []
