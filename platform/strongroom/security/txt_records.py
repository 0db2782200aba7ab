"""TXT records as a zone's own name servers tell them: no cache stands between what its owner has set and what is seen.

The configured resolvers only find the zone and its servers. These are then asked without recursion, and believed only
where they answer with authority. An answer with another id, for another question or from another address is not taken for
one (dnspython). Servers at addresses that are not public are not asked, unless the operator allows them: their names
come from strangers. CNAMEs are not followed: an alias, or a wildcard that is one, may lead where somebody else writes. DNSSEC
is not validated: whoever can alter packets between this machine and the name servers can forge an answer.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING

from strongroom.config import Settings, resolver_address
from strongroom.errors import OutboundRefused
from strongroom.security.addresses import check_address

if TYPE_CHECKING:
    from dns.message import Message
    from dns.name import Name
    from dns.resolver import Resolver

MAX_SERVERS = 4
ONE_TRY_S = 2.0
PAYLOAD_BYTES = 1232


@dataclass(frozen=True)
class TxtAnswer:
    """What is at a name. `failure` is empty where a name server answered with authority; else why none did, and the rest says nothing."""

    texts: frozenset[str] = frozenset()
    is_alias: bool = False
    failure: str = ""


class TxtLookup:
    """Asks for TXT records. Immutable, safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._resolvers = [resolver_address(each) for each in settings.dns_resolvers]
        self._port, self._timeout_s = settings.dns_port, settings.dns_timeout_s
        self._allowed = tuple(ip_network(each) for each in settings.outbound_allow)

    def look_up(self, name: str, wanted: str) -> TxtAnswer:
        """Return what the name servers say, within the configured time: those of the first that has the wanted text, else of all asked."""
        import dns.exception  # noqa: PLC0415 - dnspython is needed rarely, and takes memory
        import dns.name  # noqa: PLC0415

        ends = time.monotonic() + self._timeout_s
        try:
            target = dns.name.from_text(name)
            servers = list(self._servers(target, ends))
        except (dns.exception.DNSException, OSError) as error:
            return TxtAnswer(failure=f"The name servers of {name} cannot be found ({type(error).__name__}).")
        if not servers:
            return TxtAnswer(failure=f"No name server of {name} is at a public address.")
        return self._first(target, servers, wanted, ends)

    def _first(self, target: Name, servers: list[str], wanted: str, ends: float) -> TxtAnswer:
        found: TxtAnswer | None = None
        for server in servers:
            answer = self._ask(target, server, ends)
            if not answer.failure and (found is None or wanted in answer.texts):
                found = answer
            if found is not None and wanted in found.texts:
                break
        return found or TxtAnswer(failure="None of the domain's name servers gave an answer.")

    def _servers(self, target: Name, ends: float) -> Iterator[str]:
        """Find the addresses at which the zone's name servers may be asked, IPv4 first."""
        import dns.resolver  # noqa: PLC0415 - as above

        resolver = self._resolver()
        zone = dns.resolver.zone_for_name(target, resolver=resolver, lifetime=_left(ends))
        names = [each.target for each in resolver.resolve(zone, "NS", lifetime=_left(ends))]
        random.shuffle(names)
        count = 0
        for family in ("A", "AAAA"):
            for name in names[:MAX_SERVERS]:
                for address in self._addresses(resolver, name, family, ends):
                    if count < MAX_SERVERS:
                        count += 1
                        yield address

    def _resolver(self) -> Resolver:
        import dns.nameserver  # noqa: PLC0415 - as above
        import dns.resolver  # noqa: PLC0415

        resolver = dns.resolver.Resolver(configure=not self._resolvers)
        if self._resolvers:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in self._resolvers]
        resolver.timeout, resolver.lifetime = ONE_TRY_S, self._timeout_s
        return resolver

    def _addresses(self, resolver: Resolver, name: Name, family: str, ends: float) -> list[str]:
        import dns.exception  # noqa: PLC0415 - as above

        try:
            found = [each.address for each in resolver.resolve(name, family, lifetime=_left(ends))]
        except dns.exception.DNSException:
            return []
        return [address for address in found if self._may_ask(address)]

    def _may_ask(self, address: str) -> bool:
        try:
            check_address(address, self._allowed)
        except OutboundRefused:
            return False
        return True

    def _ask(self, target: Name, server: str, ends: float) -> TxtAnswer:
        import dns.exception  # noqa: PLC0415 - as above
        import dns.flags  # noqa: PLC0415
        import dns.message  # noqa: PLC0415
        import dns.query  # noqa: PLC0415

        query = dns.message.make_query(target, "TXT", use_edns=0, payload=PAYLOAD_BYTES, flags=0)
        try:
            told, _ = dns.query.udp_with_fallback(
                query, server, min(ONE_TRY_S, _left(ends)), self._port, ignore_unexpected=True, ignore_errors=True
            )
        except (dns.exception.DNSException, OSError, EOFError) as error:
            return TxtAnswer(failure=type(error).__name__)
        return _read(told, target)


def _left(ends: float) -> float:
    return max(0.05, ends - time.monotonic())


def _read(told: Message, target: Name) -> TxtAnswer:
    import dns.flags  # noqa: PLC0415 - as above
    import dns.rcode  # noqa: PLC0415
    import dns.rdatatype  # noqa: PLC0415

    if told.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN} or not told.flags & dns.flags.AA:
        return TxtAnswer(failure=f"{dns.rcode.to_text(told.rcode())} without authority")
    texts: set[str] = set()
    is_alias = False
    for rrset in told.answer:
        if rrset.name == target and rrset.rdtype == dns.rdatatype.TXT:
            texts |= {b"".join(each.strings).decode(errors="replace") for each in rrset}
        is_alias = is_alias or (rrset.name == target and rrset.rdtype == dns.rdatatype.CNAME)
    return TxtAnswer(frozenset(texts), is_alias)
