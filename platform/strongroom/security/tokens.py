"""Purpose-bound tokens (JWT, HS256, RFC 7519), opaque cursors, and the secrets of API keys.

Each purpose has a key of its own (see keys.py), and the purpose also stands in the token: a download token is no
session, an invitation no password reset.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from typing import Any

import jwt

from strongroom.errors import InvalidCursor, TokenExpired, TokenInvalid

ALGORITHM = "HS256"
CURSOR_MAC_BYTES = 16


def sign(key: bytes, purpose: str, subject: str, lifetime_s: int, **claims: Any) -> str:
    """Return a token for `subject` that is good for `purpose` during `lifetime_s` seconds."""
    now = int(time.time())
    payload = {**claims, "purpose": purpose, "sub": subject, "iat": now, "exp": now + lifetime_s}
    return jwt.encode(payload, key, algorithm=ALGORITHM)


def verify(key: bytes, purpose: str, token: str) -> dict[str, Any]:
    """Return the claims of a token.

    Raises:
        TokenExpired: its time is over.
        TokenInvalid: it is not signed with this key, or is for another purpose, or is no token.
    """
    try:
        # Not by `iat`: the clock of the machine that signed it may be ahead of ours
        claims: dict[str, Any] = jwt.decode(
            token, key, algorithms=[ALGORITHM], options={"require": ["exp", "sub", "purpose"], "verify_iat": False}
        )
    except jwt.ExpiredSignatureError:
        raise TokenExpired from None
    except jwt.InvalidTokenError:
        raise TokenInvalid from None
    if claims["purpose"] != purpose:
        raise TokenInvalid
    return claims


def unverified_claims(token: str) -> dict[str, Any]:
    """Return what a token says, without believing it: only to find out with which key it must then verify.

    Raises:
        TokenInvalid: it is no token.
    """
    try:
        _head, payload, _signature = token.split(".")
        claims = json.loads(base64.b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise TokenInvalid from None
    if not isinstance(claims, dict):
        raise TokenInvalid
    return claims


def make_cursor(key: bytes, listing: str, position: list[Any]) -> str:
    """Return an opaque cursor: a position in one listing of one tenant, authenticated."""
    body = json.dumps(position, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(_cursor_mac(key, listing, body) + body).decode().rstrip("=")


def read_cursor(key: bytes, listing: str, cursor: str) -> list[Any]:
    """Return the position that `make_cursor` wrote.

    Raises:
        InvalidCursor: it is of another tenant or listing, or was altered.
    """
    try:
        raw = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
    except (binascii.Error, ValueError):
        raise InvalidCursor from None
    mac, body = raw[:CURSOR_MAC_BYTES], raw[CURSOR_MAC_BYTES:]
    if not hmac.compare_digest(mac, _cursor_mac(key, listing, body)):
        raise InvalidCursor
    position: list[Any] = json.loads(body)
    return position


def _cursor_mac(key: bytes, listing: str, body: bytes) -> bytes:
    return hmac.digest(key, listing.encode() + b"\0" + body, "sha256")[:CURSOR_MAC_BYTES]


def new_secret() -> str:
    """Return a random secret of 256 bits, of letters and digits only."""
    return secrets.token_hex(32)


def hash_secret(secret: str) -> bytes:
    """Return what is stored of a random secret; being random, it needs no slow hash."""
    return hashlib.sha256(secret.encode()).digest()


def secret_matches(stored: bytes, secret: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(stored, hash_secret(secret))
