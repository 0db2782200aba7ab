"""Making a PostgreSQL cluster: whole or not at all.

initdb works in a temporary folder beside the data folder, which is renamed when it is done: a kill at any moment leaves
either no cluster or a finished one. Source: https://www.postgresql.org/docs/18/app-initdb.html
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from .access import POSTGRES_VERSION, Account, minimal_environment, open_programs, open_way_to, program
from .errors import EmbeddedError
from .files import PRIVATE_FILE, sync_dir, write_private
from .process import launched

SUPERUSER = "postgres"
INITDB_TIMEOUT_S = 180
_OPTIONS = (
    f"--username={SUPERUSER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--data-checksums",
    "--no-instructions",
)


def exists(data_dir: Path) -> bool:
    """Whether there is a cluster that this PostgreSQL can run. Raises `EmbeddedError` where there is something else."""
    try:
        version = (data_dir / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        if data_dir.exists() and any(data_dir.iterdir()):
            raise EmbeddedError(f"{data_dir} is not empty and holds no PostgreSQL cluster. Move it away or name another folder.") from None
        return False
    except OSError as error:
        raise EmbeddedError(f"Cannot read {data_dir}: {error.strerror}. Run this as the user who made it.") from error
    if version != str(POSTGRES_VERSION):
        raise EmbeddedError(
            f"{data_dir} was made by PostgreSQL {version}, this is {POSTGRES_VERSION}. Dump it with the old version and load it here."
        )
    return True


def stored_password(secret_file: Path) -> str | None:
    """The superuser's password, if it was made already."""
    try:
        return secret_file.read_text().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EmbeddedError(f"Cannot read {secret_file}: {error.strerror}. Run this as the user who made it.") from error


def superuser_password(secret_file: Path, data_dir: Path) -> str:
    """The same, made and stored if need be: before the cluster is, so that a cluster never exists without it."""
    password = stored_password(secret_file)
    if password is not None:
        return password
    if (data_dir / "PG_VERSION").exists():
        raise EmbeddedError(f"{secret_file} is gone, but the database needs it. Restore it from a backup.")
    password = secrets.token_urlsafe(32)
    write_private(secret_file, password.encode() + b"\n")
    return password


def remove_unfinished(data_dir: Path) -> None:
    """Remove what a killed `create` left; as far as that goes, since its initdb may just be ending: then next time."""
    for leftover in data_dir.parent.glob(f"{_unfinished_prefix(data_dir)}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _unfinished_prefix(data_dir: Path) -> str:
    return f".{data_dir.name}.init-"


def create(data_dir: Path, account: Account, password: str) -> None:
    """Make the cluster; durable on return. The caller makes sure that only one process does this at a time."""
    open_programs(account)
    workplace = Path(tempfile.mkdtemp(prefix=_unfinished_prefix(data_dir), dir=data_dir.parent))
    try:
        os.chown(workplace, account.uid, account.gid)
        open_way_to(workplace, account)
        _initdb(workplace, account, password)
        (workplace / "data").rename(data_dir)
        sync_dir(data_dir.parent)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def _initdb(workplace: Path, account: Account, password: str) -> None:
    password_file = workplace / "password"
    password_file.touch(mode=PRIVATE_FILE)
    os.chown(password_file, account.uid, account.gid)
    password_file.write_text(password)
    command = [program("initdb"), *_OPTIONS, f"--pwfile={password_file}", f"--pgdata={workplace / 'data'}"]
    try:
        result = subprocess.run(  # noqa: S603  (our own command, without a shell)
            launched(command, user=account.name, death_signal=signal.SIGTERM),
            env=minimal_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INITDB_TIMEOUT_S,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise EmbeddedError(f"initdb did not finish within {INITDB_TIMEOUT_S} s. Check the disk.") from error
    if result.returncode != 0:
        raise EmbeddedError(f"initdb failed in {workplace}: {result.stderr.strip() or result.stdout.strip()}")
