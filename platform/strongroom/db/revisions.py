"""The revisions of the three chains of migrations, read without Alembic: processes that serve have no room for it.

Code of two releases runs side by side while a release is rolled out, and a fleet takes minutes to migrate. So a feature
that needs a new revision of the tenant's schema asks for it: `requires_revision(tenant, "0002")` where it cannot do without,
`has_revision` where there are two ways. A revision that is not in this code's chain is of newer code, and has everything.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from strongroom.config import Settings
from strongroom.errors import ConfigurationError, TenantBehind

KINDS = ("control", "cell", "tenant")
OLDEST: str | None = None
"""The oldest revision of a tenant's schema with which this code works; None: only the newest. A release that adds to the
schema and gates what is new (`requires_revision`) names the former one here, so that no request waits for its tenant's migration."""
_ASSIGNED = re.compile(r"^(down_)?revision(?:\s*:[^=]+)?\s*=\s*(?:[\"']([^\"']+)[\"']|None)", re.MULTILINE)


def migrations_dir(settings: Settings | None = None) -> Path:
    """Return the folder with the three chains: the one that is set, or beside the sources, or inside the installed package."""
    if settings is not None and settings.migrations_dir:
        return Path(settings.migrations_dir)
    here = Path(__file__).resolve()
    for candidate in (here.parents[3] / "migrations", here.parents[1] / "migrations"):
        if (candidate / "control").is_dir():
            return candidate
    raise ConfigurationError("The migrations are missing from this installation.")


def chain(kind: str, settings: Settings | None = None) -> tuple[str, ...]:
    """Return a chain's revisions, the oldest first.

    Raises:
        ConfigurationError: it is empty, or forks.
    """
    versions = migrations_dir(settings) / kind / "versions"
    return _chain(versions, versions.stat().st_mtime_ns if versions.is_dir() else 0)


def head(kind: str, settings: Settings | None = None) -> str:
    """Return the newest revision of a chain."""
    return chain(kind, settings)[-1]


def is_behind(revision: str | None, settings: Settings | None = None) -> bool:
    """Tell whether a tenant's schema lacks something that this code knows of."""
    known = chain("tenant", settings)
    return revision is None or (revision in known and revision != known[-1])


def is_too_old(revision: str | None, settings: Settings | None = None) -> bool:
    """Tell whether this code does not work with a schema of that revision at all."""
    return is_behind(revision, settings) and not has_revision(revision, OLDEST or head("tenant", settings), settings)


def has_revision(revision: str | None, wanted: str, settings: Settings | None = None) -> bool:
    """Tell whether a schema of `revision` has what `wanted` brought.

    Raises:
        ValueError: this code knows of no revision `wanted`.
    """
    known = chain("tenant", settings)
    place = known.index(wanted)
    return revision is not None and (revision not in known or known.index(revision) >= place)


def requires_revision(revision: str | None, wanted: str, settings: Settings | None = None) -> None:
    """Go on only where a tenant's schema has what `wanted` brought.

    Raises:
        TenantBehind: it has not, yet; 503 with Retry-After.
    """
    if not has_revision(revision, wanted, settings):
        raise TenantBehind(retry_after_s=10)


@lru_cache(maxsize=64)
def _chain(versions: Path, _changed_at: int) -> tuple[str, ...]:
    after: dict[str | None, str] = {}
    for path in sorted(versions.glob("*.py")):
        found = {bool(down): name or None for down, name in _ASSIGNED.findall(path.read_text(encoding="utf-8"))}
        if found.get(False) is not None:
            if found.get(True) in after:
                raise ConfigurationError(f"Two migrations in {versions} follow the same one.")
            after[found.get(True)] = str(found[False])
    ordered: list[str] = []
    while (following := after.get(ordered[-1] if ordered else None)) is not None:
        ordered.append(following)
    if not ordered:
        raise ConfigurationError(f"There are no migrations in {versions}.")
    return tuple(ordered)
