"""How a webhook is signed: the Standard Webhooks scheme. Pure."""

import base64
import hashlib
import hmac

MADE_UP = "whsec_bWFkZSB1cCBmb3IgcmVoZWFyc2Fscw=="


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
    """Return the headers of a call that is made at a moment, in seconds since 1970."""
    signed = b"%s.%d.%s" % (webhook_id.encode(), moment, body)
    signature = base64.b64encode(hmac.new(signed_with, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(moment)),
        "webhook-signature": f"v1,{signature}",
    }
