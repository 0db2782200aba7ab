"""/operator/api/v1: the operator's API, on the platform's host."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

from strongroom.auth import operators
from strongroom.auth.api import refresh_token
from strongroom.auth.jwt import session_of, token_pair
from strongroom.auth.schemas import LoginSchema, RefreshSchema, TokenSchema
from strongroom.db.ids import parse_id
from strongroom.errors import (
    AlreadyExists,
    Conflict,
    InvalidCredentials,
    NotFound,
    ProviderInUse,
    RefreshReused,
    StorageUnavailable,
    TokenExpired,
    TokenInvalid,
    Unauthenticated,
    UnknownProviderKind,
    ValidationFailed,
)
from strongroom.http.context import current_operator, runtime
from strongroom.http.describing import described
from strongroom.http.json import Blueprint
from strongroom.http.pace import limit_failed_logins
from strongroom.http.permissions import operators_only, platform_only
from strongroom.operating import moves, providers, service
from strongroom.operating.schemas import (
    AuditPage,
    JobPage,
    JobQuery,
    JobSchema,
    LimitsChange,
    MoveReportSchema,
    MoveRequest,
    MoveTarget,
    NewProviderSchema,
    NewTenantSchema,
    OperatedTenantPage,
    OperatedTenantSchema,
    OperatorPage,
    PageOfSlugs,
    ProviderChange,
    ProviderPage,
    ProviderSchema,
    StatsQuery,
    StatsSchema,
    StepsSchema,
)
from strongroom.operating.service import TenantFigures
from tenants.models import Tenant

blueprint = Blueprint("operator_api", __name__, url_prefix="/operator/api/v1", description="For operators of the deployment.")
DEFAULT_DAYS, MAX_DAYS = 30, 3660


def shown(tenant: Tenant) -> dict[str, Any]:
    """Return a tenant as operators see it."""
    return {**vars(tenant), "limits": asdict(tenant.limits), "url": runtime().settings.tenant_url(tenant.slug)}


def shown_figures(figures: TenantFigures) -> dict[str, Any]:
    """Return a tenant with its figures as operators see them."""
    numbers = {name: value for name, value in vars(figures).items() if name != "tenant"}
    return {**shown(figures.tenant), **numbers}


def _range(query: dict[str, Any]) -> tuple[date, date]:
    end = query["end"] or datetime.now(UTC).date()
    start = query["start"] or end - timedelta(days=min(DEFAULT_DAYS - 1, (end - date.min).days))
    if not 0 <= (end - start).days <= MAX_DAYS:
        raise ValidationFailed(errors={"from": [f"At most {MAX_DAYS} days at once, and not after 'to'."]})
    return start, end


@blueprint.post("/auth/login")
@platform_only
@limit_failed_logins
@blueprint.arguments(LoginSchema)
@blueprint.response(200, TokenSchema)
@described(fails=(InvalidCredentials,))
def login(body: dict[str, Any]) -> dict[str, Any]:
    """Sign in as an operator."""
    return token_pair(operators.login(runtime(), email=body["email"], password=body["password"], kind="api"))


@blueprint.post("/auth/refresh")
@platform_only
@blueprint.arguments(RefreshSchema, required=False)
@blueprint.response(200, TokenSchema)
@described(
    fails=(
        Unauthenticated,
        TokenInvalid,
        TokenExpired,
        RefreshReused,
    )
)
def refresh(body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Change a refresh token for a new pair."""
    session_id, refresh_id = session_of(refresh_token(body or {}), "refresh")
    if refresh_id is None:
        raise TokenInvalid
    return token_pair(operators.refresh(runtime(), session_id=session_id, refresh_id=refresh_id))


@blueprint.post("/auth/logout")
@operators_only()
@blueprint.response(204)
def logout() -> None:
    """End the session."""
    operators.logout(runtime(), current_operator().session_id)


@blueprint.get("/tenants")
@operators_only()
@blueprint.arguments(PageOfSlugs, location="query")
@blueprint.response(200, OperatedTenantPage)
@described(fails=(NotFound,))
def list_tenants(query: dict[str, Any]) -> dict[str, Any]:
    """List the tenants by slug, with what they hold and did in the last 30 days."""
    start, end = _range({"start": None, "end": None})
    found = service.list_figures(runtime(), start=start, end=end, after=query["cursor"] or "", limit=query["limit"] + 1, search=query["q"])
    items = found[: query["limit"]]
    next_cursor = items[-1].tenant.slug if len(found) > len(items) else None
    return {"items": [shown_figures(each) for each in items], "next_cursor": next_cursor}


@blueprint.post("/tenants")
@operators_only("admin")
@blueprint.arguments(NewTenantSchema)
@blueprint.response(201, OperatedTenantSchema)
@described(fails=(AlreadyExists, NotFound))
def create_tenant(body: dict[str, Any]) -> dict[str, Any]:
    """Make a tenant with its first owner."""
    return shown(service.create_tenant(runtime(), current_operator().email, **body))


@blueprint.get("/tenants/<slug>")
@operators_only()
@blueprint.response(200, OperatedTenantSchema)
def get_tenant(slug: str) -> dict[str, Any]:
    """Get one tenant."""
    return shown(service.find_tenant(runtime(), slug))


@blueprint.patch("/tenants/<slug>")
@operators_only("admin")
@blueprint.arguments(LimitsChange)
@blueprint.response(200, OperatedTenantSchema)
@described(fails=(Conflict,))
def update_tenant(body: dict[str, Any], slug: str) -> dict[str, Any]:
    """Change a tenant's plan or limits."""
    return shown(service.set_limits(runtime(), current_operator().email, slug, plan=body.get("plan"), limits=body.get("limits")))


@blueprint.get("/stats")
@operators_only()
@blueprint.arguments(StatsQuery, location="query")
@blueprint.response(200, StatsSchema)
def get_stats(query: dict[str, Any]) -> dict[str, Any]:
    """Get usage per tenant and per day."""
    start, end = _range(query)
    figures = service.list_figures(runtime(), start=start, end=end)
    days = service.daily(runtime(), start=start, end=end)
    names = ("uploads", "downloads", "bytes_in", "bytes_out", "stored_bytes", "stored_files")
    totals = {name: sum(getattr(each, name) for each in figures) for name in names}
    return {"items": [shown_figures(each) for each in figures], "days": days, "totals": totals, "next_cursor": None}


@blueprint.get("/providers")
@operators_only()
@blueprint.response(200, ProviderPage)
def list_providers() -> dict[str, Any]:
    """List the providers, without their secrets."""
    return {"items": providers.list_shown(runtime()), "next_cursor": None}


@blueprint.post("/providers")
@operators_only("admin")
@blueprint.arguments(NewProviderSchema)
@blueprint.response(201, ProviderSchema)
@described(
    fails=(
        AlreadyExists,
        UnknownProviderKind,
        StorageUnavailable,
    )
)
def add_provider(body: dict[str, Any]) -> Any:
    """Add a provider after having seen that everything works there."""
    return providers.shown(runtime(), providers.add_provider(runtime(), current_operator().email, **body))


@blueprint.patch("/providers/<name>")
@operators_only("admin")
@blueprint.arguments(ProviderChange)
@blueprint.response(200, ProviderSchema)
@described(
    fails=(
        UnknownProviderKind,
        StorageUnavailable,
        ProviderInUse,
    )
)
def update_provider(body: dict[str, Any], name: str) -> Any:
    """Replace a provider's configuration or secrets, after having seen that everything works with them; offer it for mirroring."""
    operator, offered = current_operator().email, body.pop("offered_as_host", None)
    if offered is not None:
        changed = providers.offer_as_host(runtime(), operator, name, offered=offered)
    if body or offered is None:
        changed = providers.update_provider(runtime(), operator, name, config=body.get("config"), secrets=body.get("secrets"))
    return providers.shown(runtime(), changed)


@blueprint.delete("/providers/<name>")
@operators_only("admin")
@blueprint.response(204)
@described(fails=(ProviderInUse,))
def delete_provider(name: str) -> None:
    """Forget a provider that no tenant uses."""
    providers.delete_provider(runtime(), current_operator().email, name)


@blueprint.put("/tenants/<slug>/provider")
@operators_only("admin")
@blueprint.arguments(MoveTarget)
@blueprint.response(200, OperatedTenantSchema)
@described(
    fails=(
        Conflict,
        ValidationFailed,
        ProviderInUse,
    )
)
def set_tenant_provider(body: dict[str, Any], slug: str) -> dict[str, Any]:
    """Have a tenant's new files go to a provider; those that it has stay where they are."""
    return shown(providers.set_tenant_provider(runtime(), current_operator().email, slug, body["provider"]))


@blueprint.get("/tenants/<slug>/move")
@operators_only()
@blueprint.response(200, MoveReportSchema)
def get_move(slug: str) -> Any:
    """Tell how the move of a tenant's bytes stands."""
    return moves.report(runtime(), slug)


@blueprint.post("/tenants/<slug>/move")
@operators_only("admin")
@blueprint.arguments(MoveRequest)
@blueprint.response(202, MoveReportSchema)
@described(
    fails=(
        Conflict,
        StorageUnavailable,
    )
)
def begin_move(body: dict[str, Any], slug: str) -> Any:
    """Move a tenant's bytes to another provider while it goes on working; one that runs goes on."""
    if body["dry_run"]:
        left = moves.plan(runtime(), slug, body["provider"])
        return {"tenant": slug, "provider": body["provider"], "move": None, "left": left, "failures": []}
    return moves.begin(runtime(), current_operator().email, slug, body["provider"])


@blueprint.post("/providers/<name>/test")
@operators_only("admin")
@blueprint.response(200, StepsSchema)
def try_provider(name: str) -> dict[str, Any]:
    """Do at a provider once everything that Strongroom does there; tell how each step went."""
    steps = providers.try_provider(runtime(), name)
    return {"ok": all(step.ok for step in steps), "steps": steps}


@blueprint.get("/jobs")
@operators_only()
@blueprint.arguments(JobQuery, location="query")
@blueprint.response(200, JobPage)
def list_jobs(query: dict[str, Any]) -> dict[str, Any]:
    """List jobs, newest first."""
    before = parse_id(query["cursor"]) if query["cursor"] else None
    found = service.list_jobs(runtime(), state=query["state"], before=before, limit=query["limit"] + 1)
    items = found[: query["limit"]]
    next_cursor = str(items[-1].id) if len(found) > len(items) else None
    return {"items": items, "counts": service.count_jobs(runtime()), "next_cursor": next_cursor}


@blueprint.post("/jobs/<job_id>/retry")
@operators_only("admin")
@blueprint.response(200, JobSchema)
@described(fails=(Conflict,))
def retry_job(job_id: str) -> Any:
    """Put a parked job back into the queue."""
    return service.retry_job(runtime(), current_operator().email, parse_id(job_id))


@blueprint.get("/operators")
@operators_only()
@blueprint.response(200, OperatorPage)
def list_operators() -> dict[str, Any]:
    """List the operators."""
    return {"items": operators.list_operators(runtime().databases), "next_cursor": None}


@blueprint.get("/audit")
@operators_only()
@blueprint.arguments(JobQuery(only=("limit", "cursor")), location="query")
@blueprint.response(200, AuditPage)
def list_audit(query: dict[str, Any]) -> dict[str, Any]:
    """List what operators did, newest first."""
    before = parse_id(query["cursor"]) if query["cursor"] else None
    found = operators.list_audit(runtime().databases, before=before, limit=query["limit"] + 1)
    items = found[: query["limit"]]
    return {"items": items, "next_cursor": str(items[-1].id) if len(found) > len(items) else None}
