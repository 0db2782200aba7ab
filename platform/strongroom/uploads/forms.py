"""Files from a form: each part with a file name becomes an upload of its own, streamed like any other. Knows no Flask.

A file is complete, durable and answered for as soon as the boundary behind it has come. What goes wrong later in the form
takes none of the files before it back: each is a version with its own event, which others may have seen already. So the
caller is told which files are stored, and sends the others again.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from strongroom.access import Principal
from strongroom.buckets import repository as buckets
from strongroom.errors import BadRequest, BodyTooLarge, InvalidPath, ValidationFailed
from strongroom.files.models import File
from strongroom.files.paths import check_path
from strongroom.runtime import Runtime
from strongroom.uploads.ingest import Ingest
from strongroom.uploads.models import Body, UploadRequest
from strongroom.uploads.parts import Content, Head, read_parts
from strongroom.uploads.service import abandon, begin, complete_patiently
from strongroom.usage.recorder import Caller
from tenants.models import Tenant

MAX_FILES, MAX_PARTS = 100, 1000
MAX_FIELD_BYTES = 4096
MAX_FIELDS_BYTES = 64 * 1024
PATH, PREFIX, TYPE = "path", "prefix", "content_type"


class _OneFile:
    """The upload of the file whose bytes are coming."""

    def __init__(self, runtime: Runtime, tenant: Tenant, principal: Principal, request: UploadRequest) -> None:
        self._held = runtime, tenant
        self._principal = principal
        self.upload = begin(runtime, tenant, principal, request)
        try:
            self._ingest = Ingest(runtime, tenant, self.upload)
        except BaseException:
            abandon(runtime, tenant, self.upload)
            raise

    def write(self, data: bytes) -> None:
        if data:
            self._ingest.write(data)

    def finish(self, caller: Caller) -> File:
        return complete_patiently(*self._held, self._principal, caller, self.upload, self._ingest.finish())

    def abandon(self) -> None:
        self._ingest.abort()
        abandon(*self._held, self.upload)


class _Fields:
    """Text fields. `path` and `content_type` are of the next file alone, `prefix` of all that follow; others are left alone."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._name: str | None = None
        self._text = bytearray()
        self._total_bytes = 0

    def start(self, name: str | None) -> None:
        """Begin a field; None: a file that nobody chose, which browsers send without a name and without bytes."""
        self._name = name
        self._text.clear()

    def take(self, part: Content) -> None:
        if self._name is None and part.data:
            raise InvalidPath("A file has no name. Send a file name, or the field 'path' before it.")
        self._text += part.data
        self._total_bytes += len(part.data)
        if len(self._text) > MAX_FIELD_BYTES or self._total_bytes > MAX_FIELDS_BYTES:
            raise BodyTooLarge(f"A field has at most {MAX_FIELD_BYTES} bytes, and all together {MAX_FIELDS_BYTES}.")
        if part.is_last and self._name in {PATH, PREFIX, TYPE}:
            try:
                self._values[self._name] = self._text.decode()
            except UnicodeDecodeError:
                raise BadRequest(f"The field '{self._name}' is not UTF-8.") from None

    def next_file(self, part: Head, bucket: str) -> UploadRequest:
        path, content_type = (self._values.pop(name, "") for name in (PATH, TYPE))
        if not path:
            prefix = self._values.get(PREFIX, "")
            path = prefix + ("/" if prefix and not prefix.endswith("/") else "") + base_name(part.file_name or "")
        return UploadRequest(bucket, check_path(path), None, content_type or part.content_type)

    def see_nothing_left(self) -> None:
        """What names a file has to come before it: one that comes after the last is a misunderstanding, and is told.

        Raises:
            ValidationFailed
        """
        left = {name: ["Send it before its file."] for name in (PATH, TYPE) if self._values.get(name)}
        if left:
            raise ValidationFailed("A field came after its file, so it was not used.", errors=left)

    @property
    def names_path(self) -> bool:
        return bool(self._values.get(PATH))


def base_name(file_name: str) -> str:
    """Return the name of a file whose folders a browser on whatever system may have told too.

    Raises:
        InvalidPath: nothing is left.
    """
    name = file_name.replace("\\", "/").rpartition("/")[2]
    if not name:
        raise InvalidPath("The file has no name. Send a file name, or the field 'path' before it.")
    return name


def receive_form(
    runtime: Runtime,
    tenant: Tenant,
    principal: Principal,
    caller: Caller,
    *,
    bucket: str,
    body: Body,
    boundary: bytes,
    size_bytes: int | None,
) -> Iterator[File]:
    """Store the files of a form, one after the other, and give each as soon as it is durable.

    An exception, or closing the iterator, abandons the file under way and leaves those before it stored.

    Raises:
        ValidationFailed: no file at all, one path twice, or a field behind its file.
        BodyTooLarge: too many files or parts, or fields that are too long.
        what `uploads.service.receive` raises
    """
    with runtime.tenant(tenant) as connection:
        buckets.get_bucket(connection, bucket)
    form = _Form(runtime, tenant, principal, bucket)
    try:
        for part in read_parts(body, boundary, size_bytes):
            if isinstance(part, Head):
                form.begin(part)
            elif (file := form.take(part, caller)) is not None:
                yield file
        form.finish()
    finally:
        form.abandon()


class _Form:
    """What is known of a form so far: its fields, its files' paths, and the file whose bytes are coming."""

    def __init__(self, runtime: Runtime, tenant: Tenant, principal: Principal, bucket: str) -> None:
        self._begin = partial(_OneFile, runtime, tenant, principal)
        self._bucket = bucket
        self._fields = _Fields()
        self._paths: set[str] = set()
        self._parts = 0
        self._now: _OneFile | None = None

    def begin(self, part: Head) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise BodyTooLarge(f"A form has at most {MAX_PARTS} parts.")
        if part.file_name is None:
            self._fields.start(part.name)
        elif part.file_name or self._fields.names_path:
            request = self._fields.next_file(part, self._bucket)
            _see_it_is_new(request.path, self._paths)
            self._now = self._begin(request)
        else:
            self._fields.start(None)

    def take(self, part: Content, caller: Caller) -> File | None:
        """Pass content on to where it belongs; return the file that it completes."""
        if self._now is None:
            self._fields.take(part)
            return None
        self._now.write(part.data)
        if not part.is_last:
            return None
        file = self._now.finish(caller)
        self._now = None
        return file

    def finish(self) -> None:
        self._fields.see_nothing_left()
        if not self._paths:
            raise ValidationFailed("The form has no file.", errors={"file": ["Send at least one file."]})

    def abandon(self) -> None:
        if self._now is not None:
            self._now.abandon()


def _see_it_is_new(path: str, paths: set[str]) -> None:
    if len(paths) == MAX_FILES:
        raise BodyTooLarge(f"A form has at most {MAX_FILES} files.", max_files=MAX_FILES)
    if path in paths:
        raise ValidationFailed(f"Two files of the form would be stored as '{path}'.", errors={"path": ["Give each file its own."]})
    paths.add(path)
