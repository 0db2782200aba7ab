"""What a view tells the API's description of its headers and failures, declared beside it; `openapi` puts it in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from strongroom.errors import (
    Conflict,
    DomainError,
    FilePending,
    FileQuarantined,
    FileTooLarge,
    FileUnscanned,
    IncompleteBody,
    InvalidPath,
    NotAcceptable,
    NotFound,
    PreconditionFailed,
    QuotaExceeded,
    RangeNotSatisfiable,
    RequestTimeout,
    StorageFull,
    StorageUnavailable,
    TooManyUploads,
    TransferExceeded,
    TypeMismatch,
    TypeNotAllowed,
)

View = TypeVar("View", bound=Callable[..., Any])
Failures = tuple[type[DomainError], ...]
ATTRIBUTE = "__described__"
BEGINNING: Failures = (
    NotFound, InvalidPath, PreconditionFailed, FileTooLarge, QuotaExceeded, TransferExceeded, TooManyUploads, TypeNotAllowed,
    TypeMismatch, StorageUnavailable,
)  # fmt: skip
"""How the beginning of an upload fails."""
RECEIVING: Failures = (*BEGINNING, IncompleteBody, RequestTimeout, StorageFull, Conflict)
"""How an upload fails whose bytes come with the request."""
SENDING: Failures = (
    NotFound, InvalidPath, FilePending, FileQuarantined, FileUnscanned, NotAcceptable, PreconditionFailed, RangeNotSatisfiable,
    TransferExceeded, StorageUnavailable,
)  # fmt: skip
"""How a download fails."""
CONDITIONS = ("Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Accept-Encoding")
OF_A_COPY = ("ETag", "Last-Modified", "Vary", "Access-Control-Allow-Origin", "Access-Control-Expose-Headers")
OF_BYTES = (*OF_A_COPY, "Accept-Ranges", "Content-Disposition")
BYTES: Mapping[int, tuple[str, ...]] = {
    200: (*OF_BYTES, "Content-Encoding"), 206: (*OF_BYTES, "Content-Range"), 302: ("Location", *OF_A_COPY), 304: OF_A_COPY,
}  # fmt: skip
"""The headers of a download, by status."""


@dataclass(frozen=True)
class Described:
    """The request headers that a view takes, those of its answers by status, and its failures.

    `always`: headers of all its answers, failures too. `preflight`: those of OPTIONS at its address.
    """

    takes: tuple[str, ...] = ()
    gives: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    always: tuple[str, ...] = ()
    fails: Failures = ()
    preflight: tuple[str, ...] = ()


def described(
    *, takes: Iterable[str] = (), gives: Mapping[int, tuple[str, ...]] | None = None, always: Iterable[str] = (),
    fails: Iterable[type[DomainError]] = (), preflight: Iterable[str] = (),
) -> Callable[[View], View]:  # fmt: skip
    """Mark a view with what its signature does not tell; see `Described`."""
    said = Described(tuple(takes), gives or {}, tuple(always), tuple(fails), tuple(preflight))

    def mark(view: View) -> View:
        setattr(view, ATTRIBUTE, said)
        return view

    return mark


def description_of(view: Callable[..., Any]) -> Described:
    """Return what a view was marked with."""
    found: Described = getattr(view, ATTRIBUTE, Described())
    return found
