from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.manifest import addresses

_PIECES = [
    "https://", "http://", "HTTP://", "a.example", "A-1.example.", "münchen.de", "[::1]", "me:word@", ":80", ":99999",
    ":", "/", "//", "x%2Fy", "tom.jpg", "..", "\\", ";a=b", "?", "#", "w=1", " ", "\t", "\n", "é",
]  # fmt: skip


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://a.example/x/tom.jpg", "/x/tom.jpg"),
        ("http://A-1.example:8080/tom%20cat.png?w=1#top", "/tom%20cat.png"),
        ("https://a.example/#x?y", "/"),
    ],
)
def test_the_path_of_a_plain_address_is_read(url, path):
    assert addresses.plain_path(url) == path


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example", "https:///tom.jpg", "https://me:word@a.example/tom.jpg", "https://[::1]/tom.jpg",
        "https://a.example:99999/tom.jpg", "https://a.example/tom cat.jpg", "https://a.example/tom.jpg\n",
        "https://a.example/é.jpg", "ftp://a.example/tom.jpg", "a.example/tom.jpg",
    ],
)  # fmt: skip
def test_any_other_address_is_left_to_the_standard_library(url):
    assert addresses.plain_path(url) is None


@given(st.lists(st.sampled_from(_PIECES), max_size=8).map("".join))
def test_what_is_read_is_what_the_standard_library_would_read(url):
    if (path := addresses.plain_path(url)) is not None:
        whole = urlsplit(url)
        assert whole.path == path
        assert whole.hostname
        assert whole.port is None or whole.port < 10_000
