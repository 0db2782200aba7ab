"""/operator/api/v1/domains and /tenants/{slug}/domains: tenants' own domains, on the platform's host."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from strongroom.domains.schemas import DomainPage, DomainSchema, NewDomainSchema, shown_domain
from strongroom.errors import AlreadyExists, DnsUnavailable, DomainNotProven, DomainTaken, TooManyDomains, ValidationFailed
from strongroom.http.context import current_operator, runtime
from strongroom.http.describing import described
from strongroom.http.json import Blueprint
from strongroom.http.paging import PageQuery
from strongroom.http.permissions import operators_only
from strongroom.operating import domains
from tenants.domains import DomainStatus

blueprint = Blueprint("operator_domains", __name__, url_prefix="/operator/api/v1", description="Tenants' own domains.")


class DomainQuery(PageQuery):
    """Which domains."""

    q = fields.String(load_default="", metadata={"description": "Part of a domain or of a tenant's slug."})
    status = fields.String(load_default=None, validate=validate.OneOf([each.value for each in DomainStatus]))


class OwnedDomainSchema(DomainSchema):
    """A domain with the slug of its tenant."""

    tenant = fields.String()


class OwnedDomainPage(Schema):
    """A page of all tenants' domains."""

    items = fields.List(fields.Nested(OwnedDomainSchema))
    next_cursor = fields.String(allow_none=True)


@blueprint.get("/domains")
@operators_only()
@blueprint.arguments(DomainQuery, location="query")
@blueprint.response(200, OwnedDomainPage)
def list_domains(query: dict[str, Any]) -> dict[str, Any]:
    """List all tenants' domains by name."""
    found, cursor = domains.list_domains(runtime(), cursor=query["cursor"], limit=query["limit"], search=query["q"], status=query["status"])
    return {"items": [{**shown_domain(runtime().settings, each), "tenant": slug} for slug, _, each in found], "next_cursor": cursor}


@blueprint.get("/tenants/<slug>/domains")
@operators_only()
@blueprint.response(200, DomainPage)
def list_domains_of(slug: str) -> dict[str, Any]:
    """List a tenant's domains by name."""
    found = domains.list_domains_of(runtime(), slug)
    return {"items": [shown_domain(runtime().settings, each) for each in found], "next_cursor": None}


@blueprint.post("/tenants/<slug>/domains")
@operators_only("admin")
@blueprint.arguments(NewDomainSchema)
@blueprint.response(201, DomainSchema)
@described(fails=(AlreadyExists, DomainTaken, TooManyDomains))
def claim_domain(body: dict[str, str], slug: str) -> dict[str, Any]:
    """Claim a domain for a tenant. It leads nowhere before its DNS record was seen."""
    return shown_domain(runtime().settings, domains.claim_domain(runtime(), current_operator().email, slug, body["domain"]))


@blueprint.post("/tenants/<slug>/domains/<domain>/verify")
@operators_only("admin")
@blueprint.response(200, DomainSchema)
@described(fails=(ValidationFailed, DomainNotProven, DomainTaken, DnsUnavailable))
def verify_domain(slug: str, domain: str) -> dict[str, Any]:
    """Look for a domain's DNS record now."""
    return shown_domain(runtime().settings, domains.verify_domain(runtime(), current_operator().email, slug, domain))


@blueprint.delete("/tenants/<slug>/domains/<domain>")
@operators_only("admin")
@blueprint.response(204)
@described(fails=(ValidationFailed,))
def remove_domain(slug: str, domain: str) -> None:
    """Take a domain from a tenant: another tenant can prove it at once."""
    domains.remove_domain(runtime(), current_operator().email, slug, domain)
