"""Mail is allowed here, to a server of the test's own."""

from __future__ import annotations

import smtplib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.services.mail import MailServer
from tests.services.mail import mail_server as run_mail_server

REAL_INIT = smtplib.SMTP.__init__


@pytest.fixture
def make_mail_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], MailServer]]:
    """Start a mail server: with `none`, `starttls` or `tls`."""
    monkeypatch.setattr(smtplib.SMTP, "__init__", REAL_INIT)
    with ExitStack() as running:
        yield lambda security: running.enter_context(run_mail_server(tmp_path, security))


@pytest.fixture
def mail_server(make_mail_server: Callable[[str], MailServer]) -> MailServer:
    return make_mail_server("none")
