"""One of everything that a tenant can have, made by its owner through the API; and what routes are sent about them."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from werkzeug.test import TestResponse

from strongroom.access import Role
from strongroom.db.ids import new_id
from strongroom.jobs import queue
from strongroom.probe.door import Door
from strongroom.probe.stage import SYSTEM, Party
from strongroom.runtime import Runtime
from strongroom.signup import service as signup
from strongroom.users import service as users
from strongroom.users.addresses import Mailbox
from tenants import repository, settings
from workers.handlers import handle

BUCKET, OTHER_BUCKET, PATH = "probe-bucket", "probe-other", "probe/secret.txt"
TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = {**TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
BOUNDARY = "probe"
DOMAIN = "strongroom-isolation-probe"  # claimed by a stand-in, never proven, and forgotten with it
CONNECTION = {"issuer": "https://probe.invalid", "client_id": "probe", "client_secret": "probe", "enabled": False}
FORM = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="f"; filename="secret.txt"\r\n\r\noverwritten\r\n--{BOUNDARY}--\r\n'
).encode()


class NotPlanted(Exception):
    """The stand-in's owner was refused something that it may do."""


SEND: dict[str, dict[str, Any]] = {
    "files.update_file": {"json": {"path": "stolen.txt"}},
    "files.presign": {"json": {}},
    "buckets.update_bucket": {"json": {"trash_days": 0}},
    "archives.post_archive": {"json": {"paths": [PATH]}},
    "users.update_user": {"json": {"name": "stolen"}},
    "objects.put_object": {"data": b"overwritten"},
    "objects.post_form": {"data": FORM, "content_type": f"multipart/form-data; boundary={BOUNDARY}"},
    "uploads.sign_parts": {"json": {"numbers": [1]}},
    "uploads.complete_upload": {"json": {}},
    "uploads.put_part": {"data": b"x"},
    "tus.get_offset": {"headers": TUS},
    "tus.append_to_upload": {"headers": CHUNK, "data": b"x"},
    "tus.terminate_upload": {"headers": TUS},
    "tus.override_method": {"headers": {**CHUNK, "X-HTTP-Method-Override": "PATCH"}, "data": b"x"},
    "own_providers.update_own_provider": {"json": {"config": {"bucket": "stolen"}}},
    "sso.update_connection": {"json": {"label": "stolen"}},
    "hosts.update_host": {"json": {"name": "stolen"}},
    "hosts.remove_host": {"query_string": {"keep_copies": "1"}},
    "console_files.archive": {"data": {"path": PATH}},
    "console_users.update": {"data": {"name": "stolen", "role": "viewer"}},
    "console_door.accept": {"data": {"name": "stolen", "password": "a password of some length"}},
    "console_signup.complete": {"data": {"name": "stolen", "password": "a password of some length"}},
}
"""By endpoint; what is not named here is sent nothing."""


def _get(answer: TestResponse, status: int) -> Any:
    if answer.status_code != status:
        raise NotPlanted(f"{answer.request.method} {answer.request.path}: {answer.status_code} {answer.get_data(as_text=True)[:200]}")
    return answer.get_json() if answer.data else None


def run_jobs(runtime: Runtime, party: Party, kind: str, **ids: str) -> int:
    """Do a stand-in's own jobs of a kind and of these ids, and what follows from them; no worker does. Return how many."""
    count = 0
    while mine := [job for job in waiting(runtime, party) if job.kind == kind and ids.items() <= job.ids.items()]:
        for job in mine:
            handle(runtime, job)
            with runtime.databases.cell(party.tenant.cell) as connection:
                queue.forget(connection, [job.id])
        count += len(mine)
    return count


def waiting(runtime: Runtime, party: Party) -> list[queue.Job]:
    """Return a stand-in's jobs."""
    with runtime.databases.cell(party.tenant.cell) as connection:
        return queue.of_tenant(connection, party.tenant.id)


def furnish(runtime: Runtime, door: Door, party: Party) -> None:
    """Give a stand-in one of everything.

    Raises:
        NotPlanted
    """
    host, owner, things = door.host(party.tenant), party.owner, party.things

    def ask(method: str, path: str, status: int, **options: Any) -> Any:
        return _get(door.ask(method, host, path, owner, **options), status)

    _files(ask, party)
    run_jobs(runtime, party, "files.check", version_id=things["version_id"])
    link = ask("POST", f"/api/v1/files/{things['file_id']}/presign", 200, json={})
    things["files.token"] = urlsplit(link["url"]).path.rpartition("/")[2]
    _uploads(ask, things)
    _export(runtime, ask, party)
    invited = users.invite_user(runtime, party.tenant, SYSTEM, email="guest@probe.invalid", role=Role.MEMBER)
    things["console_door.token"] = invited.token
    mailbox = Mailbox(f"{party.canary}@probe.invalid", f"{party.canary}@probe.invalid", "probe.invalid")
    things["console_signup.token"] = signup.make_token(runtime, party.tenant, mailbox, party.canary, asked_at=time.time())
    _provider(runtime, party)
    things["connection"] = f"probe-{new_id().hex[-12:]}"
    ask("PUT", f"/api/v1/tenant/sso/{things['connection']}", 201, json={**CONNECTION, "label": party.canary[:60]})
    things["domain"] = ask("POST", "/api/v1/tenant/domains", 201, json={"domain": f"{DOMAIN}-{new_id().hex[-12:]}.com"})["domain"]


Ask = Callable[..., Any]


def _files(ask: Ask, party: Party) -> None:
    things, secret = party.things, party.canary.encode()
    for name in (BUCKET, OTHER_BUCKET):
        ask("POST", "/api/v1/buckets", 201, json={"name": f"{name}-{things['api_key_id'][-6:]}"})
    things["bucket"], things["path"] = f"{BUCKET}-{things['api_key_id'][-6:]}", PATH
    url = f"/api/v1/objects/{things['bucket']}"
    gone = ask("PUT", f"{url}/probe/gone.txt", 201, data=secret)
    ask("DELETE", f"/api/v1/files/{gone['id']}", 204)
    unchecked = ask("PUT", f"{url}/probe/unchecked.txt", 201, data=secret)
    file = ask("PUT", f"{url}/{PATH}", 201, data=secret)
    things.update(
        file_id=file["id"], version_id=file["version_id"], etag=file["etag"], trashed=gone["id"], unchecked=unchecked["version_id"],
        unchecked_file=unchecked["id"],
    )  # fmt: skip


def _uploads(ask: Ask, things: dict[str, str]) -> None:
    begun = ask("POST", "/api/v1/uploads", 201, json={"bucket": things["bucket"], "path": "coming.txt", "size_bytes": 1})
    things["upload_id"], things["number"] = begun["id"], "1"
    things["part_token"] = parse_qs(urlsplit(begun["parts"][0]["url"]).query).get("token", [""])[0] if begun.get("parts") else ""
    names = {"bucket": things["bucket"], "path": "resumed.txt"}
    metadata = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in names.items())
    ask("POST", "/api/v1/tus", 201, headers={**TUS, "Upload-Length": "1", "Upload-Metadata": metadata})
    listed = ask("GET", "/api/v1/uploads", 200)["items"]
    things["tus.upload_id"] = next((each["id"] for each in listed if each["id"] != begun["id"]), begun["id"])


def _export(runtime: Runtime, ask: Ask, party: Party) -> None:
    made = ask("POST", "/api/v1/tenant/exports", 202)
    party.things["export_id"] = made["id"]
    run_jobs(runtime, party, "tenant.export", export_id=made["id"])
    link = ask("POST", f"/api/v1/tenant/exports/{made['id']}/link", 200)
    party.things["exports.token"] = urlsplit(link["url"]).path.rpartition("/")[2]


def _provider(runtime: Runtime, party: Party) -> None:
    """A provider that the stand-in brought, and a host there, which is paused; they lead nowhere."""
    provider_id = new_id()
    with runtime.databases.control() as connection:
        repository.insert_provider(
            connection, id=provider_id, name="probe", kind="filesystem", config={"root": f"/nonexistent/{party.canary}"},
            tenant_id=party.tenant.id, is_default=False,
        )  # fmt: skip
        host_id = new_id()
        host = {"name": "probe", "provider_id": str(provider_id), "enabled": False, "created_at": party.tenant.created_at.isoformat()}
        settings.change(connection, party.tenant.id, {"hosts": {str(host_id): host}}, actor={})
    party.things.update(provider_id=str(provider_id), host_id=str(host_id))


def find(things: dict[str, str], endpoint: str, argument: str) -> str | None:
    """Return the thing that a route's argument names; None where nothing was made that it could name."""
    if argument == "upload_id":
        return things["tus.upload_id" if endpoint.startswith("tus.") else "upload_id"]
    if argument == "token":
        return things.get(f"{endpoint.partition('.')[0]}.token")
    if endpoint in {"files.undelete_file", "console_trash.undelete", "console_trash.purge"} and argument == "file_id":
        return things["trashed"]
    return things.get(argument)


def unlike(thing: str, argument: str) -> str:
    """Return what has the same shape but is nobody's."""
    try:
        UUID(thing)
    except ValueError:
        pass
    else:
        return str(new_id())
    if argument == "number":
        return thing
    if argument == "domain":
        return f"{DOMAIN}-{new_id().hex[-12:]}.com"
    if argument == "token":  # another signature
        return thing[:-8] + "".join("A" if letter != "A" else "B" for letter in thing[-8:])
    return thing[:-6] + new_id().hex[-6:]
