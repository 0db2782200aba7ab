"""All views of the operator's console."""

from __future__ import annotations

from admin.operator.audit import Audit
from admin.operator.dashboard import Dashboard
from admin.operator.frame import OperatorView
from admin.operator.jobs import Jobs
from admin.operator.migrations import Cells, Migrations
from admin.operator.operations import Operations
from admin.operator.operators import Operators
from admin.operator.plans import Plans
from admin.operator.providers import Providers
from admin.operator.tenants import Tenants
from admin.pages import OPERATOR

PAGES: dict[str, type[OperatorView]] = {
    "tenants": Tenants, "plans": Plans, "operations": Operations, "jobs": Jobs, "migrations": Migrations, "cells": Cells,
    "providers": Providers, "operators": Operators, "audit": Audit,
}  # fmt: skip


def home() -> OperatorView:
    """Return the first page."""
    return Dashboard(name="Dashboard", endpoint="operator_console", url=OPERATOR)


def pages() -> list[OperatorView]:
    """Return all other pages."""
    return [view(name=path, endpoint=f"operator_console_{path}", url=f"{OPERATOR}/{path}") for path, view in PAGES.items()]
