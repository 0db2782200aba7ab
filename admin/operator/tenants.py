"""/operator/tenants/: the tenants with their figures; make, rename, suspend, resume, delete, restore."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as field_
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from flask import Response, request
from strongroom.db.ids import parse_id
from strongroom.domains import service as domains
from strongroom.errors import AlreadyExists, Conflict, DatabaseUnavailable, DomainError, NotFound
from strongroom.files import service as files
from strongroom.http.context import current_operator, runtime
from strongroom.life.models import OperationState
from strongroom.moving.models import Report
from strongroom.operating import cells, life, moves, overview, plans, service
from strongroom.operating.schemas import NewTenantSchema
from strongroom.operating.service import TenantFigures
from strongroom.quotas import service as quotas
from strongroom.quotas.models import Use
from strongroom.tenant_settings import service as tenant_settings
from strongroom.users import service as users

from admin.figures import daily_transfer, day_range
from admin.forms import checked, errors_of, field
from admin.notices import say
from admin.operator.frame import ADMIN, OperatorView, acts, shows
from admin.operator.operations import shown
from admin.pages import OPERATOR, go
from admin.query import address
from admin.quotas import shown_limits, shown_notices
from admin.theme import format_bytes
from tenants.models import Tenant

HERE = f"{OPERATOR}/tenants/"
PAGE, SHOWN_VERSIONS = 50, 10
STATES = {"active": "Active", "suspended": "Suspended", "deleting": "Deleting"}
OF_PASSWORD = {"password": "owner_password", "email": "owner_email"}
ALIVE = frozenset({"active", "suspended"})
Act = Callable[..., Tenant]
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

    @acts("/<slug>/rename")
    def rename(self, slug: str) -> Response:
        """Give a tenant another slug."""
        try:
            tenant = life.rename_tenant(runtime(), current_operator().email, slug, field("new_slug"))
        except NotFound:
            raise
        except DomainError as error:
            return self._tenant(service.find_tenant(runtime(), slug), errors_of(error, "new_slug", {"slug": "new_slug"}), error.status)
        return say(go(HERE + tenant.slug), "good", f"{tenant.name} lives at its new address now.")

    @acts("/<slug>/suspend")
    def suspend(self, slug: str) -> Response:
        """Close a tenant for its users."""
        return self._confirmed(slug, life.suspend_tenant, "{} is suspended.")

    @acts("/<slug>/resume")
    def resume(self, slug: str) -> Response:
        """Open a suspended tenant again."""
        return self._done(slug, life.resume_tenant, "{} is open again.")

    @acts("/<slug>/delete")
    def delete(self, slug: str) -> Response:
        """Take a tenant out of service; with `now`, without a grace time."""
        if field("now"):
            return self._confirmed(slug, partial(life.delete_tenant, now=True, confirm=slug), "All that {} owned is being removed.")
        return self._confirmed(slug, life.delete_tenant, "{} is being deleted.")

    @acts("/<slug>/restore")
    def restore(self, slug: str) -> Response:
        """Bring back a deleted tenant."""
        return self._done(slug, life.restore_tenant, "{} is back.")

    @acts("/<slug>/operations/<operation_id>/retry")
    def retry(self, slug: str, operation_id: str) -> Response:
        """Have what is being done to a tenant go on."""
        life.retry_operation(runtime(), current_operator().email, parse_id(operation_id))
        return say(go(HERE + slug), "good", "It goes on.")

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

    @acts("/<slug>/move-cell")
    def move_cell(self, slug: str) -> Response:
        """Have a tenant go over to another cell, or, with the field `abort`, stay in its own."""
        tenant = service.find_tenant(runtime(), slug)
        try:
            if field("abort"):
                life.abort_move(runtime(), current_operator().email, slug)
            else:
                life.move_tenant(runtime(), current_operator().email, slug, field("cell"))
        except DomainError as error:
            return say(go(HERE + slug), "bad", error.detail)
        text = "{} stays where it is." if field("abort") else "{} is on its way. This page tells how far it is."
        return say(go(HERE + slug), "good", text.format(tenant.name))

    def _confirmed(self, slug: str, act: Act, text: str) -> Response:
        if field("confirm") != slug:
            return say(go(HERE + slug), "bad", "Nothing was changed: the slug was not typed.")
        return self._done(slug, act, text)

    def _done(self, slug: str, act: Act, text: str) -> Response:
        try:
            tenant = act(runtime(), current_operator().email, slug)
        except Conflict as error:
            return say(go(HERE + slug), "bad", error.detail)
        return say(go(HERE + slug), "good", text.format(tenant.name))

    def _tenant(self, tenant: Tenant, errors: dict[str, str], status: int = 200) -> Response:
        name, start, end = day_range(request.args.get("range"))
        days = service.daily(runtime(), start=start, end=end, tenant_id=tenant.id)
        inside, cell_problem = _inside(tenant)
        return self.show(
            "tenant.html", status, use_notices=shown_notices(inside.uses), limits=_limits(tenant, inside), versions=_versions(tenant),
            tenant=_details(tenant, inside), usage=daily_transfer(name, days), errors=errors, cell_problem=cell_problem,
            domains=_addresses(tenant), plans=_plans(), values={"plan": tenant.plan, "new_slug": field("new_slug")},
            move=inside.move, operation=shown_operation(tenant), grace_days=runtime().settings.deletion_grace_days,
            providers=[{"value": each.name, "label": f"{each.name} ({each.kind})"} for each in service.list_providers(runtime())],
            cells=[{"value": name, "label": name} for name in runtime().ready_cells() if name != tenant.cell],
        )  # fmt: skip

    def _form(self, values: dict[str, Any], errors: dict[str, str], status: int = 200) -> Response:
        providers = [{"value": each.name, "label": f"{each.name} ({each.kind})"} for each in service.list_providers(runtime())]
        base = runtime().settings.public_url(runtime().settings.base_domain).partition("://")[2]
        return self.show("tenant_form.html", status, values=values, errors=errors, plans=_plans(), providers=providers, base_domain=base)


def _limits(tenant: Tenant, inside: Inside) -> list[dict[str, Any]]:
    return shown_limits(tenant, plans.get_plan(runtime(), tenant.plan).limits, inside.uses) if tenant.status in ALIVE else []


def _versions(tenant: Tenant) -> list[dict[str, Any]]:
    """Return the newest versions of a tenant's settings, with who made them."""
    found = tenant_settings.list_versions(runtime(), tenant, limit=SHOWN_VERSIONS) if tenant.status in ALIVE else []
    makers = [UUID(each.actor["user_id"]) if "user_id" in each.actor else None for each in found]
    try:
        names = users.names_of(runtime(), tenant, makers) if any(makers) else {}
    except DatabaseUnavailable:
        names = {}
    return [{**vars(each), "by": names.get(maker)} for each, maker in zip(found, makers, strict=True)]


def shown_operation(tenant: Tenant) -> dict[str, Any] | None:
    """Return what is being done to a tenant; None when nothing is."""
    operation = life.last_operation(runtime(), tenant)
    return shown(operation) if operation is not None and operation.state == OperationState.OPEN else None


@dataclass(frozen=True)
class Inside:
    """What only a tenant's own cell knows of it: nothing, for one that is leaving or whose cell cannot be reached."""

    users: int = 0
    needs_attention: int = 0
    uses: list[Use] = field_(default_factory=list)
    move: Report | None = None


def _inside(tenant: Tenant) -> tuple[Inside, str]:
    """Return what a tenant's cell knows of it, and why it cannot be asked, if so."""
    if tenant.status not in ALIVE:
        return Inside(), ""
    try:
        attention = sum(files.count_attention(runtime(), tenant).values())
        uses, report = quotas.uses(runtime(), tenant), moves.report(runtime(), tenant.slug)
        return Inside(users.count_users(runtime(), tenant), attention, uses, report), ""
    except DatabaseUnavailable as error:
        return Inside(), cells.amiss(runtime()).get(tenant.cell) or f"The cell '{tenant.cell}' cannot be asked: {error.detail}"


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


def _details(tenant: Tenant, inside: Inside) -> dict[str, Any]:
    today = datetime.now(UTC).date()
    found = service.list_figures(runtime(), start=today, end=today, search=tenant.slug)
    figures = next(each for each in found if each.tenant.id == tenant.id)
    return {
        **_row(figures, []), "suspended_reason": None, "cell": tenant.cell, "uploads_today": figures.uploads,
        "downloads_today": figures.downloads, "console_url": runtime().settings.tenant_url(tenant.slug, "/console/"),
        "users": inside.users, "needs_attention": inside.needs_attention,
    }  # fmt: skip


def _addresses(tenant: Tenant) -> list[dict[str, Any]]:
    given = runtime().settings.tenant_url(tenant.slug).partition("://")[2]
    own = [{"domain": each.domain, "status": each.status, "is_default": False} for each in domains.list_domains(runtime(), tenant)]
    return [{"domain": given, "status": "verified", "is_default": True}, *own]


def _plans() -> list[dict[str, str]]:
    found = plans.list_plans(runtime())
    return [{"value": each.name, "label": f"{each.name.capitalize()}, {format_bytes(each.limits.quota_bytes)}"} for each in found]
