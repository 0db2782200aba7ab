"""Starts a Google Cloud Storage emulator in a process of its own, for as long as a `with` block lasts."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

BUCKET = "strongroom-test"


@cache
def private_key() -> rsa.RSAPrivateKey:
    """Return the key of this run's service account."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True)
class GCSService:
    """A running emulator with one bucket."""

    port: int
    bucket: str
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def service_account(self) -> str:
        """Return a service account's key whose tokens this emulator issues."""
        pem = private_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return json.dumps(
            {
                "type": "service_account",
                "project_id": "test",
                "private_key_id": "1",
                "private_key": pem,
                "client_email": "strongroom@test.iam.gserviceaccount.com",
                "token_uri": f"{self.url}/token",
            }
        )

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def gcs(folder: Path, *, token: bool = False) -> Iterator[GCSService]:
    """Run an emulator; with `token` it wants a token of its service account, else it is open to everybody."""
    key_file = folder / "public.pem"
    key_file.write_bytes(private_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    command = [sys.executable, "-m", "tests.services.gcs_emulator", BUCKET, str(key_file), "token" if token else "open"]
    with (
        (folder / "gcs.log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=Path(__file__).parents[2]) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.strip().isdigit(), (folder / "gcs.log").read_text()[-2000:]
            yield GCSService(int(line), BUCKET, process)
        finally:
            process.kill()
            process.wait()
