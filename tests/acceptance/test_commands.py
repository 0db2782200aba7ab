"""Point 2: the command line: exit codes, --json, --help, and errors that say what to do."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest

from tests.acceptance.client import assert_problem
from tests.acceptance.deployment import PASSWORD, Deployment
from tests.acceptance.waiting import wait_until

NAMES = """
up | migrate | doctor | tenant | tenant create | tenant list | tenant show | tenant suspend | tenant resume | tenant delete | tenant limits
| tenant rename | tenant restore | tenant operations | tenant retry | tenant export | tenant import
| operator | operator create | operator list | provider | provider add | provider list | provider test | provider update
| provider delete | provider rotate-secrets | tenant set-provider | tenant move-bytes | stats | stats verify
| serve | worker | beat | bootstrap-sql | migrate freeze | migrate unfreeze | cell | cell list | cell show
| plan | plan add | plan list | plan show | plan update | plan delete | tenant set-plan
"""
COMMANDS = [(), *(tuple(name.split()) for name in NAMES.split("|"))]
ANSWERING = [command for command in COMMANDS if command and command[0] not in {"serve", "worker", "beat", "bootstrap-sql"}]
GROUPS = {("cell",), ("plan",), ("tenant",), ("operator",), ("provider",), ("stats",)}


def fresh_slug() -> str:
    return f"c{secrets.token_hex(5)}"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "strongroom")
def test_help(deployment: Deployment, command: tuple[str, ...]) -> None:
    done = deployment.run(*command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage:")
    assert not done.stderr
    if command in ANSWERING and command not in GROUPS:
        assert "--json" in done.stdout
        assert "--state" in done.stdout


def test_wrong_usage_is_exit_code_2(deployment: Deployment) -> None:
    for arguments in (
        ["nonsense"],
        ["tenant", "create"],
        ["tenant", "show"],
        ["provider", "add", "x", "--kind", "nonsense"],
        ["up", "--port", "0"],
    ):
        done = deployment.run(*arguments)
        assert done.returncode == 2, arguments
        assert "Usage:" in done.stderr
        assert not done.stdout


def test_tenant_from_creation_to_deletion(deployment: Deployment) -> None:
    slug = fresh_slug()
    made = deployment.command("tenant", "create", slug, "--owner-email", f"o@{slug}.test", "--owner-password-stdin", stdin=PASSWORD + "\n")
    assert made["slug"] == slug
    assert made["status"] == "active"
    assert made["url"] == f"http://{slug}.localhost:{deployment.port}"
    client = deployment.tenant_client(slug).login(f"o@{slug}.test", PASSWORD)
    assert slug in [each["slug"] for each in deployment.command("tenant", "list")["items"]]
    assert deployment.command("tenant", "show", slug)["id"] == made["id"]

    assert deployment.command("tenant", "suspend", slug)["status"] == "suspended"
    wait_until(lambda: client.get("/api/v1/buckets").status_code == 403, 5, "the suspension to be seen")
    assert_problem(client.get("/api/v1/buckets"), 403, "tenant_suspended")
    assert deployment.command("tenant", "resume", slug)["status"] == "active"
    wait_until(lambda: client.get("/api/v1/buckets").status_code == 200, 5, "the tenant to be open again")

    limited = deployment.command("tenant", "limits", slug, "--limit", "quota_files=3")
    assert limited["limits"]["quota_files"] == 3
    wait_until(lambda: client.quota()["quota_files"] == 3, 5, "the limit to be seen")

    other = f"other-{slug}"
    assert deployment.command("tenant", "rename", slug, other)["url"] == f"http://{other}.localhost:{deployment.port}"
    wait_until(lambda: client.get("/api/v1/buckets").status_code == 404, 5, "the former address to be nobody's")
    assert deployment.command("tenant", "rename", other, slug)["slug"] == slug
    wait_until(lambda: client.get("/api/v1/buckets").status_code == 200, 5, "the tenant to be back at it")

    deleted = deployment.command("tenant", "delete", slug, "--yes")
    assert (deleted["status"], deleted["operation"]["kind"], deleted["operation"]["state"]) == ("deleting", "delete", "open")
    wait_until(lambda: client.get("/api/v1/buckets").status_code == 404, 5, "the tenant to be closed")
    assert deployment.command("tenant", "restore", slug)["status"] == "active"
    wait_until(lambda: client.get("/api/v1/buckets").status_code == 200, 5, "the tenant to be open again")

    deployment.command("tenant", "delete", slug, "--now", "--confirm", slug)
    wait_until(lambda: client.get("/api/v1/buckets").status_code == 404, 5, "the tenant to be gone")
    assert_problem(client.get("/api/v1/buckets"), 404, "unknown_host")
    wait_until(lambda: slug not in [each["slug"] for each in deployment.command("tenant", "list")["items"]], 30, "it to be off the list")
    done = deployment.command("tenant", "operations", slug)["items"]
    assert [each["kind"] for each in done] == ["delete", "restore", "delete", "rename", "resume", "suspend"]
    assert {step["name"]: step["state"] for step in done[0]["steps"]}["bytes"] == "done"


def test_plans(deployment: Deployment) -> None:
    tenant, name = deployment.tenant(), f"plan-{fresh_slug()}"
    made = deployment.command("plan", "add", name, "--limit", "quota_buckets=1", "--limit", "requests_per_s=900")
    assert (made["name"], made["tenants"], made["limits"]["quota_buckets"]) == (name, 0, 1)
    assert made["limits"]["quota_users"] == deployment.command("plan", "show", "standard")["limits"]["quota_users"]
    assert deployment.command("tenant", "set-plan", tenant.slug, name)["plan"] == name
    wait_until(lambda: tenant.owner.quota()["plan"] == name, 5, "the plan to be seen")
    tenant.owner.bucket("media")
    refused = tenant.owner.post("/api/v1/buckets", json={"name": "another"})
    assert_problem(refused, 507, "quota_exceeded")
    assert '"requests";q=900;w=1' in refused.headers["RateLimit-Policy"]
    assert (deployment.state / "run" / "rates").read_bytes().strip(b"\0"), "the processes count together"
    assert deployment.command("plan", "update", name, "--limit", "quota_buckets=2")["tenants"] == 1
    wait_until(lambda: tenant.owner.post("/api/v1/buckets", json={"name": "another"}).status_code == 201, 5, "the change to be seen")
    assert name in [each["name"] for each in deployment.command("plan", "list")["items"]]
    done = deployment.run("plan", "delete", name, "--json", "--state", deployment.state)
    assert (done.returncode, json.loads(done.stderr)["code"]) == (1, "plan_in_use")
    deployment.command("tenant", "set-plan", tenant.slug, "standard")
    assert deployment.command("plan", "delete", name) == {"deleted": name}


def test_deleting_takes_bytes_and_a_new_tenant_of_that_name_starts_empty(deployment: Deployment) -> None:
    tenant = deployment.tenant()
    tenant.owner.bucket("media")
    tenant.owner.upload("media", "a.txt", b"canary")
    assert tenant.stored()
    deployment.command("tenant", "delete", tenant.slug, "--now", "--confirm", tenant.slug)
    wait_until(lambda: not tenant.stored(), 60, "its bytes to be removed")

    def again() -> bool:
        return deployment.run(
            "tenant", "create", tenant.slug, "--owner-email", "new@owner.test", "--owner-password-stdin", "--state", deployment.state,
            stdin=PASSWORD,
        ).returncode == 0  # fmt: skip

    wait_until(again, 60, "the name to be free again")
    fresh = deployment.tenant_client(tenant.slug).login("new@owner.test", PASSWORD)
    assert fresh.listed("/api/v1/buckets") == []
    wait_until(lambda: tenant.owner.get("/api/v1/buckets").status_code == 401, 5, "the former owner's token to be refused")
    former = deployment.tenant_client(tenant.slug).post("/api/v1/auth/login", json={"email": tenant.owner.email, "password": PASSWORD})
    assert_problem(former, 401, "invalid_credentials")


@pytest.mark.slow
def test_taken_out_and_brought_in(deployment: Deployment, tmp_path: Path) -> None:
    tenant, slug = deployment.tenant(), fresh_slug()
    tenant.owner.bucket("media")
    tenant.owner.upload("media", "folder/a.txt", b"canary")
    done = deployment.command("tenant", "export", tenant.slug, "--to", str(tmp_path))
    archive = Path(done["file"])
    assert archive.parent == tmp_path
    assert archive.stat().st_size == done["size_bytes"]
    assert archive.stat().st_mode & 0o077 == 0
    assert len(tenant.stored()) == 1, "it is fetched, so nothing stays at the provider"
    made = deployment.command("tenant", "import", str(archive), "--slug", slug)
    assert (made["status"], made["files"], made["size_bytes"]) == ("active", 1, 6)
    (invitation,) = made["invitations"]
    assert invitation["url"].startswith(f"http://{slug}.localhost:{deployment.port}/console/invite/")
    accept = {"token": invitation["url"].rpartition("/")[2], "name": "Ada", "password": PASSWORD}
    answer = deployment.tenant_client(slug).post("/api/v1/auth/invite/accept", json=accept)
    assert answer.status_code in {200, 201, 204}, answer.text
    owner = deployment.tenant_client(slug).login(invitation["email"], PASSWORD)
    wait_until(lambda: owner.get("/api/v1/objects/media/folder/a.txt").content == b"canary", 30, "the file to be checked")
    again = deployment.run("tenant", "export", tenant.slug, "--to", str(archive), "--state", deployment.state, "--json")
    assert again.returncode == 1
    assert "exists already" in again.stderr
    archive.write_bytes(archive.read_bytes()[:-2000])
    refused = deployment.run("tenant", "import", str(archive), "--slug", fresh_slug(), "--state", deployment.state, "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stderr)["code"] == "export_refused"


def test_deletion_asks_for_the_slug(deployment: Deployment) -> None:
    tenant = deployment.tenant()
    for options in ((), ("--now",), ("--now", "--yes")):
        done = deployment.run("tenant", "delete", tenant.slug, *options, "--state", deployment.state, stdin="another\n")
        assert done.returncode == 1
        assert "nothing was deleted" in done.stderr
    assert tenant.owner.get("/api/v1/buckets").status_code == 200


@pytest.mark.parametrize("slug", ["A", "a_b", "-a", "a-", "a--b", "www", "operator", "a.b", "x" * 41, "../x", "a%", "ä"])
def test_slugs_that_no_tenant_may_have(deployment: Deployment, slug: str) -> None:
    done = deployment.run(
        "tenant", "create", "--owner-email", "o@x.test", "--owner-password-stdin", "--state", deployment.state, "--json", "--", slug,
        stdin=PASSWORD,
    )  # fmt: skip
    assert done.returncode == 1
    assert json.loads(done.stderr)["code"] == "validation_failed"
    assert not done.stdout


def test_errors_are_told_for_people_and_for_programs(deployment: Deployment) -> None:
    missing = deployment.run("tenant", "show", "not-there", "--state", deployment.state, "--json")
    assert missing.returncode == 1
    assert json.loads(missing.stderr)["code"] == "not_found"
    for_people = deployment.run("tenant", "show", "not-there", "--state", deployment.state)
    assert for_people.returncode == 1
    assert for_people.stderr.strip()
    assert "Traceback" not in for_people.stderr
    taken = deployment.run(
        "tenant",
        "create",
        "acme",
        "--owner-email",
        "o@x.test",
        "--owner-password-stdin",
        "--state",
        deployment.state,
        "--json",
        stdin=PASSWORD,
    )
    assert json.loads(taken.stderr)["code"] == "already_exists"
    short = deployment.run(
        "tenant",
        "create",
        fresh_slug(),
        "--owner-email",
        "o@x.test",
        "--owner-password-stdin",
        "--state",
        deployment.state,
        "--json",
        stdin="short",
    )
    assert "password" in json.loads(short.stderr)["errors"]


def test_a_folder_without_a_deployment(deployment: Deployment, tmp_path: Path) -> None:
    done = deployment.run("tenant", "list", "--state", tmp_path / "nothing")
    assert done.returncode == 1
    assert "strongroom up" in done.stderr


def test_an_unknown_setting_is_refused(deployment: Deployment) -> None:
    done = deployment.run("tenant", "list", "--state", deployment.state, env={"STRONGROOM_NONSENSE": "1"})
    assert done.returncode == 1
    assert "STRONGROOM_NONSENSE" in done.stderr


def test_operators(deployment: Deployment) -> None:
    email = f"{fresh_slug()}@operators.test"
    made = deployment.command("operator", "create", email, "--password-stdin", "--role", "viewer", stdin=PASSWORD)
    assert made["email"] == email
    assert "password" not in json.dumps(made).lower()
    listed = deployment.command("operator", "list")["items"]
    assert email in [each["email"] for each in listed]
    assert "hash" not in json.dumps(listed)
    viewer = deployment.client().login(email, PASSWORD, base="/operator/api/v1")
    assert viewer.get("/operator/api/v1/tenants").status_code == 200
    refused = viewer.post("/operator/api/v1/tenants", json={"slug": fresh_slug(), "owner_email": "a@b.test", "owner_password": PASSWORD})
    assert_problem(refused, 403, "forbidden")


def test_providers(deployment: Deployment, tmp_path: Path) -> None:
    name = fresh_slug()
    refused = deployment.run(
        "provider", "add", name, "--kind", "filesystem", "--root", tmp_path / "missing", "--state", deployment.state, "--json"
    )
    assert refused.returncode == 1
    assert str(tmp_path / "missing") in json.loads(refused.stderr)["detail"]
    root = deployment.folder / name
    root.mkdir()
    assert deployment.command("provider", "add", name, "--kind", "filesystem", "--root", root)["name"] == name
    assert name in [each["name"] for each in deployment.command("provider", "list")["items"]]
    tried = deployment.command("provider", "test", name)
    assert tried["ok"]
    assert all(step["ok"] for step in tried["steps"])
    tenant = deployment.tenant(provider=name)
    tenant.owner.bucket("media")
    file = tenant.owner.upload("media", "a.txt", b"at another provider")
    assert set(tenant.stored(root)) == {file["version_id"].replace("-", "")}
    assert not tenant.stored()


@pytest.mark.slow
def test_moving_there_and_back(deployment: Deployment) -> None:
    """By the workers, while the command waits."""
    name = fresh_slug()
    root = deployment.folder / name
    root.mkdir()
    deployment.command("provider", "add", name, "--kind", "filesystem", "--config-json", "-", stdin=json.dumps({"root": str(root)}))
    tenant = deployment.tenant()
    tenant.owner.bucket("media")
    files = {tenant.owner.upload("media", f"{each}.txt", b"content")["version_id"].replace("-", "") for each in range(3)}
    plan = deployment.command("tenant", "move-bytes", tenant.slug, "--to", name, "--dry-run")
    assert plan == {"dry_run": True, "objects": 3, "size_bytes": 21, "uploads": 0}
    for place in (name, "local"):
        report = deployment.command("tenant", "move-bytes", tenant.slug, "--to", place)
        assert (report["move"]["state"], report["left"]["objects"], report["failures"]) == ("done", 0, [])
        assert set(tenant.stored(root if place == name else None)) == files
    assert deployment.command("tenant", "set-provider", tenant.slug, name)["provider"] == name
    in_use = deployment.run("provider", "delete", name, "--state", deployment.state, "--json")
    assert (in_use.returncode, json.loads(in_use.stderr)["code"]) == (1, "provider_in_use")


def test_secrets_stay_out_of_sight(deployment: Deployment, tmp_path: Path) -> None:
    name = fresh_slug()
    (tmp_path / "key").write_text("very-secret-value\n")
    given = ["--kind", "s3", "--set", "bucket=x1", "--secret", "access_key_id=plain", "--state", deployment.state]
    plain = deployment.run("provider", "add", name, *given)
    assert plain.returncode == 2
    assert "@FILE" in plain.stderr
    given = ["--kind", "s3", "--set", "bucket=x1", "--set", "addresing=path", "--secret", f"access_key_id=@{tmp_path / 'key'}"]
    wrong = deployment.run("provider", "add", name, *given, "--state", deployment.state)
    assert wrong.returncode == 1
    assert "addresing" in wrong.stderr
    assert "very-secret-value" not in wrong.stderr + wrong.stdout
    rotated = deployment.command("provider", "rotate-secrets")
    assert rotated["resealed"] == 0


def test_migrate_can_be_repeated_and_tells_its_status(deployment: Deployment) -> None:
    before = deployment.command("migrate", "--status")
    assert before["current"]
    assert deployment.command("migrate") == before


def test_stats_verify(deployment: Deployment) -> None:
    tenant = deployment.tenant()
    tenant.owner.bucket("media")
    tenant.owner.upload("media", "a.txt", b"counted")
    assert deployment.command("stats", "verify", "--tenant", tenant.slug) == {"ok": True, "differences": {}, "tenants": 1}
    assert deployment.command("stats", "verify")["ok"]
