"""A deployment of one's own: started, looked at and ended by its processes' ids, and used by its command line."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.acceptance.client import Client
from tests.acceptance.waiting import wait_until

ROOT = Path(__file__).parents[2]
STRONGROOM = Path(sys.executable).with_name("strongroom")
START_S, STOP_S = 120.0, 60.0
# A run of tests that is itself killed leaves no deployment behind: the kernel tells the supervisor (util-linux; exec, so the id stays)
TIED = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
PASSWORD = "correct horse battery staple"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Deployment:
    """`strongroom up` in a folder under /tmp. Everything it starts is ended by `end`."""

    def __init__(self, **settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sr-acceptance-"))
        self.state = self.folder / "state"
        self.port = free_port()
        self.settings = {"isolation_probes_per_hour": "0", **settings}  # no tenants come and go between the tests'
        self.process: subprocess.Popen[bytes] | None = None
        self.clients: list[Client] = []
        self._starts = 0
        self._operator: Client | None = None
        self._known: dict[int, psutil.Process] = {}

    # Life

    @property
    def environment(self) -> dict[str, str]:
        """What its processes are started with: nothing of a deployment around the tests."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM_")}
        return clean | {f"STRONGROOM_{name.upper()}": value for name, value in self.settings.items()}

    @property
    def output(self) -> Path:
        return self.folder / f"up-{self._starts}.out"

    @property
    def errors(self) -> Path:
        return self.folder / f"up-{self._starts}.err"

    def launch(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Run `strongroom up` without waiting for anything."""
        self._starts += 1
        command = [*TIED, STRONGROOM, "up", "--state", self.state, "--port", str(self.port), *arguments]
        with self.output.open("wb") as out, self.errors.open("wb") as err:
            self.process = subprocess.Popen(command, env=self.environment, stdout=out, stderr=err, cwd=self.folder, start_new_session=True)
        return self.process

    def start(self, *arguments: str) -> str:
        """Start, and return what it printed once it was ready."""
        process = self.launch(*arguments)

        def printed() -> str:
            if process.poll() is not None:
                raise RuntimeError(f"'strongroom up' ended with {process.returncode}: {self.errors.read_text()}")
            text = self.output.read_text()
            return text if text.endswith("\n") and self.is_ready() else ""

        text = wait_until(printed, START_S, "the deployment to be ready")
        self.processes()
        return text

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send the supervisor a signal, as Ctrl-C does, and return its exit code."""
        assert self.process is not None
        self.processes()
        self.process.send_signal(number)
        return self.process.wait(STOP_S)

    def end(self) -> None:
        """End whatever is left, and remove the folder."""
        for client in self.clients:
            client.close()
        if self.process is not None and self.process.poll() is None:
            self.resume_all()
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_S)
        for process in self.living():
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # Processes

    def record(self) -> dict[str, Any]:
        """The supervisor's record."""
        try:
            return dict(json.loads((self.state / "run" / "supervisor.json").read_text()))
        except (OSError, ValueError):
            return {}

    def pid(self, name: str) -> int:
        """The process that the supervisor knows by a name."""
        found = {child["name"]: child["pid"] for child in self.record().get("children", [])}
        assert found.get(name), f"{name} is not running"
        return int(found[name])

    def workers(self) -> list[int]:
        """The processes that do background work."""
        return [int(child["pid"]) for child in self.record().get("children", []) if child["name"].startswith("worker") and child["pid"]]

    def children(self, name: str) -> list[int]:
        """The direct children of a supervised process, oldest first."""
        try:
            found = psutil.Process(self.pid(name)).children()
        except psutil.NoSuchProcess:
            return []
        return [process.pid for process in sorted(found, key=lambda each: (each.create_time(), each.pid))]

    def processes(self) -> dict[int, psutil.Process]:
        """Every process of the deployment, by id; remembered, so that none is overlooked when it is ended."""
        record = self.record()
        tops = [record.get("pid"), *(child["pid"] for child in record.get("children", []))]
        if self.process is not None and self.process.poll() is None:
            tops.append(self.process.pid)
        for pid in filter(None, tops):
            try:
                top = psutil.Process(pid)
                if str(self.folder) in " ".join(top.cmdline()) or self._is_ours(top):
                    self._known.update({each.pid: each for each in [top, *top.children(recursive=True)]})
            except psutil.Error:
                continue
        return self._known

    def _is_ours(self, process: psutil.Process) -> bool:
        return process.environ().get("STRONGROOM_RUN") == self.record().get("run_id")

    def living(self) -> list[psutil.Process]:
        """Those of all remembered processes that still live."""
        return [each for each in self._known.values() if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]

    def kill_all(self) -> None:
        """`kill -9` of everything at once."""
        assert self.process is not None
        targets = self.processes()
        for process in list(targets.values()):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait(STOP_S)
        wait_until(lambda: not self.living(), 20, "all processes to be gone")

    def resume_all(self) -> None:
        """Let go on whatever a test stopped."""
        for process in self.living():
            process.send_signal(signal.SIGCONT)

    # Use

    def is_ready(self) -> bool:
        """Whether /readyz says so."""
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def wait_ready(self, bound_s: float = 60) -> None:
        """Wait for /readyz."""
        wait_until(self.is_ready, bound_s, "/readyz")

    @property
    def credentials(self) -> dict[str, Any]:
        return dict(json.loads((self.state / "credentials.json").read_text()))

    def client(self, host: str = "localhost") -> Client:
        """A caller who has not signed in."""
        made = Client(self.port, host)
        self.clients.append(made)
        return made

    def tenant_client(self, slug: str) -> Client:
        return self.client(f"{slug}.localhost")

    def demo_owner(self) -> Client:
        """The owner of the demo tenant, signed in."""
        known = self.credentials["tenant"]
        return self.tenant_client(known["slug"]).login(known["email"], known["password"])

    def operator(self) -> Client:
        """The operator of the first start, signed in (again, when the token has grown old)."""
        if self._operator is None or self._operator.get("/operator/api/v1/operators").status_code == 401:
            known = self.credentials["operator"]
            self._operator = self.client().login(known["email"], known["password"], base="/operator/api/v1")
        return self._operator

    def tenant(self, *, provider: str | None = None, **limits: int) -> Tenant:
        """A fresh tenant with its owner signed in."""
        slug = f"t{secrets.token_hex(6)}"
        body = {"slug": slug, "owner_email": f"owner@{slug}.test", "owner_password": PASSWORD, "limits": limits}
        response = self.operator().post("/operator/api/v1/tenants", json=body | ({"provider": provider} if provider else {}))
        assert response.status_code == 201, response.text
        owner = self.tenant_client(slug).login(f"owner@{slug}.test", PASSWORD)
        return Tenant(self, response.json(), owner)

    def run(self, *arguments: Any, stdin: str = "", env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command of the command line to its end."""
        environment = self.environment | dict(env or {})
        return subprocess.run(
            [STRONGROOM, *map(str, arguments)], input=stdin, env=environment, capture_output=True, text=True, timeout=120, check=False,
            cwd=self.folder,
        )  # fmt: skip

    def command(self, *arguments: Any, stdin: str = "", env: Mapping[str, str] | None = None) -> Any:
        """Run a command that must succeed, with --state and --json; its answer."""
        done = self.run(*arguments, "--state", self.state, "--json", stdin=stdin, env=env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


class Tenant:
    """A tenant made for one test."""

    def __init__(self, deployment: Deployment, shown: dict[str, Any], owner: Client) -> None:
        self.deployment, self.shown, self.owner = deployment, shown, owner
        self.slug, self.id = str(shown["slug"]), str(shown["id"])

    def user(self, role: str = "member") -> Client:
        """A further user of the tenant, signed in."""
        email = f"{role}-{secrets.token_hex(3)}@{self.slug}.test"
        made = self.owner.post("/api/v1/users", json={"email": email, "role": role, "password": PASSWORD})
        assert made.status_code == 201, made.text
        return self.deployment.tenant_client(self.slug).login(email, PASSWORD)

    def stored(self, root: Path | None = None) -> dict[str, Path]:
        """What lies on the disk for this tenant: every file's place by its name."""
        own = self.id.replace("-", "")
        base = root or self.deployment.state / "files"
        return {path.name: path for path in base.rglob("*") if path.is_file() and own in str(path)}
