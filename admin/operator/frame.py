"""What stands around every page of the operator's console, and the base of its views."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from flask import Response, request
from flask_admin import expose
from strongroom.access import Permission, Realm
from strongroom.auth import cookies
from strongroom.http.context import current_operator, runtime
from strongroom.http.permissions import permit
from strongroom.operating import service

from admin import notices, theme
from admin.pages import OPERATOR, nonce, page
from admin.views import PlainView

View = Callable[..., Any]
ADMIN = "admin"


class Item(NamedTuple):
    """One line of the navigation."""

    label: str
    icon: str
    path: str
    section: str | None = None


NAVIGATION = (
    Item("Dashboard", "layout-dashboard", "/"),
    Item("Tenants", "building-community", "/tenants/"),
    Item("Plans", "gauge", "/plans/"),
    Item("Operations", "activity", "/operations/"),
    Item("Jobs", "list-check", "/jobs/"),
    Item("Migrations", "refresh", "/migrations/", "Platform"),
    Item("Cells", "server", "/cells/", "Platform"),
    Item("Providers", "database", "/providers/", "Platform"),
    Item("Operators", "user-shield", "/operators/", "Platform"),
    Item("Audit", "report-search", "/audit/", "Platform"),
)


def shows(url: str = "/", *, operator_role: str = "viewer", methods: Iterable[str] = ("GET",)) -> Callable[[View], View]:
    """Make a view's function a page for operators of that role."""

    def mark(view: View) -> View:
        permission = Permission(Realm.OPERATOR_CONSOLE, operator_role=operator_role)
        marked: View = expose(url, methods=tuple(methods))(permit(permission)(view))
        return marked

    return mark


def acts(url: str) -> Callable[[View], View]:
    """Make a view's function what a form is sent to, by operators who may change things."""
    return shows(url, operator_role=ADMIN, methods=("POST",))


class OperatorView(PlainView):
    """A view of the operator's console."""

    def show(self, template: str, status: int = 200, **values: Any) -> Response:
        """Return a page within the console's frame."""
        return page(self.render(f"operator/{template}", **{**_frame(), **values}), status)


def _frame() -> dict[str, Any]:
    operator, shown = current_operator(), notices.take()
    counts = service.count_jobs(runtime())
    return {
        "root": OPERATOR, "csp_nonce": nonce(), "csrf_token": cookies.csrf_token(operator.session_id), "brand": theme.OPERATOR_BRAND,
        "nav": _navigation(counts["parked"]), "flashes": shown.messages, "can_manage": operator.role == ADMIN, "job_counts": counts,
        "principal": {
            "name": operator.name or operator.email, "email": operator.email, "role": "operator" if operator.role == ADMIN else "viewer",
        },
        "values": {}, "errors": {}, "q": None, "previous_url": None, "next_url": None,
    }  # fmt: skip


def _navigation(parked: int) -> list[dict[str, Any]]:
    here = request.path.removeprefix(OPERATOR) + "/"
    active = max((item.path for item in NAVIGATION if item.path != "/" and here.startswith(item.path)), key=len, default="/")
    return [
        {
            "label": item.label, "icon": item.icon, "url": OPERATOR + item.path, "active": item.path == active, "section": item.section,
            "count": parked if item.path == "/jobs/" else None,
        }
        for item in NAVIGATION
    ]  # fmt: skip
