"""Plans in JSON."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from strongroom.operating.schemas import LimitsSchema
from strongroom.quotas.schemas import UseSchema


class PlanSchema(Schema):
    """A plan."""

    name = fields.String()
    limits = fields.Nested(LimitsSchema)
    tenants = fields.Integer(metadata={"description": "How many tenants have it."})


class NewPlanSchema(Schema):
    """A plan to be made. Limits that are not named are those of the standard plan."""

    name = fields.String(required=True, validate=validate.Length(1, 40))
    limits = fields.Nested(LimitsSchema, load_default=dict)


class PlanChange(Schema):
    """Limits to be changed; the others stay."""

    limits = fields.Nested(LimitsSchema, required=True)


class PlanPage(Schema):
    """All plans."""

    items = fields.List(fields.Nested(PlanSchema))
    next_cursor = fields.String(allow_none=True)


class TenantQuotaSchema(Schema):
    """A tenant's plan, limits and use, as the tenant sees them too."""

    plan = fields.String()
    limits = fields.Nested(LimitsSchema)
    overrides = fields.Nested(LimitsSchema)
    uses = fields.List(fields.Nested(UseSchema))
