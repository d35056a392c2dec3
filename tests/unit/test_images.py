import errno
import io
import os
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jobs import errors, images

KINDS = {
    "PNG": ("image/png", "png"),
    "JPEG": ("image/jpeg", "jpg"),
    "WEBP": ("image/webp", "webp"),
    "GIF": ("image/gif", "gif"),
}
# Of a file that lacks no more than this, every pixel and the end's name are there.
END_MARK = 4


def drawn(kind="PNG", size=(64, 48), **options):
    file = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(file, kind, **options)
    return file.getvalue()


class FailingDisk(io.BytesIO):
    """A file of which only the beginning can be read."""

    def open(self, _mode):
        return self

    def read(self, size=-1):
        if size < 0 or self.tell() + size > 1000:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(size)


def huge_png(width, height):
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + drawn()[33:]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_image_tells_its_format_and_its_size(kind):
    facts = images.inspect(drawn(kind))
    assert (facts.media_type, facts.suffix) == KINDS[kind]
    assert (facts.width, facts.height) == (64, 48)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_mode_of_png_is_an_image(mode):
    file = io.BytesIO()
    Image.new(mode, (9, 5)).save(file, "PNG")
    assert images.inspect(file.getvalue()).width == 9


@pytest.mark.parametrize(
    ("mode", "colour", "black"),
    [
        *(("RGB", "black", True), ("L", 0, True), ("1", 0, True), ("P", 0, True), ("I;16", 0, True)),
        *(("RGB", (0, 0, 1), False), ("L", 1, False), ("RGBA", (0, 0, 0, 9), False), ("LA", (0, 9), False)),
    ],
)
def test_only_an_image_of_which_nothing_is_left_is_black(mode, colour, black):
    file = io.BytesIO()
    Image.new(mode, (9, 5), colour).save(file, "PNG")
    assert images.inspect(file.getvalue()).black is black


def test_one_pixel_is_enough_not_to_be_black():
    file = io.BytesIO()
    picture = Image.new("RGB", (900, 500))
    picture.putpixel((899, 499), (1, 0, 0))
    picture.save(file, "PNG")
    assert not images.inspect(file.getvalue()).black


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_cut_anywhere_is_none(kind):
    whole = drawn(kind)
    for length in [*range(0, len(whole) - END_MARK, max(1, len(whole) // 60)), len(whole) - END_MARK - 1]:
        with pytest.raises(errors.NotAnImage):
            images.inspect(whole[:length])


@pytest.mark.parametrize("kind", KINDS)
def test_that_a_disk_fails_is_no_fault_of_the_image(kind):
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        images.inspect(FailingDisk(drawn(kind, (200, 200))))


@pytest.mark.parametrize("options", [{"progressive": True}, {"quality": 30, "subsampling": 0}])
def test_a_jpeg_cut_in_half_is_none(options):
    whole = drawn("JPEG", (400, 300), **options)
    with pytest.raises(errors.NotAnImage):
        images.inspect(whole[: len(whole) // 2])


def test_a_png_with_a_flipped_bit_is_none():
    broken = bytearray(drawn())
    broken[len(broken) // 2] ^= 1
    with pytest.raises(errors.NotAnImage):
        images.inspect(bytes(broken))


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_after_the_end_is_tolerated(kind):
    assert images.inspect(drawn(kind) + b"camera's own notes").width == 64


def is_cut_off(content):
    file = io.BytesIO(content)
    kind = images.kind_of(content[:16])
    assert kind.open(file).size
    return images.is_cut_off(kind, file)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"exif": b"Exif\0\0" + drawn("JPEG", (16, 16))}),  # a preview, with an end of its own
    ],
)
def test_an_image_without_its_end_is_cut_off(kind, options):
    whole = drawn(kind, (160, 120), **options)
    assert not is_cut_off(whole)
    assert is_cut_off(whole[:-1])
    assert is_cut_off(whole[: len(whole) // 2])
    assert is_cut_off(whole[: len(whole) // 2] + bytes(len(whole)))


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_camera_appends_makes_no_image_a_cut_one(kind):
    assert not is_cut_off(drawn(kind) + b"a film " * 300_000)


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "PPM", "ICO"])
def test_other_formats_are_refused(kind):
    with pytest.raises(errors.NotAnImage, match="no PNG, JPEG, WebP or GIF"):
        images.inspect(drawn(kind))


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b'{"detail": "requested file not found"}', b"SIMPLE  = T", b"RIFF\0\0\0\0WAVE"],
)
def test_what_is_no_image_is_refused(content):
    with pytest.raises(errors.NotAnImage):
        images.inspect(content)


@pytest.mark.parametrize(("width", "height"), [(9000, 9000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_an_error_before_one_is_decoded(width, height):
    # Pillow would warn of the first of these, and warnings are errors here.
    with pytest.raises(errors.NotAnImage, match="more than 50000000 are refused"):
        images.inspect(huge_png(width, height))


def test_a_jpeg_of_scans_without_end_is_refused_before_they_are_decoded():
    """Each scan takes fifty bytes of the file, and a pass over all pixels: a megabyte would take minutes."""
    file = io.BytesIO()
    Image.new("L", (3000, 3000), 128).save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    last = whole[whole.rindex(b"\xff\xda") : -2]
    assert images.inspect(whole[:-2] + 20 * last + whole[-2:]).width == 3000
    began = time.process_time()
    with pytest.raises(errors.NotAnImage, match=r"has \d+ scans of 3000 x 3000 pixels"):
        images.inspect(whole[:-2] + 12_000 * last + whole[-2:])
    assert time.process_time() - began < 1


def test_the_cap_itself_is_allowed(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 64 * 48)
    assert images.inspect(drawn()).height == 48
    monkeypatch.setattr(images, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(errors.NotAnImage):
        images.inspect(drawn())


def test_threads_do_not_disturb_each_other():
    samples = [drawn(kind) for kind in KINDS] + [drawn()[:500], drawn("JPEG")[:500]]
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(_is_image, samples * 20))
    assert outcomes == [True, True, True, True, False, False] * 20


def _is_image(content):
    try:
        images.inspect(content)
    except errors.NotAnImage:
        return False
    return True


@given(
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF....WEBP", b"GIF89a"]),
    st.binary(max_size=300),
)
def test_any_bytes_are_an_image_or_not(magic, content):
    _is_image(magic + content)


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 5000), st.binary(min_size=1, max_size=8))
def test_any_damage_ends_in_a_verdict(kind, place, damage):
    whole = drawn(kind, (16, 16))
    place %= len(whole)
    _is_image(whole[:place] + damage + whole[place + len(damage) :])
