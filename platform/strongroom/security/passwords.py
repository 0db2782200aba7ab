"""Passwords: argon2id with the library's recommended parameters (RFC 9106, low-memory profile)."""

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
_hasher = PasswordHasher()
_few = threading.BoundedSemaphore(2)  # each hash takes 64 MiB for its time: a flood of sign-ins must not take all memory


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


@lru_cache(maxsize=1)
def _nobody() -> str:
    return _hasher.hash("the hash of nobody's password")
