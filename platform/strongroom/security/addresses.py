"""Which addresses and host names of the outside a server may be asked to talk to: what is public, and what operators allow.

Sources: IANA's registries of special-purpose IPv4 and IPv6 addresses (RFC 6890), RFC 6052 (NAT64), RFC 3056 (6to4), RFC 4380
(Teredo). Of IPv6 only global unicast (2000::/3) is public at all, so forms that carry an IPv4 address inside need no decoding.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network

from strongroom.errors import OutboundRefused

Network = IPv4Network | IPv6Network
SPECIAL: tuple[Network, ...] = tuple(
    ip_network(each)
    for each in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
        "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24",
        "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # public, yet the metadata server of every machine at Azure
        "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
    )
)  # fmt: skip
PUBLIC_V6 = IPv6Network("2000::/3")
LOOPBACK = ("127.0.0.1", "::1")
LOCAL_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback", "broadcasthost"})
NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
DOTTED = re.compile(r"(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}")


def check_address(address: str, allowed: Sequence[Network] = ()) -> None:
    """See that an IP address is public, or in a network that the operator allows.

    Raises:
        OutboundRefused: the text does not repeat the address, so that a name's answer in the internal DNS is not told.
    """
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        raise OutboundRefused("This is no address.") from None
    if any(ip in network for network in allowed):
        return
    if any(ip in network for network in SPECIAL) or not (isinstance(ip, IPv4Address) or ip in PUBLIC_V6):
        raise OutboundRefused("The host's address is not a public one.")


def check_host(host: str, allowed: Sequence[Network] = ()) -> None:
    """See that a host in a URL is a name, or an IP address in its one usual form.

    What resolvers also take for an address (decimal, octal, hexadecimal, shortened) is refused as such; IPv6 is without brackets.

    Raises:
        OutboundRefused
    """
    if ":" in host:
        check_address(host if "%" not in host else "", allowed)
        return
    name = host.removesuffix(".").lower()
    if not NAME.fullmatch(name):
        raise OutboundRefused("The host is no name that can be looked up. Write international names in their ASCII form (xn--…).")
    if NUMBER.fullmatch(name.rpartition(".")[2]):
        check_address(name if DOTTED.fullmatch(name) else "", allowed)
    elif (name in LOCAL_NAMES or name.endswith(".localhost")) and not _allows_loopback(allowed):
        raise OutboundRefused("The host is this machine itself.")


def _allows_loopback(allowed: Sequence[Network]) -> bool:
    return any(ip_address(each) in network for network in allowed for each in LOOPBACK)
