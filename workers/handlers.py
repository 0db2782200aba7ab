"""What each kind of job does: the one table from a job's name to the feature's service. Handlers are idempotent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from strongroom.auth import repository as sessions
from strongroom.checks import service as checks
from strongroom.domains import checking as domains
from strongroom.errors import NotFound
from strongroom.files import links
from strongroom.files import service as files
from strongroom.fleet.behind import catch_up
from strongroom.http import idempotency
from strongroom.imports import fetching
from strongroom.imports import service as imports
from strongroom.isolation import service as isolation
from strongroom.jobs.queue import Job, run_again
from strongroom.life import service as life
from strongroom.mirrors import service as mirrors
from strongroom.mirrors import settling
from strongroom.moving import service as moving
from strongroom.quotas import mailing as quota_mail
from strongroom.quotas import service as quotas
from strongroom.runtime import Runtime
from strongroom.signup import mailing as signup_mail
from strongroom.signup import service as signup
from strongroom.takeout import service as takeout
from strongroom.takeout import writing
from strongroom.uploads import service as uploads
from strongroom.usage import recorder
from strongroom.usage import service as usage

from tenants import repository
from tenants.hosts import MIRROR, SETTLE
from tenants.models import Tenant, TenantStatus

HOUSEKEEPING = "tenant.housekeeping"
Ids = Mapping[str, Any]


class UnknownJob(Exception):
    """A job of a kind that this worker does not know; it is left for a newer worker, or parked."""


class TenantAway(Exception):
    """The tenant was taken out of service after the job had been claimed."""


def _check(runtime: Runtime, tenant: Tenant, ids: Ids) -> None:
    checks.check_version(runtime, tenant, UUID(ids["version_id"]))


def _purge(runtime: Runtime, tenant: Tenant, ids: Ids) -> None:
    versions = [UUID(each) for each in ids["version_ids"]]
    checks.purge(runtime, tenant, UUID(ids["provider_id"]), UUID(ids["bucket_id"]), versions)


def _sweep(runtime: Runtime, tenant: Tenant, ids: Ids) -> None:
    uploads.sweep(runtime, tenant)
    with runtime.tenant(tenant) as connection:
        run_again(connection, uploads.SWEEP, ids, uploads.SWEEP_AFTER_S)


def _empty_trash(runtime: Runtime, tenant: Tenant, _ids: Ids) -> None:
    checks.empty_trash(runtime, tenant)


def _roll_up(runtime: Runtime, tenant: Tenant, ids: Ids) -> None:
    usage.roll_up(runtime, tenant)
    with runtime.tenant(tenant) as connection:
        quotas.check_in(connection, runtime, tenant)
        run_again(connection, recorder.ROLL_UP, ids, runtime.settings.statement_timeout_s + 1)


def _check_quota(runtime: Runtime, tenant: Tenant, ids: Ids) -> None:
    quotas.run(runtime, tenant, ids)


def _mail_quota(runtime: Runtime, tenant: Tenant, ids: Ids) -> None:
    quota_mail.send(runtime, tenant, ids)


def _move(runtime: Runtime, tenant: Tenant, ids: Ids) -> None:
    moving.run(runtime, tenant, ids)


def _leave_providers(runtime: Runtime, tenant: Tenant, _ids: Ids) -> None:
    moving.leave_providers(runtime, tenant)


def _mirror(runtime: Runtime, tenant: Tenant, ids: Ids) -> None:
    mirrors.run(runtime, tenant, ids)


def _settle_mirrors(runtime: Runtime, tenant: Tenant, ids: Ids) -> None:
    settling.settle(runtime, tenant, ids)


def _export(runtime: Runtime, tenant: Tenant, ids: Ids) -> None:
    writing.run(runtime, tenant, ids)


def _expire_exports(runtime: Runtime, tenant: Tenant, _ids: Ids) -> None:
    takeout.expire(runtime, tenant)


def _forget_sessions(runtime: Runtime, tenant: Tenant) -> None:
    with runtime.tenant(tenant) as connection:
        sessions.delete_ended_sessions(connection)


DAILY: tuple[Callable[[Runtime, Tenant], object], ...] = (
    uploads.sweep,
    checks.empty_trash,
    usage.roll_up,
    usage.forget_old_accesses,
    quotas.check,
    idempotency.forget_old,
    links.forget_used,
    _forget_sessions,
    takeout.expire,
    isolation.forget_old,
    checks.reconcile,
    settling.reconcile,
    settling.settle,
    moving.leave_providers,
)


def _housekeeping(runtime: Runtime, tenant: Tenant, _ids: Ids) -> None:
    """Once a day: what crashes left over, and what is past its retention. A step that fails holds up no other."""
    failures = []
    for step in DAILY:
        try:
            step(runtime, tenant)
        except Exception as error:  # noqa: BLE001 - collected and raised below
            failures.append(error)
    if failures:
        raise ExceptionGroup("housekeeping", failures)


TENANT_JOBS: dict[str, Callable[[Runtime, Tenant, Ids], None]] = {
    uploads.CHECK: _check,
    files.PURGE: _purge,
    uploads.SWEEP: _sweep,
    files.EMPTY_TRASH: _empty_trash,
    recorder.ROLL_UP: _roll_up,
    HOUSEKEEPING: _housekeeping,
    quotas.CHECK: _check_quota,
    quotas.MAIL: _mail_quota,
    moving.MOVE: _move,
    moving.LEAVE: _leave_providers,
    MIRROR: _mirror,
    SETTLE: _settle_mirrors,
    writing.WRITE: _export,
    writing.EXPIRE: _expire_exports,
}


def _import(runtime: Runtime, tenant: Tenant, job: Job) -> None:
    fetching.run_import(runtime, tenant, job)


def _mail_sign_up(runtime: Runtime, tenant: Tenant, job: Job) -> None:
    signup_mail.send(runtime, tenant, job)


WHOLE_JOBS: dict[str, Callable[[Runtime, Tenant, Job], None]] = {imports.IMPORT: _import, signup.MAIL: _mail_sign_up}
"""Those whose handlers look at the job itself: how often it was tried, which others run, since when it waits."""
PLATFORM_JOBS: dict[str, Callable[[Runtime, UUID], None]] = {
    life.ADVANCE: life.advance, domains.CHECK: domains.recheck, isolation.VERIFY: isolation.run_apart,
}  # fmt: skip


def handle(runtime: Runtime, job: Job) -> None:
    """Do a job. A tenant's job runs in the tenant that the database stamped on it, never in one that its ids name.

    Raises:
        UnknownJob, TenantAway
        Exception: whatever goes wrong; the job is tried again.
    """
    if job.realm == "platform" and job.kind in PLATFORM_JOBS:
        PLATFORM_JOBS[job.kind](runtime, job.tenant_id)
    elif job.realm == "tenant" and (job.kind in TENANT_JOBS or job.kind in WHOLE_JOBS):
        tenant = _living_tenant(runtime, job.tenant_id)
        if tenant is not None:
            _do(runtime, tenant, job)
    else:
        raise UnknownJob(f"no handler for {job.realm} job {job.kind}")


def _do(runtime: Runtime, tenant: Tenant, job: Job) -> None:
    if job.kind in WHOLE_JOBS:
        WHOLE_JOBS[job.kind](runtime, tenant, job)
    else:
        TENANT_JOBS[job.kind](runtime, tenant, job.ids)


def _living_tenant(runtime: Runtime, tenant_id: UUID) -> Tenant | None:
    """Return the tenant whose job it is; None when it is gone, or was never ready: then there is nothing to do.

    Raises:
        TenantAway: it is being deleted, and may be restored yet: the job waits.
        TenantBehind: its schema is too old for this code; the job is tried again.
    """
    try:
        tenant = runtime.databases.look_up(lambda connection: repository.get_tenant(connection, tenant_id))
    except NotFound:
        return None
    if tenant.status == TenantStatus.DELETING:
        raise TenantAway("The tenant is being deleted.")
    if tenant.writes_paused:
        raise TenantAway("The tenant is being moved to another cell.")
    return catch_up(runtime, tenant) if tenant.status in {TenantStatus.ACTIVE, TenantStatus.SUSPENDED} else None
