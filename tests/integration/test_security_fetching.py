"""An output's URL is a stranger's: forty ways to spell a place inside our network, and none is connected to."""

import asyncio
import socket
from contextlib import aclosing
from pathlib import PurePosixPath

import httpcore
import pytest

from jobs import errors
from worker.transfers import downloads

STEM = PurePosixPath("cats/fox")
INSIDE = [
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1",
    "017700000001", "0", "0.0.0", "localhost", "LOCALHOST", "localhost.", "127.0.0.1.", "[::]", "[::1]",
    "[0:0:0:0:0:0:0:1]", "[::127.0.0.1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]",
    "169.254.169.254", "0xa9fea9fe", "2852039166",
    "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "[fe80::1]", "10.0.0.1", "172.16.0.1", "172.31.255.255",
    "192.168.0.1", "100.64.0.1", "192.0.0.192", "198.18.0.1", "224.0.0.1", "255.255.255.255",
    "\uff11\uff12\uff17.0.0.1", "\u2460\u2461\u2466.0.0.1",
]  # fmt: skip


@pytest.fixture
def reached(monkeypatch):
    """The addresses that were really connected to; none is."""
    addresses = []

    async def connect(_self, host, port, *_, **__):
        addresses.append(host)
        raise httpcore.ConnectError(f"{host}:{port} is not for this test")

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    return addresses


def fetch(url, folder, **options):
    async def conversation():
        async with aclosing(downloads.Downloads(folder, deadline=5.0, **options)) as down:
            with pytest.raises(errors.Undelivered) as caught:
                await down.fetch(url, STEM, 0)
        return str(caught.value)

    return asyncio.run(conversation())


@pytest.mark.parametrize("host", INSIDE)
def test_no_spelling_of_a_place_inside_is_connected_to(host, tmp_path, reached):
    fetch(f"https://{host}:8443/x.png", tmp_path)
    assert reached == []


BESIDE_US = [
    "169.254.169.254", "0xa9fea9fe", "[::ffff:169.254.169.254]", "[64:ff9b::127.0.0.1]", "[fd00:ec2::254]",
    "[fe80::1]", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "192.0.0.192", "224.0.0.1", "0.0.0",
]  # fmt: skip


@pytest.mark.parametrize("host", BESIDE_US)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_api_on_this_machine_sends_us_nowhere_else_inside(host, scheme, tmp_path, reached):
    fetch(f"{scheme}://{host}:8443/x.png", tmp_path, allow_private=True)
    assert reached == []


def test_an_api_on_this_machine_sends_us_to_this_machine(tmp_path, reached):
    fetch("http://127.0.0.1:8443/x.png", tmp_path, allow_private=True)
    assert reached == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["10.0.0.1", "fd00::1"])
def test_an_api_in_a_private_network_sends_us_to_itself_and_nowhere_else_inside(host, tmp_path, reached):
    shown = f"[{host}]" if ":" in host else host
    fetch(f"https://{shown}:8443/x.png", tmp_path, home=host)
    assert reached == [host]
    fetch("https://10.0.0.2:8443/x.png", tmp_path, home=host)
    fetch(f"http://{shown}:8443/x.png", tmp_path, home=host)
    assert reached == [host]


def test_what_is_not_on_this_machine_is_fetched_over_https_only(tmp_path, reached):
    assert "https://" in fetch("http://93.184.216.34/x.png", tmp_path, allow_private=True)
    assert reached == []


def resolving(monkeypatch, *answers):
    """Have a name resolve to these addresses in turn; return how often it was asked for."""
    asked = []

    def resolve(_host, port, *_, **__):
        asked.append(port)
        some = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in some]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(tmp_path, monkeypatch, reached):
    asked = resolving(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    fetch("https://rebinding.example/x.png", tmp_path)
    assert reached == ["93.184.216.34"]
    assert len(asked) == 1, "a second answer is never asked for"


def test_one_address_inside_among_many_is_enough_to_refuse(tmp_path, monkeypatch, reached):
    resolving(monkeypatch, ["93.184.216.34", "169.254.169.254"])
    assert "not on the open internet" in fetch("https://mixed.example/x.png", tmp_path)
    assert reached == []
