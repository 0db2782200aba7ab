"""Starts a real Ceph for as long as a `with` block lasts: a monitor, a manager, an OSD in memory, a RADOS gateway with S3 and STS.

No authentication inside the cluster, one copy of everything, pools of few placement groups: it starts in some 12 seconds.
Debian packages: radosgw ceph-mon ceph-osd ceph-mgr ceph-common. See docs.ceph.com/en/pacific/radosgw/STS.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3

from tests.services.processes import free_port, listens, running, wait_for
from tests.services.s3server import S3Server

BINARIES = ("radosgw", "radosgw-admin", "ceph", "ceph-mon", "ceph-mgr", "ceph-osd", "monmaptool")
BUCKET, ROLE = "strongroom", "tenants"
CONF = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon_port}]
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
run dir = {folder}
log file = {folder}/$name.ceph.log
admin socket = {folder}/$name.asok
debug default = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 6442450944
osd data = {folder}/osd
mon data = {folder}/mon
mgr data = {folder}/mgr
mon allow pool size one = true
mon max pg per osd = 1000
ms bind ipv4 = true
ms bind msgr1 = false
public addr = 127.0.0.1
[client.rgw]
auth client required = none
ms mon client mode = crc
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw s3 auth use sts = true
rgw sts key = {sts_key}
rgw gc obj min wait = 2
rgw gc processor period = 2
rgw gc processor max time = 2
"""
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/platform"]}, "Action": ["sts:AssumeRole"]}],
}
RIGHTS = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}]}


def missing() -> str:
    """Tell what is not installed; empty when all is there."""
    return ", ".join(each for each in BINARIES if not shutil.which(each))


@contextlib.contextmanager
def ceph() -> Iterator[S3Server]:
    """Run a cluster with one user, one bucket, and a role for AssumeRole that may do everything in S3."""
    folder = Path(tempfile.mkdtemp(prefix="sr-ceph-"))
    port = free_port()
    conf = folder / "ceph.conf"
    conf.write_text(CONF.format(fsid=uuid.uuid4(), folder=folder, mon_port=free_port(), port=port, sts_key=secrets.token_hex(8)))
    try:
        with contextlib.ExitStack() as processes:
            _start_cluster(processes, conf)
            _start_gateway(processes, conf, port)
            yield _furnish(conf, port)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start_cluster(processes: contextlib.ExitStack, conf: Path) -> None:
    folder, fsid = conf.parent, _value(conf, "fsid")
    monmap = str(folder / "monmap")
    _run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", _value(conf, "mon host"), monmap)
    for name in ("mon", "mgr", "osd", "rgw"):
        (folder / name).mkdir()
    _run("ceph-mon", "-c", str(conf), "--mkfs", "-i", "a", "--monmap", monmap)
    _daemon(processes, conf, "ceph-mon", "-i", "a")
    _ceph(conf, "osd", "new", osd := str(uuid.uuid4()))
    _run("ceph-osd", "-c", str(conf), "-i", "0", "--mkfs", "--osd-uuid", osd)
    _daemon(processes, conf, "ceph-osd", "-i", "0")
    _daemon(processes, conf, "ceph-mgr", "-i", "a")


def _start_gateway(processes: contextlib.ExitStack, conf: Path, port: int) -> None:
    gateway, log = _daemon(processes, conf, "radosgw", "-n", "client.rgw")
    wait_for(lambda: listens(port), gateway, log)


def _furnish(conf: Path, port: int) -> S3Server:
    user = json.loads(_admin(conf, "user", "create", "--uid=platform", "--display-name=Platform"))
    keys = user["keys"][0]
    _admin(conf, "caps", "add", "--uid=platform", "--caps=roles=*")
    role = json.loads(_admin(conf, "role", "create", f"--role-name={ROLE}", f"--assume-role-policy-doc={json.dumps(TRUST)}"))
    _admin(conf, "role-policy", "put", f"--role-name={ROLE}", "--policy-name=all", f"--policy-doc={json.dumps(RIGHTS)}")
    server = S3Server(f"http://127.0.0.1:{port}", BUCKET, keys["access_key"], keys["secret_key"], _arn(role))
    boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=server.access_key_id,
        aws_secret_access_key=server.secret_access_key,
    ).create_bucket(Bucket=BUCKET)
    return server


def _arn(role: dict[str, str]) -> str:
    return role.get("Arn") or role["arn"]


def _value(conf: Path, name: str) -> str:
    return next(line.partition(" = ")[2] for line in conf.read_text().splitlines() if line.startswith(f"{name} = "))


def _daemon(processes: contextlib.ExitStack, conf: Path, program: str, *args: str) -> tuple[subprocess.Popen[bytes], Path]:
    log = conf.parent / f"{program}.log"
    return processes.enter_context(running([program, "-c", str(conf), "-f", *args], log)), log


def _ceph(conf: Path, *args: str) -> str:
    return _run("ceph", "-c", str(conf), "--connect-timeout", "30", *args)


def _admin(conf: Path, *args: str) -> str:
    return _run("radosgw-admin", "-c", str(conf), "-n", "client.rgw", *args)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr[-2000:]}")
    return done.stdout
