"""Credentials that reach one tenant's prefix and nothing else: AssumeRole with a session policy.

The role needs the rights of the provider on the bucket, and must let the provider's own user assume it (sts:AssumeRole). What a
session may do is what both the role and the session policy allow: docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html.
Listing unfinished uploads is left out: neither S3 nor Ceph can restrict it to a prefix.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from botocore.credentials import RefreshableCredentials

from strongroom.storage.s3_clients import sts_client
from strongroom.storage.s3_config import S3Config, StsConfig
from strongroom.storage.s3_errors import translated
from strongroom.storage.s3_wire import moment

OBJECT_RIGHTS = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
RENEWED_S, REQUIRED_S = 300, 120
"""So long before credentials expire, new ones are tried for; and nothing is signed with less than the second."""


def session_policy(bucket: str, prefix: str) -> str:
    """Return the policy that leaves a session nothing but a prefix."""
    arn = f"arn:aws:s3:::{bucket}"
    statements = [
        {"Effect": "Allow", "Action": OBJECT_RIGHTS, "Resource": [f"{arn}/{prefix}*"]},
        {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [arn], "Condition": {"StringLike": {"s3:prefix": [f"{prefix}*"]}}},
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


class NarrowedCredentials:
    """Where botocore gets credentials for one prefix: it asks again before they expire. Safe to share between threads.

    `expires_at`: by this machine's clock, by which botocore goes too. Not what the server says: were our clock behind its own,
    we would go on with credentials that it no longer takes.
    """

    METHOD = "strongroom-narrowed"

    def __init__(self, config: S3Config, sts: StsConfig, prefix: str) -> None:
        self._config, self._sts, self._prefix = config, sts, prefix
        self.expires_at = datetime.min.replace(tzinfo=UTC)

    def load(self) -> RefreshableCredentials:
        """Return credentials that renew themselves.

        Raises:
            StorageUnavailable: the role cannot be assumed.
        """
        return RefreshableCredentials.create_from_metadata(
            self._assume(), self._assume, self.METHOD, advisory_timeout=RENEWED_S, mandatory_timeout=REQUIRED_S
        )

    def _assume(self) -> dict[str, str]:
        asked_at = datetime.now(UTC)
        with translated():
            answer = sts_client(self._config, self._sts).assume_role(
                RoleArn=self._sts.role_arn,
                RoleSessionName=self._prefix.rstrip("/")[:64],
                Policy=session_policy(self._config.bucket, self._prefix),
                DurationSeconds=self._sts.duration_s,
            )
        credentials, metadata = answer["Credentials"], answer["ResponseMetadata"]
        answered_at = moment(metadata["HTTPHeaders"].get("date"))
        self.expires_at = asked_at + min(credentials["Expiration"] - answered_at, timedelta(seconds=self._sts.duration_s))
        return {
            "access_key": credentials["AccessKeyId"],
            "secret_key": credentials["SecretAccessKey"],
            "token": credentials["SessionToken"],
            "expiry_time": self.expires_at.isoformat(),
        }
