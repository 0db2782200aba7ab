"""Every view carries a `Permission`; an app with a view that has none does not start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask

from strongroom.access import Permission, Realm, Role, Scope

View = TypeVar("View", bound=Callable[..., Any])
ATTRIBUTE = "__permission__"


def permit(permission: Permission) -> Callable[[View], View]:
    """Mark a view with what its callers need."""

    def mark(view: View) -> View:
        setattr(view, ATTRIBUTE, permission)
        return view

    return mark


def requires(role: Role, scope: Scope | None = None) -> Callable[[View], View]:
    """Mark a tenant's route: the least role, and the scope that lets an API key in."""
    return permit(Permission(Realm.TENANT, role, scope))


def requires_unless_public(role: Role, scope: Scope | None = None) -> Callable[[View], View]:
    """Mark a tenant's route that anybody may read from for what is public: its view asks `current_visitor`."""
    return permit(Permission(Realm.TENANT, role, scope, or_public=True))


def operators_only(operator_role: str = "viewer") -> Callable[[View], View]:
    """Mark an operator's route."""
    return permit(Permission(Realm.OPERATOR, operator_role=operator_role))


public = permit(Permission(Realm.PUBLIC))
shared = permit(Permission(Realm.SHARED))
anywhere = permit(Permission(Realm.ANYWHERE))
platform_only = permit(Permission(Realm.PLATFORM))


def permission_of(app: Flask, endpoint: str) -> Permission:
    """Return what an endpoint's callers need.

    Raises:
        RuntimeError: the view carries no permission.
    """
    view = app.view_functions[endpoint]
    found = getattr(view, ATTRIBUTE, None)
    if found is None and (endpoint == "static" or endpoint.endswith(".static")):
        return Permission(Realm.SHARED)
    if not isinstance(found, Permission):
        raise RuntimeError(f"The view {endpoint} carries no permission.")
    return found


def check_all_views(app: Flask) -> None:
    """Refuse to start with a view that carries no permission."""
    for endpoint in app.view_functions:
        permission_of(app, endpoint)
