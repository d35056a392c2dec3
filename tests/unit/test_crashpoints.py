import pytest

from jobs import crashpoints
from jobs.crashpoints import Place, Struck


@pytest.fixture
def armed():
    """Arm the places as an environment would; disarmed with the test."""
    before = crashpoints.listen(None)
    yield lambda text: crashpoints.listen(crashpoints.parse(text))
    crashpoints.listen(before)


def test_a_place_does_nothing_unless_it_is_asked_to(armed):
    armed("")
    for place in Place:
        crashpoints.reach(place)


def test_it_strikes_at_the_nth_time_and_never_again(armed):
    armed("before_post:3:raise")
    crashpoints.reach(Place.BEFORE_POST)
    crashpoints.reach(Place.BEFORE_POST)
    with pytest.raises(Struck):
        crashpoints.reach(Place.BEFORE_POST)
    crashpoints.reach(Place.BEFORE_POST)


def test_other_places_do_not_count(armed):
    armed("before_post:1:raise")
    crashpoints.reach(Place.AFTER_POST_RESPONSE)
    with pytest.raises(Struck):
        crashpoints.reach(Place.BEFORE_POST)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nowhere:1:kill", "not a valid Place"),
        ("before_post:often:kill", "invalid literal"),
        ("before_post:1", "not enough values"),
        ("before_post", "not enough values"),
    ],
)
def test_what_cannot_be_read_is_refused(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        crashpoints.parse(text)


def test_an_unknown_mode_is_refused():
    with pytest.raises(KeyError, match="explode"):
        crashpoints.parse("before_post:1:explode")


def test_whoever_listens_hears_of_every_place_and_gives_way_again():
    heard = []
    before = crashpoints.listen(heard.append)
    try:
        crashpoints.reach(Place.AFTER_RENAME)
    finally:
        assert crashpoints.listen(before) == heard.append
    crashpoints.reach(Place.AFTER_RENAME)
    assert heard == [Place.AFTER_RENAME]
