import json
import string
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import errors, failures, marker
from worker.api import bodies, diagnosis, refusals, replies
from worker.lookup import walk

NOW = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)
READERS = [replies.created, replies.read, replies.page, replies.uploaded]
WHOLE = {
    "id": "qpt5jq1fssrmc0cmd5hvy31mdg",
    "status": "succeeded",
    "output": ["https://images.example/out-0.png", "https://images.example/out-1.png"],
    "error": None,
    "input": {"prompt": "a fox", "seed": 7, "image": "data:image/png;base64,AAAA"},
    "version": "15a3689e",
    "created_at": "2026-11-23T21:59:00.123456789Z",
    "completed_at": "2026-11-23T23:59:07.5+02:00",
    "metrics": {"predict_time": 6.81},
    "data_removed": False,
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)
near_objects = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys([*WHOLE, "results", "next", "urls", "code", "detail", "retry_after"], json_values),
)


def body(value):
    return json.dumps(value).encode()


def created(status, value, **headers):
    return replies.created(status, headers, value if isinstance(value, bytes) else body(value))


def read(value):
    return replies.read(200, {}, body(value))


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_create_is_accepted_whichever_way_it_says_so(status):
    prediction = created(status, {"id": "abc", "status": "starting"})
    assert (prediction.id, prediction.status, prediction.final) == ("abc", "starting", False)


def test_every_field_of_a_whole_object_is_read():
    prediction = read(WHOLE)
    assert prediction.output == tuple(WHOLE["output"])
    assert prediction.created_at == datetime(2026, 11, 23, 21, 59, 0, 123456, tzinfo=UTC)
    assert prediction.completed_at == datetime(2026, 11, 23, 21, 59, 7, 500_000, tzinfo=UTC)
    assert prediction.completed_at.tzinfo is UTC
    assert prediction.predict_time == 6.81
    assert prediction.final


def test_an_echoed_input_keeps_its_scalars_and_of_an_image_inside_it_the_digest():
    image = marker.image_digest(WHOLE["input"]["image"])
    assert read(WHOLE).input == {"prompt": "a fox", "seed": 7, "image": image}


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("https://a.example/x.png", ("https://a.example/x.png",)),
        (["data:image/png;base64,AA=="], ("data:image/png;base64,AA==",)),
        ([None, 3, "", "u"], ("u",)),
        ([], ()),
        (None, ()),
        (
            {"images": ["https://a/1", "https://a/2"], "seed": "7", "mask": None},
            ("https://a/1", "https://a/2"),
        ),
        ([["https://a/1"], {"url": "HTTPS://a/2"}, [[3]]], ("https://a/1", "HTTPS://a/2")),
        ("", ()),
    ],
)
def test_output_comes_in_many_shapes(output, expected):
    assert read({"id": "a", "output": output}).output == expected


@pytest.mark.parametrize("status", ["succeeded", "failed", "canceled", "aborted"])
def test_the_four_last_words_are_final(status):
    assert read({"id": "a", "status": status}).final


@pytest.mark.parametrize("status", ["queued", "SUCCEEDED", "", None, 3])
def test_an_unknown_word_is_kept_and_is_not_final(status):
    prediction = read({"id": "a", "status": status})
    assert not prediction.final
    assert prediction.status == (status if isinstance(status, str) else "")


@pytest.mark.parametrize(
    "time", ["yesterday", "", 5, None, "0001-01-01T00:00:00+14:00", "2026-13-01T00:00:00Z"]
)
def test_a_time_that_cannot_be_read_is_none(time):
    assert read({"id": "a", "created_at": time}).created_at is None


@pytest.mark.parametrize("zero", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_time_that_says_not_set_is_none_and_no_list_goes_back_to_it(zero):
    body = json.dumps({"next": "?cursor=2", "results": [{"id": "a", "created_at": zero}]}).encode()
    taken = walk.Walk(since=NOW, now=NOW, within=60)
    taken.add(replies.page(200, {}, body))
    assert taken.seen["a"].created_at is None
    assert not taken.covers(NOW)


@pytest.mark.parametrize("seconds", [b"NaN", b"1e999", b"-1", b"true", b'"6"', b"1" * 400])
def test_a_senseless_predict_time_is_none(seconds):
    reply = b'{"id": "a", "metrics": {"predict_time": ' + seconds + b"}}"
    assert replies.read(200, {}, reply).predict_time is None


@pytest.mark.parametrize("identity", ["", ".", "..", "a\nb", "a\0", "x" * 201, 5, None, ["a"], "\ud800"])
def test_an_id_that_fits_no_url_is_none(identity):
    with pytest.raises(errors.Unconfirmed):
        created(201, {"id": identity, "status": "starting"})


@pytest.mark.parametrize(
    "status", [100, 203, 204, 206, 408, 409, 500, 502, 503, 504, 520, 599, 600]
)  # fmt: skip
def test_what_may_have_been_accepted_is_unconfirmed(status):
    with pytest.raises(errors.Unconfirmed):
        created(status, {"detail": "insufficient_quota", "id": "abc"})


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b'{"id": "ab', b"null", b"[]", b'{"status": "starting"}', b"\xff"]
)
def test_a_success_without_an_id_is_unconfirmed(content):
    with pytest.raises(errors.Unconfirmed):
        created(201, content)


@pytest.mark.parametrize("status", [400, 406, 410, 411, 413, 414, 415, 422, 451])
@pytest.mark.parametrize("content", [b"", b"<html>no</html>", b'{"id": "abc", "detail": "no"}'])
def test_every_other_4xx_refuses_the_input_whatever_its_body(status, content):
    with pytest.raises(errors.Refused) as caught:
        created(status, content)
    assert caught.value.error_class == "invalid-input"


@pytest.mark.parametrize("status", [404, 422])
def test_a_model_that_does_not_exist_refuses_the_input(status):
    with pytest.raises(errors.Refused):
        created(status, {"error": {"message": "The model `x` does not exist", "code": "model_not_found"}})


@pytest.mark.parametrize("status", [301, 302, 307, 308, 404, 405])
def test_a_url_that_is_no_predictions_api_blocks(status):
    with pytest.raises(errors.Blocked) as caught:
        created(status, b"<html>Not Found</html>", location="https://elsewhere.example/")
    assert caught.value.reason is errors.BlockReason.NOT_AN_API
    assert "elsewhere" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "reply", "reason"),
    [
        (401, {"title": "Unauthenticated"}, "token"),
        (402, {"title": "Insufficient credit"}, "credit"),
        (402, None, "credit"),
        (403, {"error": {"message": "quota is used up", "code": "x"}}, "credit"),
        (403, {"error": {"message": "用户额度不足", "code": "insufficient_user_quota"}}, "credit"),
        (403, {"detail": "Your credit balance is too low."}, "credit"),
        (400, {"error": {"message": "no", "code": "invalid_api_key"}}, "token"),
        (400, {"error": {"message": "no", "code": "insufficient_credit"}}, "credit"),
        (
            429,
            {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}},
            "credit",
        ),
        (429, {"error": {"message": "no", "type": "insufficient_quota", "code": None}}, "credit"),
    ],
)
@pytest.mark.parametrize("reader", READERS)
def test_the_account_is_blocked_by_status_and_by_code(reader, status, reply, reason):
    with pytest.raises(errors.Blocked) as caught:
        reader(status, {}, body(reply))
    assert caught.value.reason == reason


FORBIDDEN = [
    None,
    {"detail": "You do not have permission to perform this action."},
    {"error": {"message": "Not allowed.", "code": "insufficient_permissions"}},
]


@pytest.mark.parametrize("reply", FORBIDDEN)
@pytest.mark.parametrize("reader", [replies.created, replies.read])
def test_a_call_that_must_be_allowed_and_is_forbidden_blocks(reader, reply):
    with pytest.raises(errors.Blocked) as caught:
        reader(403, {}, body(reply))
    assert caught.value.reason == "token"


@pytest.mark.parametrize("reply", FORBIDDEN)
@pytest.mark.parametrize("reader", [replies.page, replies.uploaded])
def test_a_call_that_is_forbidden_and_can_be_done_without_is_unsupported(reader, reply):
    with pytest.raises(errors.Unsupported):
        reader(403, {}, body(reply))


def test_a_403_about_the_input_refuses_the_job_alone():
    with pytest.raises(errors.Refused) as caught:
        created(403, {"detail": "NSFW content detected"})
    assert caught.value.error_class == "nsfw"


def test_a_throttled_account_low_on_credit_is_throttled_and_not_blocked():
    words = "Request was throttled. Your rate limit is reduced while you have less than $5.0 in credit."
    with pytest.raises(errors.Throttled) as caught:
        created(429, {"detail": f"{words} It resets in ~30s.", "status": 429, "retry_after": 5})
    assert caught.value.wait == 30


def wait(reply=None, **headers):
    return refusals.wait_told({k.replace("_", "-"): v for k, v in headers.items()}, reply, NOW)


def test_a_wait_is_read_from_header_field_and_text():
    assert wait(retry_after="7") == 7
    assert wait({"retry_after": 8}) == 8
    assert wait({"retry_after": "8.5"}) == 8.5
    assert wait({"detail": "Expected available in 1 second."}) == 1
    assert wait({"detail": "resets in ~30s"}) == 30
    assert wait({"detail": "resets in ~500ms"}) == 0.5
    assert wait({"error": {"message": "Please try again in 2 minutes"}}) == 120


def test_the_longest_of_several_waits_counts():
    assert wait({"retry_after": 9, "detail": "resets in ~3s"}, retry_after="4") == 9


def test_a_wait_may_be_a_date_by_the_apis_own_clock():
    until = format_datetime(NOW + timedelta(seconds=40), usegmt=True)
    assert wait(retry_after=until) == 40
    assert wait(retry_after=until, date=format_datetime(NOW + timedelta(seconds=10), usegmt=True)) == 30


@pytest.mark.parametrize(
    "told", ["-5", "nan", "inf", "soon", "", "Mon, 99 Foo 2026", "Sun, 22 Nov 2026 22:00:00 GMT"]
)
def test_a_senseless_wait_is_the_usual_one(told):
    assert wait(retry_after=told) == refusals.USUAL_WAIT


def test_a_wait_has_a_least_and_a_most():
    assert wait(retry_after="0") == refusals.SHORTEST_WAIT
    assert wait(retry_after="86400") == refusals.LONGEST_WAIT


def test_a_read_knows_missing_from_unanswered():
    for status in (404, 410):
        with pytest.raises(errors.Missing):
            replies.read(status, {}, body({"detail": "not found"}))
    for status, content in [
        (500, b"{}"),
        (502, b"<html>"),
        (200, b"<html>"),
        (200, b"{}"),
        (302, b""),
        (400, b""),
    ]:
        with pytest.raises(errors.Unanswered):
            replies.read(status, {}, content)


@pytest.mark.parametrize(
    ("status", "told", "error"),
    [
        (400, {"error": {"message": "task_not_exist"}}, errors.Refused),
        (422, {"detail": "no such id"}, errors.Refused),
        (403, {"detail": "the model of this prediction is no longer yours"}, errors.Refused),
        (400, {}, errors.Unanswered),
        (408, {"detail": "too slow"}, errors.Unanswered),
        (425, {"detail": "too early"}, errors.Unanswered),
        (500, {"detail": "task_not_exist"}, errors.Unanswered),
        (401, {"detail": "no such token"}, errors.Blocked),
        (429, {"detail": "slower"}, errors.Throttled),
    ],
)
def test_a_read_that_the_api_refuses_with_words_is_an_answer(status, told, error):
    with pytest.raises(errors.ApiError) as raised:
        replies.read(status, {}, body(told))
    assert type(raised.value) is error


def page(value):
    return replies.page(200, {}, body(value))


def test_a_page_has_its_predictions_and_the_query_of_the_next():
    following = "https://evil.example/v1/predictions?cursor=cD0yMDI2&created_after=2026"
    found = page({"next": following, "previous": None, "results": [WHOLE, {"id": "b"}]})
    assert [prediction.id for prediction in found.predictions] == [WHOLE["id"], "b"]
    assert found.cursor == "cursor=cD0yMDI2&created_after=2026"


def test_a_page_does_not_keep_the_images_that_are_in_it():
    inline, url = "data:image/png;base64," + "A" * 1000, "https://files.example.com/0.png"
    body = json.dumps({"results": [{"id": "a", "status": "succeeded", "output": [inline, url]}]})
    [shown] = replies.page(200, {}, body.encode()).predictions
    assert shown.output == ("data:", url)


@pytest.mark.parametrize("following", [None, ""])
def test_the_last_page_has_no_next(following):
    assert page({"next": following, "results": []}).cursor is None


@pytest.mark.parametrize(
    "following", ["https://api.example/v1/predictions", 7, ["a"], "http://[", "?a b", "?\u0661"]
)
def test_a_next_page_that_cannot_be_asked_for_is_no_end(following):
    with pytest.raises(errors.Unanswered):
        page({"next": following, "results": []})


@pytest.mark.parametrize("results", [None, {}, "x", [None], [{"id": "a"}, {"status": "starting"}]])
def test_a_page_that_cannot_be_read_whole_does_not_count(results):
    with pytest.raises(errors.Unanswered):
        page({"next": None, "results": results})


@pytest.mark.parametrize("reader", [replies.page, replies.uploaded])
@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_call_that_the_api_lacks_is_unsupported(reader, status):
    with pytest.raises(errors.Unsupported):
        reader(status, {}, b"")


@pytest.mark.parametrize(
    "told", [{}, {"error": {"code": "insufficient_user_quota"}}, {"detail": "no credit"}]
)
@pytest.mark.parametrize("status", [403, 405, 501])
def test_an_api_that_does_not_cancel_says_nothing_of_the_account(status, told):
    with pytest.raises(errors.Unsupported):
        replies.canceled(status, {}, body(told))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, errors.Missing),
        (400, errors.Refused),
        (409, errors.Refused),
        (422, errors.Refused),
        (401, errors.Blocked),
        (402, errors.Blocked),
        (429, errors.Throttled),
        (408, errors.Unanswered),
        (500, errors.Unanswered),
        (503, errors.Unanswered),
    ],
)
def test_a_cancel_that_is_not_obeyed_is_told_by_what_to_do_next(status, error):
    with pytest.raises(errors.ApiError) as told:
        replies.canceled(status, {}, b"")
    assert type(told.value) is error


def test_an_upload_answers_with_the_url_to_use():
    reply = {"id": "f", "urls": {"get": "https://api.example/v1/files/f"}}
    assert replies.uploaded(201, {}, body(reply)).url == "https://api.example/v1/files/f"


@pytest.mark.parametrize(
    ("told", "date", "lives"),
    [
        ({"created_at": "2026-11-23T03:00:00Z", "expires_at": "2026-11-23T04:00:00Z"}, None, 3600),
        ({"expires_at": "2026-11-23T04:00:00Z"}, "Mon, 23 Nov 2026 03:30:00 GMT", 1800),
        ({"expires_at": "2026-11-23T04:00:00Z"}, None, None),
        ({"created_at": "2026-11-23T03:00:00Z", "expires_at": None}, None, None),
        ({"created_at": "2026-11-23T03:00:00Z", "expires_at": "tomorrow"}, None, None),
    ],
)
def test_how_long_a_file_lives_is_told_by_the_apis_clock_alone(told, date, lives):
    reply = {"urls": {"get": "https://api.example/v1/files/f"}} | told
    assert replies.uploaded(201, {"date": date} if date else {}, body(reply)).lives == lives


@pytest.mark.parametrize(
    "reply", [{}, {"urls": None}, {"urls": {"get": 3}}, {"urls": {"get": "file:///etc/passwd"}}]
)
def test_an_upload_without_a_url_is_unanswered(reply):
    with pytest.raises(errors.Unanswered):
        replies.uploaded(201, {}, body(reply))


def test_an_upload_may_be_refused():
    with pytest.raises(errors.Refused):
        replies.uploaded(413, {}, b"<html>")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "interrupted"),
        ("  ", "interrupted"),
        ("Prediction interrupted; please retry (code: PA)", "interrupted"),
        ("Director: unexpected error handling prediction (E6716)", "interrupted"),
        ("Internal error (E1000)", "interrupted"),
        ("CUDA out of memory. Tried to allocate 20.00 MiB", "out-of-memory"),
        ("E1001: out of memory", "out-of-memory"),
        ("NSFW content detected. Try running it again.", "nsfw"),
        ("flagged (E005)", "nsfw"),
        ("cannot identify image file '/tmp/x'", "input-unreadable"),
        ("404 Client Error: Not Found for url: https://images.example/x.png", "input-unreachable"),
        ("Failed to download the image", "input-unreachable"),
        ("Input validation failed", "invalid-input"),
        ("Prediction timed out", "timed-out"),
        ("division by zero", "model-error"),
        ("E10000", "model-error"),
    ],
)
def test_the_texts_of_failed_predictions_are_classified(text, expected):
    assert diagnosis.failure_class(text) == expected
    assert failures.FailureClass(expected)


def test_an_error_object_is_told_in_words():
    assert read({"id": "a", "error": {"message": "out of\nmemory", "code": 3}}).error == "out of memory"
    assert read({"id": "a", "error": [{"loc": ["x"], "msg": "too small"}]}).error == "too small"
    assert read({"id": "a", "error": {"x": 1}}).error == "an error without words"
    assert read({"id": "a", "error": ""}).error is None


def test_a_long_error_keeps_its_beginning_and_its_end():
    said = read({"id": "a", "error": "Traceback " + "x" * 10_000 + " CUDA out of memory"}).error
    assert said.startswith("Traceback")
    assert diagnosis.failure_class(said) == "out-of-memory"
    assert len(said) <= bodies.MESSAGE_LIMIT


@given(st.text(max_size=2000))
def test_a_message_is_one_short_printable_line(text):
    said = bodies.message({"detail": text})
    assert said.isprintable()
    assert len(said) <= bodies.MESSAGE_LIMIT


@given(st.text(st.characters()))
def test_a_storable_text_has_no_nul_and_no_half_character(text):
    assert "\0" not in bodies.storable(text)
    bodies.storable(text).encode()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "content",
    [
        b"[" * 1_000_000,
        b'{"a":' * 1_000_000,
        b'{"id": "a", "status": ' + b"1" * 5000 + b"}",
        b'{"id": "\\ud800", "error": "\\udfff", "output": ["\\ud800"]}',
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b"\x00" * 50,
    ],
)  # fmt: skip
def test_bombs_and_broken_text_end_in_our_errors(reader, content):
    with pytest.raises(errors.ApiError):
        reader(200, {}, content)


def outcome(reader, status, headers, content):
    """Anything but a result or one of our own errors escapes, and fails the test."""
    try:
        return reader(status, headers, content)
    except errors.ApiError as error:
        said = str(error)
    assert said.isprintable()
    return None


some_status = st.sampled_from([200, 201, 202, 302, 400, 401, 403, 404, 409, 422, 429, 500]) | st.integers(
    100, 999
)
some_headers = st.dictionaries(
    st.sampled_from(["retry-after", "date"]), st.text(string.printable) | st.integers().map(str)
)


@given(st.sampled_from([*READERS, replies.canceled]), some_status, some_headers, st.binary(max_size=200))
def test_any_bytes_end_in_a_result_or_our_errors(reader, status, headers, content):
    outcome(reader, status, headers, content)


@given(st.sampled_from([*READERS, replies.canceled]), some_status, some_headers, json_values | near_objects)
def test_any_json_ends_in_a_result_or_our_errors(reader, status, headers, value):
    outcome(reader, status, headers, body(value))


@given(near_objects, near_objects)
def test_any_fields_beside_an_id_leave_an_accepted_create_accepted(fields, inner):
    prediction = created(201, {**fields, "input": inner, "id": "abc"})
    assert prediction.id == "abc"
    for text in (prediction.status, prediction.error or "", *prediction.output):
        text.encode()
        assert "\0" not in text
