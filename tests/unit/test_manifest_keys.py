import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.manifest import keys, problems

DIGEST = "0123456789abcdef"


@given(st.text())
@example("con")
@example("a/../../etc/passwd")
@example(".hidden")
@example("COM¹.txt")
@example("a\u0301" * 80)
@example("x.2")
@example("con." + "x" * 200)
@example("x" * 98 + ".1" + "y")
def test_a_slug_is_a_path_that_every_file_system_takes(key):
    for part in keys.slug(key).split("/"):
        assert part
        assert len(part.encode()) <= 101  # a device's name has one more
        assert not part.startswith((".", "-"))
        assert not part.endswith((".", " "))
        assert not re.search(r'[<>:"\\|?*\x00-\x1f\s]', part)
        assert not re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)", part)
        assert not re.search(r"\.[0-9]+$", part)


@given(st.text())
def test_a_slug_is_its_own_slug(key):
    assert keys.slug(keys.slug(key)) == keys.slug(key)


@given(st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,40}[a-z0-9_])?(/[a-z0-9_]{5,20})?", fullmatch=True))
def test_a_plain_key_keeps_its_spelling(key):
    device = re.match(r"(con|prn|aux|nul|com\d|lpt\d)$", key.split("/")[0])
    assert keys.slug(key) == (f"_{key}" if device else key)


@pytest.mark.parametrize(
    ("key", "slug"),
    [
        ("Käse/Müller №1", "Käse/Müller-1"),
        ("हिन्दी", "हिन्दी"),
        ("cafe\u0301", "café"),
        ("a b  c", "a-b-c"),
        ("=1+1", "1-1"),
        ("/etc//passwd", "_/etc/_/passwd"),
        ("🐈", "_"),
        ("NUL.tar.gz", "_NUL.tar.gz"),
    ],
)
def test_slugs_stay_readable(key, slug):
    assert keys.slug(key) == slug


@given(st.text(max_size=400), st.sampled_from(["", "https://a.example/", "http://[", "/pics/", "../"]))
def test_a_derived_key_is_one_that_could_have_been_given(image, before):
    key = keys.derive(before + image, DIGEST, Path("/pics"))

    assert keys.check(key) == key
    assert key.endswith("-0123456789")


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("cats/tom.png", "cats/tom"),
        ("./cats/../dogs/rex.jpg", "cats/dogs/rex"),
        ("archive.tar.gz", "archive.tar"),
        ("https://a.example/set/tom%20cat.jpg?size=1.5", "tom cat"),
        ("https://a.example/", "image"),
        ("https://a.example/a%2Fb.png", "a-b"),
        ("/pics/cats/tom.png", "cats/tom"),
        ("/elsewhere/tom.png", "tom"),
        ("tom\n.png", "tom-"),
    ],
)
def test_a_derived_key_begins_with_the_name_of_the_image(image, name):
    assert keys.derive(image, DIGEST, Path("/pics")) == f"{name}-0123456789"


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("x" * 201, "longer than 200"),
        ("a\nb", "control character"),
        ("a\u2028b", "control character"),
        ("/a", "begins with a slash"),
        ("a//b", "part between"),
        ("a/", "part between"),
        ("../a", "part between"),
        ("a/./b", "part between"),
        ("", "part between"),
    ],
)
def test_a_key_that_cannot_be_one_says_why(key, why):
    with pytest.raises(problems.Rejected, match=why):
        keys.check(key)


@pytest.mark.parametrize("key", ["tom", "cats/tom", "Tom & Jerry (1)", "🐈", "=1+1", "a.b", "x" * 200])
def test_a_key_is_kept_as_it_was_given(key):
    assert keys.check(key) == key
