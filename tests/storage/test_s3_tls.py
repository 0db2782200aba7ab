"""S3 over TLS, with a certificate from an authority of the operator's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from strongroom.errors import StorageUnavailable, ValidationFailed
from strongroom.storage.probe import probe
from strongroom.storage.providers import make_provider

from tests.services import certificates
from tests.services.certificates import ServerFiles
from tests.services.rclone import rclone
from tests.services.s3server import S3Server
from tests.storage.objects import MIB, new_key, put, read

DATA = bytes(range(256)) * 4096 * 9
"""9 MiB: two parts."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ServerFiles:
    return certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(files: ServerFiles) -> Iterator[S3Server]:
    with rclone("--cert", str(files.certificate), "--key", str(files.key), scheme="https") as running:
        yield running


def test_everything_works_with_the_authority(server: S3Server, files: ServerFiles) -> None:
    provider = make_provider("s3", server.config(ca_file=str(files.authority)), server.secrets())
    assert {each.name: each.problem for each in probe(provider) if each.problem} == {}
    key = new_key()
    assert put(provider, key, *(DATA[at : at + MIB] for at in range(0, len(DATA), MIB))).size_bytes == len(DATA)
    assert read(provider, key) == DATA


def _problem(server: S3Server, **config: str) -> tuple[str, str]:
    """The step of the test that failed, and what is told of it."""
    *_, last = probe(make_provider("s3", server.config(**config), server.secrets()))
    return last.name, last.problem


def test_without_it_the_test_tells_what_to_do(server: S3Server) -> None:
    step, problem = _problem(server)
    assert step == "check"
    assert "not trusted" in problem
    assert "'ca_file'" in problem
    with pytest.raises(StorageUnavailable):
        put(make_provider("s3", server.config(), server.secrets()), new_key(), b"abc")


def test_another_authority(server: S3Server, tmp_path: Path) -> None:
    assert "not trusted" in _problem(server, ca_file=str(certificates.make(tmp_path).authority))[1]


@pytest.mark.parametrize("wrong", ["expired", "another address"])
def test_a_certificate_that_is_not_good(tmp_path: Path, wrong: str) -> None:
    files = certificates.make(tmp_path, "127.0.0.1" if wrong == "expired" else "127.0.0.2", expired=wrong == "expired")
    with rclone("--cert", str(files.certificate), "--key", str(files.key), scheme="https") as server:
        assert "not trusted" in _problem(server, ca_file=str(files.authority))[1]


@pytest.mark.parametrize("content", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_without_certificates(server: S3Server, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValidationFailed) as caught:
        make_provider("s3", server.config(ca_file=str(path)), server.secrets())
    assert "'ca_file'" in caught.value.detail
