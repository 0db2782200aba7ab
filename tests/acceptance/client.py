"""A user or an application of one tenant, or an operator, over HTTP."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import requests

from tests.acceptance import wire
from tests.acceptance.waiting import wait_until

PROBLEM_MEMBERS = {"type", "title", "status", "detail", "instance", "code", "request_id"}
CHECKED_S = 45.0
TIMEOUT_S = 60.0


class Client:
    """One caller: a host, and a credential once it has signed in. Connects to 127.0.0.1 whatever the host's name is."""

    def __init__(self, port: int, host: str, token: str | None = None) -> None:
        self.port, self.host = port, host
        self.token = token
        self.refresh_token: str | None = None
        self.session = requests.Session()
        self.session.trust_env = False
        self.email = ""

    def close(self) -> None:
        """Close the kept connections."""
        self.session.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def host_header(self) -> str:
        return f"{self.host}:{self.port}"

    def again(self) -> Client:
        """The same caller with connections of its own, for another thread."""
        other = Client(self.port, self.host, self.token)
        other.email = self.email
        return other

    def headers(self, more: dict[str, Any] | None = None, *, token: str | None = None) -> dict[str, Any]:
        """What every request of this caller carries."""
        own: dict[str, Any] = {"Host": self.host_header}
        if used := token if token is not None else self.token:
            own["Authorization"] = f"Bearer {used}"
        return own | (more or {})

    def request(
        self, method: str, path: str, *, headers: dict[str, Any] | None = None, token: str | None = None, **options: Any
    ) -> requests.Response:
        """Send one request; `token` replaces the caller's own, '' means none."""
        options.setdefault("timeout", TIMEOUT_S)
        options.setdefault("allow_redirects", False)
        return self.session.request(method, f"http://127.0.0.1:{self.port}{path}", headers=self.headers(headers, token=token), **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.request("POST", path, **options)

    def raw(self, method: str, target: bytes | str, lines: list[str] | None = None, body: bytes = b"") -> wire.Reply:
        """Send a request whose target no library may touch."""
        fixed = [f"Host: {self.host_header}", f"Authorization: Bearer {self.token}", "Connection: close"]
        return wire.exchange(self.port, wire.head(method, target, fixed + (lines or [])) + body)

    # Signing in

    def login(self, email: str, password: str, base: str = "/api/v1") -> Client:
        """Sign in; return self."""
        response = self.post(f"{base}/auth/login", json={"email": email, "password": password}, token="")
        assert response.status_code == 200, response.text
        tokens = response.json()
        self.token, self.refresh_token, self.email = tokens["access_token"], tokens["refresh_token"], email
        return self

    # Files

    def bucket(self, name: str, **policy: Any) -> dict[str, Any]:
        """Make a bucket."""
        response = self.post("/api/v1/buckets", json={"name": name, **policy})
        assert response.status_code == 201, response.text
        return dict(response.json())

    @staticmethod
    def object_path(bucket: str, path: str) -> str:
        return f"/api/v1/objects/{bucket}/{quote(path)}"

    def put(self, bucket: str, path: str, data: Any, content_type: str | None = None, **options: Any) -> requests.Response:
        """Upload; the answer, whatever it is."""
        headers = {**({"Content-Type": content_type} if content_type else {}), **options.pop("headers", {})}
        return self.request("PUT", self.object_path(bucket, path), data=data, headers=headers, **options)

    def upload(self, bucket: str, path: str, data: Any, content_type: str | None = None, **options: Any) -> dict[str, Any]:
        """Upload; the file."""
        response = self.put(bucket, path, data, content_type, **options)
        assert response.status_code == 201, response.text
        return dict(response.json())

    def download(self, bucket: str, path: str, **options: Any) -> requests.Response:
        return self.get(self.object_path(bucket, path), **options)

    def file(self, file_id: str) -> dict[str, Any]:
        """A file's metadata."""
        response = self.get(f"/api/v1/files/{file_id}")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def checked(self, file: dict[str, Any], bound_s: float = CHECKED_S) -> dict[str, Any]:
        """The file, once a worker has checked it."""

        def done() -> dict[str, Any] | None:
            now = self.file(file["id"])
            return now if now["status"] != "pending" else None

        return wait_until(done, bound_s, f"a verdict on {file['path']}")

    def store(self, bucket: str, path: str, data: Any, content_type: str | None = None) -> dict[str, Any]:
        """Upload and wait for the check."""
        return self.checked(self.upload(bucket, path, data, content_type))

    def pages(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """All pages of a list."""
        pages: list[dict[str, Any]] = []
        while not pages or pages[-1]["next_cursor"]:
            cursor = {"cursor": pages[-1]["next_cursor"]} if pages else {}
            response = self.get(path, params={**query, **cursor})
            assert response.status_code == 200, response.text
            pages.append(response.json())
            assert len(pages) < 10_000, "a listing that does not end"
        return pages

    def listed(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """All items of a list, over all its pages."""
        return [item for page in self.pages(path, **query) for item in page["items"]]

    def files(self, bucket: str, **query: Any) -> list[dict[str, Any]]:
        """All files of a bucket."""
        return self.listed(f"/api/v1/buckets/{bucket}/files", **query)

    def quota(self) -> dict[str, Any]:
        """What may be used and what is."""
        response = self.get("/api/v1/tenant/quota")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def usage(self, **query: Any) -> dict[str, Any]:
        """Usage statistics."""
        response = self.get("/api/v1/stats/usage", params=query)
        assert response.status_code == 200, response.text
        return dict(response.json())


def assert_problem(response: Any, status: int, code: str, resolve: Callable[[str], requests.Response] | None = None) -> dict[str, Any]:
    """See that an answer is the problem document it should be; with `resolve`, that its type leads to an explanation. Return it."""
    assert response.status_code == status, (response.status_code, response.content[:500])
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["code"] == code, problem
    assert set(problem) >= PROBLEM_MEMBERS
    assert problem["status"] == status
    assert problem["request_id"]
    assert problem["request_id"] == response.headers["X-Request-Id"]
    assert problem["title"]
    assert problem["detail"]
    assert "Traceback" not in response.content.decode()
    if resolve is not None:
        page = resolve(problem["type"])
        assert page.status_code == 200, f"{problem['type']} does not resolve"
        assert code in page.text
        assert problem["title"] in html.unescape(page.text)
    return dict(problem)
