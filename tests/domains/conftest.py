"""A deployment whose custom domains are looked up at a DNS server of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.factories import World, number
from tests.services.dns import DnsServer, dns_server


@pytest.fixture(scope="session")
def dns() -> Iterator[DnsServer]:
    with dns_server() as running:
        yield running


def _again(world: World, dns: DnsServer, **changes: float) -> World:
    places = {"dns_resolvers": [f"127.0.0.1:{dns.port}"], "dns_port": dns.port, "outbound_allow": ["127.0.0.1/32"]}
    return world.again(**places, domain_limit=4, **changes)


@pytest.fixture
def looking(world: World, dns: DnsServer) -> World:
    """The deployment; one more process, that is. It has all the time that a busy machine may need."""
    return _again(world, dns, dns_timeout_s=30)


@pytest.fixture
def hasty(world: World, dns: DnsServer) -> World:
    """The same, soon at its end where nobody answers."""
    return _again(world, dns, dns_timeout_s=0.3)


@pytest.fixture
def domain(dns: DnsServer) -> str:
    """A domain whose zone somebody has, without any record."""
    zone = f"shop{number()}.example"
    dns.add_zone(zone)
    return f"files.{zone}"
