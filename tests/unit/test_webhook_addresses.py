"""Which addresses are public, and which the settings allow."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import SettingsError
from indexer.settings import load_settings
from recsvc.webhooks.addresses import Allowed, is_public

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "203.0.112.1",
    "2606:4700:4700::1111",
    "64:ff9b::808:808",
    "2002:808:808::1",
    "::ffff:8.8.8.8",
]
NOT_PUBLIC = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.9",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "::ffff:0:7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:c0a8:1::1",
    "2606:4700::5efe:7f00:1",
    "2606:4700::200:5efe:a00:1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "not an address",
    "",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_public(address: str):
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_any_other_is_not(address: str):
    assert not is_public(address)


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_is_judged_the_same_wherever_it_is_embedded(number: int):
    plain = is_public(str(IPv4Address(number)))
    mapped, nat64, sixtofour = (
        (0xFFFF << 32) | number,
        (0x64FF9B << 96) | number,
        (0x2002 << 112) | (number << 80) | 1,
    )
    for embedded in (mapped, nat64, sixtofour):
        assert is_public(str(IPv6Address(embedded))) == plain


@given(st.ip_addresses(v=4, network="127.0.0.0/8") | st.ip_addresses(v=6, network="fc00::/7"))
def test_loopback_and_unique_local_addresses_are_never_public(address: object):
    assert not is_public(str(address))


def test_networks_and_hosts_can_be_allowed():
    allowed = Allowed({"10.1.0.0/16", "fd00::/8", "Hooks.internal."})
    assert allowed.permits("a.example", "10.1.2.3")
    assert allowed.permits("a.example", "::ffff:10.1.2.3")
    assert allowed.permits("a.example", "fd00::1")
    assert allowed.permits("hooks.internal", "192.168.0.1")
    assert allowed.permits("a.example", "8.8.8.8")
    assert not allowed.permits("a.example", "10.2.0.1")
    assert not allowed.permits("other.internal", "192.168.0.1")


def test_the_setting_takes_false_true_networks_addresses_and_names():
    def read(text: str) -> frozenset[str]:
        return load_settings(webhook_allow_private=text, _env_file=None).webhook_allow_private

    assert read("false") == read("") == frozenset()
    assert Allowed(read("true")).permits("a", "127.0.0.1")
    assert Allowed(read("true")).permits("a", "::1")
    assert read("10.0.0.0/8, hooks.internal,::1") == {"10.0.0.0/8", "hooks.internal", "::1"}
    for wrong in ("10.0.0.1/8", "http://hooks.internal", "a b", "300.1.1.1"):
        with pytest.raises(SettingsError, match="RECSVC_WEBHOOK_ALLOW_PRIVATE"):
            read(wrong)
