"""The file browser: uploads with progress, verdicts without a reload, refusals in plain words, trash and versions."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Download, Page, expect

from tests.acceptance import content
from tests.acceptance.deployment import Tenant
from tests.acceptance.waiting import wait_until
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.xdist_group("browser")

CHECKED_MS = 40_000
HALFWAY = "[...document.querySelectorAll('#tray progress')].some((bar) => !bar.hidden && bar.value > 0 && bar.value < bar.max)"


def _pick(page: Page, *files: Path) -> None:
    page.locator("[data-upload-input]").set_input_files([str(file) for file in files])


def _files(folder: Path, **data: bytes) -> list[Path]:
    made = []
    for name, body in data.items():
        path = folder / name.replace("__", ".")
        path.write_bytes(body)
        made.append(path)
    return made


def _slow_down(page: Page, bytes_per_s: int) -> None:
    conditions = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_s}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", conditions)


def test_several_files_go_up_with_progress_and_are_checked(owner: Visitor, tmp_path: Path) -> None:
    page = owner.page
    owner.open("/console/files/media/")
    files = _files(
        tmp_path, report__pdf=content.pdf(), picture__png=content.png(), notes__txt=content.TEXT, big__bin=content.noise(900_000)
    )
    _slow_down(page, 400_000)
    _pick(page, *files)
    row = page.locator("#tray li", has_text="big.bin")
    wait_until(lambda: page.evaluate(HALFWAY), 15, "a bar that is neither empty nor full")
    expect(row.locator("[data-up-state]")).to_contain_text("of 900 KB")
    expect(page.locator("[data-tray-title]")).to_have_text("4 files uploaded", timeout=20_000)
    _slow_down(page, -1)
    for name in ("report.pdf", "picture.png", "notes.txt"):
        expect(page.locator("#tray li", has_text=name).locator(".pill")).to_have_text("Clean", timeout=CHECKED_MS)
        expect(owner.row(name).locator(".pill")).to_have_text("Clean", timeout=CHECKED_MS)
    expect(owner.row("big.bin")).to_be_visible()


def test_a_virus_is_quarantined_before_ones_eyes(owner: Visitor, tmp_path: Path) -> None:
    page = owner.page
    owner.open("/console/files/media/")
    _pick(page, *_files(tmp_path, invoice__txt=content.EICAR))
    expect(owner.row("invoice.txt").locator(".pill")).to_have_text("Quarantined", timeout=CHECKED_MS)
    expect(page.locator("#tray .pill")).to_have_text("Quarantined")
    owner.row("invoice.txt").get_by_label("Actions for invoice.txt").click()
    expect(owner.row("invoice.txt").get_by_role("link", name="Download")).to_be_hidden()
    page.locator("#tray").get_by_role("link", name="invoice.txt").click()
    expect(page.get_by_role("heading", name="Quarantined")).to_be_visible()
    expect(page.get_by_role("link", name="Download")).to_have_count(0)
    owner.open("/console/quarantine/")
    owner.row("invoice.txt").get_by_role("button", name="Delete").click()
    owner.confirm("Delete for good")
    owner.see("gone for good")
    owner.see("All clear")


def test_a_program_that_calls_itself_a_picture_is_refused(tenant: Tenant, visit: Callable[..., Visitor], tmp_path: Path) -> None:
    owner = visit(f"{tenant.slug}.localhost", 415).sign_in(f"owner@{tenant.slug}.test")
    owner.open("/console/files/media/")
    large = content.ELF + content.noise(12_000_000)
    _pick(owner.page, *_files(tmp_path, small__png=content.ELF, large__png=large))
    for name in ("small.png", "large.png"):
        state = owner.page.locator("#tray li", has_text=name).locator("[data-up-state]")
        expect(state).to_have_text("The bytes are application/x-executable, not image/png.", timeout=20_000)
    expect(owner.page.locator("[data-tray-title]")).to_have_text("0 files uploaded, 2 failed")


def test_folders_search_trash_and_versions(tenant: Tenant, owner: Visitor) -> None:
    for text in (content.TEXT, content.TEXT * 2):
        tenant.owner.upload("media", "2026/spring/notes & plans.txt", text)
    tenant.owner.upload("media", "2026/spring/100%.txt", content.TEXT)
    tenant.owner.upload("media", "2026/readme.txt", content.TEXT)
    page = owner.page
    owner.open("/console/files/media/")
    page.get_by_role("link", name="2026", exact=True).click()
    page.get_by_role("link", name="spring", exact=True).click()
    expect(page.get_by_label("Folders")).to_contain_text(re.compile(r"media\s*2026\s*spring"))
    page.get_by_label("Search in media").fill("PLANS")
    expect(page.locator("#listing tbody tr")).to_have_count(1)
    page.get_by_role("link", name="2026/spring/notes & plans.txt").click()
    expect(page.get_by_role("heading", name="notes & plans.txt")).to_be_visible()
    older = page.locator("tr", has_text=f"{len(content.TEXT)} bytes").last
    older.get_by_label("Actions for this version").click()
    older.get_by_role("button", name="Restore").click()
    owner.confirm("Restore")
    owner.see("That version is the current one again.")
    page.locator("header").get_by_role("button", name="Move to trash").click()
    owner.confirm("Move to trash")
    owner.see("was moved to the trash")
    owner.open("/console/trash/")
    owner.row("notes & plans.txt").get_by_role("button", name="Restore").click()
    owner.see("is back in media")
    owner.open("/console/files/media/?prefix=2026/spring/")
    owner.row("100%.txt").get_by_label("Actions for 100%.txt").click()
    owner.row("100%.txt").get_by_role("button", name="Move to trash").click()
    owner.confirm("Move to trash")
    expect(page).to_have_url(re.compile("prefix=2026/spring/"))
    owner.open("/console/trash/")
    owner.row("100%.txt").get_by_role("button", name="Delete for good").click()
    owner.confirm("Delete for good")
    owner.see("The trash is empty")


def test_a_long_list_is_paged(tenant: Tenant, owner: Visitor) -> None:
    for number in range(103):
        tenant.owner.upload("media", f"{number:03}.txt", b"x")
    owner.open("/console/files/media/")
    owner.page.get_by_role("link", name="Next").click()
    expect(owner.page.locator("#listing tbody tr")).to_have_count(3)
    expect(owner.row("102.txt")).to_be_visible()
    owner.page.get_by_role("link", name="First page").click()
    expect(owner.row("000.txt")).to_be_visible()


def test_a_file_can_be_downloaded(tenant: Tenant, owner: Visitor) -> None:
    tenant.owner.store("media", "hello.txt", content.TEXT)
    owner.open("/console/files/media/")
    owner.row("hello.txt").get_by_label("Actions for hello.txt").click()
    with owner.page.expect_download() as started:
        owner.row("hello.txt").get_by_role("link", name="Download").click()
    assert started.value.path().read_bytes() == content.TEXT
    assert started.value.suggested_filename == "hello.txt"


def test_a_link_is_made_copied_and_used_up(tenant: Tenant, owner: Visitor) -> None:
    file = tenant.owner.store("media", "report.txt", content.TEXT)
    page = owner.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    owner.open(f"/console/file/{file['id']}")
    page.get_by_role("button", name="Create link").click()
    dialog = page.get_by_role("dialog", name="Link to this file")
    dialog.get_by_label("Good for").select_option("1 hour")
    dialog.get_by_text("One download only").click()
    dialog.get_by_role("button", name="Create link").click()
    expect(dialog).to_contain_text("Good for one download, until")
    dialog.get_by_role("button", name="Copy").click()
    url = page.evaluate("navigator.clipboard.readText()")
    assert url.startswith(f"http://{tenant.slug}.localhost:")
    stranger = tenant.deployment.tenant_client(tenant.slug)
    path = url.partition(f":{tenant.owner.port}")[2]
    assert stranger.get(path).content == content.TEXT
    assert stranger.get(path).status_code == 410
    dialog.get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Create link").click()
    expect(dialog.get_by_label("Good for")).to_be_visible()


def _names(download: Download) -> list[str]:
    with zipfile.ZipFile(download.path()) as archive:
        assert archive.testzip() is None
        return sorted(archive.namelist())


def test_folders_and_chosen_files_come_as_a_zip(tenant: Tenant, owner: Visitor) -> None:
    for path in ("2026/a.txt", "2026/b/c.txt", "one.txt", "two.txt", "three.txt"):
        tenant.owner.store("media", path, content.TEXT)
    page = owner.page
    owner.open("/console/files/media/")
    with page.expect_download() as whole:
        page.get_by_role("link", name="Download as ZIP").first.click()
    assert _names(whole.value) == ["2026/a.txt", "2026/b/c.txt", "one.txt", "three.txt", "two.txt"]
    owner.row("2026").get_by_label("Actions for 2026").click()
    with page.expect_download() as folder:
        owner.row("2026").get_by_role("link", name="Download as ZIP").click()
    assert (folder.value.suggested_filename, _names(folder.value)) == ("2026.zip", ["a.txt", "b/c.txt"])
    page.get_by_label("Select one.txt").check()
    page.get_by_label("Select two.txt").check()
    bar = page.get_by_role("region", name="Selection")
    expect(bar).to_contain_text("2 files selected")
    with page.expect_download() as chosen:
        bar.get_by_role("button", name="Download as ZIP").click()
    assert _names(chosen.value) == ["one.txt", "two.txt"]
    page.get_by_label("Select all files").check()
    expect(bar).to_contain_text("3 files selected")
    bar.get_by_role("button", name="Clear the selection").click()
    expect(bar).to_be_hidden()
