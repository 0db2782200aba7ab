"""/api/v1/users, /api/v1/account"""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from strongroom.access import Role, Scope
from strongroom.auth.service import email_key
from strongroom.db.ids import parse_id
from strongroom.errors import AlreadyExists, InvalidCredentials, LastOwner, NotFound, PasswordSignInOff, QuotaExceeded, TokenExpired
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.describing import described
from strongroom.http.json import Blueprint
from strongroom.http.paging import PageQuery, cursor_at, position_of
from strongroom.http.permissions import public, requires
from strongroom.users import service

blueprint = Blueprint("users", __name__, url_prefix="/api/v1", description="Users of the tenant, and one's own account.")
MAX_NAME = 200


class UserSchema(Schema):
    """A user."""

    id = fields.UUID()
    email = fields.String()
    name = fields.String()
    role = fields.Enum(Role, by_value=True)
    status = fields.String()
    created_at = fields.AwareDateTime(format="iso")
    updated_at = fields.AwareDateTime(format="iso")
    last_login_at = fields.AwareDateTime(format="iso", allow_none=True)


class UserPage(Schema):
    """A page of users."""

    items = fields.List(fields.Nested(UserSchema))
    next_cursor = fields.String(allow_none=True)


class NewUserSchema(Schema):
    """A user to be made: with a password at once, or by an invitation."""

    email = fields.String(required=True, validate=validate.Length(3, 320))
    name = fields.String(load_default="", validate=validate.Length(max=MAX_NAME))
    role = fields.Enum(Role, by_value=True, load_default=Role.MEMBER)
    password = fields.String(load_default=None, load_only=True, metadata={"description": "Without one, an invitation is made."})


class InvitedUserSchema(UserSchema):
    """A new user; the invitation is told this once."""

    invite_url = fields.String(allow_none=True)
    invite_token = fields.String(allow_none=True)


class UserChange(Schema):
    """What can be changed of a user."""

    name = fields.String(validate=validate.Length(max=MAX_NAME))
    role = fields.Enum(Role, by_value=True)
    disabled = fields.Boolean()


class AccountChange(Schema):
    """What a user can change of itself."""

    name = fields.String(validate=validate.Length(max=MAX_NAME))
    current_password = fields.String(load_only=True)
    new_password = fields.String(load_only=True)


class AcceptSchema(Schema):
    """An invitation, accepted."""

    token = fields.String(required=True, load_only=True)
    name = fields.String(load_default="", validate=validate.Length(max=MAX_NAME))
    password = fields.String(required=True, load_only=True)


@blueprint.get("/users")
@requires(Role.ADMIN, Scope.USER_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, UserPage)
def list_users(page: dict[str, Any]) -> dict[str, Any]:
    """List the tenant's users by e-mail."""
    position = position_of("users", page["cursor"])
    found = service.list_users(runtime(), current_tenant(), after=position[0] if position else "", limit=page["limit"] + 1)
    items = found[: page["limit"]]
    return {"items": items, "next_cursor": cursor_at("users", [email_key(items[-1].email)] if len(found) > len(items) else None)}


@blueprint.post("/users")
@requires(Role.ADMIN, Scope.USER_WRITE)
@blueprint.arguments(NewUserSchema)
@blueprint.response(201, InvitedUserSchema)
@described(fails=(AlreadyExists, QuotaExceeded))
def create_user(body: dict[str, Any]) -> Any:
    """Invite a user, or make one with a password."""
    if body["password"] is not None:
        return service.create_user(runtime(), current_tenant(), current_principal(), **body)
    body.pop("password")
    invitation = service.invite_user(runtime(), current_tenant(), current_principal(), **body)
    return {**vars(invitation.user), "invite_url": invitation.url, "invite_token": invitation.token}


@blueprint.get("/users/<user_id>")
@requires(Role.ADMIN, Scope.USER_READ)
@blueprint.response(200, UserSchema)
def get_user(user_id: str) -> Any:
    """Get one user."""
    return service.get_user(runtime(), current_tenant(), parse_id(user_id))


@blueprint.patch("/users/<user_id>")
@requires(Role.ADMIN, Scope.USER_WRITE)
@blueprint.arguments(UserChange)
@blueprint.response(200, UserSchema)
@described(fails=(LastOwner,))
def update_user(body: dict[str, Any], user_id: str) -> Any:
    """Change a user's name or role, or shut it out."""
    return service.update_user(runtime(), current_tenant(), current_principal(), parse_id(user_id), **body)


@blueprint.delete("/users/<user_id>")
@requires(Role.ADMIN, Scope.USER_WRITE)
@blueprint.response(204)
@described(fails=(LastOwner,))
def delete_user(user_id: str) -> None:
    """Remove a user; its files stay."""
    service.delete_user(runtime(), current_tenant(), current_principal(), parse_id(user_id))


@blueprint.get("/account")
@requires(Role.VIEWER, Scope.USER_READ)
@blueprint.response(200, UserSchema)
def get_account() -> Any:
    """Get the caller's own account."""
    return service.get_user(runtime(), current_tenant(), current_principal().user_id)


@blueprint.patch("/account")
@requires(Role.VIEWER)
@blueprint.arguments(AccountChange)
@blueprint.response(200, UserSchema)
@described(fails=(InvalidCredentials, PasswordSignInOff))
def update_account(body: dict[str, Any]) -> Any:
    """Change the caller's own name or password."""
    return service.update_account(runtime(), current_tenant(), current_principal(), **body)


@blueprint.post("/auth/invite/accept")
@public
@blueprint.arguments(AcceptSchema)
@blueprint.response(200, UserSchema)
@described(
    fails=(
        NotFound,
        TokenExpired,
        PasswordSignInOff,
    )
)
def accept_invitation(body: dict[str, Any]) -> Any:
    """Accept an invitation: set name and password."""
    return service.accept_invitation(runtime(), current_tenant(), body["token"], name=body["name"], password=body["password"])
