"""/console/users/: who may sign in, with which role; invitations."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from strongroom.access import Principal, Role
from strongroom.db.ids import parse_id
from strongroom.errors import DomainError
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.users import service
from strongroom.users.api import NewUserSchema, UserChange
from strongroom.users.models import Invitation, User

from admin.console.frame import ConsoleView, acts, shows
from admin.forms import checked, errors_of, field
from admin.notices import say
from admin.pages import CONSOLE, go

HERE = f"{CONSOLE}/users/"
MAX_SHOWN = 1000


class Users(ConsoleView):
    """The tenant's users."""

    @shows("/", role=Role.ADMIN)
    def index(self) -> Response:
        """Show users and open invitations."""
        tenant, search = current_tenant(), request.args.get("q", "").strip()
        found = service.list_users(runtime(), tenant, limit=MAX_SHOWN, search=search)
        active = [user for user in found if user.status != "invited"]
        used = service.count_users(runtime(), tenant)
        return self.show(
            "users.html", users=[_row(user) for user in active], invitations=[_invited(user) for user in found if user.status == "invited"],
            q=search or None, seats={"used": used, "limit": None},
        )  # fmt: skip

    @shows("/invite", role=Role.ADMIN)
    def ask(self) -> Response:
        """Ask whom to invite."""
        return self._form(None, {"email": "", "role": Role.MEMBER})

    @acts("/invite", role=Role.ADMIN)
    def invite(self) -> Response:
        """Invite a user; the link is told once, by the page after this."""
        try:
            body = checked(NewUserSchema(only=("email", "role")), {"email": field("email"), "role": field("role")})
            invitation = service.invite_user(runtime(), current_tenant(), current_principal(), **body)
        except DomainError as error:
            return self._form(None, {"email": field("email"), "role": field("role")}, errors_of(error, "email"), error.status)
        return _tell(invitation)

    @acts("/invitations/<user_id>/renew", role=Role.ADMIN)
    def renew(self, user_id: str) -> Response:
        """Make a new link for an invitation; the former one stops working."""
        try:
            return _tell(service.invite_again(runtime(), current_tenant(), parse_id(user_id)))
        except DomainError as error:
            return say(go(HERE), "bad", error.detail)

    @acts("/invitations/<user_id>/withdraw", role=Role.ADMIN)
    def withdraw(self, user_id: str) -> Response:
        """Take an invitation back."""
        return self._remove(user_id, "The invitation was withdrawn.")

    @shows("/<user_id>", role=Role.ADMIN)
    def edit(self, user_id: str) -> Response:
        """Show a user."""
        user = service.get_user(runtime(), current_tenant(), parse_id(user_id))
        return self._form(user, {"name": user.name, "role": user.role})

    @acts("/<user_id>", role=Role.ADMIN)
    def update(self, user_id: str) -> Response:
        """Change a user's name or role."""
        user = service.get_user(runtime(), current_tenant(), parse_id(user_id))
        try:
            body = checked(UserChange(only=("name", "role")), {"name": field("name"), "role": field("role")})
            service.update_user(runtime(), current_tenant(), current_principal(), user.id, **body)
        except DomainError as error:
            return self._form(user, {"name": field("name"), "role": field("role")}, errors_of(error, "role"), error.status)
        return say(go(HERE), "good", f"{_name(user)} was changed.")

    @acts("/<user_id>/disable", role=Role.ADMIN)
    def disable(self, user_id: str) -> Response:
        """Shut a user out."""
        return self._shut_out(user_id, disabled=True, text="was disabled and signed out everywhere")

    @acts("/<user_id>/enable", role=Role.ADMIN)
    def enable(self, user_id: str) -> Response:
        """Let a user in again."""
        return self._shut_out(user_id, disabled=False, text="can sign in again")

    @acts("/<user_id>/remove", role=Role.ADMIN)
    def remove(self, user_id: str) -> Response:
        """Remove a user; its files stay."""
        return self._remove(user_id, "The user was removed. Their files stay.")

    def _shut_out(self, user_id: str, *, disabled: bool, text: str) -> Response:
        try:
            user = service.update_user(runtime(), current_tenant(), current_principal(), parse_id(user_id), disabled=disabled)
        except DomainError as error:
            return say(go(HERE), "bad", error.detail)
        return say(go(HERE), "good", f"{_name(user)} {text}.")

    def _remove(self, user_id: str, text: str) -> Response:
        try:
            service.delete_user(runtime(), current_tenant(), current_principal(), parse_id(user_id))
        except DomainError as error:
            return say(go(HERE), "bad", error.detail)
        return say(go(HERE), "good", text)

    def _form(self, user: User | None, values: dict[str, Any], errors: dict[str, str] | None = None, status: int = 200) -> Response:
        shown = {"id": user.id, "name": _name(user), "email": user.email} if user else None
        owner = current_principal().role == Role.OWNER
        return self.show("user_form.html", status, user=shown, values=values, errors=errors or {}, may_make_owner=owner)


def _name(user: User) -> str:
    return user.name or user.email


def _row(user: User) -> dict[str, Any]:
    return {
        "id": user.id, "name": _name(user), "email": user.email, "role": user.role, "state": user.status,
        "last_seen_at": user.last_login_at, "is_self": user.id == current_principal().user_id,
        "may_change": _may_change(current_principal(), user),
    }  # fmt: skip


def _may_change(principal: Principal, user: User) -> bool:
    return user.id != principal.user_id and (user.role != Role.OWNER or principal.role == Role.OWNER)


def _invited(user: User) -> dict[str, Any]:
    return {
        "id": user.id, "email": user.email, "role": user.role, "invited_at": user.updated_at,
        "expires_at": service.invitation_ends(runtime(), user), "may_change": _may_change(current_principal(), user),
    }  # fmt: skip


def _tell(invitation: Invitation) -> Response:
    ends = service.invitation_ends(runtime(), invitation.user).isoformat()
    return say(go(HERE), "good", new_invite={"email": invitation.user.email, "url": invitation.url, "expires_at": ends})
