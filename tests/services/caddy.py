"""Starts a real Caddy in front of a deployment, with the Caddyfile of docs/guides/domains.md, as long as a `with` block lasts.

Certificates come from Caddy's own authority instead of from a public one; else the file is the guide's, but for addresses.
"""

from __future__ import annotations

import contextlib
import re
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.services.processes import free_port, listens, running, wait_for

CADDY = Path(sys.executable).with_name("caddy")
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "domains.md"
GUIDES_UPSTREAM, GUIDES_HOST = "127.0.0.1:8000", "example.com"


@dataclass(frozen=True)
class CaddyService:
    """A running Caddy. `authority`: the certificate of its own authority, there after the first certificate."""

    port: int
    authority: Path
    log_path: Path


@contextlib.contextmanager
def caddy(folder: Path, upstream_port: int, platform_host: str) -> Iterator[CaddyService]:
    """Run Caddy on a port of its own, in front of `upstream_port`."""
    port, file, log_path = free_port(), folder / "Caddyfile", folder / "caddy.log"
    file.write_text(_configuration(folder, port, upstream_port, platform_host))
    command = ["env", f"HOME={folder}", f"XDG_DATA_HOME={folder}", f"XDG_CONFIG_HOME={folder}"]
    with running([*command, str(CADDY), "run", "--config", str(file), "--adapter", "caddyfile"], log_path) as process:
        wait_for(lambda: listens(port), process, log_path)
        yield CaddyService(port, folder / "data" / "pki" / "authorities" / "local" / "root.crt", log_path)


def _configuration(folder: Path, port: int, upstream_port: int, platform_host: str) -> str:
    block = re.findall(r"```caddyfile\n(.*?)```", GUIDE.read_text(), re.DOTALL)[0]
    assert block.count(GUIDES_UPSTREAM) > 1
    assert GUIDES_HOST in block
    ours = f"""admin off
    skip_install_trust
    local_certs
    auto_https disable_redirects
    https_port {port}
    default_bind 127.0.0.1
    storage file_system {folder}/data
"""
    block = block.replace(GUIDES_UPSTREAM, f"127.0.0.1:{upstream_port}").replace(GUIDES_HOST, platform_host)
    return block.replace("{\n", f"{{\n    {ours}", 1)


def trusting(authority: Path) -> ssl.SSLContext:
    """What a client needs that believes this authority alone."""
    return ssl.create_default_context(cafile=str(authority))
