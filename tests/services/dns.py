"""A DNS server of the tests' own, over UDP and TCP on 127.0.0.1: a resolver where it is asked to recurse, else a name server.

It answers from zones that tests fill in, and can be made to fail in every way that name servers do.
"""

from __future__ import annotations

import contextlib
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.services.processes import free_port

TTL_S = 60
Name = dns.name.Name


class Trouble(StrEnum):
    """How a name server fails, for the TXT records of one name."""

    SERVFAIL = "servfail"
    REFUSED = "refused"
    SILENT = "silent"
    GARBAGE = "garbage"
    TRUNCATED = "truncated"  # over UDP: the whole answer is there over TCP
    NO_AUTHORITY = "no authority"
    FORGED_ID = "forged id"  # before the real answer comes one that has what `forged` says, and another id
    FORGED_QUESTION = "forged question"


def _name(text: str) -> Name:
    return dns.name.from_text(text)


class DnsServer:
    """Zones and their records. `port` answers over UDP and TCP."""

    def __init__(self) -> None:
        self.port = free_port()
        self._zones: set[Name] = set()
        self._records: dict[tuple[Name, str], list[str]] = {}
        self._cached: dict[Name, list[str]] = {}
        self._troubles: dict[Name, Trouble] = {}
        self.forged = ""
        self.asked: list[tuple[str, str, bool]] = []

    # What is to be answered

    def add_zone(self, zone: str, *servers: str) -> None:
        """Add a zone whose name servers are at these addresses; at this server when none is given."""
        self._zones.add(_name(zone))
        names = [f"ns{number}.{zone}" for number, _ in enumerate(servers or ["127.0.0.1"])]
        self._records[_name(zone), "NS"] = [f"{name}." for name in names]
        self._records[_name(zone), "SOA"] = [f"ns0.{zone}. admin.{zone}. 1 3600 600 86400 60"]
        for name, address in zip(names, servers or ["127.0.0.1"], strict=True):
            self._records[_name(name), "A"] = [address]

    def drop_zone(self, zone: str) -> None:
        """Have nobody know a zone any more, as after a domain was given up."""
        self._zones.discard(_name(zone))
        for key in [key for key in self._records if key[0].is_subdomain(_name(zone))]:
            del self._records[key]

    def set_txt(self, name: str, *texts: str) -> None:
        """Set the TXT records of a name; a text with `|` in it is sent in several strings."""
        self._records[_name(name), "TXT"] = [" ".join(f'"{part}"' for part in text.split("|")) for text in texts]

    def set_cname(self, name: str, target: str) -> None:
        self._records[_name(name), "CNAME"] = [f"{target}."]

    def clear(self, name: str) -> None:
        """Take all records of a name away."""
        for key in [key for key in self._records if key[0] == _name(name)]:
            del self._records[key]

    def cache_txt(self, name: str, *texts: str) -> None:
        """Have the resolver believe these texts, whatever the name server says."""
        self._cached[_name(name)] = [f'"{text}"' for text in texts]

    def trouble(self, name: str, kind: Trouble | None) -> None:
        """Have the name server fail for a name's TXT records, or (None) no longer."""
        self._troubles.pop(_name(name), None)
        if kind is not None:
            self._troubles[_name(name)] = kind

    # Answers

    def answers(self, wire: bytes, *, by_tcp: bool) -> list[bytes]:
        """The packets that answer a query, in their order."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        kind, recurses = dns.rdatatype.to_text(question.rdtype), bool(query.flags & dns.flags.RD)
        self.asked.append((question.name.to_text(), kind, recurses))
        trouble = self._troubles.get(question.name) if kind == "TXT" and not recurses else None
        real = self._answer(query, question.name, kind, recurses=recurses)
        return _spoiled(real, trouble, self.forged, by_tcp=by_tcp)

    def _answer(self, query: dns.message.Message, name: Name, kind: str, *, recurses: bool) -> dns.message.Message:
        response = dns.message.make_response(query, recursion_available=recurses)
        response.flags |= 0 if recurses else dns.flags.AA
        if recurses and kind == "TXT" and name in self._cached:
            response.answer.append(dns.rrset.from_text_list(name, TTL_S, "IN", kind, self._cached[name]))
            return response
        found = {each: self._records.get((name, each)) for each in (kind, "CNAME")}
        for each, texts in found.items():
            if texts:
                response.answer.append(dns.rrset.from_text_list(name, TTL_S, "IN", each, texts))
        if not response.answer:
            self._deny(response, name)
        return response

    def _deny(self, response: dns.message.Message, name: Name) -> None:
        if not any(known.is_subdomain(name) for known, _ in self._records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        zones = [zone for zone in self._zones if name.is_subdomain(zone)]
        if zones:
            zone = max(zones, key=len)
            response.authority.append(dns.rrset.from_text_list(zone, TTL_S, "IN", "SOA", self._records[zone, "SOA"]))


def _spoiled(real: dns.message.Message, trouble: Trouble | None, forged: str, *, by_tcp: bool) -> list[bytes]:
    spoil: dict[Trouble, Callable[[], list[bytes]]] = {
        Trouble.SILENT: list,
        Trouble.GARBAGE: lambda: [b"no answer at all"],
        Trouble.FORGED_ID: lambda: [_forged(real, forged, other_id=True), real.to_wire()],
        Trouble.FORGED_QUESTION: lambda: [_forged(real, forged, other_id=False), real.to_wire()],
    }
    if trouble in spoil:
        return spoil[trouble]()
    if trouble in {Trouble.SERVFAIL, Trouble.REFUSED}:
        real.answer, real.authority = [], []
        real.flags &= ~dns.flags.AA
        real.set_rcode(dns.rcode.SERVFAIL if trouble == Trouble.SERVFAIL else dns.rcode.REFUSED)
    elif trouble == Trouble.NO_AUTHORITY:
        real.flags &= ~dns.flags.AA
    elif trouble == Trouble.TRUNCATED and not by_tcp:
        real.answer = []
        real.flags |= dns.flags.TC
    return [real.to_wire()]


def _forged(real: dns.message.Message, text: str, *, other_id: bool) -> bytes:
    """An answer that somebody sends who has seen, or guessed, all but one thing."""
    fake = dns.message.from_wire(real.to_wire())
    name = real.question[0].name
    fake.answer = [dns.rrset.from_text_list(name, TTL_S, "IN", "TXT", [f'"{text}"'])]
    fake.authority = []
    fake.set_rcode(dns.rcode.NOERROR)
    if other_id:
        fake.id = real.id ^ 1
    else:
        fake.question = [dns.rrset.RRset(_name("other.example"), real.question[0].rdclass, real.question[0].rdtype)]
    return fake.to_wire()


class _Udp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        wire, sock = self.request
        for packet in self.server.dns.answers(wire, by_tcp=False):  # type: ignore[attr-defined]  # set below
            sock.sendto(packet, self.client_address)


class _Tcp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        head = self.rfile.read(2)
        if len(head) == 2:
            for packet in self.server.dns.answers(self.rfile.read(struct.unpack("!H", head)[0]), by_tcp=True):  # type: ignore[attr-defined]
                self.wfile.write(struct.pack("!H", len(packet)) + packet)


@contextlib.contextmanager
def dns_server() -> Iterator[DnsServer]:
    """Run a DNS server as long as a `with` block lasts."""
    served = DnsServer()
    address = ("127.0.0.1", served.port)
    servers: list[Any] = [socketserver.ThreadingUDPServer(address, _Udp), socketserver.ThreadingTCPServer(address, _Tcp)]
    threads = []
    for each in servers:
        each.dns, each.daemon_threads = served, False
        threads.append(threading.Thread(target=each.serve_forever, kwargs={"poll_interval": 0.02}, name="dns"))
        threads[-1].start()
    try:
        yield served
    finally:
        for each, thread in zip(servers, threads, strict=True):
            each.shutdown()
            thread.join()
            each.server_close()
