import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import errors
from worker.transfers import addresses, downloads


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "fc00::1", "fe80::1%eth0", "ff02::1", "fd00:ec2::254", "::ffff:169.254.169.254",
        "64:ff9b::a00:1", "2002:a9fe:a9fe::", "2001:db8::1",
    ],
)  # fmt: skip
def test_addresses_inside_a_network_are_not_public(address):
    assert not addresses.is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::808:808"]
)
def test_addresses_of_the_open_internet_are_public(address):
    assert addresses.is_public(address)


@given(st.text(max_size=80) | st.text(max_size=80).map("https://".__add__))
def test_any_url_is_fetchable_or_refused(url):
    try:
        parsed = addresses.checked(url, allow_private=False)
    except errors.Undelivered:
        return
    assert parsed.scheme == "https"
    downloads._request(parsed)
