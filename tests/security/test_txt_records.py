"""TXT records as name servers tell them, and every way in which these fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from strongroom.config import resolver_address
from strongroom.security.txt_records import TxtAnswer, TxtLookup

from tests.factories import World, make_settings, number
from tests.services.dns import DnsServer, Trouble, dns_server

WANTED = "strongroom-verify=token"


@pytest.fixture(scope="module")
def server() -> Iterator[DnsServer]:
    with dns_server() as running:
        yield running


@pytest.fixture
def zone(server: DnsServer) -> str:
    zone = f"zone{number()}.example"
    server.add_zone(zone)
    return zone


def lookup(world: World, server: DnsServer, **changes: object) -> TxtLookup:
    values = {"dns_resolvers": [f"127.0.0.1:{server.port}"], "dns_port": server.port, "outbound_allow": ["127.0.0.1/32"]}
    return TxtLookup(make_settings(world.database, **{**values, **changes}))


def ask(world: World, server: DnsServer, zone: str, **changes: object) -> TxtAnswer:
    return lookup(world, server, **changes).look_up(f"_proof.files.{zone}", WANTED)


def test_records_of_several_strings_and_several_records(world: World, server: DnsServer, zone: str) -> None:
    server.set_txt(f"_proof.files.{zone}", "v=spf1 -all", "strongroom-|verify=|token")
    assert ask(world, server, zone) == TxtAnswer(frozenset({"v=spf1 -all", WANTED}))


def test_there_is_none(world: World, server: DnsServer, zone: str) -> None:
    assert ask(world, server, zone) == TxtAnswer(), "NXDOMAIN"
    server.set_txt(f"below._proof.files.{zone}", "x")
    assert ask(world, server, zone) == TxtAnswer(), "a name without records"
    assert ask(world, server, "nobodys.invalid").failure, "there is no such zone at all, not even a top level domain"


def test_an_alias_is_not_followed(world: World, server: DnsServer, zone: str) -> None:
    server.set_txt(f"elsewhere.{zone}", WANTED)
    server.set_cname(f"_proof.files.{zone}", f"elsewhere.{zone}")
    assert ask(world, server, zone) == TxtAnswer(is_alias=True)


@pytest.mark.parametrize("trouble", [Trouble.SERVFAIL, Trouble.REFUSED, Trouble.NO_AUTHORITY, Trouble.SILENT, Trouble.GARBAGE])
def test_failures_say_nothing(world: World, server: DnsServer, zone: str, trouble: Trouble) -> None:
    server.set_txt(f"_proof.files.{zone}", WANTED)
    server.trouble(f"_proof.files.{zone}", trouble)
    answer = ask(world, server, zone, dns_timeout_s=0.5)
    assert answer.failure
    assert not answer.texts
    server.trouble(f"_proof.files.{zone}", None)
    assert WANTED in ask(world, server, zone).texts


@pytest.mark.parametrize("trouble", [Trouble.FORGED_ID, Trouble.FORGED_QUESTION])
def test_a_forged_answer_is_passed_over(world: World, server: DnsServer, zone: str, trouble: Trouble) -> None:
    server.forged = WANTED
    server.trouble(f"_proof.files.{zone}", trouble)
    assert ask(world, server, zone) == TxtAnswer(), "the real answer, which came second"
    server.set_txt(f"_proof.files.{zone}", "real")
    assert ask(world, server, zone).texts == {"real"}


def test_a_long_answer_comes_over_tcp(world: World, server: DnsServer, zone: str) -> None:
    server.set_txt(f"_proof.files.{zone}", WANTED)
    server.trouble(f"_proof.files.{zone}", Trouble.TRUNCATED)
    assert WANTED in ask(world, server, zone).texts


def test_no_cache_is_believed(world: World, server: DnsServer, zone: str) -> None:
    server.cache_txt(f"_proof.files.{zone}", WANTED)
    assert ask(world, server, zone) == TxtAnswer()


def test_a_dead_server_beside_a_living_one(world: World, server: DnsServer) -> None:
    zone = f"zone{number()}.example"
    server.add_zone(zone, "127.0.0.1", "127.0.0.9")
    server.set_txt(f"_proof.files.{zone}", WANTED)
    answer = ask(world, server, zone, outbound_allow=["127.0.0.0/24"])
    assert WANTED in answer.texts


def test_servers_inside_are_not_asked(world: World, server: DnsServer) -> None:
    zone = f"zone{number()}.example"
    server.add_zone(zone, "127.0.0.1", "10.0.0.1", "169.254.169.254")
    server.set_txt(f"_proof.files.{zone}", WANTED)
    assert "public" in ask(world, server, zone, outbound_allow=[]).failure
    assert (f"_proof.files.{zone}.", "TXT", False) not in server.asked


def test_resolvers_that_do_not_answer(world: World, server: DnsServer, zone: str) -> None:
    server.set_txt(f"_proof.files.{zone}", WANTED)
    answer = ask(world, server, zone, dns_resolvers=["127.0.0.1:1"], dns_timeout_s=0.3)
    assert answer.failure
    assert not answer.texts


def test_how_resolvers_are_written() -> None:
    assert resolver_address("192.0.2.53") == ("192.0.2.53", 53)
    assert resolver_address("192.0.2.53:5353") == ("192.0.2.53", 5353)
    assert resolver_address("2001:db8::53") == ("2001:db8::53", 53)
    assert resolver_address("[2001:db8::53]:5353") == ("2001:db8::53", 5353)
    for wrong in ("dns.example", "192.0.2.53:0", "192.0.2.53:65536", "192.0.2.53:x", "192.0.2", "[::1", ""):
        with pytest.raises(ValueError, match=r"."):
            resolver_address(wrong)
