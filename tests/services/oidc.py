"""Starts a certified OpenID provider (npm: oidc-provider) for as long as a `with` block lasts, and signs people in there.

Its clients register themselves; whoever signs in types who it is, see oidc_provider.mjs.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests

from tests.services.node import MODULES, give_up
from tests.services.processes import free_port, listens, running, wait_for

SCRIPT = Path(__file__).with_name("oidc_provider.mjs")
HOPS = 10


@dataclass(frozen=True)
class OidcClient:
    """A client that was registered."""

    client_id: str
    client_secret: str


@dataclass(frozen=True)
class OidcProvider:
    """A running provider."""

    port: int

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def register(self, *redirect_uris: str, **metadata: Any) -> OidcClient:
        """Register a client."""
        body = {"redirect_uris": list(redirect_uris), **metadata}
        answer = requests.post(f"{self.issuer}/reg", json=body, timeout=10)
        assert answer.status_code == 201, answer.text
        return OidcClient(answer.json()["client_id"], answer.json()["client_secret"])

    def sign_in(self, authorization_url: str, who: str) -> str:
        """Go through the provider's pages as a browser does; return the address that it sends the browser back to."""
        with requests.Session() as browser:
            answer = browser.get(authorization_url, allow_redirects=False, timeout=10)
            for _ in range(HOPS):
                if answer.is_redirect:
                    to = urljoin(answer.url, answer.headers["Location"])
                    if not to.startswith(self.issuer):
                        return to
                    answer = browser.get(to, allow_redirects=False, timeout=10)
                else:
                    assert re.search("Who are you", answer.text), (answer.status_code, answer.text)
                    answer = browser.post(answer.url, data={"who": who}, allow_redirects=False, timeout=10)
        raise AssertionError("the provider sends the browser around without end")


def need() -> str:
    """The program that runs it; skips the test where something is not installed, and fails it with CI=true."""
    node = shutil.which("node")
    if not node or not (MODULES / "oidc-provider").is_dir():
        give_up("node or oidc-provider is missing")
    return node


@contextlib.contextmanager
def oidc_provider(port: int | None = None) -> Iterator[OidcProvider]:
    """Run a provider, at a free port or at this one."""
    node, port = need(), port or free_port()
    folder = Path(tempfile.mkdtemp(prefix="sr-oidc-"))
    log = folder / "oidc.log"
    try:
        with running([node, str(SCRIPT), str(MODULES), str(port)], log) as process:
            wait_for(lambda: listens(port), process, log)
            yield OidcProvider(port)
    finally:
        shutil.rmtree(folder)
