"""Keys: everything is derived from the master key, per tenant and per purpose, by HKDF-SHA256 (RFC 5869).

A token of tenant A is signed with a key that B's requests never use, so no claim in it can make it valid at B; and a
token of one purpose is signed with a key that no other purpose uses.
"""

from __future__ import annotations

import base64
import os
from functools import lru_cache
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from strongroom.config import Settings
from strongroom.errors import ConfigurationError

NONCE_BYTES = 12
KEY_ID_BYTES = 4
DERIVED_KEYS = 4096


def derive(master: bytes, scope: bytes, purpose: str) -> bytes:
    """Return 32 bytes that only this master key, scope and purpose give."""
    return HKDF(algorithm=SHA256(), length=32, salt=scope, info=f"strongroom/{purpose}".encode()).derive(master)


class KeyRing:
    """Derived keys and the envelope for stored secrets. Immutable, safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        masters = [settings.master_key, *settings.master_keys_old]
        self._masters = [base64.b64decode(key.get_secret_value()) for key in masters]
        self._derive = lru_cache(DERIVED_KEYS)(derive)  # every request needs one or two

    def tenant_key(self, tenant_id: UUID, purpose: str) -> bytes:
        """Return the tenant's key for a purpose."""
        return self._derive(self._masters[0], tenant_id.bytes, purpose)

    def operator_key(self, purpose: str) -> bytes:
        """Return the operators' key for a purpose."""
        return self._derive(self._masters[0], b"operator", purpose)

    def operator_keys(self, purpose: str) -> list[bytes]:
        """Return the operators' key for a purpose under the present master key, then those under former ones."""
        return [self._derive(master, b"operator", purpose) for master in self._masters]

    def seal(self, plain: bytes, context: str) -> bytes:
        """Encrypt (AES-256-GCM): key id, nonce, ciphertext. `context` must be given again to open it."""
        key = derive(self._masters[0], b"secrets", "seal")
        nonce = os.urandom(NONCE_BYTES)
        return _key_id(key) + nonce + AESGCM(key).encrypt(nonce, plain, context.encode())

    def is_present(self, sealed: bytes) -> bool:
        """Tell whether something was sealed under the present master key."""
        return sealed[:KEY_ID_BYTES] == _key_id(derive(self._masters[0], b"secrets", "seal"))

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt what `seal` made under the present or a former master key.

        Raises:
            ConfigurationError: no key fits, or it was altered, or it belongs to another context.
        """
        key_id, nonce = sealed[:KEY_ID_BYTES], sealed[KEY_ID_BYTES : KEY_ID_BYTES + NONCE_BYTES]
        for master in self._masters:
            key = derive(master, b"secrets", "seal")
            if _key_id(key) == key_id:
                try:
                    return AESGCM(key).decrypt(nonce, sealed[KEY_ID_BYTES + NONCE_BYTES :], context.encode())
                except InvalidTag:
                    break
        raise ConfigurationError("A stored secret cannot be opened with the configured master keys.")


def _key_id(key: bytes) -> bytes:
    digest = Hash(SHA256())
    digest.update(b"key id" + key)
    return digest.finalize()[:KEY_ID_BYTES]
