"""Headers that every answer carries unless its view chose otherwise."""

from __future__ import annotations

from flask import Flask, Response, request

from strongroom.config import Settings

API_PREFIXES = ("/api/", "/operator/api/")
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
TLS_ONLY = {"Strict-Transport-Security": "max-age=31536000"}
NO_CONTENT, NOT_MODIFIED = 204, 304


class Bodyless(Response):
    """An answer that has no body, and so no type of one unless its headers name it."""

    default_mimetype = None


def install_headers(app: Flask, settings: Settings) -> None:
    """Add the headers that keep browsers from sniffing, framing, caching and leaking."""

    always = ALWAYS | (TLS_ONLY if settings.public_scheme == "https" else {})

    @app.after_request
    def _headers(response: Response) -> Response:
        headers = response.headers
        present = {name.lower() for name, _ in headers}
        for name, value in always.items():
            if name.lower() not in present:
                headers.add(name, value)
        if request.path.startswith(API_PREFIXES):
            # nginx is told in another header, which counts only where it finds the bytes
            if "x-accel-redirect" not in present and "cache-control" not in present:
                headers.add("Cache-Control", "no-store")
            if response.status_code in {NO_CONTENT, NOT_MODIFIED} or request.method == "OPTIONS":
                headers.pop("Content-Type", None)  # the framework names one also where there is nothing
        return response
