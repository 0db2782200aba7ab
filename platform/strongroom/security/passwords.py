"""Passwords: argon2id with 19 MiB, two passes and one lane, some 27 ms of one core, and RFC 9106's salt and tag.

That is one of the settings of equal strength that OWASP names as the least to use; hashes made with others verify as
before, and are renewed when their users sign in (docs/decisions/2026-11-21-cheaper-password-hashes.md).
Sources: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#argon2id,
RFC 9106, section 4 (https://www.rfc-editor.org/rfc/rfc9106#section-4: salt of 16 bytes, tag of 32).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from strongroom.errors import TooManyRequests, ValidationFailed

MIN_LENGTH = 10
MAX_LENGTH = 1024
LONGEST_WAIT_S = 5.0
MEMORY_KIB, PASSES, LANES = 19 * 1024, 2, 1
_few = threading.BoundedSemaphore(2)  # each hash takes a core and 19 MiB for its time: a flood of sign-ins must not take them all


def make_hasher() -> PasswordHasher:
    """Return a hasher with today's parameters."""
    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)


_hasher = make_hasher()


@contextmanager
def _turn() -> Iterator[None]:
    if not _few.acquire(timeout=LONGEST_WAIT_S):
        raise TooManyRequests("Too many people are signing in just now.", retry_after_s=5)
    try:
        yield
    finally:
        _few.release()


def check_password(password: str) -> None:
    """See that a password may be one.

    Raises:
        ValidationFailed: it is too short or too long.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise ValidationFailed(
            f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters.",
            errors={"password": [f"Use {MIN_LENGTH} to {MAX_LENGTH} characters."]},
        )


def hash_password(password: str) -> str:
    """Return the argon2id hash of a password.

    Raises:
        ValidationFailed: it is too short or too long.
    """
    check_password(password)
    with _turn():
        return _hasher.hash(password)


def verify_password(stored: str | None, password: str) -> bool:
    """Tell whether `password` is the one stored. Takes as long when there is none, so that the time tells nothing."""
    known = stored or _nobody()
    try:
        with _turn():
            return _hasher.verify(known, password[:MAX_LENGTH]) and bool(stored)
    except (VerificationError, InvalidHashError):
        return False


def renewed(stored: str | None, password: str) -> str | None:
    """Return a new hash of a password that was just verified, if `stored` was not made with today's parameters; else None.

    Raises:
        TooManyRequests
    """
    if stored is None or not _hasher.check_needs_rehash(stored):
        return None
    with _turn():
        return _hasher.hash(password[:MAX_LENGTH])


@lru_cache(maxsize=1)
def _nobody() -> str:
    return _hasher.hash("the hash of nobody's password")
