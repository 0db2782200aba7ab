"""Uploads in the console that take several requests: paused, broken off, gone on with after a reload; and files fetched from a URL."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Request, Route, expect

from tests.acceptance import content
from tests.acceptance.content import MIB, sha256
from tests.acceptance.deployment import Tenant
from tests.acceptance.waiting import wait_until
from tests.browser.visitor import Visitor
from tests.services.source import Source, reply

pytestmark = pytest.mark.xdist_group("browser")
SLOWLY = 6_000_000
SENT = "(least) => [...document.querySelectorAll('#tray .upload progress')].some((bar) => !bar.hidden && bar.value >= least)"


def slow_down(page: Page, bytes_per_s: int) -> None:
    conditions = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_s}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", conditions)


def pick(page: Page, *files: Path) -> None:
    page.locator("[data-upload-input]").set_input_files([str(file) for file in files])


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def row(page: Page, name: str) -> Locator:
    return page.locator("#tray li", has_text=name)


def wait_sent(page: Page, least: int) -> None:
    wait_until(lambda: page.evaluate(SENT, least), 20, f"{least} bytes to be sent")


def see_stored(tenant: Tenant, path: str, data: bytes) -> None:
    (file,) = [each for each in tenant.owner.files("media") if each["path"] == path]
    assert tenant.owner.checked(file)["sha256"] == sha256(data)


def open_uploads(tenant: Tenant) -> list[str]:
    return [each["path"] for each in tenant.owner.get("/api/v1/uploads").json()["items"] if each["state"] == "open"]


class Requests:
    """The tus requests of a page, as they are sent."""

    def __init__(self, page: Page) -> None:
        self.seen: list[Request] = []
        page.on("request", lambda request: self.seen.append(request) if "/api/v1/tus" in request.url else None)

    def methods(self) -> list[str]:
        return [each.method for each in self.seen]

    def offsets(self) -> list[int]:
        return [int(each.headers["upload-offset"]) for each in self.seen if each.method == "PATCH"]


@pytest.fixture
def large(tmp_path: Path) -> tuple[Path, bytes]:
    data = content.noise(30 * MIB)
    return write(tmp_path, "film.bin", data), data


@pytest.fixture
def owner(tenant: Tenant, visit: Callable[..., Visitor]) -> Visitor:
    """The owner with a folder open. 423: a request that was broken off still holds its upload for a moment; 422: a refused address."""
    made = visit(f"{tenant.slug}.localhost", 422, 423).sign_in(f"owner@{tenant.slug}.test").bring_in("/console/files/media/?prefix=films/")
    made.page.on("dialog", lambda dialog: dialog.accept())  # the question before leaving
    return made


def break_off(owner: Visitor, file: Path) -> None:
    """Begin, and load the page again when some has been sent."""
    slow_down(owner.page, SLOWLY)
    pick(owner.page, file)
    wait_sent(owner.page, 5 * MIB)
    slow_down(owner.page, -1)
    owner.page.reload()


@pytest.mark.slow
def test_the_same_file_chosen_again_after_a_reload_goes_on(owner: Visitor, tenant: Tenant, large: tuple[Path, bytes]) -> None:
    file, data = large
    break_off(owner, file)
    unfinished = owner.page.locator("#unfinished li")
    expect(unfinished).to_contain_text("films/film.bin")
    expect(unfinished).to_contain_text("of 31.5 MB (")
    sent = Requests(owner.page)
    pick(owner.page, file)
    expect(row(owner.page, "film.bin").locator(".pill")).to_have_text("Clean", timeout=60_000)
    assert "POST" not in sent.methods()
    assert min(sent.offsets()) > 0
    expect(owner.page.locator("#unfinished")).to_be_hidden()
    expect(owner.row("film.bin")).to_be_visible()
    see_stored(tenant, "films/film.bin", data)


@pytest.mark.slow
def test_an_unfinished_one_is_continued_or_thrown_away(owner: Visitor, tenant: Tenant, large: tuple[Path, bytes], tmp_path: Path) -> None:
    file, data = large
    break_off(owner, file)
    page = owner.page
    other = write(tmp_path, "other.bin", b"short")
    twin = write(tmp_path, "twin.bin", content.noise(30 * MIB, 2))
    for wrong, words in ((other, "it has 5 bytes, the upload 31.5 MB"), (twin, "or it was changed since")):
        with page.expect_file_chooser() as chooser:
            page.locator("#unfinished").get_by_role("button", name="Continue").click()
        chooser.value.set_files(str(wrong))
        expect(page.locator("#toasts")).to_contain_text(words)
    with page.expect_file_chooser() as chooser:
        page.locator("#unfinished").get_by_role("button", name="Continue").click()
    sent = Requests(page)
    chooser.value.set_files(str(file))
    expect(page.locator("[data-tray-title]")).to_have_text("1 file uploaded", timeout=60_000)
    assert min(sent.offsets()) > 0
    see_stored(tenant, "films/film.bin", data)
    break_off(owner, twin)
    page.locator("#unfinished").get_by_role("button", name="Throw away").click()
    expect(page.locator("#unfinished")).to_be_hidden()
    assert open_uploads(tenant) == []


@pytest.mark.slow
def test_two_at_once_are_paused_and_gone_on_with(owner: Visitor, tenant: Tenant, tmp_path: Path) -> None:
    page = owner.page
    data = {name: content.noise(12 * MIB, seed) for seed, name in enumerate(("a.bin", "b.bin"))}
    slow_down(page, SLOWLY)
    pick(page, *[write(tmp_path, *each) for each in data.items()])
    wait_sent(page, MIB)
    expect(page.locator("[data-tray-title]")).to_have_text("Uploading 2 files")
    expect(page.locator("[data-tray-rest]")).to_contain_text(re.compile(r"\d+ % · less than a minute left"))
    page.get_by_role("button", name="Pause all").click()
    expect(page.locator("[data-tray-title]")).to_have_text("2 files paused")
    expect(row(page, "a.bin").locator("[data-up-state]")).to_contain_text("Paused at")
    slow_down(page, -1)
    row(page, "a.bin").get_by_role("button", name="Go on with").click()
    expect(row(page, "a.bin").locator(".pill")).to_be_visible(timeout=30_000)
    expect(page.locator("[data-tray-title]")).to_have_text("1 file paused")
    row(page, "b.bin").get_by_role("button", name="Go on with").click()
    expect(page.locator("[data-tray-title]")).to_have_text("2 files uploaded", timeout=30_000)
    for name, body in data.items():
        see_stored(tenant, f"films/{name}", body)


def test_a_cancelled_upload_leaves_nothing_and_can_begin_anew(owner: Visitor, tenant: Tenant, large: tuple[Path, bytes]) -> None:
    file, data = large
    page = owner.page
    slow_down(page, SLOWLY)
    pick(page, file)
    wait_sent(page, MIB)
    row(page, "film.bin").get_by_role("button", name="Cancel").click()
    expect(row(page, "film.bin").locator("[data-up-state]")).to_have_text("Cancelled")
    wait_until(lambda: not open_uploads(tenant), 20, "the server to have forgotten it")
    slow_down(page, -1)
    row(page, "film.bin").get_by_role("button", name="Try again").click()
    expect(page.locator("[data-tray-title]")).to_have_text("1 file uploaded", timeout=30_000)
    see_stored(tenant, "films/film.bin", data)


def test_without_a_network_it_waits_and_goes_on_by_itself(owner: Visitor, tenant: Tenant, large: tuple[Path, bytes]) -> None:
    file, data = large
    page = owner.page
    page.context.set_offline(True)
    pick(page, file)
    expect(row(page, "film.bin").locator("[data-up-state]")).to_have_text("No network. It goes on by itself.")
    page.context.set_offline(False)
    expect(page.locator("[data-tray-title]")).to_have_text("1 file uploaded", timeout=60_000)
    owner.trouble[:] = [line for line in owner.trouble if "ERR_INTERNET_DISCONNECTED" not in line]
    see_stored(tenant, "films/film.bin", data)


def test_a_request_that_is_lost_is_sent_again(owner: Visitor, tenant: Tenant, tmp_path: Path) -> None:
    """The first two are lost, and then a server that is busy when it is asked for the offset is no reason to begin anew."""
    data = content.noise(9 * MIB)
    file = write(tmp_path, "film.bin", data)
    page, left = owner.page, {"PATCH": 2, "HEAD": 1}
    sent = Requests(page)

    def lose(route: Route) -> None:
        method = route.request.method
        if not left.get(method):
            route.continue_()
            return
        left[method] -= 1
        route.abort("connectionreset") if method == "PATCH" else route.fulfill(status=503)

    page.route("**/api/v1/tus/*", lose)
    pick(page, file)
    expect(row(page, "film.bin").locator("[data-up-state]")).to_have_text("The connection broke off. Trying again", timeout=30_000)
    expect(page.locator("[data-tray-title]")).to_have_text("1 file uploaded", timeout=60_000)
    owner.trouble[:] = [line for line in owner.trouble if "ERR_CONNECTION_RESET" not in line and " 503 " not in line]
    assert sent.methods().count("POST") == 1
    assert set(left.values()) == {0}
    see_stored(tenant, "films/film.bin", data)


def test_a_file_is_fetched_from_an_address(owner: Visitor, tenant: Tenant, source: Source) -> None:
    page = owner.page
    source.pages["/reports/summer.pdf"] = reply("200 OK", content.pdf())
    for address in (source.url("/reports/summer.pdf"), "http://169.254.169.254/latest"):
        page.get_by_label("More ways to upload").click()
        page.get_by_role("button", name="From a web address").click()
        page.get_by_role("textbox", name="Address").fill(address)
        page.get_by_role("button", name="Import", exact=True).click()
    expect(row(page, "summer.pdf").locator(".pill")).to_have_text("Clean", timeout=40_000)
    expect(owner.row("summer.pdf")).to_be_visible()
    expect(row(page, "latest").locator("[data-up-state]")).to_have_text("The host's address is not a public one.")
    see_stored(tenant, "films/summer.pdf", content.pdf())
