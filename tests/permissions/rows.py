"""Who may call what: one row for each method of each endpoint. `test_matrix.py` holds the table against the real routes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ROLES = ("viewer", "member", "admin", "owner")


@dataclass(frozen=True)
class Who:
    """Which callers a route takes. `scope`: the one that lets an API key of an owner in; None: none does."""

    realm: str
    roles: tuple[str, ...] = ()
    scope: str | None = None
    operators: tuple[str, ...] = ()


def tenant(least: str, scope: str | None) -> Who:
    """A tenant's users from a role on, and API keys with a scope."""
    return Who("tenant", ROLES[ROLES.index(least) :], scope)


ANYBODY = Who("anywhere")  # any host at all
SHARED = Who("shared")  # the platform's host and every tenant's
SIGN_IN = Who("public")  # a tenant's host, or one named by X-Tenant
PLATFORM = Who("platform")  # the platform's host, anybody
OPERATORS = Who("operator", operators=("viewer", "admin"))
OPERATOR_ADMINS = Who("operator", operators=("admin",))


@dataclass(frozen=True)
class Row:
    """Who may call it, and what to send so that a caller who may gets past the door, but changes nothing."""

    who: Who
    args: dict[str, str] = field(default_factory=dict)
    send: dict[str, Any] = field(default_factory=dict)


NO_ID = "01890000-0000-7000-8000-000000000000"
FILE = {"file_id": NO_ID}
UPLOAD = {"upload_id": NO_ID}
USER = {"user_id": NO_ID}
BUCKET = {"bucket": "nowhere"}
OBJECT = {"bucket": "nowhere", "path": "some/file.txt"}
UPLOAD = {"upload_id": NO_ID}
PROVIDER = {"provider_id": NO_ID}
CONNECTION = {"connection": "none"}
HOST = {"host_id": NO_ID}
DOMAIN = {"domain": "nobodys.example.com"}
SLUG = {"slug": "nobody-here"}
EMPTY: dict[str, Any] = {"json": {}}

ROWS: dict[tuple[str, str], Row] = {
    # Sign-in
    ("auth.login", "POST"): Row(SIGN_IN, send=EMPTY),
    ("auth.refresh", "POST"): Row(SIGN_IN, send={"json": {"refresh_token": 1}}),
    ("users.accept_invitation", "POST"): Row(SIGN_IN, send=EMPTY),
    ("signup.sign_up", "POST"): Row(SIGN_IN, send=EMPTY),
    ("signup.complete_sign_up", "POST"): Row(SIGN_IN, send=EMPTY),
    ("oidc.list_offers", "GET"): Row(SIGN_IN),
    ("oidc.start", "GET"): Row(SIGN_IN, CONNECTION),
    ("oidc.callback", "GET"): Row(SIGN_IN, CONNECTION),
    ("auth.logout", "POST"): Row(tenant("viewer", None)),
    # One's own account
    ("auth.list_sessions", "GET"): Row(tenant("viewer", "user:read")),
    ("auth.end_session", "DELETE"): Row(tenant("viewer", "user:write"), {"session_id": NO_ID}),
    ("users.get_account", "GET"): Row(tenant("viewer", "user:read")),
    ("users.update_account", "PATCH"): Row(tenant("viewer", None), send=EMPTY),
    # Users
    ("users.list_users", "GET"): Row(tenant("admin", "user:read")),
    ("users.create_user", "POST"): Row(tenant("admin", "user:write"), send=EMPTY),
    ("users.get_user", "GET"): Row(tenant("admin", "user:read"), USER),
    ("users.update_user", "PATCH"): Row(tenant("admin", "user:write"), USER, EMPTY),
    ("users.delete_user", "DELETE"): Row(tenant("admin", "user:write"), USER),
    # API keys
    ("api_keys.list_api_keys", "GET"): Row(tenant("member", "admin")),
    ("api_keys.create_api_key", "POST"): Row(tenant("member", "admin"), send=EMPTY),
    ("api_keys.revoke_api_key", "DELETE"): Row(tenant("member", "admin"), {"api_key_id": NO_ID}),
    # Buckets
    ("buckets.list_buckets", "GET"): Row(tenant("viewer", "files:read")),
    ("buckets.create_bucket", "POST"): Row(tenant("admin", "admin"), send=EMPTY),
    ("buckets.get_bucket", "GET"): Row(tenant("viewer", "files:read"), BUCKET),
    ("buckets.update_bucket", "PATCH"): Row(tenant("admin", "admin"), BUCKET, EMPTY),
    ("buckets.delete_bucket", "DELETE"): Row(tenant("admin", "admin"), BUCKET),
    # Files
    ("files.list_files", "GET"): Row(tenant("viewer", "files:read"), BUCKET),
    ("files.get_file", "GET"): Row(tenant("viewer", "files:read"), FILE),
    ("files.update_file", "PATCH"): Row(tenant("member", "files:write"), FILE, EMPTY),
    ("files.delete_file", "DELETE"): Row(tenant("member", "files:write"), FILE),
    ("files.get_content", "GET"): Row(tenant("viewer", "files:read"), FILE),
    ("files.presign", "POST"): Row(tenant("viewer", "files:read"), FILE, EMPTY),
    ("files.get_link", "GET"): Row(SIGN_IN, {"token": "no-link"}),
    ("archives.get_archive", "GET"): Row(tenant("viewer", "files:read"), BUCKET),
    ("archives.post_archive", "POST"): Row(tenant("viewer", "files:read"), BUCKET, {"json": {"paths": ["a"]}}),
    ("files.list_versions", "GET"): Row(tenant("viewer", "files:read"), FILE),
    ("files.restore_version", "POST"): Row(tenant("member", "files:write"), {**FILE, "version_id": NO_ID}),
    ("files.undelete_file", "POST"): Row(tenant("member", "files:write"), FILE),
    ("files.list_trash", "GET"): Row(tenant("member", "files:read")),
    ("tus.create_upload", "POST"): Row(tenant("member", "files:write")),
    ("tus.get_offset", "HEAD"): Row(tenant("member", "files:write"), UPLOAD),
    ("tus.append_to_upload", "PATCH"): Row(tenant("member", "files:write"), UPLOAD),
    ("tus.terminate_upload", "DELETE"): Row(tenant("member", "files:write"), UPLOAD),
    ("tus.override_method", "POST"): Row(tenant("member", "files:write"), UPLOAD, {"headers": {"X-HTTP-Method-Override": "PATCH"}}),
    ("objects.put_object", "PUT"): Row(tenant("member", "files:write"), OBJECT, {"data": b"x"}),
    ("objects.post_form", "POST"): Row(tenant("member", "files:write"), BUCKET, {"data": b"no form"}),
    ("objects.get_object", "GET"): Row(tenant("viewer", "files:read"), OBJECT),
    ("objects.delete_object", "DELETE"): Row(tenant("member", "files:write"), OBJECT),
    ("imports.import_by_url", "POST"): Row(tenant("member", "files:write"), send=EMPTY),
    ("sharex.get_sharex", "GET"): Row(tenant("member", "files:write"), send={"query_string": {"bucket": "nowhere"}}),
    ("blocks.list_blocks", "GET"): Row(tenant("viewer", "files:read"), FILE),
    ("uploads.create_upload", "POST"): Row(tenant("member", "files:write"), send=EMPTY),
    ("uploads.list_uploads", "GET"): Row(tenant("member", "files:write")),
    ("uploads.get_upload", "GET"): Row(tenant("member", "files:write"), UPLOAD),
    ("uploads.end_upload", "DELETE"): Row(tenant("member", "files:write"), UPLOAD),
    ("uploads.sign_parts", "POST"): Row(tenant("member", "files:write"), UPLOAD, EMPTY),
    ("uploads.put_part", "PUT"): Row(SIGN_IN, {**UPLOAD, "number": "1"}, {"data": b"x", "query_string": {"token": "none"}}),
    ("uploads.complete_upload", "POST"): Row(tenant("member", "files:write"), UPLOAD, EMPTY),
    # The tenant itself
    ("stats.get_usage", "GET"): Row(tenant("admin", "stats:read")),
    ("tenant.get_tenant", "GET"): Row(tenant("viewer", "user:read")),
    ("tenant.get_branding", "GET"): Row(tenant("viewer", "user:read")),
    ("tenant.update_branding", "PATCH"): Row(tenant("admin", "admin"), send={"json": {"primary": "no colour"}}),
    ("tenant.get_logo", "GET"): Row(SIGN_IN),
    ("tenant.put_logo", "PUT"): Row(tenant("admin", "admin"), send={"data": b"no picture"}),
    ("tenant.delete_logo", "DELETE"): Row(tenant("admin", "admin")),
    ("isolation.get_report", "GET"): Row(tenant("admin", "stats:read")),
    ("isolation.list_keys", "GET"): Row(SHARED),
    ("tenant.get_quota", "GET"): Row(tenant("viewer", "stats:read")),
    ("hosts.list_hosts", "GET"): Row(tenant("admin", "admin")),
    ("hosts.add_host", "POST"): Row(tenant("admin", "admin"), send=EMPTY),
    ("hosts.list_host_providers", "GET"): Row(tenant("admin", "admin")),
    ("hosts.get_host", "GET"): Row(tenant("admin", "admin"), HOST),
    ("hosts.update_host", "PATCH"): Row(tenant("admin", "admin"), HOST, EMPTY),
    ("hosts.remove_host", "DELETE"): Row(tenant("admin", "admin"), HOST),
    ("hosts.retry_host", "POST"): Row(tenant("admin", "admin"), HOST),
    ("hosts.list_file_mirrors", "GET"): Row(tenant("viewer", "files:read"), FILE),
    ("own_providers.list_own_providers", "GET"): Row(tenant("admin", "admin")),
    ("own_providers.add_own_provider", "POST"): Row(tenant("admin", "admin"), send=EMPTY),
    ("own_providers.update_own_provider", "PATCH"): Row(tenant("admin", "admin"), PROVIDER, EMPTY),
    ("own_providers.delete_own_provider", "DELETE"): Row(tenant("admin", "admin"), PROVIDER),
    ("own_providers.try_own_provider", "POST"): Row(tenant("admin", "admin"), PROVIDER),
    ("own_providers.use_own_provider", "POST"): Row(tenant("admin", "admin"), PROVIDER),
    ("settings.get_settings", "GET"): Row(tenant("admin", "admin")),
    ("settings.update_settings", "PATCH"): Row(tenant("admin", "admin"), send={"json": {"nothing": 1}}),
    ("settings.list_versions", "GET"): Row(tenant("admin", "admin")),
    ("settings.get_version", "GET"): Row(tenant("admin", "admin"), {"version": "99"}),
    ("settings.restore_version", "POST"): Row(tenant("admin", "admin"), {"version": "99"}),
    ("sso.list_connections", "GET"): Row(tenant("admin", "admin")),
    ("sso.put_connection", "PUT"): Row(tenant("admin", "admin"), CONNECTION, EMPTY),
    ("sso.update_connection", "PATCH"): Row(tenant("admin", "admin"), CONNECTION, EMPTY),
    ("sso.delete_connection", "DELETE"): Row(tenant("admin", "admin"), CONNECTION),
    ("sso.try_connection", "POST"): Row(tenant("admin", "admin"), CONNECTION),
    ("domains.list_domains", "GET"): Row(tenant("admin", "admin")),
    ("domains.claim_domain", "POST"): Row(tenant("admin", "admin"), send=EMPTY),
    ("domains.get_domain", "GET"): Row(tenant("admin", "admin"), DOMAIN),
    ("domains.remove_domain", "DELETE"): Row(tenant("admin", "admin"), DOMAIN),
    ("domains.verify_domain", "POST"): Row(tenant("admin", "admin"), DOMAIN),
    # Operators
    ("operator_api.login", "POST"): Row(PLATFORM, send=EMPTY),
    ("operator_api.refresh", "POST"): Row(PLATFORM, send={"json": {"refresh_token": 1}}),
    ("operator_api.logout", "POST"): Row(OPERATORS),
    ("exports.list_exports", "GET"): Row(tenant("admin", "admin")),
    ("exports.begin_export", "POST"): Row(tenant("admin", "admin")),
    ("exports.get_export", "GET"): Row(tenant("admin", "admin"), {"export_id": NO_ID}),
    ("exports.delete_export", "DELETE"): Row(tenant("admin", "admin"), {"export_id": NO_ID}),
    ("exports.make_link", "POST"): Row(tenant("admin", "admin"), {"export_id": NO_ID}),
    ("exports.get_archive", "GET"): Row(SIGN_IN, {"token": "none"}),
    ("operator_api.list_tenants", "GET"): Row(OPERATORS),
    ("operator_api.create_tenant", "POST"): Row(OPERATOR_ADMINS, send=EMPTY),
    ("operator_api.get_tenant", "GET"): Row(OPERATORS, SLUG),
    ("operator_api.update_tenant", "PATCH"): Row(OPERATOR_ADMINS, SLUG, EMPTY),
    ("operator_api.suspend_tenant", "POST"): Row(OPERATOR_ADMINS, SLUG),
    ("operator_api.resume_tenant", "POST"): Row(OPERATOR_ADMINS, SLUG),
    ("operator_api.delete_tenant", "DELETE"): Row(OPERATOR_ADMINS, SLUG),
    ("operator_api.rename_tenant", "POST"): Row(OPERATOR_ADMINS, SLUG, send=EMPTY),
    ("operator_api.restore_tenant", "POST"): Row(OPERATOR_ADMINS, SLUG),
    ("operator_api.move_to_cell", "POST"): Row(OPERATOR_ADMINS, SLUG, {"json": {"cell": "none"}}),
    ("operator_api.abort_move_to_cell", "DELETE"): Row(OPERATOR_ADMINS, SLUG),
    ("operator_api.list_operations", "GET"): Row(OPERATORS),
    ("operator_api.retry_operation", "POST"): Row(OPERATOR_ADMINS, {"operation_id": NO_ID}),
    ("operator_api.get_stats", "GET"): Row(OPERATORS),
    ("operator_api.list_providers", "GET"): Row(OPERATORS),
    ("operator_api.add_provider", "POST"): Row(OPERATOR_ADMINS, send=EMPTY),
    ("operator_api.update_provider", "PATCH"): Row(OPERATOR_ADMINS, {"name": "none"}, EMPTY),
    ("operator_api.delete_provider", "DELETE"): Row(OPERATOR_ADMINS, {"name": "none"}),
    ("operator_api.set_tenant_provider", "PUT"): Row(OPERATOR_ADMINS, SLUG, {"json": {"provider": "none"}}),
    ("operator_api.get_move", "GET"): Row(OPERATORS, SLUG),
    ("operator_api.begin_move", "POST"): Row(OPERATOR_ADMINS, SLUG, {"json": {"provider": "none"}}),
    ("operator_api.try_provider", "POST"): Row(OPERATOR_ADMINS, {"name": "none"}),
    ("operator_api.list_jobs", "GET"): Row(OPERATORS),
    ("operator_api.retry_job", "POST"): Row(OPERATOR_ADMINS, {"job_id": NO_ID}),
    ("operator_domains.list_domains", "GET"): Row(OPERATORS),
    ("operator_domains.list_domains_of", "GET"): Row(OPERATORS, SLUG),
    ("operator_domains.claim_domain", "POST"): Row(OPERATOR_ADMINS, SLUG, EMPTY),
    ("operator_domains.verify_domain", "POST"): Row(OPERATOR_ADMINS, {**SLUG, **DOMAIN}),
    ("operator_domains.remove_domain", "DELETE"): Row(OPERATOR_ADMINS, {**SLUG, **DOMAIN}),
    ("operator_fleet.list_migrations", "GET"): Row(OPERATORS),
    ("operator_fleet.freeze_migrations", "PATCH"): Row(OPERATOR_ADMINS, send=EMPTY),
    ("operator_fleet.retry_failed_migrations", "POST"): Row(OPERATOR_ADMINS),
    ("operator_fleet.retry_migration", "POST"): Row(OPERATOR_ADMINS, SLUG),
    ("operator_fleet.list_cells", "GET"): Row(OPERATORS),
    ("operator_fleet.update_cell", "PATCH"): Row(OPERATOR_ADMINS, {"name": "none"}, EMPTY),
    ("operator_plans.list_plans", "GET"): Row(OPERATORS),
    ("operator_plans.add_plan", "POST"): Row(OPERATOR_ADMINS, send=EMPTY),
    ("operator_plans.get_plan", "GET"): Row(OPERATORS, {"name": "none"}),
    ("operator_plans.update_plan", "PATCH"): Row(OPERATOR_ADMINS, {"name": "none"}, EMPTY),
    ("operator_plans.delete_plan", "DELETE"): Row(OPERATOR_ADMINS, {"name": "none"}),
    ("operator_plans.get_tenant_quota", "GET"): Row(OPERATORS, SLUG),
    ("operator_api.list_operators", "GET"): Row(OPERATORS),
    ("operator_api.list_audit", "GET"): Row(OPERATORS),
    # Probes and pages
    ("health.healthz", "GET"): Row(ANYBODY),
    ("health.readyz", "GET"): Row(ANYBODY),
    ("tls.ask", "GET"): Row(ANYBODY),
    ("health.metrics", "GET"): Row(PLATFORM),
    ("health.problem_index", "GET"): Row(SHARED),
    ("health.problem_page", "GET"): Row(SHARED, {"code": "not_found"}),
    ("health.openapi", "GET"): Row(SHARED),
    ("health.docs", "GET"): Row(SHARED),
    ("health.operator_openapi", "GET"): Row(PLATFORM),
    ("health.operator_docs", "GET"): Row(PLATFORM),
    ("health.static", "GET"): Row(SHARED, {"filename": "none.css"}),
}
