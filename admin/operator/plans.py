"""/operator/plans/: what tenants may use; make, change, delete."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response
from strongroom.errors import DomainError, PlanInUse
from strongroom.http.context import current_operator, runtime
from strongroom.operating import plans as operated
from strongroom.operating.schemas import LimitsSchema

from admin.forms import checked, errors_of, field, ticked
from admin.notices import say
from admin.operator.frame import ADMIN, OperatorView, acts, shows
from admin.pages import OPERATOR, go
from tenants.models import LIMIT_LABELS, STANDARD

HERE = f"{OPERATOR}/plans/"
SWITCH = "own_providers"
NUMBERS = tuple(name for name in LIMIT_LABELS if name != SWITCH)


class Plans(OperatorView):
    """The plans."""

    @shows("/")
    def index(self) -> Response:
        """Show the plans with what they allow."""
        return self.show("plans.html", plans=operated.list_plans(runtime()), standard=STANDARD)

    @shows("/new", operator_role=ADMIN)
    def new(self) -> Response:
        """Ask for a new plan, beginning with what the standard plan allows."""
        return self._form(asdict(operated.get_plan(runtime(), STANDARD).limits), {})

    @acts("/new")
    def add(self) -> Response:
        """Make a plan."""
        try:
            plan = operated.add_plan(runtime(), current_operator().email, field("name"), _typed())
        except DomainError as error:
            return self._form(_values(), errors_of(error, "name"), status=error.status)
        return say(go(HERE), "good", f"The plan {plan.name} can be given to tenants now.")

    @shows("/<plan>/edit", operator_role=ADMIN)
    def edit(self, plan: str) -> Response:
        """Show a plan to be changed."""
        return self._form(asdict(operated.get_plan(runtime(), plan).limits), {}, plan)

    @acts("/<plan>/edit")
    def update(self, plan: str) -> Response:
        """Change a plan."""
        operated.get_plan(runtime(), plan)
        try:
            operated.update_plan(runtime(), current_operator().email, plan, _typed())
        except DomainError as error:
            return self._form(_values(), errors_of(error, NUMBERS[0]), plan, error.status)
        return say(go(HERE), "good", f"The plan {plan} was changed. It holds for its tenants at once.")

    @acts("/<plan>/delete")
    def delete(self, plan: str) -> Response:
        """Forget a plan that no tenant has."""
        try:
            operated.delete_plan(runtime(), current_operator().email, plan)
        except PlanInUse as error:
            return say(go(HERE), "bad", error.detail)
        return say(go(HERE), "good", f"The plan {plan} is gone.")

    def _form(self, values: dict[str, Any], errors: dict[str, str], name: str | None = None, status: int = 200) -> Response:
        numbers = [{"name": each, "label": LIMIT_LABELS[each]} for each in NUMBERS]
        return self.show("plan_form.html", status, values=values, errors=errors, plan=name, numbers=numbers)


def _typed() -> dict[str, int]:
    """Return the limits that were typed.

    Raises:
        ValidationFailed
    """
    texts: dict[str, Any] = {name: field(name) for name in NUMBERS}
    numbers = {name: int(text) if text.isascii() and text.isdigit() else text for name, text in texts.items()}
    return checked(LimitsSchema(), {**numbers, SWITCH: int(ticked(SWITCH))})


def _values() -> dict[str, Any]:
    return {**{name: field(name) for name in ("name", *NUMBERS)}, SWITCH: ticked(SWITCH)}
