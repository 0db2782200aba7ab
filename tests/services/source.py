"""A web server of the outside, on 127.0.0.1 or ::1, plain or with TLS, that answers as a test wants: well, badly, or not at all."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Answer = Callable[[socket.socket, "Source"], None]
HEAD_END = b"\r\n\r\n"


def reply(status: str = "200 OK", body: bytes = b"", *headers: str, length: int | None = None) -> Answer:
    """An answer of these bytes; `length`: another Content-Length than theirs."""

    def answer(connection: socket.socket, _source: Source) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", "Connection: close", *headers]
        connection.sendall("\r\n".join(lines).encode() + HEAD_END + body)

    return answer


def raw(data: bytes) -> Answer:
    """These bytes, whatever they mean."""
    return lambda connection, _source: connection.sendall(data)


class Source:
    """The server. Each connection carries one request; `requests` keeps their heads."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.host, self.tls = host, tls
        self.pages: dict[str, Answer] = {}
        self.requests: list[str] = []
        self.over = threading.Event()
        self._listener = socket.create_server((host, 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def paths(self) -> list[str]:
        """The targets that were asked for."""
        return [head.split(" ")[1] for head in self.requests]

    def url(self, path: str = "/", host: str | None = None) -> str:
        shown = host or (f"[{self.host}]" if ":" in self.host else self.host)
        return f"{'https' if self.tls else 'http'}://{shown}:{self.port}{path}"

    def close(self) -> None:
        self.over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in [self._accepting, *self._threads]:
            thread.join(10)

    def _accept(self) -> None:
        while not self.over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        with plain, suppress(OSError):
            plain.settimeout(30)
            connection = self.tls.wrap_socket(plain, server_side=True) if self.tls else plain
            with connection:
                head = b""
                while HEAD_END not in head:
                    data = connection.recv(65536)
                    if not data:
                        return
                    head += data
                text = head.decode("latin-1")
                self.requests.append(text)
                self.pages.get(text.split(" ")[1].partition("?")[0], reply("404 Not Found"))(connection, self)


@contextmanager
def start(host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Source]:
    """Run a source until the end of the block."""
    source = Source(host, tls)
    try:
        yield source
    finally:
        source.close()


def certificate(folder: Path, *names: str) -> tuple[Path, ssl.SSLContext]:
    """Make an authority and a server's certificate for these names and addresses; return the authority's file and the server's context."""
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.UTC)
    base = x509.CertificateBuilder().issuer_name(issuer).not_valid_before(now - datetime.timedelta(days=1))
    base = base.not_valid_after(now + datetime.timedelta(days=1))
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = base.subject_name(issuer).public_key(authority_key.public_key()).serial_number(1)
    authority = authority.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).add_extension(usage, critical=True)
    authority_made = authority.add_extension(identifier, critical=False).sign(authority_key, hashes.SHA256())
    shown = [x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() or ":" in name else x509.DNSName(name) for name in names]
    server = base.subject_name(x509.Name([])).public_key(server_key.public_key()).serial_number(2)
    server = server.add_extension(x509.SubjectAlternativeName(shown), critical=True)
    server = server.add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    server_made = server.sign(authority_key, hashes.SHA256())
    authority_file, chain = folder / "authority.pem", folder / "server.pem"
    authority_file.write_bytes(authority_made.public_bytes(serialization.Encoding.PEM))
    private = server_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain.write_bytes(private + server_made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return authority_file, context
