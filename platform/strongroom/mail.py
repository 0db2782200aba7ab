"""Sending mail through the operator's SMTP server. Only workers do: a server that is slow or down holds up no request.

What can be tried again is told from what cannot (RFC 5321, 4.2.1: replies 4yz and 5yz).
"""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from email.errors import HeaderParseError, MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr

from strongroom.config import Settings
from strongroom.errors import MailRefused, MailUnavailable

TIMEOUT_S = 20.0
PERMANENT = 500


@dataclass(frozen=True)
class Mail:
    """A mail to one person. `key` makes its Message-ID: the same each time that the same mail is tried again."""

    to: str
    subject: str
    text: str
    key: str


def send(settings: Settings, mail: Mail) -> None:
    """Hand a mail to the SMTP server; on return the server has taken it.

    Raises:
        MailUnavailable: not now; try again later.
        MailRefused: never, as it is.
    """
    message = to_message(settings, mail)
    try:
        with _connected(settings) as server:
            server.send_message(message)
    except smtplib.SMTPRecipientsRefused as refused:
        raise _by_code(max(code for code, _ in refused.recipients.values())) from refused
    except smtplib.SMTPNotSupportedError as error:
        raise MailRefused("The mail server cannot do what this address or its setting needs.") from error
    except smtplib.SMTPAuthenticationError as error:
        raise MailUnavailable("The mail server does not take this user and password.") from error
    except smtplib.SMTPResponseException as error:
        raise _by_code(error.smtp_code) from error
    except (OSError, smtplib.SMTPException) as error:
        raise MailUnavailable(f"The mail server cannot be reached: {type(error).__name__}.") from error


def to_message(settings: Settings, mail: Mail) -> EmailMessage:
    """Return a mail as it goes over the wire.

    Raises:
        MailRefused: the address is none that mail can be sent to.
    """
    sender = settings.mail_from or f"no-reply@{settings.base_domain}"
    message = EmailMessage(policy=SMTP)
    try:
        message["To"] = Address(addr_spec=mail.to)
    except (HeaderParseError, MessageError, ValueError, IndexError) as error:
        raise MailRefused("This is no address that mail can be sent to.") from error
    message["From"] = sender
    message["Subject"] = " ".join(mail.subject.split())  # names are tenants' own: no line of theirs becomes a header
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{mail.key}@{parseaddr(sender)[1].rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    return message


@contextlib.contextmanager
def _connected(settings: Settings) -> Iterator[smtplib.SMTP]:
    host, context = settings.smtp_host or "", ssl.create_default_context(cafile=settings.smtp_ca_file)
    if settings.smtp_security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, settings.smtp_port, timeout=TIMEOUT_S, context=context)
    else:
        server = smtplib.SMTP(host, settings.smtp_port, timeout=TIMEOUT_S)
    with server:
        if settings.smtp_security == "starttls":
            server.starttls(context=context)
        if settings.smtp_user and settings.smtp_password:
            server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        yield server


def _by_code(code: int) -> MailRefused | MailUnavailable:
    kind = MailRefused if code >= PERMANENT else MailUnavailable
    return kind(f"The mail server answered {code}.")
