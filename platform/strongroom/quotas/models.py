"""What a tenant uses of each of its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tenants.models import Limits

SOON, FULL = 80, 100
"""Percent of a limit at which a tenant is told."""
WELL_BELOW = 10
"""By how many percent it has to fall below a level, to be told anew when it reaches that again."""


@dataclass(frozen=True)
class Use:
    """What is used of one limit. `reserved`: promised to uploads under way. `level`: what was told, 0, 80 or 100 percent."""

    resource: str
    used: int
    reserved: int
    limit: int
    level: int

    @property
    def percent(self) -> int:
        """How much of the limit is used, rounded down; of a limit of nought, all as soon as there is anything."""
        if not self.limit:
            return FULL if self.used else 0
        return self.used * 100 // self.limit

    @property
    def next_level(self) -> int:
        """What is to be noted as told, after having looked again."""
        if self.percent >= FULL:
            return FULL
        if self.level == FULL and self.percent >= FULL - WELL_BELOW:
            return FULL
        if self.percent >= SOON or (self.level and self.percent >= SOON - WELL_BELOW):
            return SOON
        return 0


@dataclass(frozen=True)
class Totals:
    """What a tenant has, exactly; transfer: of this month. `warned`: the levels that were told, by resource."""

    used_bytes: int
    used_files: int
    reserved_bytes: int
    reserved_files: int
    used_users: int
    used_buckets: int
    used_transfer_bytes: int
    month: str
    warned: Mapping[str, int]

    def uses(self, limits: Limits) -> list[Use]:
        """Return what is used of each limit that fills up over time."""
        found = (
            ("bytes", self.used_bytes, self.reserved_bytes, limits.quota_bytes),
            ("files", self.used_files, self.reserved_files, limits.quota_files),
            ("users", self.used_users, 0, limits.quota_users),
            ("buckets", self.used_buckets, 0, limits.quota_buckets),
            ("transfer", self.used_transfer_bytes, 0, limits.quota_transfer_bytes),
        )
        return [Use(*each, level=self.warned.get(self.key(each[0]), 0)) for each in found]

    def key(self, resource: str) -> str:
        """Return under which name a resource's level is noted: transfer begins anew with each month."""
        return f"{resource} {self.month}" if resource == "transfer" else resource
