import errno
import os
import struct
import zlib

import pytest

from jobs import errors
from jobs.manifest import pictures, problems, rows
from jobs.manifest.pictures import Travel
from tests.manifests import mistakes, picture, reading, rows_of, write


def one(folder, image):
    return write(folder, f'image,prompt\n"{image}",a\n')


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_pictures_of_the_usual_formats_are_taken(tmp_path, form):
    picture(tmp_path / "cats" / "tom.png", form=form)

    with reading(one(tmp_path, "cats/tom.png")) as read:
        assert read.problems.lines() == []
        assert read.images == {Travel.INLINE: 1}


@pytest.mark.parametrize(
    "url", ["https://a.example/x.png?w=1", "HTTP://a.example", "http://[::1]:8080/a%20b.png"]
)
def test_web_addresses_are_passed_on_as_they_are(tmp_path, url):
    with reading(one(tmp_path, url)) as read:
        ((row,),) = read.rows()
        assert row.image == url
        assert read.images == {Travel.URL: 1}


def test_how_pictures_travel_is_counted_by_the_length_of_their_data_uri(tmp_path):
    largest = (pictures.LONGEST_INLINE - len("data:image/jpeg;base64,")) // 4 * 3
    for name, size in (("small.png", largest), ("large.png", largest + 1)):
        path = picture(tmp_path / name)
        path.write_bytes(path.read_bytes().ljust(size, b"\0"))

    path = write(tmp_path, "image,prompt\nsmall.png,a\nlarge.png,a\nlarge.png,b\nhttp://a.example/b,c\n")
    with reading(path) as read:
        assert read.images == {Travel.URL: 1, Travel.INLINE: 1, Travel.UPLOAD: 2}


REFUSED = {
    "missing": (
        "tom.png",
        "tom.png cannot be found: in FOLDER; mend the path, or name another folder with --images DIR",
    ),
    "backslash": (
        "cats\\tom.png",
        "cannot be found with a backslash in it: in FOLDER; write / between folders",
    ),
    "too long a name": ("x" * 5000, "cannot be found"),
    "folder": ("cats", "cats is a folder: name a picture"),
    "text": ("notes.txt", "notes.txt is not an image: use one of PNG, JPEG, WEBP, GIF"),
    "empty": ("empty.png", "empty.png is an empty file: was it copied whole?"),
    "vector": ("x.svg", "x.svg is not an image"),
    "bitmap": (
        "x.bmp",
        "x.bmp is a BMP image, which is not accepted: convert it to one of PNG, JPEG, WEBP, GIF",
    ),
    "scan": ("x.tif", "x.tif is a TIFF image, which is not accepted"),
    "phone": ("x.heic", "x.heic is a HEIC image, which is not accepted"),
    "text that begins like a bitmap": ("bm.txt", "bm.txt is not an image"),
    "cut off": ("cut.png", "cut.png is a broken image"),
    "cut in half": ("half.png", "half.png is cut off: its end is missing; copy it again, whole"),
    "gigapixel": ("giga.png", "giga.png has more pixels than the model can hold"),
    "many pixels": ("mega.png", "mega.png has more pixels than the model can hold"),
    "over 100 MB": ("huge.png", "huge.png has 100 MB or more"),
    "absolute": (
        "/etc/passwd",
        "/etc/passwd is an absolute path: name the folder it may lie in with --images DIR",
    ),
    "climbing": ("../outside.png", "../outside.png lies outside the folder of pictures"),
    "hidden climbing": ("cats/../../outside.png", "lies outside the folder of pictures"),
    "link to a file outside": ("link.png", "link.png lies outside the folder of pictures"),
    "link to a folder outside": ("up/outside.png", "up/outside.png lies outside the folder of pictures"),
    "link to nothing inside": (
        "lost.png",
        "lost.png is a link that leads nowhere: to gone.png; mend the link",
    ),
    "link to nothing outside": ("away.png", "away.png is a link that leads nowhere: to /nowhere/gone.png"),
    "link to nothing that lies outside": ("../gone.png", "../gone.png lies outside the folder of pictures"),
    "link to itself": ("loop.png", "loop.png cannot be found"),
    "pipe": ("pipe.png", "pipe.png is no regular file"),
    "device": ("zero.png", "zero.png lies outside the folder of pictures"),
    "data URI": ("data:image/png;base64,AAAA", "is a data URI: save the picture as a file"),
    "file address": ("file:///etc/passwd", "file:///etc/passwd is a file: address: name the path alone"),
    "file address without slashes": ("file:tom.png", "file:tom.png is a file: address"),
    "ftp": ("ftp://a.example/x.png", "ftp://a.example/x.png is no address the API can fetch"),
    "no host": ("https:///x.png", "https:///x.png is no complete address"),
    "bad host": ("https://[/x.png", "is no complete address"),
    "bad port": ("https://a.example:99999/x.png", "is no complete address"),
    "blank in the address": ("https://a.example/a b.png", "is no complete address: write https://HOST/PATH"),
    "long address": ("https://a.example/" + "x" * 5000, "is an address of more than 4096 characters"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of pictures that cannot be sent, and one outside it."""
    top = tmp_path_factory.mktemp("pictures")
    inside = top / "inside"
    good = picture(inside / "cats" / "tom.jpg").read_bytes()
    picture(top / "outside.png")
    (inside / "notes.txt").write_text("root:x:0:0")
    (inside / "empty.png").touch()
    (inside / "x.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (inside / "x.bmp").write_bytes(b"BM\x36\x00\x03\x00\x00\x00\x00\x00\x36\x00\x00\x00")
    (inside / "x.tif").write_bytes(b"II*\x00\x08\x00\x00\x00")
    (inside / "x.heic").write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00")
    (inside / "bm.txt").write_text("BM is a bitmap's mark")
    (inside / "lost.png").symlink_to("gone.png")
    (inside.parent / "gone.png").symlink_to("nowhere.png")
    (inside / "away.png").symlink_to("/nowhere/gone.png")
    (inside / "cut.png").write_bytes(good[:20])
    (inside / "half.png").write_bytes(good[: len(good) // 2])
    (inside / "giga.png").write_bytes(png_that_claims(40_000, 40_000))
    (inside / "mega.png").write_bytes(png_that_claims(10_000, 9_500))
    (inside / "huge.png").write_bytes(good)
    os.truncate(inside / "huge.png", 100_000_000)
    (inside / "link.png").symlink_to(top / "outside.png")
    (inside / "up").symlink_to(top)
    (inside / "loop.png").symlink_to(inside / "loop.png")
    (inside / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(inside / "pipe.png")
    return inside


def png_that_claims(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    checked = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + checked + struct.pack(">I", 1000) + b"IDAT"


@pytest.mark.parametrize("name", REFUSED)
def test_a_picture_that_must_not_or_cannot_be_sent_has_a_sentence(folder, name):
    image, sentence = REFUSED[name]
    path = write(folder, f'image,prompt\n"{image}",a\n', f"{name}.csv")

    (line,) = mistakes(path)

    assert line.startswith(f"{name}.csv:2: image: ")
    assert sentence.replace("FOLDER", str(folder)) in line


@pytest.mark.parametrize("image", ["/dev/zero", "/dev/stdin", "/proc/self/mem", "/proc/self/environ"])
def test_no_device_is_opened_even_when_everything_is_allowed(tmp_path, image):
    allowed = rows.Adaptation(images=next(p for p in tmp_path.parents if p.parent == p))

    (line,) = mistakes(one(tmp_path, image), allowed)

    assert "image: " in line


def test_absolute_paths_are_taken_below_the_folder_that_was_named_and_nowhere_else(tmp_path):
    inside = picture(tmp_path / "photos" / "cats" / "tom.png")
    outside = picture(tmp_path / "tom.png")
    allowed = rows.Adaptation(images=tmp_path / "photos")

    (row,) = rows_of(one(tmp_path, inside), allowed)
    (line,) = mistakes(one(tmp_path, outside), allowed)

    assert (row.image, row.key.rpartition("-")[0]) == (str(inside), "cats/tom")
    assert "lies outside the folder of pictures" in line


def test_links_that_stay_inside_are_followed(tmp_path):
    picture(tmp_path / "tom.png")
    (tmp_path / "link.png").symlink_to("tom.png")

    assert rows_of(one(tmp_path, "link.png"))[0].image == "link.png"


def test_a_folder_of_pictures_may_itself_be_a_link(tmp_path):
    picture(tmp_path / "real" / "tom.png")
    (tmp_path / "photos").symlink_to("real")

    (row,) = rows_of(one(tmp_path, "tom.png"), rows.Adaptation(images=tmp_path / "photos"))

    assert row.image == "tom.png"


@pytest.mark.parametrize(
    ("there", "written", "told"),
    [
        ("tom.JPG", "tom.jpg", "there is one that ends in .JPG"),
        ("tom.jpg", "tom.JPG", "there is one that ends in .jpg"),
        ("Zu\u0308rich.png", "Z\u00fcrich.png", "there is one that looks the same"),
        ("Z\u00fcrich.png", "Zu\u0308rich.png", "there is one that looks the same"),
    ],
)
def test_a_missing_picture_is_told_from_one_that_hardly_looks_different(tmp_path, there, written, told):
    picture(tmp_path / "cats" / there)

    (line,) = mistakes(one(tmp_path, f"cats/{written}"))

    assert f"cannot be found under just this name: in {tmp_path}; {told}" in line


def test_what_helps_against_some_missing_pictures_is_not_lost_among_the_others(tmp_path):
    picture(tmp_path / "tom.png")
    lines = mistakes(write(tmp_path, "image,prompt\n" + "gone.png,a\ntom.PNG,a\nc\\tom.png,a\n" * 2))

    assert [line.partition(": in ")[2].partition("; ")[2] for line in lines] == [
        "mend the path, or name another folder with --images DIR (2 times: lines 2, 5)",
        "there is one that ends in .png (2 times: lines 3, 6)",
        "write / between folders (2 times: lines 4, 7)",
    ]


def test_a_look_alike_outside_the_folder_is_not_told(tmp_path):
    picture(tmp_path / "tom.JPG")
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "tom.JPG").symlink_to(tmp_path / "tom.JPG")

    (line,) = mistakes(one(tmp_path / "cats", "tom.jpg"))

    assert "there is one" not in line


def test_a_missing_picture_of_many_rows_is_one_line(tmp_path):
    (line,) = mistakes(write(tmp_path, "image,prompt\n" + "tom.png,a\n" * 50))

    assert "tom.png cannot be found: in " in line
    assert line.endswith("name another folder with --images DIR (50 times: lines 2-51)")


@pytest.mark.parametrize(("here", "typed"), [(".", "."), ("..", "'my cats'"), ("sub", None)])
def test_an_absolute_path_below_the_manifest_names_the_folder_as_it_is_typed_here(
    tmp_path, monkeypatch, here, typed
):
    folder = tmp_path / "my cats"
    path = one(folder, picture(folder / "sub" / "tom.png"))
    monkeypatch.chdir(folder / here)
    (line,) = mistakes(path)
    assert line.endswith(f"name the folder it may lie in with --images {typed or repr(str(folder))}")
    monkeypatch.chdir(folder)
    (line,) = mistakes(one(folder, f"{folder}/../outside.png"))
    assert line.endswith("--images DIR")


def test_a_path_with_a_nul_is_refused_before_it_reaches_the_system(tmp_path):
    with pytest.raises(problems.Rejected, match="NUL"):
        pictures.locate("a\0.png", tmp_path, absolute_allowed=False)


def test_locating_a_picture_again_sees_what_changed(tmp_path):
    path = picture(tmp_path / "a" / "tom.png")
    assert pictures.locate("tom.png", tmp_path / "a", absolute_allowed=False) == path

    path.unlink()
    path.symlink_to("/etc/hostname")

    with pytest.raises(problems.Rejected, match="lies outside") as caught:
        pictures.locate("tom.png", tmp_path / "a", absolute_allowed=False)
    assert isinstance(caught.value, errors.Mistake)


@pytest.mark.parametrize("what", ["locate", "_size_of_image"])
def test_a_machine_that_is_short_of_memory_blames_no_picture(tmp_path, monkeypatch, what):
    def short(*_, **__):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    picture(tmp_path / "tom.png")
    monkeypatch.setattr(pictures, what, short)
    with pytest.raises(
        errors.Unavailable, match=r"tom\.png cannot be looked at for now: Cannot allocate memory"
    ):
        pictures.Pictures(tmp_path, absolute_allowed=False).travel("tom.png")
