"""ID tokens held against the rules (OpenID Connect Core 1.0, 3.1.3.7) by Authlib and joserfc, with a closed list of algorithms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strongroom.auth.tables import MAX_SUBJECT
from strongroom.sso.cache import Entry
from strongroom.sso.keys import KEY_TYPES, Keys, imported
from strongroom.sso.models import Trouble
from tenants.sso import Connection

UNHASHED = frozenset({"Ed25519"})
"""For these Authlib knows no hash by which the token could name the access token that came with it, which it need not."""
LEEWAY_S = 60
MAX_HEADER_BYTES = 8192


def read_id_token(entry: Entry, connection: Connection, token: Any, *, nonce: str, access_token: Any) -> dict[str, Any]:
    """Return the claims of an ID token that the connection's provider made for this very sign-in.

    Keys that are not known are looked for once.

    Raises:
        Trouble
    """
    from joserfc.errors import JoseError  # noqa: PLC0415 - not everybody needs it in memory

    if not isinstance(token, str):
        raise Trouble("It gave no ID token.")
    try:
        header = _header(token)
        claims = _verified(token, header, entry)
        _check_claims(claims, header, connection, nonce, access_token)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise Trouble(f"Its ID token is not valid: {_told(error)}") from None
    return claims


def _told(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__


def _header(token: str) -> Mapping[str, Any]:
    from joserfc.jws import extract_compact  # noqa: PLC0415 - not everybody needs it in memory

    if len(token) > 64 * 1024:
        raise Trouble("Its ID token is too long.")
    header = extract_compact(token.encode()).headers()
    if header.get("alg") not in KEY_TYPES:
        raise Trouble(f"Its ID token is signed with '{str(header.get('alg'))[:20]}'. Taken are: {', '.join(KEY_TYPES)}.")
    return header


def _verified(token: str, header: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    from joserfc import jwt  # noqa: PLC0415 - not everybody needs it in memory

    published = entry.keys()
    key = _find(published, header)
    if key is None:
        key = _find(entry.keys(but=published), header)
    if key is None:
        raise Trouble("Its ID token is signed with a key that it does not publish.")
    return dict(jwt.decode(token, key, registry=_registry()).claims)


def _find(published: Keys, header: Mapping[str, Any]) -> Any:
    """Return the key that a header names; the only one of its type where it names none (OpenID Connect Core 1.0, 10.1)."""
    fit = [each for each in published if each["kty"] == KEY_TYPES[header["alg"]]]
    if "kid" in header:
        fit = [each for each in fit if each.get("kid") == header["kid"]]
    return imported(fit[0]) if len(fit) == 1 else None


def _registry() -> Any:
    from joserfc.jws import JWSRegistry  # noqa: PLC0415 - not everybody needs it in memory

    class Registry(JWSRegistry):
        """Our algorithms alone. Headers may be long, and of names that nobody registered: they decide nothing."""

        max_header_length = MAX_HEADER_BYTES

        def get_alg(self, name: str) -> Any:
            """Return an algorithm of our list. (EdDSA is one although RFC 9864 gives it a new name.)"""
            if name not in KEY_TYPES:
                raise ValueError("this algorithm is not taken")
            return self.algorithms[name]

    return Registry(algorithms=list(KEY_TYPES), strict_check_header=False)


def _check_claims(claims: dict[str, Any], header: Mapping[str, Any], connection: Connection, nonce: str, access_token: Any) -> None:
    from authlib.oidc.core.claims import CodeIDToken  # noqa: PLC0415 - not everybody needs it in memory

    options: Any = {
        "iss": {"essential": True, "value": connection.issuer}, "aud": {"essential": True, "value": connection.client_id},
        "sub": {"essential": True}, "exp": {"essential": True}, "iat": {"essential": True}, "nonce": {"essential": True, "value": nonce},
    }  # fmt: skip
    hashed = access_token if isinstance(access_token, str) and header["alg"] not in UNHASHED else None
    params = {"nonce": nonce, "client_id": connection.client_id, "access_token": hashed}
    checked = CodeIDToken(claims, dict(header), options, params)
    checked.validate(leeway=LEEWAY_S)
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
        raise ValueError("its subject is none")
    if claims["nonce"] != nonce:
        raise ValueError("its nonce is another")
