"""/operator/providers/: where bytes live, and whether each place works."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from flask import Response, render_template
from strongroom.http.context import current_operator, runtime
from strongroom.operating import providers as operated
from strongroom.operating import service

from admin.notices import say
from admin.operator.frame import OperatorView, acts, shows
from admin.pages import OPERATOR, go, page
from tenants.models import ProviderInfo

HERE = f"{OPERATOR}/providers/"
PLACES = ("root", "endpoint_url", "endpoint", "bucket", "container")  # what may be shown of a provider's configuration
STEPS = {"open": "Open", "check": "Reach it", "write": "Write an object", "describe": "Describe it", "read": "Read it back",
         "list": "List it", "delete": "Delete it"}  # fmt: skip


class Providers(OperatorView):
    """The providers."""

    @shows("/")
    def index(self) -> Response:
        """Show the providers with what they hold."""
        today = datetime.now(UTC).date()
        tenants: dict[str, int] = defaultdict(int)
        stored: dict[str, int] = defaultdict(int)
        for each in service.list_figures(runtime(), start=today, end=today):
            tenants[each.provider] += 1
            stored[each.provider] += each.stored_bytes
        rows = [
            {**vars(info), "where": _where(info), "tenants": tenants[info.name], "stored_bytes": stored[info.name]}
            for info in service.list_providers(runtime())
        ]
        return self.show("providers.html", providers=rows)

    @acts("/<provider>/test")
    def test(self, provider: str) -> Response:
        """Write, read, list and delete a probe object; answers with a piece of a page."""
        steps = operated.try_provider(runtime(), provider)
        rows = [{"name": STEPS.get(step.name, step.name), "ok": step.ok, "detail": step.detail, "took_ms": None} for step in steps]
        return page(render_template("operator/_provider_test.html", ok=all(step.ok for step in steps), steps=rows))

    @acts("/<provider>/default")
    def make_default(self, provider: str) -> Response:
        """Make a provider the one that new tenants get."""
        info = operated.set_default_provider(runtime(), current_operator().email, provider)
        return say(go(HERE), "good", f"New tenants are put on {info.name} from now on. Those that exist stay where they are.")


def _where(info: ProviderInfo) -> Any:
    return " · ".join(str(info.config[name]) for name in PLACES if info.config.get(name))
