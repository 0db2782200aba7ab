"""The folder that holds one embedded deployment: its layout, its marker and its secrets.

    DIR/strongroom-state.json   marks the folder as ours, with the layout's version
    DIR/secrets.json            master key and database passwords (0600), made once
    DIR/postgres-superuser      the database superuser's password (0600), made by `EmbeddedPostgres`
    DIR/credentials.json        what the first start printed (0600), written by the command line
    DIR/pg/  files/  logs/  run/

Everything is private to the user who runs the deployment. When that is root, `EmbeddedPostgres` lets the database's own
system user pass through DIR to pg/ (group, execute only), and nothing else.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .errors import EmbeddedError
from .files import PRIVATE_DIR, TEMPORARY_SUFFIX, FileLock, write_private_json

__all__ = ["Secrets", "StateDir", "write_private_json"]

LAYOUT_VERSION = 1
_MARKER = "strongroom-state.json"
_LOCK = ".strongroom-state.lock"


@dataclass(frozen=True)
class Secrets:
    """`master_key`: 32 bytes, base64. `database_passwords`: by login role. Neither shows in a repr."""

    master_key: str = field(repr=False)
    database_passwords: Mapping[str, str] = field(repr=False)


class StateDir:
    """Paths of one deployment; nothing is touched before `create`."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.pg_dir = self.path / "pg"
        self.files_dir = self.path / "files"
        self.logs_dir = self.path / "logs"
        self.run_dir = self.path / "run"
        self.pg_data_dir = self.pg_dir / "data"
        self.pg_socket_dir = self.pg_dir / "socket"
        self.pg_secret_file = self.path / "postgres-superuser"
        self.secrets_file = self.path / "secrets.json"
        self.credentials_file = self.path / "credentials.json"
        self.supervisor_file = self.run_dir / "supervisor.json"

    def exists(self) -> bool:
        """Whether a deployment lives here."""
        return (self.path / _MARKER).is_file()

    def create(self) -> None:
        """Make the folder and its parts, or take them as they are: idempotent, never touches a foreign folder.

        Raises `EmbeddedError` when the path is a file, a non-empty foreign folder, of a newer layout, or not writable.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=PRIVATE_DIR)
            self._refuse_foreign()
            self._refuse_read_only()
            self._make_private(self.path)
            if not self.exists():
                write_private_json(self.path / _MARKER, {"layout": LAYOUT_VERSION, "created_at": datetime.now(UTC).isoformat()})
            for part in (self.pg_dir, self.files_dir, self.logs_dir, self.run_dir):
                part.mkdir(exist_ok=True, mode=PRIVATE_DIR)
                self._make_private(part)
        except (FileExistsError, NotADirectoryError) as error:
            raise EmbeddedError(f"{error.filename} is not a folder. Name another one with --state DIR.") from error
        except OSError as error:
            raise EmbeddedError(
                f"Cannot write to {self.path}: {error.strerror}. Check its owner and the disk, or name another folder with --state DIR."
            ) from error

    def load_secrets(self, roles: Iterable[str]) -> Secrets:
        """The deployment's secrets; made on first use and then the same for ever, with a password for each of `roles`.

        Atomic and durable: on return the file holds all that is returned. Refuses to make a new master key where the
        deployment's file is unreadable, since that would make everything encrypted under the old one unreadable.
        """
        with FileLock(self.path / _LOCK, purpose=f"The folder {self.path}", wait_s=10):
            stored = self._stored_secrets()
            passwords: dict[str, str] = dict(stored.get("database_passwords", {}))
            missing = [role for role in roles if role not in passwords]
            if missing or "master_key" not in stored:
                stored.setdefault("master_key", base64.b64encode(secrets.token_bytes(32)).decode())
                passwords.update({role: secrets.token_urlsafe(32) for role in missing})
                write_private_json(self.secrets_file, {**stored, "database_passwords": passwords})
        return Secrets(master_key=stored["master_key"], database_passwords=passwords)

    def _stored_secrets(self) -> dict[str, Any]:
        try:
            stored = json.loads(self.secrets_file.read_bytes())
        except FileNotFoundError:
            return self._no_secrets()
        except (OSError, ValueError) as error:
            raise EmbeddedError(
                f"{self.secrets_file} cannot be read ({error}). Restore it from a backup: without it the stored data cannot be opened."
            ) from error
        if not isinstance(stored, dict) or not isinstance(stored.get("master_key"), str):
            raise EmbeddedError(
                f"{self.secrets_file} holds no master key. Restore it from a backup: without it the stored data cannot be opened."
            )
        return stored

    def _no_secrets(self) -> dict[str, Any]:
        if self.pg_data_dir.exists():
            raise EmbeddedError(
                f"{self.secrets_file} is gone, but there is a database. Restore it from a backup: a new one could not open the stored data."
            )
        return {}

    def _refuse_foreign(self) -> None:
        if self.exists():
            layout = self._layout()
            if layout != LAYOUT_VERSION:
                raise EmbeddedError(
                    f"{self.path} has layout {layout}, this version knows {LAYOUT_VERSION}. Use the version of "
                    "Strongroom that made it, or a newer one."
                )
            return
        foreign = sorted(entry.name for entry in self.path.iterdir() if not _is_harmless(entry.name))
        if foreign:
            raise EmbeddedError(
                f"{self.path} is not empty and not a Strongroom state folder (it holds {foreign[0]!r}). Name an "
                "empty or new folder with --state DIR."
            )

    def _layout(self) -> object:
        try:
            return json.loads((self.path / _MARKER).read_bytes())["layout"]
        except (ValueError, KeyError, TypeError):
            return "unreadable"

    def _refuse_read_only(self) -> None:
        with tempfile.NamedTemporaryFile(dir=self.path, suffix=TEMPORARY_SUFFIX) as probe:
            probe.write(b"x")
            probe.flush()
            os.fsync(probe.fileno())

    @staticmethod
    def _make_private(path: Path) -> None:
        """0700, unless it is as `EmbeddedPostgres` leaves it for the database's user: to pass through by group."""
        if stat.S_IMODE(path.stat().st_mode) not in (PRIVATE_DIR, PRIVATE_DIR | stat.S_IXGRP):
            path.chmod(PRIVATE_DIR)


def _is_harmless(name: str) -> bool:
    """What may lie in a new folder: a fresh disk's lost+found, and what a start that was killed left behind."""
    return name in ("lost+found", _LOCK) or name.endswith(TEMPORARY_SUFFIX)
