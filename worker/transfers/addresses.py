"""Where outputs may be fetched from: checks the URL, and the address actually connected to.

A name is resolved once, every address is checked, and only these are connected to: it does not matter if the
name resolves differently a moment later.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import httpcore
import httpx

from jobs import errors
from jobs.settings import apis

# Seconds for each address of a name: a silent one must not use up the whole deadline.
_CONNECT_TIMEOUT = 10.0
# Not the event loop's own threads: a look-up cannot be cancelled, and while a resolver hangs, connections to the API
# and images on their way to it would wait for a thread.
_NAMES = ThreadPoolExecutor(8, thread_name_prefix="names")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Not public, though some versions of Python think so: one cloud serves its own metadata at 192.0.0.192.
_RESERVED = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "::/96", "64:ff9b:1::/48")))


def checked(url: str | httpx.URL, *, allow_private: bool) -> httpx.URL:
    """Return the URL to fetch; raises Undelivered if we must not fetch from it.

    http is only for outputs that an API on this machine keeps on this machine, where nobody can listen in.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise errors.Undelivered("The output's URL cannot be read.") from error
    plain = parsed.scheme == "http" and allow_private and apis.is_loopback(parsed.host)
    if parsed.scheme != "https" and not plain:
        raise errors.Undelivered("The output's URL does not begin with https://.")
    if parsed.userinfo or not parsed.host:
        raise errors.Undelivered("The output's URL has no host, or a user name in it.")
    return parsed


def is_public(address: str) -> bool:
    """Whether an IP address is on the open internet; an IPv4 address wrapped in IPv6 is checked too.

    >>> is_public("8.8.8.8"), is_public("169.254.169.254"), is_public("::ffff:10.0.0.1")
    (True, False, False)
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if any(ip in network for network in _RESERVED):
        return False
    wrapped = _wrapped(ip) if isinstance(ip, ipaddress.IPv6Address) else None
    return ip.is_global and not ip.is_multicast and (wrapped is None or is_public(str(wrapped)))


def _wrapped(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour


class Backend(httpcore.AnyIOBackend):
    """Connects to checked addresses only; TLS still checks the certificate against the name.

    ``allow_private`` is for an API on this machine: its outputs may be on this machine too, but not elsewhere inside.
    ``home`` is the API's own host, which we call anyway, wherever it is.
    """

    def __init__(self, *, allow_private: bool, home: str | None = None) -> None:
        self._allow_private = allow_private
        self._home = home

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await _resolved(host, port)
        if host != self._home and not all(map(self._may_reach, addresses)):
            raise errors.Undelivered("The output's host is not on the open internet, nor the API's own.")
        each = _CONNECT_TIMEOUT if timeout is None else min(timeout, _CONNECT_TIMEOUT)
        for address in addresses[:-1]:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await super().connect_tcp(address, port, each, local_address, socket_options)
        return await super().connect_tcp(addresses[-1], port, each, local_address, socket_options)

    def _may_reach(self, address: str) -> bool:
        return is_public(address) or (self._allow_private and apis.is_loopback(address))


async def _resolved(host: str, port: int) -> list[str]:
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = await asyncio.get_running_loop().run_in_executor(_NAMES, look_up)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"the name {host!r} is not known") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
