"""The others that are measured: servers from npm and nginx, each for as long as a `with` block lasts.

npm packages go into bench/.node, which git ignores; Debian packages: nginx-light, nodejs, npm.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.services.processes import free_port, listens, running, wait_for
from tests.services.s3server import S3Server

FOLDER = Path(__file__).parent / ".node"
SCRIPTS = Path(__file__).parent / "node"
PACKAGES = (
    "@tus/server@2.4.5", "@tus/file-store@2.1.1", "@tus/s3-store@2.0.7", "express@5.3.0", "busboy@1.6.0",
    "@aws-sdk/client-s3@3.1169.0", "@aws-sdk/lib-storage@3.1169.0",
)  # fmt: skip


@dataclass(frozen=True)
class Peer:
    """A running peer: where it listens and its first process."""

    port: int
    pid: int


def install_node_packages() -> None:
    """Bring the npm packages, once."""
    mark, wanted = FOLDER / "installed", "\n".join(PACKAGES)
    if mark.exists() and mark.read_text() == wanted:
        return
    FOLDER.mkdir(exist_ok=True)
    options = ["--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--loglevel", "error"]
    subprocess.run(["npm", "install", "--prefix", str(FOLDER), *options, *PACKAGES], check=True)
    mark.write_text(wanted)


@contextlib.contextmanager
def _node(script: str, log: Path, **environment: str) -> Iterator[Peer]:
    install_node_packages()
    target = FOLDER / script  # a module finds its packages from the folder that it lies in
    target.write_text((SCRIPTS / script).read_text())
    port = free_port()
    words = [f"{name}={value}" for name, value in {"PORT": str(port), "NODE_ENV": "production", **environment}.items()]
    with running(["env", *words, "node", str(target)], log) as process:
        wait_for(lambda: listens(port), process, log)
        yield Peer(port, process.pid)


@contextlib.contextmanager
def tus_server(folder: Path) -> Iterator[Peer]:
    """@tus/server with its file store in a folder; uploads at /files."""
    (folder / "tus").mkdir()
    with _node("tus-files.mjs", folder / "tus.log", FOLDER=str(folder / "tus")) as peer:
        yield peer


@contextlib.contextmanager
def tus_s3_server(folder: Path, s3: S3Server) -> Iterator[Peer]:
    """@tus/server with its S3 store; uploads at /files."""
    with _node("tus-s3.mjs", folder / "tus-s3.log", S3=json.dumps(_s3(s3))) as peer:
        yield peer


@contextlib.contextmanager
def express_s3(folder: Path, s3: S3Server) -> Iterator[Peer]:
    """express, busboy and @aws-sdk/lib-storage: forms at /upload."""
    with _node("express-s3.mjs", folder / "express.log", S3=json.dumps(_s3(s3))) as peer:
        yield peer


def _s3(s3: S3Server) -> dict[str, str]:
    return {"endpoint": s3.endpoint_url, "bucket": s3.bucket, "key": s3.access_key_id, "secret": s3.secret_access_key}


@contextlib.contextmanager
def nginx_files(folder: Path, files: Path) -> Iterator[Peer]:
    """nginx over a folder: GET by sendfile, PUT by its DAV module with a body buffer of 1 MiB."""
    port, conf, log = free_port(), folder / "files.conf", folder / "files.log"
    user = "user root;" if os.geteuid() == 0 else ""
    paths = "\n".join(f"{kind}_temp_path {folder}/body;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf.write_text(f"""{user} daemon off; worker_processes 2; pid {folder}/files.pid; error_log {log} warn;
events {{ worker_connections 256; }}
http {{
    access_log off; sendfile on; {paths}
    server {{
        listen 127.0.0.1:{port}; root {files}; dav_methods PUT; create_full_put_path on;
        client_max_body_size 0; client_body_buffer_size 1m;
    }}
}}
""")
    with running(["/usr/sbin/nginx", "-c", str(conf), "-p", str(folder), "-e", str(log)], log) as process:
        wait_for(lambda: listens(port), process, log)
        try:
            yield Peer(port, process.pid)
        finally:
            process.terminate()  # its workers end with it, which a kill would not do
            process.wait(20)
