"""A tenant's settings in JSON."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from strongroom.buckets.schemas import PolicySchema
from strongroom.tenant_settings.sso_schemas import SsoPart, shown_sso
from tenants.branding import MAX_NAME
from tenants.models import DEFAULT_PRIMARY, ScanPolicy, SessionLengths, SignUpMode, SignUpPolicy, Tenant
from tenants.settings import SettingsVersion
from tenants.sign_up import MAX_DOMAINS, ROLES

DAY_S = 86400
ACCESS_S, SESSION_S = (60, DAY_S), (300, 90 * DAY_S)
BUCKET_DEFAULTS: dict[str, Any] = {
    "allowed_types": [], "max_size_bytes": None, "versioning": True, "trash_days": 30, "serve_unscanned": False, "cache_max_age_s": 300,
    "redirect_downloads": False,
}  # fmt: skip
"""What a new bucket gets where neither its maker nor the tenant says anything: the defaults of the table's columns."""
NULL = "null: the default again."


class PartSchema(Schema):
    """A part of the settings: every field may be left out, and null gives it its default again."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:  # noqa: ARG002 - marshmallow calls it so
        """Let every field be null."""
        field_obj.allow_none = True


class BrandPart(PartSchema):
    """Name and colours."""

    name = fields.String(validate=validate.Length(1, MAX_NAME), metadata={"description": f"What people see. {NULL}"})
    primary = fields.String(validate=validate.Regexp(r"#[0-9a-fA-F]{6}\Z"), metadata={"description": f"#rrggbb. {NULL}"})
    accent = fields.String(validate=validate.Regexp(r"#[0-9a-fA-F]{6}\Z"), metadata={"description": f"#rrggbb. {NULL}"})


class BucketDefaultsPart(PolicySchema, PartSchema):
    """What new buckets get where their maker says nothing. `public` is not among it: that is said for each bucket."""

    class Meta:
        """Of the policy's fields."""

        exclude = ("public",)


class ScanningPart(PartSchema):
    """What may be done with files that were not found clean. It can make what buckets say stricter, never laxer."""

    uploader_gets_unchecked = fields.Boolean(
        metadata={"description": "Whoever uploaded a file may download it before its check, or where it could not be checked whole."}
    )
    buckets_may_serve_unscanned = fields.Boolean(
        metadata={"description": "False: nobody but the uploader gets files that could not be checked whole, whatever buckets say."}
    )


class SessionsPart(PartSchema):
    """How long tokens are good that are issued from now on."""

    access_token_lifetime_s = fields.Integer(
        strict=True, validate=validate.Range(*ACCESS_S), metadata={"description": "null: as the deployment's settings say."}
    )
    session_lifetime_s = fields.Integer(
        strict=True,
        validate=validate.Range(*SESSION_S),
        metadata={"description": "After so long everybody signs in again, in the console too. null: as the deployment's settings say."},
    )


class SignUpPart(PartSchema):
    """Who may make an account without an invitation, and with which role."""

    mode = fields.String(
        validate=validate.OneOf(list(SignUpMode)),
        metadata={"description": "closed: nobody. domains: whose e-mail is of one of the domains. open: everybody."},
    )
    domains = fields.List(
        fields.String(validate=validate.Length(1, 253)),
        validate=validate.Length(max=2 * MAX_DOMAINS),  # before those that are written twice are found
        metadata={"description": f"Each exact, those below it not included; at most {MAX_DOMAINS}."},
    )
    role = fields.String(validate=validate.OneOf(ROLES), metadata={"description": "Of whoever signs up from now on."})


class SettingsChange(Schema):
    """Parts of the settings to be changed; what is left out stays."""

    brand = fields.Nested(BrandPart)
    bucket_defaults = fields.Nested(BucketDefaultsPart)
    scanning = fields.Nested(ScanningPart)
    sessions = fields.Nested(SessionsPart)
    sign_up = fields.Nested(SignUpPart)
    sso = fields.Nested(SsoPart)
    hosts = fields.Dict(keys=fields.String(), values=fields.Dict(), dump_only=True, metadata={"description": "By id; see /api/v1/hosts."})


class SettingsSchema(SettingsChange):
    """All settings, and which version they are."""

    version = fields.Integer()
    updated_at = fields.AwareDateTime(format="iso")


class SettingsVersionSchema(Schema):
    """A version of the settings, and how it came about."""

    version = fields.Integer()
    at = fields.AwareDateTime(format="iso")
    actor = fields.Dict(keys=fields.String(), metadata={"description": "Who: `user_id`, `api_key_id`; or `system`. Empty: as it began."})
    changes = fields.Dict(
        keys=fields.String(),
        values=fields.Dict(),
        metadata={"description": '`{"sessions.session_lifetime_s": {"from": null, "to": 600}}`'},
    )


class WholeSettingsVersionSchema(SettingsVersionSchema):
    """The same with the settings as they were then."""

    settings = fields.Nested(SettingsChange)


class SettingsVersionPage(Schema):
    """A page of versions, newest first."""

    items = fields.List(fields.Nested(SettingsVersionSchema))
    next_cursor = fields.String(allow_none=True)


def shown_parts(tenant: Tenant, settings: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return settings with their defaults, part by part."""
    brand = settings["brand"]
    primary = brand.get("primary", DEFAULT_PRIMARY)
    return {
        "brand": {"name": tenant.name, "primary": primary, "accent": primary, **brand},
        "bucket_defaults": {**BUCKET_DEFAULTS, **settings["bucket_defaults"]},
        "scanning": {**vars(ScanPolicy()), **settings["scanning"]},
        "sessions": {**vars(SessionLengths()), **settings["sessions"]},
        "sign_up": {**vars(SignUpPolicy()), "domains": [], **settings.get("sign_up", {})},
        "sso": shown_sso(settings.get("sso", {})),
        "hosts": settings.get("hosts", {}),
    }


def shown_settings(tenant: Tenant, version: SettingsVersion) -> dict[str, Any]:
    """Return settings as the API shows them."""
    return {"version": version.version, "updated_at": version.at, **shown_parts(tenant, version.settings)}
