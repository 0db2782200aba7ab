"""A provider's published keys: which of them may sign ID tokens, and no more of each than verifying needs.

What is kept of an answer of 256 KiB must not grow with what its author put into it: nested lists take twenty times their text.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from itertools import islice
from typing import Any

KEY_TYPES = {
    "RS256": "RSA", "RS384": "RSA", "RS512": "RSA", "PS256": "RSA", "PS384": "RSA", "PS512": "RSA",
    "ES256": "EC", "ES384": "EC", "ES512": "EC", "EdDSA": "OKP", "Ed25519": "OKP",
}  # fmt: skip
"""The algorithms that are taken, and of which type their keys are. All of them asymmetric: what a provider publishes signs nothing."""
CURVES = {"EC": frozenset({"P-256", "P-384", "P-521"}), "OKP": frozenset({"Ed25519", "Ed448"})}
LEAST_RSA_BITS, MOST_RSA_BITS = 2048, 8192
LONGEST = {"kty": 3, "use": 3, "alg": 7, "crv": 7, "kid": 256, "n": (MOST_RSA_BITS + 8) // 6, "e": 8, "x": 88, "y": 88}
"""The members of a key that are used, and the characters that each may have: enormous exponents take our time, too. 88: of P-521."""
MAX_KEYS, MAX_LOOKED_AT = 32, 100
Key = dict[str, str]
Keys = list[Key]


def usable_keys(published: list[Any]) -> Keys:
    """Return those of published keys that may sign ID tokens, at most `MAX_KEYS`, each with its members of `LONGEST` alone."""
    return list(islice(_usable(published[:MAX_LOOKED_AT]), MAX_KEYS))


def _usable(published: list[Any]) -> Iterator[Key]:
    for each in published:
        key = _trimmed(each)
        if key is not None and _may_sign(key) and imported(key) is not None:
            yield key


def _trimmed(published: Any) -> Key | None:
    """Return what is used of a key. One with a member that is no short text is none: without its `use` it would be another."""
    if not isinstance(published, dict):
        return None
    key = {name: published[name] for name in LONGEST if name in published}
    if all(isinstance(value, str) and len(value) <= LONGEST[name] for name, value in key.items()):
        return key
    return None


def _may_sign(key: Key) -> bool:
    kind, algorithm = key.get("kty"), key.get("alg")
    if key.get("use", "sig") != "sig" or kind not in KEY_TYPES.values() or (algorithm and KEY_TYPES.get(algorithm) != kind):
        return False
    return key.get("crv") in CURVES[kind] if kind in CURVES else _rsa_bits(key.get("n", "")) >= LEAST_RSA_BITS


def _rsa_bits(modulus: str) -> int:
    """Return how long a modulus is: zeros before it, which count for nothing, make its text longer."""
    try:
        return int.from_bytes(base64.b64decode(modulus + "=" * (-len(modulus) % 4), altchars=b"-_", validate=True)).bit_length()
    except ValueError:
        return 0


def imported(key: Key) -> Any:
    """Return a key as joserfc verifies with it, or None if it is none."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - not everybody needs it in memory
    from joserfc.errors import JoseError  # noqa: PLC0415
    from joserfc.jwk import JWKRegistry  # noqa: PLC0415

    try:
        return JWKRegistry.import_key({**key})
    except (JoseError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, OverflowError):
        return None
