"""Headers that every answer carries unless its view chose otherwise."""

from __future__ import annotations

from flask import Flask, Response, request

from strongroom.config import Settings

API_PREFIXES = ("/api/", "/operator/api/")
NO_CONTENT, NOT_MODIFIED = 204, 304


class Bodyless(Response):
    """An answer that has no body, and so no type of one unless its headers name it."""

    default_mimetype = None


def install_headers(app: Flask, settings: Settings) -> None:
    """Add the headers that keep browsers from sniffing, framing, caching and leaking."""

    @app.after_request
    def _headers(response: Response) -> Response:
        headers = response.headers
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Referrer-Policy", "same-origin")
        headers.setdefault("X-Frame-Options", "DENY")
        headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        if request.path.startswith(API_PREFIXES):
            if "X-Accel-Redirect" not in headers:  # nginx is told in another header, which counts only where it finds the bytes
                headers.setdefault("Cache-Control", "no-store")
            if response.status_code in {NO_CONTENT, NOT_MODIFIED} or request.method == "OPTIONS":
                headers.pop("Content-Type", None)  # the framework names one also where there is nothing
        if settings.public_scheme == "https":
            headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        return response
