"""tus-js-client and Uppy in Chromium, on the tenant's own origin, against the real server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route

from tests.acceptance.client import Client
from tests.acceptance.content import MIB, sha256
from tests.acceptance.deployment import Tenant
from tests.browser.visitor import Visitor
from tests.services.node import script

pytestmark = pytest.mark.xdist_group("browser")
PAGE = "/tus-test/"
HTML = """<!doctype html><meta charset="utf-8"><title>tus</title><link rel="icon" href="data:,">
<script src="tus.js"></script><script src="uppy.js"></script>"""
MAKE = """(size) => {
  const data = new Uint8Array(size);
  for (let i = 0; i < size; i++) data[i] = (i * 31 + (i >> 8) * 7) & 255;
  window.blob = new File([data], "noise.bin", { lastModified: 1 });
}"""
SEND = """(settings) => new Promise((resolve, reject) => {
  const seen = window.seen = { retries: 0 };
  const upload = window.upload = new tus.Upload(window.blob, {
    endpoint: "/api/v1/tus?bucket=media", retryDelays: [200, 500, 1000, 2000, 4000],
    headers: { Authorization: `Bearer ${settings.token}` }, metadata: { filename: "noise.bin", filetype: "application/octet-stream" },
    onShouldRetry: (error) => {
      seen.retries += 1;
      const status = error.originalResponse?.getStatus() ?? 0;
      return !status || status >= 500 || status === 423 || status === 409;
    },
    onProgress: (sent) => {
      if (settings.stopAt && sent >= settings.stopAt) { upload.abort(); resolve({ ...seen, url: upload.url }); }
    },
    onError: reject, onSuccess: () => resolve({ ...seen, url: upload.url }), ...settings.options });
  if (!settings.resume) return upload.start();
  upload.findPreviousUploads().then((found) => { seen.found = found.length; upload.resumeFromPreviousUpload(found[0]); upload.start(); });
})"""
UPPY = """(settings) => new Promise((resolve, reject) => {
  const uppy = new Uppy.Uppy().use(Uppy.Tus, { endpoint: "/api/v1/tus", chunkSize: settings.chunk, limit: 2,
    headers: { Authorization: `Bearer ${settings.token}` } });
  for (const name of settings.names) uppy.addFile({ name, type: "application/octet-stream", data: window.blob, meta: { bucket: "media" } });
  uppy.upload().then((done) => resolve({ successful: done.successful.length, failed: done.failed.length }), reject);
})"""


def made(size: int) -> bytes:
    """The same bytes as in the page."""
    return bytes((index * 31 + (index >> 8) * 7) & 255 for index in range(size))


@pytest.fixture
def visitor(tenant: Tenant, visit: Callable[..., Visitor]) -> Visitor:
    return visit(f"{tenant.slug}.localhost", 409, 423, 503)


@pytest.fixture
def page(visitor: Visitor) -> Page:
    """An empty page with both clients, on the tenant's origin; every request but those for the page itself is real."""
    answers = {"": HTML, "tus.js": script("tus.js"), "uppy.js": script("uppy.js")}

    def serve(route: Route) -> None:
        name = route.request.url.rsplit("/", 1)[-1]
        route.fulfill(body=answers[name], content_type="text/javascript" if name else "text/html")

    visitor.page.route(f"**{PAGE}*", serve)
    visitor.page.goto(visitor.origin + PAGE)
    return visitor.page


def send(page: Page, owner: Client, **settings: Any) -> Any:
    return page.evaluate(SEND, {"token": owner.token, "options": {}, **settings})


def check_file(owner: Client, path: str, data: bytes) -> None:
    (file,) = [each for each in owner.files("media") if each["path"] == path]
    assert owner.checked(file)["sha256"] == sha256(data)


def test_tus_js_client(page: Page, tenant: Tenant) -> None:
    page.evaluate(MAKE, 6 * MIB + 7)
    done = send(page, tenant.owner)
    assert done["url"].startswith(f"http://{tenant.slug}.localhost:{tenant.owner.port}/api/v1/tus/")
    check_file(tenant.owner, "noise.bin", made(6 * MIB + 7))


def test_it_resumes_after_a_reload(page: Page, tenant: Tenant) -> None:
    """From the address that the browser remembers, in another page."""
    size = 8 * MIB
    page.evaluate(MAKE, size)
    stopped = send(page, tenant.owner, stopAt=2 * MIB, options={"chunkSize": MIB})
    assert tenant.owner.files("media") == []
    page.reload()
    page.evaluate(MAKE, size)
    done = send(page, tenant.owner, options={"uploadUrl": stopped["url"]})
    assert done["url"] == stopped["url"]
    check_file(tenant.owner, "noise.bin", made(size))


def test_it_finds_what_it_began_by_itself(page: Page, tenant: Tenant) -> None:
    page.evaluate(MAKE, 4 * MIB)
    stopped = send(page, tenant.owner, stopAt=MIB, options={"chunkSize": MIB})
    done = send(page, tenant.owner, resume=True)
    assert (done["found"], done["url"]) == (1, stopped["url"])
    check_file(tenant.owner, "noise.bin", made(4 * MIB))


def test_parallel_uploads_are_put_together(page: Page, tenant: Tenant) -> None:
    page.evaluate(MAKE, 9 * MIB + 3)
    send(page, tenant.owner, options={"parallelUploads": 3})
    check_file(tenant.owner, "noise.bin", made(9 * MIB + 3))


def test_a_length_that_is_told_at_the_end(page: Page, tenant: Tenant) -> None:
    page.evaluate(MAKE, 3 * MIB)
    page.evaluate("() => { window.blob = window.blob.stream().getReader(); }")
    send(page, tenant.owner, options={"uploadLengthDeferred": True, "chunkSize": MIB})
    check_file(tenant.owner, "noise.bin", made(3 * MIB))


def test_requests_that_are_cut_off_are_gone_on_with(visitor: Visitor, page: Page, tenant: Tenant) -> None:
    """Every second PATCH is lost on its way; the client asks for the offset, and nothing is sent twice or missing."""
    patches = [0]

    def lose(route: Route) -> None:
        patches[0] += route.request.method == "PATCH"
        if route.request.method == "PATCH" and patches[0] % 2:
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/api/v1/tus/*", lose)
    page.evaluate(MAKE, 4 * MIB)
    done = send(page, tenant.owner, options={"chunkSize": MIB})
    assert done["retries"] > 0
    visitor.trouble[:] = [line for line in visitor.trouble if "ERR_CONNECTION_RESET" not in line]
    page.unroute("**/api/v1/tus/*")
    check_file(tenant.owner, "noise.bin", made(4 * MIB))


@pytest.mark.parametrize("chunk", [MIB, 100 * MIB])
def test_uppy(page: Page, tenant: Tenant, chunk: int) -> None:
    page.evaluate(MAKE, 3 * MIB)
    done = page.evaluate(UPPY, {"token": tenant.owner.token, "chunk": chunk, "names": ["a.bin", "b.bin", "c.bin"]})
    assert (done["successful"], done["failed"]) == (3, 0)
    for name in ("a.bin", "b.bin", "c.bin"):
        check_file(tenant.owner, name, made(3 * MIB))
