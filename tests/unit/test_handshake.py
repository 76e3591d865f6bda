"""Under which names a service without keys answers."""

from __future__ import annotations

import pytest

from recsvc.handshake import own_host


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:8000",
        "localhost.",
        "shop.localhost",
        "127.0.0.1",
        "127.8.9.10:80",
        "127.0.0.1.:80",
        "[::1]",
        "[::1]:8000",
        "allowed.example:443",
    ],
)
def test_this_machine_and_allowed_hosts_are_its_own_names(host: str):
    assert own_host(host.encode(), {"allowed.example"})


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8000",
        "notlocalhost",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "not.allowed.example",
        "0.0.0.0",
        "192.168.0.1",
        "[::]",
        "[2001:db8::1]:8000",
        "::1",
        "localhost@evil.example",
        "evil.example@localhost",
        "localhost/evil",
        "localhost evil",
        "localhost:80:80",
        "l\u00f6calhost",
    ],
)
def test_all_other_names_are_not(host: str):
    assert not own_host(host.encode(), {"allowed.example"})
