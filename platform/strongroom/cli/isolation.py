"""`strongroom isolation …`: probe the walls between tenants; check a report's signature, which needs nothing but the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from strongroom.cli.context import Session, command_options, table
from strongroom.errors import ValidationFailed
from strongroom.isolation import service, signing
from strongroom.isolation.models import Checked

AT_ONCE = 50


@click.group()
def isolation() -> None:
    """Probe the walls between tenants, and check the signed reports on them."""


@isolation.command()
@click.option("--tenant", "slug", help="Only this tenant. Else those whose probe is longest ago.")
@click.option("--limit", default=AT_ONCE, show_default=True, type=click.IntRange(min=0), help="At most so many tenants; 0: all.")
@command_options
def verify(session: Session, slug: str | None, limit: int) -> None:
    """Plant secrets, try with every other kind of credential to reach them, and keep a signed report for each tenant."""
    from strongroom.operating.service import find_tenant  # noqa: PLC0415 - `check-report` needs no deployment
    from strongroom.probe import run  # noqa: PLC0415 - and with it the whole application

    with session.settings() as settings, run.prober(settings) as runtime:
        chosen = [find_tenant(runtime, slug)] if slug else run.due(runtime, limit or None)
        app = run.make_app(runtime)
        found = [(each.slug, service.document(runtime, run.verify(runtime, app, each))) for each in chosen]
    ok = all(document["report"]["ok"] for _, document in found)
    rows = [_row(name, document["report"]) for name, document in found]
    lines = [f"{name}: {_said(each)}" for name, document in found for each in document["report"]["findings"]]
    text = table(["TENANT", "ATTEMPTS", "CONTROLS", "FINDINGS", ""], rows)
    session.show({"ok": ok, "items": [{"tenant": name, **document} for name, document in found]}, "\n".join([text, *lines]))
    if not ok:
        raise SystemExit(1)


def _row(name: str, report: dict[str, Any]) -> list[Any]:
    state = "ok" if report["ok"] else "FOUND SOMETHING" if report["findings"] else "not complete: the time was over"
    return [name, report["attempts"], report["controls"], len(report["findings"]), state]


def _said(finding: dict[str, Any]) -> str:
    return f"{finding['wall']}: {finding['attempt']} by {finding['credential']} at {finding['at']}: {finding['found']}"


@isolation.command(name="check-report")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--public-key", "key_files", multiple=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A key (PEM) that you trust, which came to you by another way than the report. Can be given several times.",
)  # fmt: skip
@command_options
def check_report(session: Session, file: Path, key_files: tuple[Path, ...]) -> None:
    """Check a report's signature, offline."""
    try:
        document = json.loads(file.read_text())
    except ValueError:
        raise ValidationFailed(f"{file} is no JSON document.") from None
    if not isinstance(document, dict):
        raise ValidationFailed(f"{file} is no isolation report.")
    checked = signing.check(document, [each.read_text() for each in key_files])
    session.show(checked, _summary(checked))


def _summary(checked: Checked) -> str:
    report = checked.report
    trusted = "a key that you trust" if checked.known_key else "the key in the report itself: compare it with one that came another way"
    count = len(report["findings"])
    return "\n".join([
        f"The signature is good, by {trusted} (key {checked.key_id}).",
        f"Tenant {report['tenant']['slug']} ({report['tenant']['id']}), {report['ended_at']}: {report['attempts']} attempts, "
        f"{report['controls']} controls, {count} findings.",
        *(_said(each) for each in report["findings"]),
    ])  # fmt: skip


@isolation.command()
@command_options
def keys(session: Session) -> None:
    """Print the public keys that verify this deployment's reports, the present one first."""
    with session.runtime() as runtime:
        found = signing.public_keys(runtime.keys)
    session.show({"items": found}, "\n".join(each.public_key for each in found))
