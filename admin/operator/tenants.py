"""/operator/tenants/: the tenants with their figures; make, suspend, resume, delete."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Response, request
from strongroom.errors import AlreadyExists, DomainError
from strongroom.files import service as files
from strongroom.http.context import current_operator, runtime
from strongroom.moving.models import Report
from strongroom.operating import moves, overview, service
from strongroom.operating.schemas import NewTenantSchema
from strongroom.operating.service import TenantFigures
from strongroom.users import service as users

from admin.figures import daily_transfer, day_range
from admin.forms import checked, errors_of, field
from admin.notices import say
from admin.operator.frame import ADMIN, OperatorView, acts, shows
from admin.pages import OPERATOR, go
from admin.query import address
from admin.theme import format_bytes
from tenants.models import Tenant

HERE = f"{OPERATOR}/tenants/"
PAGE = 50
STATES = {"active": "Active", "suspended": "Suspended", "deleting": "Deleting"}
OF_PASSWORD = {"password": "owner_password", "email": "owner_email"}
TYPED = ("name", "slug", "owner_email", "plan", "provider")


class Tenants(OperatorView):
    """The tenants."""

    @shows("/")
    def index(self) -> Response:
        """Show the tenants by slug."""
        search, state, after = request.args.get("q", "").strip(), request.args.get("state"), request.args.get("cursor", "")
        state = state if state in STATES else None
        _, start, end = day_range("30d")
        found = service.list_figures(runtime(), start=start, end=end, after=after, limit=PAGE + 1, search=search, status=state)
        items, cursor = found[:PAGE], found[PAGE - 1].tenant.slug if len(found) > PAGE else None
        days = overview.transfer_by_day(runtime(), [each.tenant.id for each in items], start=start, end=end)
        counts = overview.count_tenants(runtime())
        return self.show(
            "tenants.html", tenants=[_row(each, days[each.tenant.id]) for each in items], total=sum(counts.values()), state=state,
            q=search or None, filters=_filters(counts, state, search),
            previous_url=address(HERE, q=search, state=state) if after else None,
            next_url=address(HERE, q=search, state=state, cursor=cursor) if cursor else None,
        )  # fmt: skip

    @shows("/new", operator_role=ADMIN)
    def new(self) -> Response:
        """Ask for a new tenant's name, owner, plan and provider."""
        default = next((each.name for each in service.list_providers(runtime()) if each.is_default), "")
        return self._form({"plan": "standard", "provider": default}, {})

    @acts("/new")
    def create(self) -> Response:
        """Make a tenant with its first owner."""
        typed = {name: field(name) for name in TYPED}
        try:
            body = checked(NewTenantSchema(), {**typed, "owner_password": request.form.get("owner_password", "")})
            tenant = service.create_tenant(runtime(), current_operator().email, **body)
        except AlreadyExists as error:
            return self._form(typed, errors_of(error, "slug"), error.status)
        except DomainError as error:
            return self._form(typed, errors_of(error, "provider", OF_PASSWORD), error.status)
        return say(go(f"{HERE}{tenant.slug}"), "good", f"{tenant.name} is ready. Its owner can sign in at its own address.")

    @shows("/<slug>")
    def tenant(self, slug: str) -> Response:
        """Show a tenant with its figures."""
        return self._tenant(service.find_tenant(runtime(), slug), {})

    @acts("/<slug>/suspend")
    def suspend(self, slug: str) -> Response:
        """Close a tenant for its users."""
        if field("confirm") != slug:
            return say(go(HERE + slug), "bad", "Nothing was changed: the slug was not typed.")
        tenant = service.suspend_tenant(runtime(), current_operator().email, slug)
        return say(go(HERE + slug), "good", f"{tenant.name} is suspended.")

    @acts("/<slug>/resume")
    def resume(self, slug: str) -> Response:
        """Open a suspended tenant again."""
        tenant = service.resume_tenant(runtime(), current_operator().email, slug)
        return say(go(HERE + slug), "good", f"{tenant.name} is open again.")

    @acts("/<slug>/delete")
    def delete(self, slug: str) -> Response:
        """Remove a tenant with all that it owns."""
        if field("confirm") != slug:
            return say(go(HERE + slug), "bad", "Nothing was changed: the slug was not typed.")
        tenant = service.delete_tenant(runtime(), current_operator().email, slug)
        return say(go(HERE), "good", f"{tenant.name} is being deleted.")

    @acts("/<slug>/plan")
    def plan(self, slug: str) -> Response:
        """Give a tenant another plan."""
        try:
            tenant = service.set_limits(runtime(), current_operator().email, slug, plan=field("plan"), limits=None)
        except DomainError as error:
            return self._tenant(service.find_tenant(runtime(), slug), errors_of(error, "plan"), error.status)
        return say(go(HERE + slug), "good", f"{tenant.name} is on the plan {tenant.plan} now.")

    @acts("/<slug>/move")
    def move(self, slug: str) -> Response:
        """Begin to move a tenant's bytes to another provider."""
        service.find_tenant(runtime(), slug)
        try:
            moves.begin(runtime(), current_operator().email, slug, field("provider"))
        except DomainError as error:
            return say(go(HERE + slug), "bad", error.detail)
        return say(go(HERE + slug), "good", "New files go there from now on; the others follow. This page tells how far it is.")

    def _tenant(self, tenant: Tenant, errors: dict[str, str], status: int = 200) -> Response:
        name, start, end = day_range(request.args.get("range"))
        days = service.daily(runtime(), start=start, end=end, tenant_id=tenant.id)
        return self.show(
            "tenant.html", status, tenant=_details(tenant), usage=daily_transfer(name, days), errors=errors,
            domains=_addresses(tenant), plans=_plans(), values={"plan": tenant.plan}, move=_move(tenant),
            providers=[{"value": each.name, "label": f"{each.name} ({each.kind})"} for each in service.list_providers(runtime())],
        )  # fmt: skip

    def _form(self, values: dict[str, Any], errors: dict[str, str], status: int = 200) -> Response:
        providers = [{"value": each.name, "label": f"{each.name} ({each.kind})"} for each in service.list_providers(runtime())]
        base = runtime().settings.public_url(runtime().settings.base_domain).partition("://")[2]
        return self.show("tenant_form.html", status, values=values, errors=errors, plans=_plans(), providers=providers, base_domain=base)


def _move(tenant: Tenant) -> Report | None:
    """Return how the tenant's move stands; None for one that is leaving."""
    return moves.report(runtime(), tenant.slug) if tenant.status in {"active", "suspended"} else None


def _filters(counts: dict[str, int], chosen: str | None, search: str) -> list[dict[str, Any]]:
    everything = {"label": "All", "url": address(HERE, q=search), "active": chosen is None, "count": sum(counts.values())}
    states = [
        {"label": label, "url": address(HERE, q=search, state=state), "active": state == chosen, "count": counts.get(state, 0)}
        for state, label in STATES.items()
    ]
    return [everything, *states]


def _row(each: TenantFigures, days: list[int]) -> dict[str, Any]:
    tenant = each.tenant
    return {
        "slug": tenant.slug, "name": tenant.name, "state": tenant.status, "plan": tenant.plan.capitalize(), "provider": each.provider,
        "stored_bytes": each.stored_bytes, "quota_bytes": tenant.limits.quota_bytes, "files": each.stored_files,
        "bytes_30d": each.bytes_in + each.bytes_out, "spark": days, "created_at": tenant.created_at,
    }  # fmt: skip


def _details(tenant: Tenant) -> dict[str, Any]:
    today = datetime.now(UTC).date()
    found = service.list_figures(runtime(), start=today, end=today, search=tenant.slug)
    figures = next(each for each in found if each.tenant.id == tenant.id)
    alive = tenant.status in {"active", "suspended"}
    return {
        **_row(figures, []), "suspended_reason": None, "cell": tenant.cell, "uploads_today": figures.uploads,
        "downloads_today": figures.downloads, "console_url": runtime().settings.tenant_url(tenant.slug, "/console/"),
        "users": users.count_users(runtime(), tenant) if alive else 0,
        "needs_attention": sum(files.count_attention(runtime(), tenant).values()) if alive else 0,
    }  # fmt: skip


def _addresses(tenant: Tenant) -> list[dict[str, Any]]:
    given = runtime().settings.tenant_url(tenant.slug).partition("://")[2]
    own = [{"domain": domain, "verified": True, "is_default": False} for domain in overview.tenant_domains(runtime(), tenant)]
    return [{"domain": given, "verified": True, "is_default": True}, *own]


def _plans() -> list[dict[str, str]]:
    plans = overview.list_plans(runtime())
    return [{"value": name, "label": f"{name.capitalize()}, {format_bytes(limits.quota_bytes)}"} for name, limits in plans]
