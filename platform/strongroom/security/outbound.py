"""Requests to addresses that others named: the one HTTP client of all features, behind a guard.

The guard stands where it cannot be passed: in the connection. A host is resolved once, every address of the answer is
checked, and the socket connects to an address that was checked, so a name that resolves to something else a moment later
gains nothing (DNS rebinding). Redirects are followed by hand, each address checked anew. No proxy, no credential and no
cookie comes from anywhere; TLS is verified against the host's name; nothing is decompressed.

    with outbound.open("https://example.com/a.bin") as answer:
        while data := answer.read(256 * 1024):
            …

For libraries that bring their own requests, `Outbound.pools` gives a urllib3 `PoolManager` whose connections are guarded alike.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote, urljoin

from urllib3 import BaseHTTPResponse, HTTPHeaderDict, Timeout
from urllib3.exceptions import HTTPError, LocationParseError, NameResolutionError, SSLError
from urllib3.util import Url, parse_url

from strongroom.config import Settings
from strongroom.errors import OutboundRefused, SourceRefused, SourceUnavailable
from strongroom.security.addresses import check_address, check_host
from strongroom.security.guarded import Address, Deadline, GuardedPools

WEB_PORTS = frozenset({80, 443})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_URL = 8192
AUTHORITY = re.compile(r"[a-z]+://([^/?#]*)", re.IGNORECASE)
Resolve = Callable[..., list[Any]]


@dataclass(frozen=True)
class Limits:
    """How long a request may take, and how much may come. `silence_s`: between two pieces; `total_s`: from the first word to the last."""

    connect_s: float = 10.0
    silence_s: float = 30.0
    total_s: float = 60.0
    max_bytes: int | None = 1 << 20
    redirects: int = 5


class Answer:
    """An answer whose body has not been read. `length_bytes` None: the sender did not say."""

    def __init__(self, response: BaseHTTPResponse, url: str, limits: Limits, deadline: Deadline) -> None:
        self._response, self._limits, self._deadline = response, limits, deadline
        self._size_bytes = 0
        self.url = url
        self.status: int = response.status
        self.headers: HTTPHeaderDict = response.headers
        self.length_bytes: int | None = getattr(response, "length_remaining", None)

    def read(self, size: int) -> bytes:
        """Return the next bytes as they come, at most `size`; empty at the end.

        An end before Content-Length, or before the last chunk, is no end. Where the sender announces neither, its closing
        of the connection is the end (RFC 9112, 6.3), which nobody can tell from a loss.

        Raises:
            SourceUnavailable: it broke off, fell silent or took too long.
            SourceRefused: there is more than `max_bytes`.
        """
        with _told_apart(self._deadline):
            data = next(self._pieces(size), b"")
        self._size_bytes += len(data)
        if self._limits.max_bytes is not None and self._size_bytes > self._limits.max_bytes:
            raise SourceRefused(f"The answer has more than {self._limits.max_bytes} bytes.")
        return data

    def _pieces(self, size: int) -> Iterator[bytes]:
        """Return an iterator of what is there; of chunks urllib3 reads whole ones, else what one look at the socket gives."""
        if getattr(self._response, "chunked", False):
            return self._chunks(size)
        return iter([self._response.read1(size, decode_content=False)])

    def _chunks(self, size: int) -> Iterator[bytes]:
        if not hasattr(self, "_stream"):
            self._stream = self._response.stream(size, decode_content=False)
        return self._stream


class Outbound:
    """The guard and the client. Immutable, safe to share between threads; every request has connections of its own."""

    def __init__(self, settings: Settings, *, resolve: Resolve = socket.getaddrinfo) -> None:
        self._allowed = tuple(ip_network(each) for each in settings.outbound_allow)
        self._ports = WEB_PORTS | set(settings.outbound_ports)
        self._ca_file = settings.outbound_ca_file
        self._resolve = resolve

    def check_url(self, url: str) -> Url:
        """Return a URL taken apart, after having refused what no lookup could mend.

        Raises:
            OutboundRefused: not http or https, a user name or password, a port or a host that may not be asked.
        """
        if len(url) > MAX_URL or not url.isascii() or any(character <= " " or character in "\\\x7f" for character in url):
            raise OutboundRefused(f"A URL has at most {MAX_URL} ASCII characters, and no space, control character or backslash.")
        try:
            parsed = parse_url(url)
        except LocationParseError:
            raise OutboundRefused("This is no URL.") from None
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise OutboundRefused("Only http and https are taken, with a host.")
        match = AUTHORITY.match(url)
        if match is None or parsed.auth is not None or "@" in match[1]:
            raise OutboundRefused("A URL with a user name or a password is not taken.")
        if "%" in match[1]:
            raise OutboundRefused("A host is written without percent signs.")
        self.check_place(parsed.host.strip("[]"), parsed.port or (443 if parsed.scheme == "https" else 80))
        return parsed

    def check_place(self, host: str, port: int) -> None:
        """See that a host, as far as its name tells, and a port may be asked.

        Raises:
            OutboundRefused
        """
        if port not in self._ports:
            raise OutboundRefused(f"Port {port} is not one that may be asked.")
        check_host(host, self._allowed)

    def addresses(self, host: str, port: int) -> list[Address]:
        """Look a host up; return where to connect. One address that may not be asked spoils all the others.

        Raises:
            OutboundRefused
            OSError: what the resolver raises.
        """
        self.check_place(host, port)
        found = [(family, place) for family, _, _, _, place in self._resolve(host, port, 0, socket.SOCK_STREAM)]
        for _, place in found:
            check_address(str(place[0]), self._allowed)
        return found

    def pools(self, *, deadline: Deadline | None = None, **options: Any) -> GuardedPools:
        """Return a urllib3 PoolManager whose every connection is guarded, for libraries that make requests of their own."""
        return GuardedPools(self.addresses, deadline, **{"ca_certs": self._ca_file, "cert_reqs": "CERT_REQUIRED", **options})

    @contextmanager
    def open(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        limits: Limits | None = None,
    ) -> Iterator[Answer]:
        """Send a request and give its answer, whatever its status. Only GET and HEAD follow redirects.

        Raises:
            OutboundRefused: the address, or one that a redirect leads to, may not be asked.
            SourceUnavailable: nobody answers, or not in time; trying again may help.
            SourceRefused: there is no such host, its certificate is not valid, or it redirects without end.
        """
        limits = limits or Limits()
        with Deadline(limits.total_s) as deadline, self.pools(deadline=deadline) as pools:
            response, last = self._follow(pools, url, method, {"Accept-Encoding": "identity", **(headers or {})}, body, limits, deadline)
            try:
                yield Answer(response, last, limits, deadline)
            finally:
                response.close()

    def _follow(
        self, pools: GuardedPools, url: str, method: str, headers: Mapping[str, str], body: bytes | None, limits: Limits, deadline: Deadline
    ) -> tuple[BaseHTTPResponse, str]:
        timeout = Timeout(connect=limits.connect_s, read=limits.silence_s)
        for _ in range(limits.redirects + 1):
            self.check_url(url)
            with _told_apart(deadline):
                response = pools.urlopen(
                    method, url, redirect=False, headers=headers, body=body, retries=False, preload_content=False, decode_content=False,
                    timeout=timeout,
                )  # fmt: skip
            location = response.headers.get("Location")
            if method not in {"GET", "HEAD"} or response.status not in REDIRECTS or not location:
                return response, url
            response.close()
            url = _next_url(url, location)
        raise SourceRefused(f"The source redirects more than {limits.redirects} times.")


def _next_url(url: str, location: str) -> str:
    """Return where a redirect leads. What should have been percent-encoded in it is, byte by byte, as browsers do."""
    encoded = "".join(each if each.isascii() and each != " " else quote(each.encode("latin-1", "replace")) for each in location)
    try:
        return urljoin(url, encoded).partition("#")[0]
    except ValueError:
        raise OutboundRefused("The source redirects to what is no URL.") from None


@contextmanager
def _told_apart(deadline: Deadline) -> Iterator[None]:
    """Turn what urllib3 raises into errors of ours. Its texts hold URLs, which may hold secrets: they are not passed on."""
    try:
        yield
    except NameResolutionError as error:
        temporary = getattr(error.__cause__, "errno", None) == socket.EAI_AGAIN
        raise (SourceUnavailable("The host could not be looked up.") if temporary else SourceRefused("There is no such host.")) from None
    except SSLError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error) or "match" in str(error):
            raise SourceRefused("The host's certificate is not valid for it.") from None
        raise SourceUnavailable("TLS with the host failed.") from None
    except (HTTPError, OSError, ValueError) as error:
        late = " It took too long." if deadline.is_over else ""
        raise SourceUnavailable(f"The source does not answer as it should ({type(error).__name__}).{late}") from None
