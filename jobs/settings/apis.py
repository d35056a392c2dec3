"""Which API a word or URL names, and which URLs may carry a token. Pure; knows no HTTP."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

SANDBOX = "sandbox"
REPLICATE_HOST = "api.replicate.com"
PRESETS = {
    "quickrouter": "https://api.quickrouter.ai/replicate/v1",
    "replicate": f"https://{REPLICATE_HOST}/v1",
}


@dataclass(frozen=True, slots=True)
class Api:
    """A Replicate-compatible API. `url` has no trailing slash; the sandbox's is empty until it listens."""

    name: str
    url: str

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or self.name

    @property
    def is_sandbox(self) -> bool:
        return self.name == SANDBOX

    @property
    def identity(self) -> str:
        """What a batch stores of its API: the sandbox's URL differs at every start, but it is the same API."""
        return self.name if self.is_sandbox else self.url

    @property
    def is_replicate(self) -> bool:
        return self.host == REPLICATE_HOST

    @property
    def is_local(self) -> bool:
        """Whether requests stay on this machine."""
        return self.is_sandbox or is_loopback(self.host)


def parse(text: str) -> Api:
    """Return the API that a word or a URL names; ValueError says what is wrong with it.

    >>> parse("replicate")
    Api(name='replicate', url='https://api.replicate.com/v1')
    >>> parse("http://127.0.0.1:8500/v1/").url
    'http://127.0.0.1:8500/v1'
    """
    text = text.strip()
    if text == SANDBOX:
        return Api(SANDBOX, "")
    url = PRESETS.get(text, text).rstrip("/")
    parts = _parts(url, "not an API; write sandbox, quickrouter, replicate or an https:// URL")
    if "@" in parts.netloc:
        raise ValueError("no user and no password in the URL; the token goes into OVERNIGHT_API_TOKEN")
    if parts.query or parts.fragment:
        raise ValueError('the URL ends before any "?" or "#"')
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("write https://; a token is sent unencrypted to this machine only")
    names = {preset: name for name, preset in PRESETS.items()}
    return Api(names.get(url, parts.hostname or ""), url)


def callback(text: str) -> str:
    """Return a URL that an API may call back; ValueError says what is wrong with it.

    >>> callback(" http://127.0.0.1:8600/ended?from=us ")
    'http://127.0.0.1:8600/ended?from=us'
    """
    parts = _parts(text.strip(), "no URL that can be called; write https://HOST/…")
    if "@" in parts.netloc or parts.fragment:
        raise ValueError('no user, no password and no "#" in the URL; webhooks are signed')
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("write https://; only on this machine is it called unencrypted")
    return parts.geturl()


def _parts(url: str, otherwise: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it checks it
    except ValueError:
        raise ValueError("this URL cannot be read") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        # Not echoed: a token pasted into the wrong variable would end up in a terminal and its log.
        raise ValueError(otherwise)
    if not parts.geturl().isascii() or any(c <= " " for c in parts.geturl()):
        raise ValueError("a URL has no spaces and no letters outside ASCII")
    return parts


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
