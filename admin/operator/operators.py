"""/operator/operators/: who runs the platform."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from marshmallow import Schema, fields, validate
from strongroom.auth import operators as service
from strongroom.auth.operators import Operator
from strongroom.db.ids import parse_id
from strongroom.errors import DomainError
from strongroom.http.context import current_operator, runtime

from admin.forms import checked, errors_of, field
from admin.notices import say
from admin.operator.frame import OperatorView, acts, shows
from admin.pages import OPERATOR, go

HERE = f"{OPERATOR}/operators/"


class NewOperatorSchema(Schema):
    """An operator to be made."""

    name = fields.String(required=True, validate=validate.Length(1, 200))
    email = fields.Email(required=True, error_messages={"invalid": "Not an e-mail address."})
    password = fields.String(required=True)
    role = fields.String(required=True, validate=validate.OneOf(service.ROLES))


class Operators(OperatorView):
    """The operators."""

    @shows("/")
    def index(self) -> Response:
        """Show the operators."""
        return self._list({"role": "admin"}, {})

    @acts("/")
    def create(self) -> Response:
        """Make an operator."""
        typed = {name: field(name) for name in ("name", "email", "role")}
        try:
            body = checked(NewOperatorSchema(), {**typed, "password": request.form.get("password", "")})
            made = service.create_operator(runtime().databases, **body)
        except DomainError as error:
            return self._list(typed, errors_of(error, "email"), error.status)
        service.record(runtime().databases, current_operator().email, "operator.create", made.email, {"role": made.role})
        return say(go(HERE), "good", f"{made.name} can sign in now.")

    @acts("/<operator_id>/disable")
    def disable(self, operator_id: str) -> Response:
        """Shut another operator out."""
        wanted = parse_id(operator_id)
        if wanted == current_operator().operator_id:
            return say(go(HERE), "bad", "You cannot disable yourself.")
        email = service.set_disabled(runtime().databases, wanted, disabled=True)
        service.record(runtime().databases, current_operator().email, "operator.disable", email)
        return say(go(HERE), "good", f"{email} was disabled and signed out everywhere.")

    @acts("/<operator_id>/enable")
    def enable(self, operator_id: str) -> Response:
        """Let an operator in again."""
        email = service.set_disabled(runtime().databases, parse_id(operator_id), disabled=False)
        service.record(runtime().databases, current_operator().email, "operator.enable", email)
        return say(go(HERE), "good", f"{email} can sign in again.")

    def _list(self, values: dict[str, Any], errors: dict[str, str], status: int = 200) -> Response:
        rows = [_row(each) for each in service.list_operators(runtime().databases)]
        return self.show("operators.html", status, operators=rows, values=values, errors=errors)


def _row(each: Operator) -> dict[str, Any]:
    return {
        **vars(each), "name": each.name or each.email, "state": "disabled" if each.disabled_at else "active",
        "last_seen_at": each.last_login_at, "is_self": each.id == current_operator().operator_id,
    }  # fmt: skip
