"""Who may call what of the two consoles; see `rows.py`. Callers come with a cookie and, to change something, the session's CSRF token."""

from __future__ import annotations

from tests.permissions.rows import ANYBODY, FILE, NO_ID, PLATFORM, ROLES, SHARED, SIGN_IN, SLUG, USER, Row, Who


def console(least: str) -> Who:
    """A tenant's users from a role on, signed in at its console."""
    return Who("console", ROLES[ROLES.index(least) :])


VIEWERS, MEMBERS, ADMINS = console("viewer"), console("member"), console("admin")
OPERATORS = Who("operator_console", operators=("viewer", "admin"))
OPERATOR_ADMINS = Who("operator_console", operators=("admin",))

TOKEN = {"token": "no.invitation.token"}
BUCKET = {"bucket": "nowhere"}
SESSION = {"session_id": NO_ID}
OPERATOR = {"operator_id": NO_ID}
PROVIDER = {"provider": "none"}
OWN_PROVIDER = {"provider_id": NO_ID}

ROWS: dict[tuple[str, str], Row] = {
    ("start", "GET"): Row(SHARED),
    ("assets.file", "GET"): Row(ANYBODY, {"digest": "0", "filename": "none.css"}),
    # The tenants' console: its door
    ("console_door.login", "GET"): Row(SIGN_IN),
    ("console_door.sign_in", "POST"): Row(SIGN_IN),
    ("console_door.invite", "GET"): Row(SIGN_IN, TOKEN),
    ("console_door.accept", "POST"): Row(SIGN_IN, TOKEN),
    ("console_door.logout", "POST"): Row(VIEWERS),
    # Everybody's pages
    ("console.index", "GET"): Row(VIEWERS),
    ("console_account.index", "GET"): Row(VIEWERS),
    ("console_account.rename", "POST"): Row(VIEWERS),
    ("console_account.change_password", "POST"): Row(VIEWERS),
    ("console_account.end", "POST"): Row(VIEWERS, SESSION),
    ("console_account.end_others", "POST"): Row(VIEWERS),
    ("console_files.index", "GET"): Row(VIEWERS),
    ("console_files.browse", "GET"): Row(VIEWERS, BUCKET),
    ("console_files.archive", "POST"): Row(VIEWERS, BUCKET),
    ("console_file.index", "GET"): Row(VIEWERS),
    ("console_file.file", "GET"): Row(VIEWERS, FILE),
    # Members' pages
    ("console_file.delete", "POST"): Row(MEMBERS, FILE),
    ("console_file.restore", "POST"): Row(MEMBERS, {**FILE, "version_id": NO_ID}),
    ("console_trash.index", "GET"): Row(MEMBERS),
    ("console_trash.undelete", "POST"): Row(MEMBERS, FILE),
    ("console_api_keys.index", "GET"): Row(MEMBERS),
    ("console_api_keys.create", "POST"): Row(MEMBERS),
    ("console_api_keys.revoke", "POST"): Row(MEMBERS, {"key_id": NO_ID}),
    # Admins' pages
    ("console_trash.purge", "POST"): Row(ADMINS, FILE),
    ("console_quarantine.index", "GET"): Row(ADMINS),
    ("console_quarantine.delete", "POST"): Row(ADMINS, FILE),
    ("console_branding.index", "GET"): Row(ADMINS),
    ("console_branding.update", "POST"): Row(ADMINS),
    ("console_exports.index", "GET"): Row(ADMINS),
    ("console_exports.begin", "POST"): Row(ADMINS),
    ("console_exports.download", "POST"): Row(ADMINS, {"export_id": NO_ID}),
    ("console_exports.delete", "POST"): Row(ADMINS, {"export_id": NO_ID}),
    ("console_storage.index", "GET"): Row(ADMINS),
    ("console_storage.new", "GET"): Row(ADMINS),
    ("console_storage.add", "POST"): Row(ADMINS),
    ("console_storage.try_new", "POST"): Row(ADMINS),
    ("console_storage.edit", "GET"): Row(ADMINS, OWN_PROVIDER),
    ("console_storage.update", "POST"): Row(ADMINS, OWN_PROVIDER),
    ("console_storage.try_change", "POST"): Row(ADMINS, OWN_PROVIDER),
    ("console_storage.test", "POST"): Row(ADMINS, OWN_PROVIDER),
    ("console_storage.use", "POST"): Row(ADMINS, OWN_PROVIDER),
    ("console_storage.delete", "POST"): Row(ADMINS, OWN_PROVIDER),
    ("console_buckets.index", "GET"): Row(ADMINS),
    ("console_buckets.new", "GET"): Row(ADMINS),
    ("console_buckets.create", "POST"): Row(ADMINS),
    ("console_buckets.edit", "GET"): Row(ADMINS, BUCKET),
    ("console_buckets.update", "POST"): Row(ADMINS, BUCKET),
    ("console_buckets.delete", "POST"): Row(ADMINS, BUCKET),
    ("console_users.index", "GET"): Row(ADMINS),
    ("console_users.ask", "GET"): Row(ADMINS),
    ("console_users.invite", "POST"): Row(ADMINS),
    ("console_users.edit", "GET"): Row(ADMINS, USER),
    ("console_users.update", "POST"): Row(ADMINS, USER),
    ("console_users.enable", "POST"): Row(ADMINS, USER),
    ("console_users.disable", "POST"): Row(ADMINS, USER),
    ("console_users.remove", "POST"): Row(ADMINS, USER),
    ("console_users.renew", "POST"): Row(ADMINS, USER),
    ("console_users.withdraw", "POST"): Row(ADMINS, USER),
    # The operators' console
    ("operator_console_door.login", "GET"): Row(PLATFORM),
    ("operator_console_door.sign_in", "POST"): Row(PLATFORM),
    ("operator_console_door.logout", "POST"): Row(OPERATORS),
    ("operator_console.index", "GET"): Row(OPERATORS),
    ("operator_console_audit.index", "GET"): Row(OPERATORS),
    ("operator_console_jobs.index", "GET"): Row(OPERATORS),
    ("operator_console_jobs.retry", "POST"): Row(OPERATOR_ADMINS, {"job_id": NO_ID}),
    ("operator_console_jobs.retry_parked", "POST"): Row(OPERATOR_ADMINS),
    ("operator_console_plans.index", "GET"): Row(OPERATORS),
    ("operator_console_plans.new", "GET"): Row(OPERATOR_ADMINS),
    ("operator_console_plans.add", "POST"): Row(OPERATOR_ADMINS),
    ("operator_console_plans.edit", "GET"): Row(OPERATOR_ADMINS, {"plan": "none"}),
    ("operator_console_plans.update", "POST"): Row(OPERATOR_ADMINS, {"plan": "none"}),
    ("operator_console_plans.delete", "POST"): Row(OPERATOR_ADMINS, {"plan": "none"}),
    ("operator_console_operators.index", "GET"): Row(OPERATORS),
    ("operator_console_operators.create", "POST"): Row(OPERATOR_ADMINS),
    ("operator_console_operators.enable", "POST"): Row(OPERATOR_ADMINS, OPERATOR),
    ("operator_console_operators.disable", "POST"): Row(OPERATOR_ADMINS, OPERATOR),
    ("operator_console_migrations.index", "GET"): Row(OPERATORS),
    ("operator_console_migrations.retry", "POST"): Row(OPERATOR_ADMINS, SLUG),
    ("operator_console_migrations.retry_failed", "POST"): Row(OPERATOR_ADMINS),
    ("operator_console_migrations.freeze", "POST"): Row(OPERATOR_ADMINS),
    ("operator_console_cells.index", "GET"): Row(OPERATORS),
    ("operator_console_providers.index", "GET"): Row(OPERATORS),
    ("operator_console_providers.make_default", "POST"): Row(OPERATOR_ADMINS, PROVIDER),
    ("operator_console_providers.test", "POST"): Row(OPERATOR_ADMINS, PROVIDER),
    ("operator_console_providers.new", "GET"): Row(OPERATOR_ADMINS),
    ("operator_console_providers.add", "POST"): Row(OPERATOR_ADMINS),
    ("operator_console_providers.try_new", "POST"): Row(OPERATOR_ADMINS),
    ("operator_console_providers.edit", "GET"): Row(OPERATOR_ADMINS, PROVIDER),
    ("operator_console_providers.try_change", "POST"): Row(OPERATOR_ADMINS, PROVIDER),
    ("operator_console_providers.update", "POST"): Row(OPERATOR_ADMINS, PROVIDER),
    ("operator_console_providers.delete", "POST"): Row(OPERATOR_ADMINS, PROVIDER),
    ("operator_console_tenants.index", "GET"): Row(OPERATORS),
    ("operator_console_tenants.tenant", "GET"): Row(OPERATORS, SLUG),
    ("operator_console_tenants.new", "GET"): Row(OPERATOR_ADMINS),
    ("operator_console_tenants.create", "POST"): Row(OPERATOR_ADMINS),
    ("operator_console_tenants.plan", "POST"): Row(OPERATOR_ADMINS, SLUG),
    ("operator_console_tenants.move", "POST"): Row(OPERATOR_ADMINS, SLUG),
    ("operator_console_tenants.suspend", "POST"): Row(OPERATOR_ADMINS, SLUG),
    ("operator_console_tenants.resume", "POST"): Row(OPERATOR_ADMINS, SLUG),
    ("operator_console_tenants.delete", "POST"): Row(OPERATOR_ADMINS, SLUG),
    ("operator_console_tenants.rename", "POST"): Row(OPERATOR_ADMINS, SLUG),
    ("operator_console_tenants.restore", "POST"): Row(OPERATOR_ADMINS, SLUG),
    ("operator_console_tenants.retry", "POST"): Row(OPERATOR_ADMINS, {**SLUG, "operation_id": NO_ID}),
    ("operator_console_operations.index", "GET"): Row(OPERATORS),
    ("operator_console_operations.retry", "POST"): Row(OPERATOR_ADMINS, {"operation_id": NO_ID}),
}
