"""/healthz, /readyz, /metrics, /problems/{code}, /api/v1/openapi.json, /api/v1/docs"""

from __future__ import annotations

import hmac
import json
from functools import lru_cache
from typing import Any

from flask import Blueprint, Response, current_app, render_template, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from strongroom.auth.gate import bearer
from strongroom.errors import CATALOGUE, DomainError, NotFound
from strongroom.health.metrics import make_registry
from strongroom.http.context import runtime
from strongroom.http.openapi import complete
from strongroom.http.permissions import anywhere, platform_only, shared
from tenants.tables import plans

blueprint = Blueprint("health", __name__, template_folder="templates", static_folder="static", static_url_path="/static/health")
PAGE_POLICY = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"
LOOPBACK = frozenset({"127.0.0.1", "::1"})


@blueprint.get("/healthz")
@anywhere
def healthz() -> dict[str, str]:
    """Tell that the process answers."""
    return {"status": "ok"}


@blueprint.get("/readyz")
@anywhere
def readyz() -> tuple[dict[str, Any], int]:
    """Tell whether requests can be served: the registry and every cell answer and are migrated."""
    parts: dict[str, str] = {}
    try:
        with runtime().databases.control() as connection:
            connection.execute(plans.select().limit(1))
        parts["registry"] = "ok"
    except (DomainError, SQLAlchemyError) as error:
        parts["registry"] = _why(error)
    unprepared = _unprepared() if parts["registry"] == "ok" else []
    for cell in runtime().databases.cell_names:
        if cell in unprepared:
            continue
        try:
            with runtime().databases.cell(cell) as connection:
                connection.execute(text("SELECT revision FROM strongroom.tenant_script"))
            parts[f"cell {cell}"] = "ok"
        except (DomainError, SQLAlchemyError) as error:
            parts[f"cell {cell}"] = _why(error)
    ready = all(state == "ok" for state in parts.values())
    parts |= {f"cell {cell}": f"not ready yet; run 'strongroom cell add {cell}'" for cell in unprepared}
    return {"status": "ready" if ready else "not ready", "parts": parts, "deployment": deployment_id()}, 200 if ready else 503


def _unprepared() -> list[str]:
    """Return the cells that the settings name and nobody has made ready yet, while others are: they hold nobody, so nobody misses them."""
    try:
        ready = runtime().ready_cells()
    except (DomainError, SQLAlchemyError):
        return []
    return [name for name in runtime().databases.cell_names if name not in ready] if ready else []


def _why(error: Exception) -> str:
    return error.title if isinstance(error, DomainError) else "not migrated; run 'strongroom migrate'"


def deployment_id() -> str:
    """Return a name of this deployment that tells nothing of its keys, so that a starter knows its own server."""
    return runtime().keys.operator_key("deployment id")[:8].hex()


@blueprint.get("/metrics")
@platform_only
def metrics() -> Response:
    """Figures for Prometheus: to this machine, or with the configured token."""
    token = runtime().settings.metrics_token
    if token is not None:
        allowed = hmac.compare_digest((bearer() or "").encode(), token.get_secret_value().encode())
    else:
        allowed = request.remote_addr in LOOPBACK and "X-Forwarded-For" not in request.headers
    if not allowed:
        raise NotFound
    return Response(generate_latest(make_registry(runtime())), content_type=CONTENT_TYPE_LATEST)


@blueprint.get("/problems/<code>")
@shared
def problem_page(code: str) -> Response:
    """Explain one kind of problem, from the catalogue that the problems themselves are made from."""
    error = CATALOGUE.get(code)
    if error is None:
        raise NotFound
    return _page("problem.html", error=error)


@blueprint.get("/problems")
@shared
def problem_index() -> Response:
    """List all kinds of problem."""
    return _page("problems.html", errors=sorted(CATALOGUE.values(), key=lambda each: (each.status, each.code)))


@blueprint.get("/api/v1/openapi.json")
@shared
def openapi() -> Response:
    """Describe the tenant's API."""
    return Response(_spec("/api/v1"), content_type="application/json")


@blueprint.get("/operator/api/v1/openapi.json")
@platform_only
def operator_openapi() -> Response:
    """Describe the operator's API."""
    return Response(_spec("/operator/api/v1"), content_type="application/json")


@blueprint.get("/api/v1/docs")
@shared
def docs() -> Response:
    """Show the API's description in the browser."""
    return _page("docs.html", spec_url="/api/v1/openapi.json")


@blueprint.get("/operator/api/v1/docs")
@platform_only
def operator_docs() -> Response:
    """Show the operator API's description in the browser."""
    return _page("docs.html", spec_url="/operator/api/v1/openapi.json")


@lru_cache(maxsize=4)
def _spec_of(app: Any, prefix: str) -> str:
    spec = app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec.to_dict()
    text_: str = app.json.dumps(complete(app, json.loads(app.json.dumps(spec)), prefix))
    return text_


def _spec(prefix: str) -> str:
    return _spec_of(current_app._get_current_object(), prefix)  # type: ignore[attr-defined]  # the proxy's own accessor


def _page(template: str, **values: Any) -> Response:
    return Response(render_template(template, **values), headers={"Content-Security-Policy": PAGE_POLICY})
