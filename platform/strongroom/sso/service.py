"""The way through an identity provider: authorisation code with PKCE, state and nonce. Knows no HTTP of its own.

What must come back unchanged is in a token that the browser keeps: which connection, of which issuer and client, where to go
after. Nonce and verifier are not even in there; both follow from the sign-in's id by a key of the tenant's.
"""

from __future__ import annotations

import base64
import hmac
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from strongroom.auth import service as sessions
from strongroom.auth.models import SessionGrant
from strongroom.errors import (
    NotFound,
    SsoFailed,
    SsoNotReady,
    SsoStateInvalid,
    SsoUnavailable,
    TokenExpired,
    TokenInvalid,
)
from strongroom.runtime import Runtime
from strongroom.security.tokens import sign, verify
from strongroom.sso import fetching, repository
from strongroom.sso.cache import Entry, cache_of
from strongroom.sso.id_tokens import read_id_token
from strongroom.sso.models import Flow, Person, Provider, Trouble
from strongroom.sso.people import user_for
from tenants import sso
from tenants.models import Tenant
from tenants.sso import Connection

log = logging.getLogger(__name__)
PURPOSE = "oidc"
LIFETIME_S = 600
CONSOLE, TOKEN = "console", "token"
MODES = (CONSOLE, TOKEN)
MAX_NAME, MAX_EMAIL, MAX_REASON = 200, 320, 200
DENIED, WRONG_CLIENT = "access_denied", "invalid_client"
ENTRA, ENTRA_VERIFIED = "login.microsoftonline.com", "xms_edov"


def offered(runtime: Runtime, tenant: Tenant) -> list[Connection]:
    """Return the connections by which somebody can come in now: enabled, with their secret."""
    enabled = [each for each in sso.connections_of(vars(tenant.settings.sso)) if each.enabled]
    if not enabled:
        return []
    with runtime.databases.control() as connection:
        ready = sso.secrets_of(connection, runtime.keys, tenant.id, enabled)
    return [each for each in enabled if each.name in ready]


def begin(
    runtime: Runtime, tenant: Tenant, name: str, *, redirect_uri: str, mode: str, after: str | None, prompt: str | None = None
) -> tuple[str, str]:
    """Begin a sign-in; return where to send the browser, and the token that it must bring back. `prompt`: what to ask of people there.

    Raises:
        NotFound: there is no such connection, or it is off.
        SsoNotReady, SsoUnavailable
    """
    connection, _ = _connection(runtime, tenant, name)
    flow = Flow(uuid4(), name, connection.issuer, connection.client_id, mode, after)
    try:
        provider = cache_of(runtime).of(tenant, connection).provider()
    except Trouble as trouble:
        raise _unavailable(tenant, connection, trouble) from None
    client = _client(runtime, connection, provider, redirect_uri, "")
    url, _state = client.create_authorization_url(
        provider.authorization_endpoint, state=flow.id.hex, code_verifier=_derived(runtime, tenant, flow, "verifier"),
        nonce=_derived(runtime, tenant, flow, "nonce"), prompt=prompt,
    )  # fmt: skip
    claims = {"con": name, "iss": flow.issuer, "cid": flow.client_id, "mode": mode, "next": after}
    return url, sign(runtime.keys.tenant_key(tenant.id, PURPOSE), PURPOSE, flow.id.hex, LIFETIME_S, **claims)


def read_flow(runtime: Runtime, tenant: Tenant, token: str | None) -> Flow:
    """Return the sign-in that a browser has begun.

    Raises:
        SsoStateInvalid: it has begun none, or too long ago, or elsewhere.
    """
    try:
        claims = verify(runtime.keys.tenant_key(tenant.id, PURPOSE), PURPOSE, token or "")
        return Flow(UUID(claims["sub"]), claims["con"], claims["iss"], claims["cid"], claims["mode"], claims["next"])
    except (TokenExpired, TokenInvalid, KeyError, ValueError):
        raise SsoStateInvalid from None


def finish(
    runtime: Runtime, tenant: Tenant, flow: Flow, name: str, answer: Mapping[str, str], *, redirect_uri: str, user_agent: str,
    remote_addr: str,
) -> SessionGrant:  # fmt: skip
    """Take a provider's answer, once, and begin a session for whom it has signed in.

    Raises:
        SsoStateInvalid: the answer is none to this sign-in, or came before.
        NotFound, SsoNotReady: the connection has gone meanwhile.
        SsoFailed: the provider has not signed anybody in.
        SsoUnavailable: what it says does not hold.
        SsoRefused, QuotaExceeded: this person does not come in.
    """
    if flow.connection != name or not hmac.compare_digest(answer.get("state", "").encode(), flow.id.hex.encode()):
        raise SsoStateInvalid
    connection, secret = _connection(runtime, tenant, name)
    if (connection.issuer, connection.client_id) != (flow.issuer, flow.client_id):
        raise SsoStateInvalid("The connection was changed meanwhile. Begin again.")
    with runtime.tenant(tenant) as database:
        if not repository.spend(database, flow.id, datetime.now(UTC) + timedelta(seconds=LIFETIME_S)):
            raise SsoStateInvalid
    try:
        person = _person(runtime, tenant, connection, secret, flow, answer, redirect_uri)
    except Trouble as trouble:
        raise _unavailable(tenant, connection, trouble) from None
    with runtime.tenant(tenant) as database:
        user_id = user_for(database, tenant, connection, person)
        kind = "console" if flow.mode == CONSOLE else "api"
        return sessions.begin_session(runtime, tenant, database, user_id, kind=kind, user_agent=user_agent, remote_addr=remote_addr)


def _connection(runtime: Runtime, tenant: Tenant, name: str) -> tuple[Connection, str]:
    connection = sso.enabled_connection(tenant, name)
    if connection is None:
        raise NotFound("There is no such way to sign in.")
    with runtime.databases.control() as database:
        secret = sso.secrets_of(database, runtime.keys, tenant.id, [connection]).get(name)
    if secret is None:
        raise SsoNotReady
    return connection, secret


def _unavailable(tenant: Tenant, connection: Connection, trouble: Trouble) -> SsoUnavailable:
    log.warning(
        "an identity provider does not answer as it should",
        extra={"tenant_id": str(tenant.id), "connection": connection.name, "reason": str(trouble)},
    )
    return SsoUnavailable()


def _client(runtime: Runtime, connection: Connection, provider: Provider, redirect_uri: str, secret: str) -> Any:
    from authlib.oauth2.client import OAuth2Client  # noqa: PLC0415 - not everybody needs it in memory

    made: Any = OAuth2Client(
        fetching.GuardedSession(runtime.outbound), connection.client_id, secret, scope=" ".join(connection.scopes),
        redirect_uri=redirect_uri, code_challenge_method="S256", token_endpoint=provider.token_endpoint,
    )  # fmt: skip
    made.register_client_auth_method((fetching.BASIC, fetching.basic_auth))
    return made


def _derived(runtime: Runtime, tenant: Tenant, flow: Flow, purpose: str) -> str:
    """Return a secret of one sign-in: 43 letters, as many as a verifier needs (RFC 7636, 4.1)."""
    key = runtime.keys.tenant_key(tenant.id, f"{PURPOSE} {purpose}")
    return base64.urlsafe_b64encode(hmac.digest(key, flow.id.bytes, "sha256")).decode().rstrip("=")


def _person(
    runtime: Runtime, tenant: Tenant, connection: Connection, secret: str, flow: Flow, answer: Mapping[str, str], redirect_uri: str
) -> Person:
    entry = cache_of(runtime).of(tenant, connection)
    provider = entry.provider()
    _check_answer(provider, answer)
    verifier = _derived(runtime, tenant, flow, "verifier")
    token = _exchange(_client(runtime, connection, provider, redirect_uri, secret), provider, answer["code"], verifier)
    nonce = _derived(runtime, tenant, flow, "nonce")
    claims = read_id_token(entry, connection, token.get("id_token"), nonce=nonce, access_token=token.get("access_token"))
    if "email" not in claims and provider.userinfo_endpoint is not None:
        claims = _userinfo(runtime, provider, claims["sub"], token.get("access_token"))
    return to_person(connection.issuer, claims)


def _check_answer(provider: Provider, answer: Mapping[str, str]) -> None:
    """See who answers (RFC 9207), and what.

    Raises:
        Trouble: it is another provider.
        SsoFailed: nobody was signed in.
    """
    if ("iss" in answer or provider.sends_issuer) and answer.get("iss") != provider.issuer:
        raise Trouble("The answer is another provider's.")
    if answer.get("error") == DENIED:
        raise SsoFailed("The sign-in was cancelled, or the identity provider does not let you use this application.")
    if "error" in answer:
        raise SsoFailed(f"The identity provider says: {_readable(answer.get('error_description') or answer['error'])}")
    if not answer.get("code"):
        raise SsoFailed


def _readable(text: str) -> str:
    """Return a provider's words without what is no text."""
    return "".join(each for each in text if each.isprintable())[:MAX_REASON]


def _exchange(client: Any, provider: Provider, code: str, verifier: str) -> Mapping[str, Any]:
    """Change the code for tokens. Clients are registered for one way to show their secret; both are tried where both are offered."""
    from authlib.common.errors import AuthlibBaseError  # noqa: PLC0415 - not everybody needs it in memory

    refused = ""
    for method in provider.token_auth:
        client.token_endpoint_auth_method = method
        try:
            token: Mapping[str, Any] = client.fetch_token(
                provider.token_endpoint, grant_type="authorization_code", code=code, code_verifier=verifier
            )
        except AuthlibBaseError as error:
            refused = f"It gives no tokens: {_readable(str(error.error))} {_readable(str(error.description or ''))}".strip()
            if error.error != WRONG_CLIENT:
                break
        except (ValueError, TypeError, KeyError):
            raise Trouble("Its answer to the code is none.") from None
        else:
            return token
    raise Trouble(refused)


def _userinfo(runtime: Runtime, provider: Provider, subject: str, access_token: Any) -> dict[str, Any]:
    if not isinstance(access_token, str) or not access_token.isascii() or not access_token.isprintable():
        raise Trouble("It gave no access token by which its userinfo could be asked.")
    found = fetching.document(runtime.outbound, str(provider.userinfo_endpoint), headers={"Authorization": f"Bearer {access_token}"})
    if found.get("sub") != subject:
        raise Trouble("Its userinfo is about somebody else.")
    return found


def to_person(issuer: str, claims: Mapping[str, Any]) -> Person:
    """Return whom claims tell of. An e-mail that the provider does not say to be verified is none."""
    name = claims.get("name")
    shown = "".join(each for each in name if each.isprintable()).strip()[:MAX_NAME] if isinstance(name, str) else ""
    return Person(issuer, claims["sub"], _email(claims) if _is_verified(issuer, claims) else None, shown)


def _email(claims: Mapping[str, Any]) -> str | None:
    """Return an e-mail of plain ASCII: letters of other scripts that look, or fold, like those of another address join nobody to it."""
    email = claims.get("email")
    if not isinstance(email, str) or not email.isascii() or not email.isprintable() or " " in email or len(email) > MAX_EMAIL:
        return None
    local, at, domain = email.partition("@")
    return email if local and at and domain and "@" not in domain else None


def _is_verified(issuer: str, claims: Mapping[str, Any]) -> bool:
    """Tell whether the provider has verified the e-mail: by `email_verified`, a boolean, which Amazon Cognito writes as a string.

    Microsoft Entra has no such claim; its optional `xms_edov` says that the owner of the e-mail's domain is verified.
    """
    verified = claims.get("email_verified")
    if verified is None and urlsplit(issuer).hostname == ENTRA:
        return claims.get(ENTRA_VERIFIED) in (True, "true", "1")
    return verified is True or verified == "true"


def reset(runtime: Runtime, tenant: Tenant, name: str) -> Entry:
    """Forget what is remembered of a connection's provider, and begin anew.

    Raises:
        NotFound
    """
    stored = tenant.settings.sso.connections.get(name)
    if stored is None:
        raise NotFound("There is no such identity provider.")
    cache_of(runtime).forget(tenant, name)
    return cache_of(runtime).of(tenant, sso.connection_of(name, stored))
