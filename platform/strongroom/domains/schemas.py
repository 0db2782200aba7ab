"""Custom domains in JSON."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from strongroom.config import Settings
from strongroom.domains.checking import lapses_at
from tenants import domain_names
from tenants.domains import Domain, DomainStatus, Finding


class NewDomainSchema(Schema):
    """A domain to be claimed."""

    domain = fields.String(
        required=True, validate=validate.Length(1, 300), metadata={"description": "Such as `files.example.com`; Unicode is taken, too."}
    )


class ProofSchema(Schema):
    """The DNS record that proves a domain, for as long as it is there."""

    type = fields.String(metadata={"description": "`TXT`"})
    name = fields.String()
    value = fields.String()


class DomainSchema(Schema):
    """A custom domain of a tenant."""

    domain = fields.String(metadata={"description": "In ASCII form (`xn--…`)."})
    shown = fields.String(metadata={"description": "As people read it."})
    status = fields.String(validate=validate.OneOf([each.value for each in DomainStatus]))
    url = fields.String()
    proof = fields.Nested(ProofSchema)
    finding = fields.String(
        allow_none=True,
        validate=validate.OneOf([each.value for each in Finding if each]),
        metadata={
            "description": "What the last look at the record found. `unreachable`: no name server answered, which counts for nothing."
        },
    )
    checked_at = fields.AwareDateTime(format="iso", allow_none=True)
    verified_at = fields.AwareDateTime(format="iso", allow_none=True)
    missing_since = fields.AwareDateTime(
        format="iso", allow_none=True, metadata={"description": "Since when a proven domain's record is gone."}
    )
    lapses_at = fields.AwareDateTime(format="iso", allow_none=True, metadata={"description": "When it is let go, should that stay so."})
    lapsed_at = fields.AwareDateTime(format="iso", allow_none=True)
    created_at = fields.AwareDateTime(format="iso")


class DomainPage(Schema):
    """All domains of a tenant."""

    items = fields.List(fields.Nested(DomainSchema))
    next_cursor = fields.String(allow_none=True)


def shown_domain(settings: Settings, domain: Domain) -> dict[str, Any]:
    """Return a domain as the API, the consoles and the command line show it."""
    return {
        "domain": domain.domain, "shown": domain_names.shown(domain.domain), "status": domain.status,
        "url": settings.public_url(domain.domain), "finding": domain.finding or None,
        "proof": {"type": "TXT", "name": domain.proof_name, "value": domain.proof_value},
        "checked_at": domain.checked_at, "verified_at": domain.verified_at, "missing_since": domain.missing_since,
        "lapses_at": lapses_at(settings, domain), "lapsed_at": domain.lapsed_at, "created_at": domain.created_at,
    }  # fmt: skip
