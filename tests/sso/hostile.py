"""A provider of the tests' own that answers as they want: with what a hostile one, or somebody in its place, would say."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

Answer = tuple[int, dict[str, str], bytes]
DISCOVERY = "/.well-known/openid-configuration"


def packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Hostile:
    """The provider. `documents`: by path; `answers`: whole answers that take their place; `seen`: the paths that were asked for."""

    def __init__(self, port: int) -> None:
        self.port, self.issuer = port, f"http://127.0.0.1:{port}"
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.seen: list[str] = []
        self.forms: list[str] = []
        self.answers: dict[str, Answer] = {}
        self.over = threading.Event()
        self.hangs: set[str] = set()
        self.documents: dict[str, Any] = {
            DISCOVERY: {
                "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/auth", "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks", "userinfo_endpoint": f"{self.issuer}/me",
            },
            "/jwks": {"keys": [self.public(self.key, "k1")]},
        }  # fmt: skip

    @staticmethod
    def public(key: rsa.RSAPrivateKey, kid: str) -> dict[str, Any]:
        """A key as it is published."""
        numbers = key.public_key().public_numbers()
        n, e = (packed(each.to_bytes((each.bit_length() + 7) // 8)) for each in (numbers.n, numbers.e))
        return {"kty": "RSA", "kid": kid, "use": "sig", "n": n, "e": e}

    def claims(self, client_id: str, nonce: str, **changes: Any) -> dict[str, Any]:
        """What a good ID token says; a change of None takes a claim away."""
        now = int(time.time())
        good = {
            "iss": self.issuer, "sub": "s1", "aud": client_id, "iat": now, "exp": now + 300, "nonce": nonce, "email": "vic@example.com",
            "email_verified": True,
        }  # fmt: skip
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    def signed(self, claims: dict[str, Any], *, key: rsa.RSAPrivateKey | None = None, algorithm: str = "RS256", **header: Any) -> str:
        """A token; `header` None takes a member away."""
        headers = {"kid": "k1", **header}
        return jwt.encode(claims, key or self.key, algorithm, headers={name: value for name, value in headers.items() if value is not None})

    def with_public_key(self, claims: dict[str, Any]) -> str:
        """A token signed by HMAC, with what the provider publishes for a key."""
        pem = self.key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        text = ".".join(packed(json.dumps(each).encode()) for each in ({"alg": "HS256", "typ": "JWT", "kid": "k1"}, claims))
        return f"{text}.{packed(hmac.digest(pem, text.encode(), hashlib.sha256))}"

    @staticmethod
    def unsigned(claims: dict[str, Any], algorithm: str = "none") -> str:
        """A token without a signature."""
        return ".".join(packed(json.dumps(each).encode()) for each in ({"alg": algorithm, "typ": "JWT", "kid": "k1"}, claims)) + "."

    def gives(self, token: Any, **more: Any) -> None:
        """Answer the next codes with this ID token."""
        self.documents["/token"] = {"access_token": "a", "token_type": "Bearer", "id_token": token, **more}

    def answer(self, path: str) -> Answer:
        self.seen.append(path)
        if path in self.hangs:
            self.over.wait(60)
        if path in self.answers:
            return self.answers[path]
        if path in self.documents:
            return 200, {"Content-Type": "application/json"}, json.dumps(self.documents[path]).encode()
        return 404, {}, b""


@contextlib.contextmanager
def hostile() -> Iterator[Hostile]:
    """Run one until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = made.answer(self.path)
            with contextlib.suppress(OSError):
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        def do_POST(self) -> None:
            made.forms.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Hostile(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
