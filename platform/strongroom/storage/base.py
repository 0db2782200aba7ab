"""The provider interface: a handful of verbs that any store has, and capabilities that only some have.

A capability is a protocol of its own: `isinstance(provider, Presigning)` tells whether a provider has it, and whoever
offers it over HTTP asks that first. Nothing here raises "not implemented".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class ObjectMeta:
    """What a provider knows of an object. `tag`: its entity tag, empty where it has none; another one means other bytes."""

    key: str
    size_bytes: int
    modified_at: datetime
    tag: str = ""


@dataclass(frozen=True)
class Part:
    """A numbered piece of an object; numbers start at 1. `tag` is what the provider calls these bytes."""

    number: int
    size_bytes: int
    tag: str = ""


@dataclass(frozen=True)
class PartLimits:
    """What parts a provider takes. All but the last have at least `min_bytes`."""

    min_bytes: int
    max_bytes: int
    max_count: int


@dataclass(frozen=True)
class SignedRequest:
    """A request that whoever holds it may send, once or often, until it expires. `headers` must be sent as they are.

    `tag_header`: in which header of the answer to a part its tag is, as `Presigning.list_parts` tells it.
    """

    method: str
    url: str
    expires_at: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    tag_header: str = "ETag"


class Writer(Protocol):
    """One object being written. Nothing is visible under its key before `complete` returns.

    A writer that is neither completed nor aborted leaves unfinished bytes that `Provider.delete` of its key removes.
    """

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes; the caller may use their buffer again afterwards.

        Raises:
            StorageFull: there is no room left.
            StorageUnavailable: the provider does not answer.
        """

    def complete(self) -> ObjectMeta:
        """Make the object durable and visible, atomically: after return it survives a crash."""

    def abort(self) -> None:
        """Throw away what was written. Never raises."""


_known: dict[tuple[type, object], bool] = {}


def has(thing: object, capability: type[object]) -> bool:
    """Tell whether a thing has a capability, as `isinstance` does; that goes through all its members every time."""
    key = (type(thing), capability)
    found = _known.get(key)
    if found is None:
        found = _known[key] = isinstance(thing, capability)
    return found


@runtime_checkable
class Lending(Writer, Protocol):
    """A writer that keeps what it is given for a while, and lends its memory so that bytes are received where they stay."""

    def room(self) -> memoryview:
        """Return where the next bytes may be put, at least one; valid until the next call of the writer."""

    def fill(self, size: int) -> None:
        """Append the first `size` bytes of what `room` returned; as `write`, and raises what it raises."""


class Reader(Protocol):
    """An open object, positioned at its start. A real file where the provider has one, so that it can be sent by the kernel."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; empty at the end."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to `offset`."""

    def close(self) -> None:
        """Let go of it."""


class Provider(Protocol):
    """A place for bytes. Safe to share between threads."""

    def writer(self, key: str, size_bytes: int | None) -> Writer:
        """Begin an object of exactly `size_bytes`, or of unknown size.

        Raises:
            StorageFull, StorageUnavailable
        """

    def open(self, key: str) -> Reader:
        """Open an object for reading.

        Raises:
            NotFound: there is none.
            StorageUnavailable
        """

    def head(self, key: str) -> ObjectMeta:
        """Describe an object.

        Raises:
            NotFound, StorageUnavailable
        """

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects and whatever was left unfinished under their keys. Missing ones are no error: idempotent."""

    def list(self, prefix: str) -> Iterator[ObjectMeta]:
        """Walk all objects below a prefix, unfinished ones included (under the key they would have had)."""

    def delete_prefix(self, prefix: str) -> None:
        """Remove everything below a prefix. Idempotent."""

    def check(self) -> None:
        """Tell whether the provider is there and writable.

        Raises:
            StorageUnavailable: with what is wrong and how to mend it.
        """


class RegionWriter(Protocol):
    """Writes on in an unfinished object."""

    def write(self, data: bytes | memoryview) -> None:
        """Write the next bytes; the caller may use their buffer again afterwards."""

    def sync(self) -> None:
        """Make all that was written durable."""

    def close(self) -> None:
        """Let go, without making anything durable. Never raises."""


@runtime_checkable
class Regions(Protocol):
    """Can write an unfinished object anywhere, at any time, from any process: a file system. The object has no parts.

    Whoever writes holds the bytes from `offset` on (all, or `length` of them) against every other writer, on any machine,
    until it closes or dies; finishing holds the whole object. So nothing is written into an object that is finished.
    """

    def begin_regions(self, key: str, size_bytes: int | None) -> None:
        """Begin an unfinished object; room for `size_bytes` is set aside where that costs nothing. Idempotent."""

    def region(self, key: str, offset: int, length: int | None = None) -> RegionWriter:
        """Write on from `offset`, at most `length` bytes.

        Raises:
            NotFound: nothing was begun under that key, or it was discarded or finished.
            UploadLocked: somebody else writes there right now.
        """

    def copy_region(self, key: str, offset: int, pieces: Sequence[Slice]) -> None:
        """Copy slices of finished objects into the unfinished one, one after the other from `offset` on, durably.

        Raises:
            NotFound: a source is not there, or nothing was begun.
            CannotCompose: a source is shorter than its slice.
            UploadLocked: somebody else writes there right now.
        """

    def read_region(self, key: str, offset: int, length: int) -> bytes:
        """Return bytes of the unfinished object, at most `length`."""

    def finish_regions(self, key: str, size_bytes: int) -> ObjectMeta:
        """Make the object durable and visible, cut off at `size_bytes`. Idempotent once it has succeeded.

        Raises:
            NotFound: nothing was begun.
            UploadLocked: somebody still writes in it.
        """


@runtime_checkable
class Multipart(Protocol):
    """Takes an object in numbered parts, in any order, at any time, from any process."""

    part_limits: PartLimits

    def begin_multipart(self, key: str) -> str:
        """Begin; return the provider's name of the session, which every other call wants."""

    def put_part(self, key: str, session: str, number: int, data: bytes | bytearray | memoryview) -> Part:
        """Store a part, durably; a second one of the same number replaces the first.

        Raises:
            NotFound: the session is over.
        """

    def assemble(self, key: str, session: str, parts: Sequence[Part]) -> ObjectMeta:
        """Make the object of exactly these parts, in order of their numbers; the session is over.

        Raises:
            NotFound: the session is over already: `head` tells whether an earlier call went through. Some providers then
                answer as they did to that call.
            Conflict: a part is not there, or is another than the caller names.
        """

    def discard(self, key: str, session: str) -> None:
        """Throw a session and its parts away. Idempotent."""


@runtime_checkable
class Presigning(Multipart, Protocol):
    """Can let a client put parts and get objects without us: `Multipart` whose parts may come from outside."""

    def presign_part(self, key: str, session: str, number: int, size_bytes: int, lifetime_s: int) -> SignedRequest:
        """Return a request that puts one part of exactly `size_bytes`."""

    def presign_get(self, key: str, lifetime_s: int, *, content_type: str, disposition: str) -> SignedRequest:
        """Return a request that gets an object, answered with this type and Content-Disposition."""

    def list_parts(self, key: str, session: str) -> list[Part]:
        """Return the parts that are really there, by number.

        Raises:
            NotFound: the session is over.
        """


@runtime_checkable
class OwnAuthority(Protocol):
    """Its server's certificate may come from an authority that is not among those that everybody trusts."""

    ca_file: str | None
    """The authority's certificates (PEM); None: a well-known one. Clients that follow signed requests must trust it too."""


@dataclass(frozen=True)
class Slice:
    """A part of an object: where it starts and how long it is, in bytes."""

    key: str
    start: int
    length: int


class CannotCompose(Exception):
    """The provider cannot make an object of these slices by itself; stream the bytes instead."""


@runtime_checkable
class ServerSideCopy(Protocol):
    """Can make an object of others without the bytes travelling through us. Sources stay as they are."""

    def compose(self, key: str, pieces: Sequence[Slice]) -> ObjectMeta:
        """Make an object of slices of others, in order, atomically.

        Raises:
            NotFound: a source is not there.
            CannotCompose: the provider cannot cut like that; the caller streams the bytes instead.
        """


@runtime_checkable
class Narrowing(Protocol):
    """Can shrink its own rights at the provider, so that not even a fault in our code reaches another tenant's bytes."""

    def narrowed(self, prefix: str) -> Provider:
        """Return the provider with credentials that reach only what lies below `prefix`; to be asked again for every use.

        Raises:
            StorageUnavailable: such credentials are not to be had; never falls back to the wider ones.
        """


@runtime_checkable
class PartCopy(Multipart, Protocol):
    """Can make a part of an object of a slice of another, without the bytes travelling through us."""

    def copy_part(self, key: str, session: str, number: int, source: Slice) -> Part:
        """Store a slice as a part, durably; a former part of that number is replaced.

        Raises:
            NotFound: the session is over, or the source is not there.
            CannotCompose: the provider cannot cut like that.
        """


@runtime_checkable
class LocalFiles(Protocol):
    """Keeps objects as files that a web server in front can send by itself (X-Accel-Redirect)."""

    def local_path(self, key: str) -> str:
        """Return the object's path below the provider's root, with '/' between its parts."""
