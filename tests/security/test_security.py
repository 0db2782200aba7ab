"""Keys, tokens, cursors, sealed secrets and passwords."""

from __future__ import annotations

import threading

import jwt
import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st
from strongroom.config import load_settings
from strongroom.db.ids import new_id
from strongroom.errors import ConfigurationError, InvalidCursor, TokenExpired, TokenInvalid, ValidationFailed
from strongroom.security import passwords
from strongroom.security.keys import KeyRing
from strongroom.security.tokens import hash_secret, make_cursor, new_secret, read_cursor, secret_matches, sign, unverified_claims, verify

from tests.factories import token_bytes

KEY, OTHER = b"k" * 32, b"o" * 32


def ring(key: str = "present", *old: str) -> KeyRing:
    values = {"database_url": "postgresql://x/y", "broker_url": "memory://", "master_key": token_bytes(key).decode()}
    return KeyRing(load_settings({}, **values, master_keys_old=[token_bytes(each).decode() for each in old]))


def test_every_tenant_and_purpose_has_its_own_key() -> None:
    keys, tenants = ring(), [new_id() for _ in range(3)]
    purposes = ("session", "invite", "cursor", "csrf", "sr_console")
    derived = [keys.tenant_key(tenant, purpose) for tenant in tenants for purpose in purposes] + [
        keys.operator_key(each) for each in purposes
    ]
    assert len(set(derived)) == len(derived)
    assert {len(each) for each in derived} == {32}
    assert keys.tenant_key(tenants[0], "session") == ring().tenant_key(tenants[0], "session")
    assert keys.tenant_key(tenants[0], "session") != ring("another").tenant_key(tenants[0], "session")


@given(st.binary(max_size=200), st.text(max_size=20))
def test_seal_and_open(plain: bytes, context: str) -> None:
    keys = ring()
    sealed = keys.seal(plain, context)
    assert keys.open(sealed, context) == plain
    assert sealed != keys.seal(plain, context)
    assert len(plain) < 4 or plain not in sealed


def test_sealed_under_a_former_master_key() -> None:
    sealed = ring("former").seal(b"secret", "provider 1")
    assert ring("present", "former").open(sealed, "provider 1") == b"secret"
    assert ring("present", "older", "former").open(sealed, "provider 1") == b"secret"
    renewed = ring("present", "former").seal(b"secret", "provider 1")
    assert ring("present").open(renewed, "provider 1") == b"secret"
    with pytest.raises(ConfigurationError):
        ring("present").open(sealed, "provider 1")
    with pytest.raises(ConfigurationError):
        ring("former").open(renewed, "provider 1")


def test_what_was_altered_or_belongs_elsewhere_does_not_open() -> None:
    keys = ring()
    sealed = keys.seal(b"secret", "provider 1")
    for place in range(len(sealed)):
        altered = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(ConfigurationError):
            keys.open(altered, "provider 1")
    for wrong in (b"", b"x", sealed[:-1], sealed[:16], sealed + b"x"):
        with pytest.raises(ConfigurationError):
            keys.open(wrong, "provider 1")
    with pytest.raises(ConfigurationError):
        keys.open(sealed, "provider 2")


# Tokens


def test_tokens_carry_their_purpose() -> None:
    token = sign(KEY, "invite", "me", 60, invite="x")
    assert verify(KEY, "invite", token)["sub"] == "me"
    for key, purpose in ((OTHER, "invite"), (KEY, "download"), (KEY, "Invite"), (KEY, "")):
        with pytest.raises(TokenInvalid):
            verify(key, purpose, token)
    with pytest.raises(TokenExpired):
        verify(KEY, "invite", sign(KEY, "invite", "me", -1))


@pytest.mark.parametrize("claims", [
    {"sub": "me", "purpose": "invite"}, {"sub": "me", "exp": 2**33}, {"purpose": "invite", "exp": 2**33},
    {"sub": 1, "purpose": "invite", "exp": 2**33},
    {"sub": "me", "purpose": "invite", "exp": "x"}, {"sub": "me", "purpose": None, "exp": 2**33}, {},
], ids=str)  # fmt: skip
def test_tokens_that_lack_something(claims: dict[str, object]) -> None:
    with pytest.raises((TokenInvalid, TokenExpired)):
        verify(KEY, "invite", jwt.encode(claims, KEY, "HS256"))


def test_claims_cannot_be_smuggled_in() -> None:
    token = sign(KEY, "invite", "me", 60, sub="you", exp=2**33)
    assert verify(KEY, "invite", token)["sub"] == "me"
    assert verify(KEY, "invite", token)["exp"] < 2**33


@given(st.text(max_size=60))
def test_what_is_no_token(text: str) -> None:
    for read in (lambda: verify(KEY, "invite", text), lambda: unverified_claims(text)):
        with pytest.raises(TokenInvalid):
            read()


@given(st.lists(st.one_of(st.text(max_size=20), st.integers(), st.none()), max_size=3), st.text(max_size=10))
def test_cursors(position: list[object], listing: str) -> None:
    cursor = make_cursor(KEY, listing, position)
    assert cursor.isascii()
    assert read_cursor(KEY, listing, cursor) == position
    for key, name in ((OTHER, listing), (KEY, listing + "x")):
        with pytest.raises(InvalidCursor):
            read_cursor(key, name, cursor)


@given(st.text(max_size=60))
def test_what_is_no_cursor(text: str) -> None:
    with pytest.raises(InvalidCursor):
        read_cursor(KEY, "files", text)


def test_secrets_of_keys() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    for secret in secrets:
        assert len(secret) == 64
        assert secret_matches(hash_secret(secret), secret)
        assert not secret_matches(hash_secret(secret), secret[:-1])
        assert secret.encode() not in hash_secret(secret)


# Passwords


def test_passwords_are_hashed_as_is_good_today(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests use a cheaper hasher; this is the one in use."""
    monkeypatch.setattr(passwords, "_hasher", passwords.make_hasher())
    stored = passwords.hash_password("correct horse battery")
    assert stored.startswith("$argon2id$")
    parameters = dict(part.split("=") for part in stored.split("$")[3].split(","))
    assert int(parameters["m"]) >= 19 * 1024
    assert int(parameters["t"]) >= 2
    assert passwords.verify_password(stored, "correct horse battery")
    assert not passwords.verify_password(stored, "correct horse batterY")
    assert stored != passwords.hash_password("correct horse battery")


def test_hashes_of_other_strength_are_renewed() -> None:
    password = "correct horse battery"
    for other in (PasswordHasher(time_cost=2, memory_cost=64, parallelism=4), PasswordHasher(time_cost=1, memory_cost=16, parallelism=2)):
        old = other.hash(password)
        assert passwords.verify_password(old, password)
        new = passwords.renewed(old, password)
        assert new is not None
        assert passwords.verify_password(new, password)
        assert passwords.renewed(new, password) is None
    assert passwords.renewed(None, password) is None


@pytest.mark.parametrize("stored", [None, "", "x", "$argon2id$broken", "plain text password"])
def test_what_is_no_hash_matches_nothing(stored: str | None) -> None:
    for password in ("", "x", stored or "anything", "the hash of nobody's password"):
        assert passwords.verify_password(stored, password) is False


@pytest.mark.parametrize("password", ["", "x" * 9, "x" * 1025])
def test_what_is_no_password(password: str) -> None:
    with pytest.raises(ValidationFailed):
        passwords.hash_password(password)


def test_passwords_of_any_letters() -> None:
    for password in ("pässwörd 漢字 🎉", " " * 10, "x" * 1024):
        assert passwords.verify_password(passwords.hash_password(password), password)


def test_hashing_in_many_threads() -> None:
    stored = passwords.hash_password("correct horse battery")
    results: list[bool] = []
    threads = [
        threading.Thread(target=lambda: results.append(passwords.verify_password(stored, "correct horse battery"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 8
