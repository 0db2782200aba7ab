"""Values of a sign-up that travel between layers."""

from __future__ import annotations

from dataclasses import dataclass

from strongroom.users.addresses import Mailbox


@dataclass(frozen=True)
class Asked:
    """What somebody typed who wants an account, and where. `origin`: the tenant's own address as it was reached."""

    mailbox: Mailbox
    name: str
    origin: str


@dataclass(frozen=True)
class Claim:
    """What a sign-up's link says. `ends_at`: until when it is good, by the database's clock, in seconds of the epoch."""

    mailbox: Mailbox
    name: str
    ends_at: float
