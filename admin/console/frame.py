"""What stands around every page of the tenant's console: navigation by role, brand, quota; and the base of its views."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from flask import Response, request
from flask_admin import expose
from strongroom.access import Permission, Principal, Realm, Role
from strongroom.auth import cookies
from strongroom.files import service as files
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.permissions import permit
from strongroom.quotas import service as quotas

from admin import notices
from admin.brand import brand_of
from admin.pages import CONSOLE, nonce, page
from admin.quotas import shown_notices
from admin.views import PlainView

View = Callable[..., Any]


class Item(NamedTuple):
    """One line of the navigation, and the least role that sees it."""

    label: str
    icon: str
    path: str
    role: Role
    section: str | None = None


NAVIGATION = (
    Item("Dashboard", "layout-dashboard", "/", Role.ADMIN),
    Item("Files", "folders", "/files/", Role.VIEWER),
    Item("Trash", "trash", "/trash/", Role.MEMBER),
    Item("Quarantine", "shield-exclamation", "/quarantine/", Role.ADMIN),
    Item("Buckets", "archive", "/buckets/", Role.ADMIN, "Manage"),
    Item("Users", "users", "/users/", Role.ADMIN, "Manage"),
    Item("API keys", "key", "/api-keys/", Role.MEMBER, "Manage"),
    Item("Storage", "database", "/storage/", Role.ADMIN, "Manage"),
    Item("Mirrors", "copy", "/hosts/", Role.ADMIN, "Manage"),
    Item("Settings", "settings", "/settings/", Role.ADMIN, "Manage"),
    Item("Single sign-on", "login-2", "/sso/", Role.ADMIN, "Manage"),
    Item("Domains", "world", "/domains/", Role.ADMIN, "Manage"),
    Item("Branding", "palette", "/branding/", Role.ADMIN, "Manage"),
    Item("Take-out", "download", "/exports/", Role.ADMIN, "Manage"),
    Item("Isolation", "shield-exclamation", "/isolation/", Role.ADMIN, "Manage"),
)


def shows(url: str = "/", *, role: Role = Role.VIEWER, methods: Iterable[str] = ("GET",)) -> Callable[[View], View]:
    """Make a view's function a page for users of at least that role."""

    def mark(view: View) -> View:
        marked: View = expose(url, methods=tuple(methods))(permit(Permission(Realm.CONSOLE, role=role))(view))
        return marked

    return mark


def acts(url: str, *, role: Role) -> Callable[[View], View]:
    """Make a view's function what a form is sent to, by users of at least that role."""
    return shows(url, role=role, methods=("POST",))


def label_of(principal: Principal) -> str:
    """Return how a user is called: by name, else by e-mail."""
    return principal.name or principal.email


class ConsoleView(PlainView):
    """A view of the tenant's console."""

    def show(self, template: str, status: int = 200, **values: Any) -> Response:
        """Return a page within the console's frame."""
        return page(self.render(f"console/{template}", **{**_frame(), **values}), status)


def _frame() -> dict[str, Any]:
    tenant, principal = current_tenant(), current_principal()
    manages = principal.role.includes(Role.ADMIN)
    attention = files.count_attention(runtime(), tenant) if manages else {}
    shown, totals = notices.take(), quotas.totals(runtime(), tenant)
    return {
        "root": CONSOLE, "csp_nonce": nonce(), "csrf_token": cookies.csrf_token(principal.session_id) if principal.session_id else "",
        "brand": brand_of(tenant), "nav": _navigation(principal.role, sum(attention.values())),
        "principal": {"name": label_of(principal), "email": principal.email, "role": principal.role},
        "quota": {"used_bytes": totals.used_bytes, "limit_bytes": tenant.limits.quota_bytes},
        "quota_notices": shown_notices(totals.uses(tenant.limits)) if manages else [],
        "flashes": shown.messages, "new_invite": shown.once.get("new_invite"), "new_key": shown.once.get("new_key"),
        "attention_counts": attention, "attention_total": sum(attention.values()),
        "can_write": principal.role.includes(Role.MEMBER), "can_manage": manages, "values": {}, "errors": {},
        "q": None, "previous_url": None, "next_url": None,
    }  # fmt: skip


def _navigation(role: Role, attention: int) -> list[dict[str, Any]]:
    here = request.path.removeprefix(CONSOLE)
    items = [item for item in NAVIGATION if role.includes(item.role)]
    active = max((item.path for item in items if _is_at(item.path, here)), key=len, default=None)
    return [
        {
            "label": item.label, "icon": item.icon, "url": CONSOLE + item.path, "active": item.path == active, "section": item.section,
            "count": attention if item.path == "/quarantine/" else None,
        }
        for item in items
    ]  # fmt: skip


def _is_at(path: str, here: str) -> bool:
    if path == "/":
        return here in {"", "/"}
    return (here + "/").startswith(path) or (path == "/files/" and here.startswith("/file/"))
