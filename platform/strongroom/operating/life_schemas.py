"""JSON of what is done to tenants as a whole."""

from __future__ import annotations

from marshmallow import Schema, fields

from strongroom.http.paging import PageQuery

KINDS = "`rename`, `suspend`, `resume`, `delete`, `restore`, `import`, `move` (to another cell) or `stay` (that move was aborted)."


class RenameSchema(Schema):
    """A tenant's new name in addresses."""

    slug = fields.String(required=True)


class CellOfTenant(Schema):
    """Where a tenant is to live."""

    cell = fields.String(required=True, metadata={"description": "A cell's name, as `GET /cells` lists it."})


class DeletionQuery(Schema):
    """How a tenant is deleted."""

    now = fields.Boolean(load_default=False, metadata={"description": "Without a grace time; `confirm` must be the slug."})
    confirm = fields.String(load_default="", metadata={"description": "The tenant's slug."})


class StepOfOperation(Schema):
    """One step of an operation."""

    name = fields.String()
    state = fields.String(metadata={"description": "`waiting`, `running` or `done`."})
    at = fields.String(metadata={"description": "When it came to its state; empty while it waits."})


class OperationSchema(Schema):
    """What was or is done to a tenant."""

    id = fields.UUID()
    tenant_id = fields.UUID()
    kind = fields.String(metadata={"description": KINDS})
    slug = fields.String(metadata={"description": "The tenant's slug when it began."})
    state = fields.String(metadata={"description": "`open`, `done` or `cancelled`."})
    steps = fields.List(fields.Nested(StepOfOperation))
    writes_paused_s = fields.Float(
        allow_none=True, metadata={"description": "For how many seconds writes were refused: in a move to another cell. Else null."}
    )
    error = fields.String(metadata={"description": "What holds it up; empty when nothing does. It is tried again by itself."})
    due_at = fields.AwareDateTime(format="iso", metadata={"description": "The next step is not done before."})
    began_at = fields.AwareDateTime(format="iso")
    ended_at = fields.AwareDateTime(format="iso", allow_none=True)


class OperationPage(Schema):
    """A page of operations."""

    items = fields.List(fields.Nested(OperationSchema))
    next_cursor = fields.String(allow_none=True)


class OperationQuery(PageQuery):
    """Which operations."""

    slug = fields.String(load_default=None, metadata={"description": "Only those of tenants that bore this slug when they began."})
