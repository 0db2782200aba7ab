"""botocore's clients for S3 and STS, at a third of the memory that boto3's take.

botocore keeps the parsed description of every service's addresses, and of each operation with its documentation. What nobody
here asks for is left out while it is read: an API process has little memory to spend.
"""

from __future__ import annotations

import functools
import gzip
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from botocore.config import Config
from botocore.credentials import CredentialResolver, RefreshableCredentials
from botocore.loaders import JSONFileLoader, Loader
from botocore.session import Session

from strongroom.allocator import trim
from strongroom.storage.s3_config import Credentials, S3Config, StsConfig
from strongroom.storage.s3_errors import translated

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sts.client import STSClient

CONNECT_TIMEOUT_S = 5.0
CONNECTIONS = 64
SERVICES = frozenset({"s3", "sts"})
_session_lock = threading.RLock()
"""Re-entrant: making a narrowed client assumes its role first, which may make the STS client."""


class Source(Protocol):
    """Where botocore gets credentials that change with time (botocore.credentials.CredentialProvider)."""

    METHOD: str

    def load(self) -> RefreshableCredentials:
        """Return credentials that renew themselves."""


class LeanFiles(JSONFileLoader):
    """Reads botocore's files, without documentation and other services' addresses."""

    def load_file(self, file_path: str) -> Any:
        """Return what is in the file; None when there is none."""
        plain, packed = Path(f"{file_path}.json"), Path(f"{file_path}.json.gz")
        if plain.is_file():
            return _packed(plain.read_bytes())
        return _packed(gzip.decompress(packed.read_bytes())) if packed.is_file() else None


def _packed(text: bytes) -> Any:
    """Return what a file says, read a second time: what is left of the first lies scattered among what was thrown away (1.5 MiB)."""
    return json.loads(json.dumps(_lean(json.loads(text, object_hook=_undocumented))))


def _undocumented(parsed: dict[str, Any]) -> dict[str, Any]:
    if "documentation" in parsed:
        parsed["documentation"] = ""  # not removed: botocore reads it of some
    return parsed


def _lean(document: Any) -> Any:
    for partition in document.get("partitions", ()):
        services = partition.get("services")
        if services is not None:  # the file of endpoints, not that of partitions
            partition["services"] = {name: each for name, each in services.items() if name in SERVICES}
    return document


@functools.cache
def _shared_session() -> Session:
    """One session: it holds the parsed descriptions of the services, which are large."""
    session = Session()
    session.register_component("data_loader", Loader(file_loader=LeanFiles()))
    return session


def _session_of(source: Source) -> Session:
    """A session with a source of its own, which shares those descriptions."""
    session = Session()
    session.register_component("data_loader", _shared_session().get_component("data_loader"))
    session.register_component("credential_provider", CredentialResolver([source]))  # type: ignore[list-item]  # all it asks is `load`
    return session


def s3_client(config: S3Config, source: Source | None) -> S3Client:
    """Return a client for a provider's bucket, with credentials of the source, or the provider's own."""
    session = _session_of(source) if source else _shared_session()
    return _client(session, "s3", config, config.endpoint_url, {} if source else keys(config.credentials))  # type: ignore[no-any-return]


def _client(session: Session, service: str, config: S3Config, endpoint_url: str | None, credentials: dict[str, Any]) -> Any:
    with _session_lock, translated():  # making clients is not thread-safe, using them is
        client = session.create_client(
            service,
            endpoint_url=endpoint_url,
            region_name=config.region,
            verify=config.ca_file,
            config=client_config(config),
            **credentials,
        )
        _give_back_once()
        return client


@functools.cache
def _give_back_once() -> None:
    """What botocore's files took to be read goes back to the system; they are read once, and what they say is shared."""
    trim()


@functools.lru_cache(maxsize=8)
def sts_client(config: S3Config, sts: StsConfig) -> STSClient:
    """Return the client that asks for narrowed credentials, with the provider's own."""
    return _client(_shared_session(), "sts", config, sts.endpoint_url, keys(config.credentials))  # type: ignore[no-any-return]


def keys(credentials: Credentials | None) -> dict[str, Any]:
    """Return credentials as botocore takes them; none means its own chain, which only 'credentials': 'environment' leads to."""
    if credentials is None:
        return {}
    return {
        "aws_access_key_id": credentials.access_key_id,
        "aws_secret_access_key": credentials.secret_access_key,
        "aws_session_token": credentials.session_token,
    }


def client_config(config: S3Config) -> Config:
    """Return botocore's settings: bounded in time and tries, checksums only where S3 demands them."""
    return Config(
        signature_version="s3v4",
        s3={"addressing_style": config.addressing},  # type: ignore[arg-type]  # checked when it was parsed
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": 4},
        connect_timeout=min(CONNECT_TIMEOUT_S, config.timeout_s),
        read_timeout=config.timeout_s,
        max_pool_connections=CONNECTIONS,
    )
