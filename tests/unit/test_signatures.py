"""Which calls the API made, and which somebody else did."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import signatures

KEY = bytes(range(24))
SECRET = signatures.secret("whsec_" + base64.b64encode(KEY).decode())
NOW = 1_795_000_000.5
ID, TIMESTAMP, BODY = "msg_2f6K", "1795000000", b'{"id": "qpt5jq1f", "status": "succeeded"}'


def signature(webhook_id=ID, timestamp=TIMESTAMP, body=BODY, key=KEY, digest=hashlib.sha256):
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, digest)).decode()


RIGHT = signature()
HEADERS = {"webhook-id": ID, "webhook-timestamp": TIMESTAMP, "webhook-signature": RIGHT}


def verify(headers=HEADERS, body=BODY, now=NOW):
    return signatures.verify(SECRET, headers, body, now)


def at(timestamp):
    """The headers of a call that was signed rightly, with another time."""
    return {
        "webhook-id": ID,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(timestamp=timestamp),
    }


def named(webhook_id):
    """The headers of a call that was signed rightly, with another id."""
    return HEADERS | {"webhook-id": webhook_id, "webhook-signature": signature(webhook_id)}


def test_the_published_example_is_right():
    secret = signatures.secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    example = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    found = signatures.verify(secret, example, b'{"test": 2432232314}', 1_614_265_330.0)
    assert found == "msg_p5jXN8AQM9LWM0D4loKWxJek"


@pytest.mark.parametrize(
    "signed",
    [
        RIGHT,
        f"{signature(key=b'old' * 8)} {RIGHT}",
        f"{RIGHT} {signature(key=b'new' * 8)}",
        f"v2,another-scheme v1a,{'A' * 88} garbage ,, {RIGHT}",
    ],
    ids=["one", "after another", "before another", "among what nobody knows"],
)
def test_one_right_signature_is_enough(signed):
    assert verify(HEADERS | {"webhook-signature": signed}) == ID


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_five_minutes_are_allowed_for_the_way_and_for_clocks(seconds):
    assert verify(now=int(TIMESTAMP) + seconds) == ID


@pytest.mark.parametrize(
    ("headers", "body"),
    {
        "a byte of the body changed": (HEADERS, BODY.replace(b"q", b"p")),
        "a byte more": (HEADERS, BODY + b" "),
        "written anew, with the same meaning": (HEADERS, BODY.replace(b" ", b"")),
        "no body": (HEADERS, b""),
        "another id": (HEADERS | {"webhook-id": "msg_other"}, BODY),
        "another time": (HEADERS | {"webhook-timestamp": "1795000001"}, BODY),
        "the point moved": (HEADERS | {"webhook-id": f"{ID}.1795000000"}, b"." + BODY),
        "old": (at("1794999699"), BODY),
        "of the future": (at("1795000301"), BODY),
        "no time": (at(""), BODY),
        "a time with a fraction": (at("1795000000.0"), BODY),
        "a time with a sign": (at("+1795000000"), BODY),
        "a time in other digits": (at("١٧٩٥٠٠٠٠٠٠"), BODY),
        "a time without an end": (at("1" * 5000), BODY),
        "no number for a time": (at("nan"), BODY),
        "another's secret": (HEADERS | {"webhook-signature": signature(key=b"x" * 24)}, BODY),
        "an empty secret": (HEADERS | {"webhook-signature": signature(key=b"")}, BODY),
        "another digest": (HEADERS | {"webhook-signature": signature(digest=hashlib.sha1)}, BODY),
        "another version": (HEADERS | {"webhook-signature": RIGHT.replace("v1", "v2")}, BODY),
        "no version": (HEADERS | {"webhook-signature": RIGHT.removeprefix("v1,")}, BODY),
        "no Base64": (HEADERS | {"webhook-signature": "v1,%%%%"}, BODY),
        "cut short": (HEADERS | {"webhook-signature": RIGHT[:-4]}, BODY),
        "longer": (HEADERS | {"webhook-signature": RIGHT + "AAAA"}, BODY),
        "an empty one": (HEADERS | {"webhook-signature": "v1,"}, BODY),
        "in letters of another alphabet": (HEADERS | {"webhook-signature": "v1,ключ"}, BODY),
        "by commas": (HEADERS | {"webhook-signature": f"v1,AAAA,{RIGHT}"}, BODY),
        "without an id": ({k: v for k, v in HEADERS.items() if k != "webhook-id"}, BODY),
        "without a time": ({k: v for k, v in HEADERS.items() if k != "webhook-timestamp"}, BODY),
        "without a signature": ({k: v for k, v in HEADERS.items() if k != "webhook-signature"}, BODY),
        "without any header": ({}, BODY),
        "an empty id": (named(""), BODY),
        "an endless id": (named("m" * 201), BODY),
        "an id of two lines": (named("msg\n2"), BODY),
    }.values(),
)
def test_whatever_else_is_refused_in_our_own_words(headers, body):
    with pytest.raises(signatures.Refused) as refused:
        verify(headers, body)
    words = str(refused.value)
    assert words.isprintable()
    assert not any(len(text) > 3 and text in words for text in headers.values())


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=200), st.binary(max_size=50))
def test_no_stranger_is_taken_for_the_api_and_none_breaks_the_check(webhook_id, timestamp, signed, body):
    headers = {"webhook-id": webhook_id, "webhook-timestamp": timestamp, "webhook-signature": signed}
    with pytest.raises(signatures.Refused):
        verify(headers, body)


@pytest.mark.parametrize("text", [SECRET.get_secret_value(), f" {SECRET.get_secret_value()}\n"])
def test_a_secret_is_taken_as_it_is_copied(text):
    assert signatures.secret(text) == SECRET


def test_a_secret_without_its_padding_is_the_same_key():
    padded = base64.b64encode(b"k" * 25).decode()
    assert padded.endswith("=")
    signed = HEADERS | {"webhook-signature": signature(key=b"k" * 25)}
    assert signatures.verify(signatures.secret(f"whsec_{padded.rstrip('=')}"), signed, BODY, NOW) == ID


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the secret is empty"),
        ("  ", "the secret is empty"),
        ("whsec_", "too short"),
        ("whsec_c2hvcnQ=", "too short"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins with whsec_"),
        ("r8_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa", "begins with whsec_"),
        ("whsec_MfKQ9r8GKYqrTwj%PD8ILPZIo2LaLaSw", "no Base64"),
        ("whsec_MfKQ9r8GKYqr TwjUPD8ILPZIo2LaLaSw", "no Base64"),
        ("whsec_MfKQ9r8GKYqrTwjÜPD8ILPZIo2LaLaSw", "no Base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwA", "no Base64"),
    ],
)
def test_a_secret_that_is_none_is_refused_and_not_repeated(text, words):
    with pytest.raises(ValueError, match=words) as refused:
        signatures.secret(text)
    assert "MfKQ" not in str(refused.value)
    assert not refused.value.__cause__
