"""JSON of a tenant's own providers."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from strongroom.storage.providers import TENANTS_FIELDS

CONFIG = {
    "description": "s3: bucket, endpoint_url, region, addressing, verify_parts, timeout_s. gcs: bucket, project, timeout_s. "
    "The endpoint must be a public one."
}
SECRETS = {
    "description": "s3: access_key_id, secret_access_key, session_token. gcs: service_account, its JSON key. Kept sealed, never shown."
}


class OwnProviderChange(Schema):
    """A new configuration, new secrets, or both; each replaces the former one as a whole."""

    config = fields.Dict(keys=fields.String(), metadata=CONFIG)
    secrets = fields.Dict(keys=fields.String(), load_only=True, metadata=SECRETS)


class NewOwnProviderSchema(Schema):
    """A provider to be added."""

    name = fields.String(required=True, validate=validate.Regexp(r"[a-z0-9][a-z0-9-]{0,62}\Z"))
    kind = fields.String(required=True, validate=validate.OneOf(sorted(TENANTS_FIELDS)))
    config = fields.Dict(keys=fields.String(), required=True, metadata=CONFIG)
    secrets = fields.Dict(keys=fields.String(), required=True, load_only=True, metadata=SECRETS)


class OwnProviderSchema(Schema):
    """A provider of the tenant's own, without its secrets."""

    id = fields.UUID()
    name = fields.String()
    kind = fields.String()
    config = fields.Dict(keys=fields.String())
    secrets_set = fields.List(fields.String(), metadata={"description": "The names of the secrets that are set."})
    in_use = fields.Boolean(metadata={"description": "New files go there."})
    created_at = fields.AwareDateTime(format="iso")


class OwnProviderPage(Schema):
    """All providers of the tenant's own."""

    items = fields.List(fields.Nested(OwnProviderSchema))
    next_cursor = fields.String(allow_none=True)
