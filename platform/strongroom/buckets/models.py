"""A bucket as it travels between layers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True)
class Bucket:
    """A bucket, its policy and its exact totals. `allowed_types` empty: every type; `max_size_bytes` None: the plan's limit."""

    id: UUID
    name: str
    allowed_types: tuple[str, ...]
    max_size_bytes: int | None
    versioning: bool
    trash_days: int
    serve_unscanned: bool
    public: bool
    cache_max_age_s: int
    redirect_downloads: bool
    used_bytes: int
    used_files: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Totals:
    """A tenant's exact totals; reserved is what uploads under way have asked for."""

    used_bytes: int
    used_files: int
    reserved_bytes: int
    reserved_files: int
