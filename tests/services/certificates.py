"""A certificate authority of a test's own, and certificates of it for servers on this machine."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

VALID = timedelta(days=1)


@dataclass(frozen=True)
class ServerFiles:
    """A server's certificate and key, and the certificate of the authority that vouches for it; all PEM."""

    certificate: Path
    key: Path
    authority: Path


def make(folder: Path, address: str = "127.0.0.1", *, expired: bool = False) -> ServerFiles:
    """Make an authority, and a certificate of it for an address."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority, name = _name("An authority of the tests"), _name("A server of the tests")
    starts = datetime.now(UTC) - (3 * VALID if expired else VALID)
    own = _builder(authority, authority, authority_key, starts).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    signs = x509.KeyUsage(*([False] * 5), key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False)
    known = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    own = own.add_extension(signs, critical=True).add_extension(known, critical=False)
    vouched = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)
    server = _builder(name, authority, key, starts).add_extension(vouched, critical=False)
    server = server.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
    files = ServerFiles(folder / "server.pem", folder / "server.key", folder / "authority.pem")
    files.certificate.write_bytes(server.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    files.authority.write_bytes(own.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files.key.write_bytes(key.private_bytes(*plain))
    return files


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, starts: datetime) -> x509.CertificateBuilder:
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return made.serial_number(x509.random_serial_number()).not_valid_before(starts).not_valid_after(starts + 2 * VALID)
