"""A mail server on this machine, for tests that ask for one: aiosmtpd, which keeps what it takes."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from tests.services import certificates
from tests.services.processes import free_port

USER, PASSWORD = b"strongroom", b"right"


@dataclass(frozen=True)
class Received:
    """A mail as it came, and for whom the envelope was."""

    to: str
    message: EmailMessage


@dataclass
class MailServer:
    """A running server. `answer`, if set, is what every mail is refused with; `refused` are those."""

    port: int
    ca_file: Path | None = None
    answer: str = ""
    mails: list[Received] = field(default_factory=list)
    refused: list[Received] = field(default_factory=list)
    controller: Controller | None = None

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd calls it so
        message: Any = message_from_bytes(envelope.content or b"", policy=default)  # type: ignore[arg-type]  # bytes unless decoded
        kept = self.refused if self.answer else self.mails
        kept += [Received(to, message) for to in envelope.rcpt_tos]
        return self.answer or "250 taken"

    def stop(self) -> None:
        if self.controller is not None:
            self.controller.stop()
            self.controller = None


def _check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER, PASSWORD)
    return AuthResult(success=right, handled=False)


@contextmanager
def mail_server(folder: Path, security: str = "none") -> Iterator[MailServer]:
    """Run one; with `starttls` or `tls` it has a certificate of its own authority, and asks for user and password."""
    server = MailServer(free_port())
    options: dict[str, Any] = {"decode_data": False, "enable_SMTPUTF8": True}
    if security != "none":
        files = certificates.make(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        server.ca_file = files.authority
        options |= {"authenticator": _check, "auth_required": True, "auth_require_tls": security == "starttls"}
        options |= {"tls_context": context, "require_starttls": True} if security == "starttls" else {"ssl_context": context}
    server.controller = Controller(server, hostname="127.0.0.1", port=server.port, **options)
    server.controller.start()
    try:
        yield server
    finally:
        server.stop()
