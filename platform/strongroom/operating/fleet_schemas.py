"""The operator's JSON on cells and on the migration of all tenants."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from strongroom.http.paging import PageQuery
from tenants.migrations import STATES


class MigrationSchema(Schema):
    """How one tenant's schema stands."""

    tenant_id = fields.UUID()
    slug = fields.String()
    cell = fields.String()
    revision = fields.String(allow_none=True)
    state = fields.String(metadata={"description": "`current`, `pending`, `running` or `failed`."})
    attempts = fields.Integer()
    error = fields.String(allow_none=True)
    started_at = fields.AwareDateTime(allow_none=True)
    finished_at = fields.AwareDateTime(allow_none=True)


class FleetSchema(Schema):
    """Whether tenants are migrated at all."""

    frozen_at = fields.AwareDateTime(allow_none=True, metadata={"description": "Since when no tenant is migrated."})
    frozen_by = fields.String(allow_none=True)


class MigrationPage(FleetSchema):
    """How the migration of all tenants stands."""

    newest = fields.String(metadata={"description": "The newest revision that this code knows."})
    counts = fields.Dict(keys=fields.String(), values=fields.Integer())
    items = fields.List(fields.Nested(MigrationSchema))
    next_cursor = fields.String(allow_none=True)


class MigrationQuery(PageQuery):
    """Which tenants to list."""

    state = fields.String(load_default=None, validate=validate.OneOf(STATES))


class FreezeSchema(Schema):
    """Freeze or not."""

    frozen = fields.Boolean(required=True, metadata={"description": "True: no tenant is migrated from now on."})


class RetriedSchema(Schema):
    """How many are tried again."""

    retried = fields.Integer()


class CellSchema(Schema):
    """A PostgreSQL cluster that holds tenants."""

    name = fields.String()
    tenants = fields.Integer(metadata={"description": "Living tenants in it."})
    max_tenants = fields.Integer(allow_none=True, metadata={"description": "How many it may hold; null: it is not ready yet."})
    share = fields.Float(metadata={"description": "How full it is: 0, empty; 1, full. The least full takes the next tenant."})
    closed = fields.Boolean(metadata={"description": "It takes no new tenants; those that it holds stay."})
    size_bytes = fields.Integer(allow_none=True, metadata={"description": "Size of its database; null: it does not answer."})
    server_version = fields.String(allow_none=True)
    takes_new = fields.Boolean(metadata={"description": "The next tenant goes there."})
    configured = fields.Boolean(metadata={"description": "The settings of the process that answers name it."})
    prepared = fields.Boolean(metadata={"description": "It was made ready, by 'migrate' or 'cell add'."})


class CellChangeSchema(Schema):
    """What to change of a cell; what is not named stays."""

    max_tenants = fields.Integer(validate=validate.Range(min=0, max=1_000_000))
    closed = fields.Boolean()


class CellPage(Schema):
    """All cells."""

    items = fields.List(fields.Nested(CellSchema))
    next_cursor = fields.String(allow_none=True)
