"""The guard before requests to addresses that others named: every form of an address, every way around a check."""

from __future__ import annotations

import logging
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from strongroom.config import load_settings
from strongroom.errors import ConfigurationError, DomainError, OutboundRefused, SourceRefused, SourceUnavailable
from strongroom.security import guarded
from strongroom.security.outbound import Limits, Outbound

from tests.factories import token_bytes
from tests.services import source as sources
from tests.services.source import Source, raw, reply

LOOPBACK = ["127.0.0.0/8", "::1/128"]
QUICK = Limits(connect_s=5, silence_s=0.3, total_s=20, max_bytes=1000)


def settings(**values: Any) -> Any:
    fixed = {"database_url": "postgresql://x@y/z", "broker_url": "memory://", "master_key": token_bytes("key").decode()}
    return load_settings({}, **fixed, **values)


class Resolver:
    """Answers as a name server that somebody hostile runs; the last answer is given for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers, self.asked = list(answers), 0

    def __call__(self, _host: str, port: int, *_: Any) -> list[Any]:
        self.asked += 1
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (each, port, 0, 0)) if ":" in each
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found
        ]  # fmt: skip


@pytest.fixture
def source() -> Iterator[Source]:
    with sources.start() as made:
        made.pages["/"] = reply(body=b"hello")
        yield made


@pytest.fixture
def outbound(source: Source) -> Outbound:
    """A client that may reach the tests' server."""
    return Outbound(settings(outbound_allow=LOOPBACK, outbound_ports=[source.port]))


def fetch(outbound: Outbound, url: str, limits: Limits = QUICK) -> bytes:
    with outbound.open(url, limits=limits) as answer:
        return b"".join(iter(lambda: answer.read(256), b""))


FORBIDDEN_HOSTS = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.100.100.200",  # noqa: S104 - to be refused, not bound to
    "169.254.169.254", "169.254.170.2", "168.63.129.16", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9",
    "192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "2130706433", "017700000001", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.1", "127.0.1", "10.1", "0", "0x", "3232235777",
    "127.0.0.01", "127.0.0.1.", "1.2.3.4.5", "256.1.1.1", "8.8.2056", "134744072",
    "[::1]", "[::]", "[::ffff:7f00:1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[::7f00:1]", "[::ffff:8.8.8.8]", "[::ffff:0:7f00:1]",
    "[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::8.8.8.8]", "[64:ff9b:1::1]", "[2002:7f00:1::]", "[2002:a00:1::1]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]", "[fe80::1]", "[fe80::1%25eth0]", "[fec0::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]",
    "[2001:db8::1]", "[100::1]", "[3fff::1]", "[0:0:0:0:0:0:0:1]", "[::0001]",
    "localhost", "LOCALHOST", "localhost.", "a.localhost", "localhost.localdomain", "ip6-localhost",
    "１２７.0.0.1", "127。0。0。1", "ⓛocalhost", "exämple.com", "a b", "-", ".", "a..b", "a" * 64 + ".com", "a%00.com", "a%2eb",
]  # fmt: skip


@pytest.mark.parametrize("host", FORBIDDEN_HOSTS)
def test_forms_of_hosts_that_are_not_public(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them is connected to, and those that are no names are not even looked up."""
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("connected"))
    outbound = Outbound(settings(), resolve=lambda *_: pytest.fail("looked up"))
    for scheme in ("http", "https"):
        with pytest.raises(OutboundRefused):
            fetch(outbound, f"{scheme}://{host}/")


RESOLVED = [
    host.strip("[]")
    for host in FORBIDDEN_HOSTS
    if (host[0] == "[" and "%" not in host) or re.fullmatch(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){3}", host)
]


@pytest.mark.parametrize("address", [each for each in RESOLVED if each != "256.1.1.1"])
def test_names_that_lead_to_addresses_that_are_not_public(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("connected"))
    for answer in ([address], ["93.184.215.14", address], [address, "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]):
        resolver = Resolver(answer)
        with pytest.raises(OutboundRefused) as refused:
            fetch(Outbound(settings(), resolve=resolver), "http://files.example.com/")
        assert resolver.asked == 1
        assert address not in str(refused.value)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e", "100.63.255.255", "172.32.0.1"]
)
def test_public_addresses_are_connected_to_as_they_were_checked(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[Any] = []

    def connect(_self: socket.socket, place: Any) -> None:
        places.append(place)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(SourceUnavailable):
        fetch(Outbound(settings(), resolve=Resolver([address])), "http://files.example.com/")
    assert [place[:2] for place in places] == [(address, 80)]


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://example.com/", "gopher://example.com/", "dict://example.com/", "jar:http://example.com!/", "data:,x",
        "unix:///run/x", "//example.com/", "example.com", "", "http:", "http://", "http:///x", "https://?x", "http://[::1/", "http://[x]/",
        "http://example.com:22/", "http://example.com:8080/", "http://example.com:0/", "http://example.com:99999/", "http://example.com:-1/",
        "http://user@example.com/", "http://user:secret@example.com/", "http://@example.com/", "http://example.com@127.0.0.1/",
        "http://127.0.0.1#@example.com/", "http://example.com\\@127.0.0.1/", "http://127.0.0.1\\.example.com/", "http://exa\nmple.com/",
        "http://example.com/\r\nX: y", "http://example.com/ x", "\thttp://example.com/", "http://example.com/\0", "http://example.com/ü",
        "http://example.com/" + "x" * 8192, "http://example.com:80:80/", "http://%31%32%37.0.0.1/",
    ],
)  # fmt: skip
def test_what_is_no_url_to_be_asked(url: str) -> None:
    outbound = Outbound(settings(), resolve=lambda *_: pytest.fail("looked up"))
    with pytest.raises(OutboundRefused):
        fetch(outbound, url)


def test_networks_that_the_operator_allows(source: Source, outbound: Outbound) -> None:
    assert fetch(outbound, source.url()) == b"hello"
    with pytest.raises(OutboundRefused):
        fetch(Outbound(settings(outbound_ports=[source.port])), source.url())
    with pytest.raises(OutboundRefused):
        fetch(Outbound(settings(outbound_allow=LOOPBACK)), source.url())  # its port is not among those
    with pytest.raises(OutboundRefused):
        fetch(outbound, f"http://[::ffff:127.0.0.1]:{source.port}/")  # the same place in other words is not allowed
    assert source.paths == ["/"]


def test_ipv6() -> None:
    with sources.start("::1") as source:
        source.pages["/"] = reply(body=b"six")
        assert fetch(Outbound(settings(outbound_allow=["::1/128"], outbound_ports=[source.port])), source.url()) == b"six"
        with pytest.raises(OutboundRefused):
            fetch(Outbound(settings(outbound_allow=["127.0.0.0/8"], outbound_ports=[source.port])), source.url())
        assert source.requests[0].lower().count(f"host: [::1]:{source.port}\r\n") == 1


def test_a_setting_that_is_no_network() -> None:
    for wrong in ("10.0.0.1/8", "everything", "10.0.0.0/33"):
        with pytest.raises(ConfigurationError):
            settings(outbound_allow=[wrong])


def test_rebinding_gains_nothing(source: Source) -> None:
    """The name leads to a public address when it is looked up first, and to this machine a moment later."""
    connected: list[Any] = []
    resolver = Resolver(["93.184.215.14"], ["127.0.0.1"])
    outbound = Outbound(settings(outbound_ports=[source.port]), resolve=resolver)
    url = source.url(host="rebind.example.com")

    def connect(_self: socket.socket, place: Any) -> None:
        connected.append(place)
        raise ConnectionRefusedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        with pytest.raises(SourceUnavailable):
            fetch(outbound, url)
        assert resolver.asked == 1  # what was checked is what was connected to: nobody looks the name up twice
        with pytest.raises(OutboundRefused):
            fetch(outbound, url)
    assert connected == [("93.184.215.14", source.port)]
    assert source.requests == []


def test_a_redirect_is_checked_as_the_first_address_was(source: Source, outbound: Outbound) -> None:
    for number, target in enumerate(
        ["http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "http://[::ffff:7f00:1]/", "//10.0.0.1/", "http://127.0.0.1:22/",
         "http://u:p@example.com/", "http://2130706433/"]
    ):  # fmt: skip
        source.pages[f"/{number}"] = reply("302 Found", b"", f"Location: {target}")
        with pytest.raises(OutboundRefused):
            fetch(outbound, source.url(f"/{number}"))


def test_a_redirect_to_a_name_that_was_rebound(source: Source) -> None:
    resolver = Resolver(["127.0.0.1"], ["10.0.0.1"])
    outbound = Outbound(settings(outbound_allow=LOOPBACK, outbound_ports=[source.port]), resolve=resolver)
    source.pages["/start"] = reply("301 Moved", b"", "Location: /")
    with pytest.raises(OutboundRefused):
        fetch(outbound, source.url("/start", host="rebind.example.com"))
    assert source.paths == ["/start"]


def test_redirects_are_followed_five_times(source: Source, outbound: Outbound) -> None:
    for number, status in enumerate((301, 302, 303, 307, 308)):
        source.pages[f"/{number}"] = reply(f"{status} On", b"not this", f"Location: {'../' * number}{number + 1}")
    source.pages["/5"] = reply(body=b"here")
    with outbound.open(source.url("/0")) as answer:
        assert (answer.status, answer.url, answer.read(100)) == (200, source.url("/5"), b"here")
    source.pages["/5"] = reply("302 On", b"", "Location: /0")
    with pytest.raises(SourceRefused):
        fetch(outbound, source.url("/0"))
    assert len(source.requests) == 12


def test_only_reading_follows_redirects(source: Source, outbound: Outbound) -> None:
    source.pages["/hook"] = reply("307 On", b"", "Location: /")
    with outbound.open(source.url("/hook"), method="POST", body=b"x") as answer:
        assert answer.status == 307
    assert source.paths == ["/hook"]


def test_nothing_comes_from_the_environment(source: Source, outbound: Outbound, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with sources.start() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        (tmp_path / ".netrc").write_text("default login someone password secret\n")
        monkeypatch.setenv("HOME", str(tmp_path))
        source.pages["/"] = reply("200 OK", b"hello", "Set-Cookie: a=b; Path=/")
        assert fetch(outbound, source.url()) + fetch(outbound, source.url()) == b"hellohello"
        assert proxy.requests == []
    for head in source.requests:
        names = {line.partition(":")[0].lower() for line in head.split("\r\n")[1:] if line}
        assert names == {"host", "accept-encoding", "user-agent"}
        assert "Accept-Encoding: identity" in head


def test_the_source_sees_no_secret_of_a_url_in_a_redirect(source: Source, outbound: Outbound) -> None:
    source.pages["/start"] = reply("302 On", b"", "Location: /")
    fetch(outbound, source.url("/start?token=secret"))
    assert "secret" not in source.requests[1]


def test_nothing_is_decompressed(source: Source, outbound: Outbound) -> None:
    source.pages["/"] = reply("200 OK", b"\x1f\x8bno gzip", "Content-Encoding: gzip")
    assert fetch(outbound, source.url()) == b"\x1f\x8bno gzip"


# Limits


def wait_for_the_end(_connection: socket.socket, source: Source) -> None:
    source.over.wait(30)


def drip(connection: socket.socket, source: Source) -> None:
    """Never silent, never done."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not source.over.wait(0.02):
        connection.sendall(b"X: y\r\n" if not source.pages.get("body") else b"x")


def drip_body(connection: socket.socket, source: Source) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not source.over.wait(0.02):
        connection.sendall(b"x")


ENDLESS = b"HTTP/1.1 200 OK\r\n"
BROKEN: dict[str, tuple[Any, Limits]] = {
    "silence": (wait_for_the_end, QUICK),
    "headers that drip": (drip, Limits(silence_s=5, total_s=0.5)),
    "a body that drips": (drip_body, Limits(silence_s=5, total_s=0.5)),
    "a connection closed at once": (raw(b""), QUICK),
    "no http": (raw(b"SSH-2.0-OpenSSH_9\r\n"), QUICK),
    "half a head": (raw(b"HTTP/1.1 200 OK\r\nContent-Le"), QUICK),
    "a head with what is no header": (raw(ENDLESS + b"Content-Length: 0\r\nno header\r\n\r\n"), QUICK),
    "a header without end": (raw(ENDLESS + b"X: " + b"y" * 70_000 + b"\r\n\r\n"), QUICK),
    "headers that are too large together": (raw(ENDLESS + (b"X: " + b"y" * 1000 + b"\r\n") * 90 + b"\r\n"), QUICK),
    "too many headers": (raw(ENDLESS + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n"), QUICK),
    "interim answers for ever": (raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000), QUICK),
    "less than was announced": (reply(body=b"half", length=8), QUICK),
    "chunks without the last": (raw(ENDLESS + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"), QUICK),
    "half a chunk": (raw(ENDLESS + b"Transfer-Encoding: chunked\r\n\r\n8\r\nhalf"), QUICK),
    "chunks that are none": (raw(ENDLESS + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhalf\r\n"), QUICK),
    "two lengths": (raw(ENDLESS + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nhalf!"), QUICK),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_sources_that_do_not_answer_as_they_should(source: Source, outbound: Outbound, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """The URL, which may hold a secret, is in no error and in no line of a log."""
    source.pages["/x"], limits = BROKEN[kind]
    with pytest.raises(SourceUnavailable) as told:
        fetch(outbound, source.url("/x?secret"), limits)
    assert "secret" not in str(told.value)
    assert told.value.__cause__ is None
    assert told.value.__suppress_context__
    assert "secret" not in "".join(record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG)


def test_a_size_limit_while_bytes_come(source: Source, outbound: Outbound) -> None:
    source.pages["/1000"], source.pages["/1001"] = reply(body=b"x" * 1000), reply(body=b"x" * 1001)
    source.pages["/chunks"] = raw(ENDLESS + b"Transfer-Encoding: chunked\r\n\r\n" + (b"100\r\n" + b"x" * 256 + b"\r\n") * 4 + b"0\r\n\r\n")
    assert len(fetch(outbound, source.url("/1000"))) == 1000
    for path in ("/1001", "/chunks"):
        with pytest.raises(SourceRefused):
            fetch(outbound, source.url(path))


def test_chunks_and_an_end_by_closing(source: Source, outbound: Outbound) -> None:
    source.pages["/chunks"] = raw(ENDLESS + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n5;x=y\r\n more\r\n0\r\n\r\n")
    source.pages["/closing"] = raw(b"HTTP/1.0 200 OK\r\n\r\nall there is")
    assert fetch(outbound, source.url("/chunks")) == b"half more"
    assert fetch(outbound, source.url("/closing")) == b"all there is"


def test_nobody_listens_and_no_such_host() -> None:
    def unknown(code: int) -> Callable[..., Any]:
        def resolve(*_: Any) -> list[Any]:
            raise socket.gaierror(code, "no")

        return resolve

    with sources.start() as gone:
        port = gone.port
    with pytest.raises(SourceUnavailable):
        fetch(Outbound(settings(outbound_allow=LOOPBACK, outbound_ports=[port])), f"http://127.0.0.1:{port}/")
    with pytest.raises(SourceRefused):
        fetch(Outbound(settings(), resolve=unknown(socket.EAI_NONAME)), "http://none.example/")
    with pytest.raises(SourceUnavailable):
        fetch(Outbound(settings(), resolve=unknown(socket.EAI_AGAIN)), "http://none.example/")
    with pytest.raises(SourceUnavailable):
        fetch(Outbound(settings(), resolve=Resolver([])), "http://none.example/")


class BlackHoles:
    """Addresses that swallow every connection, and a clock that is on by as long as each was waited for."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.waited_s: list[float] = []

    def connect(self, made: socket.socket, _place: Any) -> None:
        patience_s = made.gettimeout()
        assert patience_s, "waited for without an end"
        self.waited_s.append(patience_s)
        self.now_s += patience_s
        raise TimeoutError

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def black_holes(monkeypatch: pytest.MonkeyPatch) -> BlackHoles:
    holes = BlackHoles()

    def connect(made: socket.socket, place: Any) -> None:
        holes.connect(made, place)

    monkeypatch.setattr(guarded, "time", holes)
    monkeypatch.setattr(socket.socket, "connect", connect)
    return holes


@pytest.mark.parametrize(("connect_s", "waited_s"), [(5, [5] * 4), (7, [7, 7, 6]), (30, [20]), (None, [20])])
def test_many_addresses_that_do_not_answer_take_no_longer_than_all_may(
    black_holes: BlackHoles, connect_s: Any, waited_s: list[float]
) -> None:  # fmt: skip
    """A name server can give hundreds of them; the time for the whole request is the time for all together."""
    resolver = Resolver([f"93.184.{number // 200}.{number % 200}" for number in range(300)])
    with pytest.raises(SourceUnavailable):
        fetch(Outbound(settings(), resolve=resolver), "http://files.example.com/", Limits(connect_s=connect_s, total_s=20))
    assert black_holes.waited_s == pytest.approx(waited_s)
    assert resolver.asked == 1


# TLS


@pytest.fixture
def tls(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    return sources.certificate(tmp_path, "files.example.com", "127.0.0.1")


def test_tls_is_verified_against_the_name(tls: tuple[Path, ssl.SSLContext]) -> None:
    with sources.start(tls=tls[1]) as source:
        source.pages["/"] = reply(body=b"secret")
        allow: dict[str, Any] = {"outbound_allow": LOOPBACK, "outbound_ports": [source.port]}
        here = Resolver(["127.0.0.1"])
        trusting = Outbound(settings(**allow, outbound_ca_file=str(tls[0])), resolve=here)
        assert fetch(trusting, source.url(host="files.example.com")) == b"secret"
        assert fetch(trusting, source.url()) == b"secret"
        for refused in (source.url(host="other.example.com"), source.url(host="files.example.com.evil.example")):
            with pytest.raises(SourceRefused):
                fetch(trusting, refused)
        with pytest.raises(SourceRefused):
            fetch(Outbound(settings(**allow), resolve=here), source.url(host="files.example.com"))
        assert len(source.requests) == 2


def test_a_handshake_that_never_ends(source: Source, outbound: Outbound) -> None:
    source.pages = {}
    with pytest.raises(SourceUnavailable):
        fetch(outbound, f"https://127.0.0.1:{source.port}/", Limits(silence_s=0.3, connect_s=0.3, total_s=5))


# For libraries with requests of their own


def test_pools_are_guarded_in_every_way_they_are_used(source: Source) -> None:
    """Also their own redirects, and connections made past `urlopen`."""
    source.pages["/on"] = reply("302 On", b"", "Location: http://127.0.0.2/")
    outbound = Outbound(settings(outbound_allow=["127.0.0.1/32"], outbound_ports=[source.port]))
    with outbound.pools() as pools:
        assert pools.request("GET", source.url()).data == b"hello"
        refused: list[Callable[[], Any]] = [
            lambda: pools.request("GET", source.url("/on")),
            lambda: pools.request("GET", "http://169.254.169.254/"),
            lambda: pools.connection_from_url("http://10.0.0.1/").request("GET", "/"),
            lambda: pools.connection_from_host("127.0.0.1", 22).request("GET", "/"),
        ]
        for ask in refused:
            with pytest.raises(DomainError):
                ask()
