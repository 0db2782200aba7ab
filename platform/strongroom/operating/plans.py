"""What an operator does to plans: makes, changes and removes them, and gives them to tenants. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from strongroom.auth import operators
from strongroom.errors import PlanInUse, ValidationFailed
from strongroom.operating.service import set_limits
from strongroom.quotas import service as quotas
from strongroom.runtime import Runtime
from tenants import repository
from tenants.models import PLAN_PATTERN, STANDARD, Plan, Tenant, wrong_limits

NAME_ERROR = "Use 1 to 40 small letters, digits and hyphens; a letter or digit at both ends."


def list_plans(runtime: Runtime) -> list[Plan]:
    """Return all plans by name, with the number of tenants that have each."""
    with runtime.databases.control() as connection:
        return repository.list_plans(connection)


def get_plan(runtime: Runtime, name: str) -> Plan:
    """Return one plan.

    Raises:
        NotFound
    """
    with runtime.databases.control() as connection:
        return repository.get_plan(connection, name)


def add_plan(runtime: Runtime, operator: str, name: str, limits: Mapping[str, int]) -> Plan:
    """Make a plan. Limits that are not named are those of the standard plan.

    Raises:
        AlreadyExists, ValidationFailed
    """
    if not PLAN_PATTERN.fullmatch(name):
        raise ValidationFailed(NAME_ERROR, errors={"name": [NAME_ERROR]})
    _check(limits)
    with runtime.databases.control() as connection:
        repository.insert_plan(connection, name, {**asdict(repository.get_plan(connection, STANDARD).limits), **limits})
        plan = repository.get_plan(connection, name)
    operators.record(runtime.databases, operator, "plan.create", name, dict(limits))
    return plan


def update_plan(runtime: Runtime, operator: str, name: str, limits: Mapping[str, int]) -> Plan:
    """Change limits of a plan. It holds at once for every tenant that has it; those that have more than it allows keep what they have.

    Raises:
        NotFound, ValidationFailed
    """
    _check(limits)
    with runtime.databases.control() as connection:
        repository.get_plan(connection, name)
        if limits:
            repository.update_plan(connection, name, limits)
        plan, concerned = repository.get_plan(connection, name), repository.tenants_of_plan(connection, name)
    runtime.registry.forget()
    operators.record(runtime.databases, operator, "plan.update", name, dict(limits))
    for cell in runtime.ready_cells():
        quotas.enqueue_checks(runtime, cell, [tenant_id for tenant_id, lives_in in concerned if lives_in == cell])
    return plan


def delete_plan(runtime: Runtime, operator: str, name: str) -> None:
    """Forget a plan that no tenant has.

    Raises:
        NotFound
        PlanInUse: also of the standard plan, which every new tenant may have.
    """
    if name == STANDARD:
        raise PlanInUse("New tenants get the standard plan: it can be changed, but stays.")
    with runtime.databases.control() as connection:
        repository.get_plan(connection, name)
        repository.delete_plan(connection, name)
    operators.record(runtime.databases, operator, "plan.delete", name)


def set_plan(runtime: Runtime, operator: str, slug: str, name: str) -> Tenant:
    """Give a tenant another plan; what was agreed for it alone stays.

    Raises:
        NotFound
        ValidationFailed: there is no such plan.
    """
    return set_limits(runtime, operator, slug, plan=name, limits=None)


def _check(limits: Mapping[str, int]) -> None:
    if wrong := wrong_limits(limits):
        raise ValidationFailed(errors=wrong)
