"""A session of PostgreSQL that does not know of a grant, which a real one is only if two things happen within milliseconds."""

from __future__ import annotations

import psycopg
import pytest
from strongroom.db import engines

from tenants.models import Tenant
from tests.factories import World


def change_grant(world: World, statement: str) -> None:
    """Grant or revoke as whoever made the tenants' roles."""
    with psycopg.connect(world.database.owner_url, autocommit=True) as connection:
        connection.execute(statement)


def knows_not_yet(world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Take a tenant's role away from the application until a session that refuses it has been ended; return those that were."""
    role, end_session, ended = tenant.ref.role, engines._end_session, []
    change_grant(world, f"REVOKE {role} FROM strongroom_app")

    def end_and_grant(driver: object) -> None:
        end_session(driver)
        ended.append(driver)
        change_grant(world, f"GRANT {role} TO strongroom_app")

    monkeypatch.setattr(engines, "_end_session", end_and_grant)
    return ended
