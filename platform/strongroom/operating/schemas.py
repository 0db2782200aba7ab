"""The operator's JSON."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from strongroom.http.paging import PageQuery
from tenants.models import MOST, MOST_OF


class PageOfSlugs(PageQuery):
    """A list of tenants."""

    q = fields.String(load_default="", metadata={"description": "Only tenants whose slug or name contains this."})


class LimitsSchema(Schema):
    """What a tenant may use."""

    quota_bytes = fields.Integer(strict=True, validate=validate.Range(0, MOST))
    quota_files = fields.Integer(strict=True, validate=validate.Range(0, MOST))
    quota_users = fields.Integer(strict=True, validate=validate.Range(1, MOST_OF["quota_users"]))
    quota_buckets = fields.Integer(strict=True, validate=validate.Range(0, MOST_OF["quota_buckets"]))
    quota_transfer_bytes = fields.Integer(
        strict=True, validate=validate.Range(0, MOST), metadata={"description": "Bytes in and out in a calendar month (UTC)."}
    )
    max_file_size_bytes = fields.Integer(strict=True, validate=validate.Range(1, MOST))
    requests_per_s = fields.Integer(strict=True, validate=validate.Range(1, MOST_OF["requests_per_s"]))
    parallel_uploads = fields.Integer(strict=True, validate=validate.Range(1, MOST_OF["parallel_uploads"]))
    own_providers = fields.Integer(
        strict=True, validate=validate.OneOf([0, 1]), metadata={"description": "1: the tenant may bring storage providers of its own."}
    )


class NewTenantSchema(Schema):
    """A tenant to be made."""

    slug = fields.String(required=True)
    name = fields.String(load_default="", validate=validate.Length(max=80))
    owner_email = fields.String(required=True)
    owner_password = fields.String(required=True, load_only=True)
    provider = fields.String(load_default=None)
    plan = fields.String(load_default="standard")
    limits = fields.Nested(LimitsSchema, load_default=dict)


class LimitsChange(Schema):
    """A change of plan or limits; `limits` replaces all that was agreed for this tenant alone."""

    plan = fields.String()
    limits = fields.Nested(LimitsSchema)


class OperatedTenantSchema(Schema):
    """A tenant as operators see it."""

    id = fields.UUID()
    slug = fields.String()
    name = fields.String()
    status = fields.String()
    cell = fields.String()
    plan = fields.String()
    limits = fields.Nested(LimitsSchema)
    overrides = fields.Nested(LimitsSchema, metadata={"description": "What was agreed for this tenant alone, over its plan."})
    url = fields.String()
    schema_revision = fields.String(allow_none=True)
    created_at = fields.AwareDateTime(format="iso")


class OperatedTenantFiguresSchema(OperatedTenantSchema):
    """A tenant with its figures."""

    provider = fields.String()
    stored_bytes = fields.Integer()
    stored_files = fields.Integer()
    uploads = fields.Integer()
    downloads = fields.Integer()
    bytes_in = fields.Integer()
    bytes_out = fields.Integer()


class OperatedTenantPage(Schema):
    """A page of tenants."""

    items = fields.List(fields.Nested(OperatedTenantFiguresSchema))
    next_cursor = fields.String(allow_none=True)


class StatsQuery(Schema):
    """The days asked for, both included (UTC)."""

    start = fields.Date(data_key="from", load_default=None)
    end = fields.Date(data_key="to", load_default=None)


class DaySchema(Schema):
    """One day over all tenants."""

    day = fields.Date()
    uploads = fields.Integer()
    downloads = fields.Integer()
    bytes_in = fields.Integer()
    bytes_out = fields.Integer()
    stored_bytes = fields.Integer()
    stored_files = fields.Integer()


class StatsTotals(Schema):
    """Sums over all tenants; stored: now."""

    uploads = fields.Integer()
    downloads = fields.Integer()
    bytes_in = fields.Integer()
    bytes_out = fields.Integer()
    stored_bytes = fields.Integer()
    stored_files = fields.Integer()


class StatsSchema(Schema):
    """Usage across tenants."""

    items = fields.List(fields.Nested(OperatedTenantFiguresSchema))
    days = fields.List(fields.Nested(DaySchema))
    totals = fields.Nested(StatsTotals)
    next_cursor = fields.String(allow_none=True)


SECRETS = {"description": "Secrets by name, as docs/guides/providers.md tells for each kind. Kept sealed, never shown."}


OFFERED = {"description": "Tenants may mirror their files to it."}


class ProviderChange(Schema):
    """A new configuration, new secrets, or both; each replaces the former one as a whole."""

    config = fields.Dict(keys=fields.String())
    secrets = fields.Dict(keys=fields.String(), load_only=True, metadata=SECRETS)
    offered_as_host = fields.Boolean(metadata=OFFERED)


class NewProviderSchema(Schema):
    """A provider to be added."""

    name = fields.String(required=True, validate=validate.Regexp(r"[a-z0-9][a-z0-9-]{0,62}\Z"))
    kind = fields.String(required=True)
    config = fields.Dict(keys=fields.String(), required=True, load_only=True)
    secrets = fields.Dict(keys=fields.String(), load_default=dict, load_only=True, metadata=SECRETS)
    default = fields.Boolean(load_default=False, load_only=True)


class ProviderSchema(Schema):
    """A provider, without its secrets."""

    id = fields.UUID()
    name = fields.String()
    kind = fields.String()
    config = fields.Dict(keys=fields.String())
    secrets_set = fields.List(fields.String(), metadata={"description": "The names of the secrets that are set."})
    is_default = fields.Boolean()
    offered_as_host = fields.Boolean(metadata=OFFERED)
    created_at = fields.AwareDateTime(format="iso")


class ProviderPage(Schema):
    """All providers."""

    items = fields.List(fields.Nested(ProviderSchema))
    next_cursor = fields.String(allow_none=True)


class StepSchema(Schema):
    """One step of a provider's test."""

    name = fields.String()
    ok = fields.Boolean()
    detail = fields.String()
    advice = fields.String(metadata={"description": "What to do where the step failed."})


class StepsSchema(Schema):
    """A provider's test."""

    ok = fields.Boolean()
    steps = fields.List(fields.Nested(StepSchema))


class MoveTarget(Schema):
    """Where a tenant's files are to go."""

    provider = fields.String(required=True, metadata={"description": "Name of a provider of the operator's."})


class MoveRequest(MoveTarget):
    """A move to begin."""

    dry_run = fields.Boolean(load_default=False, metadata={"description": "Only tell how much there is to move."})


class MoveSchema(Schema):
    """A move."""

    state = fields.String(metadata={"description": "running or done"})
    moved_objects = fields.Integer()
    moved_bytes = fields.Integer()
    problem = fields.String(metadata={"description": "What holds it up at present, or ended it early."})
    began_at = fields.AwareDateTime(format="iso")
    ended_at = fields.AwareDateTime(format="iso", allow_none=True)


class LeftSchema(Schema):
    """What lies elsewhere than where new files go."""

    objects = fields.Integer()
    size_bytes = fields.Integer()
    uploads = fields.Integer(metadata={"description": "Uploads under way: they end where they began, and are moved afterwards."})


class FailureSchema(Schema):
    """A version that was left where it is."""

    version_id = fields.UUID()
    path = fields.String()
    reason = fields.String()


class MoveReportSchema(Schema):
    """How a tenant's move stands; `move` is null where there never was one, and in a dry run."""

    tenant = fields.String()
    provider = fields.String()
    move = fields.Nested(MoveSchema, allow_none=True)
    left = fields.Nested(LeftSchema)
    failures = fields.List(fields.Nested(FailureSchema))


class JobQuery(PageQuery):
    """A list of jobs."""

    state = fields.String(load_default=None, validate=validate.OneOf(["queued", "running", "done", "parked"]))


class JobSchema(Schema):
    """A job."""

    id = fields.UUID()
    tenant_id = fields.UUID()
    kind = fields.String()
    ids = fields.Dict(keys=fields.String())
    state = fields.String()
    attempts = fields.Integer()
    error = fields.String(allow_none=True)
    run_at = fields.AwareDateTime(format="iso")
    created_at = fields.AwareDateTime(format="iso")
    finished_at = fields.AwareDateTime(format="iso", allow_none=True)


class JobPage(Schema):
    """A page of jobs, and how many there are by state."""

    items = fields.List(fields.Nested(JobSchema))
    counts = fields.Dict(keys=fields.String(), values=fields.Integer())
    next_cursor = fields.String(allow_none=True)


class OperatorSchema(Schema):
    """An operator."""

    id = fields.UUID()
    email = fields.String()
    name = fields.String()
    role = fields.String()
    created_at = fields.AwareDateTime(format="iso")
    last_login_at = fields.AwareDateTime(format="iso", allow_none=True)
    disabled_at = fields.AwareDateTime(format="iso", allow_none=True)


class OperatorPage(Schema):
    """All operators."""

    items = fields.List(fields.Nested(OperatorSchema))
    next_cursor = fields.String(allow_none=True)


class AuditSchema(Schema):
    """One thing that an operator did."""

    id = fields.UUID()
    at = fields.AwareDateTime(format="iso")
    operator = fields.String()
    action = fields.String()
    subject = fields.String()
    data = fields.Dict(keys=fields.String())


class AuditPage(Schema):
    """A page of the audit trail."""

    items = fields.List(fields.Nested(AuditSchema))
    next_cursor = fields.String(allow_none=True)
