"""Every way in which a file of any size gets in, as one function each: made on the fly, never on the client's disk."""

from __future__ import annotations

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from bench import sending
from bench.strongroom import BUCKET, Measured

PARALLEL_PARTS = 2


def put(ours: Measured, name: str, size: int) -> None:
    """PUT of known length."""
    sending.upload(ours.port, "PUT", ours.path(name), ours.headers, size)


def chunked(ours: Measured, name: str, size: int) -> None:
    """PUT in chunks, whose size nobody knows before its end."""
    sending.upload(ours.port, "PUT", ours.path(name), ours.headers, size, chunked=True)


def form(ours: Measured, name: str, size: int) -> None:
    """A form with one file."""
    sending.upload_form(ours.port, f"/api/v1/objects/{BUCKET}", ours.headers, name, size)


def tus(ours: Measured, name: str, size: int) -> None:
    """tus, in one PATCH."""
    path = base64.b64encode(name.encode()).decode()
    sending.tus(ours.port, f"/api/v1/tus?bucket={BUCKET}", ours.headers, size, metadata=f"filename {path}")


def direct(ours: Measured, name: str, size: int) -> None:
    """Parts to the URLs that the API gives, two at the same time.

    Raises:
        RuntimeError: the API refuses something.
    """
    client = ours.owner.again()
    begun = client.post("/api/v1/uploads", json={"bucket": BUCKET, "path": name, "size_bytes": size})
    if not begun.ok:
        raise RuntimeError(begun.text)
    upload = begun.json()
    with ThreadPoolExecutor(PARALLEL_PARTS) as pool:
        for start in range(0, len(upload["needed"]), 100):
            numbers = upload["needed"][start : start + 100]
            parts = client.post(f"/api/v1/uploads/{upload['id']}/parts", json={"numbers": numbers}).json()["parts"]
            list(pool.map(_part, parts))
    completed = client.post(f"/api/v1/uploads/{upload['id']}/complete", json={}, timeout=sending.PATIENCE_S)
    if not completed.ok:
        raise RuntimeError(completed.text)
    client.close()


def _part(part: dict[str, str]) -> None:
    host, _, path = part["url"].removeprefix("http://").partition("/")
    headers = {name: value for name, value in dict(part["headers"]).items() if name.lower() != "content-length"}
    port = int(host.rpartition(":")[2])
    sending.upload(port, "PUT", f"/{path}", {"Host": host, **headers}, int(part["size_bytes"]))


DOORS: dict[str, Callable[[Measured, str, int], None]] = {"put": put, "chunked": chunked, "form": form, "tus": tus, "direct": direct}
