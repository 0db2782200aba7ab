"""The configuration of a ShareX custom uploader (https://getsharex.com/docs/custom-uploader). Knows no HTTP."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from strongroom.access import Principal, Scope
from strongroom.api_keys.service import create_api_key
from strongroom.buckets import repository as buckets
from strongroom.files.paths import check_path
from strongroom.runtime import Runtime
from tenants.models import Tenant

SCHEMA_VERSION = "15.0.0"  # the oldest ShareX whose schema this is; newer ones read it
KEY_NAME = "ShareX"
KEY_SCOPES = (Scope.FILES_WRITE, Scope.FILES_READ)
MEANT = re.compile(r"[\\{}|]")  # what ShareX's templates give a meaning


def make_key(runtime: Runtime, tenant: Tenant, principal: Principal) -> str:
    """Make an API key for ShareX, which may put and get files and nothing else; return its text."""
    _, text = create_api_key(runtime, tenant, principal, name=KEY_NAME, scopes=KEY_SCOPES)
    return text


def check_target(runtime: Runtime, tenant: Tenant, bucket: str, prefix: str) -> str:
    """See that ShareX will have a place to put files; return the prefix without slashes around it.

    Raises:
        NotFound, InvalidPath
    """
    with runtime.tenant(tenant) as connection:
        buckets.get_bucket(connection, bucket)
    bare = prefix.strip("/")
    return check_path(bare) if bare else ""


def configuration(runtime: Runtime, tenant: Tenant, *, bucket: str, prefix: str, key: str) -> dict[str, Any]:
    """Return the uploader that puts files under a prefix of a bucket, with this API key."""

    def url(path: str) -> str:
        return runtime.settings.tenant_url(tenant.slug, path)

    file_url = url("/api/v1/files/{json:items[0].id}")
    return {
        "Version": SCHEMA_VERSION,
        "Name": f"{tenant.name or tenant.slug}: {bucket}",
        "DestinationType": "ImageUploader, TextUploader, FileUploader",
        "RequestMethod": "POST",
        "RequestURL": url(f"/api/v1/objects/{quote(bucket, safe='')}"),
        "Headers": {"Authorization": f"Bearer {key}"},
        "Body": "MultipartFormData",
        **({"Arguments": {"prefix": literal(prefix)}} if prefix else {}),
        "FileFormName": "file",
        "URL": f"{file_url}/content",
        "ThumbnailURL": f"{file_url}/content",
        "DeletionURL": file_url,
        "ErrorMessage": "{json:detail}",
    }


def literal(text: str) -> str:
    """Return a text so that ShareX's templates take it as it is."""
    return MEANT.sub(lambda match: "\\" + match[0], text)
