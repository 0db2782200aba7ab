"""`strongroom provider …`"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from strongroom.cli.context import OPERATOR, Session, command_options, table
from strongroom.errors import ValidationFailed
from strongroom.operating import providers
from strongroom.operating.providers import Step
from strongroom.storage.providers import KINDS


@click.group()
def provider() -> None:
    """Providers: where tenants' bytes live."""


def described(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say how a provider is reached. Secrets come from files or standard input, never from arguments."""
    options = (
        click.option("--root", type=click.Path(path_type=Path), help="filesystem: the folder that holds the objects."),
        click.option("--set", "fields", multiple=True, metavar="KEY=VALUE", help="A field of the configuration; JSON or plain text."),
        click.option("--config-json", metavar="FILE", help="The configuration as a JSON object; '-': from standard input."),
        click.option("--secret", "secret_files", multiple=True, metavar="KEY=@FILE", help="A secret, read from a file."),
        click.option("--secrets-stdin", is_flag=True, help="All secrets, as a JSON object from standard input."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@provider.command(name="add")
@click.argument("name")
@click.option("--kind", type=click.Choice(sorted(KINDS)), required=True)
@click.option("--default", "is_default", is_flag=True, help="New tenants are given this provider.")
@click.option("--offer-as-host", is_flag=True, help="Tenants may mirror their files to it.")
@described
@command_options
def add_provider(session: Session, name: str, kind: str, is_default: bool, offer_as_host: bool, **given: Any) -> None:
    """Add a provider after having seen that everything works there."""
    config, secrets = _config(given) or {}, _secrets(given) or {}
    with session.runtime() as runtime:
        made = providers.add_provider(runtime, OPERATOR, name=name, kind=kind, config=config, secrets=secrets, default=is_default)
        if offer_as_host:
            made = providers.offer_as_host(runtime, OPERATOR, name, offered=True)
        shown = providers.shown(runtime, made)
    session.show(shown, f"Provider '{name}' is ready{' and the default' if is_default else ''}.")


@provider.command(name="set")
@click.argument("name")
@click.option("--offer-as-host/--no-offer-as-host", "offered", required=True, help="Whether tenants may mirror their files to it.")
@command_options
def set_provider(session: Session, name: str, offered: bool) -> None:
    """Let tenants mirror their files to a provider, or let no more of them begin to."""
    with session.runtime() as runtime:
        shown = providers.shown(runtime, providers.offer_as_host(runtime, OPERATOR, name, offered=offered))
    session.show(shown, f"Provider '{name}' is {'' if offered else 'not '}offered to tenants for mirroring.")


@provider.command(name="update")
@click.argument("name")
@described
@command_options
def update_provider(session: Session, name: str, **given: Any) -> None:
    """Replace a provider's configuration, its secrets, or both, after having seen that everything works with them."""
    config, secrets = _config(given), _secrets(given)
    if config is None and secrets is None:
        raise click.UsageError("Give a new configuration (--set, --config-json, --root) or new secrets (--secret, --secrets-stdin).")
    with session.runtime() as runtime:
        changed = providers.update_provider(runtime, OPERATOR, name, config=config, secrets=secrets)
        shown = providers.shown(runtime, changed)
    session.show(shown, f"Provider '{name}' was changed. Running processes go over to it within half a minute.")


def _config(given: dict[str, Any]) -> dict[str, Any] | None:
    """Return the configuration that was given; None when none was."""
    if not (given["root"] or given["fields"] or given["config_json"]):
        return None
    source = given["config_json"]
    config = {} if source is None else _json_object(sys.stdin.read() if source == "-" else _text(source, "config"), "config")
    if given["root"]:
        config["root"] = str(given["root"].resolve())
    return {**config, **{name: _value(text) for name, text in _pairs(given["fields"], "--set KEY=VALUE")}}


def _secrets(given: dict[str, Any]) -> dict[str, Any] | None:
    """Return the secrets that were given; None when none were."""
    if not (given["secret_files"] or given["secrets_stdin"]):
        return None
    if given["secrets_stdin"] and given["config_json"] == "-":
        raise click.UsageError("Only one of --config-json - and --secrets-stdin can read standard input.")
    secrets = _json_object(sys.stdin.read(), "secrets") if given["secrets_stdin"] else {}
    for name, source in _pairs(given["secret_files"], "--secret KEY=@FILE"):
        if not source.startswith("@"):
            raise click.UsageError(f"Write --secret {name}=@FILE: a secret on the command line can be read by every user of the machine.")
        secrets[name] = _text(source[1:], f"secrets.{name}").strip()
    return secrets


def _pairs(given: Sequence[str], usage: str) -> list[tuple[str, str]]:
    wrong = [each.partition("=")[0] for each in given if "=" not in each]
    if wrong:
        raise click.UsageError(f"Write {usage} for '{wrong[0]}'.")
    return [(name, value) for name, _, value in (each.partition("=") for each in given)]


def _value(text: str) -> Any:
    """Return what a text says as JSON, or the text itself: bucket names are not quoted by anybody."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _text(path: str, field: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ValidationFailed(errors={field: [f"The file {path} cannot be read ({type(error).__name__})."]}) from None


def _json_object(text: str, field: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValidationFailed(errors={field: ["This must be a JSON object."]})
    return found


@provider.command(name="list")
@command_options
def list_providers(session: Session) -> None:
    """List providers; of their secrets only the names."""
    with session.runtime() as runtime:
        found = providers.list_shown(runtime)
    rows: list[list[Any]] = [
        [each["name"], each["kind"], "yes" if each["is_default"] else "", json.dumps(each["config"]), ", ".join(each["secrets_set"]) or "-"]
        for each in found
    ]
    session.show({"items": found}, table(["NAME", "KIND", "DEFAULT", "CONFIGURATION", "SECRETS SET"], rows))


@provider.command(name="test")
@click.argument("name")
@command_options
def try_provider(session: Session, name: str) -> None:
    """Do at a provider once everything that Strongroom does there, and tell how each step went."""
    with session.runtime() as runtime:
        steps = providers.try_provider(runtime, name)
    ok = all(step.ok for step in steps)
    session.show({"ok": ok, "steps": steps}, "\n".join(_line(step) for step in steps))
    if not ok:
        raise SystemExit(1)


def _line(step: Step) -> str:
    advice = f"\n        What to do: {step.advice}" if step.advice else ""
    return f"{'ok    ' if step.ok else 'FAILED'}  {step.name}  {step.detail}".rstrip() + advice


@provider.command(name="delete")
@click.argument("name")
@command_options
def delete_provider(session: Session, name: str) -> None:
    """Forget a provider that no tenant uses. What may lie there is left alone."""
    with session.runtime() as runtime:
        providers.delete_provider(runtime, OPERATOR, name)
    session.show({"deleted": name}, f"Provider '{name}' is forgotten.")


@provider.command(name="rotate-secrets")
@command_options
def rotate_secrets(session: Session) -> None:
    """Seal every stored secret under the present master key. Can be cut off and run again."""
    with session.runtime() as runtime:
        done = providers.rotate_secrets(runtime, OPERATOR)
    text = (
        f"Sealed anew: the secrets of {done.resealed} providers, {done.import_addresses} addresses of imports, "
        f"{done.tenant_secrets} secrets of tenants. Up to date: {done.already}."
    )
    session.show(done, text)
