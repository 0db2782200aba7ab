"""`strongroom tenant move-bytes` and `tenant set-provider`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from strongroom.cli.context import OPERATOR, Session, command_options, size
from strongroom.cli.tenants import tenant
from strongroom.moving.models import MoveState, Report
from strongroom.operating import moves, providers


@tenant.command(name="set-provider")
@click.argument("slug")
@click.argument("name")
@command_options
def set_provider(session: Session, slug: str, name: str) -> None:
    """Have a tenant's new files go to a provider; those that it has stay where they are."""
    with session.runtime() as runtime:
        made = providers.set_tenant_provider(runtime, OPERATOR, slug, name)
    session.show({"slug": made.slug, "provider": name}, f"New files of '{slug}' go to '{name}' from now on.")


@tenant.command(name="move-bytes")
@click.argument("slug")
@click.option("--to", "provider", required=True, help="The provider that is to hold all of the tenant's bytes.")
@click.option("--dry-run", is_flag=True, help="Only tell how much there is to move.")
@click.option("--no-wait", is_flag=True, help="Begin, and leave it to the workers.")
@command_options
def move_bytes(session: Session, slug: str, provider: str, dry_run: bool, no_wait: bool) -> None:
    """Move a tenant's bytes to another provider while it goes on working.

    The workers do it: this command shows how far they are. It can be cut off and run again at any time.
    """
    with session.runtime() as runtime:
        if dry_run:
            left = moves.plan(runtime, slug, provider)
            text = f"{left.objects} objects, {size(left.size_bytes)} would be moved; {left.uploads} uploads are under way."
            session.show({"dry_run": True, **asdict(left)}, text)
            return
        report = moves.begin(runtime, OPERATOR, slug, provider)
        runtime.announcer.flush()
        if not no_wait:
            report = session.watch(lambda: moves.report(runtime, slug), _is_over, _progress)
    session.show(report, _text(report))
    if report.failures:
        raise SystemExit(1)


def _is_over(report: Report) -> bool:
    return report.move is None or report.move.state == MoveState.DONE


def _progress(report: Report) -> str:
    move, left = report.move, report.left
    moved: Any = (move.moved_objects, size(move.moved_bytes)) if move else (0, size(0))
    waiting = f", {left.uploads} uploads under way" if left.uploads else ""
    problem = f". {move.problem}" if move and move.problem else ""
    return f"{moved[0]} objects moved ({moved[1]}), {left.objects} left ({size(left.size_bytes)}){waiting}{problem}"


def _text(report: Report) -> str:
    lines = [_progress(report)]
    if report.failures:
        lines.append("Left where they are:")
        lines += [f"  {each.path} ({each.version_id}): {each.reason}" for each in report.failures]
    return "\n".join(lines)
