"""What a provider is asked, all of it through the guard before addresses that tenants name: bounded in time and in size.

Redirects are not followed: a provider's documents are where it says they are, and a hop could leave TLS on its way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus, urlencode

from strongroom.errors import OutboundRefused, SourceRefused, SourceUnavailable
from strongroom.security.outbound import Limits, Outbound
from strongroom.sso.models import Provider, Trouble
from strongroom.tenant_settings.sso_schemas import is_safe_url

MAX_BYTES = 256 * 1024
LIMITS = Limits(connect_s=5, silence_s=5, total_s=10, max_bytes=MAX_BYTES, redirects=0)
OK, REDIRECTED, ERROR = 200, 300, 500
MAX_ENDPOINT = 2048
BASIC, POST = "client_secret_basic", "client_secret_post"


class Reply:
    """An answer read to its end; it has what Authlib asks of one."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status_code, self._body = status, body

    def json(self) -> Any:
        """Return the answer's document.

        Raises:
            ValueError
        """
        try:
            return json.loads(self._body)
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def raise_for_status(self) -> None:
        """Complain of an answer that tells of no success.

        Raises:
            Trouble
        """
        if self.status_code != OK:
            raise Trouble(f"It answered with status {self.status_code}.")


def ask(outbound: Outbound, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Reply:
    """Send a request to a provider and read the whole answer.

    Raises:
        Trouble
    """
    if not is_safe_url(url):
        raise Trouble(f"{url[:200]} is no https address.")
    sent = {"Accept": "application/json", **(headers or {})}
    try:
        with outbound.open(url, method=method, headers=sent, body=body, limits=LIMITS) as answer:
            whole = bytearray()
            while data := answer.read(64 * 1024):
                whole += data
            return Reply(answer.status, bytes(whole))
    except (OutboundRefused, SourceRefused, SourceUnavailable) as error:
        raise Trouble(error.detail) from None


def document(outbound: Outbound, url: str, **options: Any) -> dict[str, Any]:
    """Return the JSON object that lies at a URL.

    Raises:
        Trouble
    """
    reply = ask(outbound, url, **options)
    reply.raise_for_status()
    try:
        found = reply.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Trouble("What it answered is no JSON object.")
    return found


def discover(outbound: Outbound, issuer: str) -> Provider:
    """Return what a provider says of itself (OpenID Connect Discovery 1.0, 4).

    Raises:
        Trouble
    """
    from authlib.oidc.discovery import get_well_known_url  # noqa: PLC0415 - not everybody needs it in memory

    found = document(outbound, get_well_known_url(issuer, external=True))
    if found.get("issuer") != issuer:
        raise Trouble(f"It calls itself '{str(found.get('issuer'))[:200]}', and not '{issuer}'.")
    methods = found.get("token_endpoint_auth_methods_supported")
    userinfo = found.get("userinfo_endpoint")
    return Provider(
        issuer, _endpoint(found, "authorization_endpoint"), _endpoint(found, "token_endpoint"), _endpoint(found, "jwks_uri"),
        userinfo_endpoint=None if userinfo is None else _endpoint(found, "userinfo_endpoint"),
        token_auth=tuple(each for each in (BASIC, POST) if not isinstance(methods, list) or each in methods) or (BASIC,),
        sends_issuer=found.get("authorization_response_iss_parameter_supported") is True,
    )  # fmt: skip


def _endpoint(found: Mapping[str, Any], name: str) -> str:
    url = found.get(name)
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or not is_safe_url(url):
        raise Trouble(f"Its {name} is no https address.")
    if len(url) > MAX_ENDPOINT:
        raise Trouble(f"Its {name} is longer than {MAX_ENDPOINT:,} characters.")
    return url


class GuardedSession:
    """What Authlib sends token requests by: one request through the guard."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound

    def post(self, url: str, data: Mapping[str, str], headers: Mapping[str, str], auth: Any) -> Reply:
        """Send a form, with the client's credentials put in by Authlib.

        Raises:
            Trouble
        """
        url, sent, body = auth.prepare("POST", url, dict(headers), urlencode(data))
        return ask(self._outbound, url, method="POST", headers=sent, body=body.encode())


def basic_auth(client: Any, _method: str, uri: str, headers: dict[str, str], body: str) -> tuple[str, dict[str, str], str]:
    """Put the client's credentials into `Authorization`, each form-encoded first (RFC 6749, 2.3.1), which Authlib leaves out."""
    from authlib.oauth2.auth import encode_client_secret_basic  # noqa: PLC0415 - not everybody needs it in memory

    class Encoded:
        client_id, client_secret = quote_plus(client.client_id), quote_plus(client.client_secret)

    encoded: tuple[str, dict[str, str], str] = encode_client_secret_basic(Encoded, _method, uri, headers, body)
    return encoded
