"""Every error of the HTTP layer as a problem document (RFC 9457), made from the one catalogue."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, current_app, g, json, request
from marshmallow import Schema, fields
from sqlalchemy.exc import DataError
from werkzeug.exceptions import HTTPException

from strongroom import errors
from strongroom.errors import DomainError

log = logging.getLogger(__name__)
BEFORE_LINKS = "/api/v1/links/"
CONTENT_TYPE = "application/problem+json"
BY_STATUS: dict[int, type[DomainError]] = {
    400: errors.BadRequest, 401: errors.Unauthenticated, 403: errors.Forbidden, 404: errors.NotFound, 405: errors.MethodNotAllowed,
    406: errors.NotAcceptable, 408: errors.RequestTimeout, 411: errors.LengthRequired, 413: errors.BodyTooLarge,
    415: errors.UnsupportedMediaType, 416: errors.RangeNotSatisfiable, 422: errors.ValidationFailed, 429: errors.TooManyRequests,
    431: errors.HeadersTooLarge,
}  # fmt: skip


class ProblemSchema(Schema):
    """An error (RFC 9457)."""

    type = fields.String(metadata={"description": "Leads to a page that explains this kind of problem."})
    title = fields.String()
    status = fields.Integer()
    detail = fields.String()
    instance = fields.String()
    code = fields.String()
    request_id = fields.String()
    errors = fields.Dict(keys=fields.String(), metadata={"description": "What is wrong with each field."})


PAGES = "strongroom.problem_pages"
PageMaker = Callable[[DomainError], Response | None]


def show_as_pages(app: Flask, make: PageMaker) -> None:
    """Let `make` answer problems of addresses that people see in a browser; where it returns None, a document is sent."""
    app.extensions[PAGES] = make


def _answer(error: DomainError) -> Response:
    make: PageMaker | None = current_app.extensions.get(PAGES)
    return (make(error) if make else None) or problem(error)


def _instance() -> str:
    """Return the request's path, without what would open something to whoever reads a log."""
    path = request.path
    return path[: path.index(BEFORE_LINKS) + len(BEFORE_LINKS)] + "…" if BEFORE_LINKS in path else path


def problem(error: DomainError) -> Response:
    """Return the answer for a domain error."""
    body: dict[str, Any] = {
        "type": f"/problems/{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": _instance(),
        "code": error.code,
        "request_id": g.get("request_id", ""),
        **error.extra,
    }
    response = Response(json.dumps(body), status=error.status, content_type=CONTENT_TYPE)
    response.headers["Cache-Control"] = "no-store"
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, errors.RangeNotSatisfiable) and "size_bytes" in error.extra:
        response.headers["Content-Range"] = f"bytes */{error.extra['size_bytes']}"
    if error.status == errors.Unauthenticated.status:
        response.headers["WWW-Authenticate"] = 'Bearer realm="strongroom"'
    return response


def from_http_exception(error: HTTPException) -> DomainError:
    """Return the domain error that an exception of the web framework stands for."""
    status = error.code or errors.InternalError.status
    known = BY_STATUS.get(status)
    if known is None:
        known = errors.BadRequest if status < errors.InternalError.status else errors.InternalError
    messages = getattr(error, "data", {}).get("messages") if isinstance(getattr(error, "data", None), dict) else None
    if known is errors.ValidationFailed and isinstance(messages, dict):
        return known("Some fields are missing or wrong: see 'errors'.", errors=_flatten(messages))
    return known(retry_after_s=1) if known is errors.TooManyRequests else known()


def _flatten(messages: dict[str, Any]) -> dict[str, Any]:
    """Take off webargs' outer level, which names the location (json, query, …)."""
    flat: dict[str, Any] = {}
    for location, found in messages.items():
        if isinstance(found, dict):
            flat.update({str(name): texts for name, texts in found.items()})
        else:
            flat[location] = found
    return flat


def install_problem_handlers(app: Flask) -> None:
    """Answer every exception with a problem document."""

    @app.errorhandler(DomainError)
    def _domain_error(error: DomainError) -> Response:
        return _answer(error)

    @app.errorhandler(HTTPException)
    def _http_exception(error: HTTPException) -> Response:
        if error.code is not None and error.code < errors.BadRequest.status and error.response is None:
            return Response(error.get_response(request.environ).get_data(), status=error.code, headers=error.get_headers(request.environ))
        response = _answer(from_http_exception(error))
        for name, value in error.get_headers(request.environ):
            if name in {"Allow", "Content-Range", "Retry-After"}:
                response.headers[name] = value
        return response

    @app.errorhandler(DataError)
    def _data_error(error: DataError) -> Response:
        log.warning("a value that the database cannot hold", exc_info=error)
        return problem(errors.ValidationFailed("A value is too large, too long or of characters that cannot be stored."))

    @app.errorhandler(Exception)
    def _unknown_error(error: Exception) -> Response:
        log.error("unhandled error", exc_info=error)
        return _answer(errors.InternalError())
