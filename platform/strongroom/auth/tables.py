"""Users, identities, sessions and API keys of a tenant, for SQLAlchemy Core."""

from __future__ import annotations

from sqlalchemy import ARRAY, Column, LargeBinary, String, Table, Text, Uuid

from strongroom.db.tables import TIME, ShortText, tenant_metadata

users = Table(
    "users",
    tenant_metadata,
    Column("id", Uuid, primary_key=True),
    Column("email", Text),
    Column("email_key", Text),
    Column("name", Text),
    Column("role", Text),
    Column("status", Text),
    Column("password_hash", Text),
    Column("invite_id", Uuid),
    Column("created_at", TIME),
    Column("updated_at", TIME),
    Column("last_login_at", TIME),
)
MAX_ISSUER, MAX_SUBJECT = 200, 255
identities = Table(
    "identities",
    tenant_metadata,
    Column("issuer", String(MAX_ISSUER), primary_key=True),
    Column("subject", String(MAX_SUBJECT), primary_key=True),
    Column("user_id", Uuid),
    Column("created_at", TIME),
    Column("last_login_at", TIME),
)
sessions = Table(
    "sessions",
    tenant_metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid),
    Column("kind", ShortText(8)),
    Column("refresh_id", Uuid),
    Column("user_agent", ShortText(200)),
    Column("remote_addr", ShortText(64)),
    Column("created_at", TIME),
    Column("used_at", TIME),
    Column("expires_at", TIME),
    Column("ended_at", TIME),
)
used_links = Table("used_links", tenant_metadata, Column("id", Uuid, primary_key=True), Column("expires_at", TIME))
"""Links that are no good any more although their time is not over: spent by a download, or outdated by a user's removal."""
api_keys = Table(
    "api_keys",
    tenant_metadata,
    Column("id", Uuid, primary_key=True),
    Column("key_id", Text),
    Column("name", Text),
    Column("secret_hash", LargeBinary),
    Column("scopes", ARRAY(Text)),
    Column("created_by", Uuid),
    Column("created_at", TIME),
    Column("expires_at", TIME),
    Column("used_at", TIME),
    Column("revoked_at", TIME),
)
