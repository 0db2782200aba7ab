"""What a test needs to know of a running S3 server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class S3Server:
    """An S3 endpoint with one bucket; `role_arn` where it has STS."""

    endpoint_url: str
    bucket: str
    access_key_id: str
    secret_access_key: str
    role_arn: str = ""

    def config(self, **more: Any) -> dict[str, Any]:
        """The configuration of an S3 provider on it."""
        return {"bucket": self.bucket, "endpoint_url": self.endpoint_url, "region": "us-east-1", "addressing": "path", **more}

    def secrets(self) -> dict[str, str]:
        """The secrets that go with it."""
        return {"access_key_id": self.access_key_id, "secret_access_key": self.secret_access_key}
