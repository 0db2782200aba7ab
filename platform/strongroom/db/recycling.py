"""What a pooled connection may carry from one transaction to the next: nothing from one tenant to another, and not too much memory.

Role and search path are bound by SET LOCAL and end with their transaction. What a statement can leave besides (settings of
the session, temporary tables, prepared statements, open cursors, advisory locks, LISTEN) is cleared in the round trip that
binds the connection to somebody else; that costs 0.04 ms, and nothing while it stays with the same tenant. `DISCARD ALL`
would do the same but for its plans, which all tenants may share; it cannot run together with other statements.
Prepared statements save most of planning while a connection stays with a tenant; they must not outlive that, since injected
SQL could have put others under their names.

A backend keeps 0.3 to 0.5 MiB for each schema that it has touched and never gives them back: so the distinct tenants of a
connection are counted, and it serves no others when there are enough (`pool`).
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

CLEAN = (
    "BEGIN; RESET ROLE; RESET ALL; CLOSE ALL; UNLISTEN *; DEALLOCATE ALL; DISCARD TEMP; DISCARD SEQUENCES; "
    "SELECT pg_advisory_unlock_all(); COMMIT; "
)
LAST, TOUCHED = "strongroom_last", "strongroom_touched"


def cleaning(info: MutableMapping[Any, Any], owner: str) -> str:
    """Return the statements that must stand before `owner`'s transaction on this connection: none if it was the last one."""
    return "" if info.get(LAST, owner) == owner else CLEAN


def taken_by(info: MutableMapping[Any, Any], owner: str) -> None:
    """Note whose transaction has begun on this connection: a tenant's role, or "" for the platform itself."""
    info[LAST] = owner
    if owner:
        touched_by(info, owner)


def touched_by(info: MutableMapping[Any, Any], tenant: str) -> None:
    """Note that the backend knows a tenant's schema from now on, whoever's transaction this is."""
    info.setdefault(TOUCHED, set()).add(tenant)
