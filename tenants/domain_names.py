"""Names of custom domains: brought into the one form in which hosts are compared, and refused where they can be nobody's own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address

from strongroom.errors import ValidationFailed

PROOF_LABEL = "_strongroom"
MAX_NAME = 253 - len(PROOF_LABEL) - 1
NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
SPECIAL_SUFFIXES = ("localhost", "localdomain", "local", "onion", "arpa", "alt", "invalid")
"""Names that no public DNS answers for (RFC 6761, 6762, 7686, 9476)."""


def normalise(text: str) -> str:
    """Return a domain as it is stored and compared: ASCII, small letters, no dot at its end (UTS 46, not transitional).

    Raises:
        ValidationFailed: it is no name of at least two labels that a browser could ask for.
    """
    name = text.strip().removesuffix(".")
    if "*" in name:
        raise refused("A wildcard cannot be claimed: claim each domain by itself.")
    if _is_address(name):
        raise refused("This is an IP address. Write a domain, such as files.example.com.")
    if re.search(r"[\s/:@?#\\%]", name):
        raise refused("Write the domain alone, such as files.example.com: without scheme, port or path.")
    ascii_name = _ascii(name)
    if len(ascii_name) > MAX_NAME:
        raise refused(f"A domain has at most {MAX_NAME} characters, so that its proof's name fits the DNS.")
    if "." not in ascii_name:
        raise refused("This is a single label. Write a whole domain, such as files.example.com.")
    if _is_address(ascii_name) or NUMERIC_LABEL.fullmatch(ascii_name.rpartition(".")[2]):
        raise refused("This is an IP address. Write a domain, such as files.example.com.")
    return ascii_name


def _ascii(name: str) -> str:
    import idna  # noqa: PLC0415 - its tables take memory, and few requests need them

    try:
        ascii_name = idna.encode(name, uts46=True, std3_rules=True).decode()
    except (idna.IDNAError, UnicodeError):
        ascii_name = "."
    if ascii_name.endswith("."):
        raise refused("This is no domain. Write one such as files.example.com.")
    return ascii_name


def check_claimable(domain: str, *, own_names: Iterable[str]) -> None:
    """See that a domain, in its normal form, may be a tenant's at all. `own_names`: base domain and hosts of the platform.

    Raises:
        ValidationFailed
    """
    if any(_is_at_or_below(domain, suffix) for suffix in SPECIAL_SUFFIXES):
        raise refused("This name is reserved: no public DNS answers for it.")
    if any(_is_at_or_below(domain, name.lower()) for name in own_names):
        raise refused("This name belongs to the platform itself.")
    if _is_public_suffix(domain):
        raise refused("This is a public suffix, below which anybody can have a name. Claim a domain of your own.")


def shown(domain: str) -> str:
    """Return a domain as people read it: international names in their own script."""
    if "xn--" not in domain:
        return domain
    import idna  # noqa: PLC0415 - as below

    try:
        return idna.decode(domain)
    except (idna.IDNAError, UnicodeError):
        return domain


def refused(text: str) -> ValidationFailed:
    """Return the refusal of a name."""
    return ValidationFailed(text, errors={"domain": [text]})


def _is_at_or_below(domain: str, name: str) -> bool:
    return domain == name or domain.endswith(f".{name}")


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _is_public_suffix(domain: str) -> bool:
    """Ask the list of publicsuffix.org that comes with the package. It is read anew: 3 MiB kept for a rare question are too much."""
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415 - as above

    return bool(PublicSuffixList().is_public(domain))
