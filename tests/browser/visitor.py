"""A person at a browser: one window with its own cookies, in which nothing may go wrong unnoticed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, expect

from tests.acceptance.deployment import PASSWORD, Deployment
from tests.acceptance.waiting import wait_until

REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""
OF_RESOURCE = re.compile(r"Failed to load resource: the server responded with a status of (\d{3})")
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


class Visitor:
    """One window. `trouble` gathers script errors, console errors and violations of the page's security policy.

    `expected`: statuses that the test itself brings about, and which Chromium therefore reports.
    """

    def __init__(self, context: BrowserContext, deployment: Deployment, host: str, *expected: int) -> None:
        self.deployment, self.host, self.context = deployment, host, context
        self.origin = f"http://{host}:{deployment.port}"
        self.trouble: list[str] = []
        self._expected = {str(status) for status in expected}
        context.add_init_script(REPORT_VIOLATIONS)
        context.set_default_timeout(15_000)
        self.page: Page = context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.trouble.append(f"{self.page.url}: {error}"))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        found = OF_RESOURCE.match(message.text)
        if not (found and found[1] in self._expected):
            self.trouble.append(f"{self.page.url}: {message.text}")

    # Going about

    def open(self, path: str) -> int:
        """Go to an address of this host; return the status."""
        response = self.page.goto(self.origin + path)
        assert response is not None
        return response.status

    def fill_in(self, email: str, password: str) -> None:
        """Sign in by the form that is open."""
        self.page.get_by_label("Email").fill(email)
        self.page.get_by_label("Password", exact=True).fill(password)
        self.page.get_by_role("button", name="Sign in").click()

    def sign_in(self, email: str, password: str = PASSWORD, root: str = "/console") -> Visitor:
        """Get the cookie as the form would, without loading a page for it."""
        with self.deployment.client(self.host) as client:
            answer = client.post(f"{root}/login", data={"email": email, "password": password})
        assert answer.status_code == 303, answer.text
        cookies = [{"name": each.name, "value": each.value, "domain": self.host, "path": each.path} for each in answer.cookies]
        self.context.add_cookies(cookies)  # type: ignore[arg-type]  # a dict is what it takes
        return self

    def bring_in(self, path: str = "/console/") -> Visitor:
        """Open a page; for the end of a line of calls."""
        self.open(path)
        return self

    def confirm(self, name: str) -> None:
        """Answer the question that is being asked."""
        self.page.locator("#ask").get_by_role("button", name=name).click()

    # Looking

    def row(self, text: str) -> Locator:
        """The table row with that text."""
        return self.page.locator("tr", has_text=text)

    def see(self, text: str | re.Pattern[str]) -> None:
        """Wait for a text."""
        expect(self.page.get_by_text(text).first).to_be_visible()

    def figure(self, label: str) -> str:
        """The value of a figure by its label."""
        box = self.page.locator("div", has=self.page.locator(f'.figure-label:text-is("{label}")')).last
        return box.locator(".figure-value").inner_text().replace("\n", " ").strip()

    def see_figures(self, **figures: str) -> None:
        """Reload until the figures are these; names with `_` for spaces."""

        def shown() -> bool:
            self.page.reload()
            found = {name: self.figure(name.replace("_", " ")) for name in figures}
            assert found == figures, found
            return True

        wait_until(shown, 30, "the figures")

    def reload_until(self, condition: Callable[[], Any], what: str) -> None:
        """Reload the page until a condition holds: other processes see changes within a second."""

        def holds() -> Any:
            self.page.reload()
            return condition()

        wait_until(holds, 15, what)

    def fits(self) -> bool:
        """Whether the page has no horizontal scroll."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))
