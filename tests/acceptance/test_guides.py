"""The Python of the guides, taken from the pages as it stands, and run by a plain interpreter that finds no names of ours."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.client import Client
from tests.acceptance.deployment import Tenant
from tests.acceptance.waiting import wait_until
from tests.services.mail import MailServer

ROOT = Path(__file__).parents[2]
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
ELSEWHERE = "example.com"
"""What is in no deployment of the tests."""
FILM = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2\0\0\0\x08free\0\0\0\x10mdat" + bytes(8)
PICTURE = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xda\0\x08\1\1\0\0\x3f\0" + b"pixels" * 50 + b"\xff\xd9"


def examples(guide: str, port: int, *, first: int = 0, last: int | None = None) -> str:
    blocks = PYTHON.findall((ROOT / "docs" / "guides" / guide).read_text())
    assert len(blocks) > 3
    return "\n".join(block for block in blocks[first:last] if ELSEWHERE not in block).replace(":8000", f":{port}")


def run(script: str, folder: Path, tenant: Tenant) -> None:
    """Run it in a folder; the tenant of the guides is `acme`."""
    (folder / "guide.py").write_text(script.replace("acme", tenant.slug))
    command = [sys.executable, "guide.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False, env={"NO_PROXY": "*"})
    assert done.returncode == 0, done.stderr


@pytest.fixture
def key(owner: Client) -> str:
    made = owner.post("/api/v1/api-keys", json={"name": "guide", "scopes": ["admin"]})
    return str(made.json()["key"])


def test_ways_in(tenant: Tenant, owner: Client, key: str, tmp_path: Path) -> None:
    for name, data in (("film.mp4", FILM), ("a.jpg", PICTURE), ("b.jpg", PICTURE)):
        (tmp_path / name).write_bytes(data)
    run(f"KEY = {key!r}\n" + examples("uploads.md", owner.port), tmp_path, tenant)
    paths = [each["path"] for each in owner.files("media")]
    assert paths == ["2026/film.mp4", "2026/may/a.jpg", "2026/may/b.jpg", "numbers.txt"]


def test_ways_out(tenant: Tenant, owner: Client, key: str, tmp_path: Path) -> None:
    owner.bucket("site")
    film = owner.checked(owner.upload("media", "2026/film.mp4", FILM))
    owner.upload("media", "report.csv", b"a,b\n" * 1000)
    told = f"token, file_id, ids = {key!r}, {film['id']!r}, [{film['id']!r}]\n"
    run(told + examples("downloads.md", owner.port), tmp_path, tenant)
    assert (tmp_path / "film.mp4").read_bytes() == owner.download("media", "2026/film.mp4").content
    assert (tmp_path / "some.zip").read_bytes().startswith(b"PK")
    assert owner.get("/api/v1/buckets/site").json()["public"] is True


def test_sign_up(tenant: Tenant, owner: Client, key: str, tmp_path: Path, mail_server: MailServer) -> None:
    before = f"KEY = {key!r}\n" + examples("sign-up.md", owner.port, last=-1)
    run(before, tmp_path, tenant)
    ada = f"ada@{tenant.slug}.test"
    mail = wait_until(lambda: next((each for each in mail_server.mails if each.to == ada), None), 60, "the mail")
    link = next(line for line in str(mail.message.get_content()).splitlines() if "/console/signup/" in line)
    known = f"import requests\nlink = {link!r}\n" + examples("sign-up.md", owner.port, last=1)
    run(known + examples("sign-up.md", owner.port, first=-1), tmp_path, tenant)
    made = next(each for each in owner.get("/api/v1/users").json()["items"] if each["email"] == ada)
    assert (made["name"], made["role"], made["status"]) == ("Ada King", "viewer", "active")
