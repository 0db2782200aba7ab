"""The one place where configuration is read: a typed, frozen `Settings`, from `STRONGROOM_*` variables.

Unknown or missing settings stop the program at its start. The settings page of the documentation is made from the
field descriptions below.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Annotated, Any

from strongroom.errors import ConfigurationError
from strongroom.variables import SecretStr, WrongSettings, make, names_of, setting, settle

PREFIX = "STRONGROOM_"
MASTER_KEY_BYTES = 32
DNS_PORT, MAX_PORT = 53, 65536
RESOLVER_PATTERN = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?")
NOT_SETTINGS = frozenset({"STRONGROOM_STATE", "STRONGROOM_RUN"})  # name a folder and a run for the command line; no settings


def _database_url(value: str) -> str:
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("must be a URL like postgresql://user:password@host/database")
    return value.replace("postgres://", "postgresql://", 1)


def _master_key(value: SecretStr) -> SecretStr:
    try:
        raw = base64.b64decode(value.get_secret_value(), validate=True)
    except ValueError:
        raw = b""
    if len(raw) != MASTER_KEY_BYTES:
        raise ValueError("must be 32 random bytes in base64, as `openssl rand -base64 32` makes them")
    return value


def _network(value: str) -> str:
    return str(ip_network(value))


def resolver_address(value: str) -> tuple[str, int]:
    """Return address and port of a resolver: `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53` or `[2001:db8::53]:5353`.

    Raises:
        ValueError
    """
    match = RESOLVER_PATTERN.fullmatch(value)
    host, port = (match[1] or match[2], int(match[3] or DNS_PORT)) if match else (value, DNS_PORT)
    ip_address(host)
    if not 0 < port < MAX_PORT:
        raise ValueError("must be an address with a port from 1 to 65535, such as 192.0.2.53:5353")
    return host, port


def _resolver(value: str) -> str:
    resolver_address(value)
    return value


Network = Annotated[str, _network]
Resolver = Annotated[str, _resolver]
DatabaseUrl = Annotated[str, _database_url]
MasterKey = Annotated[SecretStr, _master_key]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that a deployment can choose. Durations are seconds (`_s`), sizes bytes (`_bytes`)."""

    database_url: DatabaseUrl = setting(description="The control database, as the application's login role (NOINHERIT).")
    migration_database_url: DatabaseUrl | None = setting(
        default=None, description="The control database as the owning role; needed by `migrate` alone."
    )
    cells: dict[str, DatabaseUrl] = setting(
        default_factory=dict,
        description="Cells by name (JSON object of URLs, application role). Empty: one cell `default`, the control database.",
    )
    migration_cells: dict[str, DatabaseUrl] = setting(default_factory=dict, description="The same cells as the owning role.")
    master_key: MasterKey = setting(description="32 random bytes in base64. Every other key is derived from it.")
    master_keys_old: list[MasterKey] = setting(
        default_factory=list, description="Former master keys (JSON list): still open stored secrets, never close new ones."
    )

    base_domain: str = setting(default="localhost", description="Tenants live at `{slug}.{base_domain}`.")
    platform_hosts: list[str] = setting(
        default_factory=lambda: ["localhost", "127.0.0.1", "::1"],
        description="Hosts (JSON list) that are the platform's own: the operator's console and API, and tenants named by their credential.",
    )
    public_scheme: str = setting(
        default="http", pattern="^https?$", description="Scheme under which users reach the service: `http` or `https`."
    )
    public_port: int | None = setting(default=None, description="Port under which users reach the service, if not the scheme's own.")
    allow_tenant_header: bool = setting(
        default=False, description="Let `X-Tenant` name the tenant on the platform's host (on in embedded mode)."
    )
    trusted_proxies: int = setting(default=0, ge=0, description="Number of proxies in front whose X-Forwarded-* headers are believed.")

    access_token_lifetime_s: int = setting(default=900, gt=0, description="Life of an access token.")
    refresh_token_lifetime_s: int = setting(
        default=12 * 3600, gt=0, description="Life of a session: of a refresh token and all it is changed into."
    )
    invite_lifetime_s: int = setting(default=7 * 86400, gt=0, description="Life of an invitation.")
    sign_up_lifetime_s: int = setting(default=86400, gt=0, description="Life of the link in the mail that proves the address of a sign-up.")
    upload_lifetime_s: int = setting(default=86400, gt=0, description="After this time an unfinished upload is swept away.")
    max_json_bytes: int = setting(default=1 << 20, gt=0, description="Largest JSON body.")
    accel_prefix: str = setting(
        default="",
        pattern="^(/([A-Za-z0-9_-]+/)+)?$",
        description="Internal location (such as `/_bytes/`) from which nginx in front sends files by itself (`X-Accel-Redirect`). "
        "Empty: off. Only where every request comes through that nginx.",
    )
    archive_max_files: int = setting(default=10_000, gt=0, description="Most files in one ZIP archive.")
    body_timeout_s: int = setting(default=60, gt=0, description="Longest silence while a body is being received.")

    registry_lifetime_s: float = setting(
        default=5.0,
        gt=0,
        description="Least time for which a process believes what it knows of a tenant, at most twice that; six times as long while it "
        "surely hears of changes.",
    )
    registry_cache_entries: int = setting(default=4000, gt=0, description="Tenants (by slug, id or domain) that a process remembers.")
    registry_listen: bool = setting(
        default=True,
        description="Hear of changed tenants by NOTIFY, on one more connection per process. Off: what is known is believed for a second.",
    )
    listen_database_url: DatabaseUrl | None = setting(
        default=None, description="The control database past PgBouncer, for listening; default: the control database."
    )

    migrations_dir: str | None = setting(
        default=None, description="Folder with the chains `control`, `cell` and `tenant`; default: those of this installation."
    )
    migration_lock_timeout_s: float = setting(
        default=2.0, gt=0, description="Longest wait of a tenant's migration for a lock, then a retry."
    )
    migration_statement_timeout_s: float = setting(default=300.0, gt=0, description="Longest statement of a migration.")
    migration_attempts: int = setting(default=5, gt=0, description="Tries before a tenant's migration counts as failed.")
    migration_wait_s: float = setting(
        default=5.0, ge=0, description="How long a request waits for the migration of its tenant, if that is behind; then 503."
    )
    migrations_at_once: int = setting(
        default=2, ge=0, description="Migrations that the requests of one process may start at the same time; 0: none."
    )

    pool_size: int = setting(default=16, gt=0, description="Database connections per process and cell.")
    connection_max_tenants: int = setting(
        default=200,
        gt=0,
        description="Distinct tenants that a connection comes to know before another is used: PostgreSQL keeps up to 0.5 MiB for each.",
    )
    spread_tenants: bool = setting(
        default=True,
        description="Open connections, up to the pool's size, so that each tenant finds one that knows it. Workers never do.",
    )
    behind_pgbouncer: bool = setting(
        default=False, description="The databases are reached through PgBouncer in transaction mode; see the guide on running a fleet."
    )
    pool_timeout_s: float = setting(default=5.0, gt=0, description="Longest wait for a database connection, then 503.")
    statement_timeout_s: int = setting(default=30, gt=0, description="Longest statement of a request.")
    threads: int = setting(default=64, gt=1, description="Threads of an API process.")
    tenant_thread_share: float = setting(default=0.5, gt=0, le=1, description="Share of a process's threads that one tenant may hold.")
    api_processes: int = setting(default=2, gt=0, description="API processes started by `strongroom up`.")
    worker_processes: int = setting(default=3, gt=0, description="Worker processes started by `strongroom up`.")

    broker_url: str = setting(description="Celery's broker: `redis://…`, `amqp://…` or `sqla+postgresql+psycopg://…`.")
    rate_limit_storage: str = setting(
        default="memory://",
        pattern="^(memory://|shared:///.+|rediss?://.+|unix://.+)$",
        description="Where request rates are counted: `redis://…` by all processes together; `shared:///path/to/a/file` by those of this "
        "machine (`strongroom up` does); `memory://` by each process for itself.",
    )
    job_lease_s: int = setting(default=60, gt=2, description="A job whose worker has been silent for so long is given to another.")
    job_tenant_limit: int = setting(
        default=2, gt=0, description="Jobs of one tenant that may run at the same time; never all worker processes."
    )
    job_attempts: int = setting(default=8, gt=0, description="Tries before a job is parked for the operator.")
    dispatch_interval_s: float = setting(default=5.0, gt=0, description="How often lost job messages are looked for and sent again.")
    usage_delay_s: float = setting(default=1.0, ge=0, description="How long usage entries are gathered before they are rolled up.")

    smtp_host: str | None = setting(default=None, description="Server that takes mail. None: no mail is sent.")
    smtp_port: int = setting(default=587, gt=0, lt=65536, description="Port of that server.")
    smtp_security: str = setting(
        default="starttls",
        pattern="^(starttls|tls|none)$",
        description="`starttls`, `tls` (from the first byte, usually port 465), or `none`: only for a server on this machine.",
    )
    smtp_user: str | None = setting(default=None, description="User at the mail server, where it asks for one.")
    smtp_password: SecretStr | None = setting(default=None, description="That user's password.")
    smtp_ca_file: str | None = setting(
        default=None, description="File with the certificate authorities that the mail server is held against; default: the system's."
    )
    mail_from: str | None = setting(default=None, description="Sender of all mail; default: `no-reply@` and the base domain.")

    outbound_allow: list[Network] = setting(
        default_factory=list,
        description="Networks (JSON list, as `10.1.0.0/16`) that requests to addresses that tenants name may reach although not public.",
    )
    outbound_ports: list[int] = setting(
        default_factory=list, description="Ports (JSON list) that such requests may reach besides 80 and 443."
    )
    outbound_ca_file: str | None = setting(
        default=None, description="File with the certificate authorities that such requests trust; default: the system's."
    )
    imports_at_once: int = setting(
        default=2, gt=0, description="Imports by URL that run at the same time in a cell; each holds a worker for as long as it takes."
    )
    import_timeout_s: int = setting(default=3600, gt=0, description="Longest time that one try to import a file by its URL may take.")

    dns_resolvers: list[Resolver] = setting(
        default_factory=list,
        description="DNS resolvers (JSON list of `address` or `address:port`) that find the name servers of custom domains; "
        "default: the system's.",
    )
    dns_port: int = setting(default=DNS_PORT, gt=0, lt=MAX_PORT, description="Port at which name servers of custom domains are asked.")
    dns_timeout_s: float = setting(default=5.0, gt=0, le=60, description="Longest time for one look at the DNS record of a custom domain.")
    domain_limit: int = setting(default=20, ge=0, description="Custom domains that a tenant may have in its list.")
    domain_check_interval_s: int = setting(
        default=6 * 3600, gt=0, description="How often the DNS record of a proven custom domain is looked at again."
    )
    domain_grace_s: int = setting(
        default=72 * 3600, ge=0, description="A custom domain whose DNS record has been gone for so long, and at three looks, is let go."
    )
    domain_claim_lifetime_s: int = setting(
        default=30 * 86400, gt=0, description="Custom domains that nobody proved, or that were let go, are forgotten after so long."
    )

    clamd_address: str = setting(
        default="auto", description="`auto` (a socket in the usual places), `off`, a socket's path, or `host:port`."
    )
    scan_spool_dir: str | None = setting(
        default=None, description="Folder for archives while they are looked into, and for parts on their way; default: the system's."
    )
    reconcile_grace_s: int = setting(default=3600, ge=0, description="Bytes without a row are left alone for so long.")
    moved_bytes_kept_s: int = setting(
        default=6 * 3600, ge=0, description="Bytes that were moved to another provider stay at the old one for so long: downloads go on."
    )
    moved_tenant_kept_s: int = setting(
        default=3600, ge=0, description="What is left of a tenant in the cell that it was moved from is dropped after so long."
    )
    deletion_grace_days: int = setting(
        default=7, ge=0, le=3650, description="Days for which a deleted tenant can be restored before its data is removed. 0: at once."
    )
    export_lifetime_s: int = setting(default=3 * 86400, gt=0, description="An archive of a whole tenant is removed after so long.")
    isolation_probes_per_hour: int = setting(
        default=20,
        ge=0,
        description="Tenants whose walls are probed each hour, those first whose probe is longest ago. 0: none.",
    )
    access_log_retention_days: int = setting(
        default=90, gt=0, description="Days for which single accesses are kept; rolled-up usage stays."
    )
    metrics_token: SecretStr | None = setting(
        default=None, description="Bearer token for `/metrics`; without one it answers to this machine only."
    )
    log_format: str = setting(default="json", pattern="^(json|text)$", description="`json` or `text`.")

    def __post_init__(self) -> None:
        settle(self)

    def cell_urls(self) -> dict[str, str]:
        """Application URLs by cell name; never empty."""
        return dict(self.cells) or {"default": self.database_url}

    def migration_cell_urls(self) -> dict[str, str]:
        """Owner URLs by cell name; empty where this process may not migrate."""
        if self.migration_cells:
            return dict(self.migration_cells)
        return {"default": self.migration_database_url} if self.migration_database_url else {}

    def public_url(self, host: str, path: str = "") -> str:
        """Return the address under which users reach `path` on `host`."""
        shown = f"[{host}]" if ":" in host else host
        port = f":{self.public_port}" if self.public_port else ""
        return f"{self.public_scheme}://{shown}{port}{path}"

    def tenant_url(self, slug: str, path: str = "") -> str:
        """Return the address of a tenant's `path` under the base domain."""
        return self.public_url(f"{slug}.{self.base_domain}", path)


def load_settings(environ: Mapping[str, str] | None = None, **values: Any) -> Settings:
    """Read the settings from the environment, `values` taking precedence.

    Raises:
        ConfigurationError: a setting is unknown, missing or wrong; the text names each.
    """
    environ = os.environ if environ is None else environ
    names = {PREFIX + name.upper(): name for name in names_of(Settings)}
    unknown = {name for name in environ if name.startswith(PREFIX)} - names.keys() - NOT_SETTINGS
    unknown |= {PREFIX + name.upper() for name in values.keys() - names.values()}
    if unknown:
        raise ConfigurationError(f"Unknown setting: {', '.join(sorted(unknown))}. All settings are in docs/reference/settings.md.")
    given = {names[name.upper()]: value for name, value in environ.items() if name.upper() in names}
    try:
        return make(Settings, given | values)
    except WrongSettings as wrong:
        reasons = (f"{PREFIX}{name.upper()}: {reason}" for name, reason in wrong.reasons.items())
        raise ConfigurationError("; ".join(reasons)) from None
