"""E-mail addresses as mailboxes: an international domain has two forms, and a mailbox one account.

Those of strangers are read strictly, so that what is allowed, what is mailed to and what is compared are one thing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from strongroom.auth.service import email_key
from strongroom.errors import ValidationFailed
from tenants.domain_names import normalise, shown

LOCAL = re.compile(r"[A-Za-z0-9#$&'*+/=?^_{}~-]+(?:\.[A-Za-z0-9#$&'*+/=?^_{}~-]+)*")
"""A dot-atom (RFC 5322, 3.2.3) of ASCII, without what some servers read as a way to yet another mailbox (`%`, `!`, `|`, a backquote)."""
MAX_LOCAL, MAX_ADDRESS = 64, 254  # RFC 5321, 4.5.3.1


@dataclass(frozen=True)
class Mailbox:
    """An address. `address`: where mail goes, all ASCII; `email`: as a user's is kept and shown; `domain`: ASCII, small letters."""

    address: str
    email: str
    domain: str

    @property
    def keys(self) -> frozenset[str]:
        """The forms under which a user with this address may be known: somebody may have invited it in either script."""
        return frozenset({email_key(self.email), email_key(self.address)})


def read(text: str) -> Mailbox:
    """Return the mailbox that an address names.

    Raises:
        ValidationFailed: it names none, or none to which mail can go from anywhere.
    """
    local, _, domain = text.strip().rpartition("@")
    try:
        if len(local) > MAX_LOCAL or not LOCAL.fullmatch(local) or domain != domain.strip() or domain.endswith("."):
            raise _refused()
        name = normalise(domain)
    except ValidationFailed:
        raise _refused() from None
    mailbox = _mailbox(local, name)
    if len(mailbox.address) > MAX_ADDRESS:
        raise _refused()
    return mailbox


def known_as(text: str) -> Mailbox:
    """Return the mailbox of an address that somebody else answers for, also one that `read` refuses; as it is where it has no domain."""
    local, _, domain = text.strip().rpartition("@")
    try:
        return _mailbox(local, normalise(domain))
    except ValidationFailed:
        return Mailbox(text, text, domain.lower())


def _mailbox(local: str, name: str) -> Mailbox:
    address, email = f"{local}@{name}", f"{local}@{shown(name)}"
    # Where comparing would make another domain of it (a sharp s becomes two), it stays in ASCII
    return Mailbox(address, email if email_key(email) == email.lower() else address, name)


def flood_key(text: str) -> str:
    """Return one text for all addresses that commonly lead into one mailbox: tags and dots are left out.

    Raises:
        ValidationFailed: see `read`.
    """
    local, _, domain = read(text).address.casefold().rpartition("@")
    return f"{local.partition('+')[0].replace('.', '')}@{domain}"


def _refused() -> ValidationFailed:
    return ValidationFailed("This is no e-mail address.", errors={"email": ["Write a whole e-mail address, such as ada@example.com."]})
