"""Whose e-mail addresses may sign up: the domains of a tenant's policy, in the form in which they are compared."""

from __future__ import annotations

from collections.abc import Iterable

from strongroom.errors import ValidationFailed

from tenants.domain_names import normalise

MAX_DOMAINS = 50
ROLES = ("member", "viewer")
"""Those that whoever signs up may get: who manages a tenant is chosen by those who do."""


def check_domains(domains: Iterable[str]) -> list[str]:
    """Return domains as they are stored and compared: ASCII, small letters, each once, in their order.

    Raises:
        ValidationFailed: one is none, or there are too many.
    """
    found: dict[str, None] = {}
    for domain in domains:
        try:
            found[normalise(domain)] = None
        except ValidationFailed as error:
            text = f"“{domain[:80]}”: {error.detail}"
            raise ValidationFailed(text, errors={"domains": [text]}) from None
    if len(found) > MAX_DOMAINS:
        text = f"A policy has at most {MAX_DOMAINS} domains."
        raise ValidationFailed(text, errors={"domains": [text]})
    return list(found)
