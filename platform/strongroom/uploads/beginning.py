"""What an upload has to know before it begins, by one statement: each round trip is paid for by every upload."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, true

from strongroom.buckets.models import Bucket, Totals
from strongroom.buckets.repository import TRANSFERRED, to_bucket
from strongroom.buckets.tables import buckets, counters
from strongroom.errors import NotFound
from strongroom.files.models import File
from strongroom.files.repository import COLUMNS, to_file
from strongroom.files.tables import files, versions
from strongroom.uploads.repository import COUNT_OPEN

_open = COUNT_OPEN.subquery()
_BUCKET_ENDS, _TOTALS_END, _OPEN_ENDS = (len(buckets.c), len(buckets.c) + 4, len(buckets.c) + 7)
_LOOK = (
    select(
        *buckets.c,
        counters.c.used_bytes,
        counters.c.used_files,
        counters.c.reserved_bytes,
        counters.c.reserved_files,
        *_open.c,
        TRANSFERRED,
        *COLUMNS,
    )
    .select_from(buckets)
    .join(counters, true())
    .join(_open, true())
    .outerjoin(files, (files.c.bucket_id == buckets.c.id) & (files.c.path == bindparam("path")) & files.c.deleted_at.is_(None))
    .outerjoin(versions, versions.c.id == files.c.version_id)
    .where(buckets.c.name == bindparam("bucket"))
)


@dataclass(frozen=True)
class Situation:
    """How things are: `moving` uploads have bytes travelling right now, `still_open` are all that have not ended.

    `transferred_bytes`: what the tenant has transferred this month.
    """

    bucket: Bucket
    current: File | None
    totals: Totals
    moving: int
    still_open: int
    transferred_bytes: int


def look(connection: Connection, bucket: str, path: str) -> Situation:
    """Return the bucket, the file that is at the path now, the tenant's totals and its open uploads.

    Raises:
        NotFound: there is no such bucket.
    """
    row = connection.execute(_LOOK, {"bucket": bucket, "path": path}).first()
    if row is None:
        raise NotFound("There is no such bucket.")
    file = row[_OPEN_ENDS:]
    return Situation(
        to_bucket(row[:_BUCKET_ENDS]), None if file[0] is None else to_file(file), Totals(*row[_BUCKET_ENDS:_TOTALS_END]),
        *row[_TOTALS_END:_OPEN_ENDS],
    )  # fmt: skip
