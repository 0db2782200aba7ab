"""`strongroom tenant export` and `tenant import`."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from strongroom.cli.context import OPERATOR, Session, command_options, size
from strongroom.cli.tenants import parse_limits, shown_tenant, tenant
from strongroom.errors import ConfigurationError
from strongroom.operating import takeout
from strongroom.runtime import Runtime
from strongroom.takeout.models import Export, ExportState
from tenants.models import LIMIT_NAMES, Tenant


@tenant.command(name="export")
@click.argument("slug")
@click.option("--to", "target", required=True, type=click.Path(path_type=Path), help="File for the archive, or a folder.")
@click.option("--keep", is_flag=True, help="Leave the archive at the provider too, until it expires.")
@command_options
def export(session: Session, slug: str, target: Path, keep: bool) -> None:
    """Take a tenant out as one archive: everything but secrets. It goes on working meanwhile.

    The workers make the archive; this command shows how far they are, and then fetches it. Cut off and run again, it goes on
    with the archive that is being made.
    """
    with session.runtime() as runtime:
        found, begun = takeout.begin(runtime, OPERATOR, slug)
        path = _path(target, found, begun)
        runtime.announcer.flush()
        done = _wait(session, runtime, found, begun)
        _fetch(runtime, found, done, path)
        if not keep:
            takeout.delete(runtime, found, done)
    shown = {"file": path, **asdict(done)}
    missing = f" {done.missing_objects} versions were removed meanwhile and are not in it." if done.missing_objects else ""
    session.show(shown, f"{path}: {size(done.size_bytes)}, {done.done_objects} versions.{missing}")


def _path(target: Path, found: Tenant, begun: Export) -> Path:
    path = target / f"{found.slug}-{begun.created_at:%Y-%m-%d}.tar" if target.is_dir() else target
    if path.exists():
        raise ConfigurationError(f"{path} exists already; name another file.")
    if not path.parent.is_dir():
        raise ConfigurationError(f"There is no folder {path.parent}.")
    return path


def _wait(session: Session, runtime: Runtime, found: Tenant, begun: Export) -> Export:
    return session.watch(lambda: takeout.report(runtime, found, begun), lambda now: now.state == ExportState.READY, _progress)


def _progress(now: Export) -> str:
    problem = f". {now.problem}" if now.problem else ""
    return f"{now.done_objects} of {now.total_objects} versions ({size(now.done_bytes)} of {size(now.total_bytes)}){problem}"


def _fetch(runtime: Runtime, found: Tenant, done: Export, path: Path) -> None:
    """Write the archive; under its name it is whole."""
    partial = path.with_name(f"{path.name}.part")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for piece in takeout.pieces(runtime, found, done):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


@tenant.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--slug", required=True, help="The slug that it gets here.")
@click.option("--provider", help="Where its bytes go; default: the default provider.")
@click.option("--plan", default="standard", show_default=True)
@click.option("--limit", "limits", multiple=True, metavar="NAME=NUMBER", help=f"A limit of its own; names: {', '.join(LIMIT_NAMES)}.")
@command_options
def import_(session: Session, file: Path, slug: str, provider: str | None, plan: str, limits: tuple[str, ...]) -> None:
    """Bring an archive in as a new tenant: all of it, verified, or nothing.

    Users have no passwords here: the owners' invitations are shown, and they invite everyone else anew. All files are
    checked again before they can be had.
    """
    chosen: dict[str, Any] = {"slug": slug, "provider": provider, "plan": plan, "limits": parse_limits(limits)}
    with session.runtime() as runtime, file.open("rb") as source:
        made = takeout.import_tenant(runtime, OPERATOR, source, **chosen)
        runtime.announcer.flush()
        shown = {**shown_tenant(made.tenant, runtime.settings), "files": made.files, "size_bytes": made.size_bytes, "missing": made.missing}
    invitations = [{"email": each.user.email, "url": each.url} for each in made.invitations]
    lines = [f"Tenant '{slug}' is ready: {made.files} files, {size(made.size_bytes)}. Its owners set their passwords here:"]
    lines += [f"  {each['email']}: {each['url']}" for each in invitations]
    session.show({**shown, "invitations": invitations}, "\n".join(lines))
