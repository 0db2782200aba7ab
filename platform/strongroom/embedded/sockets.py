"""Where the database's Unix socket goes."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from .errors import EmbeddedError

PORT = 5432  # only names the socket
_NAME = f".s.PGSQL.{PORT}"
_MAX_BYTES = 107 - len(f"/{_NAME}.lock")  # sun_path, unix(7)
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9_./+@=-]*")  # libpq and the server both split lists of paths at commas
_SHORT_ROOTS = (Path("/run"), Path("/tmp"))  # noqa: S108  (a private folder inside, checked for its owner)


def usable_dir(wanted: Path, data_dir: Path) -> Path:
    """`wanted`, or where no socket can have that path a short folder that follows from `data_dir` and the user alone.

    Not under XDG_RUNTIME_DIR: that goes away when the user logs out, and differs between a shell and cron.
    """
    if len(os.fsencode(wanted)) <= _MAX_BYTES and _PLAIN_PATH.fullmatch(str(wanted)):
        return wanted
    usable = [root for root in _SHORT_ROOTS if os.access(root, os.W_OK | os.X_OK)]
    if not usable:
        raise EmbeddedError(f"{wanted} is too long for a socket, and neither /run nor /tmp can be written. Use a shorter path.")
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return usable[0] / f"strongroom-{os.geteuid()}-{digest}"


def remove_stale(socket_dir: Path) -> None:
    """Remove the socket of a server that was killed: as a zombie it would still count as its owner.

    Only when no process of the cluster is left.
    """
    for name in (_NAME, f"{_NAME}.lock"):
        (socket_dir / name).unlink(missing_ok=True)
