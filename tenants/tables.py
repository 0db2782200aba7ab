"""The registry's tables (schema `strongroom`), for SQLAlchemy Core. The migrations are the authority."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, FetchedValue, Integer, LargeBinary, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(schema="strongroom")
TIME = DateTime(timezone=True)

providers = Table(
    "providers",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text),
    Column("kind", Text),
    Column("config", JSONB),
    Column("secrets", LargeBinary),
    Column("tenant_id", Uuid),
    Column("is_default", Boolean),
    Column("created_at", TIME),
    Column("offered_as_host", Boolean),
)
plans = Table(
    "plans",
    metadata,
    Column("name", Text, primary_key=True),
    Column("quota_bytes", BigInteger),
    Column("quota_files", BigInteger),
    Column("quota_users", Integer),
    Column("quota_buckets", Integer),
    Column("quota_transfer_bytes", BigInteger),
    Column("max_file_size_bytes", BigInteger),
    Column("requests_per_s", Integer),
    Column("parallel_uploads", Integer),
    Column("own_providers", Boolean),
)
cells = Table(
    "cells",
    metadata,
    Column("name", Text, primary_key=True),
    Column("max_tenants", Integer),
    Column("closed", Boolean),
    Column("added_at", TIME),
)
tenants = Table(
    "tenants",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("slug", Text),
    Column("name", Text),
    Column("status", Text),
    Column("cell", Text),
    Column("provider_id", Uuid),
    Column("prefix", Text),
    Column("plan", Text),
    Column("limits", JSONB),
    Column("brand", JSONB),
    Column("logo", LargeBinary),
    Column("logo_type", Text),
    Column("logo_digest", Text),
    Column("schema_revision", Text),
    Column("writes_paused", Boolean),
    Column("former_slugs", ARRAY(Text)),
    Column("settings", JSONB),
    Column("settings_version", Integer),
    Column("created_at", TIME),
    Column("updated_at", TIME),
)
settings_versions = Table(
    "settings_versions",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("settings", JSONB),
    Column("changes", JSONB),
    Column("actor", JSONB),
    Column("at", TIME),
)
tenant_secrets = Table(
    "tenant_secrets",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("sealed", LargeBinary),
)
tenant_providers = Table(
    "tenant_providers",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("provider_id", Uuid, primary_key=True),
    Column("created_at", TIME),
)
operations = Table(
    "operations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid),
    Column("kind", Text),
    Column("slug", Text),
    Column("state", Text),
    Column("steps", JSONB),
    Column("data", JSONB),
    Column("error", Text),
    Column("due_at", TIME),
    Column("began_at", TIME),
    Column("ended_at", TIME),
)
domains = Table(
    "domains",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("tenant_id", Uuid, primary_key=True),
    Column("verified_at", TIME),
    Column("created_at", TIME),
    Column("token", Text, FetchedValue()),
    Column("lapsed_at", TIME),
    Column("checked_at", TIME),
    Column("finding", Text),
    Column("missing_since", TIME),
    Column("misses", Integer),
    Column("check_at", TIME),
)
operators = Table(
    "operators",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("email", Text),
    Column("name", Text),
    Column("role", Text),
    Column("password_hash", Text),
    Column("disabled_at", TIME),
    Column("created_at", TIME),
    Column("last_login_at", TIME),
)
operator_sessions = Table(
    "operator_sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("operator_id", Uuid),
    Column("kind", Text),
    Column("refresh_id", Uuid),
    Column("created_at", TIME),
    Column("used_at", TIME),
    Column("expires_at", TIME),
    Column("ended_at", TIME),
)
operator_audit = Table(
    "operator_audit",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("at", TIME),
    Column("operator", Text),
    Column("action", Text),
    Column("subject", Text),
    Column("data", JSONB),
)
usage_daily = Table(
    "usage_daily",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("uploads", BigInteger),
    Column("downloads", BigInteger),
    Column("bytes_in", BigInteger),
    Column("bytes_out", BigInteger),
    Column("stored_bytes", BigInteger),
    Column("stored_files", BigInteger),
    Column("updated_at", TIME),
)
tenant_migrations = Table(
    "tenant_migrations",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("target", Text),
    Column("state", Text),
    Column("attempts", Integer),
    Column("error", Text),
    Column("urgent", Boolean),
    Column("run_at", TIME),
    Column("started_at", TIME),
    Column("finished_at", TIME),
)
fleet = Table(
    "fleet",
    metadata,
    Column("only_row", Boolean, primary_key=True),
    Column("frozen_at", TIME),
    Column("frozen_by", Text),
    Column("stopped_at", TIME),
)
isolation_probes = Table(
    "isolation_probes",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("ended_at", TIME),
    Column("ok", Boolean),
    Column("findings", Integer),
)
