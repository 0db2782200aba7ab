"""Uploads of 1 GiB passed on to S3: Strongroom's PUT and tus, express + busboy + lib-storage, @tus/server with its S3 store. `--help`

What nobody who passes bytes on can outrun stands beside them: a client that sends the same parts from its memory straight to the
S3 server, one or four at a time, and neither receives nor hashes nor signs. The S3 server (rclone, or the Ceph gateway) runs on the
same cores for all of them; its CPU time is nobody's. Strongroom hashes each block and the whole; its workers stand still, for peers
check nothing. The Ceph cluster keeps its objects in memory, 6 GiB of them, and gives the room of removed ones back only after a while:
larger uploads than 128 MiB fill it up.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import urllib3

from bench import peers, sending
from bench.measuring import Candidate, Goal, Rounds, interleave, keep, show
from bench.strongroom import BUCKET, Measured, strongroom
from tests.services.ceph import ceph
from tests.services.rclone import rclone
from tests.services.s3server import S3Server

OURS_PUT, OURS_TUS, EXPRESS, TUS = "Strongroom PUT", "Strongroom tus", "express, lib-storage", "@tus/server, S3 store"
SERVERS = {"rclone": rclone, "ceph": ceph}
SIZES_MIB = {"rclone": 1024, "ceph": 128}
PART_BYTES = 8 << 20
STRAIGHT = "straight to the S3 server, {} at a time"


def s3_client(s3: S3Server) -> Any:
    """Return boto3's client of the S3 server."""
    return boto3.client(
        "s3", endpoint_url=s3.endpoint_url, region_name="us-east-1", aws_access_key_id=s3.access_key_id,
        aws_secret_access_key=s3.secret_access_key,
    )  # fmt: skip


def empty(s3: S3Server) -> None:
    """Remove every object, to have room for the next round."""
    client = s3_client(s3)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=s3.bucket):
        for each in page.get("Contents", []):
            client.delete_object(Bucket=s3.bucket, Key=each["Key"])
    client.close()


def candidates(ours: Measured, s3: S3Server, express: peers.Peer, tus: peers.Peer, size: int) -> list[Candidate]:
    """Return who is compared."""

    def put() -> int:
        sending.upload(ours.port, "PUT", ours.path("put"), ours.headers, size)
        return size

    def our_tus() -> int:
        sending.tus(ours.port, f"/api/v1/tus?bucket={BUCKET}", ours.headers, size)
        return size

    def form() -> int:
        sending.upload_form(express.port, "/upload", {"Host": "127.0.0.1"}, "form.bin", size)
        return size

    def tidy() -> None:
        empty(s3)

    compared = [
        Candidate(OURS_PUT, put, ours.roots, tidy),
        Candidate(OURS_TUS, our_tus, ours.roots, tidy),
        Candidate(EXPRESS, form, lambda: [express.pid], tidy),
    ]
    return [*compared, _tus(tus, size, tidy), *(straight(s3, size, at_once, tidy) for at_once in (1, 4))]


def straight(s3: S3Server, size: int, at_once: int, tidy: Callable[[], None]) -> Candidate:
    """Return a client that sends zeros in parts, which were signed before."""
    client, pool, data = s3_client(s3), urllib3.PoolManager(maxsize=at_once), bytes(PART_BYTES)
    where = {"Bucket": s3.bucket, "Key": "straight"}

    def send(url: str) -> str:
        response = pool.request("PUT", url, body=data)
        if response.status != 200:  # noqa: PLR2004 - 200 OK
            raise RuntimeError(response.data)
        return str(response.headers["ETag"])

    def run() -> int:
        session = {**where, "UploadId": client.create_multipart_upload(**where)["UploadId"]}
        numbers = range(1, size // PART_BYTES + 1)
        urls = [client.generate_presigned_url("upload_part", {**session, "PartNumber": number}) for number in numbers]
        with ThreadPoolExecutor(at_once) as senders:
            parts = [{"PartNumber": number, "ETag": tag} for number, tag in zip(numbers, senders.map(send, urls), strict=True)]
        client.complete_multipart_upload(**session, MultipartUpload={"Parts": parts})
        return size

    return Candidate(STRAIGHT.format(at_once), run, list, tidy)


def _tus(tus: peers.Peer, size: int, tidy: Callable[[], None]) -> Candidate:
    def run() -> int:
        sending.tus(tus.port, "/files", {"Host": "127.0.0.1"}, size)
        return size

    return Candidate(TUS, run, lambda: [tus.pid], tidy)


def goals(server: str, found: dict[str, Rounds]) -> list[Goal]:
    """Return what is wanted; of @tus/server only at the Ceph gateway."""
    put = found[OURS_PUT]
    print(f"{OURS_PUT} / {STRAIGHT.format(1)}, rate: {put.rate / found[STRAIGHT.format(1)].rate:.2f}")
    wanted = [
        Goal(f"{OURS_PUT} / {EXPRESS}, rate", put.rate / found[EXPRESS].rate, 3.0),
        Goal(f"{OURS_PUT}, CPU s/GB", put.cpu_s, 0.7, at_least=False),
    ]
    if server == "ceph":
        wanted.append(Goal(f"{OURS_TUS} / {TUS}, rate", found[OURS_TUS].rate / found[TUS].rate, 1.6))
    return wanted


def measure(server: str, size: int, rounds: int) -> dict[str, Rounds]:
    """Compare everybody at one S3 server."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sr-bench-")))
        s3 = stack.enter_context(SERVERS[server]())
        ours = stack.enter_context(strongroom(s3))
        express = stack.enter_context(peers.express_s3(folder, s3))
        tus = stack.enter_context(peers.tus_s3_server(folder, s3))
        stack.enter_context(ours.workers_stopped())
        return interleave(candidates(ours, s3, express, tus, size), rounds)


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", choices=[*SERVERS, "all"], default="all")
    parser.add_argument("--size", type=int, metavar="MIB", help="size of each upload in MiB (default 1024, at the Ceph gateway 128)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    all_met = True
    for server in SERVERS if options.server == "all" else [options.server]:
        size_mib = options.size or SIZES_MIB[server]
        found = measure(server, size_mib << 20, options.rounds)
        wanted = goals(server, found)
        show(f"Upload of {size_mib} MiB passed on to {server}, {options.rounds} rounds", found, wanted)
        keep(f"passthrough-{server}", found, wanted, size_mib=size_mib)
        all_met = all_met and all(goal.is_met for goal in wanted)
    return 0 if all_met else 1


if __name__ == "__main__":
    raise SystemExit(main())
