"""A deployment whose tenants' bytes are at an S3 provider (`rclone serve s3`): every way in, every way out, and away again."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Callable, Iterator

import boto3
import pytest
import requests
from botocore.config import Config

from tests.acceptance.client import Client
from tests.acceptance.content import MIB, noise, sha256
from tests.acceptance.deployment import Deployment, Tenant
from tests.acceptance.waiting import wait_until
from tests.services.rclone import rclone
from tests.services.s3server import S3Server
