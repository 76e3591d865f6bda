"""Which addresses may be sent to: public ones, and those that the settings allow. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

__all__ = ["Allowed", "is_public"]

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_REFUSED: Final[tuple[_Network, ...]] = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments, some of which Python takes for global
    IPv4Network("192.88.99.0/24"),  # 6to4 relays
    IPv4Network("168.63.129.16/32"),  # Azure's host, from within its machines
    IPv6Network("2001::/23"),  # protocol assignments, with Teredo
    IPv6Network("2001:db8::/32"),
    IPv6Network("3fff::/20"),  # documentation, which Python 3.11 does not know
)
_ISATAP: Final = (0x00005EFE, 0x02005EFE)
_LOW_32: Final = 0xFFFFFFFF


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet, also by what is embedded in it.

    An IPv4 address inside of an IPv6 one (mapped, 6to4, NAT64, ISATAP) counts as itself; of IPv6
    there is only global unicast.
    """
    try:
        return _public(ip_address(text))
    except ValueError:  # also one with a zone that is not of this machine
        return False


class Allowed:
    """Hosts and networks that may be sent to although they are not public.

    ``entries``: host names, addresses and networks in CIDR form.
    """

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._hosts: set[str] = set()
        self._networks: list[_Network] = []
        for entry in entries:
            try:
                self._networks.append(ip_network(entry))
            except ValueError:
                self._hosts.add(_plain(entry))

    def permits(self, host: str, address: str) -> bool:
        """Whether ``address``, which ``host`` resolves to, may be connected to."""
        if _plain(host) in self._hosts or is_public(address):
            return True
        try:
            found = ip_address(address)
        except ValueError:
            return False
        meant: list[_Address] = [found]
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            meant.append(found.ipv4_mapped)
        return any(one in network for one in meant for network in self._networks)


def _public(address: _Address) -> bool:
    if isinstance(address, IPv4Address):
        return (
            address.is_global
            and not address.is_multicast
            and not any(address in network for network in _REFUSED)
        )
    if address.scope_id is not None:
        return False
    if address in _NAT64 or address.ipv4_mapped is not None:
        return _public(IPv4Address(int(address) & _LOW_32))
    if address not in _UNICAST or not address.is_global:
        return False
    if any(address in network for network in _REFUSED):
        return False
    if address.sixtofour is not None:
        return _public(address.sixtofour)
    if (int(address) >> 32) & _LOW_32 in _ISATAP:
        return _public(IPv4Address(int(address) & _LOW_32))
    return True


def _plain(host: str) -> str:
    return host.rstrip(".").lower()
