"""/console/account/: one's own name, password and sessions."""

from __future__ import annotations

import re
from typing import Any

from flask import Response, request
from strongroom.access import Role
from strongroom.auth import service as auth
from strongroom.auth.models import Session
from strongroom.db.ids import parse_id
from strongroom.errors import DomainError, InvalidCredentials, NotFound
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.pace import limiter
from strongroom.users import service as users
from strongroom.users.api import AccountChange

from admin.console.frame import ConsoleView, acts, shows
from admin.forms import checked, errors_of, field
from admin.notices import say
from admin.pages import CONSOLE, go

HERE = f"{CONSOLE}/account/"
BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"), ("curl/", "curl"))
SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS X", "macOS"), ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)  # fmt: skip
PHONE = re.compile("iPhone|Android.+Mobile")


def _own_key() -> str:
    return f"password:{current_tenant().id}:{current_principal().user_id}"


limit_wrong_passwords = limiter.limit(
    "10/minute", key_func=_own_key, deduct_when=lambda response: response.status_code == InvalidCredentials.status
)


class Account(ConsoleView):
    """One's own account."""

    @shows("/")
    def index(self) -> Response:
        """Show one's name and where one is signed in."""
        return self._page({"name": current_principal().name}, {})

    @acts("/profile", role=Role.VIEWER)
    def rename(self) -> Response:
        """Change one's own name."""
        try:
            body = checked(AccountChange(only=("name",)), {"name": field("name")})
            users.update_account(runtime(), current_tenant(), current_principal(), **body)
        except DomainError as error:
            return self._page({"name": field("name")}, errors_of(error, "name"), error.status)
        return say(go(HERE), "good", "Your name was saved.")

    @acts("/password", role=Role.VIEWER)
    @limit_wrong_passwords
    def change_password(self) -> Response:
        """Change one's own password; all other sessions end."""
        current, new = request.form.get("current_password", ""), request.form.get("new_password", "")
        values = {"name": current_principal().name}
        try:
            users.change_password(runtime(), current_tenant(), current_principal(), current=current, new=new)
        except InvalidCredentials as error:
            return self._page(values, {"current_password": error.detail}, error.status)
        except DomainError as error:
            return self._page(values, errors_of(error, "new_password", {"password": "new_password"}), error.status)
        return say(go(HERE), "good", "Your password was changed. You are signed out everywhere else.")

    @acts("/sessions/<session_id>/end", role=Role.VIEWER)
    def end(self, session_id: str) -> Response:
        """Sign out elsewhere."""
        try:
            auth.end_own_session(runtime(), current_tenant(), current_principal().user_id, parse_id(session_id))
        except NotFound:
            return go(HERE)
        return say(go(HERE), "good", "Signed out there.")

    @acts("/sessions/end-others", role=Role.VIEWER)
    def end_others(self) -> Response:
        """Sign out everywhere else."""
        principal = current_principal()
        if principal.session_id is not None:
            auth.end_other_sessions(runtime(), current_tenant(), principal.user_id, principal.session_id)
        return say(go(HERE), "good", "You are signed out everywhere else.")

    def _page(self, values: dict[str, Any], errors: dict[str, str], status: int = 200) -> Response:
        sessions = auth.list_sessions(runtime(), current_tenant(), current_principal().user_id)
        rows = [_row(session) for session in sessions]
        rows.sort(key=lambda row: not row["is_current"])
        has_password = not auth.password_sign_in_is_off(current_tenant(), current_principal().role)
        return self.show("account.html", status, values=values, errors=errors, sessions=rows, has_password=has_password)


def _row(session: Session) -> dict[str, Any]:
    return {
        "id": session.id, "device": device(session.user_agent), "is_phone": PHONE.search(session.user_agent) is not None,
        "address": session.remote_addr or "unknown address", "started_at": session.created_at, "last_seen_at": session.used_at,
        "is_current": session.id == current_principal().session_id,
    }  # fmt: skip


def device(user_agent: str) -> str:
    """Return a browser and its system in plain words, such as `Firefox on Windows`."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or user_agent[:40] or "A program"
