"""Looks inside archives as their bytes pass by: zip (so docx, odt, jar …), gzip, bzip2, xz, lzma, tar and ar,
nested at will.

Everything is pushed: a container's bytes go into an unpacker, what comes out goes into a `Content` of the next depth,
which may find that it is a container itself. Compressed streams, tar and ar need no more memory than a few pieces; a
zip is spooled to a nameless temporary file, since its directory is at its end. No member's name is ever used as a path.

A `Walk` holds the limits and collects what could not be looked at. A container that is encrypted, broken, of an unknown
method or behind a limit never ends the scan of its neighbours, it only makes the file `unscanned`.
"""

from strongroom.scanning.archives.content import Content
from strongroom.scanning.archives.walk import Walk

__all__ = ["Content", "Walk"]
