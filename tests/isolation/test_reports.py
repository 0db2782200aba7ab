"""Reports: what the tenant gets, the signature, and checking it with the command and with openssl alone."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from strongroom.cli.main import main as cli
from strongroom.errors import ValidationFailed
from strongroom.isolation import repository, service, signing
from strongroom.isolation.models import FORMAT, StoredReport
from strongroom.probe import run
from strongroom.probe.stage import planted
from strongroom.probe.tally import Tally

from tenants.models import Tenant
from tests.factories import Account, Client, World, make_settings, ok, problem, token_bytes

REPORT, KEYS = "/api/v1/tenant/isolation-report", "/api/v1/isolation-keys"
GUIDE = Path(__file__).parents[2] / "docs/guides/isolation.md"


def keep_report(world: World, tenant: Tenant) -> StoredReport:
    """A signed report, without the work of a probe."""
    with planted(world.runtime, tenant) as target:
        report = run._sign(world.runtime, target, Tally(60), datetime.now(UTC))
        with world.runtime.tenant(tenant) as connection:
            repository.finish(connection, report)
    return report


@pytest.fixture
def document(world: World, tenant: Tenant, client: Client) -> Any:
    keep_report(world, tenant)
    return ok(client.get(REPORT))


@pytest.fixture
def published(client: Client) -> str:
    """The key as anybody gets it."""
    (key,) = ok(client.as_(None).get(KEYS))["items"]
    assert key["present"] is True
    return str(key["public_key"])


def test_the_newest_report_is_given_with_its_signature(world: World, tenant: Tenant, client: Client) -> None:
    problem(client.get(REPORT), 404, "not_found")
    keep_report(world, tenant)
    newest = keep_report(world, tenant)
    document = ok(client.get(REPORT))
    assert document["signed"] == newest.signed
    assert document["report"] == json.loads(newest.signed)
    assert document["report"]["tenant"] == {"id": str(tenant.id), "slug": tenant.slug}
    assert document["report"]["format"] == FORMAT
    assert document["algorithm"] == "Ed25519"


def test_old_reports_are_forgotten(world: World, tenant: Tenant) -> None:
    for _ in range(3):
        last = keep_report(world, tenant)
    with world.runtime.tenant(tenant) as connection:
        assert repository.forget_old(connection, 1, 3600) == 2
        newest = repository.newest(connection)
        assert newest is not None
        assert newest.id == last.id
    assert service.forget_old(world.runtime, tenant) == 0


def test_another_tenants_report_is_not_to_be_had(world: World, document: Any) -> None:
    assert document
    other = world.client(world.create_user(world.create_tenant()))
    problem(other.get(REPORT), 404, "not_found")


def test_the_console_shows_it_and_gives_the_file(world: World, owner: Account, tenant: Tenant) -> None:
    browser = world.browser(owner)
    assert "No report yet" in browser.get("/console/isolation/").get_data(as_text=True)
    keep_report(world, tenant)
    page = browser.get("/console/isolation/").get_data(as_text=True)
    assert "Nothing was found" in page
    file = browser.get("/console/isolation/report.json")
    assert "attachment" in file.headers["Content-Disposition"]
    assert signing.check(json.loads(file.data)).report["tenant"]["slug"] == tenant.slug


# Checking, by hand and by command


def test_a_good_report_is_good(document: Any, published: str) -> None:
    assert signing.check(document).known_key is None
    assert signing.check(document, [published]).known_key is True
    assert signing.check({name: document[name] for name in ("signed", "signature", "public_key")}, [published]).report == document["report"]


def other_key() -> str:
    return Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


ALTERED = {
    "the text": lambda each: {**each, "signed": each["signed"].replace('"attempts": 0', '"attempts": 9')},
    "what is shown beside it": lambda each: {**each, "report": {**each["report"], "ok": not each["report"]["ok"]}},
    "the signature": lambda each: {**each, "signature": "A" * 86 + "=="},
    "no signature": lambda each: {**each, "signature": ""},
    "another key": lambda each: {**each, "public_key": other_key()},
    "no key": lambda each: {**each, "public_key": "nonsense"},
    "another format": lambda each: {**each, "signed": each["signed"].replace(FORMAT, "x")},
    "nothing": lambda _: {},
    "no JSON": lambda each: {**each, "signed": "{"},
    "a list": lambda each: {**each, "signed": "[]"},
}


@pytest.mark.parametrize("name", ALTERED)
def test_whatever_is_altered_is_seen(document: Any, published: str, name: str) -> None:
    altered = ALTERED[name](document)
    assert altered != document
    with pytest.raises(ValidationFailed):
        signing.check(altered, [published])


def test_a_key_that_is_not_trusted(document: Any) -> None:
    """Whoever signs anew with a key of its own gets past the signature, not past the key that came another way."""
    mine = Ed25519PrivateKey.generate()
    forged = {
        "signed": document["signed"],
        "signature": base64.b64encode(mine.sign(document["signed"].encode())).decode(),
        "public_key": mine.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    }
    assert signing.check(forged).known_key is None
    with pytest.raises(ValidationFailed, match="not the one that you trust"):
        signing.check(forged, [document["public_key"]])


def test_the_key_outlives_a_new_master_key(world: World, tenant: Tenant, client: Client) -> None:
    keep_report(world, tenant)
    former = ok(client.get(REPORT))
    fresh = token_bytes("another master key").decode()
    renewed = world.again(master_key=fresh, master_keys_old=[world.settings.master_key.get_secret_value()])
    keys = signing.public_keys(renewed.runtime.keys)
    assert [key.present for key in keys] == [True, False]
    assert keys[1].key_id == former["key_id"]
    assert service.latest(renewed.runtime, tenant)["public_key"] == former["public_key"]


def command(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["isolation", *arguments])


def test_the_command_checks_a_file(document: Any, published: str, tmp_path: Path) -> None:
    report, key, other = tmp_path / "report.json", tmp_path / "key.pem", tmp_path / "other.pem"
    report.write_text(json.dumps(document))
    key.write_text(published)
    other.write_text(other_key())
    assert command("check-report", str(report)).exit_code == 0
    told = command("check-report", str(report), "--public-key", str(other), "--public-key", str(key), "--json")
    assert told.exit_code == 0
    assert json.loads(told.output)["known_key"] is True
    assert command("check-report", str(report), "--public-key", str(other)).exit_code == 1
    report.write_text(report.read_text().replace("controls", "Controls"))
    assert command("check-report", str(report)).exit_code == 1
    report.write_text("no JSON")
    assert command("check-report", str(report)).exit_code == 1


def test_the_guides_commands_work_offline(document: Any, published: str, tmp_path: Path) -> None:
    """As they stand in the guide, with a shell, Python and openssl alone."""
    (tmp_path / "isolation-report.json").write_text(json.dumps(document))
    (tmp_path / "key.pem").write_text(published)
    blocks = re.findall(r"```sh offline\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(blocks) == 2
    for script in blocks:
        done = subprocess.run(["bash", "-ec", script], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, "Signature Verified Successfully" in done.stdout) == (0, True), done
    (tmp_path / "isolation-report.json").write_text(json.dumps({**document, "signed": document["signed"] + " "}))
    for script in blocks:
        assert subprocess.run(["bash", "-ec", script], cwd=tmp_path, capture_output=True, check=False).returncode


@pytest.mark.slow
def test_the_command_probes(world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = make_settings(world.database)
    monkeypatch.setattr("strongroom.cli.context.load_settings", lambda: settings)
    told = command("verify", "--tenant", tenant.slug, "--json")
    assert told.exit_code == 0, told.output
    said = json.loads(told.output)
    assert said["ok"] is True
    assert signing.check(said["items"][0]).report["tenant"]["slug"] == tenant.slug
    assert command("verify", "--tenant", "nobody-here").exit_code == 1
    keys = command("keys", "--json")
    assert json.loads(keys.output)["items"][0]["public_key"] == said["items"][0]["public_key"]
