"""Configuration: what is unknown, missing or wrong stops the program, and names itself, but not its value."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict, fields, replace
from typing import Any

import pytest
from strongroom.config import Settings, load_settings
from strongroom.errors import ConfigurationError

from tests.factories import token_bytes

GOOD = {
    "database_url": "postgresql://app@localhost/strongroom", "master_key": token_bytes("a master key").decode(), "broker_url": "memory://",
}  # fmt: skip


def test_defaults() -> None:
    settings = load_settings({}, **GOOD)
    assert settings.cell_urls() == {"default": GOOD["database_url"]}
    assert settings.migration_cell_urls() == {}
    assert settings.allow_tenant_header is False
    assert settings.trusted_proxies == 0
    assert (settings.access_token_lifetime_s, settings.refresh_token_lifetime_s) == (900, 12 * 3600)


def test_an_unknown_variable_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigurationError, match="STRONGROOM_DATABSE_URL"):
        load_settings({"STRONGROOM_DATABSE_URL": "x", "PATH": "/bin"}, **GOOD)
    with pytest.raises(ConfigurationError, match=r"(?i)unknown_setting"):
        load_settings({}, **GOOD, unknown_setting=1)
    load_settings({"STRONGROOM_STATE": "/srv", "PATH": "/bin", "OTHER": "x"}, **GOOD)


def test_variables_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**GOOD, "threads": "7", "platform_hosts": '["files.example"]', "cells": '{"one": "postgres://a/b"}'}.items():
        monkeypatch.setenv(f"STRONGROOM_{name.upper()}", value)
    settings = load_settings()
    assert settings.threads == 7
    assert settings.platform_hosts == ["files.example"]
    assert settings.cell_urls() == {"one": "postgresql://a/b"}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"STRONGROOM_{name.upper()}"):
        load_settings({}, **{key: value for key, value in GOOD.items() if key != name})


WRONG = {
    "database_url": "mysql://secret-password@host/x", "master_key": "secret-key", "threads": 0, "tenant_thread_share": 1.5,
    "public_scheme": "ftp", "log_format": "xml", "job_lease_s": 1, "pool_size": "many", "access_token_lifetime_s": -1,
    "master_keys_old": ["x"], "registry_lifetime_s": "nan", "usage_delay_s": "", "allow_tenant_header": "maybe",
    "platform_hosts": "files.example",
    "outbound_ports": '["http"]', "outbound_allow": ["10.0.0.1/8"], "dns_resolvers": '["192.0.2.53:0"]',
    "base_domain": 7, "smtp_port": 65536,
    "dns_timeout_s": 61, "job_attempts": 1.5, "pool_timeout_s": True, "accel_prefix": "/_bytes/\n", "migration_cells": '{"one": 1}',
    "cells": {"one": "http://secret-password@x"}, "trusted_proxies": -1,
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_without_its_value(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"STRONGROOM_{name.upper()}") as caught:
        load_settings({}, **{**GOOD, name: WRONG[name]})
    assert "secret" not in str(caught.value)


NO_KEYS = ["", token_bytes("x").decode()[:-4], token_bytes("x").decode() * 2, "not base64 at all!!!", "0" * 64]


@pytest.mark.parametrize("key", NO_KEYS)
def test_master_keys_that_are_none(key: str) -> None:
    with pytest.raises(ConfigurationError, match="STRONGROOM_MASTER_KEY") as caught:
        load_settings({}, **{**GOOD, "master_key": key})
    assert not key or key not in str(caught.value)


READ: dict[str, tuple[Any, Any]] = {
    "threads": (" 7 ", 7), "pool_size": ("12.0", 12), "job_attempts": (3.0, 3), "registry_lifetime_s": ("0.5", 0.5),
    "allow_tenant_header": ("Yes", True), "registry_listen": ("0", False), "outbound_ports": ("[8080, \"8081\"]", [8080, 8081]),
    "outbound_allow": ('["10.1.0.0/16"]', ["10.1.0.0/16"]), "cells": ('{"one": "postgres://a/b"}', {"one": "postgresql://a/b"}),
    "accel_prefix": ("/_bytes/", "/_bytes/"), "migration_database_url": ("postgres://a/b", "postgresql://a/b"),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_texts_become_values(name: str) -> None:
    text, value = READ[name]
    found = getattr(load_settings({f"strongroom_{name}": text}, **GOOD), name)
    assert found == value
    assert type(found) is type(value)


def test_a_changed_copy_is_checked_too() -> None:
    settings = load_settings({}, **GOOD)
    changed = replace(settings, threads=9, master_keys_old=[GOOD["master_key"]])
    assert (changed.threads, changed.master_keys_old) == (9, [settings.master_key])
    with pytest.raises(ValueError, match="threads"):
        replace(settings, threads=0)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"STRONGROOM_THREADS": "1", "STRONGROOM_POOL_SIZE": "x"}, **GOOD)
    assert "STRONGROOM_THREADS: must be greater than 1" in str(caught.value)
    assert "STRONGROOM_POOL_SIZE" in str(caught.value)


def test_settings_do_not_change() -> None:
    settings = load_settings({}, **GOOD)
    with pytest.raises(FrozenInstanceError):
        settings.threads = 1  # type: ignore[misc]  # that is what is tested
    assert GOOD["master_key"] not in repr(settings)
    assert GOOD["master_key"] not in str(asdict(settings))


def test_every_setting_is_described() -> None:
    for field in fields(Settings):
        assert len(field.metadata["description"]) > 10, field.name


def test_addresses() -> None:
    settings = load_settings({}, **GOOD, public_port=8000)
    assert settings.tenant_url("acme", "/x") == "http://acme.localhost:8000/x"
    assert settings.public_url("::1") == "http://[::1]:8000"
    assert load_settings({}, **GOOD, public_scheme="https", base_domain="files.example").tenant_url("acme") == "https://acme.files.example"
