"""The probe of the walls, of a tenant that lives in a second cell: the very same walls, tried there."""

from __future__ import annotations

import pytest
from strongroom.isolation.models import Wall

from tests.factories import Account
from tests.isolation.probing import probe
from tests.relocation.cells import NEW, OLD, TwoCells


@pytest.fixture
def moved(two: TwoCells, full: Account) -> Account:
    """Its owner, in the new cell; the old copy is still in the other one."""
    two.move(full.tenant)
    return Account(two.present(full.tenant), full.id, full.email, full.role)


def test_all_walls_stand_in_the_second_cell(two: TwoCells, moved: Account) -> None:
    before = [two.contents(cell, moved.tenant) for cell in (OLD, NEW)]
    schemas = [two.at(cell, "SELECT nspname FROM pg_namespace ORDER BY 1") for cell in (OLD, NEW)]
    said = probe(two, moved.tenant)
    assert (said["findings"], said["complete"]) == ([], True)
    assert {each["wall"] for each in said["tried"]} == set(Wall)
    assert said["attempts"] > 1000
    assert {"database role of another tenant", "login role without SET ROLE"} <= {each["credential"] for each in said["tried"]}
    after = [two.contents(cell, moved.tenant) for cell in (OLD, NEW)]
    assert after[0] == before[0]
    assert {name for name in after[1] if after[1][name] != before[1][name]} == {"isolation_reports"}
    assert [two.at(cell, "SELECT nspname FROM pg_namespace ORDER BY 1") for cell in (OLD, NEW)] == schemas  # roles are the whole cluster's


@pytest.mark.slow
@pytest.mark.parametrize("grant", [
    "GRANT USAGE ON SCHEMA {t} TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA {t} TO PUBLIC",
    "GRANT USAGE ON SCHEMA {t} TO strongroom_app; GRANT SELECT ON ALL TABLES IN SCHEMA {t} TO strongroom_app",
])  # fmt: skip
def test_a_door_that_is_open_in_the_second_cell_alone_is_found(two: TwoCells, moved: Account, grant: str) -> None:
    two.inside(NEW, moved.tenant, grant)
    said = probe(two, moved.tenant)
    assert said["ok"] is False
    assert {each["wall"] for each in said["findings"]} == {"rows"}
    (noted,) = two.sql("SELECT ok FROM strongroom.isolation_probes WHERE tenant_id = %(id)s", id=moved.tenant.id)
    assert noted["ok"] is False
