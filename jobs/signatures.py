"""Is a webhook from the API, and recent? The Standard Webhooks scheme with a shared secret. Pure.

Its content is not judged here and trusted nowhere: even a correctly signed one is only a hint about a
prediction. We do not use `standardwebhooks`: it meets a malformed signature with whatever error Python
raises, and takes a mistyped secret for a shorter one.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping

from pydantic import SecretStr

_PREFIX = "whsec_"
_SHORTEST = 16  # bytes of a secret
_TOLERANCE = 300.0  # seconds, into the past and into the future
_VERSION = "v1,"
_ID = re.compile(r"[!-~]{1,200}", re.ASCII)
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)


class Refused(Exception):
    """Why a webhook is rejected, in our own words: nothing that the sender wrote is repeated."""


def secret(text: str) -> SecretStr:
    """Return a usable secret; the ValueError never repeats the text."""
    stripped = text.strip()
    if not stripped:
        raise ValueError("the secret is empty")
    if not stripped.startswith(_PREFIX):
        raise ValueError(f"a webhook secret begins with {_PREFIX}; copy it as the API shows it")
    try:
        key = _decoded(stripped)
    except (binascii.Error, ValueError):
        raise ValueError(f"what follows {_PREFIX} is no Base64; copy it as the API shows it") from None
    if len(key) < _SHORTEST:
        raise ValueError(f"what follows {_PREFIX} is too short for a secret; copy all of it")
    return SecretStr(stripped)


def verify(signed_by: SecretStr, headers: Mapping[str, str], body: bytes, now: float) -> str:
    """Return the webhook's id, or raise Refused; ``now`` is in seconds since 1970.

    One valid signature of several is enough: while a secret is being rotated, the API signs with the old and
    the new.
    """
    webhook_id, timestamp, signatures = (
        headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature")
    )
    if not _ID.fullmatch(webhook_id):
        raise Refused("there is no webhook-id, or none that can be kept")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise Refused("there is no webhook-timestamp in whole seconds")
    if abs(now - int(timestamp)) > _TOLERANCE:
        raise Refused("its webhook-timestamp is not of now; if this goes on, one of the two clocks is wrong")
    right = _signature(signed_by, f"{webhook_id}.{timestamp}.".encode() + body)
    # Compare all of them, each in constant time: the duration must not reveal how close a guess was.
    equal = [hmac.compare_digest(right, offered.encode()) for offered in signatures.split(" ")]
    if not any(equal):
        raise Refused("no webhook-signature is right; if this goes on, OVERNIGHT_WEBHOOK_SECRET is another's")
    return webhook_id


def _signature(signed_by: SecretStr, content: bytes) -> bytes:
    digest = hmac.digest(_decoded(signed_by.get_secret_value()), content, hashlib.sha256)
    return _VERSION.encode() + base64.b64encode(digest)


def _decoded(text: str) -> bytes:
    key = text.removeprefix(_PREFIX)
    # Some APIs show it without its padding.
    return base64.b64decode(key + "=" * (-len(key) % 4), validate=True)
