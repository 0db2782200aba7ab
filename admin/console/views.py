"""All views of the tenant's console."""

from __future__ import annotations

from admin.console.account import Account
from admin.console.api_keys import ApiKeys
from admin.console.branding import Branding
from admin.console.buckets import Buckets
from admin.console.dashboard import Dashboard
from admin.console.domains import Domains
from admin.console.exports import Exports
from admin.console.file import FilePage
from admin.console.files import Files
from admin.console.frame import ConsoleView
from admin.console.hosts import Hosts
from admin.console.isolation import Isolation
from admin.console.quarantine import Quarantine
from admin.console.settings import Settings
from admin.console.sso import SingleSignOn
from admin.console.storage import Storage
from admin.console.trash import Trash
from admin.console.users import Users
from admin.pages import CONSOLE

PAGES: dict[str, type[ConsoleView]] = {
    "files": Files, "file": FilePage, "trash": Trash, "quarantine": Quarantine, "buckets": Buckets, "users": Users,
    "api-keys": ApiKeys, "branding": Branding, "storage": Storage, "hosts": Hosts, "domains": Domains,
    "settings": Settings, "sso": SingleSignOn, "exports": Exports, "isolation": Isolation, "account": Account,
}  # fmt: skip


def home() -> ConsoleView:
    """Return the first page."""
    return Dashboard(name="Dashboard", endpoint="console", url=CONSOLE)


def pages() -> list[ConsoleView]:
    """Return all other pages."""
    return [view(name=path, endpoint=f"console_{path.replace('-', '_')}", url=f"{CONSOLE}/{path}") for path, view in PAGES.items()]
