"""The quick way from a file to JSON says the same as the fields that describe it."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest
from flask import Flask
from marshmallow import Schema
from strongroom.files.models import File, Scan, Status, Verdict
from strongroom.files.schemas import FilePage, FileSchema, TrashedFileSchema
from strongroom.http.json import StrictJSON

AT = datetime(2026, 3, 1, 12, 30, 5, 123, UTC)
CHECKED = File(
    id=uuid4(), bucket="media", bucket_id=uuid4(), path="ö/日本.txt", size_bytes=2**40, content_type="text/plain",
    detected_type="text/plain",
    fingerprint="ab", blake3="cd", sha256="ef", status=Status.AVAILABLE, scan=Scan(Verdict.CLEAN, "clamd", AT, 12, None),
    version_id=uuid4(),
    provider_id=uuid4(), etag="tag", metadata={"a": "b", "n": ""}, created_by=uuid4(), uploaded_by=None, created_at=AT,
    updated_at=AT.replace(microsecond=0).astimezone(timezone(timedelta(hours=2))), deleted_at=AT, purge_at=AT, version_created_at=AT,
    public=False,
)  # fmt: skip
BARE = dataclasses.replace(
    CHECKED, fingerprint=None, blake3=None, sha256=None, created_by=None, metadata={}, status=Status.REJECTED,
    scan=Scan(Verdict.UNSCANNED, None, None, None, "encrypted"),
)  # fmt: skip


@pytest.mark.parametrize("file", [CHECKED, BARE], ids=["checked", "bare"])
def test_it_says_the_same_as_the_fields(file: File) -> None:
    write = StrictJSON(Flask(__name__)).dumps
    by_fields = json.dumps(Schema.dump(FileSchema(), file), ensure_ascii=False, separators=(",", ":"))
    assert write(FileSchema().dump(file)) == by_fields
    page = FilePage().dump({"items": [file], "prefixes": [], "next_cursor": None})
    assert write(page["items"]) == f"[{by_fields}]"


def test_times_are_written_alike_where_the_quick_writer_gives_up() -> None:
    write = StrictJSON(Flask(__name__)).dumps
    assert json.loads(write({"at": AT, "half": "\ud800"})) == {"at": AT.isoformat(), "half": "\ud800"}


def test_other_forms_go_by_the_fields() -> None:
    assert set(FileSchema(only=("id", "path")).dump(BARE)) == {"id", "path"}
    assert TrashedFileSchema().dump(BARE)["deleted_at"] == AT.isoformat()
