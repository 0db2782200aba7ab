"""Plans: made, changed and given by operators, over the API and the command line's services."""

from __future__ import annotations

import pytest

from tests.factories import Client, World, number, ok, problem

PLANS = "/operator/api/v1/plans"


@pytest.fixture
def plan(operator: Client) -> str:
    """A plan of our own."""
    name = f"plan-{number()}"
    ok(operator.post(PLANS, json={"name": name, "limits": {"quota_bytes": 1000, "quota_users": 3}}), 201)
    return name


def test_a_plan_takes_what_it_does_not_name_from_the_standard_plan(operator: Client, plan: str) -> None:
    standard, made = (ok(operator.get(f"{PLANS}/{name}")) for name in ("standard", plan))
    assert made["limits"] == {**standard["limits"], "quota_bytes": 1000, "quota_users": 3}
    assert made["tenants"] == 0
    assert plan in {each["name"] for each in ok(operator.get(PLANS))["items"]}


def test_plans_that_cannot_be(operator: Client, plan: str) -> None:
    problem(operator.post(PLANS, json={"name": plan}), 409, "already_exists")
    problem(operator.post(PLANS, json={"name": "Not A Name"}), 422, "validation_failed")
    for limits in ({"quota_bytes": -1}, {"quota_users": 0}, {"requests_per_s": 0}, {"unknown": 1}, {"quota_buckets": 2**40}):
        problem(operator.post(PLANS, json={"name": "another", "limits": limits}), 422, "validation_failed")
        problem(operator.patch(f"{PLANS}/{plan}", json={"limits": limits}), 422, "validation_failed")
    problem(operator.get(f"{PLANS}/none"), 404, "not_found")
    problem(operator.patch(f"{PLANS}/none", json={"limits": {}}), 404, "not_found")
    problem(operator.delete(f"{PLANS}/none"), 404, "not_found")


def test_a_changed_plan_holds_at_once_for_its_tenants_but_not_over_what_was_agreed(world: World, operator: Client, plan: str) -> None:
    tenant = world.create_tenant(quota_files=7)
    owner = world.client(world.create_user(tenant))
    path = f"/operator/api/v1/tenants/{tenant.slug}"
    changed = ok(operator.patch(path, json={"plan": plan}))
    assert (changed["plan"], changed["overrides"]) == (plan, {"quota_files": 7})
    ok(operator.patch(f"{PLANS}/{plan}", json={"limits": {"quota_bytes": 2000, "quota_files": 1}}))
    seen = ok(owner.get("/api/v1/tenant/quota"))
    assert {name: seen[name] for name in ("plan", "quota_bytes", "quota_files", "quota_users")} == {
        "plan": plan, "quota_bytes": 2000, "quota_files": 7, "quota_users": 3,
    }  # fmt: skip
    told = ok(operator.get(f"{path}/quota"))
    assert (told["plan"], told["overrides"]) == (plan, {"quota_files": 7})
    assert {each["resource"]: each["limit"] for each in told["uses"]}["files"] == 7


def test_a_plan_is_removed_once_no_tenant_has_it(world: World, operator: Client, plan: str) -> None:
    tenant = world.create_tenant()
    path = f"/operator/api/v1/tenants/{tenant.slug}"
    ok(operator.patch(path, json={"plan": plan}))
    problem(operator.delete(f"{PLANS}/{plan}"), 409, "plan_in_use")
    problem(operator.delete(f"{PLANS}/standard"), 409, "plan_in_use")
    world.sql("UPDATE strongroom.tenants SET status = 'deleted' WHERE id = %(id)s", id=tenant.id)
    ok(operator.delete(f"{PLANS}/{plan}"), 204)
    problem(operator.get(f"{PLANS}/{plan}"), 404, "not_found")
    entries = ok(operator.get("/operator/api/v1/audit"))["items"]
    assert [each["action"] for each in entries if each["subject"] == plan] == ["plan.delete", "plan.create"]
