"""How a webhook is signed: the Standard Webhooks scheme. Pure."""

import base64
import hmac

MADE_UP = "whsec_bWFkZSB1cCBmb3IgcmVoZWFyc2Fscw=="
_REPLACED = b"the key before this one"


def key(secret: str) -> bytes:
    """Return the key in a secret; ValueError with one sentence if it holds none."""
    prefix, _, encoded = secret.partition("_")
    try:
        found = base64.b64decode(encoded, validate=True)
    except ValueError:
        found = b""
    if prefix != "whsec" or not found:
        raise ValueError("webhook_secret is no secret: use whsec_ and Base64.")
    return found


def headers(webhook_id: str, moment: float, body: bytes, signed_with: bytes) -> dict[str, str]:
    """Return the headers of a call that is made at a moment, in seconds since 1970.

    It is signed twice, as while a secret is being replaced: a receiver knows the second key alone.
    """
    signed = b"%s.%d.%s" % (webhook_id.encode(), moment, body)
    keys = (_REPLACED, signed_with)
    signatures = (base64.b64encode(hmac.digest(one, signed, "sha256")).decode() for one in keys)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(moment)),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
