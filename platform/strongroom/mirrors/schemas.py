"""JSON of hosts and mirrors."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from strongroom.files.copies import FAILED, PENDING, STORED
from strongroom.mirrors.hosts import FileAtHost, HostState

NONE = "none"
MAX_NAME, MAX_BUCKETS = 63, 100
BUCKETS: dict[str, Any] = {
    "allow_none": True,
    "validate": validate.Length(1, MAX_BUCKETS),
    "metadata": {"description": "Ids of the buckets whose files are mirrored; null: of all, also of those to come."},
}
ENABLED = {"description": "false: paused. Copies stay, and still go with their files; none are added."}


class HostChange(Schema):
    """What of a host can be changed; what is left out stays."""

    name = fields.String(validate=[validate.Length(1, MAX_NAME), validate.Predicate("isprintable")])
    buckets = fields.List(fields.UUID(), **BUCKETS)
    enabled = fields.Boolean(metadata=ENABLED)


class NewHostSchema(HostChange):
    """A host to be added."""

    name = fields.String(required=True, validate=[validate.Length(1, MAX_NAME), validate.Predicate("isprintable")])
    provider_id = fields.UUID(required=True, metadata={"description": "One of /api/v1/hosts/providers."})


class HostSchema(Schema):
    """A host, and how far it is."""

    id = fields.UUID()
    name = fields.String()
    provider_id = fields.UUID()
    provider = fields.String(metadata={"description": "The provider's name."})
    kind = fields.String()
    buckets = fields.List(fields.UUID(), allow_none=True)
    enabled = fields.Boolean(metadata=ENABLED)
    is_main = fields.Boolean(
        metadata={"description": "New files go to this provider themselves: those that lie there are not mirrored to it."}
    )
    created_at = fields.AwareDateTime(format="iso")
    stored = fields.Integer(metadata={"description": "Versions of which a verified copy lies there."})
    stored_bytes = fields.Integer()
    pending = fields.Integer(metadata={"description": "Versions that wait for their turn."})
    failed = fields.Integer(metadata={"description": "Versions that could not be copied so far; they are tried again."})
    open_bytes = fields.Integer(metadata={"description": "Of those that wait and those that failed."})
    problem = fields.String(metadata={"description": "Why the last of the failed ones was not copied; empty where none is."})


class HostPage(Schema):
    """All hosts."""

    items = fields.List(fields.Nested(HostSchema))
    next_cursor = fields.String(allow_none=True)


class HostProviderSchema(Schema):
    """A provider to which files may be mirrored."""

    id = fields.UUID()
    name = fields.String()
    kind = fields.String()
    is_own = fields.Boolean(metadata={"description": "The tenant brought it; else the platform offers it."})
    is_free = fields.Boolean(metadata={"description": "No host is there yet, and new files do not go there."})


class HostProviderPage(Schema):
    """All providers to which files may be mirrored."""

    items = fields.List(fields.Nested(HostProviderSchema))
    next_cursor = fields.String(allow_none=True)


class HostRemoval(Schema):
    """What becomes of the copies."""

    keep_copies = fields.Boolean(
        load_default=False, metadata={"description": "`1`: leave the copies there, and forget them. Only at a provider of your own."}
    )


class RetriedCopiesSchema(Schema):
    """How many copies are tried again."""

    retried = fields.Integer()


class FileMirrorSchema(Schema):
    """Where the current version of a file stands at a host."""

    host_id = fields.UUID()
    host = fields.String(metadata={"description": "The host's name."})
    state = fields.String(
        validate=validate.OneOf([STORED, PENDING, FAILED, NONE]),
        metadata={"description": "`none`: it does not belong there; see `problem`."},
    )
    attempts = fields.Integer(metadata={"description": "How often a copy was begun."})
    problem = fields.String(
        metadata={"description": "Why the last attempt failed, or why the file is not mirrored there; empty otherwise."}
    )
    stored_at = fields.AwareDateTime(format="iso", allow_none=True)
    next_try_at = fields.AwareDateTime(format="iso", allow_none=True)


class FileMirrorPage(Schema):
    """A file at all hosts."""

    items = fields.List(fields.Nested(FileMirrorSchema))
    next_cursor = fields.String(allow_none=True)


def shown_host(state: HostState) -> dict[str, Any]:
    """Return a host as the API shows it."""
    host = state.host
    return {
        **vars(host), "buckets": None if host.buckets is None else sorted(host.buckets), "provider": state.provider.name,
        "kind": state.provider.kind, "is_main": state.is_main, **vars(state.progress),
    }  # fmt: skip


def shown_mirror(found: FileAtHost) -> dict[str, Any]:
    """Return where a file stands at a host as the API shows it."""
    mirror, told = found.mirror, {"host_id": found.host.id, "host": found.host.name}
    if mirror is None:
        state = NONE if found.reason else PENDING
        return {**told, "state": state, "attempts": 0, "problem": found.reason, "stored_at": None, "next_try_at": None}
    is_stored = mirror.state == STORED
    times = {"stored_at": mirror.at if is_stored else None, "next_try_at": None if is_stored else mirror.at}
    return {**told, "state": mirror.state, "attempts": mirror.attempts, "problem": mirror.problem, **times}
