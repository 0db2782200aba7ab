"""Reports signed and checked: Ed25519 (RFC 8032) over the exact bytes of the report's text.

The key is derived from the deployment's master key, as all others are; a new master key is a new signing key, and the
public halves of former ones stay published for as long as those are configured.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from strongroom.errors import ValidationFailed
from strongroom.isolation.models import FORMAT, Checked, PublicKey
from strongroom.security.keys import KeyRing

ALGORITHM = "Ed25519"
PURPOSE = "isolation report"
KEY_ID_CHARACTERS = 16


def sign(keys: KeyRing, text: str) -> bytes:
    """Return the signature over a text's UTF-8 bytes."""
    return Ed25519PrivateKey.from_private_bytes(keys.operator_key(PURPOSE)).sign(text.encode())


def public_keys(keys: KeyRing) -> list[PublicKey]:
    """Return the keys that verify this deployment's reports, the present one first."""
    found = [_pem(Ed25519PrivateKey.from_private_bytes(seed).public_key()) for seed in keys.operator_keys(PURPOSE)]
    return [PublicKey(key_id(pem), pem, present=number == 0) for number, pem in enumerate(found)]


def key_id(pem: str) -> str:
    """Return a key's short name: the beginning of the SHA-256 of its DER form, in hexadecimal digits."""
    return hashlib.sha256(_load(pem).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()[:KEY_ID_CHARACTERS]


def verify(pem: str, text: str, signature: bytes) -> None:
    """See that a signature is this key's, over this text.

    Raises:
        ValidationFailed
    """
    try:
        _load(pem).verify(signature, text.encode())
    except InvalidSignature:
        raise ValidationFailed("The signature is not that of this text: it was altered, or signed with another key.") from None


def check(document: Mapping[str, Any], trusted: Collection[str] = ()) -> Checked:
    """Check a report as the API gives it, offline. `trusted`: public keys (PEM) that the checker has by another way.

    Without any it only shows that the report was not altered since whoever holds its key has signed it.

    Raises:
        ValidationFailed: it is no report, was altered, or is signed with a key that is not trusted.
    """
    try:
        signed, pem = str(document["signed"]), str(document["public_key"])
        signature = base64.b64decode(document["signature"], validate=True)
        report = json.loads(signed)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise ValidationFailed("This is no isolation report.") from None
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise ValidationFailed(f"This is no isolation report of the format {FORMAT}.")
    verify(pem, signed, signature)
    if "report" in document and document["report"] != report:
        raise ValidationFailed("What is shown beside the signed text is not what was signed.")
    name = key_id(pem)
    if trusted and name not in {key_id(each) for each in trusted}:
        raise ValidationFailed(f"The report is signed with key {name}, which is not the one that you trust.")
    return Checked(name, bool(trusted) or None, report)


def _pem(key: Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _load(pem: str) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValidationFailed("This is no public key in PEM.") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ValidationFailed("This is no Ed25519 key.")
    return key
