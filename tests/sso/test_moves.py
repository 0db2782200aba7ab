"""Identities and connections go with a tenant that is taken out and brought in, secrets do not."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from strongroom.errors import ExportRefused
from strongroom.takeout.content import CONTENTS
from strongroom.takeout.rows import read_rows

from tests.factories import Account, ok, problem
from tests.services.oidc import OidcProvider
from tests.sso.conftest import OIDC, Setup
from tests.takeout.conftest import export, import_, rows


def test_taken_out_and_brought_in(setup: Setup, provider: OidcProvider) -> None:
    world = setup.world
    ann = world.create_user(setup.tenant, "member", email="ann@example.com")
    assert setup.me(setup.window().sign_in(provider, "ann@example.com", mode="token"))
    ok(setup.client.patch("/api/v1/tenant/settings", json={"sso": {"password_sign_in": "owners"}}))
    archive = export(world, setup.tenant)
    (identity,) = rows(archive, "identities")
    assert set(identity) == {"issuer", "subject", "user_id", "created_at", "last_login_at"}
    made = import_(world, archive, f"{setup.tenant.slug}-b").tenant
    assert made.settings.sso.password_sign_in == "everybody", "nobody could come in by a provider yet"
    assert [row["user_id"] for row in world.rows(made, "identities")] == [ann.id]
    there = Setup(world, Account(made, setup.owner.id, setup.owner.email, setup.owner.role), setup.client, provider)
    problem(there.window().get(f"{OIDC}/corp/start"), 409, "sso_not_ready")
    (user,) = world.rows(made, "users", "id = %(id)s", id=ann.id)
    assert user["status"] == "invited"


BAD = [{"issuer": "i" * 201}, {"issuer": ""}, {"subject": "s" * 256}, {"subject": ""}, {"subject": None}, {"subject": 5}, {"more": 1}]


def test_rows_that_are_none() -> None:
    (content,) = [each for each in CONTENTS if each.table == "identities"]
    good = {
        "issuer": "i",
        "subject": "s",
        "user_id": str(uuid4()),
        "created_at": "2026-01-01T00:00:00Z",
        "last_login_at": "2026-01-01T00:00:00Z",
    }
    assert read_rows(content, json.dumps(good).encode(), uuid4()) == [good]
    for change in BAD:
        with pytest.raises(ExportRefused):
            read_rows(content, json.dumps({**good, **change}).encode(), uuid4())
