"""Tells the most common types by their first bytes, where libmagic wavers on short, odd or hostile beginnings."""

from __future__ import annotations

import re

_PE_OFFSET_AT = 0x3C
_MAX_FAT_ARCHITECTURES = 43
"""A Java class of any version has a larger number where a fat Mach-O counts its architectures."""

PE = "application/vnd.microsoft.portable-executable"
DOS = "application/x-dosexec"
ELF = "application/x-executable"
MACH_O = "application/x-mach-binary"
ZIP = "application/zip"

_SIMPLE = (
    (b"\x7fELF", ELF),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"\xfe\xed\xfa\xce", MACH_O),
    (b"\xfe\xed\xfa\xcf", MACH_O),
    (b"\xce\xfa\xed\xfe", MACH_O),
    (b"\xcf\xfa\xed\xfe", MACH_O),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/x-wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {
    b"qt  ": "video/quicktime",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"crx ": "image/x-canon-cr3",
    b"jp2 ": "image/jp2",
}
_INTERPRETERS = (
    (re.compile(rb"python|pypy"), "text/x-python"),
    (re.compile(rb"perl"), "text/x-perl"),
    (re.compile(rb"ruby"), "text/x-ruby"),
    (re.compile(rb"node|deno|bun"), "text/javascript"),
    (re.compile(rb"php"), "text/x-php"),
)
_SHEBANG = re.compile(rb"(?:\xef\xbb\xbf)?#![ \t]{0,8}(/[^\r\n]{1,200})")
_MARKUP_START = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s{1,1024}|<\?xml[^>]{0,256}\?>|<\?xml-[^>]{0,512}\?>|<!--.{0,4096}?-->)*+<(!doctype\s+)?([a-z:]+)",
    re.DOTALL | re.IGNORECASE,
)
_HTML_NAMES = frozenset(b"html head body script iframe h1 div font table a style title b br p".split())
_DOCTYPE_ROOTS = frozenset({b"html", b"svg", b"svg:svg"})
_ZIP_MEMBER = re.compile(rb"PK\x03\x04.{22}(..)..", re.DOTALL)
_OFFICE = "application/vnd.openxmlformats-officedocument."
_ZIP_KINDS = (
    (re.compile(rb"word/"), _OFFICE + "wordprocessingml.document"),
    (re.compile(rb"xl/"), _OFFICE + "spreadsheetml.sheet"),
    (re.compile(rb"ppt/"), _OFFICE + "presentationml.presentation"),
    (re.compile(rb"AndroidManifest\.xml$"), "application/vnd.android.package-archive"),
    (re.compile(rb"META-INF/MANIFEST\.MF$"), "application/java-archive"),
)
_WIDE_SAMPLE_BYTES = 4096


def own_sniff(head: bytes) -> str | None:
    """The type that `head` shows for certain, or None: ask libmagic."""
    for magic, simple in _SIMPLE:
        if head.startswith(magic):
            return simple
    for sniffer in (_program, _zip, _riff, _movie, _script, _markup, _wide_text):
        if mime := sniffer(head):
            return mime
    return None


def _program(head: bytes) -> str | None:
    if head.startswith(b"\xca\xfe\xba\xbe"):
        return MACH_O if int.from_bytes(head[4:8], "big") < _MAX_FAT_ARCHITECTURES else "application/x-java-applet"
    if not head.startswith(b"MZ"):
        return None
    pe_at = int.from_bytes(head[_PE_OFFSET_AT : _PE_OFFSET_AT + 4], "little")
    if head[pe_at : pe_at + 4] == b"PE\0\0":
        return PE
    return DOS if b"\0" in head[2:64] else None  # without it, text that happens to begin with MZ


def _zip(head: bytes) -> str | None:
    if head.startswith(b"PK\x05\x06"):
        return ZIP
    if not head.startswith(b"PK\x03\x04"):
        return None
    names = list(_zip_names(head))
    if names and names[0][0] == b"mimetype":
        return _stored_type(names[0][1]) or ZIP
    for pattern, mime in _ZIP_KINDS:
        if any(pattern.match(name) for name, _ in names):
            return mime
    return ZIP


def _zip_names(head: bytes) -> list[tuple[bytes, bytes]]:
    """The member names in `head`, each with what follows it."""
    found = []
    for member in _ZIP_MEMBER.finditer(head):
        end = member.end() + int.from_bytes(member[1], "little")
        found.append((head[member.end() : end], head[end : end + 128]))
    return found


def _stored_type(data: bytes) -> str | None:
    """OpenDocument and EPUB keep their type as the first, stored member."""
    found = re.match(rb"application/(?:vnd\.[a-z.-]+|epub\+zip)", data)
    return found[0].removesuffix(b"PK").decode() if found else None


def _riff(head: bytes) -> str | None:
    return _RIFF.get(head[8:12]) if head.startswith((b"RIFF", b"RIFX")) else None


def _movie(head: bytes) -> str | None:
    if head[4:8] != b"ftyp":
        return None
    return "video/3gpp" if head[8:11] == b"3gp" else _BRANDS.get(head[8:12], "video/mp4")


def _script(head: bytes) -> str | None:
    found = _SHEBANG.match(head)
    if not found:
        return None
    return next((mime for pattern, mime in _INTERPRETERS if pattern.search(found[1])), "text/x-shellscript")


def _markup(head: bytes) -> str | None:
    """HTML and SVG, also behind comments: what a browser might run must not pass for plain text or a picture."""
    found = _MARKUP_START.match(head)
    if not found:
        return None
    doctype, name = found[1], found[2].lower()
    if name in (b"svg", b"svg:svg"):
        return "image/svg+xml"
    return "text/html" if name == b"html" or (not doctype and name in _HTML_NAMES) else None


def _wide_text(head: bytes) -> str | None:
    """UTF-16 text without a mark: libmagic sees only data."""
    sample = head[:_WIDE_SAMPLE_BYTES]
    even, odd = sample[0::2], sample[1::2]
    for zeros, letters in ((even, odd), (odd, even)):
        if len(zeros) > 1 and zeros.count(0) > len(zeros) * 0.9 and _is_plain(letters):
            return "text/plain"
    return None


def _is_plain(letters: bytes) -> bool:
    return all(letter >= ord(" ") or letter in b"\t\r\n\f" for letter in letters)
