"""The whole way through a certified provider, by plain HTTP: who comes in, as whom, and who does not."""

from __future__ import annotations

from tests.factories import ok
from tests.services.oidc import OidcProvider
from tests.sso.conftest import COOKIE, OIDC, Setup, query_of


def test_an_account_is_joined_by_its_verified_email_and_stays_so(setup: Setup, provider: OidcProvider) -> None:
    ann = setup.world.create_user(setup.tenant, "member", email="Ann@example.com")
    window = setup.window()
    url = window.start(mode="token")
    asked = query_of(url)
    assert url.startswith(f"{provider.issuer}/auth?")
    assert (asked["response_type"], asked["code_challenge_method"], asked["scope"]) == ("code", "S256", "openid email profile")
    assert asked["redirect_uri"] == f"http://{setup.tenant.slug}.localhost{OIDC}/corp/callback"
    answer = window.come_back(provider.sign_in(url, "ann@example.com"))
    assert set(ok(answer)) == {"access_token", "refresh_token", "token_type", "expires_in_s"}
    assert setup.me(answer)["id"] == str(ann.id)
    assert COOKIE not in window.cookies
    (identity,) = setup.world.rows(setup.tenant, "identities")
    assert (identity["issuer"], identity["subject"], identity["user_id"]) == (provider.issuer, "ann@example.com", ann.id)
    (linked,) = setup.world.rows(setup.tenant, "events", "kind = 'user.linked'")
    assert (linked["subject"], linked["actor"]) == (ann.id, {"connection": "corp"})
    again = setup.window().sign_in(provider, "sub=ann@example.com&email=ann.new@example.com", mode="token")
    assert setup.me(again)["id"] == str(ann.id), "known by its subject, whatever its e-mail"
