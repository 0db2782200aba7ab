"""Rows out of an archive, as somebody hostile may have written them: held against what the database could not refuse by itself.

Each function takes a row whose columns are the declared ones and returns it as it is stored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

from strongroom.access import Role, Scope
from strongroom.auth.service import email_key
from strongroom.auth.tables import MAX_ISSUER, MAX_SUBJECT
from strongroom.db.ids import new_id
from strongroom.errors import DomainError, ExportRefused
from strongroom.files.paths import check_path
from strongroom.security.tokens import hash_secret, new_secret
from strongroom.takeout.content import Content
from strongroom.users.service import check_email

Row = dict[str, Any]
TYPE_PATTERN = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")
HEX_PATTERN = re.compile(r"[0-9a-f]{32,64}")
SHA256_PATTERN = re.compile(r"[0-9a-f]{64}")
MAX_TEXT = 400
MAX_METADATA_KEYS, MAX_METADATA_NAME, MAX_METADATA_VALUE = 50, 128, 1024
ROLES, SCOPES = frozenset(str(role) for role in Role), frozenset(str(scope) for scope in Scope)


def read_rows(content: Content, data: bytes, provider_id: UUID) -> list[Row]:
    """Return a member's rows as they are stored.

    Raises:
        ExportRefused: one of them is none of this table, or holds what may not be.
    """
    rows = []
    for number, line in enumerate(data.splitlines(), 1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or set(row) != set(content.columns):
                raise ExportRefused("It has other columns.")
            rows.append(CHECKS.get(content.table, _as_it_is)(row, provider_id))
        except (DomainError, ValueError, TypeError, KeyError, RecursionError) as error:
            reason = error.detail if isinstance(error, DomainError) else "It is no such row."
            raise ExportRefused(f"Row {number} of {content.table} is refused: {reason}") from None
    return rows


def _as_it_is(row: Row, _provider_id: UUID) -> Row:
    return row


def _user(row: Row, _provider_id: UUID) -> Row:
    """Nobody brings a password: whoever was not disabled is invited."""
    email = check_email(row["email"])
    if row["role"] not in ROLES or len(row["name"]) > MAX_TEXT:
        raise ExportRefused("Its role or name is none.")
    status = "disabled" if row["status"] == "disabled" else "invited"
    return {**row, "email": email, "email_key": email_key(email), "status": status, "password_hash": None, "invite_id": None}


def _identity(row: Row, _provider_id: UUID) -> Row:
    if not 0 < len(row["issuer"]) <= MAX_ISSUER or not 0 < len(row["subject"]) <= MAX_SUBJECT:
        raise ExportRefused("Its issuer or its subject is none.")
    return row


def _api_key(row: Row, _provider_id: UUID) -> Row:
    """A key's secret is not in the archive: its row stays for what it did, revoked, under a secret that nobody knows."""
    if len(row["name"]) > MAX_TEXT or not set(row["scopes"]) <= SCOPES:
        raise ExportRefused("Its name or its scopes are none.")
    revoked_at = row["revoked_at"] or row["used_at"] or row["created_at"]
    return {**row, "revoked_at": revoked_at, "secret_hash": "\\x" + hash_secret(new_secret()).hex(), "key_id": new_id().hex[-12:]}


def _bucket(row: Row, _provider_id: UUID) -> Row:
    if not all(isinstance(each, str) and len(each) < MAX_TEXT for each in row["allowed_types"]):
        raise ExportRefused("Its types are none.")
    return {**row, "used_bytes": 0, "used_files": 0}


def _file(row: Row, _provider_id: UUID) -> Row:
    metadata = row["metadata"]
    if check_path(row["path"]) != row["path"]:
        raise ExportRefused("Its path is not in NFC.")
    if not isinstance(metadata, dict) or len(metadata) > MAX_METADATA_KEYS:
        raise ExportRefused("Its metadata is none.")
    if any(not isinstance(v, str) or len(v) > MAX_METADATA_VALUE or not 0 < len(k) <= MAX_METADATA_NAME for k, v in metadata.items()):
        raise ExportRefused("Its metadata is none.")
    return row


def _version(row: Row, provider_id: UUID) -> Row:
    """No verdict is believed: each version is checked again here."""
    if not TYPE_PATTERN.fullmatch(row["content_type"]) or not HEX_PATTERN.fullmatch(row["etag"]):
        raise ExportRefused("Its type or its entity tag is none.")
    claimed = str((row["claims"] or {}).get("sha256", ""))
    unknown = dict.fromkeys(("engine", "signatures_at", "scanned_bytes", "reason", "checked_at", "sha256"))
    return {
        **row, **unknown, "provider_id": str(provider_id), "provider_tag": "", "status": "pending", "verdict": "pending",
        "claims": {"sha256": claimed} if SHA256_PATTERN.fullmatch(claimed) else {},
    }  # fmt: skip


def _event(row: Row, _provider_id: UUID) -> Row:
    if not isinstance(row["data"], dict) or not isinstance(row["actor"], dict):
        raise ExportRefused("Its data is none.")
    return row


CHECKS: dict[str, Callable[[Row, UUID], Row]] = {
    "users": _user, "identities": _identity, "api_keys": _api_key, "buckets": _bucket, "files": _file, "versions": _version,
    "events": _event,
}  # fmt: skip
